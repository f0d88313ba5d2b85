"""What is to be sent: posted by whoever has something to say, written by a socket.

Posting is a plain call, so it cannot be cancelled half-way. Where nothing is in a message's way it
is written in that call, which spares it a turn of the event loop; otherwise it waits for the
socket's writer, and what has not begun to leave can be taken back. An outbox outlives its socket:
what is posted after the end goes nowhere, and it can still be asked whether a message ever began to
leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

from pipecat_responses.protocol.requests import Payload


class QueuedMessage:
    """A payload on its way out, and how far it has come.

    Attributes:
        payload: The bytes.
        background: Whether it gives way to payloads that are not.
        started: Whether writing has begun. Before that it can still be taken back.
        written: Whether all of it has been handed to the operating system.
        written_at: When that was, in the monotonic clock.
    """

    __slots__ = ("background", "payload", "started", "written", "written_at")

    def __init__(self, payload: Payload, *, background: bool) -> None:
        """Creates a ticket for a payload."""
        self.payload = payload
        self.background = background
        self.started = False
        self.written = False
        self.written_at: float | None = None

    def begin(self) -> None:
        """Says that writing begins; it cannot be taken back any more."""
        self.started = True

    def finish(self) -> None:
        """Says that all of it has been handed to the operating system."""
        self.written = True
        self.written_at = time.monotonic()


class Outbox:
    """The messages that wait for one socket, in the order in which they are to leave."""

    def __init__(self) -> None:
        """Creates an empty outbox; messages may be posted before there is a socket."""
        self._waiting: deque[QueuedMessage] = deque()
        self._changed = asyncio.Event()
        self._closed = False
        self._writing = False
        self._write: Callable[[Payload], bool] | None = None

    def write_through(self, write: Callable[[Payload], bool]) -> None:
        """Has what is posted written at once, as long as no other message is in its way.

        Args:
            write: Writes all of a payload and returns True, or nothing of it and returns False.
        """
        self._write = write

    def post(self, payload: Payload, *, background: bool = False) -> QueuedMessage:
        """Gives a payload away to be written.

        Args:
            payload: The message.
            background: Let payloads that are posted later, and are not in the background, leave
                first.

        Returns:
            A ticket to take it back with. After the end, one for a message that never leaves.
        """
        message = QueuedMessage(payload, background=background)
        if self._closed:
            return message
        if self._write is not None and self._is_free and self._write(payload):
            message.begin()
            message.finish()
            return message
        if background:
            self._waiting.append(message)
        else:
            self._waiting.insert(self._place(), message)
        self._changed.set()
        return message

    def take_back(self, message: QueuedMessage) -> bool:
        """Takes a payload back, if it has not begun to leave.

        Returns:
            True if nothing of it was or will be written.
        """
        if message.started:
            return False
        with contextlib.suppress(ValueError):
            self._waiting.remove(message)
        return True

    async def next(self) -> QueuedMessage | None:
        """Waits for a message, and marks it as one that leaves now. For the socket.

        To ask for the next one says that the last one has left.

        Returns:
            The message, or None once the outbox is closed.
        """
        self._writing = False
        while not self._waiting:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        message = self._waiting.popleft()
        self._writing = True
        message.begin()
        return message

    def close(self) -> None:
        """Ends it: what waits is dropped, and so is all that is posted from now on."""
        self._closed = True
        self._write = None
        self._waiting.clear()
        self._changed.set()

    @property
    def _is_free(self) -> bool:
        """Whether a message would leave next, and not into the middle of another."""
        return not (self._waiting or self._writing)

    def _place(self) -> int:
        """Where a message goes that is not in the background: before the first that is."""
        for place, message in enumerate(self._waiting):
            if message.background:
                return place
        return len(self._waiting)
