"""A conversation with a scripted server, in a real pipeline, by a service in a hurry."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    ErrorFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses import (
    ConnectionLimits,
    OpenAIResponsesHttpLLMService,
    OpenAIResponsesLLMService,
    TurnLimits,
)
from pipecat_responses.protocol.retry import Backoff
from pipecat_responses.testing import Conversation
from tests.histories.meaning import Wire
from tests.histories.server import ScriptedServer
from tests.histories.steps import Answer, Asked

Transport: TypeAlias = Literal["websocket", "http"]

KEY = "sk-histories-4f1c9a7be2d05863"
SWIFT = Backoff(first=0.01, cap=0.05)
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
KINDS = {"websocket": OpenAIResponsesLLMService, "http": OpenAIResponsesHttpLLMService}
TOOLS = ("note", "ring")


def service(transport: Transport, address: Any, **kwargs: Any) -> Any:
    """A service in a hurry.

    Args:
        transport: Which of the two.
        address: Anything with ``base_url`` and ``ws_url``.
        **kwargs: More for the service; ``limits`` and ``connections`` change single limits, and
            ``kinds`` has other makers of the services.
    """
    kinds: Mapping[str, Callable[..., Any]] = kwargs.pop("kinds", KINDS)
    chosen = {
        "api_key": KEY,
        "base_url": address.base_url,
        "turn_limits": TurnLimits(**{**LIMITS, **kwargs.pop("limits", {})}),
        "connection_limits": ConnectionLimits(**{**CONNECTIONS, **kwargs.pop("connections", {})}),
        **kwargs,
    }
    if transport == "websocket":
        chosen |= {"ws_url": address.ws_url, "ws_close_timeout": 0.3}
    return kinds[transport](**chosen)


def tools() -> ToolsSchema:
    """The tools as a context carries them."""
    return ToolsSchema(
        standard_tools=[
            FunctionSchema(name, "A tool.", {"words": {"type": "string"}}, []) for name in TOOLS
        ]
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


class Stage(Conversation):
    """A conversation whose turns give a verdict.

    Attributes:
        server: Whom it is with.
        runs: The functions that ran, with their arguments.
    """

    def __init__(self, server: ScriptedServer, llm: Any, **kwargs: Any) -> None:
        self.server = server
        self.runs: list[tuple[str, Wire]] = []
        for name in TOOLS:
            llm.register_function(name, self._handler(name))
        context = LLMContext(tools=tools())
        super().__init__(llm, context, **{"patience": 4.0, **kwargs})

    def _handler(self, name: str) -> Callable[[Any], Any]:
        async def handle(params: Any) -> None:
            self.runs.append((name, dict(params.arguments)))
            await params.result_callback(f"{name} done")

        return handle

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

    @property
    def contexts(self) -> int:
        """Context frames that the service has been given."""
        frames = [*self.before.frames, *self.said.upstream]
        return sum(isinstance(frame, LLMContextFrame) for frame in frames)

    async def quiet(self) -> None:
        """Waits until nothing is under way."""
        while True:
            await self.settle()
            await self.said.until(lambda: self.ends >= self.contexts, self.patience)
            runs = len(self.runs)
            await self.settle()
            if self.ends == self.contexts and runs == len(self.runs):
                return

    def check_frames(self) -> None:
        """Every context frame has one start and one end, and nothing is said outside."""
        inside = False
        for frame in self.said.frames:
            if isinstance(frame, LLMFullResponseStartFrame):
                assert not inside, "a response started inside another"
                inside = True
            elif isinstance(frame, LLMFullResponseEndFrame):
                assert inside, "a response ended that had not started"
                inside = False
            elif isinstance(frame, LLMTextFrame):
                assert inside, f"text outside a response: {frame.text!r}"
        assert not inside, "a response did not end"
        assert self.starts == self.ends == self.contexts, "a context without its start and end"


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
        **kwargs: More for the service; ``tts`` for the conversation, and ``prepare``, which is
            called with the server before anybody connects.
    """
    talk_options = {"tts": kwargs.pop("tts", None)}
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
