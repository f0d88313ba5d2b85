"""A socket and what it takes from the WebSocket library."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing

import pytest
from loguru import logger
from websockets.asyncio.server import ServerConnection, serve

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.events import Event, TextDelta
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.requests import Payload
from pipecat_responses.sandbox import Sandbox
from pipecat_responses.testing import Conversation
from pipecat_responses.transport.channel import Tap
from pipecat_responses.transport.outbox import Outbox
from pipecat_responses.transport.websocket import Socket
from tests.support.services import websocket_service
from tests.support.waiting import eventually

pytestmark = pytest.mark.clear_and_tls

KEY = "sk-never-sent-elsewhere"
HEADERS = {"Authorization": f"Bearer {KEY}", "OpenAI-Organization": "org-secret"}


class Ear:
    """A receiver that keeps all it hears."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.errors: list[ResponsesError] = []
        self.lost: list[ResponsesError] = []

    def on_open(self) -> None:
        pass

    def on_event(self, stream_id: str | None, event: Event) -> None:
        assert isinstance(event, TextDelta)
        self.texts.append(event.text)

    def on_undecodable(self, error: ResponsesError) -> None:
        self.errors.append(error)

    def on_lost(self, error: ResponsesError) -> None:
        self.lost.append(error)


def delta(text: str) -> str:
    return f'{{"type": "response.output_text.delta", "item_id": "m", "delta": "{text}"}}'


@asynccontextmanager
async def talking(
    handler: Callable[[ServerConnection], Awaitable[None]], ear: Ear, outbox: Outbox
) -> AsyncIterator[Socket]:
    async with serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        socket = await Socket.open(f"ws://127.0.0.1:{port}/", HEADERS, ear, outbox)
        try:
            yield socket
        finally:
            await socket.close()


@pytest.fixture
def passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that gets at its messages without asking the tap."""
    monkeypatch.delattr(Tap, "events_received")


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    heard: list[str] = []
    sink = logger.add(lambda message: heard.append(str(message)), level="WARNING")
    yield heard
    logger.remove(sink)


async def speak(websocket: ServerConnection) -> None:
    await websocket.send(delta("one"))
    await websocket.send(["", delta("t"), ""])
    await websocket.send(delta("wo").encode())
    await websocket.send("no event")
    parts = delta("three")
    await websocket.send([parts[:20], parts[20:30], parts[30:]])
    await websocket.wait_closed()


async def test_messages_come_by_the_tap(warnings: list[str]) -> None:
    ear = Ear()
    async with talking(speak, ear, Outbox()):
        await eventually(lambda: len(ear.texts) == 4)
    assert ear.texts == ["one", "t", "wo", "three"]
    assert len(ear.errors) == 1
    assert [error.failure for error in ear.lost] == [Failure.CLOSED]
    assert warnings == []


@pytest.mark.usefixtures("passed_by")
async def test_a_library_that_passes_the_tap_by_is_named_and_works(warnings: list[str]) -> None:
    ear = Ear()
    async with talking(speak, ear, Outbox()):
        await eventually(lambda: len(ear.texts) == 4)
    assert ear.texts == ["one", "t", "wo", "three"]
    assert len(ear.errors) == 1
    [warning] = warnings
    assert "websockets 1" in warning
    assert "in another way than the versions this was tried with" in warning


@pytest.mark.usefixtures("passed_by")
async def test_a_conversation_goes_on_where_the_tap_is_passed_by(
    sandbox: Sandbox, warnings: list[str]
) -> None:
    async with Conversation(websocket_service(sandbox)) as talk:
        assert (await talk.say("hello")).startswith('You said: "hello"')
        assert await talk.say("hello again")
        assert not talk.errors
    assert len(warnings) == sandbox.connections_opened == 1


async def test_what_was_posted_before_it_opened_leaves() -> None:
    heard: list[str | bytes] = []

    async def listen(websocket: ServerConnection) -> None:
        heard.extend([message async for message in websocket])

    outbox = Outbox()
    early = outbox.post(Payload(((b"early",),), 5))
    async with talking(listen, Ear(), outbox):
        await eventually(lambda: early.written)
        long = outbox.post(Payload(((b"x" * 500_000,),), 500_000))
        await eventually(lambda: long.written)
    await eventually(lambda: heard == ["early", "x" * 500_000])
    assert not outbox.take_back(early)
    assert outbox.take_back(outbox.post(Payload(((b"late",),), 4)))


async def test_the_servers_end_is_told_once_and_closes_the_outbox() -> None:
    async def end(websocket: ServerConnection) -> None:
        await websocket.send(delta("last"))
        await websocket.close(1012, "restart")

    ear, outbox = Ear(), Outbox()
    async with talking(end, ear, outbox) as socket:
        await eventually(lambda: socket.lost is not None)
        assert await outbox.next() is None
    assert ear.texts == ["last"]
    [error] = ear.lost
    assert str(error) == "The server closed the connection (code 1012: restart)"


async def test_nothing_is_left_of_a_closed_socket_without_the_collector() -> None:
    async def wait(websocket: ServerConnection) -> None:
        await websocket.wait_closed()

    ear, outbox = Ear(), Outbox()
    async with talking(wait, ear, outbox) as socket:
        gc.disable()
        left = weakref.ref(socket)
    try:
        del socket
        await eventually(lambda: left() is None)
    finally:
        gc.enable()


@asynccontextmanager
async def redirecting() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that sends everybody elsewhere, and what arrives there."""
    arrived: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(b"")
        arrived.append(await reader.read())
        writer.close()

    # Closed without waiting for a connection that the library leaves to the garbage collector.
    with closing(await asyncio.start_server(elsewhere, "127.0.0.1", 0)) as other:
        place = other.sockets[0].getsockname()[1]
        answer = b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:%d/\r\n" % place

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer + b"Content-Length: 0\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(redirect, "127.0.0.1", 0) as server:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", arrived


async def test_a_redirect_is_a_refusal() -> None:
    async with redirecting() as (url, arrived):
        with pytest.raises(ResponsesError, match="refused the connection with status 302") as told:
            await Socket.open(url, HEADERS, Ear(), Outbox())
        assert told.value.status == 302
        assert arrived == []


@pytest.mark.usefixtures("passed_by")
async def test_no_redirect_gets_the_key_even_where_the_tap_is_passed_by() -> None:
    async with redirecting() as (url, arrived):
        with pytest.raises(ResponsesError, match="refused the connection with status 302"):
            await Socket.open(url, HEADERS, Ear(), Outbox())
        await asyncio.sleep(0.05)
        assert b"".join(arrived) == b""
