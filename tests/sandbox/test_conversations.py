"""Conversations, and responses that belong to one."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.conversations import ConversationItem
from pydantic import TypeAdapter

from pipecat_responses.sandbox import Answer, Call, Reasoning, Sandbox

from .sdk import MODEL, error_of, sdk, valid
from .wire import connected, function_tool, needs_todays_sdk, text_of, user

ITEM: TypeAdapter[Any] = TypeAdapter(ConversationItem)


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[AsyncOpenAI]:
    async with sdk(sandbox) as client:
        yield client


async def items_of(client: AsyncOpenAI, conversation_id: str) -> list[dict[str, Any]]:
    """All items, oldest first; each fits the type."""
    page = client.conversations.items.list(conversation_id, order="asc", limit=2)
    return [ITEM.validate_python(item.to_dict()).to_dict() async for item in page]


@needs_todays_sdk
async def test_made_changed_and_deleted(client: AsyncOpenAI) -> None:
    made = valid(await client.conversations.create(metadata={"topic": "demo"}))
    assert made.metadata == {"topic": "demo"}
    assert valid(await client.conversations.retrieve(made.id)) == made
    changed = await client.conversations.update(made.id, metadata={"topic": "other"})
    assert valid(changed).metadata == {"topic": "other"}
    assert await client.conversations.retrieve(made.id) == changed
    deleted = valid(await client.conversations.delete(made.id))
    assert (deleted.id, deleted.deleted) == (made.id, True)
    for call in (client.conversations.retrieve, client.conversations.delete):
        with pytest.raises(openai.NotFoundError) as missing:
            await call(made.id)
        message = f"Conversation with id '{made.id}' not found."
        assert error_of(missing) == (404, None, None, message)
    with pytest.raises(openai.BadRequestError) as wrong:
        await client.conversations.retrieve("resp_1")
    assert error_of(wrong)[1:3] == ("invalid_value", "conversation_id")


@needs_todays_sdk
async def test_items(client: AsyncOpenAI) -> None:
    first: Any = [user("one")]
    made = await client.conversations.create(items=first)
    more: Any = [{"role": "assistant", "content": "two"}, user("one")]
    added = valid(await client.conversations.items.create(made.id, items=more))
    assert (len(added.data), added.has_more) == (2, False)
    items = await items_of(client, made.id)
    assert [item["role"] for item in items] == ["user", "assistant", "user"]
    assert [item["id"] for item in items[1:]] == [added.first_id, added.last_id]
    assert len({item["id"] for item in items}) == 3
    fetch: Any = {"conversation_id": made.id}
    one = await client.conversations.items.retrieve(items[1]["id"], **fetch)
    assert one.to_dict() == items[1]
    assert await client.conversations.items.delete(items[1]["id"], **fetch) == made
    assert await items_of(client, made.id) == [items[0], items[2]]
    with pytest.raises(openai.NotFoundError) as missing:
        await client.conversations.items.retrieve(items[1]["id"], **fetch)
    message = f"Item with id '{items[1]['id']}' not found in conversation."
    assert error_of(missing)[3] == message


async def test_what_is_refused(client: AsyncOpenAI) -> None:
    refusals: list[tuple[Any, str]] = [
        ({"items": [user("x")] * 21}, "array_above_max_length"),
        ({"items": [{"type": "hammer"}]}, "invalid_value"),
        ({"items": "hello"}, "invalid_type"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "object_above_max_properties"),
        ({"metadata": {"k" * 65: "x"}}, "string_above_max_length"),
        ({"metadata": {"k": "x" * 513}}, "string_above_max_length"),
        ({"metadata": {"k": 1}}, "invalid_type"),
        ({"extra_body": {"name": "x"}}, "unknown_parameter"),
    ]
    for fields, code in refusals:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.conversations.create(**fields)
        assert refused.value.code == code


@needs_todays_sdk
async def test_responses_read_from_it_and_append_to_it(client: AsyncOpenAI) -> None:
    made = await client.conversations.create()
    first = valid(await client.responses.create(model=MODEL, input="one", conversation=made.id))
    assert first.conversation is not None
    assert first.conversation.id == made.id
    second = await client.responses.create(
        model=MODEL, input="two", conversation={"id": made.id}, store=False
    )
    assert second.output_text == 'You said: "two". I remember 3 items.'
    items = await items_of(client, made.id)
    assert [item["role"] for item in items] == ["user", "assistant"] * 2
    assert [item["id"] for item in items[1::2]] == [first.output[0].id, second.output[0].id]
    counted = await client.responses.input_tokens.count(conversation=made.id, input="three")
    third = await client.responses.create(model=MODEL, input="three", conversation=made.id)
    assert third.usage is not None
    assert counted.input_tokens == third.usage.input_tokens


async def test_over_a_websocket_and_streamed(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    made = await client.conversations.create()
    async with connected(sandbox) as wire:
        await wire.respond("one", conversation=made.id)
        stream = await client.responses.create(
            model=MODEL, input="two", conversation=made.id, stream=True
        )
        assert [event async for event in stream][-1].type == "response.completed"
        last = await wire.respond("three", conversation=made.id)
    assert text_of(last).endswith("I remember 5 items.")


@needs_todays_sdk
async def test_reasoning_and_calls_are_kept(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    sandbox.script(Answer((Reasoning(("Hm.",)), Call("get_time", {}, "call_1"))))
    made = await client.conversations.create()
    tools: Any = [function_tool("get_time")]
    fields: Any = {"model": "gpt-5", "conversation": made.id, "tools": tools}
    await client.responses.create(input="what time is it?", **fields)
    with pytest.raises(openai.BadRequestError) as without_output:
        await client.responses.create(input="well?", **fields)
    assert "No tool output found" in error_of(without_output)[3]
    output: Any = {"type": "function_call_output", "call_id": "call_1", "output": "12:30"}
    last = await client.responses.create(input=[output], **fields)
    assert last.output_text == "get_time says 12:30."
    kinds = [item["type"] for item in await items_of(client, made.id)]
    assert kinds[:4] == ["message", "reasoning", "function_call", "function_call_output"]


async def test_one_response_at_a_time(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    sandbox.script(Answer(("x",), time_to_first_token=3600))
    made = await client.conversations.create()
    running = await client.responses.create(
        model=MODEL, input="one", conversation=made.id, background=True
    )
    item: Any = user("x")
    for call in (
        client.responses.create(model=MODEL, input="two", conversation=made.id),
        client.conversations.items.create(made.id, items=[item]),
    ):
        with pytest.raises(openai.BadRequestError) as locked:
            await call
        assert error_of(locked) == (
            400,
            "conversation_locked",
            "conversation",
            "Another process is currently operating on this conversation. "
            "Please retry in a few seconds.",
        )
    await client.responses.cancel(running.id)
    after = await client.responses.create(model=MODEL, input="two", conversation=made.id)
    assert after.output_text.endswith("I remember 1 item.")


async def test_what_fails_leaves_it_as_it_was(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    made = await client.conversations.create()
    failing = Answer(("x",), failed={"code": "server_error", "message": "Oh no."})
    sandbox.script(failing)
    failed = await client.responses.create(model=MODEL, input="one", conversation=made.id)
    assert failed.status == "failed"
    assert await items_of(client, made.id) == []


async def test_the_oldest_make_room(client: AsyncOpenAI, sandbox: Sandbox) -> None:
    sandbox.config.max_stored = 1
    first, second = [await client.conversations.create() for _ in range(2)]
    await client.conversations.retrieve(second.id)
    with pytest.raises(openai.NotFoundError):
        await client.conversations.retrieve(first.id)
