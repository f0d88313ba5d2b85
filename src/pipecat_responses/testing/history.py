"""A context in plain form, to be compared with what it should say."""

from __future__ import annotations

import json
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage


def plain(context: LLMContext) -> list[tuple[Any, ...]]:
    """The messages of a context, one tuple each.

    Args:
        context: The context.

    Returns:
        In the order of the context, where messages that only OpenAI reads (reasoning) are left
        out:

        - ``("user", "Hello.")``, and so for ``"assistant"``, ``"developer"`` and ``"system"``;
          what is not text is a list of the content's parts instead;
        - ``("call", "get_time", {"zone": "UTC"})`` for a call of a function, its arguments parsed;
        - ``("result", "get_time", "12:30")`` for its result, parsed if it is JSON.
    """
    names: dict[str, str] = {}
    messages: list[tuple[Any, ...]] = []
    for message in context.get_messages():
        if isinstance(message, LLMSpecificMessage):
            continue
        entry: dict[str, Any] = dict(message)
        if entry["role"] == "tool":
            call = entry["tool_call_id"]
            messages.append(("result", names.get(call, ""), _parsed(entry["content"])))
            continue
        if entry.get("content"):
            messages.append((entry["role"], _text(entry["content"])))
        for called in entry.get("tool_calls") or ():
            function = called["function"]
            names[called["id"]] = function["name"]
            messages.append(("call", function["name"], _parsed(function["arguments"])))
    return messages


def _text(content: Any) -> Any:
    if isinstance(content, str) or not all(part.get("type") == "text" for part in content):
        return content
    return "".join(part["text"] for part in content)


def _parsed(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value
