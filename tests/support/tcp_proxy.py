"""A TCP proxy on loopback that behaves like a bad network, on command."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import Literal

Direction = Literal["up", "down"]
"""``up`` is from the client to the target, ``down`` the way back."""

_CHUNK = 64 * 1024
_LINGER_ZERO = struct.pack("ii", 1, 0)


class TcpProxy:
    """Forwards connections to a target; use as an async context manager.

    Attributes:
        refuse: While true, new connections are accepted and closed at once.
        latency: Seconds that bytes take one way; the order is kept, and the throughput is not
            limited by it.
        bandwidth_up: Bytes per second from the client to the target on each connection; None for
            no limit.
        connections_opened: Number of connections accepted so far, refused ones included.
        bytes_up: Bytes forwarded from clients to the target.
        bytes_down: Bytes forwarded from the target to clients.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self.refuse = False
        self.latency = 0.0
        self.bandwidth_up: float | None = None
        self.connections_opened = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self._target = (target_host, target_port)
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cut_after: dict[Direction, int] = {}

    async def __aenter__(self) -> TcpProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """Number of connections that are open now."""
        return len(self._open)

    def url_for(self, scheme: str, path: str) -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def cut(self) -> None:
        """Reset all connections, on both sides."""
        for connection in tuple(self._open):
            connection.reset()

    def stall(self) -> None:
        """Forward nothing in either direction; the connections stay open."""
        self._flowing.clear()

    def resume(self) -> None:
        """Forward again, beginning with what was held back."""
        self._flowing.set()

    def cut_after(self, n_bytes: int, direction: Direction) -> None:
        """Reset all connections once so many more bytes have been forwarded in a direction."""
        self._cut_after[direction] = n_bytes

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_opened += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.refuse:
            writer.close()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        connection = _Connection(writer, far_writer)
        self._open.add(connection)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, far_writer, "up", connection))
                group.create_task(self._forward(far_reader, writer, "down", connection))
        finally:
            self._open.discard(connection)
            connection.close()

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: Direction,
        connection: _Connection,
    ) -> None:
        """Carry bytes one way: one task reads and stamps them, this one waits and writes."""
        loop = asyncio.get_running_loop()
        under_way: deque[tuple[float, bytes]] = deque()
        arrived = asyncio.Event()

        async def take_in() -> None:
            data = b"-"
            while data:
                try:
                    data = await reader.read(_CHUNK)
                except ConnectionError:
                    data = b""
                under_way.append((loop.time() + self.latency, data))
                arrived.set()

        intake = asyncio.create_task(take_in())
        free_at = 0.0
        try:
            while True:
                while not under_way:
                    arrived.clear()
                    await arrived.wait()
                due, data = under_way.popleft()
                if direction == "up" and self.bandwidth_up:
                    free_at = max(free_at, loop.time()) + len(data) / self.bandwidth_up
                    due = max(due, free_at)
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                await self._flowing.wait()
                if not data:
                    connection.end(writer)
                    return
                writer.write(self._counted(data, direction))
                await writer.drain()
        except ConnectionError:
            connection.reset()
        finally:
            intake.cancel()
            await asyncio.wait([intake])

    def _counted(self, data: bytes, direction: Direction) -> bytes:
        """Count what is forwarded; the part of it that still passes before a cut."""
        left = self._cut_after.get(direction)
        if left is not None:
            data = data[:left]
            self._cut_after[direction] = left - len(data)
        if direction == "up":
            self.bytes_up += len(data)
        else:
            self.bytes_down += len(data)
        if left is not None and left <= len(data):
            del self._cut_after[direction]
            # What has been written goes out before the reset does.
            asyncio.get_running_loop().call_soon(self.cut)
        return data


class _Connection:
    """Both sides of one forwarded connection."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers

    def end(self, writer: asyncio.StreamWriter) -> None:
        """Pass on that one side has nothing more to say."""
        if not writer.is_closing() and writer.can_write_eof():
            writer.write_eof()

    def reset(self) -> None:
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            if sock is not None and not writer.transport.is_closing():
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            writer.transport.abort()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()
