"""Whether a call would work, found out before anybody calls."""

import asyncio

from pipecat.frames.frames import EndFrame, ErrorFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.workers.runner import WorkerRunner

from examples.voice.bot import SYSTEM, Parts
from pipecat_responses import ResponsesError
from pipecat_responses.cli.failures import UnusableError

PROBE = LLMContext([{"role": "user", "content": "Say hello."}])
SHORT = 16
"""Tokens of the answer to it: the API takes no fewer."""


async def check(parts: Parts) -> None:
    """Starts a bot that nobody has called, has it think of a word, and ends it.

    So models are loaded when the first call comes, and keys, addresses and the model's name have
    been tried.

    Args:
        parts: What the bot is made of.

    Raises:
        UnusableError: If it does not work; the message says what to do.
    """
    llm = parts.target.service(parts.model, SYSTEM)
    errors: list[BaseException | str] = []
    started = asyncio.Event()
    worker = PipelineWorker(
        Pipeline([parts.stt(), llm, parts.tts()]), idle_timeout_secs=None, enable_rtvi=False
    )

    @worker.event_handler("on_pipeline_started")
    async def on_pipeline_started(*_: object) -> None:
        started.set()

    @worker.event_handler("on_pipeline_error")
    async def on_pipeline_error(_: object, frame: ErrorFrame) -> None:
        errors.append(frame.exception or frame.error)

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        starting = asyncio.create_task(started.wait())
        await asyncio.wait({starting, running}, return_when=asyncio.FIRST_COMPLETED)
        starting.cancel()
        await llm.run_inference(PROBE, max_tokens=SHORT)
    except ResponsesError as error:
        errors.append(error)
    finally:
        await worker.queue_frame(EndFrame())
        await running
    if errors:
        raise UnusableError(parts.sentence(errors[0]))
