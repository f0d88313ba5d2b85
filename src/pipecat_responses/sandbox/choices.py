"""Which tools a request lets the model call, and whether it has to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Tool = Mapping[str, Any]


class Choice(NamedTuple):
    """What ``tool_choice`` leaves.

    Attributes:
        tools: The tools that may be called.
        required: Whether one of them has to be.
        tool: The tool of an MCP server that is demanded; None without one.
    """

    tools: list[Tool]
    required: bool
    tool: str | None = None


def chosen(choice: str | Mapping[str, Any], tools: Sequence[Tool]) -> Choice:
    """What a request's ``tool_choice`` means for its tools.

    Args:
        choice: The choice as sent.
        tools: The tools as sent.

    Returns:
        What it leaves.
    """
    if isinstance(choice, str):
        return Choice([] if choice == "none" else list(tools), choice == "required")
    if choice.get("type") == "allowed_tools":
        entries = choice.get("tools") or ()
        left = [tool for tool in tools if any(_means(entry, tool) for entry in entries)]
        return Choice(left, choice.get("mode") == "required")
    demanded = choice.get("name") if choice.get("type") == "mcp" else None
    return Choice([tool for tool in tools if _means(choice, tool)], required=True, tool=demanded)


def _means(entry: Mapping[str, Any], tool: Tool) -> bool:
    """Whether an entry names a tool: by its type, and by its name or label where it has one."""
    if "type" in entry and family(str(entry["type"])) != family(tool["type"]):
        return False
    key = "server_label" if tool["type"] == "mcp" else "name"
    return key not in entry or entry[key] == tool.get(key)


def family(kind: str) -> str:
    """The type of a tool without its version: all of web search are one."""
    for family in ("web_search", "computer"):
        if kind.startswith(family):
            return family
    return kind
