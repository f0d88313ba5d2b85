"""Small proxies on loopback, HTTP and SOCKS5, that count what passes and misbehave on command."""

from __future__ import annotations

import asyncio
import base64
import ssl
from abc import abstractmethod
from collections.abc import Coroutine
from typing import Any
from urllib.parse import quote, urlsplit


class Proxy:
    """A proxy; use as an async context manager.

    Attributes:
        ways: What clients were led to, as ``host:port``, in order.
        seen: Connections that were made to the proxy.
        silent: While true, nothing is answered.
        bytes_down: Bytes that were passed on to clients.
    """

    scheme: str

    def __init__(
        self,
        *,
        user: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.ways: list[str] = []
        self.seen = 0
        self.silent = False
        self.bytes_down = 0
        self._user = user
        self._tls = tls
        self._host = host
        self._port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Any:
        self._server = await asyncio.start_server(self._accept, self._host, 0, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def place(self) -> str:
        return f"{self._host}:{self._port}"

    @property
    def url(self) -> str:
        """Its address, with the user and password that it wants."""
        if self._user is None:
            return f"{self.scheme}://{self.place}"
        name, password = (quote(part, safe="") for part in self._user)
        return f"{self.scheme}://{name}:{password}@{self.place}"

    @property
    def bare_url(self) -> str:
        """Its address, without user and password."""
        return f"{self.scheme}://{self.place}"

    def cut(self) -> None:
        """Ends all connections at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen += 1
        self._writers.add(writer)
        self._start(self._serve_safely(reader, writer))

    async def _serve_safely(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            if self.silent:
                await reader.read()
            else:
                await self._serve(reader, writer)
        except (OSError, EOFError):
            writer.transport.abort()
        finally:
            writer.close()

    @abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one client."""

    async def _join(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """Passes everything on, both ways, until both have come to an end."""
        self._writers.add(server[1])
        up = self._start(self._pass_on(client[0], server[1]))
        await self._pass_on(server[0], client[1], down=True)
        up.cancel()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool = False
    ) -> None:
        try:
            while data := await reader.read(65536):
                if down:
                    self.bytes_down += len(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class HttpProxy(Proxy):
    """Tunnels by CONNECT, and plain requests by absolute URIs.

    Attributes:
        tunnels: How many were asked for.
        forwarded: How many plain requests were passed on.
        refuse: The status that tunnels are refused with.
        hang_up: Whether tunnels are refused without a word.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scheme = "https" if self._tls else "http"
        self.tunnels = self.forwarded = 0
        self.refuse: int | None = None
        self.hang_up = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        tunnel = method == "CONNECT"
        if tunnel:
            self.tunnels += 1
        refused = self.refuse if tunnel else None
        if not self._knows(head):
            refused = 407
        if self.hang_up and tunnel:
            return
        if refused is not None:
            page = b"<html>No.</html>"
            answer = f"HTTP/1.1 {refused} No\r\nContent-Length: {len(page)}\r\n\r\n"
            writer.write(answer.encode() + page)
            await writer.drain()
            return
        parts = urlsplit(f"//{target}" if tunnel else target)
        self.ways.append(f"{parts.hostname}:{parts.port}")
        server = await asyncio.open_connection(parts.hostname, parts.port)
        if tunnel:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            self.forwarded += 1
            kept = [line for line in head[1:-2] if not line.lower().startswith("proxy-")]
            # One request for each connection: the next may have another address.
            lines = [f"{method} {parts.path} HTTP/1.1", *kept, "Connection: close", "", ""]
            server[1].write("\r\n".join(lines).encode())
        await self._join((reader, writer), server)

    def _knows(self, head: list[str]) -> bool:
        if self._user is None:
            return True
        token = base64.b64encode(":".join(self._user).encode()).decode()
        return any(line.lower() == f"proxy-authorization: basic {token}".lower() for line in head)


class SocksProxy(Proxy):
    """SOCKS5, with or without a user.

    Attributes:
        refuse: The code that every way is refused with.
    """

    def __init__(self, scheme: str = "socks5h", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scheme = scheme
        self.refuse = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        offered = await reader.readexactly(count)
        wanted = 2 if self._user else 0
        if wanted not in offered:
            writer.write(b"\x05\xff")
            return
        writer.write(bytes([5, wanted]))
        if self._user and not await self._knows(reader):
            writer.write(b"\x01\x01")
            return
        if self._user:
            writer.write(b"\x01\x00")
        kind = (await reader.readexactly(4))[3]
        if kind == 1:
            host = ".".join(str(each) for each in await reader.readexactly(4))
        else:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.ways.append(f"{host}:{port}")
        writer.write(bytes([5, self.refuse, 0, 1, 0, 0, 0, 0, 0, 0]))
        if not self.refuse:
            await self._join((reader, writer), await asyncio.open_connection(host, port))

    async def _knows(self, reader: asyncio.StreamReader) -> bool:
        await reader.readexactly(1)
        said = [(await reader.readexactly((await reader.readexactly(1))[0])).decode()]
        said.append((await reader.readexactly((await reader.readexactly(1))[0])).decode())
        return tuple(said) == self._user
