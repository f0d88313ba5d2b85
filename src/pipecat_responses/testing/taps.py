"""Processors that change nothing: they count what passes, and tell who waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pipecat.frames.frames import (
    ControlFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TextFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.utils.string import TextPartForConcatenation, concatenate_aggregated_text

PATIENCE = 20.0
"""Seconds to wait for something before it is taken for lost."""


@dataclass
class Mark(ControlFrame):
    """Travels behind everything else, to tell that everything else has arrived.

    Attributes:
        goal: The tap at which it is waited for.
        arrived: Set when it gets there.
    """

    goal: Tap | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


class Tap(FrameProcessor):
    """Sees every frame that passes one place of a pipeline.

    Attributes:
        frames: Frames that went downstream (away from the user's aggregator), if recorded.
        upstream: Frames that went upstream, if recorded.
        text_frames: Frames with text so far.
        starts: Responses begun so far.
        ends: Responses ended so far.
        contexts: Contexts that were to be answered, so far.
        interruptions: Interruptions so far.
        errors: Errors so far.
        asked_at: When the latest context came by (``time.monotonic()``), or 0.
        first_text_at: When the first text since ``expect`` came by, or 0.
        on_text: Called with every text instead of keeping it, if set.
    """

    def __init__(
        self, name: str, *, kind: type[TextFrame] = LLMTextFrame, record: bool = True
    ) -> None:
        """Makes a tap.

        Args:
            name: Its name in logs.
            kind: The frames that count as text here.
            record: Whether to keep all frames, or only to count.
        """
        # In direct mode a processor has no queue and no task: a tap costs next to nothing.
        super().__init__(name=name, enable_direct_mode=True)
        self._kind = kind
        self._record = record
        self._changed = asyncio.Event()
        self.on_text: Callable[[str], None] | None = None
        self.forget()

    @property
    def text(self) -> str:
        """Text since ``expect`` was last called."""
        return self._text

    def forget(self) -> None:
        """Starts all counts and records afresh."""
        self.frames: list[Frame] = []
        self.upstream: list[Frame] = []
        self.errors: list[ErrorFrame] = []
        self._text = ""
        self.text_frames = self.starts = self.ends = self.contexts = self.interruptions = 0
        self.asked_at = self.first_text_at = 0.0

    def expect(self) -> None:
        """A new turn begins."""
        self.first_text_at = 0.0
        self._text = ""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Notes a frame and passes it on.

        Args:
            frame: The frame.
            direction: Where it is going.
        """
        await super().process_frame(frame, direction)
        if isinstance(frame, self._kind):
            self.text_frames += 1
            if not self.first_text_at:
                self.first_text_at = time.monotonic()
            if self.on_text is None:
                self._hear(frame)
                self._changed.set()
            else:
                self.on_text(frame.text)
        else:
            self._count(frame)
        if self._record:
            down = direction is FrameDirection.DOWNSTREAM
            (self.frames if down else self.upstream).append(frame)
            self._changed.set()
        await self.push_frame(frame, direction)

    async def until(self, condition: Callable[[], bool], within: float = PATIENCE) -> None:
        """Waits until something is so; looks again after each frame that is of interest.

        Args:
            condition: What is waited for. A tap that does not record looks again only after
                text, ends, interruptions and errors.
            within: Seconds to wait at most.

        Raises:
            TimeoutError: If it does not become so in time.
        """
        async with asyncio.timeout(within):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def _hear(self, frame: TextFrame) -> None:
        """Keeps a text."""
        self._text += frame.text

    def _count(self, frame: Frame) -> None:
        """Counts a frame that is not text."""
        if isinstance(frame, LLMContextFrame):
            self.contexts += 1
            self.asked_at = time.monotonic()
        elif isinstance(frame, LLMFullResponseStartFrame):
            self.starts += 1
        elif isinstance(frame, LLMFullResponseEndFrame):
            self.ends += 1
            self._changed.set()
        elif isinstance(frame, InterruptionFrame):
            self.interruptions += 1
            self._changed.set()
        elif isinstance(frame, ErrorFrame):
            self.errors.append(frame)
            self._changed.set()
        elif isinstance(frame, Mark) and frame.goal is self:
            frame.arrived.set()


class Ear(Tap):
    """Sees what is spoken, where the user hears it."""

    def __init__(self, name: str, *, record: bool = True) -> None:
        """Makes a tap for spoken text.

        Args:
            name: Its name in logs.
            record: Whether to keep all frames, or only to count.
        """
        self._parts: list[TextPartForConcatenation] = []
        super().__init__(name, kind=TTSTextFrame, record=record)

    @property
    def text(self) -> str:
        """Text since ``expect``, with the spaces that Pipecat puts between its parts."""
        return concatenate_aggregated_text(self._parts)

    def forget(self) -> None:
        """Starts all counts and records afresh."""
        super().forget()
        self._parts.clear()

    def expect(self) -> None:
        """A new turn begins."""
        super().expect()
        self._parts.clear()

    def _hear(self, frame: TextFrame) -> None:
        self._parts.append(
            TextPartForConcatenation(
                frame.text, includes_inter_part_spaces=frame.includes_inter_frame_spaces
            )
        )
