"""What goes with the items: tools, the choice of one, instructions; and what a log shows."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from openai import NOT_GIVEN as OPENAI_NOT_GIVEN
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import AdapterType, ToolsSchema
from pipecat.adapters.llm.services import open_ai_responses_adapter as pipecat_adapter
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.context.adapter import OpenAIResponsesLLMAdapter
from tests.context.support import call, picture, result, same_objects, specific, user, wires


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
        ({"type": "mcp", "server_label": "s"}, {"type": "mcp", "server_label": "s"}),
        ({"type": "custom", "custom": {"name": "c"}}, {"type": "custom", "name": "c"}),
        ({"type": "custom", "name": "c"}, {"type": "custom", "name": "c"}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [
                        {"type": "function", "function": {"name": "f"}},
                        {"type": "web_search"},
                    ],
                },
            },
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}],
            },
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        ),
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


def test_logs_hold_no_binary_data(adapter: OpenAIResponsesLLMAdapter) -> None:
    text = "t" * 500
    messages: list[Any] = [
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
