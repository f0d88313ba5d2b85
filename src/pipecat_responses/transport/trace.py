"""What happens in a service, told to whoever looks, at the moment it happens.

Nobody looks most of the time. So those who tell ask first, which is all that it costs then::

    if (tell := trace.tell) is not None:
        tell(Received(...))

Records hold references and raw bytes. Nothing is copied, decoded or put into words before somebody
reads them, and whoever is told returns at once.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

from pipecat_responses.protocol.names import ErrorName, named

Data = bytes | bytearray | memoryview


class Received(msgspec.Struct, frozen=True, gc=False):
    """An event has arrived.

    Attributes:
        source: The number of its connection; over HTTP, of its request.
        lane: The lane that it names, or None.
        kind: Its type, or None if it has none that can be read.
        data: Its JSON text.
    """

    source: int
    lane: str | None
    kind: str | None
    data: bytes


class Trace:
    """A service's way to tell what happens.

    Attributes:
        tell: Takes each record (``session.records.Record``), or None as long as nobody looks.
    """

    __slots__ = ("_mask", "_numbers", "tell")

    def __init__(self, mask: Callable[[str], str] = str) -> None:
        """Begins with nobody looking.

        Args:
            mask: Takes secrets out of a text.
        """
        self.tell: Callable[[Any], None] | None = None
        self._mask = mask
        self._numbers = count(1)

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

    def number(self) -> int:
        """A number for a connection or a request, from 1, that no other of the service has."""
        return next(self._numbers)

    def mask(self, text: str) -> str:
        """A text without the secrets of the service."""
        return self._mask(text)

    def received(self, source: int, lane: Any, kind: Any, data: Data | str) -> None:
        """Tells of an event. Call it only while somebody looks.

        Args:
            source: The number of its connection; over HTTP, of its request.
            lane: The lane that it names, of any type: it is as the server says it.
            kind: Its type, of any type.
            data: Its JSON text. What may be overwritten is copied.
        """
        if self.tell is None:
            return
        if type(data) is not bytes:
            data = data.encode() if isinstance(data, str) else bytes(data)
        self.tell(
            Received(
                source,
                lane if type(lane) is str else None,
                kind if type(kind) is str else None,
                data,
            )
        )
