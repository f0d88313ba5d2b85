"""The real API. Needs ``OPENAI_API_KEY``; skipped without."""

from __future__ import annotations

import os
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from pipecat_responses import OpenAIResponsesHttpLLMService, OpenAIResponsesLLMService
from pipecat_responses.testing import Conversation

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not os.environ.get("OPENAI_API_KEY"), reason="needs OPENAI_API_KEY"),
]

SERVICES = [OpenAIResponsesLLMService, OpenAIResponsesHttpLLMService]
MODEL = os.environ.get("LIVE_MODEL", "gpt-4.1-mini")


def make(service: Any) -> Any:
    return service(
        settings=service.Settings(model=MODEL, system_instruction="Answer in a few words.")
    )


@pytest.mark.parametrize("service", SERVICES)
async def test_a_conversation(service: Any) -> None:
    llm = make(service)
    async with Conversation(llm) as talk:
        assert await talk.say("My name is Ada.")
        assert "ada" in (await talk.say("What is my name?")).lower()
        assert not talk.errors
    if service is OpenAIResponsesLLMService:
        assert (llm.stats.incremental, llm.stats.full) == (1, 1)


async def test_an_interruption_costs_nothing() -> None:
    llm = make(OpenAIResponsesLLMService)
    async with Conversation(llm) as talk:
        assert await talk.say("Hello.")
        await talk.start("Count to one hundred, in words.")
        await talk.text_arrives(3)
        await talk.interrupt()
        await talk.settle()
        assert "paris" in (await talk.say("What is the capital of France?")).lower()
        assert not talk.errors
    assert llm.stats.full == 1


@pytest.mark.parametrize("service", SERVICES)
async def test_a_tool(service: Any) -> None:
    async def weather(params: FunctionCallParams) -> None:
        await params.result_callback({"celsius": 21, "city": params.arguments["city"]})

    context = LLMContext(
        tools=[
            FunctionSchema(
                "get_weather",
                "Tells the temperature in a city.",
                {"city": {"type": "string"}},
                ["city"],
                weather,
            )
        ]
    )
    llm = make(service)
    async with Conversation(llm, context) as talk:
        assert "21" in await talk.say("How warm is it in Rome?", ends=2)
        assert not talk.errors


async def test_a_warm_up() -> None:
    llm = make(OpenAIResponsesLLMService)
    context = LLMContext([{"role": "developer", "content": "The user is called Ada."}])
    async with Conversation(llm, context) as talk:
        assert await llm.warm_up(context)
        assert "ada" in (await talk.say("What is my name?")).lower()
        assert not talk.errors
    assert llm.stats.full == 0


@pytest.mark.parametrize("service", SERVICES)
async def test_inference_beside_the_conversation(service: Any) -> None:
    llm = make(service)
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    context = LLMContext([{"role": "user", "content": "What is the capital of France?"}])
    async with Conversation(llm) as talk:
        await talk.say("Hello.")
        answer = await llm.run_inference(context, max_tokens=64, response_schema=schema)
        assert answer is not None
        assert "Paris" in answer
