"""What a session tells whoever owns it, besides the answers of its turns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.events import Usage


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection to carry turns has been opened."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """No connection is left.

    Attributes:
        error: Why; None when it was closed on purpose.
    """

    error: ResponsesError | None


@dataclass(frozen=True, slots=True)
class ConnectFailed:
    """A connection could not be opened.

    Attributes:
        error: Why.
        waited_for: Whether a turn waits for it (and will report it).
    """

    error: ResponsesError
    waited_for: bool


@dataclass(frozen=True, slots=True)
class TransportChanged:
    """Turns go another way from now on.

    Attributes:
        transport: ``"http"`` or ``"websocket"``.
        error: Why no WebSocket comes through; None on the way back.
    """

    transport: str
    error: ResponsesError | None = None


@dataclass(frozen=True, slots=True)
class Unprepared:
    """A connection was opened, or is free again: it may lack what the next turn continues from."""


@dataclass(frozen=True, slots=True)
class AbandonedUsage:
    """A response that nobody waited for has ended and was billed.

    Attributes:
        turn: The number of the turn it was meant for, from 1.
        response_id: Its id.
        usage: Its tokens.
    """

    turn: int
    response_id: str | None
    usage: Usage


Notice: TypeAlias = (
    Connected | Disconnected | ConnectFailed | TransportChanged | Unprepared | AbandonedUsage
)
Listener: TypeAlias = Callable[[Notice], Awaitable[None]]
