"""A socket and what it takes from the WebSocket library."""

from __future__ import annotations

import asyncio
import gc
import struct
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from socket import SO_LINGER, SOL_SOCKET

import pytest
from loguru import logger
from websockets.asyncio.server import ServerConnection, serve

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.events import Event, TextDelta
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.requests import Payload
from pipecat_responses.sandbox import Sandbox
from pipecat_responses.sandbox.certificates import Certificates
from pipecat_responses.testing import Conversation
from pipecat_responses.transport.channel import WRITE_LIMIT, Tap, open_channel
from pipecat_responses.transport.outbox import Outbox, QueuedMessage
from pipecat_responses.transport.tls import TlsSettings
from pipecat_responses.transport.websocket import FRAGMENTED_FROM, Socket, SocketOptions
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
    handler: Callable[[ServerConnection], Awaitable[None]],
    ear: Ear,
    outbox: Outbox,
    certificates: Certificates | None = None,
) -> AsyncIterator[Socket]:
    encrypted = None if certificates is None else certificates.server_context
    trusts = None if certificates is None else certificates.client_context
    async with serve(handler, "127.0.0.1", 0, ssl=encrypted) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"ws{'s' if encrypted else ''}://127.0.0.1:{port}/"
        options = SocketOptions(tls=TlsSettings(trusts))
        socket = await Socket.open(url, HEADERS, ear, outbox, options)
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


@pytest.mark.parametrize(
    ("linger", "how"),
    [
        (True, "it was reset by the other side"),
        (False, "the other side ended it without a closing"),
    ],
)
async def test_how_a_connection_broke_off_is_said(linger: bool, how: str) -> None:
    async def break_off(websocket: ServerConnection) -> None:
        if linger:
            # What is closed without lingering is reset.
            sock = websocket.transport.get_extra_info("socket")
            sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        websocket.transport.abort()

    ear = Ear()
    async with talking(break_off, ear, Outbox()):
        await eventually(lambda: bool(ear.lost))
    [error] = ear.lost
    assert str(error).startswith(f"The connection to the server broke off: {how}")


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


# -- what leaves in the step of whoever posts it --------------------------------------------------


@pytest.fixture(params=[False, True], ids=["clear", "tls"])
def certificates(request: pytest.FixtureRequest) -> Certificates | None:
    return Certificates() if request.param else None


class Listener:
    """A server that keeps what it hears, and can be made to stop reading."""

    def __init__(self) -> None:
        self.heard: list[str | bytes] = []
        self.reads = asyncio.Event()
        self.reads.set()

    async def __call__(self, websocket: ServerConnection) -> None:
        await self.reads.wait()
        async for message in websocket:
            self.heard.append(message)


def text(message: str) -> Payload:
    data = message.encode()
    return Payload(((data,),), len(data))


async def step_until(condition: Callable[[], bool]) -> None:
    """Goes on step by step of the event loop, so that nothing is missed."""
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("It did not come to pass")


async def test_small_messages_leave_at_once(certificates: Certificates | None) -> None:
    outbox, listener = Outbox(), Listener()
    async with talking(listener, Ear(), outbox, certificates):
        posted = [outbox.post(text(f"number {n}"), background=n % 2 == 1) for n in range(5)]
        assert all(message.written for message in posted)
        assert not any(map(outbox.take_back, posted))
        await eventually(lambda: len(listener.heard) == 5)
    assert listener.heard == [f"number {n}" for n in range(5)]


@pytest.mark.usefixtures("passed_by", "warnings")
async def test_they_do_where_the_tap_is_passed_by() -> None:
    outbox, listener = Outbox(), Listener()
    async with talking(listener, Ear(), outbox):
        assert outbox.post(text("hello")).written
        await eventually(lambda: listener.heard == ["hello"])


async def test_what_is_posted_from_within_an_event_leaves_at_once() -> None:
    posted: list[QueuedMessage] = []
    outbox = Outbox()

    class Answering(Ear):
        def on_event(self, stream_id: str | None, event: Event) -> None:
            super().on_event(stream_id, event)
            posted.append(outbox.post(text(f"heard {self.texts[-1]}")))
            assert posted[-1].written

    heard: list[str | bytes] = []

    async def ask(websocket: ServerConnection) -> None:
        for word in ("one", "two"):
            await websocket.send(delta(word))
            # Its answer is to go out as well, and not in the middle of another frame.
            await websocket.ping()
        heard.extend([await websocket.recv(), await websocket.recv()])
        await websocket.wait_closed()

    async with talking(ask, Answering(), outbox):
        await eventually(lambda: len(heard) == 2)
    assert heard == ["heard one", "heard two"]
    assert len(posted) == 2


async def test_nothing_overtakes_a_large_message(certificates: Certificates | None) -> None:
    outbox, listener = Outbox(), Listener()
    async with talking(listener, Ear(), outbox, certificates):
        large = outbox.post(text("x" * 3 * FRAGMENTED_FROM))
        small = outbox.post(text("small"))
        never = outbox.post(text("never"))
        assert not any(message.started for message in (large, small, never))
        await step_until(lambda: large.started)
        # Now its fragments are being written.
        aside = outbox.post(text("aside"), background=True)
        assert not large.written
        assert not any(message.started for message in (small, aside))
        assert outbox.take_back(never)
        await eventually(lambda: aside.written)
        assert outbox.post(text("at once")).written
        await eventually(lambda: len(listener.heard) == 4)
    assert listener.heard == ["x" * 3 * FRAGMENTED_FROM, "small", "aside", "at once"]


async def test_a_socket_that_is_full_is_waited_for(certificates: Certificates | None) -> None:
    outbox, listener = Outbox(), Listener()
    listener.reads.clear()
    block = "x" * (WRITE_LIMIT // 2)
    async with talking(listener, Ear(), outbox, certificates) as socket:
        written = 0
        while outbox.post(text(block)).written:
            written += 1
            # Far more than the system takes without anybody who reads.
            assert written < 10_000
            await asyncio.sleep(0)
        # One stands half-way, and whoever comes now stands behind it.
        behind, never = outbox.post(text("behind")), outbox.post(text("never"))
        assert not behind.started
        assert outbox.take_back(never)
        assert socket.lost is None
        listener.reads.set()
        await eventually(lambda: behind.written)
        assert outbox.post(text("at once")).written
        await eventually(lambda: listener.heard[-1:] == ["at once"])
    assert listener.heard == [*([block] * (written + 1)), "behind", "at once"]


async def test_what_ends_a_socket_ends_writing_at_once() -> None:
    outbox, ear, listener = Outbox(), Ear(), Listener()
    async with talking(listener, ear, outbox) as socket:
        assert outbox.post(text("before")).written
        await eventually(lambda: listener.heard == ["before"])
        socket.abort(ResponsesError("That is enough", failure=Failure.CONNECTION))
        late = outbox.post(text("late"))
        assert outbox.take_back(late)
    assert listener.heard == ["before"]
    assert len(ear.lost) == 1


async def test_a_channel_that_is_closing_takes_nothing() -> None:
    async def wait(websocket: ServerConnection) -> None:
        await websocket.wait_closed()

    async with serve(wait, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        closed = await open_channel(url, HEADERS, max_size=1000)
        assert closed.takes(WRITE_LIMIT // 2)
        assert not closed.takes(WRITE_LIMIT)
        closing = asyncio.create_task(closed.close())
        await asyncio.sleep(0)
        assert not closed.takes(1)
        await closing
        aborted = await open_channel(url, HEADERS, max_size=1000)
        aborted.abort()
        assert not aborted.takes(1)
        await aborted.wait_closed()


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
