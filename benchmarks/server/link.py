"""A slow link: TCP bytes pass it late, and upwards only so many a second."""

from __future__ import annotations

import asyncio
import contextlib

CHUNK = 1400


class SlowLink:
    """Listens, and passes everything on to a port.

    Attributes:
        delay: Seconds that a byte travels, either way.
        up: Bytes a second towards the server.
    """

    def __init__(self, port: int) -> None:
        self.delay = 0.04
        self.up = 250_000.0
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The handshake of TCP is a round trip too, which a listener cannot delay.
        await asyncio.sleep(2 * self.delay)
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        up = asyncio.create_task(self._carry(reader, back, self.up))
        down = asyncio.create_task(self._carry(there, writer, None))
        self._tasks |= {up, down}
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([up, down])
        self._tasks -= {up, down}

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: float | None
    ) -> None:
        """Reads as fast as the link takes bytes, and delivers them after the delay."""
        loop = asyncio.get_running_loop()
        free_at = loop.time()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            writer.close()

        delivery = asyncio.create_task(deliver())
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(64 * 1024 if rate is None else CHUNK):
                free_at = max(free_at, loop.time())
                if rate is not None:
                    free_at += len(data) / rate
                    if free_at - loop.time() > 0.002:
                        await asyncio.sleep(free_at - loop.time())
                queue.put_nowait((free_at + self.delay, data))
        queue.put_nowait((loop.time() + self.delay, b""))
        with contextlib.suppress(ConnectionError):
            await delivery
