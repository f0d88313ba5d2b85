"""``/v1/responses`` over HTTP: server-sent events, or one JSON object."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

import msgspec
from aiohttp import ClientConnectionResetError, web

from pipecat_responses.sandbox.background import Background, Job
from pipecat_responses.sandbox.composer import Event
from pipecat_responses.sandbox.engine import Engine, Halt, HtmlAnswer, Place
from pipecat_responses.sandbox.errors import ApiError, invalid_type
from pipecat_responses.sandbox.faults import Transport
from pipecat_responses.sandbox.features import taken
from pipecat_responses.sandbox.memory import PrefixCache
from pipecat_responses.sandbox.records import RecordedRequest, redact
from pipecat_responses.sandbox.websocket import reset_transport

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def json_response(
    body: Any, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """A JSON answer."""
    return web.Response(
        body=_encode(body), status=status, headers=headers, content_type="application/json"
    )


def error_response(error: ApiError) -> web.Response:
    """A refusal as an HTTP answer."""
    return json_response(error.body(), error.status, error.headers)


class HttpSink:
    """The answer to one HTTP request.

    Nothing goes out before the first event, so that a refusal can still be a plain answer.

    Attributes:
        started: Whether the stream has begun.
        terminal: The last event that carried a response: the answer when there is no stream.
    """

    transport: Transport = "http"

    def __init__(self, request: web.Request, *, streaming: bool) -> None:
        """Answers a request, as a stream or not."""
        self.started = False
        self.terminal: Event | None = None
        self._request = request
        self._streaming = streaming
        self.stream = web.StreamResponse(
            headers={
                "content-type": "text/event-stream; charset=utf-8",
                "cache-control": "no-cache",
            }
        )

    async def send(self, event: Event) -> None:
        """Sends a server-sent event, or keeps the response that it carries."""
        if self._streaming:
            name = event.get("type", "message")
            await self._write(b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(event)))
        elif "response" in event:
            self.terminal = event

    async def send_raw(self, data: bytes, *, binary: bool) -> None:
        """Sends bytes among the events; framed as an event's data unless they are binary."""
        if self._streaming:
            await self._write(data if binary else b"data: %b\n\n" % data)

    async def comment(self, text: str) -> None:
        """Sends a comment, which readers of server-sent events skip."""
        if self._streaming:
            await self._write(b": %b\n\n" % text.encode())

    async def _write(self, data: bytes) -> None:
        if not self.started:
            self.started = True
            await self.stream.prepare(self._request)
        await self.stream.write(data)

    async def close(self, code: int, reason: str) -> None:
        """Ends the answer where it is; whatever has no stream yet is cut off."""
        if self.started:
            await self.stream.write_eof()
        elif self._request.transport is not None:
            self._request.transport.close()

    async def reset(self) -> None:
        """Resets the TCP connection."""
        reset_transport(self._request.transport)

    def stall(self) -> None:
        """Says nothing more; a parked response does that already."""


class HttpApi:
    """Answers HTTP requests for responses."""

    def __init__(
        self,
        engine: Engine,
        requests: list[RecordedRequest],
        background: Background,
        cache: PrefixCache,
    ) -> None:
        """Shares the engine and its prompt cache, and the list where requests are recorded."""
        self._engine = engine
        self._requests = requests
        self._background = background
        self._cache = cache

    async def create(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/responses``."""
        body, size = await read_json(request, self._engine.config.max_body)
        record = RecordedRequest(
            transport="http",
            body=body,
            size=size,
            connection=-1,
            headers=redact(request.headers),
            received_at=time.monotonic(),
        )
        self._requests.append(record)
        if taken(body, self._engine.config).get("background") is True:
            return await self._respond_in_background(request, record)
        try:
            return await self._respond(request, record)
        except asyncio.CancelledError:
            record.outcome = record.outcome or "dropped"
            raise
        except ClientConnectionResetError:
            record.outcome = record.outcome or "dropped"
            return web.Response(status=499)

    async def _respond(self, request: web.Request, record: RecordedRequest) -> web.StreamResponse:
        streaming = record.body.get("stream") is True
        sink = HttpSink(request, streaming=streaming)
        try:
            await self._engine.run(record, Place(sink, self._cache))
        except ApiError as error:
            if sink.started:
                await sink.send(error.event(self._engine.config.sse_errors, 0))
                return sink.stream
            return error_response(error)
        except HtmlAnswer as answer:
            return web.Response(text=answer.html, status=answer.status, content_type="text/html")
        except Halt as halt:
            if halt.error is not None and not streaming:
                return error_response(halt.error)
            if halt.parked and record.outcome != "fault:close":
                await asyncio.get_running_loop().create_future()
        if sink.started:
            return sink.stream
        if sink.terminal is not None:
            return json_response(sink.terminal["response"])
        return web.Response(status=500)

    async def _respond_in_background(
        self, request: web.Request, record: RecordedRequest
    ) -> web.StreamResponse:
        streamed = record.body.get("stream") is True
        sink = HttpSink(request, streaming=streamed)
        try:
            job = await self._background.start(record, sink, streamed=streamed)
        except HtmlAnswer as answer:
            return web.Response(text=answer.html, status=answer.status, content_type="text/html")
        except Halt:
            await asyncio.get_running_loop().create_future()
            raise
        if streamed:
            return await send_events(sink, job, after=-1)
        return json_response(job.queued)


async def send_events(
    sink: HttpSink, job: Job, *, after: int, obfuscation: bool = True
) -> web.StreamResponse:
    """Streams the events of a response that runs or ran in the background.

    Args:
        sink: Where they go, which has joined its listeners.
        job: The response.
        after: The sequence number behind which they begin.
        obfuscation: Whether the events keep their padding.
    """
    try:
        async with aclosing(job.log.follow(sink, after)) as events:
            async for event in events:
                await sink.send(event if obfuscation else _without_padding(event))
    except ClientConnectionResetError:
        return web.Response(status=499)
    return sink.stream


def _without_padding(event: Event) -> Event:
    """An event without its ``obfuscation``."""
    return {name: value for name, value in event.items() if name != "obfuscation"}


async def read_json(request: web.Request, limit: int) -> tuple[dict[str, Any], int]:
    """The body of a request, and its size in bytes.

    Args:
        request: The request.
        limit: The largest size.

    Raises:
        ApiError: When it is too large, or no JSON object.
    """
    raw = await request.read()
    if len(raw) > limit:
        raise ApiError("The request is too large.", status=413, code="request_too_large")
    try:
        body = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(
            "We could not parse the JSON body of your request.", code="invalid_json"
        ) from error
    if not isinstance(body, dict):
        raise invalid_type("body", "an object", body)
    return body, len(raw)
