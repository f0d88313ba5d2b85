"""What the fault tests share: impatient services, turns with a verdict, and the rules."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

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
from pipecat_responses.sandbox import Sandbox
from pipecat_responses.testing import Conversation

Transport = Literal["websocket", "http"]

KEY = "sk-test-0123456789abcdef-secret"
SWIFT = Backoff(first=0.01, cap=0.05)
LIMITS: dict[str, Any] = {
    "quiet_secs": 0.03,
    "begin_secs": 0.09,
    "stall_secs": 0.09,
    "terminal_secs": 0.05,
    "total_secs": 8.0,
    "attempts": 4,
    "probe_secs": 1.5,
    "backoff": SWIFT,
}
CONNECTIONS = ConnectionLimits(open_secs=0.2, backoff=SWIFT)


@contextlib.contextmanager
def short_probe(seconds: float = 0.05) -> Iterator[None]:
    """Services made meanwhile give a silent server less time to answer a ping."""
    before, LIMITS["probe_secs"] = LIMITS["probe_secs"], seconds
    yield
    LIMITS["probe_secs"] = before


def new_service(address: Any, transport: Transport, **kwargs: Any) -> Any:
    """A service in a hurry.

    Args:
        address: Anything with ``base_url`` and ``ws_url``.
        transport: Which of the two services.
        **kwargs: More for the service; ``limits`` changes those of turns.
    """
    limits = TurnLimits(**{**LIMITS, **kwargs.pop("limits", {})})
    kwargs = {
        "api_key": KEY,
        "base_url": address.base_url,
        "connection_limits": CONNECTIONS,
        "turn_limits": limits,
        **kwargs,
    }
    if transport == "http":
        return OpenAIResponsesHttpLLMService(**kwargs)
    return OpenAIResponsesLLMService(ws_url=address.ws_url, ws_close_timeout=0.3, **kwargs)


def counted(top: int, start: int = 1) -> str:
    """What the sandbox says when it is asked to count."""
    return ", ".join(str(number) for number in range(start, top + 1)) + "."


class Toolbox:
    """Tools that count how often they run."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, dict[str, Any]]] = []

    def register(self, llm: Any) -> None:
        """Makes the tools known to a service."""
        for name in ("note", "ring"):
            llm.register_function(name, self._handler(name))

    def _handler(self, name: str) -> Callable[[Any], Any]:
        async def handle(params: Any) -> None:
            self.runs.append((name, dict(params.arguments)))
            await params.result_callback(f"{name} done")

        return handle

    @staticmethod
    def schema() -> ToolsSchema:
        """The tools as a context carries them."""
        return ToolsSchema(
            standard_tools=[
                FunctionSchema(
                    name="note",
                    description="Writes something down.",
                    properties={"words": {"type": "string"}},
                    required=["words"],
                ),
                FunctionSchema(
                    name="ring",
                    description="Rings a bell.",
                    properties={"words": {"type": "string"}},
                    required=["words"],
                ),
            ]
        )


@dataclass
class Heard:
    """What came of one turn.

    Attributes:
        text: What was said.
        errors: What was reported.
        pieces: The text, frame by frame.
    """

    text: str
    errors: list[ErrorFrame]
    pieces: list[str] = field(default_factory=list)


class Talk(Conversation):
    """A conversation whose turns give a verdict."""

    def __init__(self, llm: Any, *, tools: bool = False, **kwargs: Any) -> None:
        self.toolbox = Toolbox()
        if tools:
            self.toolbox.register(llm)
        context = LLMContext(tools=Toolbox.schema()) if tools else None
        # What is told here is told behind the service. A voice behind it would make the matrix
        # half as long again.
        super().__init__(llm, kwargs.pop("context", context), **{"tts": None, **kwargs})

    async def turn(
        self, text: str, *, ends: int = 1, meanwhile: Callable[[], Any] | None = None
    ) -> Heard:
        """Says something, waits for the end frames, and tells what came.

        Args:
            text: What the user says.
            ends: How many responses it takes.
            meanwhile: Is awaited while the turn runs.
        """
        position, errors, before = len(self.said.frames), len(self.errors), self.ends
        await self.start(text)
        if meanwhile is not None:
            await meanwhile()
        await self.said.until(lambda: self.ends >= before + ends)
        await self.settle()
        pieces = [f.text for f in self.said.frames[position:] if isinstance(f, LLMTextFrame)]
        return Heard("".join(pieces), self.errors[errors:], pieces)

    @property
    def contexts(self) -> int:
        """Context frames that the service has been given."""
        return sum(
            isinstance(frame, LLMContextFrame)
            for frame in [*self.before.frames, *self.said.upstream]
        )

    def check_frames(self) -> None:
        """Every context frame has one start and one end frame, and nothing is spoken outside."""
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
        assert self.starts == self.ends == self.contexts

    async def round(self, text: str) -> Heard:
        """Says something, and waits until that is answered and so are all results of tools."""
        position, errors, before = len(self.said.frames), len(self.errors), self.ends
        await self.start(text)
        await self.said.until(lambda: self.ends > before)
        await self.quiet()
        pieces = [f.text for f in self.said.frames[position:] if isinstance(f, LLMTextFrame)]
        return Heard("".join(pieces), self.errors[errors:], pieces)

    async def quiet(self) -> None:
        """Waits until nothing is under way."""
        while True:
            await self.settle()
            await self.said.until(lambda: self.ends >= self.contexts)
            runs = len(self.toolbox.runs)
            await self.settle()
            if self.ends == self.contexts and runs == len(self.toolbox.runs):
                return

    def forget(self, *, context: bool = True) -> None:
        """Starts the records, and the context, afresh; the service and its connection stay."""
        for tap in (self.before, self.said, self.last):
            tap.forget()
        if context:
            self.context.set_messages([])
        self.toolbox.runs.clear()

    @property
    def written(self) -> str:
        """The newest assistant message of the context."""
        for message in reversed(self.context.get_messages()):
            if isinstance(message, dict) and message.get("role") == "assistant":
                content = message.get("content")
                if isinstance(content, str):
                    return content
        return ""


@contextlib.asynccontextmanager
async def talking(
    sandbox: Sandbox, transport: Transport, *, tools: bool = False, **kwargs: Any
) -> AsyncIterator[Talk]:
    """A conversation with the sandbox, whose frames are checked at its end."""
    metrics = kwargs.pop("metrics", True)
    talk = Talk(new_service(sandbox, transport, **kwargs), tools=tools, metrics=metrics)
    async with talk:
        yield talk
    talk.check_frames()


async def until(condition: Callable[[], bool], within: float = 5.0) -> None:
    """Waits for something that tells nobody when it happens."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)


def our_tasks() -> list[str]:
    """Names of the tasks of the package that run now."""
    return sorted(
        task.get_name()
        for task in asyncio.all_tasks()
        if task.get_name().startswith("pipecat-responses") and not task.done()
    )


def memory_in_use() -> int:
    """Bytes of this process in memory, garbage not counted; 0 where nobody says."""
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def our_objects() -> int:
    """How many objects of the package's classes are alive."""
    gc.collect()
    return sum(
        str(type(each).__module__).startswith("pipecat_responses.") for each in gc.get_objects()
    )
