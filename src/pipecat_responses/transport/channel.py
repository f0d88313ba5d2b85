"""The ``websockets`` library, opened so that messages come out without a detour.

By itself the library puts each message into a queue and wakes the task that waits there, which at a
thousand tokens a second costs as much again as all the rest it does. A ``Tap`` takes them
earlier, where the library's protocol layer gives out what it has parsed: in ``events_received()``,
through which any user of that layer, the library's own connection among them, gets what arrived
(the library's guide, "Integrate the Sans-I/O layer"). The tap is brought in by
``create_connection``, an argument of ``connect()`` that is there for such things. All else is the
library's own: addresses, proxies, TLS, both handshakes, keep-alive, flow control.

Should a later version pass the tap by, then messages come out of ``recv()`` as they do for
everybody. The socket listens there too, so that costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import Event, State
from websockets.uri import WebSocketURI, parse_uri

from pipecat_responses.transport.handshake import ProxyFailedError
from pipecat_responses.transport.proxies import Proxy, is_address
from pipecat_responses.transport.tls import read_in_smaller_pieces

Data: TypeAlias = bytes | bytearray | memoryview


class Tap(ClientProtocol):
    """The protocol layer, with messages handed over as they are parsed."""

    def __init__(self, uri: WebSocketURI, *, max_size: int) -> None:
        """Creates one.

        Args:
            uri: The server's address.
            max_size: Largest message that is accepted, in bytes.
        """
        super().__init__(uri, max_size=max_size, logger=_silent_logger)
        self._parts: list[Data] = []
        self._early: list[Data] = []
        self._on_messages: Callable[[Sequence[Data]], None] = self._early.extend
        self._on_ping: Callable[[], None] = _nobody
        self._head: bytes | None = b""
        self._ended = False

    def listen(
        self,
        on_messages: Callable[[Sequence[Data]], None],
        on_ping: Callable[[], None] | None = None,
    ) -> None:
        """Says who gets the messages, those included that came with the handshake.

        Args:
            on_messages: Is called with the messages that arrived in one step.
            on_ping: Is called when the server has sent a ping.
        """
        early, self._early = self._early, []
        self._on_messages = on_messages
        self._on_ping = on_ping or _nobody
        if early:
            on_messages(early)

    def receive_data(self, data: bytes | bytearray) -> None:
        """Takes what has arrived; a refusal of unknown length ends with its head.

        A server that keeps the connection open would have it read for ever.
        """
        super().receive_data(data)
        if self._head is None:
            return
        self._head += data
        head, end, _ = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        self._head = None
        status, _, fields = head.lower().partition(b"\r\n")
        if b" 101" not in status and not _LENGTH.search(b"\r\n" + fields):
            self.receive_eof()

    def receive_eof(self) -> None:
        """Takes note that nothing more arrives, once."""
        if not self._ended:
            self._ended = True
            super().receive_eof()

    def events_received(self) -> list[Event]:
        """Hands messages over, and returns what else has arrived."""
        messages: list[Data] = []
        others: list[Event] = []
        for event in super().events_received():
            if isinstance(event, Frame) and event.opcode in _DATA:
                if event.fin and not self._parts:
                    messages.append(event.data)
                else:
                    self._gather(event, messages)
            else:
                others.append(event)
                if isinstance(event, Response):
                    _without_redirect(event)
                elif isinstance(event, Frame) and event.opcode is Opcode.PING:
                    self._on_ping()
        if messages:
            self._on_messages(messages)
        return others

    def _gather(self, frame: Frame, messages: list[Data]) -> None:
        self._parts.append(frame.data)
        if frame.fin:
            parts, self._parts = self._parts, []
            messages.append(b"".join(parts))


def _nobody() -> None:
    """Whoever is to be told is not there yet."""


_LENGTH = re.compile(rb"\r\n(content-length|transfer-encoding):")

_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


WRITE_LIMIT = 32 * 1024
"""Bytes that may wait in this process for the operating system before writers have to wait."""

_ENVELOPE = 1024
"""Bytes that framing and TLS add to a message of that size, at most."""


class Channel(ClientConnection):
    """The library's connection around a tap, and the system's transport below it."""

    def __init__(self, tap: Tap, **options: Any) -> None:
        """Creates one; options are the library's."""
        super().__init__(tap, **options)
        self._tap = tap
        self._below: asyncio.Transport | None = None

    @property
    def tap(self) -> Tap:
        """Where messages come out."""
        return self._tap

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remembers the transport, whatever name the library has for it."""
        super().connection_made(transport)
        # Another event loop's transport need not be of asyncio's class.
        self._below = cast(asyncio.Transport, transport)
        read_in_smaller_pieces(transport)

    def abort(self) -> None:
        """Ends the connection at once, without a closing handshake."""
        if self._below is not None:
            self._below.abort()

    def takes(self, size: int) -> bool:
        """Whether a message could be written without anybody having to wait afterwards.

        Args:
            size: The message's bytes.
        """
        below = self._below
        return (
            below is not None
            and self._tap.state is State.OPEN
            and not below.is_closing()
            and below.get_write_buffer_size() + size <= WRITE_LIMIT - _ENVELOPE
        )

    def write(self, text: bytes) -> None:
        """Writes a message that it takes, while no other is being sent.

        The library's ``send()`` does the same, and may wait, so it is for tasks only.

        Args:
            text: The message, in UTF-8.
        """
        assert self._below is not None
        self._tap.send_text(text)
        for data in self._tap.data_to_send():
            self._below.write(data)

    def keep_little_unsent(self, size: int) -> None:
        """Keeps what waits in the operating system short, so that pings overtake large messages.

        Otherwise megabytes of an image would wait there, and on a slow line a keep-alive ping
        behind them would count as unanswered.

        Args:
            size: Bytes that may wait there before the next are asked for.
        """
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if option is None and sys.platform == "linux":
            option = _LINUX_TCP_NOTSENT_LOWAT
        connected = self._below.get_extra_info("socket") if self._below is not None else None
        if option is not None and connected is not None:
            with contextlib.suppress(OSError):
                connected.setsockopt(socket.IPPROTO_TCP, option, size)


_LINUX_TCP_NOTSENT_LOWAT = 25
"""From linux/tcp.h; Python names it from 3.12 on."""


async def open_channel(
    url: str,
    headers: Mapping[str, str],
    *,
    max_size: int,
    proxy: Proxy | None = None,
    proxy_ssl: ssl.SSLContext | None = None,
    **options: Any,
) -> Channel:
    """Opens a connection with a tap in it.

    Args:
        url: A ``ws://`` or ``wss://`` address.
        headers: Headers for the handshake.
        max_size: Largest message that is accepted, in bytes.
        proxy: The proxy that leads there.
        proxy_ssl: The TLS context for a proxy that is itself reached over TLS.
        options: Other arguments for the library's ``connect()``.

    Raises:
        ProxyFailedError: If the proxy could not be reached, or did not do as it was asked.
        Exception: What the library raises.
    """
    if proxy_ssl is not None:
        options["proxy_ssl"] = proxy_ssl
    own = isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)
    if own and not is_address(url if proxy is None else proxy.url):
        # Other loops have their own ways with a name that leads to several addresses.
        options["happy_eyeballs_delay"] = _NEXT_ADDRESS
    taps: list[Tap] = []

    def wrap(_: ClientProtocol, **settings: Any) -> Channel:
        if taps and taps[-1].handshake_exc is not None:
            # Somewhere else is being tried in spite of all, and the key must not go there.
            raise taps[-1].handshake_exc
        taps.append(Tap(parse_uri(url), max_size=max_size))
        return Channel(taps[-1], **settings)

    try:
        channel = await connect(
            url,
            additional_headers=headers,
            user_agent_header=None,
            proxy=proxy.address if proxy is not None else None,
            compression=None,
            max_size=max_size,
            write_limit=WRITE_LIMIT,
            logger=_silent_logger,
            create_connection=wrap,  # type: ignore[arg-type]  # "a wrapper or a subclass"
            **options,
        )
    except Exception as error:
        # Without a tap, the library has not come so far as to speak with the server.
        if proxy is None or taps or isinstance(error, (TimeoutError, *proxy.not_its_fault)):
            raise
        raise ProxyFailedError from error.__cause__ if proxy.is_socks else error
    assert isinstance(channel, Channel)
    return channel


def _without_redirect(response: Response) -> None:
    """A redirect would carry the key to another address; without the address it is a refusal."""
    if "Location" in response.headers:
        del response.headers["Location"]


_NEXT_ADDRESS = 0.25
"""Seconds after which the next address of a name is tried beside the first (RFC 8305)."""

_silent_logger = logging.getLogger("pipecat_responses.websockets")
# What ends a connection is reported through on_lost, once; the library's own log would repeat it.
_silent_logger.addHandler(logging.NullHandler())
_silent_logger.propagate = False
_silent_logger.setLevel(logging.CRITICAL)
