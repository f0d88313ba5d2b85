"""What the fault tests share: impatient services, turns with a verdict, and the rules."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipecat.frames.frames import ErrorFrame, LLMTextFrame

from pipecat_responses.sandbox import Answer, HostedCall, ModelInput, Sandbox
from pipecat_responses.sandbox.rules import answer_by_rules
from tests.support.contexts import kept_items
from tests.support.hurry import SWIFT, JudgedConversation, Transport, hurried_service

KEY = "sk-test-0123456789abcdef-secret"
LIMITS: dict[str, Any] = {
    "quiet_secs": 1.0,
    "begin_secs": 3.0,
    "stall_secs": 3.0,
    "terminal_secs": 3.0,
    "total_secs": 30.0,
    "attempts": 4,
    "probe_secs": 1.5,
    "backoff": SWIFT,
}
"""Enough for a machine that is busy with other things."""

IMPATIENT: dict[str, Any] = {
    "quiet_secs": 0.05,
    "begin_secs": 0.2,
    "stall_secs": 0.2,
    "terminal_secs": 0.1,
}
"""Where silence is the fault, and is waited out."""

CONNECTIONS: dict[str, Any] = {"open_secs": 3.0, "backoff": SWIFT}


def limits_for(kind: str) -> dict[str, Any]:
    """Limits of turns in which a fault of a kind happens: what ends by time alone shall end soon.

    Args:
        kind: The fault's kind.
    """
    return dict(IMPATIENT) if kind in ("silence", "stall", "no_terminal") else {}


@contextlib.contextmanager
def short_probe(seconds: float = 0.05) -> Iterator[None]:
    """Services made meanwhile give a silent server less time to answer a ping."""
    before, LIMITS["probe_secs"] = LIMITS["probe_secs"], seconds
    yield
    LIMITS["probe_secs"] = before


def new_service(address: Any, transport: Transport, /, **kwargs: Any) -> Any:
    """A service in a hurry.

    Args:
        address: Anything with ``base_url`` and ``ws_url``.
        transport: Which of the two services.
        **kwargs: More for the service; ``limits`` changes those of turns, ``connections`` those of
            connections.
    """
    limits = {**LIMITS, **kwargs.pop("limits", {})}
    connections = {**CONNECTIONS, **kwargs.pop("connections", {})}
    return hurried_service(
        transport, address, limits=limits, connections=connections, **{"api_key": KEY, **kwargs}
    )


def counted(top: int, start: int = 1) -> str:
    """What the sandbox says when it is asked to count."""
    return ", ".join(str(number) for number in range(start, top + 1)) + "."


BOOKING = "Please book for eight."
BOOKED = "It is booked for eight."


def answer_of_a_booker(given: ModelInput) -> Answer:
    """The built-in rules, and a tool of the server's that books unless it has."""
    if given.last_user_text != BOOKING:
        return answer_by_rules(given)
    if any(item.get("type") == "mcp_call" for item in given.history):
        return Answer(BOOKED)
    call = {"type": "mcp_call", "server_label": "cal", "name": "book", "arguments": "{}"}
    return Answer([HostedCall({**call, "output": "booked"}), BOOKED])


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


class Talk(JudgedConversation):
    """A conversation whose turns give a verdict."""

    def __init__(self, llm: Any, *, tools: bool = False, **kwargs: Any) -> None:
        # What is told here is told behind the service. A voice behind it would make the matrix
        # half as long again.
        super().__init__(llm, tools=tools, **{"tts": None, **kwargs})

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

    async def round(self, text: str) -> Heard:
        """Says something, and waits until that is answered and so are all results of tools."""
        position, errors, before = len(self.said.frames), len(self.errors), self.ends
        await self.start(text)
        await self.said.until(lambda: self.ends > before)
        await self.quiet()
        pieces = [f.text for f in self.said.frames[position:] if isinstance(f, LLMTextFrame)]
        return Heard("".join(pieces), self.errors[errors:], pieces)

    def forget(self, *, context: bool = True) -> None:
        """Starts the records, and the context, afresh; the service and its connection stay."""
        for tap in (self.before, self.said, self.last):
            tap.forget()
        if context:
            self.context.set_messages([])
        self.toolbox.runs.clear()

    @property
    def bookings(self) -> int:
        """How often the server's own tool has run, by what the context has kept."""
        return sum(item["type"] == "mcp_call" for item in kept_items(self.context))

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
    sandbox: Sandbox, transport: Transport, /, *, tools: bool = False, **kwargs: Any
) -> AsyncIterator[Talk]:
    """A conversation with the sandbox, whose frames are checked at its end."""
    metrics, tracing = kwargs.pop("metrics", True), kwargs.pop("tracing", False)
    llm = new_service(sandbox, transport, **kwargs)
    talk = Talk(llm, tools=tools, metrics=metrics, tracing=tracing)
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
