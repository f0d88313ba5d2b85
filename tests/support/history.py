"""Conversations in one form, to compare what a server holds with what a context says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage

from tests.support.contexts import messages_of


def of_items(items: Iterable[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """API items, in plain form: texts joined, arguments as values, parallel calls together."""
    plain: list[tuple[Any, ...]] = []
    for item in items:
        kind = item.get("type", "message")
        if kind == "message":
            role = "developer" if item["role"] == "system" else item["role"]
            plain.append((role, _text(item["content"])))
        elif kind == "function_call":
            plain.append(("call", item["call_id"], item["name"], _value(item["arguments"])))
        elif kind == "function_call_output":
            plain.append(("output", item["call_id"], item["output"]))
        elif kind == "reasoning":
            plain.append(("reasoning", item["id"]))
        else:
            plain.append((kind, json.dumps(item, sort_keys=True)))
    return _grouped(plain)


def of_context(context: LLMContext) -> list[tuple[Any, ...]]:
    """A context's messages, in the same plain form."""
    plain: list[tuple[Any, ...]] = []
    for message in messages_of(context):
        if isinstance(message, LLMSpecificMessage):
            plain += of_items([message.message])
            continue
        role = message["role"]
        if role == "tool":
            plain.append(("output", message["tool_call_id"], message["content"]))
            continue
        if message.get("content"):
            role = "developer" if role == "system" else role
            plain.append((role, _text(message["content"])))
        for call in message.get("tool_calls") or ():
            function = call["function"]
            plain.append(("call", call["id"], function["name"], _value(function["arguments"])))
    return _grouped(plain)


def _grouped(plain: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The order inside a group of calls and outputs does not matter: calls first, by id."""
    result: list[tuple[Any, ...]] = []
    group: list[tuple[Any, ...]] = []
    for entry in [*plain, ("end",)]:
        if entry[0] in ("call", "output"):
            group.append(entry)
            continue
        result += sorted(group, key=lambda e: (e[0], e[1]))
        group = []
        result.append(entry)
    return result[:-1]


def _text(content: Any) -> Any:
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or part.get("refusal") or "" for part in content)


def _value(arguments: Any) -> Any:
    return json.dumps(json.loads(arguments), sort_keys=True)
