"""Responses in the background: polled, streamed from anywhere, cancelled, and cut off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Literal

import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseStreamEvent

from pipecat_responses.sandbox import Answer, Fault, Sandbox

from .sdk import MODEL, error_of, sdk, valid
from .wire import HTTP_EVENT, needs_todays_sdk

ENDLESS = Answer(("word " * 20,), time_to_first_token=3600)


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[AsyncOpenAI]:
    async with sdk(sandbox) as client:
        yield client


async def begin(client: AsyncOpenAI, **fields: Any) -> Response:
    begun: Response = await client.responses.create(
        model=MODEL, input="hi", background=True, **fields
    )
    return begun


async def begin_stream(client: AsyncOpenAI) -> openai.AsyncStream[ResponseStreamEvent]:
    return await client.responses.create(model=MODEL, input="hi", background=True, stream=True)


def plain(event: ResponseStreamEvent) -> dict[str, Any]:
    return event.to_dict()


async def poll(client: AsyncOpenAI, response_id: str) -> Response:
    """Ask until the response has ended."""
    async with asyncio.timeout(5):
        while True:
            response = valid(await client.responses.retrieve(response_id))
            if response.status not in ("queued", "in_progress"):
                return response


async def replay(client: AsyncOpenAI, response_id: str, **fields: Any) -> list[dict[str, Any]]:
    stream = await client.responses.retrieve(response_id, stream=True, **fields)
    return [plain(event) async for event in stream]


async def finished(client: AsyncOpenAI) -> str:
    """Stream a response to its end, and return its id."""
    events: list[Any] = [event async for event in await begin_stream(client)]
    return str(events[0].response.id)


@needs_todays_sdk
async def test_queued_and_polled_until_completed(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    begun = valid(await begin(client))
    assert (begun.status, begun.background, begun.output) == ("queued", True, [])
    assert begun.usage is None
    ended = await poll(client, begun.id)
    assert ended.status == "completed"
    assert ended.id == begun.id
    assert ended.output_text == 'You said: "hi". I remember 1 item.'
    assert sandbox.requests[0].outcome == "completed"
    after = await client.responses.create(model=MODEL, input="x", previous_response_id=ended.id)
    assert after.output_text.endswith("I remember 3 items.")
    items = await client.responses.input_items.list(ended.id)
    assert len(items.data) == 1
    with pytest.raises(openai.BadRequestError) as stream:
        await client.responses.retrieve(ended.id, stream=True)
    assert error_of(stream)[3].endswith("it was not created with stream=true.")


async def test_in_progress_and_queued_for_as_long_as_that_takes(
    client: AsyncOpenAI, sandbox: Sandbox
) -> None:
    sandbox.script(ENDLESS)
    running = await begin(client)
    sandbox.config.time_to_created = 3600
    waiting = await begin(client)
    assert (await client.responses.retrieve(running.id)).status == "in_progress"
    assert (await client.responses.retrieve(waiting.id)).status == "queued"
    with pytest.raises(openai.BadRequestError) as delete:
        await client.responses.delete(running.id)
    assert error_of(delete)[3] == "Cannot delete an in-flight response."


@needs_todays_sdk
async def test_a_stream_begins_queued_and_is_given_again_from_anywhere(
    client: AsyncOpenAI,
) -> None:
    events = [plain(event) async for event in await begin_stream(client)]
    for event in events:
        HTTP_EVENT.validate_python(event)
    assert [event["type"] for event in events[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    states = [event["response"]["status"] for event in events if "response" in event]
    assert states == ["queued", "queued", "in_progress", "completed"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    response_id = events[0]["response"]["id"]
    assert await replay(client, response_id) == events
    assert await replay(client, response_id, starting_after=4) == events[5:]
    assert await replay(client, response_id, starting_after=len(events)) == []
    bare = await replay(client, response_id, include_obfuscation=False)
    assert len(bare) == len(events)
    assert not any("obfuscation" in event for event in bare)
    await client.responses.delete(response_id)
    with pytest.raises(openai.NotFoundError):
        await replay(client, response_id)


async def test_a_stream_that_was_cut_off_is_taken_up_again(
    client: AsyncOpenAI, sandbox: Sandbox
) -> None:
    sandbox.faults.add(Fault("reset", "text", after=3))
    seen = []
    with suppress(httpx2.TransportError, openai.APIConnectionError):
        async for event in await begin_stream(client):
            seen.append(plain(event))  # noqa: PERF401 - what came before the reset counts
    response_id = str(sandbox.requests[0].response_id)
    everything = await replay(client, response_id)
    assert len(seen) < len(everything)
    assert seen == everything[: len(seen)]
    assert everything[-1]["type"] == "response.completed"
    assert sandbox.requests[0].outcome == "completed"


async def test_a_stream_that_was_closed_goes_on_without_its_listener(
    client: AsyncOpenAI, sandbox: Sandbox
) -> None:
    sandbox.faults.add(Fault("close", "text", after=3))
    seen = [plain(event) async for event in await begin_stream(client)]
    assert [event["type"] for event in seen[-4:]] == [
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
    ]
    response_id = seen[0]["response"]["id"]
    assert (await poll(client, response_id)).status == "completed"


async def test_leaving_a_stream_leaves_the_response_running(
    client: AsyncOpenAI, sandbox: Sandbox
) -> None:
    sandbox.script(ENDLESS)
    stream = await begin_stream(client)
    response_id = plain(await anext(aiter(stream)))["response"]["id"]
    await stream.close()
    assert (await client.responses.retrieve(response_id)).status == "in_progress"
    assert sandbox.requests[0].outcome is None


async def test_signs_of_life_go_to_those_who_listen(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    sandbox.config.keepalive = "comments"
    sandbox.config.keepalive_secs = 0.001
    sandbox.script(ENDLESS)
    stream = await begin_stream(client)
    response_id = plain(await anext(aiter(stream)))["response"]["id"]
    await stream.close()
    for _ in range(5):
        assert (await client.responses.retrieve(response_id)).status == "in_progress"


async def test_what_breaks_off_has_failed(
    client: AsyncOpenAI, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.faults.add(Fault("delay", "text", params={"seconds": "many"}))
    ended = await poll(client, (await begin(client)).id)
    assert ended.status == "failed"
    assert "A response in the background broke off" in caplog.text


async def test_a_stalled_response_can_be_cancelled(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("stall", "text", after=1))
    begun = await begin(client)
    assert (await client.responses.retrieve(begun.id)).status == "in_progress"
    cancelled = await asyncio.gather(*(client.responses.cancel(begun.id) for _ in range(3)))
    assert [response.status for response in cancelled] == ["cancelled"] * 3


@needs_todays_sdk
@pytest.mark.parametrize("told", [False, True])
async def test_cancelling(client: AsyncOpenAI, sandbox: Sandbox, told: bool) -> None:
    sandbox.config.cancelled_stream = "incomplete" if told else "ends"
    sandbox.script(ENDLESS)
    stream = await begin_stream(client)
    events = aiter(stream)
    begun = [plain(await anext(events)) for _ in range(3)]
    response_id = begun[0]["response"]["id"]
    cancelled = valid(await client.responses.cancel(response_id))
    assert (cancelled.status, cancelled.output) == ("cancelled", [])
    rest = [plain(event) async for event in events]
    assert [event["type"] for event in rest] == (["response.incomplete"] if told else [])
    assert valid(await client.responses.cancel(response_id)) == cancelled
    assert valid(await client.responses.retrieve(response_id)) == cancelled
    assert sandbox.requests[0].outcome == "cancelled"
    with pytest.raises(openai.BadRequestError):
        await client.responses.create(model=MODEL, input="x", previous_response_id=response_id)


async def test_cancelling_what_has_ended(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    ended = await poll(client, (await begin(client)).id)
    assert (await client.responses.cancel(ended.id)).status == "completed"
    sandbox.config.cancel_finished = "rejected"
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.cancel(ended.id)
    assert error_of(refused)[3] == "Cannot cancel a completed response."


async def test_refusals_come_at_once(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    with pytest.raises(openai.BadRequestError):
        await begin(client, max_output_tokens=1)
    sandbox.faults.add(Fault("error", params={"status": 429}))
    with pytest.raises(openai.RateLimitError):
        await begin_stream(client)
    sandbox.faults.add(Fault("http_html"))
    with pytest.raises(openai.InternalServerError):
        await begin(client)
    assert [request.response_id for request in sandbox.requests] == [None] * 3


@pytest.mark.parametrize("shape", ["recorded", "flat"])
@pytest.mark.parametrize("kind", ["error", "failed"])
async def test_failures_are_found_by_polling(
    client: AsyncOpenAI,
    sandbox: Sandbox,
    kind: Literal["error", "failed"],
    shape: Literal["recorded", "flat"],
) -> None:
    sandbox.config.sse_errors = shape
    sandbox.faults.add(Fault(kind, "text", after=1, params={"code": "rate_limit_exceeded"}))
    ended = await poll(client, (await begin(client)).id)
    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error.code == "rate_limit_exceeded"


async def test_without_being_stored_it_can_be_polled_but_not_continued(
    client: AsyncOpenAI,
) -> None:
    ended = await poll(client, (await begin(client, store=False)).id)
    assert ended.status == "completed"
    with pytest.raises(openai.BadRequestError) as parent:
        await client.responses.create(model=MODEL, input="x", previous_response_id=ended.id)
    assert parent.value.code == "previous_response_not_found"


async def test_events_are_bounded_in_number_and_age(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    sandbox.config.max_stored_events = 30
    first, second = [await finished(client) for _ in range(2)]
    assert await replay(client, second)
    with pytest.raises(openai.BadRequestError) as dropped:
        await replay(client, first)
    assert error_of(dropped) == (
        400,
        "invalid_request_error",
        "stream",
        "This response can no longer be streamed because it is more than 5 minutes old",
    )
    assert (await client.responses.retrieve(first)).status == "completed"
    sandbox.config.replay_secs = 0
    with pytest.raises(openai.BadRequestError):
        await replay(client, second)
    sandbox.config.max_stored = 1
    await begin(client)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(first)


async def test_the_answer_to_a_request_may_be_lost(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    for streamed in (begin, begin_stream):
        sandbox.faults.add(Fault("reset"))
        with pytest.raises(openai.APIConnectionError):
            await streamed(client)
        ended = await poll(client, str(sandbox.requests[-1].response_id))
        assert ended.status == "completed"


async def test_stopping_ends_what_runs(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    sandbox.script(ENDLESS)
    response_id = (await begin(client)).id
    await sandbox.stop()
    await sandbox.start()
    ended = await client.responses.retrieve(response_id)
    assert ended.status == "failed"
    assert sandbox.requests[0].outcome == "dropped"
