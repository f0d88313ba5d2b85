"""The bot that is evaluated: Pipecat's runner serves it, and the harness calls it."""

import os
from typing import Any

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.evals.transport import EvalTransportParams
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.runner.types import RunnerArguments
from pipecat.runner.utils import create_transport
from pipecat.services.llm_service import FunctionCallParams
from pipecat.workers.runner import WorkerRunner

from examples.voice.stt import PocketSphinxSTTService
from examples.voice.tts import HibariTTSService
from pipecat_responses import OpenAIResponsesLLMService

TRANSPORTS = {
    "eval": lambda: EvalTransportParams(audio_in_enabled=True, audio_out_enabled=True),
}


async def current_time(params: FunctionCallParams) -> None:
    """Tell the time of day."""
    await params.result_callback("half past seven")


async def bot(runner_args: RunnerArguments) -> None:
    """Is called by the runner for each scenario."""
    transport = await create_transport(runner_args, TRANSPORTS)
    aggregators = LLMContextAggregatorPair(
        LLMContext(tools=[current_time]),
        user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer()),
    )
    worker = PipelineWorker(
        Pipeline(
            [
                transport.input(),
                PocketSphinxSTTService(),
                aggregators.user(),
                # OPENAI_BASE_URL leads to the sandbox, if there is no key.
                OpenAIResponsesLLMService(api_key=os.environ["OPENAI_API_KEY"]),
                HibariTTSService(),
                transport.output(),
                aggregators.assistant(),
            ]
        )
    )

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(transport: Any, client: Any) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


if __name__ == "__main__":
    from pipecat.runner.run import main

    main()
