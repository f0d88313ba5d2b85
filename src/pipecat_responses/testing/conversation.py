"""A conversation through a real pipeline: aggregators, the service, and a voice if you like."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Self

from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMMessagesAppendFrame,
    LLMTextFrame,
    MetricsFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.tts_service import TTSService
from pipecat.turns.user_stop import ExternalUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from pipecat_responses.llm import OpenAIResponsesLLMService
from pipecat_responses.service.turn_reports import TurnMetricsData
from pipecat_responses.testing.history import plain
from pipecat_responses.testing.speaker import SAMPLE_RATE, AudioClock, Speaker
from pipecat_responses.testing.taps import PATIENCE, Ear, Mark, Tap
from pipecat_responses.testing.voice import Voice, VoiceKind


class Conversation:
    """A running pipeline around a service. Use it as an async context manager.

    Example::

        async with Sandbox() as sandbox:
            sandbox.script("It is sunny in Paris today.")
            llm = OpenAIResponsesLLMService(api_key="any", base_url=sandbox.base_url)
            async with Conversation(llm, tts="sentence") as talk:
                assert await talk.say("How is the weather?") == "It is sunny in Paris today."
                assert talk.history == [
                    ("user", "How is the weather?"),
                    ("assistant", "It is sunny in Paris today."),
                ]

    With ``paced=True`` the bot's speech waits to be played, so a test says what the user has
    heard::

        async with Conversation(llm, tts="word", paced=True) as talk:
            await talk.start("Tell me a long story.")
            await talk.play(2.5)
            await talk.interrupt()

    Attributes:
        llm: The service.
        context: The conversation's context.
        worker: The pipeline's worker, to queue frames.
        pair: The two aggregators, or None.
        voice: The text-to-speech service, or None.
        before: A tap in front of the service. Its errors come by here.
        said: A tap behind the service.
        spoken: A tap behind the voice. Without a voice, it is ``said``.
        played: A tap behind the output, where the user hears. Without a voice, it is ``said``.
        last: A tap at the end, behind the assistant's aggregator.
    """

    def __init__(
        self,
        llm: Any,
        context: LLMContext | None = None,
        *,
        tts: VoiceKind | TTSService | None = "sentence",
        paced: bool = False,
        aggregators: bool = True,
        metrics: bool = True,
        tracing: bool = False,
        record: bool = True,
        extra: Sequence[FrameProcessor] = (),
        patience: float = PATIENCE,
    ) -> None:
        """Builds the pipeline.

        Args:
            llm: The service: one of ours, or any of Pipecat's.
            context: The conversation's context, with its tools; a new one by default.
            tts: A voice: the kind of a ``Voice``, a voice of your own, or None, and then
                what the service says goes straight to the context, as in a chat.
            paced: Whether the voice's audio waits for ``play``. Otherwise all of it is
                played at once, and everything that was synthesised counts as heard.
            aggregators: Whether Pipecat's aggregators keep the context, as in an application.
                Without them, contexts are pushed by hand (``push_context``), and the
                pipeline costs as little as a pipeline can.
            metrics: Whether metrics are on.
            tracing: Whether Pipecat's tracing is on: spans for conversation, turns and services.
            record: Whether taps keep the frames they see, or only count them.
            extra: Processors to put behind the service, in front of the voice.
            patience: Seconds to wait for anything before ``TimeoutError`` is raised.
        """
        self.llm = llm
        self.context = context if context is not None else LLMContext()
        self.patience = patience
        self.before = Tap("before", record=record)
        self.said = Tap("said", record=record)
        self.spoken = self.played = self.last = self.said
        self.voice: TTSService | None = None
        self._speaker: Speaker | None = None
        self._paced = paced
        clock = AudioClock() if tts is not None else None
        inner = [self.before, llm, self.said, *extra]
        if clock is not None and tts is not None:
            inner += self._speech(tts, Speaker(clock, paced=paced), record)
        self.pair = _pair(self.context) if aggregators else None
        if self.pair is not None:
            self.last = Tap("last", record=record)
            inner = [self.pair.user(), *inner, self.pair.assistant(), self.last]
        self.worker = _worker(inner, clock, metrics, tracing)
        self._runner = WorkerRunner(handle_sigint=False)
        self._running: asyncio.Task[None] | None = None

    def _speech(
        self, tts: VoiceKind | TTSService, speaker: Speaker, record: bool
    ) -> list[FrameProcessor]:
        """What stands between the service and the assistant's aggregator."""
        self.voice = tts if isinstance(tts, TTSService) else Voice(tts)
        self._speaker = speaker
        self.spoken = Ear("spoken", record=record)
        self.played = self.last = Ear("played", record=record)
        return [self.voice, self.spoken, speaker, self.played]

    async def __aenter__(self) -> Self:
        """Starts the pipeline and waits until it runs.

        Raises:
            TimeoutError: If it does not start in time; it is given up then.
        """
        await self._runner.add_workers(self.worker)
        self._running = asyncio.create_task(self._runner.run())
        try:
            await self._pass(self.last)
        except BaseException:
            # Nobody else would end it, and an event loop that closes cancels only once: too
            # little for a pipeline, so the loop would wait for it for ever.
            await self.drop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends the pipeline."""
        await self.end()

    async def end(self) -> None:
        """Ends the pipeline and waits for it. What has not been played yet is played first.

        Raises:
            TimeoutError: If it does not end in time; it is given up then.
        """
        running, self._running = self._running, None
        if running is not None:
            await self.worker.queue_frame(EndFrame())
            await self._finish(running)

    async def cancel(self) -> None:
        """Cancels the pipeline and waits for it.

        Raises:
            TimeoutError: If it does not end in time; it is given up then.
        """
        running, self._running = self._running, None
        if running is not None:
            await self.worker.cancel()
            await self._finish(running)

    async def drop(self) -> None:
        """Gives the pipeline up, whatever state it is in."""
        running, self._running = self._running, None
        if running is None:
            return
        while not running.done():
            # The pipeline takes the first one for a request, and waits for its frames.
            for task in asyncio.all_tasks():
                if task is running or task.get_name().startswith(self.worker.name):
                    task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(running, return_exceptions=True)

    async def _finish(self, running: asyncio.Task[None]) -> None:
        await asyncio.wait({running}, timeout=self.patience)
        if not running.done():
            self._running = running
            await self.drop()
            raise TimeoutError("The pipeline did not end")
        await running

    async def ready(self) -> Self:
        """Waits until the service has its connection, if it is one that keeps one.

        Pipecat's own services connect before their pipeline runs, and need no waiting.
        """
        llm = self.llm
        if isinstance(llm, OpenAIResponsesLLMService) and not llm.stats.connections_opened:
            connected = asyncio.Event()
            llm.add_event_handler("on_connected", lambda *_: connected.set())
            async with asyncio.timeout(self.patience):
                await connected.wait()
        return self

    # -- doing ------------------------------------------------------------------------------------

    async def say(self, text: str, *, ends: int = 1) -> str:
        """Lets the user say something, and waits for the answer to be heard to its end.

        Args:
            text: What the user says.
            ends: How many responses it takes to answer: more than one with tools.

        Returns:
            What was heard: what the service said, or with a voice, what the voice said of it.
        """
        return await self._heard(self.start(text), ends)

    async def answer(self, context: LLMContext | None = None, *, ends: int = 1) -> str:
        """Asks for an answer to a context as it is, and waits for it to be heard to its end.

        Args:
            context: The context; the conversation's by default.
            ends: How many responses it takes to answer: more than one with tools.

        Returns:
            What was heard.
        """
        return await self._heard(self.push_context(context), ends)

    async def start(self, text: str) -> None:
        """Lets the user say something, and does not wait for the answer.

        Args:
            text: What the user says.
        """
        self._expect()
        await self.worker.queue_frame(
            LLMMessagesAppendFrame([{"role": "user", "content": text}], run_llm=True)
        )

    async def push_context(self, context: LLMContext | None = None, **kwargs: Any) -> None:
        """Asks for an answer to a context as it is, and does not wait for it.

        Args:
            context: The context; the conversation's by default.
            **kwargs: More for the ``LLMContextFrame``.
        """
        self._expect()
        await self.worker.queue_frame(LLMContextFrame(context or self.context, **kwargs))

    async def interrupt(self) -> None:
        """Interrupts, as a user who begins to speak does; the context says then what was heard."""
        wanted = self.last.interruptions + 1
        await self.worker.queue_frame(InterruptionFrame())
        await self.last.until(lambda: self.last.interruptions >= wanted, self.patience)

    async def text_arrives(self, count: int = 1) -> None:
        """Waits until the service has said more.

        Args:
            count: How many more text frames to wait for.
        """
        wanted = self.said.text_frames + count
        await self.said.until(lambda: self.said.text_frames >= wanted, self.patience)

    async def answer_ends(self, count: int = 1) -> None:
        """Waits until the service has ended more responses.

        Args:
            count: How many more to wait for.
        """
        wanted = self.said.ends + count
        await self.said.until(lambda: self.said.ends >= wanted, self.patience)

    async def settle(self) -> None:
        """Waits until everything that is in the pipeline now has passed through it.

        In a paced conversation: until it has been spoken, and waits to be played.
        """
        await self._pass(self.spoken if self._paced else self.last)

    async def play(self, seconds: float) -> float:
        """Plays some of what the bot says; waits for it if the bot has not said it yet.

        Args:
            seconds: Seconds of audio, to 20 ms. Audio time is all that counts: between two
                calls no time passes for the user.

        Returns:
            Seconds that were played: less than asked for where the bot had no more to say.

        Raises:
            RuntimeError: If the conversation is not a paced one.
        """
        speaker, clock = self._pacer()
        began = clock.now
        speaker.allow(seconds)
        waiting = [asyncio.create_task(each) for each in (speaker.held(), self._pass(self.last))]
        try:
            async with asyncio.timeout(self.patience):
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        speaker.allow(0)
        # From the output on: what was played reaches the context.
        mark = Mark(goal=self.last)
        await speaker.push_frame(mark)
        await self._arrives(mark)
        return (clock.now - began) / 1e9

    async def play_all(self) -> None:
        """Plays everything the bot says until it has answered, and waits for that.

        In a conversation that is not paced, everything is played without being asked for.
        """
        if self._speaker is not None:
            self._speaker.allow(float("inf"))
        await self._pass(self.last)
        if self._speaker is not None and self._paced:
            self._speaker.allow(0)

    # -- seeing -----------------------------------------------------------------------------------

    @property
    def texts(self) -> list[str]:
        """Texts the service has said so far, frame by frame."""
        return [f.text for f in self.said.frames if isinstance(f, LLMTextFrame)]

    @property
    def starts(self) -> int:
        """Responses the service has begun so far."""
        return self.said.starts

    @property
    def ends(self) -> int:
        """Responses the service has ended so far."""
        return self.said.ends

    @property
    def errors(self) -> list[ErrorFrame]:
        """Errors reported so far, by the service and everything behind it."""
        return list(self.before.errors)

    @property
    def metrics(self) -> list[Any]:
        """Metrics data of the service so far."""
        return [d for f in self.said.frames if isinstance(f, MetricsFrame) for d in f.data]

    @property
    def reports(self) -> list[TurnMetricsData]:
        """What became of each turn so far, as metrics tell it; of this package's services only."""
        return [each for each in self.metrics if isinstance(each, TurnMetricsData)]

    @property
    def history(self) -> list[tuple[Any, ...]]:
        """The context in plain form, one tuple a message.

        ``("user", text)``, ``("assistant", text)``, ``("call", name, arguments)``,
        ``("result", name, value)``; see ``plain``.
        """
        return plain(self.context)

    # -- waiting ----------------------------------------------------------------------------------

    def _expect(self) -> None:
        for tap in {self.said, self.spoken, self.played}:
            tap.expect()

    def _pacer(self) -> tuple[Speaker, AudioClock]:
        if self._speaker is None or not self._paced:
            raise RuntimeError("Only a conversation with a voice and paced=True can be played")
        return self._speaker, self._speaker.clock

    async def _heard(self, asking: Awaitable[None], ends: int) -> str:
        """Asks, and waits until so many responses have ended and were played."""
        wanted = self.said.ends + ends
        if self._speaker is not None:
            self._speaker.allow(float("inf"))
        await asking
        await self.said.until(lambda: self.said.ends >= wanted, self.patience)
        await self.play_all()
        return self.played.text

    async def _pass(self, tap: Tap) -> None:
        """Sends a mark through the pipeline, and waits for it at a tap."""
        mark = Mark(goal=tap)
        await self.worker.queue_frame(mark)
        await self._arrives(mark)

    async def _arrives(self, mark: Mark) -> None:
        async with asyncio.timeout(self.patience):
            await mark.arrived.wait()


def _pair(context: LLMContext) -> LLMContextAggregatorPair:
    # Nobody is heard here, so the model that listens for the end of a turn need not be loaded.
    strategies = UserTurnStrategies(stop=[ExternalUserTurnStopStrategy()])
    return LLMContextAggregatorPair(
        context, user_params=LLMUserAggregatorParams(user_turn_strategies=strategies)
    )


def _worker(
    inner: list[FrameProcessor], clock: AudioClock | None, metrics: bool, tracing: bool
) -> PipelineWorker:
    """A pipeline that does nothing of its own accord."""
    return PipelineWorker(
        Pipeline(inner),
        params=PipelineParams(
            audio_out_sample_rate=SAMPLE_RATE,
            enable_metrics=metrics,
            enable_usage_metrics=metrics,
        ),
        clock=clock,
        cancel_on_idle_timeout=False,
        idle_timeout_secs=None,
        enable_rtvi=False,
        enable_turn_tracking=tracing,
        enable_tracing=tracing,
    )
