"""A real pipeline around a service, and taps that note when frames pass."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Self

from loguru import logger
from pipecat.frames.frames import (
    ControlFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMMessagesAppendFrame,
    LLMTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from pipecat_responses.llm import OpenAIResponsesLLMService

PATIENCE = 60.0


def quiet() -> None:
    """Turns logging off for everybody: nobody's log is measured."""
    logger.remove()


class Mark(ControlFrame):
    """Travels behind everything else, to tell that everything else has arrived."""


class Tap(FrameProcessor):
    """Notes when what passes, and keeps as little as it can.

    Attributes:
        asked_at: When the latest context frame came by.
        first_text_at: When the first text after that came by.
        texts: Text frames so far.
        words: Text since the latest context frame.
        ends: Responses ended so far.
        errors: Errors so far.
        on_text: Called with every text, if set.
    """

    def __init__(self, name: str) -> None:
        # In direct mode a processor has no queue and no task: a tap costs next to nothing.
        super().__init__(name=name, enable_direct_mode=True)
        self.asked_at = self.first_text_at = 0.0
        self.texts = self.ends = self.interruptions = 0
        self.words = ""
        self.errors: list[str] = []
        self.on_text: Callable[[str], None] | None = None
        self._mark: Frame | None = None
        self._changed = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            self.texts += 1
            if not self.first_text_at:
                self.first_text_at = time.monotonic()
            if self.on_text is None:
                self.words += frame.text
                self._changed.set()
            else:
                self.on_text(frame.text)
        elif isinstance(frame, LLMContextFrame):
            self.asked_at = time.monotonic()
        elif isinstance(frame, LLMFullResponseEndFrame):
            self.ends += 1
            self._changed.set()
        elif isinstance(frame, InterruptionFrame):
            self.interruptions += 1
            self._changed.set()
        elif isinstance(frame, Mark):
            self._mark = frame
            self._changed.set()
        elif isinstance(frame, ErrorFrame):
            self.errors.append(frame.error)
        await self.push_frame(frame, direction)

    def passed(self, mark: Frame) -> bool:
        return self._mark is not None and self._mark.id == mark.id

    def expect(self) -> None:
        """A new turn begins."""
        self.first_text_at = 0.0
        self.words = ""

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Stage:
    """A pipeline: a gate, the service, a tap behind it. Use as an async context manager.

    Attributes:
        context: The conversation.
        gate: The tap in front of the service.
        tap: The tap behind it.
    """

    def __init__(
        self, service: Any, context: LLMContext | None = None, *, aggregators: bool = False
    ) -> None:
        """Prepares a pipeline.

        Args:
            service: What is measured.
            context: The conversation; a new one by default.
            aggregators: Whether Pipecat's aggregators keep the context, as in an application.
                Without them, contexts are pushed by hand and the pipeline costs as little as
                a pipeline can.
        """
        self.service = service
        self.context = context if context is not None else LLMContext()
        self.gate = Tap("gate")
        self.tap = Tap("tap")
        inner: list[FrameProcessor] = [self.gate, service, self.tap]
        self._last = self.tap
        if aggregators:
            pair = LLMContextAggregatorPair(self.context)
            self._last = Tap("last")
            inner = [pair.user(), *inner, pair.assistant(), self._last]
        self.worker = PipelineWorker(
            Pipeline(inner),
            params=PipelineParams(enable_metrics=False, enable_usage_metrics=False),
            cancel_on_idle_timeout=False,
            idle_timeout_secs=None,
            enable_rtvi=False,
            enable_turn_tracking=False,
        )
        self._runner = WorkerRunner(handle_sigint=False)
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._runner.add_workers(self.worker)
        self._running = asyncio.create_task(self._runner.run())
        await self.settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        running, self._running = self._running, None
        if running is not None:
            await self.worker.queue_frame(EndFrame())
            async with asyncio.timeout(PATIENCE):
                await running

    @property
    def connected(self) -> bool:
        """Whether the service has its connection, if it is one that keeps one."""
        if isinstance(self.service, OpenAIResponsesLLMService):
            return self.service.stats.connections_opened > 0
        # Pipecat's connects before its pipeline starts.
        return getattr(self.service, "_websocket", True) is not None

    async def ready(self) -> Self:
        """Waits until the service is connected."""
        async with asyncio.timeout(PATIENCE):
            while not self.connected:  # noqa: ASYNC110 - not every service has an event for it
                await asyncio.sleep(0.005)
        return self

    async def settle(self) -> None:
        """Waits until everything that is in the pipeline now has passed through it."""
        mark = Mark()
        await self.worker.queue_frame(mark)
        await self._last.until(lambda: self._last.passed(mark))

    async def ask(self) -> None:
        """Pushes the context as it is, and does not wait."""
        self.tap.expect()
        await self.worker.queue_frame(LLMContextFrame(self.context))

    async def turn(self) -> str:
        """Pushes the context as it is, and waits for the end of the answer.

        Returns:
            What was said.
        """
        ends = self.tap.ends
        await self.ask()
        await self.tap.until(lambda: self.tap.ends > ends)
        return self.tap.words

    async def say(self, text: str, *, ends: int = 1) -> str:
        """Lets the user say something through the aggregators, and waits for the answer.

        Args:
            text: What the user says.
            ends: Responses that it takes; more than one with tools.

        Returns:
            What was said.
        """
        wanted = self.tap.ends + ends
        await self.begin(text)
        await self.tap.until(lambda: self.tap.ends >= wanted)
        await self.settle()
        return self.tap.words

    async def begin(self, text: str) -> None:
        """Lets the user say something, and does not wait."""
        self.tap.expect()
        await self.worker.queue_frame(
            LLMMessagesAppendFrame([{"role": "user", "content": text}], run_llm=True)
        )

    async def interrupt(self) -> None:
        """Interrupts, as a user who begins to speak does."""
        wanted = self._last.interruptions + 1
        await self.worker.queue_frame(InterruptionFrame())
        await self._last.until(lambda: self._last.interruptions >= wanted)

    def check(self) -> None:
        """Complains about errors: a figure of a turn that failed is none."""
        if self.gate.errors:
            raise RuntimeError(f"{self.service}: {self.gate.errors[0]}")
