"""Messages that cannot be sent are named, and cost the others nothing."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.adapters.llm.base_llm_adapter import LLMContextConversionError
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.context.adapter import ContextMessageError, OpenAIResponsesLLMAdapter
from tests.context.support import (
    PDF,
    call,
    conversation,
    recording_cache,
    result,
    same_objects,
    specific,
    user,
)
from tests.support.contexts import context_of, messages_of

CYCLE: dict[str, Any] = {"type": "thing"}
CYCLE["self"] = CYCLE

BROKEN: dict[str, tuple[Any, str | None]] = {
    "not a dict": ("Hello", None),
    "none": (None, None),
    "no role": ({"content": "Hello"}, None),
    "role that is not text": ({"role": ["user"], "content": "Hello"}, None),
    "unknown role": ({"role": "function", "content": "Hello"}, "function"),
    "no call id": ({"role": "tool", "content": "42"}, "tool"),
    "content": ({"role": "user", "content": 5}, "user"),
    "part": ({"role": "user", "content": ["Hello"]}, "user"),
    "part without a type": ({"role": "user", "content": [{"text": "Hello"}]}, "user"),
    "text part": ({"role": "user", "content": [{"type": "text"}]}, "user"),
    "image part": ({"role": "user", "content": [{"type": "image_url"}]}, "user"),
    "file part": ({"role": "user", "content": [{"type": "file_base64", "file": 1}]}, "user"),
    "file type": (
        {"role": "user", "content": [{"type": "file_base64", "file": {"file_data": PDF}}]},
        "user",
    ),
    "file scheme": (
        LLMContext.create_file_url_message(format="application/pdf", url="s3://bucket/a.pdf"),
        "user",
    ),
    "bytes": ({"role": "user", "content": [{"type": "new", "x": b"1"}]}, "user"),
    "object": (result("c1", {"x": object()}), "tool"),
    "keys": (result("c1", {1: 2}), "tool"),
    "huge number": (result("c1", {"x": 10**5000}), "tool"),
    "cycle": ({"role": "user", "content": [CYCLE]}, "user"),
    "call": ({"role": "assistant", "tool_calls": [{"id": "c1"}]}, "assistant"),
    "call without an id": (
        {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]},
        "assistant",
    ),
    "calls": ({"role": "assistant", "tool_calls": 5}, "assistant"),
    "specific": (specific("Hello"), "specific to openai_responses"),
    "specific object": (specific({"x": object()}), "specific to openai_responses"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_message_is_named(adapter: OpenAIResponsesLLMAdapter, name: str) -> None:
    message, role = BROKEN[name]
    context = LLMContext([user("Hi"), call("c1"), message, user("Bye")])
    with pytest.raises(ContextMessageError) as caught:
        await adapter.convert(context)
    assert isinstance(caught.value, LLMContextConversionError)
    assert caught.value.index == 2
    assert caught.value.role == role
    assert "message 2 " in str(caught.value)
    assert repr(role) in str(caught.value)
    assert "Correct the message" in str(caught.value)


async def test_a_broken_message_does_not_cost_the_others(
    adapter: OpenAIResponsesLLMAdapter,
) -> None:
    context = LLMContext(conversation(20))
    first = await adapter.convert(context)
    messages_of(context)[50]["content"] = 5
    context.add_message(user("Bye"))
    with pytest.raises(ContextMessageError, match="message 50 "):
        await adapter.convert(context)
    messages_of(context)[50]["content"] = "Better"
    again = await adapter.convert(context)
    assert again.items[50].wire == {"role": "user", "content": "Better"}
    assert same_objects(first.items[:50], again.items[:50])
    assert same_objects(first.items[51:], again.items[51:-1])


async def test_what_comes_before_a_broken_message_is_kept(
    adapter: OpenAIResponsesLLMAdapter,
) -> None:
    seen: list[Any] = []
    cache = recording_cache(adapter, seen)
    context = context_of(*conversation(20), {"role": "?"})
    with pytest.raises(ContextMessageError, match="message 100 "):
        await cache.convert(context)
    seen.clear()
    messages_of(context)[100] = user("Fine")
    await cache.convert(context)
    assert seen == [user("Fine")]


@pytest.mark.parametrize("times", [1, 70_000])
async def test_half_a_character_is_replaced(
    adapter: OpenAIResponsesLLMAdapter, warnings: list[str], times: int
) -> None:
    context = LLMContext([{"role": "user", "content": "Hi \ud83d\ude00 " + "\ud800" * times}])
    for _ in range(2):
        [item] = (await adapter.convert(context)).items
        assert item.wire["content"] == "Hi \U0001f600 " + "\ufffd" * times
    assert len(warnings) == 1
