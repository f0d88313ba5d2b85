"""Servers of the Model Context Protocol, as if they had been called: lists, approvals and calls.

Nothing is called. A server's tools are those that the request allows by name, or one that searches.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pipecat_responses.sandbox.answers import HostedCall, ModelInput, Part, Text
from pipecat_responses.sandbox.choices import Tool
from pipecat_responses.sandbox.intents import arguments_for, score
from pipecat_responses.sandbox.transcript import Item

_SCHEMA = {
    "type": "object",
    "properties": {"query": {"type": "string"}},
    "required": ["query"],
    "additionalProperties": False,
}


def listings(given: ModelInput, tools: Sequence[Tool]) -> list[HostedCall]:
    """The lists of the tools of those servers that the model has seen none of yet."""
    servers = [tool for tool in tools if tool["type"] == "mcp"]
    if not servers:
        return []
    listed = {
        item.get("server_label")
        for item in given.newest_first()
        if item.get("type") == "mcp_list_tools"
    }
    unseen = (server for server in servers if _label(server) not in listed)
    return [HostedCall(_listing(server), seconds=0.0) for server in unseen]


def _listing(server: Tool) -> Item:
    tools = [
        {"name": name, "description": None, "annotations": None, "input_schema": _SCHEMA}
        for name in _names(server)
    ]
    return {"type": "mcp_list_tools", "server_label": _label(server), "tools": tools}


def server_asks(server: Tool, text: str) -> bool:
    """Whether a text asks for a server: by its label, its description or a tool of its."""
    if "mcp" in text.lower().split():
        return True
    return any(score(_function(server, name), text) for name in _names(server))


def call_of_server(server: Tool, text: str, name: str | None, seed: int) -> tuple[Part, ...]:
    """A call of a server's tool, or the request to allow it.

    Args:
        server: The ``mcp`` tool.
        text: What the user said.
        name: The tool that is demanded; None takes the one that fits best.
        seed: Which values to take where there is a choice.

    Returns:
        The call and a text about it, or the request for approval alone.
    """
    names = _names(server)
    best = name or max(names, key=lambda each: score(_function(server, each), text))
    arguments = json.dumps(arguments_for(_SCHEMA, text, text, seed=seed))
    call = {"server_label": _label(server), "name": best, "arguments": arguments}
    if _needs_approval(server, best):
        return (HostedCall({"type": "mcp_approval_request", **call}, seconds=0.0),)
    return _called(call)


def after_approval(given: ModelInput) -> tuple[Part, ...]:
    """The calls that were just allowed, or a text where they were not; empty without either."""
    answers: list[Item] = []
    requests: dict[str, Item] = {}
    for item in given.newest_first():
        if item.get("type") == "mcp_approval_response" and not requests:
            answers.insert(0, item)
        elif item.get("type") == "mcp_approval_request":
            requests[item.get("id", "")] = item
        if not answers or len(requests) >= len(answers):
            break
    parts: list[Part] = []
    for answer in answers:
        asked = requests.get(answer.get("approval_request_id", ""))
        if asked is None:
            continue
        if not answer.get("approve"):
            parts.append(Text(f"I did not call {asked['name']}, as it was not allowed."))
            continue
        call = {name: asked[name] for name in ("server_label", "name", "arguments")}
        parts.extend(_called({**call, "approval_request_id": asked["id"]}))
    return tuple(parts)


def _called(call: dict[str, Any]) -> tuple[Part, ...]:
    output = f"Results of {call['name']} for {call['arguments']}"
    item = {"type": "mcp_call", "approval_request_id": None, **call, "error": None}
    said = Text(f"{call['server_label']} says: {output}.")
    return HostedCall({**item, "output": output}), said


def _label(server: Tool) -> str:
    return str(server.get("server_label") or "server")


def _names(server: Tool) -> list[str]:
    allowed = server.get("allowed_tools")
    if isinstance(allowed, dict):
        allowed = allowed.get("tool_names")
    names = allowed if isinstance(allowed, list) else []
    return [name for name in names if isinstance(name, str)] or ["search"]


def _function(server: Tool, name: str) -> dict[str, Any]:
    """A server's tool as a function, to be scored like one."""
    return {
        "type": "function",
        "name": f"{_label(server)}_{name}",
        "description": server.get("server_description") or "",
    }


def _needs_approval(server: Tool, name: str) -> bool:
    """Whether a call needs to be allowed, as all do by default."""
    required = server.get("require_approval") or "always"
    if not isinstance(required, dict):
        return required != "never"
    return name not in ((required.get("never") or {}).get("tool_names") or ())
