"""A conversion tells which message of the context each of its items came from."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.context.adapter import Conversion, OpenAIResponsesLLMAdapter
from tests.context.support import (
    assistant,
    call,
    conversation,
    reasoning,
    result,
    specific,
    tool_call,
    user,
    wires,
)
from tests.support.contexts import context_of


def origins(conversion: Conversion) -> list[int | None]:
    return [conversion.message_of(index) for index in range(len(conversion.items))]


CALLS = {
    "role": "assistant",
    "content": "One moment.",
    "tool_calls": [tool_call("c1"), tool_call("c2")],
}

# Messages, and for each item that they give the index of its message.
ORIGINS: dict[str, tuple[list[Any], list[int | None]]] = {
    "nothing": ([], []),
    "one for one": ([user("Hi"), assistant("Hello"), user("Bye")], [0, 1, 2]),
    "several of one": ([user("Hi"), CALLS, result("c1"), result("c2")], [0, 1, 1, 1, 2, 3]),
    "none of one": (
        [{"role": "user", "content": None}, user("Hi"), specific({}, "google"), user("Bye")],
        [1, 3],
    ),
    "stands in": ([user("Hi"), CALLS, result("c2"), user("Bye")], [0, 1, 1, 1, None, 2, 3]),
    "left out": ([result("c1"), user("Hi"), reasoning("rs_1"), user("Bye")], [1, 3]),
    "left out at the end": ([user("Hi"), reasoning("rs_1")], [0]),
    "another id": (
        [call("c1"), result("c1"), call("c1"), result("c1"), user("Bye")],
        [0, 1, 2, 3, 4],
    ),
    "in the place of the first": (
        [call("c1"), result("c1", "a"), user("Well?"), result("c1", "b"), result("c1", "c")],
        [0, 4, 2],
    ),
    "in the place of the first, under another id": (
        [*(call("c1"), result("c1"), call("c1"), result("c1", "a")), user("?"), result("c1", "b")],
        [0, 1, 2, 5, 4],
    ),
    "everything at once": (
        [
            *(result("gone"), user("Hi"), reasoning("rs_1"), user("Wait")),
            *(CALLS, result("c2", "a"), result("c2", "b"), call("c2"), assistant("So")),
        ],
        [1, 3, 4, 4, 4, None, 6, 7, None, 8],
    ),
}


@pytest.mark.parametrize("name", ORIGINS)
async def test_origins(adapter: OpenAIResponsesLLMAdapter, name: str) -> None:
    messages, expected = ORIGINS[name]
    conversion = await adapter.convert(LLMContext(messages))
    assert origins(conversion) == expected
    assert conversion.messages == len(messages)
    with pytest.raises(IndexError):
        conversion.message_of(len(expected))


async def test_a_message_that_stands_in_two_places(adapter: OpenAIResponsesLLMAdapter) -> None:
    context = LLMContext([user("Again")])
    await adapter.convert(context)
    message = context.get_messages()[0]
    context.add_messages([assistant("Yes"), message, message])
    conversion = await adapter.convert(context)
    assert conversion.items[0] is conversion.items[2]
    assert origins(conversion) == [0, 1, 2, 3]


async def test_an_item_made_of_the_instructions_has_no_message(
    adapter: OpenAIResponsesLLMAdapter,
) -> None:
    context = context_of(result("c1"), {"role": "user", "content": None})
    conversion = await adapter.convert(context, system_instruction="Be kind.")
    assert len(conversion.items) == 1
    assert origins(conversion) == [None]
    assert conversion.messages == 2
    assert (await adapter.convert(LLMContext())).messages == 0


async def test_the_answer_is_about_the_context_as_it_was(
    adapter: OpenAIResponsesLLMAdapter,
) -> None:
    context = LLMContext([user("Hi"), call("c1"), user("Well?")])
    first = await adapter.convert(context)
    messages = context.get_messages()
    messages.append(result("c1"))
    second = await adapter.convert(context)
    messages.insert(0, user("Earlier"))
    third = await adapter.convert(context)
    del messages[:]
    await adapter.convert(context)
    assert origins(first) == [0, 1, None, 2]
    assert origins(second) == [0, 1, 2, 3]
    assert origins(third) == [0, 1, 2, 3, 4]
    assert [each.messages for each in (first, second, third)] == [3, 4, 5]


async def test_the_answer_is_about_the_items_as_they_were(
    adapter: OpenAIResponsesLLMAdapter,
) -> None:
    conversion = await adapter.convert(LLMContext([user("Hi"), assistant("Hello")]))
    conversion.items.clear()
    assert conversion.message_of(1) == 1


async def test_asking_changes_nothing_and_says_nothing(
    adapter: OpenAIResponsesLLMAdapter, warnings: list[str]
) -> None:
    context = LLMContext([result("gone"), call("open"), *conversation(50)])
    first = await adapter.convert(context)
    before, heard = wires(first), len(warnings)
    expected = [1, None, *range(2, 252)]
    assert origins(first) == expected
    assert origins(first) == expected
    assert wires(first) == before
    assert wires(await adapter.convert(context)) == before
    assert len(warnings) == heard
