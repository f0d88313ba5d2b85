"""Counting tokens, compacting, and the list of models."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from pipecat_responses.sandbox import Sandbox

from .sdk import MODEL, error_of, sdk, valid
from .wire import function_tool, needs_todays_sdk, user


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[AsyncOpenAI]:
    async with sdk(sandbox) as client:
        yield client


@needs_todays_sdk
async def test_counted_tokens_are_those_of_the_response(client: AsyncOpenAI) -> None:
    first = await client.responses.create(model=MODEL, input="hello there")
    tools: Any = [function_tool("get_time", description="The time")]
    fields: Any = {
        "model": MODEL,
        "instructions": "Be brief.",
        "tools": tools,
        "input": [user("And now?")],
        "previous_response_id": first.id,
    }
    counted = valid(await client.responses.input_tokens.count(**fields))
    made = await client.responses.create(**fields)
    assert made.usage is not None
    assert counted.input_tokens == made.usage.input_tokens > 0


async def test_counting_needs_no_model_and_no_input(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    first = await client.responses.create(model=MODEL, input="hello there")
    count = client.responses.input_tokens.count
    alone = await count(input="hello there", reasoning={"effort": "low"})
    assert alone.input_tokens > 0
    whole = await count(previous_response_id=first.id)
    assert whole.input_tokens > alone.input_tokens
    assert [request.response_id for request in sandbox.requests] == [first.id]
    refusals: list[tuple[Any, str]] = [
        ({}, "missing_required_parameter"),
        ({"input": "x", "extra_body": {"store": True}}, "unknown_parameter"),
        ({"input": "x", "previous_response_id": "resp_1"}, "previous_response_not_found"),
    ]
    for fields, code in refusals:
        with pytest.raises(openai.BadRequestError) as refused:
            await count(**fields)
        assert refused.value.code == code


@needs_todays_sdk
async def test_compacting_what_was_stored(client: AsyncOpenAI) -> None:
    made = await client.responses.create(model=MODEL, input="hello")
    window = await client.responses.compact(model=MODEL, previous_response_id=made.id)
    assert [item.type for item in window.output] == ["message", "compaction"]
    # What the user said is among the output, by the documentation; the type has no place for it.
    valid(window.model_copy(update={"output": window.output[1:]}))
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.compact(model=MODEL, input="x", extra_body={"store": False})
    assert refused.value.code == "unknown_parameter"
    with pytest.raises(openai.BadRequestError) as empty:
        await client.responses.compact(model=MODEL)
    assert empty.value.code == "missing_required_parameter"


async def test_models(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    sandbox.config.models = {MODEL, "Qwen/Qwen3-8B"}
    async for model in client.models.list():
        assert await client.models.retrieve(model.id) == valid(model)
    with pytest.raises(openai.NotFoundError) as missing:
        await client.models.retrieve("gpt-17")
    message = "The model 'gpt-17' does not exist"
    assert error_of(missing) == (404, "model_not_found", "model", message)
