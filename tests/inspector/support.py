"""What the inspector's tests share: a service that is watched, and lines of one kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from pipecat_responses.inspector.store import Ring, WatchedSession
from pipecat_responses.protocol.requests import Payload
from pipecat_responses.session.records import Purpose, RequestSent, TurnBegan, TurnEnded
from pipecat_responses.session.stats import TurnReport
from pipecat_responses.session.timing import Cause, TurnTimes
from pipecat_responses.transport.trace import Trace


def plain(lines: Any) -> Any:
    """Lines as whoever reads them has them."""
    return msgspec.json.decode(msgspec.json.encode(lines))


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
        lines: list[Any] = plain(self.session.wire(0, 2**53, 100_000)())
        return lines

    def kinds(self) -> list[str]:
        """What happened so far, by name."""
        return [each["record"] for each in self.lines()]


class Told:
    """A service that does nothing but tell."""

    def __init__(self, name: str = "told") -> None:
        self.name = name
        self.trace = Trace(lambda text: text.replace(KEY, "***"))

    def turn(self, number: int, *, said: str = "Hello", answer: str = "Good day.") -> None:
        """Tells of a turn from its beginning to its end."""
        tell = self.trace.tell
        assert tell is not None
        report = TurnReport("websocket", True, None, 1, 100, lane="lane-1")
        body = {"type": "response.create", "input": [{"role": "user", "content": said}]}
        data = msgspec.json.encode(body)
        tell(TurnBegan(number, 1, 1))
        tell(
            RequestSent(
                number,
                number,
                Purpose.TURN,
                0,
                report,
                Payload(((data,),), len(data)),
            )
        )
        self.event({"type": "response.created"})
        self.event({"type": "response.output_text.delta", "delta": answer})
        message = {"type": "message", "role": "assistant", "content": [{"text": answer}]}
        self.event({"type": "response.completed", "response": {"output": [message]}})
        times = TurnTimes(first_text=0.3, end=0.001)
        cause = Cause.NOTHING
        tell(
            TurnEnded(
                number,
                "answered",
                replace(report, times=times, cause=cause, why_slow=cause.explanation),
            )
        )

    def event(self, message: dict[str, Any]) -> None:
        """Tells of an event."""
        self.trace.received(0, [msgspec.json.encode({**message, "stream_id": "lane-1"})])
        self.trace.reached(0, "lane-1", message["type"], 0)
