"""What happens in a service, told to whoever looks, at the moment it happens.

Nobody looks most of the time. So those who tell ask first, which is all that it costs then::

    if (tell := trace.tell) is not None:
        tell(Received(...))

Records hold references and raw bytes. Nothing is copied, decoded or put into words before somebody
reads them, and whoever is told returns at once. Of what arrives, one record has all that was read
in one step: hundreds of tokens may come at once, and each is little work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Literal

import msgspec

from pipecat_responses.protocol.names import ErrorName, named

Data = bytes | bytearray | memoryview


WHOLE_RESPONSE = "response"
"""What a response is called that came itself, instead of its events."""

MILESTONES = frozenset(
    {
        "response.created",
        "response.completed",
        "response.failed",
        "response.incomplete",
        WHOLE_RESPONSE,
        "error",
    }
)
"""Events that say how far a request has come. The others are for those who look at the wire."""


class Received(msgspec.Struct, frozen=True, gc=False):
    """Events have arrived, in one step.

    Attributes:
        source: The number of their connection; over HTTP, of their request.
        messages: Their JSON texts.
        carrier: What they are: messages of a WebSocket, which may name lanes, events over HTTP, or
            there the response itself.
    """

    source: int
    messages: tuple[Data, ...]
    carrier: Literal["websocket", "http", "response"]


class Reached(msgspec.Struct, frozen=True, gc=False):
    """One of the events that have just arrived says how far a request has come.

    Attributes:
        source: The number of its connection; over HTTP, of its request.
        lane: The lane that it names, or None.
        kind: Its type, one of ``MILESTONES``.
        index: Its place among those that arrived with it.
    """

    source: int
    lane: str | None
    kind: str
    index: int


class Trace:
    """A service's way to tell what happens.

    Attributes:
        tell: Takes each record (``session.records.Record``), or None as long as nobody looks.
        turn: The number of the turn that runs, or ran last.
    """

    __slots__ = ("_connections", "_mask", "_requests", "tell", "turn")

    def __init__(self, mask: Callable[[str], str] = str) -> None:
        """Begins with nobody looking.

        Args:
            mask: Takes secrets out of a text.
        """
        self.tell: Callable[[Any], None] | None = None
        self.turn = 0
        self._mask = mask
        self._connections = count(1)
        self._requests = count(1)

    def attach(self, tell: Callable[[Any], None]) -> None:
        """Has somebody told from now on.

        Args:
            tell: Takes each record, and returns at once.

        Raises:
            RuntimeError: If somebody else is told already.
        """
        if self.tell is not None:
            raise named(
                RuntimeError("The service is being looked at already: one inspector at a time"),
                ErrorName.INSPECTED,
            )
        self.tell = tell

    def detach(self) -> None:
        """Nobody looks any more."""
        self.tell = None

    def new_connection(self) -> int:
        """A number for a connection, from 1, that no other of the service has.

        Over HTTP, a request is a connection of its own.
        """
        return next(self._connections)

    def new_request(self) -> int:
        """A number for a request, from 1, that no other of the service has."""
        return next(self._requests)

    def mask(self, text: str) -> str:
        """A text without the secrets of the service."""
        return self._mask(text)

    def received(
        self,
        source: int,
        messages: Sequence[Data],
        carrier: Literal["websocket", "http", "response"] = "websocket",
    ) -> None:
        """Tells of events, before they are handed over.

        Args:
            source: The number of their connection; over HTTP, of their request.
            messages: Their JSON texts, which nobody changes any more.
            carrier: What they are.
        """
        if self.tell is not None:
            self.tell(Received(source, tuple(messages), carrier))

    def reached(self, source: int, lane: Any, kind: Any, index: int) -> None:
        """Tells of one of the events that have just arrived, if it is a milestone.

        Args:
            source: The number of its connection; over HTTP, of its request.
            lane: The lane that it names, of any type: it is as the server says it.
            kind: Its type, of any type.
            index: Its place among those that arrived with it.
        """
        if self.tell is not None and type(kind) is str and kind in MILESTONES:
            self.tell(Reached(source, lane if type(lane) is str else None, kind, index))
