"""The official SDK holds conversations with the sandbox."""

import openai
import pytest
from openai import AsyncOpenAI

from pipecat_responses.sandbox import Fault

MODEL = "gpt-4.1-mini"


@pytest.fixture
async def client(sandbox):
    async with AsyncOpenAI(base_url=sandbox.base_url, api_key="x", max_retries=0) as client:
        yield client


async def reply(connection):
    async for event in connection:
        if event.type == "response.completed":
            return event.response
        assert event.type not in ("error", "response.failed", "response.incomplete"), event
    raise AssertionError("The connection ended")


async def test_three_turns_and_forks_over_a_websocket(client, sandbox):
    async with client.responses.connect() as connection:

        async def turn(text, **fields):
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


async def test_streaming_and_not_over_http(client):
    plain = await client.responses.create(model=MODEL, input="one")
    assert plain.output_text == 'You said: "one". I remember 1 item.'
    events = await client.responses.create(
        model=MODEL, input="two", previous_response_id=plain.id, stream=True
    )
    text = "".join([event.delta async for event in events if "text.delta" in event.type])
    assert text == 'You said: "two". I remember 3 items.'
    again = await client.responses.retrieve(plain.id)
    assert again.output_text == plain.output_text
    await client.responses.delete(plain.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(plain.id)
    assert MODEL in [model.id async for model in client.models.list()]


async def test_errors_become_the_sdks_exceptions(client, sandbox):
    with pytest.raises(openai.NotFoundError) as missing:
        await client.responses.create(model="gpt-17", input="x")
    assert missing.value.code == "model_not_found"
    assert missing.value.request_id.startswith("req_")
    sandbox.faults.add(Fault("error", params={"status": 429, "headers": {"retry-after": "9"}}))
    with pytest.raises(openai.RateLimitError) as limited:
        await client.responses.create(model=MODEL, input="x")
    assert limited.value.response.headers["retry-after"] == "9"
    sandbox.faults.add(Fault("error", "text", after=1, params={"code": "server_error"}))
    stream = await client.responses.create(model=MODEL, input="x", stream=True)
    last = [event async for event in stream][-1]
    assert (last.type, last.code) == ("error", "server_error")


async def test_structured_output(client):
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    text = {"format": {"type": "json_schema", "name": "point", "schema": schema}}
    answer = await client.responses.create(model=MODEL, input="x", text=text)
    assert answer.output_text == '{"x": 0}'
