"""One WebSocket connection: what arrives, what leaves, and an end.

Life of a connection: ``open`` does the handshake, bounded in time. From then on each message is
decoded and handed to the receiver as soon as its last byte is parsed, in the call that the event
loop makes for the socket: no task, no queue (see ``transport.channel``). The receiver returns at
once, so pongs are always read and the keep-alive always works; whoever consumes slowly gets deltas
joined by its inbox. Whoever sends knows the outbox only. A message that the transport takes without
making anybody wait is written in the call that posts it; what is larger, or comes while another is
on its way, is taken from the outbox by the writer, a task. Whatever ends the connection first (a
close, a reset, a dead peer, an abort) is reported once, through ``on_lost``, and closes the outbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Protocol

from loguru import logger
from websockets.exceptions import ConnectionClosed

from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError, read_error
from pipecat_responses.protocol.events import ACTIVITY, Event, TextDelta, decode, read
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.requests import Payload
from pipecat_responses.transport.channel import Channel, Data, open_channel
from pipecat_responses.transport.handshake import handshake_error
from pipecat_responses.transport.outbox import Outbox
from pipecat_responses.transport.proxies import Proxies
from pipecat_responses.transport.tls import TlsSettings
from pipecat_responses.transport.trace import Trace

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
        tls: Which TLS context is used.
        proxies: Which proxy leads to the server.
    """

    open_timeout: float = 8.0
    close_timeout: float = 2.0
    ping_interval: float = 5.0
    ping_timeout: float = 5.0
    max_message_bytes: int = 16 * 1024 * 1024
    tls: TlsSettings = field(default_factory=TlsSettings)
    proxies: Proxies = field(default_factory=Proxies)


class Receiver(Protocol):
    """Whoever a connection belongs to. All calls are plain and must return at once."""

    def on_open(self) -> None:
        """The connection is open; events may arrive from here on. Called once."""

    def on_event(self, stream_id: str | None, event: Event) -> None:
        """An event arrived, on a named lane or (None) on none."""

    def on_undecodable(self, error: ResponsesError) -> None:
        """A message arrived that is no event."""

    def on_lost(self, error: ResponsesError) -> None:
        """The connection has ended; nothing arrives any more. Called once."""


class Socket:
    """An open WebSocket. See the module's head for its life."""

    def __init__(
        self,
        channel: Channel,
        receiver: Receiver,
        outbox: Outbox,
        options: SocketOptions,
        trace: Trace,
        number: int,
    ) -> None:
        """Wraps an open channel; use ``open``."""
        self._trace = trace
        self._number = number
        self._channel = channel
        self._receiver = receiver
        self._outbox = outbox
        self._options = options
        self._lost: ResponsesError | None = None
        self._received = 0
        self._writer = asyncio.create_task(self._write(), name="pipecat-responses writer")
        self._reader = asyncio.create_task(self._read(), name="pipecat-responses reader")
        self._keeper = asyncio.create_task(self._keep_alive(), name="pipecat-responses keep-alive")
        outbox.write_through(self._write_at_once)
        receiver.on_open()
        channel.tap.listen(self._deliver, self._pinged)

    @classmethod
    async def open(
        cls,
        url: str,
        headers: Mapping[str, str],
        receiver: Receiver,
        outbox: Outbox,
        options: SocketOptions | None = None,
        *,
        trace: Trace | None = None,
        number: int = 0,
    ) -> Socket:
        """Opens a connection.

        Args:
            url: A ``ws://`` or ``wss://`` address.
            headers: Headers for the handshake.
            receiver: Who gets the events.
            outbox: What is to be sent; it is closed when the connection ends.
            options: How the connection behaves.
            trace: Is told of what arrives.
            number: What the connection is called there.

        Raises:
            ResponsesError: If the handshake fails, saying how and what to do about it.
        """
        options = options or SocketOptions()
        proxy = None
        try:
            proxy = options.proxies.leading_to(url)
            channel = await open_channel(
                url,
                headers,
                ssl=await options.tls.context(url),
                proxy=proxy,
                proxy_ssl=None if proxy is None else await options.tls.context(proxy.url),
                max_size=options.max_message_bytes,
                open_timeout=options.open_timeout,
                close_timeout=options.close_timeout,
                # A relay may pass no pongs on while data flows, and data is a sign of life, too.
                ping_interval=None,
            )
        except ResponsesError as error:
            raise ConnectionLostError(error.message, transport="handshake") from None
        except Exception as error:  # noqa: BLE001 - addresses and proxies may be anything
            raise handshake_error(error, url, options.open_timeout, proxy) from None
        channel.keep_little_unsent(FRAGMENTED_FROM)
        return cls(channel, receiver, outbox, options, trace or Trace(), number)

    @property
    def lost(self) -> ResponsesError | None:
        """Why the connection has ended, or None while it is open."""
        return self._lost

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
                await (await self._channel.ping())
        except TimeoutError:
            return self._received != received
        except ConnectionClosed:
            return False
        return True

    def abort(self, error: ResponsesError) -> None:
        """Ends the connection at once, without a closing handshake."""
        self._end(error)
        self._channel.abort()

    async def close(self) -> None:
        """Closes the connection within the close timeout and waits for its tasks."""
        self._end(ConnectionLostError("The connection was closed", failure=Failure.CLOSED))
        try:
            async with asyncio.timeout(self._options.close_timeout):
                await self._channel.close()
        except TimeoutError:
            pass
        finally:
            self._channel.abort()
            tasks = (self._writer, self._reader, self._keeper)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_alive(self) -> None:
        """Asks for a sign of life whenever nothing has come for a while."""
        while self._lost is None:
            received = self._received
            await asyncio.sleep(self._options.ping_interval)
            if self._received == received and not await self.alive(self._options.ping_timeout):
                seconds = self._options.ping_timeout
                self.abort(
                    ConnectionLostError(
                        f"The server stopped answering keep-alive pings: none within {seconds:g} s"
                    )
                )

    async def _read(self) -> None:
        """Waits for the end; messages come this way only if the library passes the tap by."""
        try:
            data = await self._channel.recv(decode=False)
            logger.warning(_TAP_PASSED_BY, version("websockets"))
            while True:
                self._deliver([data])
                data = await self._channel.recv(decode=False)
        except ConnectionClosed as closed:
            self._end(_closed_error(closed))

    def _pinged(self) -> None:
        self._received += 1
        if self._lost is None:
            self._receiver.on_event(None, ACTIVITY)

    def _deliver(self, messages: Sequence[Data]) -> None:
        if self._lost is None and self._trace.tell is not None:
            self._trace.received(self._number, messages)
        for index, data in enumerate(messages):
            self._received += 1
            if self._lost is None:
                self._hand_over(data, index)

    def _hand_over(self, data: Data, index: int) -> None:
        try:
            try:
                wire = decode(data)
            except ResponsesError as error:
                self._receiver.on_undecodable(error)
                return
            event = read(wire, data)
            if self._trace.tell is not None and type(event) is not TextDelta:
                self._trace.reached(self._number, wire.stream_id, wire.type, index)
            if event is not None:
                stream_id = wire.stream_id
                self._receiver.on_event(stream_id if type(stream_id) is str else None, event)
        except Exception as error:  # noqa: BLE001 - nothing a server sends may end the service
            self.abort(
                ResponsesError(
                    f"An event could not be handled: {type(error).__name__}: {error}",
                    failure=Failure.PROTOCOL,
                )
            )

    def _write_at_once(self, payload: Payload) -> bool:
        if not self._channel.takes(payload.size):
            return False
        self._channel.write(payload.join())
        return True

    async def _write(self) -> None:
        try:
            while (message := await self._outbox.next()) is not None:
                payload = message.payload
                if payload.size < FRAGMENTED_FROM:
                    await self._channel.send(payload.join(), text=True)
                else:
                    await self._channel.send(_fragments(payload), text=True)
                message.finish()
        except ConnectionClosed as closed:
            self._end(_closed_error(closed))

    def _end(self, error: ResponsesError) -> None:
        if self._lost is None:
            self._lost = error
            self._outbox.close()
            # Nothing more is handed over, and the channel does not hold on to this object.
            self._channel.tap.listen(_ignore)
            self._receiver.on_lost(error)


def _ignore(_: Sequence[Data]) -> None:
    """What arrives after the end."""


_TAP_PASSED_BY = (
    "websockets {} hands messages over in another way than the versions this was tried with, and "
    "every message costs more time: update pipecat-responses, or install an older websockets"
)


async def _fragments(payload: Payload) -> AsyncIterator[bytes]:
    for piece in payload.pieces(FRAGMENTED_FROM):
        yield piece
        # The library waits only once its buffers are full, and megabytes fit in.
        await asyncio.sleep(0)


def _closed_error(closed: ConnectionClosed) -> ResponsesError:
    frame = closed.rcvd or closed.sent
    if frame is None:
        return ConnectionLostError(f"The connection to the server broke off: {_broke_off(closed)}")
    if closed.rcvd is None and frame.code == 1011:
        return ConnectionLostError("The server stopped answering keep-alive pings")
    if closed.rcvd is None and frame.code == 1009:
        return ConnectionLostError(
            "The server sent a message over the size limit (max_message_bytes)",
            failure=Failure.PROTOCOL,
        )
    if frame.code == 1009:
        return ResponsesError(
            "The server closed the connection because a message was too large for it (code 1009): "
            "shorten the context, or send smaller images",
            failure=Failure.CONTENT,
            status=413,
        )
    if frame.code == 1008:
        # Policy: some gateways refuse credentials only after the handshake.
        return read_error(
            {"message": f"The server closed the connection: {frame.reason or 'policy violation'}"},
            status=403,
        )
    reason = f": {frame.reason}" if frame.reason else ""
    return ConnectionLostError(f"The server closed the connection (code {frame.code}{reason})")


def _broke_off(closed: ConnectionClosed) -> str:
    """What ended a connection without a closing frame."""
    cause = closed.__cause__
    if isinstance(cause, ConnectionResetError):
        return "it was reset by the other side"
    if cause is None or isinstance(cause, EOFError):
        return "the other side ended it without a closing frame"
    return f"{type(cause).__name__}: {cause}"
