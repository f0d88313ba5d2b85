"""What a session tells of what happens in it (``transport.trace``), one class for each thing.

A request is named by its number, and its place is a connection and a lane. Over HTTP, a request is
a connection of its own.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from pipecat_responses.protocol.capabilities import ServerCapabilities
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.planning import Plan, StoredPlan
from pipecat_responses.protocol.requests import Payload, Request
from pipecat_responses.session.stats import Outcome, TurnReport
from pipecat_responses.transport.trace import Reached, Received


class Purpose(StrEnum):
    """What a request is for."""

    TURN = "turn"
    ANCHOR = "anchor"
    WARM_UP = "warm-up"
    SIDE_REQUEST = "side request"
    SECOND_SERVER = "second server"
    COMPACTION = "compaction"


class Told(msgspec.Struct, frozen=True, gc=False):
    """What all have in common: hundreds are made a second, and nothing refers back to them."""


class Difference(Told, frozen=True, gc=False):
    """The first place where a context is not what the model has seen.

    Attributes:
        seen: What the model has seen there: an item of its input, or else of what it put out.
        now: What the context has there, if it goes on.
    """

    seen: Item | str
    now: Item | None

    @classmethod
    def of(cls, plan: Plan | StoredPlan, request: Request) -> Difference | None:
        """Where a context differs, if that is why a plan sends everything.

        Args:
            plan: The plan.
            request: What it was made for.
        """
        index, checkpoint = plan.changed_at, plan.changed_from
        if index is None or checkpoint is None:
            return None
        seen = checkpoint.items
        return cls(
            seen[index] if index < len(seen) else checkpoint.output.text,
            request.items[index] if index < len(request.items) else None,
        )


class TurnBegan(Told, frozen=True, gc=False):
    """A turn has its request and is about to make its first attempt."""

    turn: int
    messages: int
    items: int


class RequestSent(Told, frozen=True, gc=False):
    """A request was given away to be written.

    Attributes:
        number: Its number.
        turn: The number of the turn it is for, or during which it is sent.
        purpose: What it is for.
        source: The number of its connection; over HTTP its own.
        report: How it goes out: on which lane, and from which response it continues.
        payload: Its bytes.
        difference: Where the context differs, if that is why it carries everything.
    """

    number: int
    turn: int
    purpose: Purpose
    source: int
    report: TurnReport
    payload: Payload
    difference: Difference | None = None


class HedgeSent(Told, frozen=True, gc=False):
    """A request turns out to be a hedge: the same as another, whose answer is late."""

    number: int | None


class MessageSent(Told, frozen=True, gc=False):
    """A message was sent that is no request: a cancellation, or what the user said meanwhile."""

    source: int
    payload: Payload


class Abandoned(Told, frozen=True, gc=False):
    """Nobody listens any more to the response that runs in a place."""

    source: int
    lane: str | None
    never_left: bool


class RequestFailed(Told, frozen=True, gc=False):
    """A request over HTTP has come to nothing."""

    number: int
    error: ResponsesError


class AttemptFailed(Told, frozen=True, gc=False):
    """An attempt of a turn has come to nothing; its request has a number, if there was one."""

    turn: int
    number: int | None
    error: ResponsesError


class Retrying(Told, frozen=True, gc=False):
    """A turn makes another attempt.

    Attributes:
        turn: Its number.
        seconds: How long it waits before that.
        resumes: Whether it asks for the rest of an answer that broke off.
        elsewhere: Whether it goes on at the second server.
        error: Why.
    """

    turn: int
    seconds: float
    resumes: bool
    elsewhere: bool
    error: ResponsesError


class Parked(Told, frozen=True, gc=False):
    """A turn was interrupted, and its response may be the next turn's answer."""

    turn: int
    number: int | None


class TakenUp(Told, frozen=True, gc=False):
    """A turn goes on with the response that was parked, and gives it what the user said."""

    turn: int
    number: int | None


class TurnEnded(Told, frozen=True, gc=False):
    """A turn has ended.

    Attributes:
        turn: Its number.
        outcome: How it ended.
        report: What became of it, unless nothing of it has left.
        said: What it has put out to be spoken, whatever number of attempts that took.
    """

    turn: int
    outcome: Outcome
    report: TurnReport | None
    said: str = ""


class ToolCalled(Told, frozen=True, gc=False):
    """The model has called a function that runs in the application."""

    turn: int
    call_id: str
    name: str
    arguments: str


class ToolEnded(Told, frozen=True, gc=False):
    """A function has ended, or was cancelled."""

    call_id: str
    name: str
    cancelled: bool


class ConnectionOpened(Told, frozen=True, gc=False):
    """A WebSocket is open.

    Attributes:
        source: Its number.
        seconds: How long it took to open.
        capabilities: What is known of the server; that changes as more is learned.
    """

    source: int
    seconds: float
    capabilities: ServerCapabilities


class ConnectionRetired(Told, frozen=True, gc=False):
    """Nothing new starts on a WebSocket."""

    source: int


class ConnectionLost(Told, frozen=True, gc=False):
    """A WebSocket has ended, on purpose or not: the error tells."""

    source: int
    error: ResponsesError


class ConnectionRefused(Told, frozen=True, gc=False):
    """A WebSocket could not be opened."""

    error: ResponsesError


class ErrorReported(Told, frozen=True, gc=False):
    """A failure was reported to the application.

    Attributes:
        error: The failure; of another kind where a turn's request could not be made.
        name: Its name (``protocol.names``), if it has one.
    """

    error: Exception
    name: str | None


class Noted(Told, frozen=True, gc=False):
    """Something was found out that changes what is done from now on.

    Attributes:
        what: What it is: a capability, an option, ``"memory lost"``, ``"transport"``.
        text: What is known of it, and why.
    """

    what: str
    text: str


class ServiceClosed(Told, frozen=True, gc=False):
    """The service has released everything."""


Happening: TypeAlias = (
    TurnBegan
    | RequestSent
    | HedgeSent
    | MessageSent
    | Reached
    | Abandoned
    | RequestFailed
    | AttemptFailed
    | Retrying
    | Parked
    | TakenUp
    | TurnEnded
    | ToolCalled
    | ToolEnded
    | ConnectionOpened
    | ConnectionRetired
    | ConnectionLost
    | ConnectionRefused
    | ErrorReported
    | Noted
    | ServiceClosed
)
"""What happens once."""

Record: TypeAlias = Happening | Received
