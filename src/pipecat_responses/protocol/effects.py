"""Effects: what a connection wants done after it has taken something in.

``protocol.connection`` decides and returns these; ``session.live`` carries each of them out, in one
``match`` that names every one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from pipecat_responses.protocol.capabilities import Capability
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.events import Event, Usage
from pipecat_responses.protocol.requests import Payload

ListenerT = TypeVar("ListenerT")
"""Whoever listens to a response. The protocol hands it back and never looks inside."""


@dataclass(frozen=True, slots=True)
class Deliver(Generic[ListenerT]):
    """Give an event to the listener of its response."""

    listener: ListenerT
    event: Event


@dataclass(frozen=True, slots=True)
class Fail(Generic[ListenerT]):
    """Tell a listener that its response is lost; nothing more comes of it."""

    listener: ListenerT
    error: ResponsesError


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message that nothing waits for, behind everything else."""

    payload: Payload


@dataclass(frozen=True, slots=True)
class Learned:
    """The server has shown what it can do, or cannot."""

    capability: Capability
    available: bool


@dataclass(frozen=True, slots=True)
class MemoryLost:
    """The server has forgotten what requests continue from."""


@dataclass(frozen=True, slots=True)
class ForkEnded:
    """A fork was taken (the server has begun its response) or refused."""

    taken: bool


@dataclass(frozen=True, slots=True)
class AbandonedEnded:
    """A response that nobody listened to any more has ended, and was billed.

    Attributes:
        turn: The number of the turn it was meant for.
        response_id: Its id, if the server said.
        usage: Its tokens, if the server said.
    """

    turn: int
    response_id: str | None
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Dropped:
    """An event belonged to no response that runs; nothing is to be done but to say so."""

    event: Event


@dataclass(frozen=True, slots=True)
class StateChanged:
    """What may start on the connection has changed, or whether it is needed at all."""


Effect: TypeAlias = (
    Deliver[ListenerT]
    | Fail[ListenerT]
    | Send
    | Learned
    | MemoryLost
    | ForkEnded
    | AbandonedEnded
    | Dropped
    | StateChanged
)

STATE_CHANGED = StateChanged()
