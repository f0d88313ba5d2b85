"""Steering: what the user says while a response runs, and the server works into it.

The rules (OpenAI's guide "Mid-turn steering" and the types of ``response.steer``), in short:

- ``response.steer`` names a response that runs on the connection, and carries user messages. It is
  for models of the gpt-6 family, not with ``conversation`` or automatic compaction.
- ``response.steer.accepted``: the server has the messages. The response ends where nothing is cut
  in two, as incomplete (``steered``) or as completed, and the server goes on by itself in a
  successor on the same lane. That has the messages once it is created.
- A response that has called functions of the client completes, and ``response.steer.pending`` says
  that the messages wait for the client's next request.
- ``response.steer.failed``: the messages are the client's again.

What was said in the response and in its successor is one answer. No client need go on from a
response whose messages wait: from an older checkpoint everything is sent again, those included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipecat_responses.protocol.events import Terminal
from pipecat_responses.protocol.items import Item, Message
from pipecat_responses.protocol.requests import Request

STEERED = "steered"
"""Why a response is incomplete whose successor goes on with what was said meanwhile."""

_FIELDS = frozenset({"type", "role", "content"})
_PARTS = frozenset({"input_text", "input_image", "input_file"})


def takes_steering(model: str) -> bool:
    """Whether responses of a model can be steered: those of the gpt-6 family can.

    Args:
        model: The model's name.
    """
    return model.lower().startswith("gpt-6")


def may_steer(request: Request) -> bool:
    """Whether the server may take more input to a request while it answers it."""
    fields = request.fields
    return (
        request.steerable
        and request.generate
        and not fields.has("conversation")
        and not fields.has("context_management")
    )


def can_be_given(items: Sequence[Item]) -> bool:
    """Whether items are messages that a response can be steered with."""
    return bool(items) and all(map(_is_users, items))


def _is_users(item: Item) -> bool:
    if not isinstance(item, Message) or item.role != "user" or not _FIELDS.issuperset(item.wire):
        return False
    content = item.wire.get("content")
    if isinstance(content, str):
        return True
    return isinstance(content, list) and all(
        isinstance(part, Mapping) and part.get("type") in _PARTS for part in content
    )


@dataclass(slots=True)
class Steers:
    """What a response was given while it ran. Only its response changes it.

    Attributes:
        accepted: The messages that the server has, and will go on with.
        held: The response's end, kept back until it is known whether a successor goes on.
    """

    accepted: list[Item] = field(default_factory=list)
    held: Terminal | None = None
    _asked: Sequence[Item] = ()

    @property
    def unanswered(self) -> bool:
        """Whether the server has not said yet whether it takes the latest ones."""
        return bool(self._asked)

    @property
    def open(self) -> bool:
        """Whether a successor may be on its way."""
        return bool(self._asked or self.accepted)

    def ask(self, items: Sequence[Item]) -> None:
        """Messages go out."""
        self._asked = items

    def accept(self) -> None:
        """The server has them."""
        self.accepted += self._asked
        self._asked = ()

    def fail(self) -> None:
        """The server does not take them, or cannot go on with those that it has taken."""
        if self._asked:
            self._asked = ()
        else:
            self.accepted.clear()

    def wait_for_client(self) -> None:
        """They wait for the client's next request: no successor comes by itself."""
        self._asked = ()
        self.accepted.clear()
