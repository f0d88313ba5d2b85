"""The bot of one call: what it hears with, thinks with and speaks with, in a pipeline."""

import asyncio
import contextlib
from dataclasses import dataclass

from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import ErrorFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frameworks.rtvi import RTVIObserverParams
from pipecat.processors.frameworks.rtvi.observer import RTVIFunctionCallReportLevel
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat.turns.user_turn_strategies import (
    UserTurnStrategies,
    default_user_turn_stop_strategies,
)
from pipecat.workers.runner import WorkerRunner

from examples.voice.services import Make
from pipecat_responses.cli.failures import sentence
from pipecat_responses.cli.target import Target
from pipecat_responses.cli.tools import TOOLS
from pipecat_responses.tools import tools, web_search

SYSTEM = (
    "You are a friendly assistant on the phone. What you say is spoken aloud: keep it short, and "
    "use no lists, markup or emoji. What the caller says comes from a speech recogniser, without "
    "punctuation and with a wrong word now and then."
)

GREETING = "Hello! I can tell the time, and calculate. What would you like to know?"

SILENCE = 120
"""Seconds without a word from either side after which a call ends."""

PATIENCE = 10
"""Seconds to wait for the page before a problem is told."""


@dataclass(frozen=True)
class Parts:
    """What the bot of a call is made of.

    Attributes:
        stt: Makes what it hears with.
        tts: Makes what it speaks with.
        target: The server that thinks for it.
        model: The model there.
    """

    stt: Make
    tts: Make
    target: Target
    model: str

    def sentence(self, error: BaseException | str) -> str:
        """Says what went wrong and what to do."""
        target = self.target
        return sentence(error, where=target.where, model=self.model, has_key=target.has_key)


async def talk(connection: SmallWebRTCConnection, listening: asyncio.Event, parts: Parts) -> None:
    """Talks with a caller until one of the two has gone.

    Args:
        connection: The call. Its offer is to be answered once the bot listens: sound that came
            before would wait in a queue, and all that follows behind it.
        listening: Is set then.
        parts: What to make the bot of.
    """
    transport = SmallWebRTCTransport(
        connection, TransportParams(audio_in_enabled=True, audio_out_enabled=True)
    )
    llm = parts.target.service(parts.model, SYSTEM)
    # Models load in threads, so that nobody else's call stutters.
    vad = await asyncio.to_thread(SileroVADAnalyzer)
    turns = UserTurnStrategies(stop=await asyncio.to_thread(default_user_turn_stop_strategies))
    aggregators = LLMContextAggregatorPair(
        LLMContext(tools=tools(*TOOLS, web_search())),
        user_params=LLMUserAggregatorParams(vad_analyzer=vad, user_turn_strategies=turns),
    )
    worker = PipelineWorker(
        Pipeline(
            [
                transport.input(),
                parts.stt(),
                aggregators.user(),
                llm,
                parts.tts(),
                transport.output(),
                aggregators.assistant(),
            ]
        ),
        params=PipelineParams(enable_metrics=True, enable_usage_metrics=True),
        idle_timeout_secs=SILENCE,
        rtvi_observer_params=RTVIObserverParams(
            function_call_report_level={"*": RTVIFunctionCallReportLevel.FULL},
            tts_raw_text_enabled=True,
            vad_user_speaking_enabled=True,
        ),
    )

    ready = asyncio.Event()

    @worker.event_handler("on_pipeline_started")
    async def on_pipeline_started(*_: object) -> None:
        listening.set()

    @worker.rtvi.event_handler("on_client_ready")
    async def on_client_ready(_: object) -> None:
        ready.set()
        await worker.queue_frame(TTSSpeakFrame(GREETING))

    @worker.event_handler("on_pipeline_error")
    async def on_pipeline_error(_: object, frame: ErrorFrame) -> None:
        # What is said before the page can hear it is lost.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ready.wait(), PATIENCE)
        tell_problem(connection, parts.sentence(frame.exception or frame.error))
        if frame.processor is not None and not frame.processor.is_usable:
            # Nobody listens to a bot that cannot answer any more.
            await worker.cancel()

    @worker.event_handler("on_idle_timeout")
    async def on_idle_timeout(_: object) -> None:
        tell_problem(connection, "Nobody has said a word for two minutes: the bot has hung up.")

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(*_: object) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    try:
        await runner.run()
    finally:
        logger.info("What the call took: {}", llm.stats)


def tell_problem(connection: SmallWebRTCConnection, problem: str) -> None:
    """Shows the caller a sentence."""
    logger.warning("A caller is told: {}", problem)
    connection.send_app_message(
        {"label": "rtvi-ai", "type": "server-message", "data": {"problem": problem}}
    )
