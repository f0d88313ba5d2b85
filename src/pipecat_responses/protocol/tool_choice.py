"""Choices among the tools that a request declares.

With ``allowed_tools`` a request declares more tools than the model may call at the moment. A server
that does not take such a choice gets a request that declares only those: the model never has a tool
that it was not to have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

ALLOWED = "allowed_tools"

_BY_NAME = ("function", "custom")
_BY_TYPE = frozenset(
    {
        "apply_patch",
        "code_interpreter",
        "computer",
        "computer_use_preview",
        "file_search",
        "image_generation",
        "local_shell",
        "shell",
        "web_search",
        "web_search_preview",
    }
)


def is_allowed_tools(choice: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether a choice of tools names those that are allowed."""
    return isinstance(choice, Mapping) and choice.get("type") == ALLOWED


def reference(tool: Mapping[str, Any]) -> dict[str, Any] | None:
    """What stands for a tool in ``allowed_tools``.

    Args:
        tool: The tool as it is declared.

    Returns:
        None for a kind of tools of which it is not known how they are named there.
    """
    kind = tool.get("type")
    if kind in _BY_NAME and tool.get("name"):
        return {"type": kind, "name": tool["name"]}
    if kind == "mcp" and tool.get("server_label"):
        return {"type": kind, "server_label": tool["server_label"]}
    return {"type": kind} if kind in _BY_TYPE else None


def is_left_out(name: str, values: Mapping[str, Any]) -> bool:
    """Whether a choice among the tools leaves out a function of that name.

    Args:
        name: The function's name.
        values: The request's fields.
    """
    choice = values.get("tool_choice")
    if not is_allowed_tools(choice):
        return False
    named = {tool.get("name") for tool in values.get("tools", ()) if tool.get("type") in _BY_NAME}
    return name in named and name not in {each.get("name") for each in choice["tools"]}


def narrowed(values: Mapping[str, Any], left: dict[str, Any]) -> dict[str, Any]:
    """A request's fields that still offer the model no more tools than it was to have.

    Args:
        values: The fields.
        left: What is left of them without the parts that a server does not take.

    Returns:
        ``left``, or a copy that declares fewer tools if its choice of tools is not what it was.
    """
    choice = values.get("tool_choice")
    if left.get("tool_choice") == choice or not isinstance(left.get("tools"), list):
        return left
    others = {name: each for name, each in left.items() if name not in ("tools", "tool_choice")}
    if choice == "none":
        return others
    if not is_allowed_tools(choice):
        return left
    tools = [tool for tool in left["tools"] if _is_among(tool, choice.get("tools"))]
    if not tools:
        return others
    if choice.get("mode") == "required" and "tool_choice" in left:
        # Another kind of choice is taken.
        others["tool_choice"] = "required"
    return {**others, "tools": tools}


def _is_among(tool: Any, allowed: Any) -> bool:
    return isinstance(tool, Mapping) and any(
        isinstance(each, Mapping) and all(tool.get(name) == each[name] for name in each)
        for each in (allowed if isinstance(allowed, list) else ())
    )
