"""Pipecat's own two services hold conversations with the sandbox: it is a fair judge."""

from __future__ import annotations

import asyncio

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.responses.llm import (
    OpenAIResponsesHttpLLMService,
    OpenAIResponsesLLMService,
)

from pipecat_responses.sandbox import Sandbox
from pipecat_responses.testing import Conversation

Service = OpenAIResponsesLLMService | OpenAIResponsesHttpLLMService


def service(sandbox: Sandbox, kind: type[Service]) -> Service:
    settings = kind.Settings(model="gpt-4.1", system_instruction="Be brief.")
    if issubclass(kind, OpenAIResponsesLLMService):
        return kind(api_key="x", ws_url=sandbox.ws_url, settings=settings)
    return kind(api_key="x", base_url=sandbox.base_url, settings=settings)


@pytest.mark.parametrize("kind", [OpenAIResponsesLLMService, OpenAIResponsesHttpLLMService])
async def test_a_conversation(sandbox: Sandbox, kind: type[Service]) -> None:
    context = LLMContext()
    async with Conversation(service(sandbox, kind), context, tts=None, aggregators=False) as talk:
        for number, text in enumerate(["one", "two", "three"]):
            context.add_message({"role": "user", "content": text})
            said = await talk.answer()
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
async def test_a_tool(sandbox: Sandbox, kind: type[Service]) -> None:
    called = asyncio.Event()

    async def get_time(params: FunctionCallParams) -> None:
        called.set()
        await params.result_callback("12:30")

    llm = service(sandbox, kind)
    llm.register_function("get_time", get_time)
    schema = FunctionSchema("get_time", "The time", properties={}, required=[])
    context = LLMContext(tools=ToolsSchema(standard_tools=[schema]))
    context.add_message({"role": "user", "content": "What time is it?"})
    async with Conversation(llm, context, tts=None, aggregators=False) as talk:
        assert await talk.answer() == ""
        await asyncio.wait_for(called.wait(), 5)
    (request,) = sandbox.requests
    assert request.outcome == "completed"
    assert request.body["tools"][0]["name"] == "get_time"
