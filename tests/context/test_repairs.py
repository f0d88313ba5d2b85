"""What the API would refuse for ever after is repaired."""

from __future__ import annotations

from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.context.adapter import OpenAIResponsesLLMAdapter
from pipecat_responses.protocol.repairs import NOT_COMPLETED
from tests.context.support import (
    assistant,
    call,
    call_item,
    conversation,
    output_item,
    reasoning,
    reasoning_item,
    result,
    same_objects,
    specific,
    user,
    wires,
)


async def repaired(
    adapter: OpenAIResponsesLLMAdapter, messages: list[Any], warnings: list[str]
) -> list[Any]:
    context = LLMContext(messages)
    first = await adapter.convert(context)
    heard = len(warnings)
    again = await adapter.convert(context)
    assert same_objects(first.items, again.items)
    assert len(warnings) == heard
    return wires(again)


async def test_a_call_without_an_output_gets_one(
    adapter: OpenAIResponsesLLMAdapter, warnings: list[str]
) -> None:
    messages = [user("Hi"), call("c1"), user("Hello?")]
    assert await repaired(adapter, messages, warnings) == [
        {"role": "user", "content": "Hi"},
        call_item("c1"),
        output_item("c1", NOT_COMPLETED),
        {"role": "user", "content": "Hello?"},
    ]
    assert len(warnings) == 1
    assert "'c1'" in warnings[0]


async def test_outputs_stand_behind_their_group(
    adapter: OpenAIResponsesLLMAdapter, warnings: list[str]
) -> None:
    messages = [call("c1"), call("c2"), call("c3"), result("c2"), call("c4")]
    assert await repaired(adapter, messages, warnings) == [
        call_item("c1"),
        call_item("c2"),
        call_item("c3"),
        output_item("c1", NOT_COMPLETED),
        output_item("c3", NOT_COMPLETED),
        output_item("c2"),
        call_item("c4"),
        output_item("c4", NOT_COMPLETED),
    ]
    assert len(warnings) == 3


async def test_an_output_that_comes_late_is_taken(
    adapter: OpenAIResponsesLLMAdapter, warnings: list[str]
) -> None:
    context = LLMContext([call("c1"), user("Hello?")])
    assert len((await adapter.convert(context)).items) == 3
    context.add_message(result("c1"))
    assert wires(await adapter.convert(context)) == [
        call_item("c1"),
        {"role": "user", "content": "Hello?"},
        output_item("c1"),
    ]
    context.get_messages().pop()
    assert len((await adapter.convert(context)).items) == 3
    assert len(warnings) == 1


async def test_an_output_without_its_call_is_left_out(
    adapter: OpenAIResponsesLLMAdapter, warnings: list[str]
) -> None:
    messages = [result("c1"), user("Hi"), call("c2"), result("c2")]
    assert await repaired(adapter, messages, warnings) == [
        {"role": "user", "content": "Hi"},
        call_item("c2"),
        output_item("c2"),
    ]
    assert len(warnings) == 1
    assert "'c1'" in warnings[0]


async def test_a_call_id_that_is_used_again_becomes_another(
    adapter: OpenAIResponsesLLMAdapter, warnings: list[str]
) -> None:
    long_id = "x" * 64
    messages = [
        *(call("c1"), result("c1", "one")),
        *(call("c1"), result("c1", "two")),
        *(call("c1"), call("c1"), result("c1", "three"), result("c1", "four")),
        *(call("c1_2"), result("c1_2")),
        *(call(long_id), result(long_id), call(long_id), result(long_id)),
    ]
    assert await repaired(adapter, messages, warnings) == [
        *(call_item("c1"), output_item("c1", "one")),
        *(call_item("c1_2"), output_item("c1_2", "two")),
        *(call_item("c1_3"), call_item("c1_4")),
        *(output_item("c1_3", "three"), output_item("c1_4", "four")),
        *(call_item("c1_2_2"), output_item("c1_2_2")),
        *(call_item(long_id), output_item(long_id)),
        *(call_item("x" * 62 + "_2"), output_item("x" * 62 + "_2")),
    ]
    assert len(warnings) == 3


async def test_the_last_output_of_a_call_takes_the_place_of_the_first(
    adapter: OpenAIResponsesLLMAdapter, warnings: list[str]
) -> None:
    messages = [call("c1"), result("c1", "IN_PROGRESS"), user("Well?"), result("c1", "42")]
    assert await repaired(adapter, messages, warnings) == [
        call_item("c1"),
        output_item("c1", "42"),
        {"role": "user", "content": "Well?"},
    ]
    assert len(warnings) == 1
    messages = [call("c2"), result("c2"), call("c2"), result("c2", "a"), result("c2", "b")]
    assert await repaired(adapter, messages, warnings) == [
        *(call_item("c2"), output_item("c2")),
        *(call_item("c2_2"), output_item("c2_2", "b")),
    ]


async def test_reasoning_that_led_to_nothing_is_left_out(
    adapter: OpenAIResponsesLLMAdapter, warnings: list[str]
) -> None:
    messages: list[Any] = [
        *(reasoning("rs_1"), user("Wait")),
        *(reasoning("rs_2"), reasoning("rs_3"), call("c1")),
        *(reasoning("rs_4"), result("c1")),
        *(reasoning("rs_5"), result("gone"), assistant("Yes")),
        *(reasoning("rs_6"), specific({"type": "web_search_call", "id": "ws"})),
        *(reasoning("rs_7"), {"role": "assistant", "content": ""}, user("And?")),
        *(reasoning("rs_8"), result("gone"), reasoning("rs_9")),
    ]
    expected = [
        {"role": "user", "content": "Wait"},
        *(reasoning_item("rs_2"), reasoning_item("rs_3"), call_item("c1"), output_item("c1")),
        *(reasoning_item("rs_5"), {"role": "assistant", "content": "Yes"}),
        *(reasoning_item("rs_6"), {"type": "web_search_call", "id": "ws"}),
        {"role": "user", "content": "And?"},
    ]
    assert await repaired(adapter, messages, warnings) == expected
    assert len(warnings) == 1
    context = LLMContext([*messages, assistant("So.")])
    assert wires(await adapter.convert(context)) == [
        *expected,
        *(reasoning_item("rs_8"), reasoning_item("rs_9")),
        {"role": "assistant", "content": "So."},
    ]


async def test_an_old_repair_leaves_the_rest_alone(
    adapter: OpenAIResponsesLLMAdapter, warnings: list[str]
) -> None:
    context = LLMContext([call("open"), result("gone"), *conversation(50)])
    first = await adapter.convert(context)
    context.add_message(user("More"))
    second = await adapter.convert(context)
    assert same_objects(first.items, second.items[:-1])
    assert len(warnings) == 2
