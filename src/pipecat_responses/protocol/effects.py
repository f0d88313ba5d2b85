"""Effects: what a connection wants done after it has taken something in.

``protocol.connection`` decides and returns these; ``session.live`` carries each of them out, in one
``match`` that names every one.
"""

from __future__ import annotations

from typing import Generic, TypeAlias, TypeVar

import msgspec

from pipecat_responses.protocol.capabilities import Capability
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.events import Event, Usage
from pipecat_responses.protocol.lanes import Checkpoint
from pipecat_responses.protocol.options import RefusedOption
from pipecat_responses.protocol.requests import Payload

ListenerT = TypeVar("ListenerT")
"""Whoever listens to a response. The protocol hands it back and never looks inside."""


class Deliver(msgspec.Struct, Generic[ListenerT], frozen=True):
    """Give an event to the listener of its response."""

    listener: ListenerT
    event: Event


class Fail(msgspec.Struct, Generic[ListenerT], frozen=True):
    """Tell a listener that its response is lost; nothing more comes of it."""

    listener: ListenerT
    error: ResponsesError


class Send(msgspec.Struct, frozen=True):
    """Send a message that nothing waits for, behind everything else."""

    payload: Payload


class Learned(msgspec.Struct, frozen=True):
    """The server has shown what it can do, or cannot."""

    capability: Capability
    available: bool
    why: str = ""


class OptionRefused(msgspec.Struct, frozen=True):
    """The server does not take an optional part of requests."""

    option: RefusedOption


class MemoryLost(msgspec.Struct, frozen=True):
    """The server has forgotten what requests continue from."""


class Stored(msgspec.Struct, frozen=True):
    """The server has stored a response, which can be continued from on other connections.

    Attributes:
        checkpoint: What it can be continued from.
    """

    checkpoint: Checkpoint


class ForkEnded(msgspec.Struct, frozen=True):
    """A fork was taken (the server has begun its response) or refused."""

    taken: bool


class AbandonedEnded(msgspec.Struct, frozen=True):
    """A response that nobody listened to any more has ended, and was billed.

    Attributes:
        turn: The number of the turn it was meant for.
        response_id: Its id, if the server said.
        usage: Its tokens, if the server said.
    """

    turn: int
    response_id: str | None
    usage: Usage | None


class Dropped(msgspec.Struct, frozen=True):
    """An event belonged to no response that runs; nothing is to be done but to say so."""

    event: Event


class StateChanged(msgspec.Struct, frozen=True):
    """What may start on the connection has changed, or whether it is needed at all."""


Effect: TypeAlias = (
    Deliver[ListenerT]
    | Fail[ListenerT]
    | Send
    | Learned
    | OptionRefused
    | MemoryLost
    | Stored
    | ForkEnded
    | AbandonedEnded
    | Dropped
    | StateChanged
)

STATE_CHANGED = StateChanged()
