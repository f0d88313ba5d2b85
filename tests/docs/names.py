"""What the documentation's blocks name and readers have of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from loguru import logger
from pipecat.frames.frames import EndFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.filters.identity_filter import IdentityFilter
from pipecat.services.llm_service import FunctionCallParams
from pipecat.workers.runner import WorkerRunner
from typer.main import get_command

from pipecat_responses import OpenAIResponsesLLMService
from pipecat_responses.cli.commands import app
from pipecat_responses.testing import Caller, Conversation, Voice

transport = Caller().transport
stt = IdentityFilter()
tts = Voice("word")


async def look_up(params: FunctionCallParams, name: str) -> None:
    """Look something up by its name."""
    await params.result_callback(name)


def run(*arguments: str, typed: str = "") -> None:
    """Runs the command, which reads what was typed and prints."""
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8") as keyboard:
        keyboard.write(typed)
    with open(reading, encoding="utf-8") as lines, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", lines)
        get_command(app).main(arguments, standalone_mode=False)
    # The command has a log of its own.
    logger.remove()
    logger.add(sys.stderr)


async def call(
    enter: Callable[[AbstractAsyncContextManager[Any]], Awaitable[Any]],
    llm: OpenAIResponsesLLMService | None = None,
) -> Conversation:
    """A call in which something was said; it goes on until the page is done."""
    talk: Conversation = await enter(Conversation(llm or OpenAIResponsesLLMService()))
    await talk.say("Hello.")
    return talk


async def short_call() -> WorkerRunner:
    """A runner whose call is over as soon as it runs."""
    worker = PipelineWorker(Pipeline([IdentityFilter()]))
    await worker.queue_frame(EndFrame())
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    return runner
