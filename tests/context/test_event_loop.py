"""Large messages and many of them, calls at the same time, and calls that are cancelled."""

from __future__ import annotations

import asyncio

import msgspec
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.context.adapter import OpenAIResponsesLLMAdapter
from tests.context.support import (
    call,
    conversation,
    converted,
    picture,
    result,
    same_objects,
    user,
    wires,
)
from tests.support.contexts import context_of, messages_of


async def ticks(counted: list[int]) -> None:
    while True:
        counted[0] += 1
        await asyncio.sleep(0)


async def test_a_large_image_is_encoded_in_steps_and_once(
    adapter: OpenAIResponsesLLMAdapter,
) -> None:
    context = LLMContext([user("Hi"), picture(3_000_000)])
    counted = [0]
    clock = asyncio.create_task(ticks(counted))
    first = await adapter.convert(context)
    assert counted[0] >= 10
    pieces = first.items[1].pieces
    assert len(pieces) >= 10
    assert b"".join(pieces) == msgspec.json.encode(first.items[1].wire)
    before = counted[0]
    context.add_message(user("More"))
    again = await adapter.convert(context)
    assert counted[0] == before
    clock.cancel()
    assert again.items[1] is first.items[1]


async def test_a_large_output_keeps_its_pieces_under_another_id(
    adapter: OpenAIResponsesLLMAdapter,
) -> None:
    large = [{"type": "image_url", "image_url": {"url": "data:," + "A" * 1_000_000}}]
    context = LLMContext([call("c1"), result("c1"), call("c1"), result("c1", large)])
    items = (await adapter.convert(context)).items
    assert items[3].wire["call_id"] == "c1_2"
    assert len(items[3].pieces) >= 4
    assert b"".join(items[3].pieces) == msgspec.json.encode(items[3].wire)


async def test_many_messages_at_once_let_others_work(adapter: OpenAIResponsesLLMAdapter) -> None:
    counted = [0]
    clock = asyncio.create_task(ticks(counted))
    await adapter.convert(LLMContext(conversation(300)))
    clock.cancel()
    assert counted[0] >= 5


async def test_calls_at_the_same_time(adapter: OpenAIResponsesLLMAdapter) -> None:
    context = context_of(user("Hi"), picture(1_000_000), call("c1"), result("c1", "IN_PROGRESS"))
    messages = messages_of(context)
    other = LLMContext([user("Sum up:"), messages[1]])
    first = asyncio.create_task(adapter.convert(context))
    elsewhere = asyncio.create_task(adapter.convert(other))
    await asyncio.sleep(0)
    # The context goes on while its picture is being encoded.
    messages[3]["content"] = "42"
    messages.append(user("More"))
    second = await adapter.convert(context)
    assert [wire.get("output") for wire in wires(await first)] == [None] * 3 + ["IN_PROGRESS"]
    assert wires(second)[3]["output"] == "42"
    assert wires(second)[4]["content"] == "More"
    assert wires(await elsewhere)[1] == wires(second)[1]
    final = await adapter.convert(context)
    assert wires(final) == wires(second)
    assert same_objects(final.items, (await adapter.convert(context)).items)


async def test_a_conversion_that_is_cancelled(adapter: OpenAIResponsesLLMAdapter) -> None:
    context = LLMContext([user("Hi"), picture(1_000_000), picture(1_000_000), user("Bye")])
    for steps in range(1, 12):
        task = asyncio.create_task(adapter.convert(context))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    expected = await converted(OpenAIResponsesLLMAdapter(), context.get_messages())
    assert wires(await adapter.convert(context)) == expected
