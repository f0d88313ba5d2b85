"""A proxy between a client and a real server, which writes down what they say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web

from pipecat_responses.sandbox.access import is_upgrade
from pipecat_responses.sandbox.cassette import NO_ANSWER, Cassette, Exchange, Said
from pipecat_responses.sandbox.errors import ApiError
from pipecat_responses.sandbox.http import error_response
from pipecat_responses.sandbox.listening import Listener
from pipecat_responses.sandbox.redaction import Redactor
from pipecat_responses.sandbox.websocket import reset_transport

OPENAI = "https://api.openai.com/v1"

_OF_THE_HOP = (
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
    "accept-encoding",
    "content-encoding",
)
"""Headers that concern one connection, and are made anew for the next."""
_KEPT = ("content-type", "retry-after", "retry-after-ms", "openai-processing-ms")
_KEPT_PREFIX = "x-ratelimit-"
_TERMINAL = ("response.completed", "response.failed", "response.incomplete", "error")


class Recorder(Listener):
    """Hands everything on to a server, and writes a cassette of it when it stops.

    The key passes through. It is not written, nor is what else looks like one.
    """

    def __init__(
        self,
        to: str | os.PathLike[str],
        upstream: str = OPENAI,
        *,
        redact: Iterable[str] = (),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Prepares a recorder.

        Args:
            to: The file to write.
            upstream: The base URL of the server.
            redact: Regular expressions for more that is not to be written.
            host: The address to listen on, of this machine.
            port: The port; 0 takes a free one.

        Raises:
            ValueError: For an upstream that is no URL, or a pattern that is none.
        """
        super().__init__(host=host, port=port)
        upstream = upstream.rstrip("/")
        for ws, http in (("wss://", "https://"), ("ws://", "http://")):
            if upstream.startswith(ws):
                upstream = http + upstream.removeprefix(ws).removesuffix("/responses")
        if not upstream.startswith(("http://", "https://")):
            raise ValueError(f"{upstream!r} is no base URL: it begins with http:// or https://")
        self._to = Path(to)
        self._redactor = Redactor(redact)
        self._session: aiohttp.ClientSession | None = None
        # Without a name and a password, if the URL has them.
        scheme, _, rest = upstream.partition("://")
        self.cassette = Cassette(self._redactor.text(f"{scheme}://{rest.rpartition('@')[2]}"))
        self._upstream = upstream

    async def start(self) -> None:
        """Starts listening.

        Raises:
            OSError: When the port is taken.
        """
        await super().start()
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30), trust_env=True
        )

    async def stop(self) -> None:
        """Stops listening, and writes the cassette."""
        session, self._session = self._session, None
        if session is None:
            return
        await super().stop()
        await session.close()
        await asyncio.to_thread(
            self._to.write_text, self.cassette.dumps(self._redactor), encoding="utf-8"
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Hands a request on."""
        self._redactor.learn(request.headers, request.query)
        try:
            if is_upgrade(request):
                return await self._websocket(request)
            return await self._http(request)
        except aiohttp.ClientConnectorError as error:
            message = f"The recorder cannot reach {self.cassette.upstream}: {error.strerror}"
            return error_response(ApiError(message, status=502))

    def begin(self, asked: web.Request, method: str, body: Any, **known: Any) -> Exchange:
        """Begins to write down an exchange."""
        path = asked.path.removeprefix("/v1")
        transport = "websocket" if method == "WEBSOCKET" else "http"
        exchange = Exchange(transport, method, path, dict(asked.query), body, **known)
        self.cassette.exchanges.append(exchange)
        return exchange

    def _url(self, request: web.Request) -> str:
        return self._upstream + request.raw_path.removeprefix("/v1")

    # HTTP

    async def _http(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        began = time.monotonic()
        assert self._session is not None
        try:
            answer = await self._session.request(
                request.method,
                self._url(request),
                data=body or None,
                headers={**_passed(request.headers), "accept-encoding": "identity"},
                allow_redirects=False,
            )
        except aiohttp.ClientConnectorError:
            raise
        except aiohttp.ClientConnectionError:
            self.begin(request, request.method, _as_json(body), status=NO_ANSWER, closed=1006)
            return _broken_off(request)
        async with answer:
            exchange = self.begin(
                request,
                request.method,
                _as_json(body),
                status=answer.status,
                headers=_worth_keeping(answer.headers),
                stream=answer.content_type == "text/event-stream",
                closed=1006,
            )
            response = web.StreamResponse(status=answer.status, headers=_passed(answer.headers))
            await response.prepare(request)
            tape = _HttpTape(exchange, began)
            try:
                async for chunk in answer.content.iter_any():
                    tape.feed(chunk)
                    await response.write(chunk)
            except aiohttp.ClientPayloadError:
                # The server has broken off, and so does this.
                if request.transport is not None:
                    request.transport.abort()
                return response
            finally:
                tape.end()
            exchange.closed = None
            return response

    # WebSocket

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        headers = {
            name: value
            for name, value in _passed(request.headers).items()
            if not name.lower().startswith("sec-websocket-")
        }
        try:
            server = await self._session.ws_connect(
                self._url(request),
                headers=headers,
                protocols=_protocols_of(request.headers),
                max_msg_size=0,
                compress=0,
            )
        except aiohttp.WSServerHandshakeError as error:
            self.cassette.handshakes.append(error.status)
            return error_response(ApiError("The server refuses WebSockets.", status=error.status))
        except aiohttp.ClientConnectorError:
            raise
        except aiohttp.ClientConnectionError:
            self.cassette.handshakes.append(NO_ANSWER)
            return _broken_off(request)
        self.cassette.handshakes.append(101)
        chosen = (server.protocol,) if server.protocol else ()
        client = web.WebSocketResponse(protocols=chosen, max_msg_size=0, compress=False)
        await client.prepare(request)
        tape = _WebSocketTape(self, request)
        pumps = [
            asyncio.create_task(_pump(client, server, tape.sent)),
            asyncio.create_task(_pump(server, client, tape.received)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
            if server.close_code is not None:
                tape.closed(server.close_code)
            broke_off = server.closed and server.close_code in (None, 1006)
            if broke_off and not client.closed and request.transport is not None:
                request.transport.abort()
            code = client.close_code or server.close_code or 1000
            code = code if code not in (1005, 1006) else 1000
            await server.close(code=code)
            await client.close(code=code)
        return client


class _HttpTape:
    """Writes down an answer as it comes."""

    def __init__(self, exchange: Exchange, began: float) -> None:
        self._exchange = exchange
        self._began = began
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        self._rest += chunk
        if self._exchange.stream:
            *whole, self._rest = self._rest.replace(b"\r\n", b"\n").split(b"\n\n")
            for block in whole:
                self._note(_event_of(block.decode(errors="replace")))

    def end(self) -> None:
        if self._rest:
            text = self._rest.decode(errors="replace")
            self._note(text if self._exchange.stream else _as_json(self._rest))
            self._rest = b""

    def _note(self, said: Any) -> None:
        self._exchange.said.append((time.monotonic() - self._began, said))


class _WebSocketTape:
    """Writes down which messages of a WebSocket belong to which request."""

    def __init__(self, recorder: Recorder, request: web.Request) -> None:
        self._recorder = recorder
        self._request = request
        self._waiting: defaultdict[str | None, deque[tuple[Exchange, float]]] = defaultdict(deque)
        self._latest: dict[str | None, tuple[Exchange, float]] = {}

    def sent(self, text: str) -> None:
        body = _as_json(text.encode())
        if isinstance(body, dict) and body.get("type") == "response.create":
            exchange = self._recorder.begin(self._request, "WEBSOCKET", body, status=101)
            self._waiting[_lane(body)].append((exchange, time.monotonic()))

    def received(self, text: str) -> None:
        said = _as_json(text.encode())
        lane = _lane(said)
        waiting = self._waiting[lane]
        # What comes behind a response's end, of a steered one say, belongs to it all the same.
        at = waiting[0] if waiting else self._latest.get(lane)
        if at is None:
            return
        exchange, began = at
        exchange.said.append((time.monotonic() - began, said))
        if waiting and isinstance(said, dict) and said.get("type") in _TERMINAL:
            self._latest[lane] = waiting.popleft()

    def closed(self, code: int) -> None:
        for waiting in self._waiting.values():
            for exchange, _ in waiting:
                exchange.closed = code


async def _pump(
    source: aiohttp.ClientWebSocketResponse | web.WebSocketResponse,
    target: aiohttp.ClientWebSocketResponse | web.WebSocketResponse,
    note: Any,
) -> None:
    """Hands messages on until one side ends."""
    with contextlib.suppress(aiohttp.ClientConnectionResetError):
        async for message in source:
            if message.type is WSMsgType.TEXT:
                note(message.data)
                await target.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                note(message.data.decode(errors="replace"))
                await target.send_bytes(message.data)


def _broken_off(request: web.Request) -> web.Response:
    """Breaks off, as the server did; nobody gets the answer."""
    reset_transport(request.transport)
    return web.Response(status=502)


def _lane(said: Said | Any) -> str | None:
    lane = said.get("stream_id") if isinstance(said, dict) else None
    return lane if isinstance(lane, str) else None


def _passed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _OF_THE_HOP}


def _protocols_of(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The subprotocols that a handshake offers."""
    offered = headers.get("sec-websocket-protocol", "").split(",")
    return tuple(each.strip() for each in offered if each.strip())


def _worth_keeping(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() in _KEPT or name.lower().startswith(_KEPT_PREFIX)
    }


def _as_json(body: bytes) -> Any:
    """A body as JSON, or as text if it is none; None for nothing."""
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        return body.decode(errors="replace")


def _event_of(block: str) -> Said:
    """A server-sent event: its object where it is nothing but one, else as it came."""
    lines = block.split("\n")
    data = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
    others = [line for line in lines if not line.startswith(("data:", "event:"))]
    if len(data) == 1 and not others:
        event = _as_json(data[0].encode())
        if isinstance(event, dict) and f"event: {event.get('type')}" in (lines[0], ""):
            return event
    return block
