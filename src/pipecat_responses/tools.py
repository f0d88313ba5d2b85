"""Tools that OpenAI runs, and custom ones, declared beside functions.

Example::

    context = LLMContext(tools=tools(look_up, web_search(), mcp("tables", server_url="https://…")))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pipecat.adapters.llm.schemas.tools_schema import AdapterType, ToolsSchema

from pipecat_responses.protocol.names import ErrorName, named

__all__ = [
    "code_interpreter",
    "custom",
    "file_search",
    "image_generation",
    "mcp",
    "tool_search",
    "tools",
    "web_search",
]


def tools(*declared: Any) -> ToolsSchema:
    """A context's tools.

    Args:
        *declared: Functions as Pipecat takes them (``FunctionSchema`` or plain functions), and
            tools as the other functions of this module give them, or as the API describes them.
    """
    hosted = [dict(each) for each in declared if isinstance(each, Mapping)]
    functions = [each for each in declared if not isinstance(each, Mapping)]
    return ToolsSchema(standard_tools=functions, custom_tools={AdapterType.OPENAI: hosted})


def web_search(
    *,
    search_context_size: Literal["low", "medium", "high"] | None = None,
    allowed_domains: Sequence[str] | None = None,
    user_location: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Lets the model search the web.

    Args:
        search_context_size: How much of what is found the model gets.
        allowed_domains: The only domains it may search.
        user_location: About where the user is: ``{"type": "approximate", "city": …}``.
    """
    return _tool(
        "web_search",
        search_context_size=search_context_size,
        filters=None if allowed_domains is None else {"allowed_domains": list(allowed_domains)},
        user_location=user_location,
    )


def file_search(
    vector_store_ids: Sequence[str],
    *,
    max_num_results: int | None = None,
    filters: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Lets the model search files.

    Args:
        vector_store_ids: The stores of the files.
        max_num_results: The most results it gets.
        filters: Which files, by their attributes.
    """
    return _tool(
        "file_search",
        vector_store_ids=list(vector_store_ids),
        max_num_results=max_num_results,
        filters=filters,
    )


def code_interpreter(container: str | Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Lets the model run Python.

    Args:
        container: The id of a container, or what one is to be like; left out, one is made.
    """
    return _tool("code_interpreter", container=container or {"type": "auto"})


def image_generation(
    *,
    size: str | None = None,
    quality: str | None = None,
    output_format: Literal["png", "webp", "jpeg"] | None = None,
    background: Literal["transparent", "opaque", "auto"] | None = None,
) -> dict[str, Any]:
    """Lets the model make images.

    Args:
        size: ``"1024x1024"``, …, or ``"auto"``.
        quality: ``"low"``, ``"medium"``, ``"high"`` or ``"auto"``.
        output_format: The form of the image.
        background: Its background.
    """
    return _tool(
        "image_generation",
        size=size,
        quality=quality,
        output_format=output_format,
        background=background,
    )


def mcp(
    server_label: str,
    *,
    server_url: str | None = None,
    connector_id: str | None = None,
    authorization: str | None = None,
    headers: Mapping[str, str] | None = None,
    allowed_tools: Sequence[str] | None = None,
    require_approval: Literal["always", "never"] | Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Lets the model use a remote MCP server.

    Args:
        server_label: What the server is called in calls.
        server_url: Its address; this or ``connector_id`` is needed.
        connector_id: One of OpenAI's connectors.
        authorization: A token for it.
        headers: Headers for it.
        allowed_tools: The only tools of it that may be used.
        require_approval: Which calls need approval (see ``mcp_approval`` of the services). Left
            out, all of them do.

    Raises:
        ValueError: If neither or both of ``server_url`` and ``connector_id`` are given.
    """
    if (server_url is None) == (connector_id is None):
        raise named(
            ValueError("An MCP server is named by server_url or by connector_id: give one of them"),
            ErrorName.ARGUMENT,
        )
    return _tool(
        "mcp",
        server_label=server_label,
        server_url=server_url,
        connector_id=connector_id,
        authorization=authorization,
        headers=headers,
        allowed_tools=None if allowed_tools is None else list(allowed_tools),
        require_approval=require_approval,
    )


def tool_search() -> dict[str, Any]:
    """Lets the model look for the tools that it needs, instead of reading all of them."""
    return _tool("tool_search")


def custom(
    name: str,
    *,
    description: str | None = None,
    grammar: str | None = None,
    syntax: Literal["lark", "regex"] = "lark",
) -> dict[str, Any]:
    """A tool that runs here and takes text instead of JSON; register its handler by its name.

    Args:
        name: Its name.
        description: What it is for.
        grammar: What the text has to look like; left out, any will do.
        syntax: What the grammar is written in.
    """
    form = {"type": "grammar", "syntax": syntax, "definition": grammar}
    return _tool(
        "custom", name=name, description=description, format=None if grammar is None else form
    )


def _tool(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **{name: value for name, value in fields.items() if value is not None}}
