"""A bot for many calls: offline with text and a silent voice, and online by keys.

Install:  pip install 'pipecat-responses[example]' opentelemetry-exporter-prometheus
Offline:  pipecat-responses serve --time-to-first-token 0.3     (in another terminal)
          export OPENAI_BASE_URL=http://127.0.0.1:8765/v1 OPENAI_API_KEY=sk-any
          python examples/deploy/bot.py -t websocket
          python examples/deploy/callers.py --calls 10
Online:   set OPENAI_API_KEY, DEEPGRAM_API_KEY and CARTESIA_API_KEY, and leave OPENAI_BASE_URL out

Pipecat's runner calls ``bot`` for each caller, here as on Pipecat Cloud; worker.py is what a
process of one's own needs besides.
"""

import os
import sys

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.serializers.protobuf import ProtobufFrameSerializer
from pipecat.transports.base_transport import BaseTransport, TransportParams
from pipecat.turns.user_start import TranscriptionUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from pipecat_responses import OpenAIResponsesLLMService

try:
    from pipecat.runner.types import RunnerArguments
    from pipecat.runner.utils import create_transport
    from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams
    from worker import CALLS, serve  # type: ignore[import-not-found]  # beside this file
except ImportError as error:
    sys.exit(
        f"{error}. Install what the bot needs: "
        "pip install 'pipecat-responses[example]' opentelemetry-exporter-prometheus"
    )

TRANSPORTS = {
    "websocket": lambda: FastAPIWebsocketParams(
        audio_in_enabled=True, audio_out_enabled=True, serializer=ProtobufFrameSerializer()
    ),
    "webrtc": lambda: TransportParams(audio_in_enabled=True, audio_out_enabled=True),
}


def ears_and_mouth() -> tuple[list[FrameProcessor], FrameProcessor, LLMUserAggregatorParams]:
    """What listens, what speaks, and how the end of what the caller says is told."""
    if "DEEPGRAM_API_KEY" in os.environ:
        from pipecat.services.cartesia.tts import CartesiaTTSService
        from pipecat.services.deepgram.stt import DeepgramSTTService

        return (
            [DeepgramSTTService(api_key=os.environ["DEEPGRAM_API_KEY"])],
            CartesiaTTSService(
                api_key=os.environ["CARTESIA_API_KEY"],
                settings=CartesiaTTSService.Settings(voice="71a7ad14-091c-4e8e-a314-022ece01c121"),
            ),
            LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer()),
        )
    from pipecat_responses.testing import Voice

    # The callers of callers.py send what was said as text.
    as_text = UserTurnStrategies(
        start=[TranscriptionUserTurnStartStrategy()],
        stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.1)],
    )
    return [], Voice(), LLMUserAggregatorParams(user_turn_strategies=as_text)


def language_model() -> OpenAIResponsesLLMService:
    """What thinks."""
    return OpenAIResponsesLLMService(
        settings=OpenAIResponsesLLMService.Settings(
            model=os.environ.get("MODEL", "gpt-4.1"),
            system_instruction="You are on the phone: keep it short, without lists or markup.",
        ),
        # The sandbox of compose.yaml is another host, on a network of its own.
        allow_insecure_transport="ALLOW_INSECURE_TRANSPORT" in os.environ,
    )


async def run_bot(transport: BaseTransport, runner_args: RunnerArguments) -> None:
    """Holds a call, until the caller hangs up."""
    listening, voice, params = ears_and_mouth()
    llm = language_model()
    aggregators = LLMContextAggregatorPair(LLMContext(), user_params=params)
    worker = PipelineWorker(
        Pipeline(
            [
                transport.input(),
                *listening,
                aggregators.user(),
                llm,
                voice,
                transport.output(),
                aggregators.assistant(),
            ]
        ),
        params=PipelineParams(enable_metrics=True, enable_usage_metrics=True),
        idle_timeout_secs=runner_args.pipeline_idle_timeout_secs,
    )

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(transport: BaseTransport, client: object) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=runner_args.handle_sigint)
    await runner.add_workers(worker)
    await runner.run()


async def bot(runner_args: RunnerArguments) -> None:
    """Is called by the runner for each caller."""
    with CALLS.one():
        transport = await create_transport(runner_args, TRANSPORTS)
        await run_bot(transport, runner_args)


if __name__ == "__main__":
    # Imported and loaded before anybody calls, or the first callers would wait for it.
    try:
        ears_and_mouth()
        language_model()
    except KeyError as missing:
        sys.exit(f"Set {missing.args[0]}, or leave DEEPGRAM_API_KEY out.")
    except ValueError as error:
        sys.exit(str(error))
    serve()
