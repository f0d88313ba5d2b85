"""Checks of the ``input``: each item by itself, and the order of items over the whole history."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

from pipecat_responses.sandbox import opaque, shapes
from pipecat_responses.sandbox.errors import (
    ApiError,
    invalid_type,
    invalid_value,
    missing_parameter,
)
from pipecat_responses.sandbox.shapes import Check
from pipecat_responses.sandbox.transcript import Item, Transcript, runs_at_the_server

ROLES = ("assistant", "system", "developer", "user")
INPUT_PARTS = ("input_text", "input_image", "input_file")
OUTPUT_PARTS = ("output_text", "refusal")

_MAX_TEXT = 10_485_760
_MAX_IMAGE = 20_971_520
_MAX_ID = 64
_STATUS = shapes.choice("in_progress", "completed", "incomplete")
_TEXT = shapes.short_string(_MAX_TEXT)
_CALL_ID = shapes.short_string(_MAX_ID, empty=False)
_BREAKPOINT = shapes.NotNull(shapes.mapping)
_IMAGE_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"RIFF")
_HISTORY_OF_TOOLS = (
    "file_search_call",
    "computer_call",
    "computer_call_output",
    "web_search_call",
    "tool_search_call",
    "tool_search_output",
    "additional_tools",
    "image_generation_call",
    "code_interpreter_call",
    "local_shell_call",
    "local_shell_call_output",
    "shell_call",
    "shell_call_output",
    "apply_patch_call",
    "apply_patch_call_output",
    "mcp_list_tools",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "program",
    "program_output",
)
"""Items that belong to hosted tools: known, but their contents do not matter here."""


def _item_id(prefix: str) -> Check:
    short = shapes.short_string(_MAX_ID)

    def check(value: object, param: str) -> None:
        short(value, param)
        assert isinstance(value, str)
        if not value.startswith(prefix):
            raise ApiError(
                f"Invalid '{param}': '{value}'. Expected an ID that begins with '{prefix}'.",
                code="invalid_value",
                param=param,
            )

    return check


def _image_url(value: object, param: str) -> None:
    """Checks an image: a web address, or a data URL that holds an image.

    Only the format's signature is looked at, not the picture.
    """
    shapes.short_string(_MAX_IMAGE)(value, param)
    assert isinstance(value, str)
    if value.startswith(("http://", "https://")):
        return
    header, _, data = value.partition(",")
    if not (header.startswith("data:image/") and header.endswith(";base64")):
        raise ApiError(
            f"Invalid '{param}'. Expected a valid URL, or a base64-encoded data URL with an "
            "image MIME type (e.g. 'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU=').",
            code="invalid_image_url",
            param=param,
        )
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(
            f"Invalid '{param}': the image is not valid base64.",
            code="invalid_base64_image",
            param=param,
        ) from error
    if not content.startswith(_IMAGE_MAGIC):
        raise ApiError(
            "The image data you provided does not represent a valid image. Please check your "
            "input and try again with one of the supported image formats: "
            "['image/jpeg', 'image/png', 'image/gif', 'image/webp'].",
            code="invalid_image",
            param=param,
        )


_PART_FIELDS: dict[str, tuple[dict[str, Check], dict[str, Check]]] = {
    "input_text": (
        {"type": shapes.string, "text": _TEXT},
        {"prompt_cache_breakpoint": _BREAKPOINT},
    ),
    "input_image": (
        {"type": shapes.string},
        {
            "image_url": _image_url,
            "file_id": shapes.string,
            "detail": shapes.NotNull(shapes.choice("low", "high", "auto", "original")),
            "prompt_cache_breakpoint": _BREAKPOINT,
        },
    ),
    "input_file": (
        {"type": shapes.string},
        {
            "file_data": shapes.NotNull(shapes.string),
            "file_id": shapes.string,
            "file_url": shapes.NotNull(shapes.string),
            "filename": shapes.NotNull(shapes.string),
            "detail": shapes.NotNull(shapes.choice("auto", "low", "high")),
            "prompt_cache_breakpoint": _BREAKPOINT,
        },
    ),
    "output_text": (
        {"type": shapes.string, "text": _TEXT},
        {
            "annotations": shapes.NotNull(shapes.array(shapes.mapping)),
            "logprobs": shapes.NotNull(shapes.array(shapes.mapping)),
        },
    ),
    "refusal": ({"type": shapes.string, "refusal": _TEXT}, {}),
}


def _content(value: object, param: str, supported: tuple[str, ...]) -> None:
    """Checks a message's or an output's content: a string, or parts of the supported types."""
    if isinstance(value, str):
        _TEXT(value, param)
        return
    if not isinstance(value, list):
        raise invalid_type(param, "one of an array of objects or string", value)
    for index, part in enumerate(value):
        where = f"{param}[{index}]"
        if not isinstance(part, dict):
            raise invalid_type(where, "an object", part)
        kind = part.get("type")
        if kind is None:
            raise missing_parameter(f"{where}.type")
        if kind not in supported:
            raise invalid_value(where, kind, supported)
        shapes.fields(part, where, *_PART_FIELDS[kind])
        if kind == "input_image" and not (part.get("image_url") or part.get("file_id")):
            raise missing_parameter(f"{where}.image_url")


def _tool_output(value: object, param: str) -> None:
    _content(value, param, INPUT_PARTS)


def _message(item: Item, param: str) -> None:
    role = item.get("role")
    if role is None:
        raise missing_parameter(f"{param}.role")
    if role not in ROLES:
        raise invalid_value(f"{param}.role", role, ROLES)
    supported = OUTPUT_PARTS if role == "assistant" else INPUT_PARTS
    shapes.fields(
        item,
        param,
        {"role": shapes.string, "content": lambda value, name: _content(value, name, supported)},
        {
            "type": shapes.NotNull(shapes.string),
            "id": shapes.NotNull(_item_id("msg")),
            "status": shapes.NotNull(_STATUS),
            "phase": shapes.choice("commentary", "final_answer"),
        },
    )


_CALL_EXTRAS: dict[str, Check] = {
    "status": shapes.NotNull(_STATUS),
    "caller": shapes.mapping,
    "namespace": shapes.NotNull(shapes.string),
    "async": shapes.NotNull(shapes.boolean),
}
_OUTPUT_EXTRAS: dict[str, Check] = {
    "id": shapes.short_string(_MAX_ID),
    "name": shapes.string,
    "status": _STATUS,
    "caller": shapes.mapping,
    "namespace": shapes.string,
}
_ITEM_FIELDS: dict[str, tuple[dict[str, Check], dict[str, Check]]] = {
    "function_call": (
        {
            "type": shapes.string,
            "call_id": _CALL_ID,
            "name": shapes.pattern("^[a-zA-Z0-9_-]+$", 64),
            "arguments": shapes.string,
        },
        {"id": shapes.NotNull(_item_id("fc")), **_CALL_EXTRAS},
    ),
    "function_call_output": (
        {"type": shapes.string, "call_id": _CALL_ID, "output": _tool_output},
        _OUTPUT_EXTRAS,
    ),
    "custom_tool_call": (
        {
            "type": shapes.string,
            "call_id": _CALL_ID,
            "name": shapes.string,
            "input": shapes.string,
        },
        {"id": shapes.NotNull(_item_id("ctc")), **_CALL_EXTRAS},
    ),
    "custom_tool_call_output": (
        {"type": shapes.string, "call_id": _CALL_ID, "output": _tool_output},
        _OUTPUT_EXTRAS,
    ),
    "reasoning": (
        {"type": shapes.string, "id": _item_id("rs"), "summary": shapes.array(shapes.mapping)},
        {
            "content": shapes.NotNull(shapes.array(shapes.mapping)),
            "encrypted_content": shapes.string,
            "status": shapes.NotNull(_STATUS),
        },
    ),
    "compaction": (
        {"type": shapes.string, "encrypted_content": shapes.string},
        {"id": shapes.string, "created_by": shapes.string},
    ),
    "configuration_update": (
        {"type": shapes.string},
        {"id": shapes.string, "reasoning": shapes.mapping, "text": shapes.mapping},
    ),
    "compaction_trigger": ({"type": shapes.string}, {"id": shapes.string}),
    "item_reference": ({"id": shapes.string}, {"type": shapes.string}),
}
KNOWN_TYPES = ("message", *_ITEM_FIELDS, *_HISTORY_OF_TOOLS)


def check_item(item: object, param: str) -> None:
    """Checks one input item by itself.

    Args:
        item: The item as sent.
        param: Its place, such as ``input[3]``.

    Raises:
        ApiError: When its type is unknown, or a field is missing, unknown or wrong.
    """
    if not isinstance(item, dict):
        raise invalid_type(param, "an object", item)
    kind = item.get("type")
    if kind is None:
        kind = "item_reference" if "role" not in item and "id" in item else "message"
    if not isinstance(kind, str):
        raise invalid_type(f"{param}.type", "a string", kind)
    if kind == "message":
        _message(item, param)
    elif kind in _ITEM_FIELDS:
        shapes.fields(item, param, *_ITEM_FIELDS[kind])
    elif kind not in KNOWN_TYPES:
        raise invalid_value(param, kind, KNOWN_TYPES)


def resolve_stored(
    items: list[Item],
    *,
    stored: bool,
    plain_reasoning: bool,
    verify: bool,
    find_item: Callable[[str], Item | None],
) -> list[Item]:
    """Checks what items refer to on the server's side, and puts references' items in their place.

    Args:
        items: Valid input items.
        stored: Whether the request has ``store: true``.
        plain_reasoning: Whether reasoning may come back without encrypted content.
        verify: Whether encrypted content must be one that this sandbox issued.
        find_item: Looks up a stored output item by id.

    Returns:
        The items, with every ``item_reference`` replaced.

    Raises:
        ApiError: 404 for an item that is not stored, 400 for encrypted content that cannot be
            verified.
    """
    resolved: list[Item] = []
    for index, item in enumerate(items):
        kind = item.get("type", "message")
        if "role" not in item and "type" not in item:
            kind = "item_reference"
        if kind == "item_reference":
            found = find_item(item["id"])
            if found is None:
                raise _item_not_found(item["id"], stored)
            resolved.append(found)
            continue
        if kind in ("reasoning", "compaction"):
            content = item.get("encrypted_content")
            if content is None:
                if not plain_reasoning and find_item(item["id"]) is None:
                    raise _item_not_found(item["id"], stored)
            elif verify and not opaque.is_genuine(content):
                raise ApiError(
                    f"The encrypted content {content[:4]}...{content[-4:]} could not be verified."
                    " Reason: Encrypted content could not be decrypted or parsed.",
                    code="invalid_encrypted_content",
                    param=f"input[{index}].encrypted_content",
                )
        resolved.append(item)
    return resolved


def _item_not_found(item_id: str, stored: bool) -> ApiError:
    message = f"Item with id '{item_id}' not found."
    if not stored:
        message += (
            " Items are not persisted when `store` is set to false. Try again with `store` set "
            "to true, or remove this item from your input."
        )
    return ApiError(message, status=404, param="input")


def check_order(history: Transcript, items: list[Item]) -> None:
    """Checks the rules that bind items to one another, over the whole history.

    Every call needs its output before the model runs again, an output needs its call, and a
    reasoning item needs the item that it led to. A call may be given again, as clients do that
    send the call with its output; an item's id may not.

    Args:
        history: What is brought back by ``previous_response_id``; empty without it.
        items: The request's items.

    Raises:
        ApiError: For the first rule that is broken.
    """
    _check_ids(history, items)
    answered = dict(history.answered)
    names: dict[str, str] = {}
    for item in items:
        kind = item.get("type", "message")
        if kind in ("function_call", "custom_tool_call"):
            call_id = item["call_id"]
            answered[call_id] = runs_at_the_server(item)
            names[call_id] = kind.replace("_", " ")
        elif kind in ("function_call_output", "custom_tool_call_output"):
            call_id = item["call_id"]
            noun = kind.removesuffix("_output").replace("_", " ")
            if call_id not in answered:
                raise ApiError(
                    f"No tool call found for {noun} output with call_id {call_id}.", param="input"
                )
            if answered[call_id]:
                raise ApiError(f"Duplicate {noun} output with call_id {call_id}.", param="input")
            answered[call_id] = True
    for call_id, done in answered.items():
        if not done:
            noun = names.get(call_id, "function call")
            raise ApiError(f"No tool output found for {noun} {call_id}.", param="input")
    _check_reasoning(items)


def _check_ids(history: Transcript, items: list[Item]) -> None:
    known: set[str] = set()
    for item in items:
        item_id = item.get("id")
        if not isinstance(item_id, str) or not item_id:
            continue
        if item_id in known or item_id in history.ids:
            raise ApiError(
                f"Duplicate item found with id {item_id}. Remove duplicate items from your input "
                "and try again.",
                param="input",
            )
        known.add(item_id)


def _check_reasoning(items: list[Item]) -> None:
    """Checks that the model's own next item comes after each reasoning item."""
    for item, following in zip_longest(items, items[1:]):
        if item.get("type") != "reasoning":
            continue
        led_to = following is not None and (
            following.get("role") == "assistant"
            or following.get("type", "message")
            not in ("message", "function_call_output", "custom_tool_call_output")
        )
        if not led_to:
            raise ApiError(
                f"Item '{item['id']}' of type 'reasoning' was provided without its required "
                "following item.",
                param="input",
            )


def as_items(value: str | list[Any]) -> list[Item]:
    """The ``input`` as items: a string is one user message."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    return value
