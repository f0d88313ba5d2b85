"""A context becomes items: what each message gives, and that it is converted once."""

from __future__ import annotations

import asyncio
import copy
import gc
from collections.abc import Iterator
from typing import Any
from weakref import ref

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger
from openai import NOT_GIVEN as OPENAI_NOT_GIVEN
from pipecat.adapters.llm.base_llm_adapter import LLMContextConversionError
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import AdapterType, ToolsSchema
from pipecat.adapters.llm.services import open_ai_responses_adapter as pipecat_adapter
from pipecat.processors.aggregators import async_tool_messages
from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage
from pipecat.utils.file_resolver import FileResolver

from pipecat_responses.context.adapter import (
    ContextMessageError,
    Conversion,
    OpenAIResponsesLLMAdapter,
)
from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.repairs import NOT_COMPLETED


@pytest.fixture
def adapter() -> OpenAIResponsesLLMAdapter:
    return OpenAIResponsesLLMAdapter()


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    heard: list[str] = []
    sink = logger.add(lambda entry: heard.append(entry.record["message"]), level="WARNING")
    yield heard
    logger.remove(sink)


def specific(message: Any, llm: str = "openai_responses") -> LLMSpecificMessage:
    return LLMSpecificMessage(llm=llm, message=message)


def call(call_id: str, name: str = "look_up", arguments: Any = '{"a": 1}') -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "tool_calls": [{"id": call_id, "type": "function", "function": function}],
    }


def result(call_id: str, content: Any = "42") -> dict[str, Any]:
    return {"role": "tool", "content": content, "tool_call_id": call_id}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def reasoning(item_id: str) -> LLMSpecificMessage:
    return specific(
        {
            "type": "reasoning",
            "id": item_id,
            "summary": [],
            "encrypted_content": f"secret {item_id}",
        }
    )


def call_item(call_id: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "call_id": call_id,
        "name": "look_up",
        "arguments": '{"a": 1}',
    }


def output_item(call_id: str, output: Any = "42") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def reasoning_item(item_id: str) -> dict[str, Any]:
    return reasoning(item_id).message


def wires(conversion: Conversion) -> list[Any]:
    for entry in conversion.items:
        # What was encoded is what the item says.
        assert b"".join(entry.pieces) == msgspec.json.encode(entry.wire)
    return [entry.wire for entry in conversion.items]


async def converted(adapter: OpenAIResponsesLLMAdapter, messages: list[Any]) -> list[Any]:
    return wires(await adapter.convert(LLMContext(messages)))


def same_objects(one: list[Item], other: list[Item]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


IMAGE = "data:image/png;base64,AAAA"
PDF = "data:application/pdf;base64,AAAA"

# Messages, what they give, and whether Pipecat's own adapter gives the same.
MESSAGES: dict[str, tuple[list[Any], list[Any], bool]] = {
    "system": (
        [{"role": "system", "content": "Be kind."}],
        [{"role": "developer", "content": "Be kind."}],
        True,
    ),
    "developer": (
        [{"role": "developer", "content": [{"type": "text", "text": "Be kind."}]}],
        [{"role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]}],
        True,
    ),
    "user": ([user("Hello")], [{"role": "user", "content": "Hello"}], True),
    "empty user text": ([user("")], [{"role": "user", "content": ""}], True),
    "user parts": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look"},
                    {"type": "image_url", "image_url": {"url": IMAGE}},
                    {"type": "image_url", "image_url": {"url": "https://x/a.png", "detail": "low"}},
                ],
            }
        ],
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Look"},
                    {"type": "input_image", "image_url": IMAGE, "detail": "auto"},
                    {"type": "input_image", "image_url": "https://x/a.png", "detail": "low"},
                ],
            }
        ],
        True,
    ),
    "parts of the Responses API": (
        [
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "Hi"}, {"type": "new", "n": 1}],
            }
        ],
        [
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "Hi"}, {"type": "new", "n": 1}],
            }
        ],
        True,
    ),
    "audio": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
                ],
            }
        ],
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
                ],
            }
        ],
        True,
    ),
    "file": (
        [
            {
                "role": "user",
                "content": [
                    {
                        "type": "file_base64",
                        "file": {
                            "file_data": PDF,
                            "filename": "a.pdf",
                            "mime_type": "application/pdf",
                        },
                    }
                ],
            }
        ],
        [
            {
                "role": "user",
                "content": [{"type": "input_file", "filename": "a.pdf", "file_data": PDF}],
            }
        ],
        True,
    ),
    "image file": (
        [
            {
                "role": "user",
                "content": [
                    {
                        "type": "file_base64",
                        "file": {"file_data": IMAGE, "filename": "", "mime_type": "image/png"},
                    }
                ],
            }
        ],
        [
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": IMAGE, "detail": "auto"}],
            }
        ],
        # The API's reference calls `detail` required; Pipecat leaves it out here.
        False,
    ),
    "file URL": (
        [LLMContext.create_file_url_message(format="application/pdf", url="https://x/a.pdf")],
        [
            {
                "role": "user",
                "content": [{"type": "input_file", "file_url": "https://x/a.pdf"}],
            }
        ],
        True,
    ),
    "image URL": (
        [LLMContext.create_file_url_message(format="image/png", url="https://x/a.png")],
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": "https://x/a.png", "detail": "auto"}
                ],
            }
        ],
        False,
    ),
    "assistant": ([assistant("Hello")], [{"role": "assistant", "content": "Hello"}], True),
    "assistant part": (
        [{"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}],
        [{"role": "assistant", "content": "Hello"}],
        # Pipecat sends `input_text`, which the API refuses from the assistant.
        False,
    ),
    "assistant parts": (
        [
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "A"}, {"type": "input_text", "text": "B"}],
            }
        ],
        [
            {
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "A"},
                    {"type": "output_text", "text": "B"},
                ],
            }
        ],
        False,
    ),
    "refusal part": (
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
        True,
    ),
    "refusal": (
        [{"role": "assistant", "content": None, "refusal": "No."}],
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
        False,
    ),
    "text and refusal": (
        [{"role": "assistant", "content": "Hm.", "refusal": "No."}],
        [
            {
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "Hm."},
                    {"type": "refusal", "refusal": "No."},
                ],
            }
        ],
        False,
    ),
    "nothing said": (
        [
            user("Hi"),
            {"role": "assistant", "content": None},
            {"role": "assistant", "content": ""},
            {"role": "assistant", "content": [{"type": "text", "text": ""}]},
            {"role": "user", "content": None},
            {"role": "developer", "content": []},
        ],
        [{"role": "user", "content": "Hi"}],
        False,
    ),
    "call": (
        [call("c1"), result("c1")],
        [call_item("c1"), output_item("c1")],
        True,
    ),
    "call with empty content": (
        [{**call("c1"), "content": ""}, result("c1")],
        [call_item("c1"), output_item("c1")],
        True,
    ),
    "text and calls": (
        [
            {
                "role": "assistant",
                "content": "One moment.",
                "tool_calls": call("c1")["tool_calls"] + call("c2")["tool_calls"],
            },
            result("c1"),
            result("c2"),
        ],
        [
            {"role": "assistant", "content": "One moment."},
            call_item("c1"),
            call_item("c2"),
            output_item("c1"),
            output_item("c2"),
        ],
        # Pipecat loses the text.
        False,
    ),
    "arguments that are not text": (
        [call("c1", arguments={"a": 1}), result("c1"), call("c2", arguments=None), result("c2")],
        [
            {**call_item("c1"), "arguments": '{"a":1}'},
            output_item("c1"),
            {**call_item("c2"), "arguments": "{}"},
            output_item("c2"),
        ],
        False,
    ),
    "async tool": (
        [
            call("c1"),
            async_tool_messages.build_started_message("c1"),
            async_tool_messages.build_final_result_message("c1", "42"),
        ],
        [
            call_item("c1"),
            output_item("c1", async_tool_messages.build_started_message("c1")["content"]),
            {
                "role": "developer",
                "content": async_tool_messages.build_final_result_message("c1", "42")["content"],
            },
        ],
        True,
    ),
    "results": (
        [
            *[call(f"c{number}") for number in range(8)],
            result("c0", None),
            result("c1", {"a": [1, True, None]}),
            result("c2", 5),
            result("c3", [{"type": "text", "text": "one"}]),
            result("c4", [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]),
            result("c5", [{"type": "image_url", "image_url": {"url": IMAGE}}]),
            result("c6", [{"type": "text", "text": "one"}, 2]),
            result("c7", []),
        ],
        [
            *[call_item(f"c{number}") for number in range(8)],
            output_item("c0", ""),
            output_item("c1", '{"a":[1,true,null]}'),
            output_item("c2", "5"),
            output_item("c3", "one"),
            output_item(
                "c4",
                [{"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}],
            ),
            output_item("c5", [{"type": "input_image", "image_url": IMAGE, "detail": "auto"}]),
            output_item("c6", '[{"type":"text","text":"one"},2]'),
            output_item("c7", "[]"),
        ],
        False,
    ),
    "reasoning": (
        [
            specific(
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": "Hm"}],
                    "encrypted_content": "xyz",
                    "status": "completed",
                }
            ),
            assistant("Yes"),
        ],
        [
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Hm"}],
                "encrypted_content": "xyz",
            },
            {"role": "assistant", "content": "Yes"},
        ],
        True,
    ),
    "reasoning without an id": (
        [specific({"type": "reasoning"}), assistant("Yes")],
        [{"type": "reasoning", "summary": []}, {"role": "assistant", "content": "Yes"}],
        False,
    ),
    "an item as it is": (
        [specific({"type": "web_search_call", "id": "ws_1", "status": "completed"})],
        [{"type": "web_search_call", "id": "ws_1", "status": "completed"}],
        True,
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
async def test_every_kind_of_message(adapter: OpenAIResponsesLLMAdapter, name: str) -> None:
    messages, expected, as_pipecat = MESSAGES[name]
    before = copy.deepcopy(messages)
    assert await converted(adapter, messages) == expected
    assert messages == before
    theirs = await pipecat_adapter.OpenAIResponsesLLMAdapter().get_llm_invocation_params(
        LLMContext(messages)
    )
    assert (theirs["input"] == expected) == as_pipecat


async def test_messages_for_other_llms_are_left_out_with_one_warning(
    adapter: OpenAIResponsesLLMAdapter, warnings: list[str]
) -> None:
    messages = [user("Hi"), specific({"x": object()}, "google"), specific({}, "google")]
    for _ in range(2):
        assert await converted(adapter, messages) == [{"role": "user", "content": "Hi"}]
    assert len(warnings) == 1
    assert "'google'" in warnings[0]


# Parameters


class StrictSchema(FunctionSchema):
    def to_default_dict(self) -> dict[str, Any]:
        return {**super().to_default_dict(), "strict": True}


def schema(name: str, cls: type[FunctionSchema] = FunctionSchema) -> FunctionSchema:
    return cls(name, f"Does {name}.", {"a": {"type": "string"}}, ["a"])


async def test_tools(adapter: OpenAIResponsesLLMAdapter) -> None:
    search = {"type": "web_search"}
    tools = ToolsSchema(
        [schema("one"), schema("two", StrictSchema)],
        {AdapterType.OPENAI: [search], AdapterType.GEMINI: [{"google": 1}]},
    )
    adapter.builtin_tools["three"] = schema("three")
    conversion = await adapter.convert(LLMContext([user("Hi")], tools=tools))
    parameters = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    assert conversion.tools == [
        {
            "type": "function",
            "name": name,
            "description": f"Does {name}.",
            "parameters": parameters,
            "strict": strict,
        }
        for name, strict in (("one", None), ("two", True), ("three", None))
    ] + [search]
    theirs = pipecat_adapter.OpenAIResponsesLLMAdapter()
    assert adapter.to_provider_tools_format(tools) == theirs.to_provider_tools_format(tools)


async def test_builtin_tools_come_alone_too(adapter: OpenAIResponsesLLMAdapter) -> None:
    context = LLMContext([user("Hi")])
    assert (await adapter.convert(context)).tools is None
    adapter.builtin_tools["three"] = schema("three")
    tools = (await adapter.convert(context)).tools
    assert tools is not None
    assert [tool["name"] for tool in tools] == ["three"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "function": {"name": "f"}}, {"type": "function", "name": "f"}),
        ({"type": "function", "name": "f"}, {"type": "function", "name": "f"}),
        ({"type": "web_search"}, {"type": "web_search"}),
    ],
)
async def test_tool_choice(adapter: OpenAIResponsesLLMAdapter, choice: Any, expected: Any) -> None:
    context = LLMContext([user("Hi")], tool_choice=choice)
    assert (await adapter.convert(context)).tool_choice == expected
    assert (await adapter.get_llm_invocation_params(context))["tool_choice"] == expected


async def test_instructions(adapter: OpenAIResponsesLLMAdapter) -> None:
    conversion = await adapter.convert(LLMContext([user("Hi")]), system_instruction="Be kind.")
    assert conversion.instructions == "Be kind."
    assert wires(conversion) == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize("messages", [[], [result("c1")], [{"role": "user", "content": None}]])
async def test_instructions_alone_become_an_item(
    adapter: OpenAIResponsesLLMAdapter, messages: list[Any]
) -> None:
    context = LLMContext(messages)
    conversion = await adapter.convert(context, system_instruction="Be kind.")
    assert conversion.instructions is None
    assert wires(conversion) == [{"role": "developer", "content": "Be kind."}]
    again = await adapter.convert(context, system_instruction="Be kind.")
    assert same_objects(conversion.items, again.items)
    assert wires(await adapter.convert(context, system_instruction="Be brief.")) == [
        {"role": "developer", "content": "Be brief."}
    ]
    assert (await adapter.convert(context)).items == []


async def test_invocation_params(adapter: OpenAIResponsesLLMAdapter) -> None:
    context = LLMContext([user("Hi"), {"role": "user", "content": [{"type": "text", "text": "x"}]}])
    params = await adapter.get_llm_invocation_params(context, system_instruction="Be kind.")
    expected = [
        {"role": "user", "content": "Hi"},
        {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
    ]
    assert params == {"input": expected, "tools": OPENAI_NOT_GIVEN, "instructions": "Be kind."}
    # They are the caller's: what becomes of them does not show.
    params["input"][1]["content"].clear()
    assert (await adapter.get_llm_invocation_params(context))["input"] == expected


async def test_a_system_message_beside_an_instruction_warns_once(
    adapter: OpenAIResponsesLLMAdapter, warnings: list[str]
) -> None:
    context = LLMContext([{"role": "system", "content": "Be kind."}])
    for _ in range(2):
        await adapter.convert(context, system_instruction="Be brief.")
    assert sum("Both system_instruction" in warning for warning in warnings) == 1


# Each message once


def conversation(turns: int) -> list[Any]:
    messages: list[Any] = []
    for turn in range(turns):
        messages += [
            user(f"Question {turn}"),
            reasoning(f"rs_{turn}"),
            call(f"c{turn}"),
            result(f"c{turn}"),
            assistant(f"Answer {turn}"),
        ]
    return messages


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


async def test_only_new_messages_are_converted(
    adapter: OpenAIResponsesLLMAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = LLMContext(conversation(100))
    await adapter.convert(context)
    seen: list[Any] = []
    original = adapter._wires
    monkeypatch.setattr(
        adapter, "_wires", lambda message: seen.append(message) or original(message)
    )
    for turn in range(3):
        context.add_message(call(f"new{turn}"))
        context.add_message(result(f"new{turn}", "IN_PROGRESS"))
        await adapter.convert(context)
        context.get_messages()[-1]["content"] = "done"
        await adapter.convert(context)
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
    part = {"type": "image_url", "image_url": {"url": IMAGE}}
    thought = reasoning("rs_1")
    messages = [{"role": "user", "content": [part]}, call("c1"), result("c1"), thought]
    messages.append(assistant("Yes"))
    context = LLMContext(messages)
    before = await adapter.convert(context)
    part["image_url"]["detail"] = "high"  # type: ignore[index]
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
    message = result("c1", {"value": one})
    context = LLMContext([specific(payload), call("c1"), message])
    await adapter.convert(context)
    payload["value"] = other
    message["content"]["value"] = other
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
    context = LLMContext([message])
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
    other.get_messages()[3]["content"] = "changed"
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
    context = LLMContext(conversation(3))
    await adapter.convert(context)
    gone = ref(context)
    del context
    gc.collect()
    assert gone() is None
    assert len(adapter._histories) == 0
    assert len(adapter._entries) == 0


# Repairs


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
    messages = [
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


# Messages that cannot be sent

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
    "surrogate": ({"role": "user", "content": "\ud800"}, "user"),
    "large surrogate": ({"role": "user", "content": "\ud800" * 70000}, "user"),
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
    context.get_messages()[50]["content"] = 5
    context.add_message(user("Bye"))
    with pytest.raises(ContextMessageError, match="message 50 "):
        await adapter.convert(context)
    context.get_messages()[50]["content"] = "Better"
    again = await adapter.convert(context)
    assert again.items[50].wire == {"role": "user", "content": "Better"}
    assert same_objects(first.items[:50], again.items[:50])
    assert same_objects(first.items[51:], again.items[51:-1])


async def test_what_comes_before_a_broken_message_is_kept(
    adapter: OpenAIResponsesLLMAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = LLMContext([*conversation(20), {"role": "?"}])
    with pytest.raises(ContextMessageError, match="message 100 "):
        await adapter.convert(context)
    seen: list[Any] = []
    original = adapter._wires
    monkeypatch.setattr(
        adapter, "_wires", lambda message: seen.append(message) or original(message)
    )
    context.get_messages()[100] = user("Fine")
    await adapter.convert(context)
    assert seen == [user("Fine")]


# Files


class Resolver(FileResolver):
    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    async def fetch(self, url: str) -> bytes:
        if "secret" in url:
            raise ValueError(f"no such file: {url!r}")
        self.fetched.append(url)
        await asyncio.sleep(0)
        return b"AAA"


async def test_files_are_fetched_once(
    adapter: OpenAIResponsesLLMAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter.file_resolver = resolver = Resolver()
    asked: list[Any] = []
    original = adapter.prepare_file_content

    async def prepare(context: LLMContext) -> None:
        asked.extend(context.get_messages())
        await original(context)

    monkeypatch.setattr(adapter, "prepare_file_content", prepare)
    pdf = LLMContext.create_file_url_message(
        format="application/pdf", url="upload://1", filename="a.pdf"
    )
    png = LLMContext.create_file_url_message(format="image/png", url="upload://2")
    context = LLMContext([user("Hi"), pdf])
    for _ in range(2):
        await adapter.convert(context)
        context.add_message(user("More"))
    context.add_message(png)
    items = wires(await adapter.convert(context))
    assert asked == [pdf, png]
    assert resolver.fetched == ["upload://1", "upload://2"]
    assert items[1]["content"] == [
        {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": "data:application/pdf;base64,QUFB",
        }
    ]
    assert items[-1]["content"] == [
        {"type": "input_image", "image_url": "data:image/png;base64,QUFB", "detail": "auto"}
    ]


async def test_a_file_that_cannot_be_fetched(adapter: OpenAIResponsesLLMAdapter) -> None:
    adapter.file_resolver = Resolver()
    message = LLMContext.create_file_url_message(
        format="application/pdf", url="upload://1?signature=secret"
    )
    with pytest.raises(ContextMessageError) as caught:
        await adapter.convert(LLMContext([user("Hi"), message]))
    assert caught.value.index == 1
    assert "upload://1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_urls_that_openai_fetches(adapter: OpenAIResponsesLLMAdapter) -> None:
    assert adapter.supports_file_url("https://x/a.pdf", "application/pdf")
    assert adapter.supports_file_url("http://x/a.png", "image/png")
    assert not adapter.supports_file_url("s3://x/a.png", "image/png")


# Large payloads, and calls at the same time


def picture(size: int) -> dict[str, Any]:
    return LLMContext.create_image_url_message(
        url="data:image/png;base64," + "QUFB\u00e9" * (size // 5), text="Look"
    )


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
    messages = [user("Hi"), picture(1_000_000), call("c1"), result("c1", "IN_PROGRESS")]
    context = LLMContext(messages)
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


# Logging


def test_logs_hold_no_binary_data(adapter: OpenAIResponsesLLMAdapter) -> None:
    text = "t" * 500
    messages = [
        user(text),
        picture(1000),
        {
            "role": "user",
            "content": [
                {"type": "input_audio", "input_audio": {"data": "SECRET", "format": "wav"}},
                {
                    "type": "file_base64",
                    "file": {"file_data": "SECRET", "filename": "a", "_raw_bytes": b"SECRET"},
                },
                {"type": "image_url", "image_url": {"url": "https://x/a.png"}},
            ],
        },
        specific({"type": "reasoning", "id": "rs", "encrypted_content": "SECRET", "x": text}),
        specific("SECRET", "google"),
        specific("Hello"),
        "broken",
        call("c1"),
    ]
    before = copy.deepcopy(messages)
    shown = adapter.get_messages_for_logging(LLMContext(messages))
    assert messages == before
    assert "SECRET" not in repr(shown)
    assert len(shown) == 7
    assert shown[0] == user(text)
    assert shown[1]["content"][1]["image_url"]["url"] == "data:image/png;base64,..."
    assert shown[2]["content"][2] == messages[2]["content"][2]
    assert shown[3]["x"] == "t" * 100 + "...(500 chars)"
    assert shown[3]["id"] == "rs"
    assert shown[6] == call("c1")


# Whatever is done to a context, what is kept of it does not show.

IDS = st.sampled_from(["c1", "c2", "c1_2"])
TEXTS = st.sampled_from(["", "a", "b"])
PARTS = st.lists(
    st.one_of(
        TEXTS.map(lambda text: {"type": "text", "text": text}),
        st.sampled_from([1, True, 1.0]).map(lambda n: {"type": "new", "n": n}),
    ),
    max_size=2,
)
ANY_MESSAGE = st.one_of(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["user", "assistant", "developer"]),
        st.one_of(TEXTS, PARTS, st.none()),
    ),
    st.builds(
        lambda ids, text: {
            "role": "assistant",
            "content": text,
            "tool_calls": [call(call_id)["tool_calls"][0] for call_id in ids],
        },
        st.lists(IDS, min_size=1, max_size=3),
        TEXTS,
    ),
    st.builds(result, IDS, TEXTS),
    st.builds(result, IDS, TEXTS),
    st.sampled_from(["rs_1", "rs_2"]).map(reasoning),
    st.just({"type": "web_search_call"}).map(lambda wire: specific(dict(wire))),
    st.just({}).map(lambda wire: specific(dict(wire), "google")),
)
EDIT = st.tuples(
    st.sampled_from(
        ["append", "append", "change", "delete", "insert", "move", "replace", "trim", "double"]
    ),
    st.integers(0, 30),
    ANY_MESSAGE,
)


def apply(messages: list[Any], edit: tuple[str, int, Any]) -> None:
    kind, place, message = edit
    place = place % len(messages) if messages else 0
    if kind == "append" or not messages:
        messages.append(message)
    elif kind == "insert":
        messages.insert(place, message)
    elif kind == "delete":
        del messages[place]
    elif kind == "trim":
        del messages[: place // 2]
    elif kind == "move":
        messages.append(messages.pop(place))
    elif kind == "replace":
        messages[place] = message
    elif kind == "double":
        messages.append(messages[place])
    elif isinstance(messages[place], LLMSpecificMessage):
        messages[place].message = {"type": "thing", "n": True}
    else:
        messages[place]["content"] = "changed"


def check_rules(items: list[Any]) -> None:
    called: set[str] = set()
    answered: set[str] = set()
    for index, wire in enumerate(items):
        if wire.get("type") == "function_call":
            assert wire["call_id"] not in called
            called.add(wire["call_id"])
        elif wire.get("type") == "function_call_output":
            assert wire["call_id"] in called
            assert wire["call_id"] not in answered
            answered.add(wire["call_id"])
        elif wire.get("type") == "reasoning":
            after = items[index + 1]
            assert after.get("type") != "function_call_output"
            assert after.get("role", "assistant") == "assistant"
    assert called == answered


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    start=st.lists(ANY_MESSAGE, max_size=8),
    edits=st.lists(st.lists(EDIT, min_size=1, max_size=3), max_size=8),
    copies=st.sets(st.integers(0, 8)),
)
def test_what_is_kept_never_shows(
    start: list[Any], edits: list[list[tuple[str, int, Any]]], copies: set[int]
) -> None:
    async def scenario() -> None:
        adapter = OpenAIResponsesLLMAdapter()
        # Strategies may give the same object again; here each message is its own.
        context = LLMContext(copy.deepcopy(start))
        messages = context.get_messages()
        for turn, changes in enumerate([[], *edits]):
            for edit in changes:
                apply(messages, copy.deepcopy(edit))
            incremental = wires(await adapter.convert(context))
            fresh = await converted(OpenAIResponsesLLMAdapter(), copy.deepcopy(messages))
            # Compared as JSON, where 1 and true differ.
            assert msgspec.json.encode(incremental) == msgspec.json.encode(fresh)
            check_rules(incremental)
            if turn in copies:
                other = LLMContext(list(messages))
                assert wires(await adapter.convert(other)) == incremental

    logger.disable("pipecat_responses")
    try:
        asyncio.run(scenario())
    finally:
        logger.enable("pipecat_responses")
