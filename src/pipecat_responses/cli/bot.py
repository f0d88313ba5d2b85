"""The bot: a pipeline of the user's aggregator, the service and the bot's aggregator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipecat.frames.frames import (
    ControlFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMMessagesAppendFrame,
    LLMTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from pipecat_responses.cli.target import Service
from pipecat_responses.cli.tools import TOOLS
from pipecat_responses.llm import OpenAIResponsesLLMService
from pipecat_responses.session.stats import TurnReport

CONNECT_TIMEOUT = 10.0
"""Seconds to wait for the first connection."""


CLOSE_TIMEOUT = 5.0
"""Seconds to wait for the pipeline to end."""


class Audience(Protocol):
    """Who sees what the bot does."""

    def bot(self, text: str) -> None:
        """The next words of the bot."""

    def tool(self, name: str, arguments: Mapping[str, Any], result: Any) -> None:
        """What a tool did."""


@dataclass
class Turn:
    """What became of a turn.

    Attributes:
        asked: When the user had spoken.
        first_text: Seconds until the first word, or None without any.
        interrupted: Whether the user interrupted.
        errors: What went wrong.
        requests: Requests it took.
        resumed: Times the answer broke off and was taken up again.
        report: How the last request went out.
    """

    asked: float
    first_text: float | None = None
    interrupted: bool = False
    errors: list[ErrorFrame] = field(default_factory=list)
    requests: int = 0
    resumed: int = 0
    report: TurnReport | None = None


@dataclass
class _Mark(ControlFrame):
    """Travels behind everything else, to tell that everything else has arrived."""

    interruptible: bool = field(default=False, init=False)


class Bot:
    """A bot in a running pipeline. Call ``start`` first and ``close`` last."""

    def __init__(self, llm: Service, audience: Audience) -> None:
        """Builds the pipeline.

        Args:
            llm: The service.
            audience: Who sees what the bot does.
        """
        self._llm = llm
        self._errors: list[ErrorFrame] = []
        self._turn: Turn | None = None
        self._over = asyncio.Event()
        self._mouth = _Mouth(self, audience)
        self._door = _Door()
        pair = LLMContextAggregatorPair(
            LLMContext(tools=TOOLS),
            # Nobody speaks into a terminal, so there is no speech to be analysed.
            user_params=LLMUserAggregatorParams(user_turn_strategies=ExternalUserTurnStrategies()),
        )
        ears = _Ears(self._errors)
        self._worker = PipelineWorker(
            Pipeline([pair.user(), ears, llm, self._mouth, pair.assistant(), self._door]),
            cancel_on_idle_timeout=False,
            enable_rtvi=False,
        )
        self._runner = WorkerRunner(handle_sigint=False)
        self._running: asyncio.Task[None] | None = None

    @property
    def talking(self) -> bool:
        """Whether a turn is under way that was not interrupted."""
        return self._turn is not None and not self._turn.interrupted

    async def start(self) -> str | None:
        """Starts the pipeline, and waits for the connection if there is to be one.

        Returns:
            Why the first connection could not be opened, or None.
        """
        outcome: asyncio.Future[str | None] | None = None
        if isinstance(self._llm, OpenAIResponsesLLMService):
            outcome = _first_connection(self._llm)
        await self._runner.add_workers(self._worker)
        self._running = asyncio.create_task(self._runner.run())
        problem = None
        if outcome is not None:
            try:
                problem = await asyncio.wait_for(outcome, CONNECT_TIMEOUT)
            except TimeoutError:
                problem = f"no answer within {CONNECT_TIMEOUT:g} s"
        await self._settle()
        return problem

    def take_errors(self) -> list[ErrorFrame]:
        """The errors since last asked."""
        errors = list(self._errors)
        self._errors.clear()
        return errors

    async def say(self, text: str) -> Turn:
        """Says something to the bot and waits until it has answered.

        Args:
            text: What the user says.
        """
        stats = self._llm.stats
        requests, resumed = stats.requests, stats.resumed
        self._over.clear()
        turn = self._turn = Turn(asked=time.perf_counter())
        await self._worker.queue_frame(
            LLMMessagesAppendFrame([{"role": "user", "content": text}], run_llm=True)
        )
        try:
            await self._unless_ended(self._over.wait())
            await self._settle()
        finally:
            self._turn = None
        turn.errors = self.take_errors()
        turn.requests = stats.requests - requests
        turn.resumed = stats.resumed - resumed
        turn.report = stats.last_turn if turn.requests else None
        return turn

    async def interrupt(self) -> None:
        """Interrupts the bot, as a user does who begins to speak."""
        if self._turn is not None and not self._turn.interrupted:
            self._turn.interrupted = True
            await self._worker.queue_frame(InterruptionFrame())
            await self._unless_ended(self._door.interrupted.wait())
            self._door.interrupted.clear()
            self._over.set()

    async def close(self) -> None:
        """Ends the pipeline."""
        running, self._running = self._running, None
        if running is None:
            return
        if self._turn is None:
            await self._worker.queue_frame(EndFrame())
        else:
            await self._worker.cancel()
        _, still = await asyncio.wait({running}, timeout=CLOSE_TIMEOUT)
        if still:
            await self._worker.cancel()
            await asyncio.wait({running}, timeout=CLOSE_TIMEOUT)

    # -- what the processors see ------------------------------------------------------------------

    def heard_text(self) -> None:
        """The bot has said something."""
        turn = self._turn
        if turn is not None and turn.first_text is None:
            turn.first_text = time.perf_counter() - turn.asked

    def response_over(self) -> None:
        """The bot has said everything, and no tool is running."""
        self._over.set()

    async def _settle(self) -> None:
        """Waits until everything that is in the pipeline now has passed through it."""
        mark = _Mark()
        arrived = self._door.expect(mark)
        await self._worker.queue_frame(mark)
        await self._unless_ended(arrived.wait())

    async def _unless_ended(self, waiting: Any) -> None:
        """Waits, but no longer than the pipeline runs."""
        task = asyncio.ensure_future(waiting)
        others = {self._running} if self._running is not None else set()
        try:
            await asyncio.wait({task, *others}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()


def _first_connection(llm: OpenAIResponsesLLMService) -> asyncio.Future[str | None]:
    """What becomes of the first attempt to connect: None, or why it failed.

    Where no WebSocket comes through, it is for the first turn to find out about HTTP.
    """
    outcome: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    async def connected(*_: object) -> None:
        if not outcome.done():
            outcome.set_result(None)

    async def failed(_: object, error: str) -> None:
        if not outcome.done():
            outcome.set_result(error)

    llm.add_event_handler("on_connected", connected)
    llm.add_event_handler("on_transport_changed", connected)
    llm.add_event_handler("on_connection_error", failed)
    return outcome


class _Ears(FrameProcessor):
    """Stands in front of the service, where its errors come by."""

    def __init__(self, errors: list[ErrorFrame]) -> None:
        super().__init__()
        self._errors = errors

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, ErrorFrame):
            self._errors.append(frame)
        else:
            await self.push_frame(frame, direction)


class _Mouth(FrameProcessor):
    """Stands behind the service, where a voice would be."""

    def __init__(self, bot: Bot, audience: Audience) -> None:
        super().__init__()
        self._bot = bot
        self._audience = audience
        self._calling = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        down = direction is FrameDirection.DOWNSTREAM
        if isinstance(frame, LLMTextFrame):
            self._bot.heard_text()
            self._audience.bot(frame.text)
        elif isinstance(frame, LLMFullResponseStartFrame):
            self._calling = False
        elif isinstance(frame, FunctionCallsStartedFrame):
            self._calling = True
        elif isinstance(frame, FunctionCallResultFrame) and down:
            self._audience.tool(frame.function_name, frame.arguments or {}, frame.result)
        # After calls the answer is still to come: another response follows their results.
        over = isinstance(frame, LLMFullResponseEndFrame) and not self._calling
        await self.push_frame(frame, direction)
        if over:
            self._bot.response_over()


class _Door(FrameProcessor):
    """Stands at the end, where what has passed everything arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.interrupted = asyncio.Event()
        self._expected: dict[int, asyncio.Event] = {}

    def expect(self, mark: _Mark) -> asyncio.Event:
        """An event that is set when a mark arrives."""
        return self._expected.setdefault(mark.id, asyncio.Event())

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self.interrupted.set()
        elif isinstance(frame, _Mark) and frame.id in self._expected:
            self._expected.pop(frame.id).set()
        await self.push_frame(frame, direction)
