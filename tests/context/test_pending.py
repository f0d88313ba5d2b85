"""A conversation is settled up to the first call whose result is still to come."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.context.adapter import OpenAIResponsesLLMAdapter
from pipecat_responses.context.pending import IN_PROGRESS, settled
from pipecat_responses.protocol.items import make_item
from tests.context.support import (
    assistant,
    call,
    call_item,
    output_item,
    reasoning_item,
    result,
    user,
)
from tests.support.contexts import messages_of


@pytest.mark.parametrize(
    ("wires", "length"),
    [
        pytest.param([], 0, id="nothing"),
        pytest.param([user("Hi"), assistant("Hello")], 2, id="no calls"),
        pytest.param([user("Hi"), call_item("c1"), output_item("c1")], 3, id="done"),
        pytest.param(
            [user("Hi"), call_item("c1"), output_item("c1", "IN_PROGRESS"), user("Well?")],
            1,
            id="running",
        ),
        pytest.param(
            [
                *(user("Hi"), call_item("c1"), call_item("c2"), call_item("c3")),
                *(output_item("c1"), output_item("c2", "IN_PROGRESS")),
                output_item("c3", "IN_PROGRESS"),
            ],
            2,
            id="one of several",
        ),
        pytest.param(
            [
                *(call_item("c1"), output_item("c1", "IN_PROGRESS"), user("And?")),
                *(call_item("c2"), output_item("c2")),
            ],
            0,
            id="a later one is done",
        ),
        pytest.param(
            [reasoning_item("rs_1"), call_item("c1"), output_item("c1", "IN_PROGRESS")],
            1,
            id="reasoning",
        ),
        pytest.param([user("Hi"), output_item("c1", "IN_PROGRESS")], 1, id="no call"),
        pytest.param([user("IN_PROGRESS"), assistant("IN_PROGRESS")], 2, id="said"),
        pytest.param(
            [call_item("c1"), output_item("c1", [{"type": "input_text", "text": "IN_PROGRESS"}])],
            2,
            id="part",
        ),
    ],
)
def test_what_is_settled(wires: list[Any], length: int) -> None:
    items = [make_item(wire) for wire in wires]
    found = settled(items)
    assert len(found) == length
    assert all(one is other for one, other in zip(found, items, strict=False))


def test_a_settled_conversation_is_not_copied() -> None:
    items = [make_item(user("Hi"))]
    assert settled(items) is items


async def test_a_result_settles_its_call(adapter: OpenAIResponsesLLMAdapter) -> None:
    context = LLMContext([user("Hi"), call("c1"), result("c1", IN_PROGRESS)])
    assert len(settled((await adapter.convert(context)).items)) == 1
    messages_of(context)[-1]["content"] = "42"
    assert len(settled((await adapter.convert(context)).items)) == 3
