"""What a context says and what a server was told, read apart from the code under test.

Words count, and the order of what was said. Inside one group of calls and results the order is
free: Pipecat writes call, result, call, result where the server has call, call, result, result.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage

Said = tuple[str, ...]


def told(items: Iterable[dict[str, Any]]) -> list[Said]:
    """The items that a server holds, in words."""
    said: list[Said] = []
    for item in items:
        kind = item.get("type", "message")
        if kind == "message":
            said.append((_role(item["role"]), *_parts(item["content"])))
        elif kind == "function_call":
            said.append(("call", item["call_id"], item["name"], _value(item["arguments"])))
        elif kind == "function_call_output":
            said.append(("result", item["call_id"], *_parts(item["output"])))
        else:
            said.append((kind, str(item.get("id"))))
    return _in_order(said)


def says(context: LLMContext) -> list[Said]:
    """The messages of a context, in words."""
    said: list[Said] = []
    message: Any
    for message in context.get_messages():
        if isinstance(message, LLMSpecificMessage):
            said.append((message.message["type"], str(message.message.get("id"))))
        elif message["role"] == "tool":
            said.append(("result", message["tool_call_id"], *_parts(message["content"])))
        else:
            if message.get("content"):
                said.append((_role(message["role"]), *_parts(message["content"])))
            for call in message.get("tool_calls") or ():
                function = call["function"]
                arguments = _value(function["arguments"])
                said.append(("call", call["id"], function["name"], arguments))
    return _in_order(said)


def _role(role: str) -> str:
    # The Responses API calls a system message in the middle a developer's.
    return "developer" if role == "system" else role


def _parts(content: Any) -> Said:
    """Each text in single spaces (a voice has no line breaks), each image by its address."""
    if isinstance(content, str):
        return (" ".join(content.split()),)
    return tuple(_part(part) for part in content)


def _part(part: dict[str, Any]) -> str:
    image = part.get("image_url")
    if image is not None:
        return str(image["url"] if isinstance(image, dict) else image)
    text = part["text"] if "text" in part else part["refusal"]
    return " ".join(text.split())


def _value(arguments: str) -> str:
    return json.dumps(json.loads(arguments or "{}"), sort_keys=True)


def _in_order(said: list[Said]) -> list[Said]:
    ordered: list[Said] = []
    group: list[Said] = []
    for each in [*said, ("end",)]:
        if each[0] in ("call", "result"):
            group.append(each)
        else:
            ordered += [*sorted(group), each]
            group = []
    return ordered[:-1]
