"""How the server tells of a tool that it runs: its item meanwhile, and the events."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pipecat_responses.sandbox.text import split_fixed
from pipecat_responses.sandbox.transcript import Item

PREFIXES = {
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
    "shell_call": "sh",
    "local_shell_call": "lsh",
    "apply_patch_call": "apc",
    "computer_call": "cu",
}
"""How the ids of such items begin."""
RUN_BY_CLIENTS = ("shell_call", "local_shell_call", "apply_patch_call", "computer_call")
"""Calls of the API's own tools that the client has to run."""

_WITHOUT_STATUS = ("mcp_list_tools", "mcp_approval_request")
_RESULTS = ("output", "result", "results", "outputs", "error")
RUN_BY_SERVERS = {
    "web_search_call": ("in_progress", "searching", "completed"),
    "file_search_call": ("in_progress", "searching", "completed"),
    "code_interpreter_call": ("in_progress", "interpreting", "completed"),
    "image_generation_call": ("in_progress", "generating", "completed"),
    "mcp_call": ("in_progress", "completed"),
    "mcp_list_tools": ("in_progress", "completed"),
}
"""Calls of tools that the server runs by itself, and the states they go through."""


class Told(NamedTuple):
    """What an event tells, but for its place.

    Attributes:
        kind: The event's type, without ``response.`` before it.
        fields: Its fields.
        delta: Whether it is a delta.
        by_item: Whether it names its item; those of commands give only the place.
        waits: Whether the tool runs before it.
    """

    kind: str
    fields: Mapping[str, Any] = {}
    delta: bool = False
    by_item: bool = True
    waits: bool = False


def whole(item: Mapping[str, Any], item_id: str) -> Item:
    """An item with an id and, where such items have them, a status and a call id."""
    fields = {} if item["type"] in _WITHOUT_STATUS else {"status": "completed"}
    if item["type"] in RUN_BY_CLIENTS:
        fields["call_id"] = f"call_{uuid.uuid4().hex[:24]}"
    return {"id": item_id, **fields, **item}


def begun(item: Item) -> Item:
    """An item before its tool has run."""
    early = {name: value for name, value in item.items() if name not in _RESULTS}
    match item["type"]:
        case "mcp_list_tools":
            early["tools"] = []
        case "mcp_call":
            early["arguments"] = ""
        case "code_interpreter_call":
            early["code"] = ""
        case "shell_call":
            early["action"] = {**item["action"], "commands": []}
    return early if item["type"] in _WITHOUT_STATUS else {**early, "status": "in_progress"}


def progress(item: Item, partial_images: Sequence[str] = ()) -> Iterator[Told]:
    """The events between an item's beginning and its end.

    Args:
        item: The item as it ends.
        partial_images: Images before the last, base64.
    """
    kind = item["type"]
    if kind == "shell_call":
        yield from _commands(item)
    states = RUN_BY_SERVERS.get(kind, ())
    for state in states[:-1]:
        if state == "interpreting":
            yield from _written("code_interpreter_call_code", "code", item.get("code"))
        yield Told(f"{kind}.{state}")
    if kind == "mcp_call":
        yield from _written("mcp_call_arguments", "arguments", item.get("arguments"))
    for number, image in enumerate(partial_images):
        yield Told(
            "image_generation_call.partial_image",
            {"partial_image_index": number, "partial_image_b64": image},
        )
    if states:
        failed = kind.startswith("mcp") and (item.get("error") or item.get("status") == "failed")
        yield Told(f"{kind}.failed" if failed else f"{kind}.{states[-1]}", waits=True)


def _written(kind: str, field: str, text: str | None) -> Iterator[Told]:
    for piece in split_fixed(text or ""):
        yield Told(f"{kind}.delta", {"delta": piece}, delta=True)
    yield Told(f"{kind}.done", {field: text or ""})


def _commands(item: Item) -> Iterator[Told]:
    kind = "shell_call_command"
    for number, command in enumerate(item["action"].get("commands") or ()):
        index = {"command_index": number}
        yield Told(f"{kind}.added", {**index, "command": ""}, by_item=False)
        for piece in split_fixed(command):
            yield Told(f"{kind}.delta", {**index, "delta": piece}, delta=True, by_item=False)
        yield Told(f"{kind}.done", {**index, "command": command}, by_item=False)
