"""A conversation through a real pipeline: both aggregators, the service between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

from pipecat.frames.frames import (
    ControlFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMMessagesAppendFrame,
    LLMTextFrame,
    MetricsFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

PATIENCE = 20.0


class Mark(ControlFrame):
    """Travels behind everything else, to tell that everything else has arrived."""


class Tap(FrameProcessor):
    """Keeps what passes, and tells who waits for it."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.frames: list[Frame] = []
        self.upstream: list[Frame] = []
        self._changed = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        kept = self.frames if direction is FrameDirection.DOWNSTREAM else self.upstream
        kept.append(frame)
        self._changed.set()
        await self.push_frame(frame, direction)

    async def until(self, condition: Callable[[], bool], within: float = PATIENCE) -> None:
        async with asyncio.timeout(within):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Conversation:
    """A pipeline around a service; use as an async context manager.

    Attributes:
        context: The conversation's context.
        llm: The service.
        heard: A tap behind the service (frames that go to the user).
        before: A tap in front of it (errors go there, upstream).
    """

    def __init__(
        self,
        llm: Any,
        context: LLMContext | None = None,
        *,
        metrics: bool = True,
        extra: list[FrameProcessor] | None = None,
    ) -> None:
        self.llm = llm
        self.context = context if context is not None else LLMContext()
        self.pair = LLMContextAggregatorPair(self.context)
        self.before = Tap("before")
        self.heard = Tap("heard")
        self.last = Tap("last")
        self.worker = PipelineWorker(
            Pipeline(
                [
                    self.pair.user(),
                    self.before,
                    llm,
                    self.heard,
                    *(extra or []),
                    self.pair.assistant(),
                    self.last,
                ]
            ),
            params=PipelineParams(enable_metrics=metrics, enable_usage_metrics=metrics),
            cancel_on_idle_timeout=False,
            enable_rtvi=False,
        )
        self._runner = WorkerRunner(handle_sigint=False)
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._runner.add_workers(self.worker)
        self._running = asyncio.create_task(self._runner.run())
        await self.settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def end(self) -> None:
        """Ends the pipeline and waits for it."""
        running, self._running = self._running, None
        if running is not None:
            await self.worker.queue_frame(EndFrame())
            async with asyncio.timeout(PATIENCE):
                await running

    async def cancel(self) -> None:
        """Cancels the pipeline and waits for it."""
        running, self._running = self._running, None
        if running is not None:
            await self.worker.cancel()
            async with asyncio.timeout(PATIENCE):
                await running

    # -- doing ----------------------------------------------------------------------------------

    async def say(self, text: str, *, ends: int = 1) -> str:
        """Says something and waits for the answer.

        Args:
            text: What the user says.
            ends: How many responses it takes to answer (more than one with tools).

        Returns:
            The text that was heard.
        """
        before = self.ends
        start = len(self.heard.frames)
        await self.start(text)
        await self.heard.until(lambda: self.ends >= before + ends)
        await self.settle()
        return "".join(f.text for f in self.heard.frames[start:] if isinstance(f, LLMTextFrame))

    async def start(self, text: str) -> None:
        """Says something and does not wait for the answer."""
        await self.worker.queue_frame(
            LLMMessagesAppendFrame([{"role": "user", "content": text}], run_llm=True)
        )

    async def push_context(self, context: LLMContext | None = None, **kwargs: Any) -> None:
        """Asks for an answer to a context as it is."""
        await self.worker.queue_frame(LLMContextFrame(context or self.context, **kwargs))

    async def interrupt(self) -> None:
        """Interrupts, as a user who begins to speak does."""
        seen = sum(isinstance(f, InterruptionFrame) for f in self.last.frames)
        await self.worker.queue_frame(InterruptionFrame())
        await self.last.until(
            lambda: sum(isinstance(f, InterruptionFrame) for f in self.last.frames) > seen
        )

    async def text_arrives(self, count: int = 1) -> None:
        """Waits until so many more text frames have been heard."""
        before = len(self.texts)
        await self.heard.until(lambda: len(self.texts) >= before + count)

    async def answer_ends(self, count: int = 1) -> None:
        """Waits for so many more end frames."""
        before = self.ends
        await self.heard.until(lambda: self.ends >= before + count)

    async def settle(self) -> None:
        """Waits until everything that is in the pipeline now has passed through it."""
        mark = Mark()
        await self.worker.queue_frame(mark)
        await self.last.until(lambda: any(f is mark or f.id == mark.id for f in self.last.frames))

    # -- seeing ---------------------------------------------------------------------------------

    @property
    def texts(self) -> list[str]:
        """Texts heard so far, frame by frame."""
        return [f.text for f in self.heard.frames if isinstance(f, LLMTextFrame)]

    @property
    def starts(self) -> int:
        """Start frames heard so far."""
        return sum(isinstance(f, LLMFullResponseStartFrame) for f in self.heard.frames)

    @property
    def ends(self) -> int:
        """End frames heard so far."""
        return sum(isinstance(f, LLMFullResponseEndFrame) for f in self.heard.frames)

    @property
    def errors(self) -> list[ErrorFrame]:
        """Errors reported so far."""
        return [f for f in self.before.upstream if isinstance(f, ErrorFrame)]

    @property
    def metrics(self) -> list[Any]:
        """Metrics data heard so far."""
        return [d for f in self.heard.frames if isinstance(f, MetricsFrame) for d in f.data]
