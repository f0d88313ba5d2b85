"""What comes of a turn, as Pipecat's frames."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, assert_never

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

from pipecat_responses.context.messages import LEADS_TO, RUN_HERE
from pipecat_responses.protocol.events import Status, Usage
from pipecat_responses.protocol.items import APPROVAL_REQUEST, COMPACTION, TEXT
from pipecat_responses.protocol.wording import PutOut, wording_wire
from pipecat_responses.service.hosted import (
    CitationsFrame,
    HostedToolEndedFrame,
    HostedToolStartedFrame,
    image_frame,
    is_hosted,
    query_of,
    read_citation,
)
from pipecat_responses.service.pauses import PAUSE
from pipecat_responses.session.turn_events import (
    AttemptUsage,
    Cited,
    CompleteCall,
    ItemStart,
    OutputItem,
    Pause,
    Text,
    ThoughtEnd,
    ThoughtText,
    TurnDone,
    TurnEvent,
    UnreadableReasoning,
)


class AbandonedUsageMetricsData(LLMUsageMetricsData):
    """Tokens of a response that nobody heard to its end, and that was billed.

    The user has interrupted it, or the same request, sent once more, was faster.

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
    """Writes the events of one turn as frames.

    Attributes:
        approvals: The calls so far that wait for approval, as the model put them out.
        done: How the turn ended, once it has.
        has_spoken: Whether any text was pushed.
        compacted: Whether the server has compacted the conversation.
        unreadable: The ids of reasoning items that the server cannot read.
    """

    def __init__(
        self,
        speaker: Speaker,
        on_call: Callable[[CompleteCall], Awaitable[None]],
        *,
        pauses: bool = True,
    ) -> None:
        """Creates it for one turn.

        Args:
            speaker: The service.
            on_call: Is awaited with each complete call.
            pauses: Whether a voice is told where text pauses.
        """
        self._speaker = speaker
        self._on_call = on_call
        self._pauses = pauses
        self._waiting = True
        self._speaking = False
        self._thinking = False
        self._tools: list[tuple[str, str]] = []
        self.approvals: list[Mapping[str, Any]] = []
        self.done: TurnDone | None = None
        self.has_spoken = self.compacted = False
        self.unreadable: frozenset[str] = frozenset()

    async def write(self, event: TurnEvent) -> None:
        """Pushes what an event of the turn amounts to."""
        speaker = self._speaker
        match event:
            case Text():
                if self._waiting:
                    await self._first_output()
                self.has_spoken = self._speaking = True
                await speaker._push_llm_text(event.text)
            case Pause():
                await self._pause()
            case ThoughtText():
                await self._think(event.text)
            case ThoughtEnd():
                await self._end_thought()
            case ItemStart():
                if self._waiting:
                    await self._first_output()
                if event.is_call:
                    await speaker.stop_ttfat_metrics()
                elif is_hosted(event.kind):
                    await self._tool_started(event.kind, event.item_id)
            case Cited():
                citations = [read_citation(each) for each in event.annotations]
                await speaker.push_frame(CitationsFrame(event.text, citations))
            case OutputItem():
                self.compacted = self.compacted or event.item.get("type") == COMPACTION
                if event.item.get("type") == APPROVAL_REQUEST:
                    self.approvals.append(event.item)
                elif not event.run_here:
                    await self._tool_ended(event.item)
                # An interruption takes the words away that were to come, and with them the thought
                # that led to them; what has run has run.
                await self._keep(self._message(event), interruptible=event.leads_to == TEXT)
            case CompleteCall():
                await self._on_call(event)
            case AttemptUsage():
                await speaker.start_llm_usage_metrics(token_usage(event.usage))
            case UnreadableReasoning():
                self.unreadable |= event.ids
            case TurnDone():
                await self._finish(event)
            case _:
                assert_never(event)

    async def keep_wording(self, messages: Sequence[PutOut]) -> None:
        """Keeps of messages what the text that Pipecat writes of them has no room for.

        Args:
            messages: The messages of the turn, as far as they were put out.
        """
        wire = wording_wire(messages)
        if wire is not None:
            await self._keep(self._speaker.create_llm_specific_message(wire), interruptible=False)

    async def keep_stored(self, mark: Mapping[str, Any] | None) -> None:
        """Keeps which response has answered, where the server has stored it.

        Args:
            mark: What the context is to keep of it, if anything.
        """
        if mark is not None:
            await self._keep(self._speaker.create_llm_specific_message(mark), interruptible=False)

    async def _keep(self, message: LLMSpecificMessage, *, interruptible: bool) -> None:
        frame = LLMMessagesAppendFrame([message])
        # Behind a voice it waits until all before it has been said.
        frame.interruptible = interruptible
        await self._speaker.push_frame(frame)

    async def close(self) -> None:
        """Ends a thought and tools that are under way."""
        while self._tools:
            kind, item_id = self._tools.pop()
            await self._speaker.push_frame(HostedToolEndedFrame(kind, item_id))
        await self._end_thought()

    async def _end_thought(self) -> None:
        if self._thinking:
            self._thinking = False
            await self._speaker.push_frame(LLMThoughtEndFrame())

    async def _tool_started(self, kind: str, item_id: str) -> None:
        self._tools.append((kind, item_id))
        await self._speaker.push_frame(HostedToolStartedFrame(kind, item_id))

    async def _tool_ended(self, item: Mapping[str, Any]) -> None:
        kind, item_id = str(item.get("type")), str(item.get("id") or "")
        if not is_hosted(kind):
            return
        if (kind, item_id) not in self._tools:
            await self._tool_started(kind, item_id)
        self._tools.remove((kind, item_id))
        query = query_of(item)
        await self._speaker.push_frame(HostedToolEndedFrame(kind, item_id, query, item))
        result = item.get("result")
        if kind == "image_generation_call" and isinstance(result, str):
            # Megabytes are unpacked, which would hold up the loop.
            image = await asyncio.to_thread(image_frame, result)
            if image is None:
                logger.warning("{}: the image that was generated cannot be read", self._speaker)
            else:
                await self._speaker.push_frame(image)

    async def _pause(self) -> None:
        """More text may come late: a voice says what it has."""
        if self._speaking and self._pauses:
            await self._speaker._push_llm_text(PAUSE)
        self._speaking = False

    async def _first_output(self) -> None:
        self._waiting = False
        await self._speaker.stop_ttfb_metrics()

    async def _think(self, text: str) -> None:
        if self._waiting:
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

    def _message(self, output: OutputItem) -> LLMSpecificMessage:
        wire = output.item
        if wire.get("type") != "reasoning":
            mark = {RUN_HERE: True} if output.run_here else {}
            return self._speaker.create_llm_specific_message({**wire, **mark})
        message = {
            "type": "reasoning",
            "id": wire.get("id"),
            "summary": wire.get("summary") or [],
            "encrypted_content": wire.get("encrypted_content"),
        }
        if output.leads_to is not None:
            message[LEADS_TO] = output.leads_to
        return self._speaker.create_llm_specific_message(message)
