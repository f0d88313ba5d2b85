"""Calls of remote MCP tools that wait for somebody's approval.

The model asks with an ``mcp_approval_request``, and its response ends there. The answer is an item
of the conversation, too, so it may come at once or minutes later, over an interruption or on
another connection; the turn goes on from there. A request that is still open when something else is
said counts as declined (``protocol.repairs``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, get_args

from pipecat.frames.frames import DataFrame, Frame, LLMMessagesAppendFrame
from pipecat.processors.aggregators.llm_context import LLMSpecificMessage

from pipecat_responses.protocol.names import ErrorName, named

Rule: TypeAlias = Literal["ask", "always", "never"]

McpApproval: TypeAlias = (
    Rule | Mapping[str, Rule] | Callable[["McpApprovalRequest"], Awaitable[bool | None]]
)
"""Who approves: a rule for all tools, a rule for each by its name (``ask`` for those that are not
named), or a function that is asked, and gives None to leave it for later."""


@dataclass(frozen=True, slots=True)
class McpApprovalRequest:
    """A call that a remote MCP server is to make.

    Attributes:
        id: The request's id, to answer it by.
        server_label: The MCP server.
        name: The tool.
        arguments: The arguments as JSON text.
    """

    id: str
    server_label: str
    name: str
    arguments: str


@dataclass
class McpApprovalFrame(DataFrame):
    """Answers a request for approval. Queue it like any other frame; it travels downstream.

    Parameters:
        request_id: The request's id.
        approve: Whether the call may be made.
    """

    request_id: str = ""
    approve: bool = False


class Approver(Protocol):
    """What is needed of a service to ask and to answer through it."""

    async def push_frame(self, frame: Frame) -> None:
        """Pushes a frame downstream."""

    def create_llm_specific_message(self, message: Any) -> LLMSpecificMessage:
        """Wraps an item for the context."""

    async def _call_event_handler(self, event_name: str, *args: Any) -> None:
        """Tells the application."""


def check_approval(policy: McpApproval) -> None:
    """Refuses a policy that makes no sense.

    Raises:
        ValueError: If a rule is not known.
    """
    rules = policy.values() if isinstance(policy, Mapping) else [policy]
    for rule in rules:
        if not callable(rule) and rule not in get_args(Rule):
            raise named(
                ValueError(
                    'mcp_approval must be "ask", "always" or "never", one of these for each tool, '
                    f"or a function, not {rule!r}"
                ),
                ErrorName.ARGUMENT,
            )


class McpApprovals:
    """Asks and answers for one service."""

    def __init__(self, service: Approver, policy: McpApproval) -> None:
        """Creates it.

        Args:
            service: The service.
            policy: Who approves.
        """
        self._service = service
        self._policy = policy
        # By the id of a request, those of its response that have no answer yet.
        self._open: dict[str, set[str]] = {}

    async def ask(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Has the requests of a response answered; those that nobody answers now stay open.

        Args:
            items: The ``mcp_approval_request`` items.
        """
        requests = [_read(item) for item in items]
        group = {request.id for request in requests}
        self._open.update((request_id, group) for request_id in set(group))
        for request in requests:
            verdict = await self._verdict(request)
            if verdict is None:
                await self._service._call_event_handler("on_mcp_approval_request", request)
            else:
                await self.answer(request.id, verdict)

    async def answer(self, request_id: str, approve: bool) -> None:
        """Writes an answer into the context; with a response's last one the turn goes on."""
        group = self._open.pop(request_id, None)
        if group is None:
            return
        group.discard(request_id)
        item = {
            "type": "mcp_approval_response",
            "approval_request_id": request_id,
            "approve": approve,
        }
        message: Any = self._service.create_llm_specific_message(item)
        await self._service.push_frame(LLMMessagesAppendFrame([message], run_llm=not group))

    async def _verdict(self, request: McpApprovalRequest) -> bool | None:
        policy = self._policy
        if isinstance(policy, Mapping):
            policy = policy.get(request.name, "ask")
        if not isinstance(policy, str):
            return await policy(request)
        return None if policy == "ask" else policy == "always"


def _read(item: Mapping[str, Any]) -> McpApprovalRequest:
    fields = (item.get(name) for name in ("id", "server_label", "name", "arguments"))
    return McpApprovalRequest(*(value if isinstance(value, str) else "" for value in fields))
