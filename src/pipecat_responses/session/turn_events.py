"""What comes of a turn, piece by piece, whatever the transport and however many attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from pipecat_responses.protocol.events import Status, Usage


class Text(msgspec.Struct, frozen=True):
    """Text to be spoken."""

    text: str


class Pause(msgspec.Struct, frozen=True):
    """The text pauses: a message is complete, and more is to come than text."""


class ThoughtText(msgspec.Struct, frozen=True):
    """A piece of the summary of the model's reasoning."""

    text: str


class ThoughtEnd(msgspec.Struct, frozen=True):
    """The summary of one thought is over."""


class OutputItem(msgspec.Struct, frozen=True):
    """An item that the context keeps as it is: reasoning, a hosted tool's call, any other kind.

    Attributes:
        item: The item.
        leads_to: For reasoning, what it led to: a call's id, or ``protocol.items.TEXT``.
        run_here: For a call, whether the client runs it.
    """

    item: Mapping[str, Any]
    leads_to: str | None = None
    run_here: bool = False


class ItemStart(msgspec.Struct, frozen=True):
    """The model has begun an item that is not text.

    Attributes:
        is_call: Whether it is a function call, which is an answer, too.
        kind: The item's type.
        item_id: The item's id, or an empty string.
    """

    is_call: bool
    kind: str = ""
    item_id: str = ""


class Cited(msgspec.Struct, frozen=True):
    """A message is complete and names sources.

    Attributes:
        text: The message.
        annotations: What it names, as the server gives it.
    """

    text: str
    annotations: list[Mapping[str, Any]]


class CompleteCall(msgspec.Struct, frozen=True):
    """A complete function call, to be run once.

    Attributes:
        call_id: Its id.
        name: The function's name.
        arguments: The arguments as JSON text; for a custom tool, an object with its ``input``.
        namespace: What the function belongs to, or an empty string.
    """

    call_id: str
    name: str
    arguments: str
    namespace: str = ""


class AttemptUsage(msgspec.Struct, frozen=True):
    """Tokens of a response that is not the last of its turn.

    An attempt has come to nothing, or the server has gone on by itself.
    """

    usage: Usage


class UnreadableReasoning(msgspec.Struct, frozen=True):
    """The server cannot read reasoning of another provider or account; it is left out.

    Attributes:
        ids: The ids of the reasoning items.
    """

    ids: frozenset[str]


class TurnDone(msgspec.Struct, frozen=True):
    """The end of the answer.

    Attributes:
        status: How it ended.
        reason: Why it is incomplete, if it is.
        usage: Its tokens, if the server said.
        model: The model that answered, if the server said.
        response_id: The response's id, if the server said.
        details: What else the server said of it (see ``protocol.events.DETAILS``).
        logprobs: The tokens of its text with their log probabilities, if those were asked for.
    """

    status: Status
    reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    response_id: str | None = None
    details: Mapping[str, Any] = {}
    logprobs: Sequence[Mapping[str, Any]] = ()


TurnEvent: TypeAlias = (
    Text
    | Pause
    | ThoughtText
    | ThoughtEnd
    | OutputItem
    | ItemStart
    | Cited
    | CompleteCall
    | AttemptUsage
    | UnreadableReasoning
    | TurnDone
)
