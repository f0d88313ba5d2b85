"""The tools that are declared are what the SDK's types say."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from openai.types.responses import ToolParam
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.processors.aggregators.llm_context import LLMContext
from pydantic import TypeAdapter

from pipecat_responses.context.adapter import OpenAIResponsesLLMAdapter
from pipecat_responses.protocol.requests import Fields
from pipecat_responses.tools import (
    code_interpreter,
    custom,
    file_search,
    image_generation,
    mcp,
    tool_search,
    tools,
    web_search,
)

DECLARED = [
    web_search(),
    web_search(
        search_context_size="low",
        allowed_domains=["example.com"],
        user_location={"type": "approximate", "city": "Paris"},
    ),
    file_search(["vs_1"]),
    file_search(["vs_1"], max_num_results=3, filters={"type": "eq", "key": "a", "value": "b"}),
    code_interpreter(),
    code_interpreter("cntr_1"),
    image_generation(),
    image_generation(
        size="1024x1024", quality="low", output_format="png", background="transparent"
    ),
    mcp("tables", server_url="https://example.com"),
    mcp(
        "mail",
        connector_id="connector_gmail",
        authorization="token",
        headers={"a": "b"},
        allowed_tools=["send"],
        require_approval="never",
    ),
    tool_search(),
    custom("sql"),
    custom("sql", description="Runs it.", grammar="start: /.+/"),
]
SDK: TypeAdapter[Any] = TypeAdapter(ToolParam)
KNOWN: dict[str, set[str]] = {
    kind: set(typing.get_type_hints(each))
    for each in typing.get_args(ToolParam)
    for kind in typing.get_args(typing.get_type_hints(each)["type"])
}


@pytest.mark.parametrize("tool", DECLARED, ids=lambda tool: tool["type"])
def test_a_tool_is_what_the_sdk_says(tool: dict[str, Any]) -> None:
    if tool["type"] not in KNOWN:
        pytest.skip("not in this version of the SDK")
    SDK.validate_python(tool)
    assert set(tool) <= KNOWN[tool["type"]]
    assert None not in tool.values()


async def test_they_stand_beside_functions() -> None:
    function = FunctionSchema("look_up", "Looks it up.", {}, [])
    schema = tools(function, web_search(), custom("sql"))
    conversion = await OpenAIResponsesLLMAdapter().convert(
        LLMContext([{"role": "user", "content": "Hi"}], tools=schema)
    )
    assert conversion.tools is not None
    assert [tool["type"] for tool in conversion.tools] == ["function", "web_search", "custom"]
    assert Fields({"tools": conversion.tools}).custom_tools == {"sql"}


def test_custom_tools_of_a_namespace_run_here_too() -> None:
    namespace = {"type": "namespace", "name": "db", "description": "", "tools": [custom("sql")]}
    assert Fields({"tools": [namespace, web_search()]}).custom_tools == {"sql"}


@pytest.mark.parametrize("given", [{}, {"server_url": "https://a", "connector_id": "c"}])
def test_an_mcp_server_is_named_in_one_way(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="give one of them"):
        mcp("tables", **given)  # type: ignore[arg-type]
