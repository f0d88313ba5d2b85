"""A voice bot: Deepgram listens, OpenAI's Responses API thinks, Cartesia speaks.

Install:  pip install '.[example]'         (in a checkout)
Set:      OPENAI_API_KEY, DEEPGRAM_API_KEY, CARTESIA_API_KEY, in the environment or in a file .env
Run:      python examples/voice_bot.py     (then open the address it prints)
"""

import os
import sys
from datetime import datetime

from dotenv import load_dotenv
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import LLMRunFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.services.llm_service import FunctionCallParams
from pipecat.transports.base_transport import BaseTransport, TransportParams
from pipecat.workers.runner import WorkerRunner

from pipecat_responses import OpenAIResponsesLLMService

try:
    from pipecat.runner.types import RunnerArguments
    from pipecat.runner.utils import create_transport
    from pipecat.services.cartesia.tts import CartesiaTTSService
    from pipecat.services.deepgram.stt import DeepgramSTTService
except ImportError as error:
    sys.exit(f"{error}. Install what the bot needs: pip install '.[example]'")

KEYS = ("OPENAI_API_KEY", "DEEPGRAM_API_KEY", "CARTESIA_API_KEY")
TRANSPORTS = {
    "webrtc": lambda: TransportParams(audio_in_enabled=True, audio_out_enabled=True),
}


async def current_time(params: FunctionCallParams) -> None:
    """Tell the date and the time of day."""
    await params.result_callback(f"{datetime.now():%H:%M on %A, %d %B %Y}")


async def run_bot(transport: BaseTransport, runner_args: RunnerArguments) -> None:
    stt = DeepgramSTTService(api_key=os.environ["DEEPGRAM_API_KEY"])
    llm = OpenAIResponsesLLMService(
        api_key=os.environ["OPENAI_API_KEY"],
        settings=OpenAIResponsesLLMService.Settings(
            model="gpt-4.1",
            system_instruction=(
                "You are a friendly assistant on the phone. What you say is spoken aloud: keep it "
                "short, and use no lists, markup or emoji."
            ),
        ),
    )
    tts = CartesiaTTSService(
        api_key=os.environ["CARTESIA_API_KEY"],
        settings=CartesiaTTSService.Settings(voice="71a7ad14-091c-4e8e-a314-022ece01c121"),
    )

    context = LLMContext(
        messages=[{"role": "developer", "content": "Greet the caller."}],
        tools=[current_time],
    )
    aggregators = LLMContextAggregatorPair(
        context,
        user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer()),
    )

    worker = PipelineWorker(
        Pipeline(
            [
                transport.input(),
                stt,
                aggregators.user(),
                llm,
                tts,
                transport.output(),
                aggregators.assistant(),
            ]
        ),
        params=PipelineParams(enable_metrics=True, enable_usage_metrics=True),
        idle_timeout_secs=runner_args.pipeline_idle_timeout_secs,
    )

    @transport.event_handler("on_client_connected")
    async def on_client_connected(transport: BaseTransport, client: object) -> None:
        await worker.queue_frames([LLMRunFrame()])

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(transport: BaseTransport, client: object) -> None:
        logger.info("What the call took: {}", llm.stats)
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=runner_args.handle_sigint)
    await runner.add_workers(worker)
    await runner.run()


async def bot(runner_args: RunnerArguments) -> None:
    """Is called by the runner for each caller."""
    transport = await create_transport(runner_args, TRANSPORTS)
    await run_bot(transport, runner_args)


if __name__ == "__main__":
    load_dotenv(".env")
    missing = [name for name in KEYS if not os.environ.get(name)]
    if missing:
        sys.exit(f"Set {', '.join(missing)} in the environment or in a file .env.")

    from pipecat.runner.run import main

    main()
