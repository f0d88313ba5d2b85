"""A conversation with a scripted server, in a real pipeline, by a service in a hurry."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from pipecat.frames.frames import ErrorFrame, LLMFullResponseEndFrame, LLMTextFrame

from tests.histories.meaning import Wire
from tests.histories.server import ScriptedServer
from tests.histories.steps import Answer, Asked
from tests.support.hurry import SWIFT, JudgedConversation, Transport, hurried_service

KEY = "sk-histories-4f1c9a7be2d05863"
LIMITS: dict[str, Any] = {
    "quiet_secs": 0.1,
    "probe_secs": 0.1,
    "begin_secs": 0.3,
    "stall_secs": 0.3,
    "terminal_secs": 0.1,
    "total_secs": 1.5,
    "attempts": 4,
    "backoff": SWIFT,
}
CONNECTIONS: dict[str, Any] = {"open_secs": 0.5, "backoff": SWIFT}


def service(transport: Transport, address: Any, **kwargs: Any) -> Any:
    """A service in a hurry.

    Args:
        transport: Which of the two.
        address: Anything with ``base_url`` and ``ws_url``.
        **kwargs: More for the service; ``limits`` and ``connections`` change single limits, and
            ``kinds`` has other makers of the services.
    """
    limits = {**LIMITS, **kwargs.pop("limits", {})}
    connections = {**CONNECTIONS, **kwargs.pop("connections", {})}
    return hurried_service(
        transport, address, limits=limits, connections=connections, **{"api_key": KEY, **kwargs}
    )


@dataclass
class Heard:
    """What came of one turn.

    Attributes:
        text: What was said; a space between two answers.
        errors: What was reported.
        asked: The requests that it took.
    """

    text: str
    errors: list[ErrorFrame]
    asked: list[Asked]


class Stage(JudgedConversation):
    """A conversation whose turns give a verdict.

    Attributes:
        server: Whom it is with.
    """

    def __init__(self, server: ScriptedServer, llm: Any, **kwargs: Any) -> None:
        self.server = server
        super().__init__(llm, tools=True, **kwargs)

    @property
    def runs(self) -> list[tuple[str, Wire]]:
        """The functions that ran, with their arguments."""
        return self.toolbox.runs

    async def turn(self, text: str = "Hello.") -> Heard:
        """Says something, and waits until that is answered and so are all results of tools."""
        place = self._place()
        before = self.ends
        await self.start(text)
        await self.said.until(lambda: self.ends > before, self.patience)
        await self.quiet()
        return self._since(place)

    async def finish(self) -> Heard:
        """Waits for the end of a turn that has been started, and tells what came of everything."""
        await self.said.until(lambda: self.ends >= max(self.contexts, 1), self.patience)
        await self.quiet()
        return self._since((0, 0, 0))

    def _place(self) -> tuple[int, int, int]:
        return len(self.said.frames), len(self.errors), len(self.server.asked)

    def _since(self, place: tuple[int, int, int]) -> Heard:
        frames = self.said.frames[place[0] :]
        parts = [""]
        for frame in frames:
            if isinstance(frame, LLMTextFrame):
                parts[-1] += frame.text
            elif isinstance(frame, LLMFullResponseEndFrame):
                parts.append("")
        text = " ".join(part for part in parts if part)
        return Heard(text, self.errors[place[1] :], self.server.asked[place[2] :])


def our_tasks() -> list[str]:
    """Names of the tasks of the package that run now."""
    names = (task.get_name() for task in asyncio.all_tasks() if not task.done())
    return sorted(name for name in names if name.startswith("pipecat-responses"))


@contextlib.asynccontextmanager
async def stage(transport: Transport, *answers: Answer, **kwargs: Any) -> AsyncIterator[Stage]:
    """A conversation with a server that has answers ready; both end with the block.

    Args:
        transport: Which service.
        *answers: What the first requests are answered with.
        **kwargs: More for the service; ``tts``, ``paced`` and ``extra`` for the conversation, and
            ``prepare``, which is called with the server before anybody connects.
    """
    talk_options = {
        "tts": kwargs.pop("tts", None),
        "paced": kwargs.pop("paced", False),
        "extra": kwargs.pop("extra", ()),
    }
    prepare = kwargs.pop("prepare", lambda _: None)
    async with ScriptedServer() as server:
        server.answers.extend(answers)
        prepare(server)
        talk = Stage(server, service(transport, server, **kwargs), **talk_options)
        try:
            await talk.__aenter__()
            yield talk
        except BaseException:
            # What failed is told, not what cannot be ended because of it.
            await close(talk)
            raise
        await talk.end()
        talk.check_frames()
        assert our_tasks() == [], "something of the service outlives it"


async def close(talk: Stage) -> None:
    """Ends a conversation that may not want to end."""
    talk.patience = 1.0
    with contextlib.suppress(Exception):
        await talk.cancel()
    with contextlib.suppress(Exception):
        async with asyncio.timeout(1.0):
            await talk.llm.cleanup()
