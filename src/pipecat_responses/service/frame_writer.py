"""What a turn says, as Pipecat's frames; what fails, as Pipecat's error categories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from loguru import logger
from pipecat.frames.frames import (
    Frame,
    LLMMessagesAppendFrame,
    LLMThoughtEndFrame,
    LLMThoughtStartFrame,
    LLMThoughtTextFrame,
)
from pipecat.metrics.metrics import LLMTokenUsage, LLMUsageMetricsData
from pipecat.processors.aggregators.llm_context import LLMSpecificMessage
from pipecat.utils.errors import ErrorCategory

from pipecat_responses.protocol.errors import Failure, ResponsesError
from pipecat_responses.protocol.events import Status, Usage
from pipecat_responses.session.turn_events import (
    AttemptUsage,
    CompleteCall,
    ItemStart,
    OutputItem,
    Text,
    ThoughtEnd,
    ThoughtText,
    TurnDone,
    TurnEvent,
)

CATEGORIES: dict[Failure, ErrorCategory] = {
    Failure.MEMORY_LOST: ErrorCategory.SERVER,
    Failure.CONNECTION_EXPIRED: ErrorCategory.CONNECTIVITY,
    Failure.LANES_USED_UP: ErrorCategory.SERVER,
    Failure.NO_LANES: ErrorCategory.SERVER,
    Failure.NO_WARM_UP: ErrorCategory.SERVER,
    Failure.RATE_LIMIT: ErrorCategory.RATE_LIMIT,
    Failure.QUOTA: ErrorCategory.QUOTA,
    Failure.AUTHENTICATION: ErrorCategory.AUTHENTICATION,
    Failure.PERMISSION: ErrorCategory.AUTHORIZATION,
    Failure.MODEL: ErrorCategory.INVALID_REQUEST,
    Failure.CONTENT: ErrorCategory.APPLICATION,
    Failure.REQUEST: ErrorCategory.INVALID_REQUEST,
    Failure.ENDPOINT: ErrorCategory.INVALID_REQUEST,
    Failure.SERVER: ErrorCategory.SERVER,
    Failure.TIMEOUT: ErrorCategory.CONNECTIVITY,
    Failure.CONNECTION: ErrorCategory.CONNECTIVITY,
    Failure.PROTOCOL: ErrorCategory.SERVER,
    Failure.EMPTY: ErrorCategory.SERVER,
    Failure.CLOSED: ErrorCategory.CONNECTIVITY,
}
"""Pipecat's category of each failure. Every failure has its row (a test holds that)."""


class AbandonedUsageMetricsData(LLMUsageMetricsData):
    """Tokens of a response that the user interrupted: billed, though nobody heard its end.

    Parameters:
        turn: The number of the turn it was meant for, from 1.
        response_id: The response's id, if the server said.
    """

    turn: int
    response_id: str | None = None


def token_usage(usage: Usage) -> LLMTokenUsage:
    """Pipecat's form of a response's usage."""
    return LLMTokenUsage(
        prompt_tokens=usage.input,
        completion_tokens=usage.output,
        total_tokens=usage.total,
        cache_read_input_tokens=usage.cached,
        cache_creation_input_tokens=usage.cache_write,
        reasoning_tokens=usage.reasoning,
    )


def category_of(error: ResponsesError) -> ErrorCategory:
    """Pipecat's category of an error."""
    return CATEGORIES[error.failure]


def parse_arguments(arguments: str) -> dict[str, Any] | None:
    """The arguments of a call, or None if they are not a JSON object."""
    if not arguments.strip():
        return {}
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class Speaker(Protocol):
    """What is needed of a service to speak through it."""

    async def push_frame(self, frame: Frame) -> None:
        """Pushes a frame downstream."""

    async def _push_llm_text(self, text: str) -> None:
        """Pushes text to be spoken, through turn completion where that is on."""

    async def stop_ttfb_metrics(self) -> None:
        """The first output has come."""

    async def stop_ttfat_metrics(self) -> None:
        """The answer itself has begun."""

    async def start_llm_usage_metrics(self, tokens: LLMTokenUsage) -> None:
        """Reports tokens."""

    def create_llm_specific_message(self, message: Any) -> LLMSpecificMessage:
        """Wraps an item for the context."""


class FrameWriter:
    """Turns the outputs of one turn into frames.

    Attributes:
        calls: The complete calls so far.
        done: How the turn ended, once it has.
    """

    def __init__(self, speaker: Speaker) -> None:
        """Creates it for one turn of a service."""
        self._speaker = speaker
        self._waiting = True
        self._thinking = False
        self.calls: list[CompleteCall] = []
        self.done: TurnDone | None = None

    async def push(self, output: TurnEvent) -> None:
        """Pushes what an output amounts to."""
        speaker = self._speaker
        if isinstance(output, Text):
            await self._first_output()
            await speaker._push_llm_text(output.text)
        elif isinstance(output, ThoughtText):
            await self._think(output.text)
        elif isinstance(output, ThoughtEnd):
            await self.close()
        elif isinstance(output, ItemStart):
            await self._first_output()
            if output.is_call:
                await speaker.stop_ttfat_metrics()
        elif isinstance(output, OutputItem):
            await speaker.push_frame(LLMMessagesAppendFrame([self._message(output.item)]))
        elif isinstance(output, CompleteCall):
            self.calls.append(output)
        elif isinstance(output, AttemptUsage):
            await speaker.start_llm_usage_metrics(token_usage(output.usage))
        else:
            await self._finish(output)

    async def close(self) -> None:
        """Ends a thought that is under way."""
        if self._thinking:
            self._thinking = False
            await self._speaker.push_frame(LLMThoughtEndFrame())

    async def _first_output(self) -> None:
        if self._waiting:
            self._waiting = False
            await self._speaker.stop_ttfb_metrics()

    async def _think(self, text: str) -> None:
        await self._first_output()
        if not self._thinking:
            self._thinking = True
            await self._speaker.push_frame(LLMThoughtStartFrame())
        await self._speaker.push_frame(LLMThoughtTextFrame(text))

    async def _finish(self, done: TurnDone) -> None:
        self.done = done
        if done.usage is not None:
            await self._speaker.start_llm_usage_metrics(token_usage(done.usage))
        if done.status is Status.INCOMPLETE and done.reason != "lost":
            logger.warning(
                "{}: the response is incomplete ({}); what it said is kept",
                self._speaker,
                done.reason or "no reason given",
            )

    def _message(self, wire: Mapping[str, Any]) -> LLMSpecificMessage:
        message = {
            "type": "reasoning",
            "id": wire.get("id"),
            "summary": wire.get("summary") or [],
            "encrypted_content": wire.get("encrypted_content"),
        }
        return self._speaker.create_llm_specific_message(message)
