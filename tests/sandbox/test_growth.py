"""What the official SDK knows more of the API than the sandbox is noticed.

The SDK's types are the schema of requests here, and its list of models is the list of names.
"""

import re
import types
import typing
from typing import Any

import pytest
from openai.types import AllModels
from openai.types.responses import (
    ResponseFunctionToolCallParam,
    ResponseIncludable,
    ResponseOutputMessageParam,
    ToolParam,
)
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from openai.types.responses.response_input_item_param import FunctionCallOutput
from openai.types.responses.response_text_config_param import ResponseTextConfigParam
from openai.types.shared_params import Reasoning

from pipecat_responses.sandbox import KNOWN_MODELS, Sandbox, SandboxConfig

from .wire import connected, needs_todays_sdk, post

pytestmark = needs_todays_sdk

OTHER_ENDPOINTS = re.compile(
    r"audio|search-preview|gpt-4-(32k|vision|turbo-preview|\d{4})|gpt-3\.5-turbo-"
    r"|^o1-(mini|preview)|computer-use-preview|^gpt-(daybreak|rosalind)"
)
"""Models that answer over another endpoint, are switched off, or are for a few customers."""


def literals(kind: Any) -> set[str]:
    """All values of the literals in a type."""
    if typing.get_origin(kind) is typing.Literal:
        return set(typing.get_args(kind))
    return {value for part in typing.get_args(kind) for value in literals(part)}


def takes_null(kind: Any) -> bool:
    return kind is types.NoneType or any(map(takes_null, typing.get_args(kind)))


def hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def test_models() -> None:
    config = SandboxConfig()
    named = {name for name in literals(AllModels) if not OTHER_ENDPOINTS.search(name)}
    assert {name for name in named if not config.accepts_model(name)} == set()


def test_dated_snapshots_and_what_is_no_model() -> None:
    config = SandboxConfig()
    assert config.accepts_model("gpt-6-sol-2026-11-01")
    assert not config.accepts_model("gpt-17")
    assert not config.accepts_model("gpt-4o-mimi")
    assert not SandboxConfig(models={"gpt-5"}).accepts_model("gpt-5-2025-08-07")
    assert SandboxConfig(any_model=True).accepts_model("gpt-17")
    assert all(not OTHER_ENDPOINTS.search(name) for name in KNOWN_MODELS)


async def test_fields_and_values_of_requests(sandbox: Sandbox) -> None:
    async def supported(**fields: Any) -> set[str]:
        """The values that a refusal says there are."""
        status, body = await post(sandbox, "x", **fields)
        assert status == 400
        return set(re.findall(r"'([\w.]+)'", body["error"]["message"]))

    request = hints(ResponseCreateParamsStreaming)
    for field in ("service_tier", "truncation", "prompt_cache_retention"):
        assert await supported(**{field: "none such"}) >= literals(request[field])
    assert await supported(include=["none such"]) >= literals(ResponseIncludable)
    for field in ("effort", "summary", "context"):
        found = await supported(reasoning={field: "none such"})
        assert found >= literals(hints(Reasoning)[field])
    found = await supported(text={"verbosity": "none such"})
    assert found >= literals(hints(ResponseTextConfigParam)["verbosity"])
    kinds = {kind for tool in typing.get_args(ToolParam) for kind in literals(hints(tool)["type"])}
    assert await supported(tools=[{"type": "none such"}]) >= kinds
    for field in request.keys() - {"input"}:
        _, body = await post(sandbox, "x", **{field: {"none": "such"}})
        message = (body["error"] or {}).get("message", "")
        assert f"Unknown parameter: '{field}'" not in message


@pytest.mark.parametrize("model", ["gpt-5-codex", "gpt-5.3-codex", "codex-mini-latest"])
async def test_codex_models_reason(sandbox: Sandbox, model: str) -> None:
    async with connected(sandbox) as wire:
        response = await wire.respond("hello", model=model, reasoning={"effort": "high"})
        refused = await wire.refusal("hello", model=model, reasoning={"effort": "none"})
    assert response["output"][0]["type"] == "reasoning"
    assert refused["error"]["code"] == "unsupported_value"


NOT_GIVEN_AT_ALL = {"input", "model"}
"""A null of these is refused as if they were missing."""


async def test_nulls_of_a_request(sandbox: Sandbox) -> None:
    request = hints(ResponseCreateParamsStreaming)
    for field in request.keys() - NOT_GIVEN_AT_ALL - {"stream"}:
        status, body = await post(sandbox, "x", **{field: None})
        taken = takes_null(request[field])
        assert (status == 200) == taken, field
        assert taken or (body["error"]["code"], body["error"]["param"]) == ("invalid_type", field)
    sandbox.config.nulls = "taken"
    nothing = dict.fromkeys(request.keys() - NOT_GIVEN_AT_ALL - {"stream"})
    assert (await post(sandbox, "x", **nothing))[0] == 200


ITEMS: list[tuple[Any, dict[str, Any]]] = [
    (
        ResponseFunctionToolCallParam,
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
    ),
    (
        ResponseOutputMessageParam,
        {"type": "message", "role": "assistant", "content": "x", "id": "msg_1"},
    ),
    (FunctionCallOutput, {"type": "function_call_output", "call_id": "call_1", "output": "x"}),
]


@pytest.mark.parametrize(("kind", "item"), ITEMS, ids=lambda given: getattr(given, "__name__", ""))
async def test_nulls_of_an_item(sandbox: Sandbox, kind: Any, item: dict[str, Any]) -> None:
    others = {
        "function_call": [{"type": "function_call_output", "call_id": "call_1", "output": "x"}],
        "function_call_output": [{**ITEMS[0][1]}],
    }.get(item["type"], [])

    async def status(**fields: None) -> int:
        items = [{**item, **fields}, *others]
        return (await post(sandbox, items if "arguments" in item else items[::-1]))[0]

    fields = hints(kind)
    for field in fields.keys() - {"call_id"}:
        assert (await status(**{field: None}) == 200) == takes_null(fields[field]), field
    sandbox.config.nulls = "taken"
    assert await status(**dict.fromkeys(fields.keys() - item.keys())) == 200
