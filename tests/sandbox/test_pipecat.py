"""Pipecat's own two services hold conversations with the sandbox: it is a fair judge."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams, LLMService
from pipecat.services.openai.responses.llm import (
    OpenAIResponsesHttpLLMService,
    OpenAIResponsesLLMService,
)
from pipecat.workers.runner import WorkerRunner

from pipecat_responses.sandbox import Sandbox

Kind = type[OpenAIResponsesLLMService] | type[OpenAIResponsesHttpLLMService]


class Listener(FrameProcessor):
    """Collects what is said, one text for each response."""

    def __init__(self) -> None:
        super().__init__()
        self.replies: asyncio.Queue[str] = asyncio.Queue()
        self._text = ""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            self._text += frame.text
        elif isinstance(frame, LLMFullResponseEndFrame):
            self.replies.put_nowait(self._text)
            self._text = ""
        await self.push_frame(frame, direction)


@asynccontextmanager
async def talking(llm: LLMService[Any]) -> AsyncIterator[Callable[[LLMContext], Awaitable[str]]]:
    """A running pipeline; yields a function that takes a context and returns the reply."""
    listener = Listener()
    worker = PipelineWorker(Pipeline([llm, listener]), cancel_on_idle_timeout=False)
    runner = WorkerRunner()
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())

    async def reply(context: LLMContext) -> str:
        await worker.queue_frame(LLMContextFrame(context))
        return await asyncio.wait_for(listener.replies.get(), 5)

    try:
        yield reply
    finally:
        await worker.queue_frame(EndFrame())
        await running


def service(sandbox: Sandbox, kind: Kind) -> LLMService[Any]:
    settings = kind.Settings(model="gpt-4.1", system_instruction="Be brief.")
    if kind is OpenAIResponsesLLMService:
        return kind(api_key="x", ws_url=sandbox.ws_url, settings=settings)
    return kind(api_key="x", base_url=sandbox.base_url, settings=settings)


@pytest.mark.parametrize("kind", [OpenAIResponsesLLMService, OpenAIResponsesHttpLLMService])
async def test_a_conversation(sandbox: Sandbox, kind: Kind) -> None:
    context = LLMContext()
    async with talking(service(sandbox, kind)) as reply:
        for number, text in enumerate(["one", "two", "three"]):
            context.add_message({"role": "user", "content": text})
            said = await reply(context)
            assert said == f'You said: "{text}". I remember {2 * number + 1} items.'.replace(
                "1 items", "1 item"
            )
            context.add_message({"role": "assistant", "content": said})
    assert [request.outcome for request in sandbox.requests] == ["completed"] * 3
    over_websocket = kind is OpenAIResponsesLLMService
    assert [request.incremental for request in sandbox.requests] == [
        False,
        over_websocket,
        over_websocket,
    ]
    assert [item["content"] for item in sandbox.requests[2].input][-1] == "three"


@pytest.mark.parametrize("kind", [OpenAIResponsesLLMService, OpenAIResponsesHttpLLMService])
async def test_a_tool(sandbox: Sandbox, kind: Kind) -> None:
    called = asyncio.Event()

    async def get_time(params: FunctionCallParams) -> None:
        called.set()
        await params.result_callback("12:30")

    llm = service(sandbox, kind)
    llm.register_function("get_time", get_time)
    schema = FunctionSchema("get_time", "The time", properties={}, required=[])
    context = LLMContext(tools=ToolsSchema(standard_tools=[schema]))
    context.add_message({"role": "user", "content": "What time is it?"})
    async with talking(llm) as reply:
        assert await reply(context) == ""
        await asyncio.wait_for(called.wait(), 5)
    (request,) = sandbox.requests
    assert request.outcome == "completed"
    assert request.body["tools"][0]["name"] == "get_time"
