"""How long a session waits, for what, and how often it tries. All times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from pipecat_responses.protocol.names import ErrorName, named
from pipecat_responses.protocol.retry import Backoff


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnLimits:
    """How patient a turn is.

    Attributes:
        quiet_secs: Time without any event after which the server is asked for a sign of life
            (WebSocket only).
        probe_secs: Time it has to give one; without it the connection is given up.
        begin_secs: Time for a response to begin at all. A sign of life (a ping of the server's, an
            event of an unknown type, a comment in the stream) makes it start anew.
        gap_secs: Time without an event in the middle of a sentence after which the answer is
            resumed elsewhere. A server that is slow by itself gets four times its longest pause.
        stall_secs: Time without an event after which a running response counts as lost in any
            case, five times that if there are signs of life.
        terminal_secs: Time to wait for the terminal event once everything has been put out.
        total_secs: Time within which new attempts are made.
        attempts: Attempts, the first included. A server that was there before and cannot be
            reached any more is waited for as long as ``total_secs`` allows.
        backoff: The waiting between attempts.
    """

    quiet_secs: float = 1.5
    probe_secs: float = 1.5
    begin_secs: float = 6.0
    gap_secs: float = 2.5
    stall_secs: float = 60.0
    terminal_secs: float = 10.0
    total_secs: float = 12.0
    attempts: int = 5
    backoff: Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        """Refuses what makes no sense."""
        _check_positive(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """How patient connections are.

    Attributes:
        open_secs: Time for a connection to be opened, address look-up and handshake included.
        ping_interval_secs: Time between keep-alive pings (WebSocket only).
        ping_timeout_secs: Time without a pong after which the server counts as gone (WebSocket
            only).
        attempts: Attempts in a row to reopen a lost connection while no turn waits for one, before
            the pauses become long (WebSocket only).
        backoff: The pauses between those.
        way_back: The pauses between attempts to open a WebSocket while turns go over HTTP, since
            none comes through.
    """

    open_secs: float = 8.0
    ping_interval_secs: float = 5.0
    ping_timeout_secs: float = 5.0
    attempts: int = 8
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.25, cap=10.0))
    way_back: Backoff = field(default_factory=lambda: Backoff(first=10.0, cap=300.0))

    def __post_init__(self) -> None:
        """Refuses what makes no sense."""
        _check_positive(self)


def _check_positive(limits: TurnLimits | ConnectionLimits) -> None:
    for each in fields(limits):
        value = getattr(limits, each.name)
        if isinstance(value, Backoff):
            continue
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
            raise named(
                ValueError(
                    f"{type(limits).__name__}.{each.name} must be more than 0, not {value!r}"
                ),
                ErrorName.ARGUMENT,
            )
