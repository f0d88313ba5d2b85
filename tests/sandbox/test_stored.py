"""Responses that were made can be had again, deleted, and asked for what they were made from."""

from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseInputMessageItem, ResponseItem
from pydantic import TypeAdapter

from pipecat_responses.sandbox import Answer, Call, Reasoning, Sandbox, SandboxConfig

from .sdk import MODEL, error_of, sdk, valid
from .wire import connected, function_tool, needs_todays_sdk, user

ITEM: TypeAdapter[Any] = TypeAdapter(ResponseItem)
PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="


async def listed(client: AsyncOpenAI, response_id: str, **query: Any) -> list[dict[str, Any]]:
    """All input items, over all pages; each fits the type."""
    found = [item async for item in client.responses.input_items.list(response_id, **query)]
    return [ITEM.validate_python(item.to_dict()).to_dict() for item in found]


@needs_todays_sdk
async def test_retrieve_and_delete(sandbox: Sandbox) -> None:
    async with sdk(sandbox) as client:
        made = await client.responses.create(model=MODEL, input="one")
        assert valid(await client.responses.retrieve(made.id)) == valid(made)
        await client.responses.delete(made.id)
        for call in (
            client.responses.retrieve,
            client.responses.delete,
            client.responses.cancel,
        ):
            with pytest.raises(openai.NotFoundError) as missing:
                await call(made.id)
            message = f"Response with id '{made.id}' not found."
            assert error_of(missing) == (404, None, None, message)
        with pytest.raises(openai.BadRequestError) as parent:
            await client.responses.create(model=MODEL, input="x", previous_response_id=made.id)
        assert parent.value.code == "previous_response_not_found"
        with pytest.raises(openai.BadRequestError) as reference:
            await client.responses.retrieve("msg_1")
        assert error_of(reference) == (
            400,
            "invalid_value",
            "response_id",
            "Invalid 'response_id': 'msg_1'. Expected an ID that begins with 'resp'.",
        )


async def test_deleted_items_are_gone_too(sandbox: Sandbox) -> None:
    async with sdk(sandbox) as client:
        made = await client.responses.create(model=MODEL, input="one")
        (item,) = made.output
        assert item.id is not None
        again: Any = [{"type": "item_reference", "id": item.id}, user("two")]
        assert (await client.responses.create(model=MODEL, input=again)).output_text
        await client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.create(model=MODEL, input=again)


async def test_what_was_not_stored_is_not_there(sandbox: Sandbox) -> None:
    async with sdk(sandbox) as client:
        made = await client.responses.create(model=MODEL, input="one", store=False)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)


async def test_the_oldest_make_room(sandbox: Sandbox) -> None:
    sandbox.config.max_stored = 2
    async with sdk(sandbox) as client:
        ids = [(await client.responses.create(model=MODEL, input="x")).id for _ in range(3)]
        for response_id in ids[1:]:
            await client.responses.retrieve(response_id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(ids[0])


async def test_include_gives_encrypted_reasoning(sandbox: Sandbox) -> None:
    sandbox.script(Answer((Reasoning(("Hm.",)), "Done.")))
    async with sdk(sandbox) as client:
        made = await client.responses.create(model="gpt-5", input="x")
        wanted: Any = ["reasoning.encrypted_content"]
        plain = await client.responses.retrieve(made.id)
        whole = await client.responses.retrieve(made.id, include=wanted)
        assert "encrypted_content" not in plain.output[0].to_dict()
        thoughts: Any = [item.to_dict(mode="json") for item in whole.output]
        again: Any = [user("x"), *thoughts, user("y")]
        answer = await client.responses.create(model="gpt-5", input=again, store=False)
        assert answer.status == "completed"
        with pytest.raises(openai.BadRequestError) as unknown:
            await client.responses.retrieve(made.id, include=["thoughts"])  # type: ignore[list-item]
        assert unknown.value.code == "invalid_value"


@needs_todays_sdk
async def test_only_responses_in_the_background_stream_again_or_are_cancelled(
    sandbox: Sandbox,
) -> None:
    async with sdk(sandbox) as client:
        made = await client.responses.create(model=MODEL, input="x")
        with pytest.raises(openai.BadRequestError) as stream:
            await client.responses.retrieve(made.id, stream=True)
        assert error_of(stream) == (
            400,
            "invalid_request_error",
            "stream",
            "This response cannot be streamed because it was not created with background=true.",
        )
        with pytest.raises(openai.BadRequestError) as cancel:
            await client.responses.cancel(made.id)
        assert error_of(cancel)[3] == "Cannot cancel a synchronous response."


@needs_todays_sdk
async def test_input_items_page_by_page(sandbox: Sandbox) -> None:
    async with sdk(sandbox) as client:
        sent: Any = [user(f"number {number}") for number in range(5)]
        made = await client.responses.create(model=MODEL, input=sent)
        newest = await listed(client, made.id)
        assert [item["content"][0]["text"][-1] for item in newest] == list("43210")
        oldest = await listed(client, made.id, order="asc", limit=2)
        assert oldest == newest[::-1]
        page = await client.responses.input_items.list(made.id, limit=2, order="asc")
        assert page.has_more
        assert page.to_dict()["last_id"] == oldest[1]["id"]
        between = {"after": oldest[0]["id"], "extra_query": {"before": oldest[3]["id"]}}
        rest = await client.responses.input_items.list(made.id, order="asc", **between)
        assert [item.id for item in rest.data] == [item["id"] for item in oldest[1:3]]
        assert not rest.has_more
        for query, param in (
            ({"limit": 101}, "limit"),
            ({"limit": 0}, "limit"),
            ({"order": "up"}, "order"),
            ({"extra_query": {"limit": "many"}}, "limit"),
        ):
            with pytest.raises(openai.BadRequestError) as refused:
                await client.responses.input_items.list(made.id, **query)
            assert refused.value.param == param
        with pytest.raises(openai.NotFoundError):
            await client.responses.input_items.list(made.id, after="msg_nope")


@needs_todays_sdk
@pytest.mark.parametrize("which", ["all", "own"])
async def test_input_items_of_every_kind(which: Any) -> None:
    calls = Answer((Call("get_time", {}, "call_1"), Call("run_sql", "select 1", "call_2")))
    tools: Any = [function_tool("get_time"), {"type": "custom", "name": "run_sql"}]
    async with Sandbox(SandboxConfig(listed_input=which)) as sandbox, sdk(sandbox) as client:
        sandbox.script(calls, "Done.")
        picture = [
            {"type": "input_image", "image_url": PNG},
            {"type": "input_file", "file_url": "https://example.com/x.pdf"},
        ]
        first = await client.responses.create(
            model=MODEL,
            input=[user("hi"), {"role": "assistant", "content": "ho"}, user(picture)],  # type: ignore[list-item]
            tools=tools,
        )
        second = await client.responses.create(
            model=MODEL,
            previous_response_id=first.id,
            input=[
                {"type": "function_call_output", "call_id": "call_1", "output": "12:30"},
                {"type": "custom_tool_call_output", "call_id": "call_2", "output": "1"},
            ],
            tools=tools,
        )
        before = await listed(client, first.id, order="asc")
        after = await listed(client, second.id, order="asc")
        assert all(item["id"] for item in after)
        kinds = [item["type"] for item in after]
        own = ["function_call_output", "custom_tool_call_output"]
        if which == "own":
            assert kinds == own
        else:
            assert after[:3] == before
            assert kinds[3:] == ["function_call", "custom_tool_call", *own]


async def test_input_items_of_a_response_over_a_websocket(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire, sdk(sandbox) as client:
        made = await wire.respond("hello", store=True)
        (item,) = (await client.responses.input_items.list(made["id"])).data
        assert isinstance(item, ResponseInputMessageItem)
        assert item.role == "user"
        again = await client.responses.retrieve(made["id"])
        assert isinstance(again, Response)
        assert again.to_dict() == made
