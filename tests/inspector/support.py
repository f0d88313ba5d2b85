"""What the inspector's tests share: a service that is watched, and lines of one kind."""

from __future__ import annotations

from typing import Any

from pipecat_responses.inspector.store import Ring, WatchedSession

KEY = "sk-test-0123456789abcdef-secret"


class Seen:
    """A session that is watched without a page."""

    def __init__(self, llm: Any, *, words: bool = True, marks: int = 10_000) -> None:
        self.session = WatchedSession(
            "1", llm.name, llm.trace.mask, Ring(marks), Ring(2**20), words=words
        )
        llm.trace.attach(self.session.tell)

    def lines(self, *kinds: str) -> list[Any]:
        """What happened so far, of some kinds or of all."""
        lines = self.session.marks(0, 100_000)()
        return [each for each in lines if not kinds or each["record"] in kinds]

    def wire(self) -> list[Any]:
        """What went over the wire so far."""
        return self.session.wire(0, 2**53, 100_000)()

    def kinds(self) -> list[str]:
        """What happened so far, by name."""
        return [each["record"] for each in self.lines()]
