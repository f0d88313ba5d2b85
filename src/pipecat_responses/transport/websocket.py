"""One WebSocket connection: a reader, a writer, and an end.

Life of a connection: ``open`` does the handshake, bounded in time. From then on each message is
decoded and handed to the receiver as soon as its last byte is parsed, in the call that the event
loop makes for the socket: no task, no queue. The receiver returns at once, so pongs are always read
and the keep-alive always works; whoever consumes slowly gets deltas joined by its inbox. The writer
is a task that takes payloads from an outbox, so that giving a payload away is a plain call: it
cannot be cancelled half-way, and one that has not left yet can be taken back. Whatever ends the
connection first (a close, a reset, a dead peer, an abort) is reported once, through ``on_lost``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidURI,
)
from websockets.frames import Frame, Opcode
from websockets.protocol import Event as Parsed

from pipecat_responses.protocol.errors import (
    ConnectionLostError,
    Failure,
    ResponsesError,
    read_error,
)
from pipecat_responses.protocol.events import Event, decode, read
from pipecat_responses.protocol.requests import Payload
from pipecat_responses.transport.handshake import handshake_error

Data: TypeAlias = bytes | bytearray | memoryview

FRAGMENTED_FROM = 128 * 1024
"""Bytes from which a message is written in fragments, so that no single write is long."""


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """How a connection behaves.

    Attributes:
        open_timeout: Seconds for the handshake, address look-up included.
        close_timeout: Seconds for the closing handshake.
        ping_interval: Seconds between keep-alive pings.
        ping_timeout: Seconds without a pong after which the peer counts as dead.
        max_message_bytes: Largest message that is accepted from the server.
    """

    open_timeout: float = 8.0
    close_timeout: float = 2.0
    ping_interval: float = 5.0
    ping_timeout: float = 5.0
    max_message_bytes: int = 16 * 1024 * 1024


class Receiver(Protocol):
    """Whoever a connection belongs to. All calls are plain and must return at once."""

    def on_event(self, stream_id: str | None, event: Event) -> None:
        """An event arrived, on a named lane or (None) on none."""

    def on_undecodable(self, error: ResponsesError) -> None:
        """A message arrived that is no event."""

    def on_lost(self, error: ResponsesError) -> None:
        """The connection has ended; nothing arrives any more. Called once."""


class _SameOriginConnect(connect):
    """A redirect would carry the key to another address, so there is none."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Channel(ClientConnection):
    """Hands messages over as they are parsed, where the library would queue them for a task."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._parts: list[Data] = []
        self._early: list[Data] = []
        self._on_message: Callable[[Data], None] = self._early.append
        self._on_end: Callable[[], None] | None = None

    def listen(self, on_message: Callable[[Data], None], on_end: Callable[[], None]) -> None:
        """Says who gets the messages, those included that came with the handshake."""
        early, self._early = self._early, []
        self._on_message, self._on_end = on_message, on_end
        for message in early:
            on_message(message)

    def process_event(self, event: Parsed) -> None:
        if self.response is None or not isinstance(event, Frame) or event.opcode not in _DATA:
            super().process_event(event)
        elif event.fin and not self._parts:
            self._on_message(event.data)
        else:
            self._parts.append(event.data)
            if event.fin:
                parts, self._parts = self._parts, []
                self._on_message(b"".join(parts))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._on_end is not None:
            self._on_end()


_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class QueuedMessage:
    """A payload on its way out.

    Attributes:
        payload: The bytes.
        background: Whether it gives way to payloads that are not.
        started: Whether writing has begun. Before that it can still be taken back.
        written: Whether all of it has been handed to the operating system.
    """

    __slots__ = ("background", "payload", "started", "written")

    def __init__(self, payload: Payload, *, background: bool) -> None:
        """Creates a ticket for a payload."""
        self.payload = payload
        self.background = background
        self.started = False
        self.written = False


class Connection:
    """An open WebSocket. See the module's head for its life."""

    def __init__(self, websocket: _Channel, receiver: Receiver, options: SocketOptions) -> None:
        """Wraps an open WebSocket; use :meth:`open`."""
        self._websocket = websocket
        self._receiver = receiver
        self._options = options
        self._outbox: deque[QueuedMessage] = deque()
        self._outbox_filled = asyncio.Event()
        self._lost: ResponsesError | None = None
        self._received = 0
        self._writer = asyncio.create_task(self._write(), name="pipecat-responses writer")
        websocket.listen(self._deliver, self._ended)

    @classmethod
    async def open(
        cls,
        url: str,
        headers: Mapping[str, str],
        receiver: Receiver,
        options: SocketOptions | None = None,
    ) -> Connection:
        """Opens a connection.

        Args:
            url: A ``ws://`` or ``wss://`` address.
            headers: Headers for the handshake.
            receiver: Who gets the events.
            options: How the connection behaves.

        Raises:
            ResponsesError: If the handshake fails, saying how and what to do about it.
        """
        options = options or SocketOptions()
        try:
            websocket = await _SameOriginConnect(
                url,
                additional_headers=headers,
                user_agent_header=None,
                compression=None,
                open_timeout=options.open_timeout,
                close_timeout=options.close_timeout,
                ping_interval=options.ping_interval,
                ping_timeout=options.ping_timeout,
                max_size=options.max_message_bytes,
                create_connection=_Channel,
                logger=_silent_logger,
            )
        except (
            OSError,
            TimeoutError,
            InvalidHandshake,
            InvalidMessage,
            InvalidURI,
            EOFError,
        ) as error:
            raise handshake_error(error, url, options.open_timeout) from None
        assert isinstance(websocket, _Channel)
        _keep_little_unsent(websocket)
        return cls(websocket, receiver, options)

    @property
    def lost(self) -> ResponsesError | None:
        """Why the connection has ended, or None while it is open."""
        return self._lost

    def post(self, payload: Payload, *, background: bool = False) -> QueuedMessage:
        """Gives a payload away to be written.

        Args:
            payload: The message.
            background: Let payloads that are posted later, and are not in the background, leave
                first.

        Returns:
            A ticket to take it back with.
        """
        ticket = QueuedMessage(payload, background=background)
        if background:
            self._outbox.append(ticket)
        else:
            at = next((i for i, other in enumerate(self._outbox) if other.background), None)
            if at is None:
                self._outbox.append(ticket)
            else:
                self._outbox.insert(at, ticket)
        self._outbox_filled.set()
        return ticket

    def take_back(self, ticket: QueuedMessage) -> bool:
        """Takes a payload back, if it has not begun to leave.

        Returns:
            True if nothing of it was or will be written.
        """
        if ticket.started:
            return False
        with contextlib.suppress(ValueError):
            self._outbox.remove(ticket)
        return True

    async def alive(self, within: float) -> bool:
        """Asks the peer for a sign of life.

        Args:
            within: Seconds to wait for it.

        Returns:
            True if anything arrived in that time, a pong included.
        """
        if self._lost is not None:
            return False
        received = self._received
        try:
            async with asyncio.timeout(within):
                await (await self._websocket.ping())
        except TimeoutError:
            return self._received != received
        except ConnectionClosed:
            return False
        return True

    def abort(self, error: ResponsesError) -> None:
        """Ends the connection at once, without a closing handshake."""
        self._end(error)
        self._websocket.transport.abort()

    async def close(self) -> None:
        """Closes the connection within the close timeout and waits for its tasks."""
        self._end(ConnectionLostError("The connection was closed", failure=Failure.CLOSED))
        try:
            async with asyncio.timeout(self._options.close_timeout):
                await self._websocket.close()
        except TimeoutError:
            pass
        finally:
            self._websocket.transport.abort()
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    def _ended(self) -> None:
        closed = self._websocket.protocol.close_exc
        self._end(_closed_error(closed))

    def _deliver(self, data: Data) -> None:
        self._received += 1
        if self._lost is not None:
            return
        try:
            self._hand_over(data)
        except Exception as error:  # noqa: BLE001 - nothing a server sends may end the service
            self.abort(
                ResponsesError(
                    f"An event could not be handled: {type(error).__name__}: {error}",
                    failure=Failure.PROTOCOL,
                )
            )

    def _hand_over(self, data: Data) -> None:
        try:
            wire = decode(data)
        except ResponsesError as error:
            self._receiver.on_undecodable(error)
            return
        event = read(wire, data)
        if event is not None:
            stream_id = wire.stream_id
            self._receiver.on_event(stream_id if isinstance(stream_id, str) else None, event)

    async def _write(self) -> None:
        try:
            while True:
                await self._outbox_filled.wait()
                while self._outbox:
                    ticket = self._outbox.popleft()
                    ticket.started = True
                    payload = ticket.payload
                    if payload.size < FRAGMENTED_FROM:
                        await self._websocket.send(payload.join(), text=True)
                    else:
                        await self._websocket.send(_fragments(payload), text=True)
                    ticket.written = True
                self._outbox_filled.clear()
        except ConnectionClosed as closed:
            self._end(_closed_error(closed))

    def _end(self, error: ResponsesError) -> None:
        if self._lost is None:
            self._lost = error
            self._outbox.clear()
            self._receiver.on_lost(error)


def _keep_little_unsent(websocket: ClientConnection) -> None:
    """Keeps what waits in the operating system short, so that pings overtake large messages.

    Otherwise megabytes of an image would wait there, and on a slow line a keep-alive ping behind
    them would count as unanswered.
    """
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is None and sys.platform == "linux":
        option = _LINUX_TCP_NOTSENT_LOWAT
    connected = websocket.transport.get_extra_info("socket")
    if option is not None and connected is not None:
        with contextlib.suppress(OSError):
            connected.setsockopt(socket.IPPROTO_TCP, option, FRAGMENTED_FROM)


_LINUX_TCP_NOTSENT_LOWAT = 25
"""From linux/tcp.h; Python names it from 3.12 on."""


async def _fragments(payload: Payload) -> AsyncIterator[bytes]:
    for piece in payload.pieces(FRAGMENTED_FROM):
        yield piece
        # The library waits only once its buffers are full, and megabytes fit in.
        await asyncio.sleep(0)


def _closed_error(closed: ConnectionClosed) -> ResponsesError:
    frame = closed.rcvd or closed.sent
    if frame is None:
        return ConnectionLostError("The connection to the server broke off")
    if closed.rcvd is None and frame.code == 1011:
        return ConnectionLostError("The server stopped answering keep-alive pings")
    if closed.rcvd is None and frame.code == 1009:
        return ConnectionLostError(
            "The server sent a message over the size limit (max_message_bytes)",
            failure=Failure.PROTOCOL,
        )
    if frame.code == 1008:
        # Policy: some gateways refuse credentials only after the handshake.
        return read_error(
            {"message": f"The server closed the connection: {frame.reason or 'policy violation'}"},
            status=403,
        )
    reason = f": {frame.reason}" if frame.reason else ""
    return ConnectionLostError(f"The server closed the connection (code {frame.code}{reason})")


_silent_logger = logging.getLogger("pipecat_responses.websockets")
# What ends a connection is reported through on_lost, once; the library's own log would repeat it.
_silent_logger.addHandler(logging.NullHandler())
_silent_logger.propagate = False
_silent_logger.setLevel(logging.CRITICAL)
