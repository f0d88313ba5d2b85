"""One WebSocket: its lanes, what it remembers, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time
from collections import deque
from collections.abc import Coroutine, Mapping
from typing import Any

import msgspec
from aiohttp import ClientConnectionResetError, WSMsgType, web

from pipecat_responses.sandbox import steering
from pipecat_responses.sandbox.composer import Event
from pipecat_responses.sandbox.config import SandboxConfig
from pipecat_responses.sandbox.engine import Engine, Halt, Place, Run, Steer
from pipecat_responses.sandbox.errors import (
    ApiError,
    connection_limit_reached,
    invalid_type,
    stream_limit_reached,
)
from pipecat_responses.sandbox.faults import Fault, Transport
from pipecat_responses.sandbox.features import lanes_of, no_lanes
from pipecat_responses.sandbox.memory import LaneMemory, PrefixCache
from pipecat_responses.sandbox.records import RecordedRequest
from pipecat_responses.sandbox.requests import check_stream_id, unknown_message

_CLOSE_TIMEOUT = 1.0
_READ_TIMEOUT = 1.0
_LINGER_ZERO = struct.pack("ii", 1, 0)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def reset_transport(transport: asyncio.BaseTransport | None) -> None:
    """Resets a TCP connection: the other side gets an RST, and unsent data is lost."""
    if not isinstance(transport, asyncio.Transport):
        return
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()


class LaneSink:
    """Sends one lane's events on its connection."""

    transport: Transport = "websocket"

    def __init__(self, connection: Connection, lane: str | None) -> None:
        """Sends on a lane; None is the default lane, whose events carry no ``stream_id``."""
        self._connection = connection
        self._lane = lane

    async def send(self, event: Event) -> None:
        """Sends an event of the lane."""
        if self._lane is not None:
            event.setdefault("stream_id", self._lane)
        await self._connection.send(event)

    async def send_raw(self, data: bytes, *, binary: bool) -> None:
        """Sends a frame as it is."""
        await self._connection.send_frame(data, WSMsgType.BINARY if binary else WSMsgType.TEXT)

    async def comment(self, text: str) -> None:
        """Sends nothing: a WebSocket has no comments."""

    async def close(self, code: int, reason: str) -> None:
        """Closes the connection."""
        self._connection.close(code, reason)

    async def reset(self) -> None:
        """Resets the connection."""
        await self._connection.reset()

    def stall(self) -> None:
        """Stalls the connection."""
        self._connection.stall()


class Lane:
    """A lane: requests in the order of their arrival, one at a time.

    Attributes:
        name: Its ``stream_id``; None is the default lane.
        queue: Requests that wait.
        task: Runs them, as long as there are any.
        run: The response that is running.
        steers: Accepted steering input that waits for the client's next request, by the id of
            the response that it continues.
    """

    def __init__(self, name: str | None) -> None:
        """Begins with nothing to do."""
        self.name = name
        self.queue: deque[RecordedRequest] = deque()
        self.task: asyncio.Task[None] | None = None
        self.run: Run | None = None
        self.steers: dict[str, list[Steer]] = {}


class Connection:
    """One WebSocket connection.

    Attributes:
        index: Its number among all that were opened.
        lanes: Its lanes by name.
        memory: What its lanes remember.
    """

    def __init__(
        self,
        index: int,
        engine: Engine,
        requests: list[RecordedRequest],
        messages: list[dict[str, Any]],
        headers: Mapping[str, str],
    ) -> None:
        """Prepares a connection.

        Args:
            index: Its number.
            engine: Answers its requests.
            requests: Where to record them.
            messages: Where to record other messages.
            headers: The handshake's headers, redacted.
        """
        self.index = index
        self.lanes: dict[str | None, Lane] = {}
        self.memory = LaneMemory()
        self._engine = engine
        self._requests = requests
        self._messages = messages
        self._headers = headers
        self._cache = PrefixCache()
        config = engine.config
        self._slots = asyncio.Semaphore(config.max_in_flight)
        self._opened_at = time.monotonic()
        self._ws = web.WebSocketResponse(
            timeout=_CLOSE_TIMEOUT,
            autoping=False,
            compress=False,
            max_msg_size=min(config.max_body, config.max_message),
        )
        self._transport: asyncio.BaseTransport | None = None
        self._stalled = False
        self._unread = False
        self._pings: dict[bytes, asyncio.Event] = {}
        self._closing: asyncio.Task[bool] | None = None
        self._background: set[asyncio.Task[None]] = set()

    @property
    def _config(self) -> SandboxConfig:
        return self._engine.config

    @property
    def _idle(self) -> bool:
        return not self._stalled and all(lane.task is None for lane in self.lanes.values())

    async def serve(self, request: web.Request, closing: Fault | None) -> web.WebSocketResponse:
        """Opens the WebSocket and serves it until it ends.

        Args:
            request: The handshake.
            closing: A fault that closes the WebSocket at once, or None.

        Returns:
            The WebSocket, closed.
        """
        try:
            await self._ws.prepare(request)
        except ClientConnectionResetError:
            # The client gave up while it was waiting for the handshake.
            return self._ws
        self._transport = request.transport
        if closing is not None:
            await self._happen(closing)
        loop = asyncio.get_running_loop()
        age_timer = loop.call_later(self._config.max_connection_age, self._too_old)
        try:
            await self._receive()
        finally:
            age_timer.cancel()
            await self._finish()
        return self._ws

    async def _receive(self) -> None:
        while True:
            message = await self._ws.receive()
            match message.type:
                case WSMsgType.PING:
                    await self._write(message.data, WSMsgType.PONG)
                case WSMsgType.PONG:
                    self._ponged(bytes(message.data))
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    if not self._stalled:
                        await self._message(message.data)
                case _:
                    return

    async def _finish(self) -> None:
        """Ends what is still running, and lets a proper close come to its end."""
        tasks: list[asyncio.Task[Any]] = [
            lane.task for lane in self.lanes.values() if lane.task is not None
        ]
        tasks.extend(self._background)
        for task in tasks:
            task.cancel()
        for lane in self.lanes.values():
            for record in lane.queue:
                record.outcome = "dropped"
        if self._closing is not None:
            tasks.append(self._closing)
        if tasks:
            await asyncio.wait(tasks)

    # Sending

    async def send(self, event: Event) -> None:
        """Sends an event."""
        await self.send_frame(_encode(event), WSMsgType.TEXT)

    async def send_frame(self, data: bytes, kind: WSMsgType) -> None:
        """Sends a frame, unless the connection has stalled or is at its end."""
        self._unread = True
        await self._write(data, kind)

    async def _write(self, data: bytes, kind: WSMsgType) -> None:
        if self._stalled or self._closing is not None or self._ws.closed:
            return
        # The peer may be gone already; the receiving side notices that and ends the connection.
        with contextlib.suppress(ClientConnectionResetError):
            await self._ws.send_frame(data, kind)

    async def _send_error(self, error: ApiError, stream_id: str | None = None) -> None:
        event = error.event("nested")
        if stream_id is not None:
            event["stream_id"] = stream_id
        await self.send(event)

    # Ends

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the WebSocket properly; nothing is sent after the close frame."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._ws.close(code=code, message=reason.encode()))

    async def reset(self) -> None:
        """Resets the TCP connection, once the peer has read what was sent.

        A reset throws away what the peer's system holds and the peer has not read, so without
        this the moment of a reset would be anywhere before the one that was asked for.
        """
        if self._unread and not self._stalled:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._until_read(), _READ_TIMEOUT)
        reset_transport(self._transport)

    async def _until_read(self) -> None:
        """Waits until the peer has answered a ping, and so has read all that went before."""
        name, read = os.urandom(8), asyncio.Event()
        self._pings[name] = read
        self._unread = False
        try:
            await self._write(name, WSMsgType.PING)
            await read.wait()
        finally:
            del self._pings[name]

    def _ponged(self, name: bytes) -> None:
        if (read := self._pings.get(name)) is not None:
            read.set()

    def stall(self) -> None:
        """Stops reading and sending, and leaves the connection open."""
        self._stalled = True
        if isinstance(self._transport, asyncio.Transport):
            self._transport.pause_reading()

    def _too_old(self) -> None:
        self._spawn(self._expire())

    async def _expire(self) -> None:
        await self._send_error(connection_limit_reached(self._config.max_connection_age))
        self.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # Messages

    async def _message(self, data: str | bytes) -> None:
        raw = data.encode() if isinstance(data, str) else data
        try:
            body = _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._messages.append({"invalid": raw.decode(errors="replace")})
            await self._send_error(
                ApiError("We could not parse the JSON of your message.", code="invalid_json")
            )
            return
        if not isinstance(body, dict):
            self._messages.append({"invalid": raw.decode()})
            await self._send_error(invalid_type("message", "an object", body))
            return
        if body.get("type") == "response.create":
            await self._create(body, len(raw))
            return
        self._messages.append(body)
        if body.get("type") == "response.cancel":
            await self._cancel(body)
        elif body.get("type") == "response.steer" and self._config.steering:
            await self._steer(body)
        else:
            await self._send_error(unknown_message(body.get("type")))

    async def _create(self, message: dict[str, Any], size: int) -> None:
        body = {name: value for name, value in message.items() if name != "type"}
        record = RecordedRequest(
            transport="websocket",
            body=body,
            size=size,
            connection=self.index,
            headers=self._headers,
            received_at=time.monotonic(),
        )
        self._requests.append(record)
        stream_id: str | None = None
        try:
            stream_id = check_stream_id(body.get("stream_id"))
            lane = self._lane(stream_id, sent="stream_id" in body)
            if time.monotonic() - self._opened_at > self._config.max_connection_age:
                raise connection_limit_reached(self._config.max_connection_age)
        except ApiError as error:
            record.outcome = f"refused:{error.label}"
            lanes = lanes_of(self._config) == "supported"
            await self._send_error(error, stream_id if lanes else None)
            if not lanes:
                self.memory.evict(None, record.previous_response_id)
            return
        lane.queue.append(record)
        if lane.task is None:
            lane.task = asyncio.create_task(self._work(lane))

    def _lane(self, stream_id: str | None, *, sent: bool) -> Lane:
        """Finds or opens the lane of a request.

        Raises:
            ApiError: When the server has no lanes, or no more of them.
        """
        lanes = lanes_of(self._config)
        if lanes == "rejected" and sent:
            raise no_lanes(stream_id, self._config)
        name = stream_id if lanes == "supported" else None
        if name not in self.lanes:
            named = sum(1 for known in self.lanes if known is not None)
            if name is not None and named >= self._config.max_streams:
                raise stream_limit_reached(self._config.max_streams)
            self.lanes[name] = Lane(name)
        return self.lanes[name]

    async def _cancel(self, body: dict[str, Any]) -> None:
        if self._config.cancel == "rejected":
            await self._send_error(unknown_message("response.cancel"))
        if self._config.cancel != "honoured":
            return
        wanted = body.get("response_id")
        for lane in self.lanes.values():
            run = lane.run
            if run is not None and wanted in (None, run.response_id):
                run.stop("cancelled")

    async def _steer(self, body: dict[str, Any]) -> None:
        target = body.get("previous_response_id")
        lane = next(
            (
                lane
                for lane in self.lanes.values()
                if lane.run is not None and lane.run.response_id == target
            ),
            None,
        )
        event = steering.receive(body, lane.run if lane is not None else None)
        if lane is not None and lane.name is not None:
            event["stream_id"] = lane.name
        await self.send(event)

    # Lanes

    async def _work(self, lane: Lane) -> None:
        """Runs a lane's requests until there are none."""
        try:
            while lane.queue:
                record = lane.queue.popleft()
                try:
                    async with self._slots:
                        await self._respond(lane, record)
                except asyncio.CancelledError:
                    record.outcome = record.outcome or "dropped"
                    raise
                except Exception:
                    # A responder that raises, say: loud here, and no client waits for ever.
                    self.close(1011, "The sandbox failed; see its log.")
                    raise
        finally:
            lane.task = None
        if len(self._engine.faults):
            self.notice_idle_faults()

    async def _respond(self, lane: Lane, record: RecordedRequest) -> None:
        """Answers a request, and continues on the server's own account if it was steered."""
        place = self._place(lane.name)

        def accepted(run: Run) -> None:
            lane.run = run

        request: RecordedRequest | None = record
        before: Run | None = None
        while request is not None:
            steers = lane.steers.pop(request.previous_response_id or "", [])
            try:
                run = await self._engine.run(request, place, steers=steers, on_accepted=accepted)
            except ApiError as error:
                if before is None:
                    await self._send_error(error, lane.name)
                else:
                    for event in steering.lost(before, error):
                        await place.sink.send(event)
                return
            except Halt as halt:
                if halt.parked:
                    await asyncio.get_running_loop().create_future()
                return
            finally:
                lane.run = None
            request, before = None, run
            if run.steers and run.calls:
                lane.steers[run.response_id] = run.steers
                for event in steering.pending(run):
                    await place.sink.send(event)
            elif run.steers:
                request = steering.successor(run)
                self._requests.append(request)

    def _place(self, lane: str | None) -> Place:
        return Place(LaneSink(self, lane), self._cache, lane, self.memory)

    def notice_idle_faults(self) -> None:
        """Looks for faults that wait for an idle connection."""
        self._spawn(self._idle_faults())

    async def _idle_faults(self) -> None:
        if not self._idle:
            return
        for fault in self._engine.faults.take("idle", "websocket"):
            await self._happen(fault)

    async def _happen(self, fault: Fault) -> None:
        if fault.kind == "error":
            await self._send_error(fault.error())
            return
        with contextlib.suppress(Halt):
            await self._engine.disturb(fault, self._place(None))
