from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from .tcp_proxy import TcpProxy


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    async def echo(reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    before = asyncio.all_tasks()
    async with echo_server() as port, TcpProxy("127.0.0.1", port) as proxy:
        yield proxy
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()


async def dial(proxy: TcpProxy) -> tuple[StreamReader, StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def exchange(reader: StreamReader, writer: StreamWriter, data: bytes) -> bytes:
    writer.write(data)
    return await asyncio.wait_for(reader.readexactly(len(data)), 5)


async def test_forwards_and_counts(proxy: TcpProxy) -> None:
    reader, writer = await dial(proxy)
    assert await exchange(reader, writer, b"hello") == b"hello"
    big = bytes(range(256)) * 4096
    assert await exchange(reader, writer, big) == big
    assert proxy.bytes_up == proxy.bytes_down == 5 + len(big)
    assert (proxy.connections, proxy.connections_opened) == (1, 1)
    assert proxy.url_for("ws", "/v1") == f"ws://127.0.0.1:{proxy.port}/v1"
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()


async def test_cut(proxy: TcpProxy) -> None:
    reader, writer = await dial(proxy)
    await exchange(reader, writer, b"x")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_stall_and_resume(proxy: TcpProxy) -> None:
    reader, writer = await dial(proxy)
    await exchange(reader, writer, b"x")
    proxy.stall()
    writer.write(b"held")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.05)
    assert proxy.connections == 1
    proxy.resume()
    assert await asyncio.wait_for(reader.readexactly(4), 5) == b"held"
    writer.close()


async def test_refuse(proxy: TcpProxy) -> None:
    proxy.refuse = True
    reader, writer = await dial(proxy)
    assert await reader.read() == b""
    writer.close()
    proxy.refuse = False
    reader, writer = await dial(proxy)
    assert await exchange(reader, writer, b"x") == b"x"
    writer.close()


async def test_cut_after(proxy: TcpProxy) -> None:
    reader, writer = await dial(proxy)
    proxy.cut_after(3, "down")
    writer.write(b"abcdef")
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(4)
    writer.close()
    assert proxy.bytes_down == 3


async def test_latency_is_pipelined(proxy: TcpProxy) -> None:
    """Fifty messages in a row take one latency each way, not fifty."""
    proxy.latency = 0.05
    loop = asyncio.get_running_loop()
    reader, writer = await dial(proxy)
    began = loop.time()
    for number in range(50):
        writer.write(b"%03d" % number)
        await writer.drain()
    data = await asyncio.wait_for(reader.readexactly(150), 2)
    assert data == b"".join(b"%03d" % number for number in range(50))
    assert loop.time() - began >= 0.1
    writer.close()


async def test_bandwidth(proxy: TcpProxy) -> None:
    proxy.bandwidth_up = 1_000_000
    loop = asyncio.get_running_loop()
    reader, writer = await dial(proxy)
    began = loop.time()
    await exchange(reader, writer, b"x" * 50_000)
    assert loop.time() - began >= 0.05
    writer.close()
