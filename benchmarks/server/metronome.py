"""A server that does nothing but stream tokens on time, as cheaply as it can.

Each token is the time at which it was sent (``time.monotonic_ns``), so that whoever gets it knows
how long it has travelled: both processes read the same clock. The events have the fields of the
real API's. What is due at the same moment is written to the socket in one go; each event is still
a message of its own.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
import time
from typing import Any

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_GOLDEN = 0.6180339887


class Metronome:
    """Listens on loopback, for HTTP and WebSocket.

    Attributes:
        tokens: Tokens of an answer.
        rate: Tokens a second.
        streams: Answers so far.
        incremental: Requests so far that continued from a response.
    """

    def __init__(self) -> None:
        self.tokens = 100
        self.rate = 50.0
        self.streams = 0
        self.incremental = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Peer(self), "127.0.0.1", 0, backlog=1024)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"


class _Peer(asyncio.Protocol):
    """One connection: plain HTTP at first, WebSocket messages after an upgrade."""

    def __init__(self, metronome: Metronome) -> None:
        self._metronome = metronome
        self._buffer = bytearray()
        self._message = bytearray()
        self._upgraded = False
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._websocket() if self._upgraded else self._http():
            pass

    def write(self, event: bytes, kind: bytes) -> bytes:
        """An event as it goes over this connection."""
        if self._upgraded:
            return _frame(event)
        body = b"event: %b\ndata: %b\n\n" % (kind, event)
        return b"%x\r\n%b\r\n" % (len(body), body)

    def end(self) -> bytes:
        return b"" if self._upgraded else b"0\r\n\r\n"

    def _http(self) -> bool:
        head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not found:
            return False
        lines = head.split(b"\r\n")[1:]
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(b":") for line in lines)}
        key = headers.get(b"sec-websocket-key")
        if key is not None:
            accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n" % accept
            )
            self._upgraded = True
            self._buffer = bytearray(rest)
            return True
        length = int(headers.get(b"content-length", b"0"))
        if len(rest) < length:
            return False
        self._buffer = bytearray(rest[length:])
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        _Stream(self, self._metronome, None)
        return bool(self._buffer)

    def _websocket(self) -> bool:
        buffer = self._buffer
        if len(buffer) < 6:
            return False
        last, opcode, size, at = buffer[0] & 0x80, buffer[0] & 0x0F, buffer[1] & 0x7F, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(buffer) < 2 + width:
                return False
            size = int.from_bytes(buffer[2 : 2 + width], "big")
            at += width
        if len(buffer) < at + 4 + size:
            return False
        mask, data = buffer[at : at + 4], buffer[at + 4 : at + 4 + size]
        del buffer[: at + 4 + size]
        plain = _unmask(bytes(data), bytes(mask))
        if opcode == 8:
            self.transport.write(_frame(plain[:2], opcode=8))
            self.transport.close()
            return False
        if opcode == 9:
            self.transport.write(_frame(plain, opcode=10))
        elif opcode in (0, 1, 2):
            self._message += plain
            if last:
                message = json.loads(self._message)
                self._message.clear()
                if message.get("type") == "response.create":
                    self._metronome.incremental += "previous_response_id" in message
                    _Stream(self, self._metronome, message.get("stream_id"))
        return True


class _Stream:
    """One answer, on its way."""

    def __init__(self, peer: _Peer, metronome: Metronome, stream_id: str | None) -> None:
        self._peer = peer
        self._number = metronome.streams
        metronome.streams += 1
        self._left = metronome.tokens
        self._interval = 1.0 / metronome.rate
        self._lane = f',"stream_id":"{stream_id}"' if stream_id is not None else ""
        self._sequence = 4
        self._said: list[str] = []
        self._id = f"resp_{self._number:032d}"
        self._item = f"msg_{self._number:032d}"
        # A delta is the same text around its token and its number each time.
        self._head = (
            '{"type":"response.output_text.delta","content_index":0,"obfuscation":"aB3x",'
            f'"item_id":"{self._item}","logprobs":[],"output_index":0,"delta":"'
        )
        self._middle = '","sequence_number":'
        self._tail = self._lane + "}"
        self._loop = asyncio.get_running_loop()
        self._send(*self._opening())
        # Streams that begin together do not all beat together.
        self._due = self._loop.time() + self._interval * ((self._number * _GOLDEN) % 1.0)
        self._loop.call_at(self._due, self._beat)

    def _send(self, *events: dict[str, Any], last: bytes = b"") -> None:
        out = []
        for number, event in enumerate(events):
            event["sequence_number"] = self._sequence + number
            text = json.dumps(event, separators=(",", ":"))[:-1] + self._lane + "}"
            out.append(self._peer.write(text.encode(), event["type"].encode()))
        self._sequence += len(events)
        self._peer.transport.write(b"".join(out) + last)

    def _beat(self) -> None:
        if self._peer.transport.is_closing():
            return
        out = []
        now = self._loop.time()
        while self._left and self._due <= now:
            stamp = f" {time.monotonic_ns()}"
            self._said.append(stamp)
            event = f"{self._head}{stamp}{self._middle}{self._sequence}{self._tail}"
            out.append(self._peer.write(event.encode(), b"response.output_text.delta"))
            self._sequence += 1
            self._left -= 1
            self._due += self._interval
        if out:
            self._peer.transport.write(b"".join(out))
        if self._left:
            self._loop.call_at(self._due, self._beat)
        else:
            self._send(*self._closing(), last=self._peer.end())

    def _opening(self) -> list[dict[str, Any]]:
        response = self._response("in_progress", [])
        item = {**self._message("in_progress"), "content": []}
        return [
            {"type": "response.created", "response": response},
            {"type": "response.in_progress", "response": response},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {
                "type": "response.content_part.added",
                "item_id": self._item,
                "output_index": 0,
                "content_index": 0,
                "part": _part(""),
            },
        ]

    def _closing(self) -> list[dict[str, Any]]:
        text = "".join(self._said)
        place = {"item_id": self._item, "output_index": 0, "content_index": 0}
        item = {**self._message("completed"), "content": [_part(text)]}
        done = self._response("completed", [item])
        return [
            {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
            {"type": "response.content_part.done", **place, "part": _part(text)},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": done},
        ]

    def _message(self, status: str) -> dict[str, Any]:
        return {"id": self._item, "type": "message", "status": status, "role": "assistant"}

    def _response(self, status: str, output: list[Any]) -> dict[str, Any]:
        tokens = len(self._said)
        usage = {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 10 + tokens,
        }
        return {
            "id": self._id,
            "object": "response",
            "created_at": int(time.time()),
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "model": "gpt-4.1-2025-04-14",
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "metadata": {},
            "usage": usage if status == "completed" else None,
        }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _frame(data: bytes, opcode: int = 1) -> bytes:
    size = len(data)
    if size < 126:
        return bytes((0x80 | opcode, size)) + data
    if size < 65536:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + data
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + data


def _unmask(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    whole = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")
