"""How a scripted server puts its events on the wire: in WebSocket frames, or as an HTTP body."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeAlias

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from tests.histories.meaning import Wire

KEEP_ALIVE: Wire = {"type": "keepalive"}


@dataclass(frozen=True)
class RequestHead:
    """The head of an HTTP request.

    Attributes:
        data: Its bytes.
        headers: Its headers, names in lower case.
    """

    data: bytes
    headers: dict[str, str]


async def read_head(reader: asyncio.StreamReader) -> RequestHead:
    """Reads a request up to its body."""
    data = await reader.readuntil(b"\r\n\r\n")
    lines = data.decode("latin-1").split("\r\n")[1:]
    pairs = [line.split(":", 1) for line in lines if ":" in line]
    return RequestHead(data, {name.lower(): value.strip() for name, value in pairs})


class WebSocketWire:
    """One WebSocket.

    Attributes:
        headers: The headers of its handshake.
        ended: Whether this side has ended it.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        head: RequestHead,
        pongs: bool,
    ) -> None:
        self.headers = head.headers
        self.ended = False
        self._reader = reader
        self._writer = writer
        self._head = head
        self._pongs = pongs
        self._protocol = ServerProtocol(max_size=None)

    def accept(self) -> None:
        """Answers the handshake."""
        protocol = self._protocol
        protocol.receive_data(self._head.data)
        (request,) = protocol.events_received()
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        self._write()

    async def messages(self) -> AsyncIterator[str]:
        """The client's messages, until the connection ends."""
        parts: list[bytes] = []
        while data := await self._reader.read(65536):
            self._protocol.receive_data(data)
            for event in self._protocol.events_received():
                if not isinstance(event, Frame) or event.opcode not in (Opcode.TEXT, Opcode.CONT):
                    if isinstance(event, Frame) and event.opcode is Opcode.PING and not self._pongs:
                        self._protocol.data_to_send()
                    continue
                parts.append(bytes(event.data))
                if event.fin:
                    yield b"".join(parts).decode()
                    parts.clear()
            self._write()
            if self._protocol.close_expected():
                return

    async def send(self, event: Wire) -> None:
        await self.send_text(json.dumps(event))

    async def send_text(self, text: str) -> None:
        if not self.ended:
            self._protocol.send_text(text.encode())
            await self._flush()

    async def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)
        await self._flush()

    async def begin(self, status: int, headers: dict[str, str]) -> None:
        raise ValueError("a WebSocket has had its head")

    async def keep_alive(self, kind: str) -> None:
        if kind == "ping":
            self._protocol.send_ping(b"there")
            await self._flush()
        else:
            await self.send(KEEP_ALIVE)

    async def close(self, code: int) -> None:
        if not self.ended:
            self._protocol.send_close(code, "scripted")
            await self._flush()
            self.ended = True

    def reset(self) -> None:
        self.ended = True
        self._writer.transport.abort()

    async def cut(self, event: Wire, at: int) -> None:
        self._protocol.send_text(json.dumps(event).encode())
        data = b"".join(self._protocol.data_to_send())
        self._writer.write(data[: min(at, len(data) - 1)])
        await self._writer.drain()
        self.reset()

    async def finish(self) -> None:
        """A WebSocket outlives its responses."""

    async def _flush(self) -> None:
        self._write()
        await self._writer.drain()

    def _write(self) -> None:
        self._writer.write(b"".join(self._protocol.data_to_send()))


class HttpWire:
    """The answer to one request over HTTP; its end is the connection's.

    Attributes:
        ended: Whether it has ended.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.ended = False
        self._begun = False
        self._writer = writer

    async def begin(self, status: int, headers: dict[str, str]) -> None:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([f"HTTP/1.1 {status} Scripted", *lines, "connection: close", "", ""])
        self._begun = True
        self._writer.write(head.encode())
        await self._writer.drain()

    async def send(self, event: Wire) -> None:
        if event.get("type") == "error" and not self._begun and "status" in event:
            # What is refused before anything was streamed is refused by its status.
            await self.begin(event["status"], {"content-type": "application/json"})
            await self.send_bytes(json.dumps(event).encode())
            await self.finish()
        else:
            await self.send_text(json.dumps(event), str(event.get("type")))

    async def send_text(self, text: str, name: str | None = None) -> None:
        named = f"event: {name}\n" if name is not None else ""
        await self.send_bytes(f"{named}data: {text}\n\n".encode())

    async def send_bytes(self, data: bytes) -> None:
        if self.ended:
            return
        if not self._begun:
            await self.begin(200, {"content-type": "text/event-stream"})
        self._writer.write(data)
        await self._writer.drain()

    async def keep_alive(self, kind: str) -> None:
        if kind == "comment":
            await self.send_bytes(b": keep-alive\n\n")
        else:
            await self.send(KEEP_ALIVE)

    async def close(self, code: int) -> None:
        await self.finish()

    def reset(self) -> None:
        self.ended = True
        self._writer.transport.abort()

    async def cut(self, event: Wire, at: int) -> None:
        data = f"data: {json.dumps(event)}\n\n".encode()
        # Without its last two bytes, an event is not complete.
        await self.send_bytes(data[: min(at, len(data) - 2)])
        self.reset()

    async def finish(self) -> None:
        if not self.ended:
            self.ended = True
            self._writer.close()


AnyWire: TypeAlias = WebSocketWire | HttpWire
