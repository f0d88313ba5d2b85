"""Whether a call would work, found out before anybody calls."""

import asyncio

from pipecat.frames.frames import EndFrame, ErrorFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.workers.runner import WorkerRunner

from examples.voice.bot import SYSTEM, Parts
from pipecat_responses import OpenAIResponsesLLMService
from pipecat_responses.cli.failures import UnusableError, sentence, unreachable

PATIENCE = 10.0
"""Seconds to wait for the first connection to the model."""


async def check(parts: Parts) -> None:
    """Starts a bot that nobody has called, and ends it.

    So models are loaded when the first call comes, and keys and addresses have been tried.

    Args:
        parts: What the bot is made of.

    Raises:
        UnusableError: If it cannot be started; the message says what to do.
    """
    llm = parts.target.service(parts.model, SYSTEM)
    errors: list[ErrorFrame] = []
    outcome: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    worker = PipelineWorker(
        Pipeline([parts.stt(), llm, parts.tts()]), idle_timeout_secs=None, enable_rtvi=False
    )

    async def connected(*_: object) -> None:
        if not outcome.done():
            outcome.set_result(None)

    async def failed(_: object, reason: str) -> None:
        if not outcome.done():
            outcome.set_result(reason)

    @worker.event_handler("on_pipeline_error")
    async def on_pipeline_error(_: object, frame: ErrorFrame) -> None:
        errors.append(frame)
        await failed(worker, frame.error)

    if isinstance(llm, OpenAIResponsesLLMService):
        llm.add_event_handler("on_connected", connected)
        llm.add_event_handler("on_transport_changed", connected)
        llm.add_event_handler("on_connection_error", failed)
    else:
        # Over HTTP there is nothing to be connected before the first turn.
        worker.add_event_handler("on_pipeline_started", connected)

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        reason = await asyncio.wait_for(outcome, PATIENCE)
    except TimeoutError:
        reason = f"no answer within {PATIENCE:g} s"
    finally:
        await worker.queue_frame(EndFrame())
        await running
    where, has_key = parts.target.where, parts.target.has_key
    if errors:
        error = errors[0].exception or errors[0].error
        raise UnusableError(sentence(error, where=where, model=parts.model, has_key=has_key))
    if reason is not None:
        raise UnusableError(unreachable(where, reason))
