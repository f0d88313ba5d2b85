"""A server that says again what a cassette has of another one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections import defaultdict
from typing import Any

import msgspec
from aiohttp import ClientConnectionResetError, WSMsgType, web

from pipecat_responses.sandbox.access import is_upgrade
from pipecat_responses.sandbox.cassette import NO_ANSWER, Cassette, Exchange, Player, Said
from pipecat_responses.sandbox.errors import ApiError
from pipecat_responses.sandbox.http import error_response
from pipecat_responses.sandbox.listening import Listener
from pipecat_responses.sandbox.redaction import Redactor
from pipecat_responses.sandbox.websocket import reset_transport

_encode = msgspec.json.Encoder().encode


class Replay(Listener):
    """Answers requests as the server did that the cassette was recorded from.

    Requests are matched by what they say; see ``Player.find``. One that was never recorded is
    refused with the code ``not_recorded``.

    Attributes:
        refused: What was asked and not recorded, one sentence each.
    """

    def __init__(
        self,
        cassette: Cassette | str | os.PathLike[str],
        *,
        timing: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
    ) -> None:
        """Prepares a server.

        Args:
            cassette: The cassette, or its file.
            timing: Whether events come when they came; else all at once.
            host: The address to listen on; other than loopback only with a token.
            port: The port; 0 takes a free one.
            token: What requests must have as their API key; None takes any.

        Raises:
            CassetteError: When the file is no cassette.
            OSError: When it cannot be read.
            ValueError: When the host is not loopback and there is no token.
        """
        super().__init__(host=host, port=port, token=token)
        if not isinstance(cassette, Cassette):
            cassette = Cassette.read(os.fspath(cassette))
        self._player = Player(cassette)
        self._handshakes = list(cassette.handshakes)
        self._timing = timing
        # Requests are compared as they were written: without what looks like a secret.
        self._redactor = Redactor()
        self.refused: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers a request."""
        if is_upgrade(request):
            return await self._websocket(request)
        raw = await request.read()
        try:
            exchange = self._find(request, request.method, raw)
        except ApiError as error:
            return error_response(error)
        if exchange.status == NO_ANSWER:
            reset_transport(request.transport)
            return web.Response(status=502)
        response = web.StreamResponse(status=exchange.status, headers=exchange.headers)
        pace = _Pace(self._timing)
        try:
            if exchange.said:
                await pace.until(exchange.said[0][0])
            await response.prepare(request)
            for at, said in exchange.said:
                await pace.until(at)
                await response.write(_as_sse(said) if exchange.stream else _as_body(said))
        except ClientConnectionResetError:
            return response
        if exchange.closed is not None:
            reset_transport(request.transport)
        return response

    def _find(self, request: web.Request, method: str, raw: bytes) -> Exchange:
        """The exchange that answers a request.

        Raises:
            ApiError: When there is none.
        """
        path = request.path.removeprefix("/v1")
        try:
            body = self._redactor.value(json.loads(raw)) if raw else None
        except (ValueError, RecursionError):
            body = raw.decode(errors="replace")
        exchange = self._player.find(method, path, body)
        if exchange is None:
            why = self._player.closest(method, path, body)
            self.refused.append(why)
            raise ApiError(why, code="not_recorded")
        return exchange

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        status = self._handshakes[0] if self._handshakes else 101
        if len(self._handshakes) > 1:
            self._handshakes.pop(0)
        if status == NO_ANSWER:
            reset_transport(request.transport)
            return web.Response(status=502)
        if status != 101:
            return error_response(ApiError("The server refused WebSockets.", status=status))
        socket = web.WebSocketResponse(max_msg_size=0, compress=False)
        await socket.prepare(request)
        lanes: defaultdict[str | None, asyncio.Lock] = defaultdict(asyncio.Lock)
        tasks: set[asyncio.Task[None]] = set()
        try:
            async for message in socket:
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    continue
                data = message.data
                raw = data.encode() if isinstance(data, str) else data
                lane = _lane_of(raw)
                task = asyncio.create_task(self._answer(request, socket, raw, lane, lanes[lane]))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
        return socket

    async def _answer(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        raw: bytes,
        lane: str | None,
        turn: asyncio.Lock,
    ) -> None:
        """Says what was said to a message; to another one than ``response.create``, nothing."""
        try:
            if json.loads(raw).get("type") != "response.create":
                return
        except (ValueError, AttributeError, RecursionError):
            return
        try:
            exchange = self._find(request, "WEBSOCKET", raw)
        except ApiError as error:
            await _send(socket, error.event("nested"), lane)
            return
        async with turn:
            pace = _Pace(self._timing)
            for at, said in exchange.said:
                await pace.until(at)
                await _send(socket, said, lane)
            if exchange.closed is not None:
                if exchange.closed in (1005, 1006):
                    reset_transport(request.transport)
                else:
                    await socket.close(code=exchange.closed)


class _Pace:
    """Waits for the moments of a recording."""

    def __init__(self, timing: bool) -> None:
        self._timing = timing
        self._began = asyncio.get_running_loop().time()

    async def until(self, at: float) -> None:
        """Waits until so many seconds have passed since the beginning."""
        wait = self._began + at - asyncio.get_running_loop().time()
        if self._timing and wait > 0:
            await asyncio.sleep(wait)


async def _send(socket: web.WebSocketResponse, said: Said, lane: str | None) -> None:
    """Sends an event on the lane that it is asked for on now."""
    if isinstance(said, dict):
        said = {name: value for name, value in said.items() if name != "stream_id"}
        if lane is not None:
            said["stream_id"] = lane
        said = _encode(said).decode()
    if not socket.closed:
        # The client may be gone already; whoever reads from it notices.
        with contextlib.suppress(ClientConnectionResetError):
            await socket.send_str(said)


def _lane_of(raw: bytes) -> str | None:
    try:
        lane: Any = json.loads(raw).get("stream_id")
    except (ValueError, AttributeError, RecursionError):
        return None
    return lane if isinstance(lane, str) else None


def _as_sse(said: Said) -> bytes:
    if isinstance(said, str):
        return said.encode() + b"\n\n"
    return b"event: %b\ndata: %b\n\n" % (str(said.get("type")).encode(), _encode(said))


def _as_body(said: Any) -> bytes:
    return said.encode() if isinstance(said, str) else _encode(said)
