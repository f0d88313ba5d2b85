"""Each message is converted once, wherever it stands, for as long as it is as it was."""

from __future__ import annotations

import copy
import gc
from typing import Any
from weakref import ref

import msgspec
import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.context.adapter import OpenAIResponsesLLMAdapter
from tests.context.support import (
    IMAGE,
    assistant,
    call,
    conversation,
    converted,
    reasoning,
    recording_cache,
    result,
    same_objects,
    specific,
    user,
    wires,
)
from tests.support.contexts import context_of, messages_of


async def test_unchanged_messages_give_the_same_objects(
    adapter: OpenAIResponsesLLMAdapter,
) -> None:
    context = LLMContext(conversation(200))
    first = await adapter.convert(context)
    again = await adapter.convert(context)
    assert first.items is not again.items
    assert same_objects(first.items, again.items)
    context.add_message(user("And now?"))
    more = await adapter.convert(context)
    assert same_objects(first.items, more.items[:-1])
    assert more.items[-1].wire == {"role": "user", "content": "And now?"}


async def test_only_new_messages_are_converted(adapter: OpenAIResponsesLLMAdapter) -> None:
    seen: list[Any] = []
    cache = recording_cache(adapter, seen)
    context = LLMContext(conversation(100))
    await cache.convert(context)
    seen.clear()
    for turn in range(3):
        context.add_message(call(f"new{turn}"))
        context.add_message(result(f"new{turn}", "IN_PROGRESS"))
        await cache.convert(context)
        messages_of(context)[-1]["content"] = "done"
        await cache.convert(context)
        assert len(seen) == 3
        seen.clear()


async def test_a_list_that_is_changed_by_the_caller_is_its_own(
    adapter: OpenAIResponsesLLMAdapter,
) -> None:
    context = LLMContext(conversation(2))
    (await adapter.convert(context)).items.clear()
    assert len((await adapter.convert(context)).items) == 10


@pytest.mark.parametrize("place", [3, 700, 998])
async def test_a_change_in_place_is_noticed(adapter: OpenAIResponsesLLMAdapter, place: int) -> None:
    messages = conversation(200)
    context = LLMContext(messages)
    place -= place % 5 - 3
    messages[place]["content"] = "IN_PROGRESS"
    first = await adapter.convert(context)
    assert first.items[place].wire["output"] == "IN_PROGRESS"
    messages[place]["content"] = "done"
    again = await adapter.convert(context)
    assert again.items[place].wire["output"] == "done"
    assert first.items[place].wire["output"] == "IN_PROGRESS"
    for items in (first.items, again.items):
        del items[place]
    assert same_objects(first.items, again.items)


async def test_changes_deep_inside_are_noticed(adapter: OpenAIResponsesLLMAdapter) -> None:
    part: dict[str, Any] = {"type": "image_url", "image_url": {"url": IMAGE}}
    thought = reasoning("rs_1")
    messages: list[Any] = [{"role": "user", "content": [part]}, call("c1"), result("c1"), thought]
    messages.append(assistant("Yes"))
    context = LLMContext(messages)
    before = await adapter.convert(context)
    part["image_url"]["detail"] = "high"
    messages[1]["tool_calls"][0]["function"]["arguments"] = "{}"
    thought.message["encrypted_content"] = "other"
    after = wires(await adapter.convert(context))
    assert after[0]["content"][0]["detail"] == "high"
    assert after[1]["arguments"] == "{}"
    assert after[3]["encrypted_content"] == "other"
    assert wires(before)[3]["encrypted_content"] == "secret rs_1"
    thought.llm = "google"
    assert len((await adapter.convert(context)).items) == 4


@pytest.mark.parametrize("values", [(1, True), (1, 1.0), (0.0, -0.0), (False, 0)])
async def test_values_that_only_python_calls_equal(
    adapter: OpenAIResponsesLLMAdapter, values: tuple[Any, Any]
) -> None:
    one, other = values
    payload = {"type": "thing", "value": one}
    output = {"value": one}
    context = LLMContext([specific(payload), call("c1"), result("c1", output)])
    await adapter.convert(context)
    payload["value"] = other
    output["value"] = other
    items = (await adapter.convert(context)).items
    assert items[0].pieces == (msgspec.json.encode({"type": "thing", "value": other}),)
    assert items[2].wire["output"] == msgspec.json.encode({"value": other}).decode()
    again = (await adapter.convert(context)).items
    assert same_objects(items, again)


async def test_objects_that_refuse_to_be_compared(adapter: OpenAIResponsesLLMAdapter) -> None:
    class Array:
        def __eq__(self, other: object) -> bool:
            raise ValueError("ambiguous")

        __hash__ = None  # type: ignore[assignment]

    message = {**user("Hi"), "samples": Array()}
    context = context_of(message)
    first = await adapter.convert(context)
    assert same_objects(first.items, (await adapter.convert(context)).items)
    message["samples"] = Array()
    assert wires(await adapter.convert(context)) == wires(first)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda messages: messages[50:], id="trimmed"),
        pytest.param(lambda messages: [user("So far: …"), *messages[100:]], id="summarised"),
        pytest.param(lambda messages: messages[:20] + messages[40:], id="cut out"),
        pytest.param(lambda messages: messages[100:] + messages[:100], id="re-ordered"),
        pytest.param(lambda messages: messages[:-10], id="shortened"),
    ],
)
async def test_messages_that_moved_are_not_converted_again(
    adapter: OpenAIResponsesLLMAdapter, edit: Any
) -> None:
    context = LLMContext(conversation(60))
    first = await adapter.convert(context)
    before = {id(entry) for entry in first.items}
    context.set_messages(edit(list(context.get_messages())))
    after = await adapter.convert(context)
    fresh = [entry for entry in after.items if id(entry) not in before]
    assert len(fresh) <= 1
    assert wires(after) == await converted(OpenAIResponsesLLMAdapter(), context.get_messages())
    assert len(first.items) == 300


@pytest.mark.parametrize("copied", [list, copy.deepcopy])
async def test_a_copied_context_is_not_converted_again(
    adapter: OpenAIResponsesLLMAdapter, copied: Any
) -> None:
    context = LLMContext(conversation(60))
    first = await adapter.convert(context)
    other = LLMContext(copied(context.get_messages()))
    other.add_message(user("What if?"))
    speculative = await adapter.convert(other)
    assert same_objects(first.items, speculative.items[:-1])
    # Each goes its own way from there.
    context.add_message(user("Or this?"))
    messages_of(other)[3]["content"] = "changed"
    other_items = await adapter.convert(other)
    items = await adapter.convert(context)
    assert wires(items)[-1]["content"] == "Or this?"
    assert wires(other_items)[-1]["content"] == "What if?"
    assert wires(other_items)[3]["output"] == "changed"
    if copied is copy.deepcopy:
        assert same_objects(first.items, items.items[:-1])


async def test_shared_messages_of_different_contexts(adapter: OpenAIResponsesLLMAdapter) -> None:
    messages = conversation(20)
    context = LLMContext(messages)
    first = await adapter.convert(context)
    other = await adapter.convert(LLMContext([user("Sum up:"), *messages]))
    assert same_objects(first.items, other.items[1:])


async def test_nothing_is_kept_of_a_context_that_is_gone(
    adapter: OpenAIResponsesLLMAdapter,
) -> None:
    cache = recording_cache(adapter, [])
    context = LLMContext(conversation(3))
    await cache.convert(context)
    gone = ref(context)
    del context
    gc.collect()
    assert gone() is None
    assert len(cache._contexts) == 0
    assert len(cache._messages) == 0
