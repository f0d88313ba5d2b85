"""``/v1/responses`` over HTTP: server-sent events, or one JSON object."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from aiohttp import ClientConnectionResetError, web

from pipecat_responses.sandbox.composer import Event, compaction_item, new_id
from pipecat_responses.sandbox.engine import Engine, Halt, HtmlAnswer, Place
from pipecat_responses.sandbox.errors import ApiError, invalid_type
from pipecat_responses.sandbox.faults import Transport
from pipecat_responses.sandbox.memory import PrefixCache
from pipecat_responses.sandbox.records import RecordedRequest, redact
from pipecat_responses.sandbox.text import count_tokens
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
        self.error: Event | None = None
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
        elif event.get("type") == "error":
            self.error = event
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

    def __init__(self, engine: Engine, requests: list[RecordedRequest]) -> None:
        """Shares the engine, and the list where requests are recorded."""
        self._engine = engine
        self._requests = requests
        self._cache = PrefixCache()

    async def create(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/responses``."""
        body, size = await self._body(request)
        record = RecordedRequest(
            transport="http",
            body=body,
            size=size,
            connection=-1,
            headers=redact(request.headers),
            received_at=time.monotonic(),
        )
        self._requests.append(record)
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
                await sink.send(error.event("flat", 0))
                return sink.stream
            return error_response(error)
        except HtmlAnswer as answer:
            return web.Response(text=answer.html, status=answer.status, content_type="text/html")
        except Halt as halt:
            if halt.parked and record.outcome != "fault:close":
                await asyncio.get_running_loop().create_future()
        if sink.started:
            return sink.stream
        if sink.error is not None:
            return json_response({"error": sink.error}, 500)
        if sink.terminal is not None:
            return json_response(sink.terminal["response"])
        return web.Response(status=500)

    async def _body(self, request: web.Request) -> tuple[dict[str, Any], int]:
        limit = self._engine.config.max_body
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

    async def compact(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/responses/compact``: what the user said, and an item for all that was sent."""
        body, _ = await self._body(request)
        history = self._engine.history_of(body)
        item = compaction_item(history.items())
        said = [
            {
                "type": "message",
                "id": new_id("msg"),
                "role": "user",
                "status": "completed",
                "content": _parts(each["content"]),
            }
            for each in history.items()
            if each.get("role") == "user"
        ]
        output_tokens = count_tokens(item["encrypted_content"])
        return json_response(
            {
                "id": new_id("resp"),
                "object": "response.compaction",
                "created_at": int(time.time()),
                "output": [*said, item],
                "usage": {
                    "input_tokens": history.tokens,
                    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                    "output_tokens": output_tokens,
                    "output_tokens_details": {"reasoning_tokens": 0},
                    "total_tokens": history.tokens + output_tokens,
                },
            }
        )

    async def retrieve(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/responses/{id}``: a stored response."""
        response_id = request.match_info["response_id"]
        body = self._engine.store.bodies.get(response_id)
        if body is None:
            raise _response_not_found(response_id)
        return json_response(body)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """``DELETE /v1/responses/{id}``."""
        response_id = request.match_info["response_id"]
        if not self._engine.store.drop(response_id):
            raise _response_not_found(response_id)
        return json_response({"id": response_id, "object": "response", "deleted": True})


def _parts(content: Any) -> Any:
    """A message's content in its long form."""
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else content


def _response_not_found(response_id: str) -> ApiError:
    return ApiError(f"Response with id '{response_id}' not found.", status=404)
