"""One HTTP response as the same events that a WebSocket carries.

Authentication, address, headers, proxies and the connection pool are the SDK's. The request's
bytes and the event stream do not pass through its per-field transformation and per-event models:
at a thousand tokens a second those cost more than everything else together.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx2
import msgspec
from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    AsyncStream,
    Omit,
    OpenAIError,
)

from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError, read_error
from pipecat_responses.protocol.events import (
    ACTIVITY,
    Event,
    TextDelta,
    decode,
    read,
    read_response,
)
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.requests import Payload
from pipecat_responses.protocol.sse import EventStream
from pipecat_responses.transport.handshake import redirected, unreachable
from pipecat_responses.transport.proxies import host_and_port
from pipecat_responses.transport.trace import WHOLE_RESPONSE, Trace
from pipecat_responses.transport.turnstile import REQUESTS

_PIECE = 128 * 1024
"""Bytes of a request's body that are written in one step."""

_READ = 16 * 1024
"""Bytes of an answer that are read in one step: it may be nothing but line ends, unpacked."""


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How requests over HTTP behave.

    Attributes:
        open_timeout: Seconds for a connection to be opened, or to come free in the pool.
        max_event_bytes: Largest event that is accepted.
    """

    open_timeout: float = 8.0
    max_event_bytes: int = 16 * 1024 * 1024


async def stream(
    client: AsyncOpenAI,
    payload: Payload,
    receive: Callable[[Event], None],
    leaving: Callable[[], None],
    opened: Callable[[str | None], None],
    options: HttpOptions,
    *,
    trace: Trace | None = None,
    number: int = 0,
) -> None:
    """Posts a request and hands over the events of its answer until the answer ends.

    The SDK's own retries are off: a turn repeats by one table (``protocol.errors``), whatever the
    transport, and within one budget.

    Args:
        client: The SDK's client.
        payload: The request's body.
        receive: Is called with each event, and must return at once.
        leaving: Is called when there is a connection, and the request is written to it.
        opened: Is called with the request's id, if the server gave one, when the answer begins.
        options: How the request behaves.
        trace: Is told of what arrives.
        number: What the request is called there.

    Raises:
        ResponsesError: If the request is refused or the answer breaks off.
    """
    response = await _post(client, "/responses", payload, "text/event-stream", options, leaving)
    opened(response.headers.get("x-request-id"))
    try:
        await _events(response, receive, options.max_event_bytes, trace or Trace(), number)
    except httpx2.HTTPError as error:
        raise _http_error(error, client, options) from None
    finally:
        await response.aclose()


async def ask(
    client: AsyncOpenAI,
    path: str,
    payload: Payload,
    options: HttpOptions,
    *,
    trace: Trace,
    number: int,
) -> Mapping[str, Any]:
    """Posts a request that is answered by one JSON object.

    Args:
        client: The SDK's client.
        path: Where, below the base URL.
        payload: The request's body.
        options: How the request behaves.
        trace: Is told of what arrives.
        number: What the request is called there.

    Raises:
        ResponsesError: If the request is refused, or answered by anything else.
    """
    response = await _post(client, path, payload, "application/json", options)
    try:
        body = await _body(response, options.max_event_bytes)
    except httpx2.HTTPError as error:
        raise _http_error(error, client, options) from None
    finally:
        await response.aclose()
    _tell_of_body(trace, number, body)
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise ResponsesError(
            f"The server's answer to {path} is no JSON object: check base_url and any proxy on "
            "the way",
            failure=Failure.PROTOCOL,
            status=response.status_code,
            transport="http",
        )
    return answer


async def _post(
    client: AsyncOpenAI,
    path: str,
    payload: Payload,
    accept: str,
    options: HttpOptions,
    leaving: Callable[[], None] | None = None,
) -> httpx2.Response:
    """Posts a request; the answer's body is still to be read."""
    await REQUESTS.enter()
    try:
        response = await client.post(
            path,
            cast_to=httpx2.Response,
            # Asked for when there is a connection, which nothing else tells.
            content=_pieces(payload, leaving),
            options={
                "headers": {
                    "Content-Type": "application/json",
                    "Content-Length": str(payload.size),
                    "Accept": accept,
                    "Accept-Encoding": "identity",
                    **_no_bearer(client),
                },
                "max_retries": 0,
                # It would carry the conversation and its headers to another address.
                "follow_redirects": False,
                "timeout": httpx2.Timeout(
                    None, connect=options.open_timeout, pool=options.open_timeout
                ),
            },
            stream=True,
            stream_cls=AsyncStream[Any],
        )
    except Exception as error:  # noqa: BLE001 - the key provider is the application's code
        raise _http_error(error, client, options) from None
    assert isinstance(response, httpx2.Response)
    return response


def _no_bearer(client: AsyncOpenAI) -> dict[str, Omit]:
    """Where another header holds the key, the SDK wants to be told so with each request."""
    bearer = client.default_headers.get("Authorization")
    return {"Authorization": bearer} if isinstance(bearer, Omit) else {}


async def _pieces(payload: Payload, leaving: Callable[[], None] | None) -> AsyncIterator[bytes]:
    """The request's body, in pieces small enough to leave room for other work between them."""
    if leaving is not None:
        leaving()
    if payload.size <= _PIECE:
        yield payload.join()
        return
    for piece in payload.pieces(_PIECE):
        yield piece
        await asyncio.sleep(0)


async def _events(
    response: httpx2.Response,
    receive: Callable[[Event], None],
    max_event_bytes: int,
    trace: Trace,
    number: int,
) -> None:
    content_type = response.headers.get("content-type", "")
    if "application/json" in content_type:
        body = await _body(response, max_event_bytes)
        _tell_of_body(trace, number, body)
        # A gateway has gathered it: the response itself instead of its events.
        receive(read_response(body, transport="http"))
        return
    if "text/event-stream" not in content_type:
        raise ResponsesError(
            f"The server answered with {content_type or 'no content type'} instead of an event "
            "stream: check base_url and any proxy on the way",
            failure=Failure.PROTOCOL,
            status=response.status_code,
            transport="http",
        )
    parser = EventStream(max_event_bytes)
    # Nothing is encoded unless a proxy insists; read as it comes, each piece costs a layer less.
    encoded = response.headers.get("content-encoding", "identity") != "identity"
    async for chunk in response.aiter_bytes() if encoded else response.aiter_raw():
        for start in range(0, len(chunk), _READ):
            complete = parser.feed(chunk[start : start + _READ])
            if not complete:
                # Part of an event, or a comment that keeps the stream open.
                receive(ACTIVITY)
            _hand_over(complete, receive, trace, number)
            if len(chunk) > _READ:
                await asyncio.sleep(0)
    # The last line may lack its end.
    _hand_over(parser.feed(b"\n"), receive, trace, number)


def _hand_over(
    complete: list[bytes], receive: Callable[[Event], None], trace: Trace, number: int
) -> None:
    if complete and trace.tell is not None:
        trace.received(number, complete, "http")
    for index, data in enumerate(complete):
        wire = decode(data)
        event = read(wire, data, transport="http")
        if trace.tell is not None and type(event) is not TextDelta:
            trace.reached(number, None, wire.type, index)
        if event is not None:
            receive(event)


def _tell_of_body(trace: Trace, number: int, body: bytes) -> None:
    trace.received(number, [body], "response")
    trace.reached(number, None, WHOLE_RESPONSE, 0)


async def _body(response: httpx2.Response, limit: int) -> bytes:
    """Reads an answer to its end."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            raise ResponsesError(
                "The server sent an answer over the size limit (max_message_bytes)",
                failure=Failure.PROTOCOL,
                transport="http",
            )
    return bytes(body)


def _error_body(error: APIStatusError) -> dict[str, Any]:
    """The whole body: the SDK gives its ``error`` only, and gateways put more beside it."""
    body: Any = None
    with contextlib.suppress(msgspec.MsgspecError, UnicodeError, RecursionError, httpx2.HTTPError):
        body = msgspec.json.decode(error.response.content)
    if isinstance(body, dict):
        return body
    return {"message": f"The server answered with status {error.status_code}"}


def _http_error(error: Exception, client: AsyncOpenAI, options: HttpOptions) -> ResponsesError:
    if isinstance(error, APIStatusError):
        return _status_error(error)
    for said in (error, error.__cause__):
        if isinstance(said, ResponsesError):
            # The connection's own words, or those of whoever gives the key.
            said.transport = "http"
            return said
    url = str(client.base_url)
    cause = _cause(error)
    if cause is not None:
        return unreachable(cause, url, options.open_timeout, transport="http")
    if isinstance(error, (APIConnectionError, httpx2.HTTPError)):
        what = error.__cause__ or error
        return ConnectionLostError(
            f"The connection to {host_and_port(url)} failed: {what or type(what).__name__}: check "
            "base_url and the network",
            transport="http",
        )
    if isinstance(error, OpenAIError):
        return ResponsesError(str(error), failure=Failure.AUTHENTICATION, transport="http")
    return ConnectionLostError(
        f"The request could not be prepared: {type(error).__name__}: {error}", transport="http"
    )


def _status_error(error: APIStatusError) -> ResponsesError:
    status = error.status_code
    return read_error(
        {"message": redirected(status)} if 300 <= status < 400 else _error_body(error),
        status=status,
        transport="http",
        headers=dict(error.response.headers),
    )


def _cause(error: BaseException | None) -> OSError | None:
    """Why a client that is not ours could not connect, if that is what an error means.

    The SDK's own calls whatever ends a connection a time-out.
    """
    chain: list[BaseException] = []
    while error is not None:
        chain.append(error)
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        else:
            error = error.__cause__ or error.__context__
    connecting = any(isinstance(each, _CONNECTING) for each in chain)
    for each in reversed(chain):
        if isinstance(each, TimeoutError):
            return each
        if isinstance(each, OSError) and (connecting or isinstance(each, _CERTAIN)):
            return each
    broke_off = any(isinstance(each, aiohttp.ClientConnectionError) for each in chain)
    timed_out = any(isinstance(each, _TIMED_OUT) for each in chain)
    return TimeoutError() if timed_out and not broke_off else None


_CONNECTING = (httpx2.ConnectError, aiohttp.ClientConnectorError)
_CERTAIN = (socket.gaierror, ssl.SSLError, ConnectionRefusedError)
_TIMED_OUT = (APITimeoutError, httpx2.TimeoutException)
