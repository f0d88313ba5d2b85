"""Checks of a request's own fields: which there are, their types, and what the model takes."""

from __future__ import annotations

import re
from typing import Any

from pipecat_responses.sandbox import shapes
from pipecat_responses.sandbox.config import (
    EFFORTS,
    SandboxConfig,
    default_effort,
    is_reasoning_model,
    supported_efforts,
    takes_configuration_updates,
)
from pipecat_responses.sandbox.errors import (
    ApiError,
    invalid_stream_id,
    invalid_type,
    invalid_value,
    missing_parameter,
    model_not_found,
    quoted_list,
    unsupported_parameter,
)
from pipecat_responses.sandbox.items import KNOWN_TYPES, check_item
from pipecat_responses.sandbox.shapes import Check
from pipecat_responses.sandbox.strictness import check_is_object, check_strict_schema

INCLUDABLE = (
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
)
_TOOL_TYPES = (
    "function",
    "custom",
    "file_search",
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
    "computer",
    "computer_use_preview",
    "mcp",
    "code_interpreter",
    "programmatic_tool_calling",
    "image_generation",
    "local_shell",
    "shell",
    "namespace",
    "tool_search",
    "apply_patch",
)
_TOOL_NAME = shapes.pattern("^[a-zA-Z0-9_-]+$", 64)
_STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_MAX_INPUT = 10_485_760
_MAX_ALLOWED_TOOLS = 128
_MIN_OUTPUT_TOKENS = 16
_SERVICE_TIERS = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")


def _input(value: object, param: str) -> None:
    if isinstance(value, str):
        shapes.short_string(_MAX_INPUT)(value, param)
        return
    if not isinstance(value, list):
        raise invalid_type(param, "one of a string or array of input items", value)
    for index, item in enumerate(value):
        check_item(item, f"{param}[{index}]")


def _text(value: object, param: str) -> None:
    shapes.mapping(value, param)
    assert isinstance(value, dict)
    shapes.fields(
        value,
        param,
        {},
        {
            "format": shapes.NotNull(_text_format),
            "verbosity": shapes.choice("low", "medium", "high"),
        },
    )


def _text_format(value: object, param: str) -> None:
    shapes.mapping(value, param)
    assert isinstance(value, dict)
    shapes.require(value, param, ["type"])
    shapes.choice("text", "json_object", "json_schema")(value["type"], f"{param}.type")
    if value["type"] == "json_schema":
        shapes.fields(
            value,
            param,
            {"type": shapes.string, "name": _TOOL_NAME, "schema": shapes.mapping},
            {"description": shapes.NotNull(shapes.string), "strict": shapes.boolean},
        )
        if value.get("strict") is True:
            check_strict_schema(
                value["schema"],
                of=f"response_format '{value['name']}'",
                code="invalid_json_schema",
                param=f"{param}.schema",
            )


def _reasoning(value: object, param: str) -> None:
    shapes.mapping(value, param)
    assert isinstance(value, dict)
    summary = shapes.choice("auto", "concise", "detailed")
    shapes.fields(
        value,
        param,
        {},
        {
            "effort": shapes.choice(*EFFORTS),
            "summary": summary,
            "generate_summary": summary,
            "context": shapes.choice("auto", "current_turn", "all_turns"),
            "mode": shapes.NotNull(shapes.string),
        },
    )


def _tool(value: object, param: str) -> None:
    shapes.mapping(value, param)
    assert isinstance(value, dict)
    shapes.require(value, param, ["type"])
    shapes.choice(*_TOOL_TYPES)(value["type"], f"{param}.type")
    callers = shapes.array(shapes.choice("direct", "programmatic"))
    common: dict[str, Check] = {
        "allowed_callers": callers,
        "async": shapes.NotNull(shapes.boolean),
        "defer_loading": shapes.NotNull(shapes.boolean),
    }
    if value["type"] == "function":
        shapes.require(value, param, ["name"])
        shapes.fields(
            value,
            param,
            {"type": shapes.string, "name": _TOOL_NAME},
            {
                "description": shapes.string,
                "parameters": shapes.mapping,
                "strict": shapes.boolean,
                "output_schema": shapes.mapping,
                **common,
            },
        )
        _function_schema(value, param)
        if value.get("strict") is True and value.get("parameters"):
            check_strict_schema(
                value["parameters"],
                of=f"function '{value['name']}'",
                code="invalid_function_parameters",
                param=f"{param}.parameters",
            )
    elif value["type"] == "custom":
        shapes.fields(
            value,
            param,
            {"type": shapes.string, "name": _TOOL_NAME},
            {
                "description": shapes.NotNull(shapes.string),
                "format": shapes.NotNull(shapes.mapping),
                **common,
            },
        )


def _function_schema(tool: dict[str, Any], param: str) -> None:
    schema = tool.get("parameters")
    if schema:
        check_is_object(
            schema,
            of=f"function '{tool['name']}'",
            code="invalid_function_parameters",
            param=f"{param}.parameters",
        )


def _tool_choice(value: object, param: str) -> None:
    if isinstance(value, str):
        shapes.choice("none", "auto", "required")(value, param)
        return
    if not isinstance(value, dict):
        raise invalid_type(param, "one of a string or object", value)
    shapes.require(value, param, ["type"])
    shapes.string(value["type"], f"{param}.type")
    if value["type"] in ("function", "custom"):
        shapes.fields(value, param, {"type": shapes.string, "name": shapes.string}, {})
    elif value["type"] == "allowed_tools":
        shapes.fields(
            value,
            param,
            {
                "type": shapes.string,
                "mode": shapes.choice("auto", "required"),
                "tools": shapes.array(shapes.mapping, minimum=1, maximum=_MAX_ALLOWED_TOOLS),
            },
            {},
        )


def _parent(value: object, param: str) -> None:
    shapes.string(value, param)
    assert isinstance(value, str)
    if not value.startswith("resp"):
        raise ApiError(
            f"Invalid '{param}': '{value}'. Expected an ID that begins with 'resp'.",
            code="invalid_value",
            param=param,
        )


def _stream_options(value: object, param: str) -> None:
    shapes.mapping(value, param)
    assert isinstance(value, dict)
    shapes.fields(value, param, {}, {"include_obfuscation": shapes.NotNull(shapes.boolean)})


def _cache_options(value: object, param: str) -> None:
    shapes.mapping(value, param)
    assert isinstance(value, dict)
    shapes.fields(
        value,
        param,
        {},
        {
            "comparison_response_id": shapes.string,
            "mode": shapes.NotNull(shapes.choice("implicit", "explicit")),
            "prewarm": shapes.NotNull(shapes.boolean),
            "ttl": shapes.NotNull(shapes.choice("30m", "12h")),
        },
    )


def _conversation(value: object, param: str) -> None:
    if isinstance(value, dict):
        shapes.fields(value, param, {"id": shapes.string}, {})
    elif not isinstance(value, str):
        raise invalid_type(param, "one of a string or object", value)


_FIELDS: dict[str, Check] = {
    "access_programs": shapes.NotNull(shapes.mapping),
    "background": shapes.boolean,
    "background_options": shapes.NotNull(shapes.mapping),
    "client_metadata": shapes.mapping,
    "context_management": shapes.array(shapes.mapping),
    "conversation": _conversation,
    "image": shapes.NotNull(shapes.mapping),
    "include": shapes.array(shapes.choice(*INCLUDABLE)),
    "input": _input,
    "instructions": shapes.string,
    "max_output_tokens": shapes.integer(_MIN_OUTPUT_TOKENS),
    "max_tool_calls": shapes.integer(1),
    "metadata": shapes.metadata,
    "model": shapes.string,
    "moderation": shapes.mapping,
    "parallel_tool_calls": shapes.boolean,
    "previous_response_id": _parent,
    "prompt": shapes.mapping,
    "prompt_cache_key": shapes.short_string(64),
    "prompt_cache_options": shapes.NotNull(_cache_options),
    "prompt_cache_retention": shapes.choice("in_memory", "24h"),
    "reasoning": _reasoning,
    "safety_identifier": shapes.short_string(128),
    "service_tier": shapes.choice(*_SERVICE_TIERS),
    "store": shapes.boolean,
    "stream_options": _stream_options,
    "temperature": shapes.decimal(0, 2),
    "text": shapes.NotNull(_text),
    "tool_choice": shapes.NotNull(_tool_choice),
    "tools": shapes.NotNull(shapes.array(_tool)),
    "top_logprobs": shapes.integer(0, 20),
    "top_p": shapes.decimal(0, 1),
    "truncation": shapes.choice("auto", "disabled"),
    "user": shapes.NotNull(shapes.string),
}
_WEBSOCKET_FIELDS: dict[str, Check] = {
    **_FIELDS,
    "type": shapes.string,
    "stream_id": shapes.string,
    "generate": shapes.boolean,
}
_WITHOUT_EFFECT = {"stream": True, "background": False}
"""What clients in the field put into ``response.create``, and the server takes: it is so anyway."""

_HTTP_FIELDS: dict[str, Check] = {**_FIELDS, "stream": shapes.boolean}
_COMPACTED = (
    "image",
    "input",
    "instructions",
    "model",
    "previous_response_id",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "service_tier",
)
_COUNTED = (
    "conversation",
    "input",
    "instructions",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "reasoning",
    "text",
    "tool_choice",
    "tools",
    "truncation",
)


def check_stream_id(value: object) -> str | None:
    """Checks a lane's name.

    Args:
        value: The ``stream_id`` as sent; None when there is none.

    Returns:
        The name, or None for the default lane.

    Raises:
        ApiError: ``invalid_stream_id``; an empty string is invalid too.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise invalid_type("stream_id", "a string", value)
    if not _STREAM_ID.fullmatch(value):
        raise invalid_stream_id()
    return value


def check_websocket_request(message: dict[str, Any], config: SandboxConfig) -> None:
    """Checks a ``response.create`` message.

    Raises:
        ApiError: For the first field that is wrong.
    """
    for name, taken in _WITHOUT_EFFECT.items():
        if message.get(name, taken) is not taken:
            raise ApiError(
                f"Unsupported parameter: '{name}' is not supported over WebSocket.",
                code="unsupported_parameter",
                param=name,
            )
    own = {name: value for name, value in message.items() if name not in _WITHOUT_EFFECT}
    shapes.fields(own, "", {}, _WEBSOCKET_FIELDS)
    may_be_empty = _prepares_from_nothing(message, config) or bool(message.get("conversation"))
    _check_whole(message, config, may_be_empty=may_be_empty)


def check_http_request(body: dict[str, Any], config: SandboxConfig) -> None:
    """Checks the body of ``POST /v1/responses``.

    Raises:
        ApiError: For the first field that is wrong.
    """
    shapes.fields(body, "", {}, _HTTP_FIELDS)
    _check_whole(body, config, may_be_empty=bool(body.get("conversation")))


def check_count_request(body: dict[str, Any], config: SandboxConfig) -> None:
    """Checks the body of ``POST /v1/responses/input_tokens``.

    Raises:
        ApiError: For the first field that is wrong.
    """
    known = {name: _FIELDS[name] for name in _COUNTED}
    shapes.fields(body, "", {}, {**known, "personality": shapes.string})
    if not body.get("model"):
        body = {**body, "model": config.model_names()[0], "reasoning": None}
    _check_whole(body, config, may_be_empty=_continues(body))


def check_compact_request(body: dict[str, Any], config: SandboxConfig) -> None:
    """Checks the body of ``POST /v1/responses/compact``.

    Raises:
        ApiError: For the first field that is wrong.
    """
    shapes.fields(body, "", {}, {name: _FIELDS[name] for name in _COMPACTED})
    _check_whole(body, config, may_be_empty=_continues(body))


def _continues(body: dict[str, Any]) -> bool:
    """Whether a request has something to go by without any input."""
    return bool(body.get("previous_response_id") or body.get("conversation"))


def _prepares_from_nothing(message: dict[str, Any], config: SandboxConfig) -> bool:
    """Whether instructions and tools are prepared before there is anything to answer."""
    prepares = message.get("generate") is False and config.generate_false == "supported"
    return prepares and message.get("input") == [] and not message.get("previous_response_id")


def _check_whole(body: dict[str, Any], config: SandboxConfig, *, may_be_empty: bool) -> None:
    """Checks what depends on more than one field."""
    model = body.get("model")
    if not model:
        raise missing_parameter("model")
    if not config.accepts_model(model):
        raise model_not_found(model)
    if body.get("conversation") and body.get("previous_response_id"):
        raise ApiError(
            "Mutually exclusive parameters: ''. Ensure you are only providing one of: "
            "'previous_response_id' or 'conversation'.",
            code="mutually_exclusive_parameters",
        )
    if prompt := body.get("prompt"):
        raise ApiError(f"Prompt with id '{prompt.get('id')}' not found.", status=404)
    if not may_be_empty:
        _check_input(body)
    _check_tool_choice(body)
    if config.model_limits == "enforced":
        _check_reasoning(body, config.family(model))
        _check_updates(body, config.family(model))


def _check_input(body: dict[str, Any]) -> None:
    if body.get("input"):
        return
    if isinstance(body.get("input"), list) and body.get("previous_response_id"):
        raise ApiError(
            "Invalid 'input': empty array. Expected an array with minimum length 1, but got an "
            "empty array instead.",
            code="empty_array",
            param="input",
        )
    raise ApiError(
        'One of "input" or "previous_response_id" or "prompt" or "conversation" must be provided.',
        code="missing_required_parameter",
        param="input",
    )


def _check_tool_choice(body: dict[str, Any]) -> None:
    choice = body.get("tool_choice")
    tools = body.get("tools") or []
    if choice == "required" and not tools:
        raise ApiError(
            "Tool choice 'required' must be specified with 'tools' parameter.", param="tool_choice"
        )
    if isinstance(choice, dict) and choice["type"] in ("function", "custom"):
        named = any(
            tool["type"] == choice["type"] and tool.get("name") == choice["name"] for tool in tools
        )
        if not named:
            raise ApiError(
                f"Tool choice '{choice['type']}' not found in 'tools' parameter.",
                param="tool_choice",
            )
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        for index, allowed in enumerate(choice["tools"]):
            if not any(_is_meant(tool, allowed) for tool in tools):
                raise ApiError(
                    f"Tool choice 'allowed_tools' not found in 'tools' parameter: {allowed}.",
                    param=f"tool_choice.tools[{index}]",
                )


def _is_meant(tool: dict[str, Any], allowed: dict[str, Any]) -> bool:
    """Whether an entry of ``allowed_tools`` means a tool."""
    return all(tool.get(name) == value for name, value in allowed.items())


def _check_reasoning(body: dict[str, Any], model: str) -> None:
    reasoning = {k: v for k, v in (body.get("reasoning") or {}).items() if v is not None}
    if not is_reasoning_model(model):
        for name in reasoning:
            raise unsupported_parameter(f"reasoning.{name}")
        if "reasoning.encrypted_content" in (body.get("include") or []):
            raise ApiError("Encrypted content is not supported with this model.", param="include")
        return
    effort = reasoning.get("effort", default_effort(model))
    efforts = supported_efforts(model)
    if effort not in efforts:
        raise ApiError(
            f"Unsupported value: '{effort}' is not supported with the '{model}' model. "
            f"Supported values are: {quoted_list(efforts)}.",
            code="unsupported_value",
            param="reasoning.effort",
        )
    if effort != "none":
        for name in ("temperature", "top_p"):
            if body.get(name) is not None:
                raise unsupported_parameter(name)


def _check_updates(body: dict[str, Any], model: str) -> None:
    """Checks items that change the effort from their place on."""
    items = body["input"] if isinstance(body.get("input"), list) else []
    for index, item in enumerate(items):
        if item.get("type") != "configuration_update":
            continue
        if not takes_configuration_updates(model):
            known = tuple(kind for kind in KNOWN_TYPES if kind != "configuration_update")
            raise invalid_value(f"input[{index}]", "configuration_update", known)
        effort = (item.get("reasoning") or {}).get("effort")
        if effort is not None and effort not in supported_efforts(model):
            raise invalid_value(
                f"input[{index}].reasoning.effort", effort, supported_efforts(model)
            )


def unknown_message(kind: object) -> ApiError:
    """A WebSocket message that is neither of the two that there are."""
    if not isinstance(kind, str):
        return missing_parameter("type") if kind is None else invalid_type("type", "a string", kind)
    return invalid_value("type", kind, ("response.create", "response.steer"))
