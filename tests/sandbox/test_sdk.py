"""The official SDK holds conversations with the sandbox."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.resources.responses.responses import AsyncResponsesConnection
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseErrorEvent,
    ResponseTextConfigParam,
    ResponseTextDeltaEvent,
)

from pipecat_responses.sandbox import Fault, Sandbox

from .wire import needs_todays_sdk

MODEL = "gpt-4.1-mini"


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=sandbox.base_url, api_key="x", max_retries=0) as client:
        yield client


async def reply(connection: AsyncResponsesConnection) -> Response:
    async for event in connection:
        if event.type == "response.completed":
            assert isinstance(event, ResponseCompletedEvent)
            return event.response
        assert event.type not in ("error", "response.failed", "response.incomplete"), event
    raise AssertionError("The connection ended")


@needs_todays_sdk
async def test_three_turns_and_forks_over_a_websocket(
    client: AsyncOpenAI, sandbox: Sandbox
) -> None:
    async with client.responses.connect() as connection:

        async def turn(text: str, **fields: Any) -> Response:
            await connection.response.create(model=MODEL, store=False, input=text, **fields)
            return await reply(connection)

        first = await turn("one")
        second = await turn("two", previous_response_id=first.id)
        third = await turn("three", previous_response_id=second.id)
        assert third.output_text == 'You said: "three". I remember 5 items.'
        fork = await turn("four", previous_response_id=third.id, stream_id="side")
        assert fork.output_text.endswith("I remember 7 items.")
        main = await turn("five", previous_response_id=third.id)
        assert main.output_text.endswith("I remember 7 items.")
    assert sandbox.connections_opened == 1


async def test_streaming_and_not_over_http(client: AsyncOpenAI) -> None:
    plain = await client.responses.create(model=MODEL, input="one")
    assert plain.output_text == 'You said: "one". I remember 1 item.'
    events = await client.responses.create(
        model=MODEL, input="two", previous_response_id=plain.id, stream=True
    )
    text = "".join(
        [event.delta async for event in events if isinstance(event, ResponseTextDeltaEvent)]
    )
    assert text == 'You said: "two". I remember 3 items.'
    again = await client.responses.retrieve(plain.id)
    assert again.output_text == plain.output_text
    await client.responses.delete(plain.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(plain.id)
    assert MODEL in [model.id async for model in client.models.list()]


async def test_errors_become_the_sdks_exceptions(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await client.responses.create(model="gpt-17", input="x")
    assert missing.value.code == "model_not_found"
    assert str(missing.value.request_id).startswith("req_")
    sandbox.faults.add(Fault("error", params={"status": 429, "headers": {"retry-after": "9"}}))
    with pytest.raises(openai.RateLimitError) as limited:
        await client.responses.create(model=MODEL, input="x")
    assert limited.value.response.headers["retry-after"] == "9"
    sandbox.faults.add(Fault("error", "text", after=1, params={"code": "server_error"}))
    stream = await client.responses.create(model=MODEL, input="x", stream=True)
    with pytest.raises(openai.APIError) as broken:
        [event async for event in stream]
    assert broken.value.code == "server_error"
    sandbox.config.sse_errors = "flat"
    sandbox.faults.add(Fault("error", "text", after=1, params={"code": "server_error"}))
    stream = await client.responses.create(model=MODEL, input="x", stream=True)
    last = [event async for event in stream][-1]
    assert isinstance(last, ResponseErrorEvent)
    assert last.code == "server_error"


async def test_structured_output(client: AsyncOpenAI) -> None:
    schema: dict[str, object] = {"type": "object", "properties": {"x": {"type": "integer"}}}
    text: ResponseTextConfigParam = {
        "format": {"type": "json_schema", "name": "point", "schema": schema}
    }
    answer = await client.responses.create(model=MODEL, input="x", text=text)
    assert answer.output_text == '{"x": 0}'
