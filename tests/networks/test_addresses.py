"""Addresses that lead nowhere are told apart; IPv6, several addresses, redirects, and keys."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import trustme
from openai import AsyncOpenAI, DefaultAioHttpClient
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.utils.errors import ErrorCategory

from pipecat_responses import ConnectionLimits, OpenAIResponsesHttpLLMService, TurnLimits
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.sandbox import Sandbox
from pipecat_responses.service.secrets import Secrets
from tests.faults.support import KEY, Talk, counted, new_service, talking, until
from tests.support.events import told
from tests.support.failing import TRANSPORTS, failing, said

BOTH = pytest.mark.parametrize("transport", TRANSPORTS)
SOON = {"open_secs": 0.2}


@dataclass
class Place:
    """An address and what a client has to trust there."""

    host: str
    port: int
    secure: bool = False
    ssl_context: ssl.SSLContext | None = None

    @property
    def base_url(self) -> str:
        return f"http{'s' if self.secure else ''}://{self.host}:{self.port}/v1"

    @property
    def ws_url(self) -> str:
        return f"ws{'s' if self.secure else ''}://{self.host}:{self.port}/v1/responses"


@contextmanager
def full(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port where connections neither open nor are refused."""
    with socket.socket() as listening:
        listening.bind((host, port))
        listening.listen(0)
        taken = []
        try:
            for _ in range(3):
                client = socket.socket()
                taken.append(client)
                client.setblocking(False)
                client.connect_ex(listening.getsockname())
            yield listening.getsockname()[1]
        finally:
            for client in taken:
                client.close()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, **kwargs: Any) -> AsyncIterator[int]:
    with closing(await asyncio.start_server(handler, "127.0.0.1", 0, **kwargs)) as server:
        yield server.sockets[0].getsockname()[1]


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


# -- told apart -----------------------------------------------------------------------------------


async def test_nobody_is_there() -> None:
    port = free_port()
    error = await said(Place("127.0.0.1", port, secure=True))
    assert error.failure is Failure.CONNECTION
    assert f"Nothing answers at 127.0.0.1:{port}" in error.message


async def test_nobody_is_at_any_address_of_a_name() -> None:
    port = free_port()
    error = await said(Place("localhost", port))
    assert error.failure is Failure.CONNECTION
    assert f"Nothing answers at localhost:{port}" in error.message


async def test_a_name_that_nobody_has() -> None:
    error = await said(Place("nobody.invalid", 443, secure=True))
    assert error.failure is Failure.CONNECTION
    assert "The name of nobody.invalid:443 cannot be resolved" in error.message


async def test_what_may_be_secret_in_an_address_is_not_told() -> None:
    port = free_port()

    class Secretive(Place):
        ws_url = f"ws://127.0.0.1:{port}/v1/responses?code=a-secret-of-mine"
        base_url = f"http://127.0.0.1:{port}/v1"

    error = await said(Secretive("127.0.0.1", port))
    assert "secret" not in error.message


async def test_no_certificate_that_is_trusted() -> None:
    async with Sandbox(tls=True) as server, Sandbox(tls=True) as other:
        error = await said(server, ssl_context=other.ssl_context)
        assert error.failure is Failure.CONNECTION
        assert f"No secure connection to 127.0.0.1:{server.port}: its" in error.message
        assert "is not trusted" in error.message
        assert "ssl_context=" in error.message


@pytest.mark.parametrize(
    ("names", "expires", "expected"),
    [
        (["other.test"], None, "is another's"),
        (["127.0.0.1"], datetime.datetime(2020, 1, 1), "is not valid at this time"),
    ],
)
async def test_a_certificate_that_does_not_fit(
    names: list[str], expires: datetime.datetime | None, expected: str
) -> None:
    authority = trustme.CA()
    server, client = (ssl.SSLContext(each) for each in (_SERVER, _CLIENT))
    authority.issue_cert(*names, not_after=expires).configure_cert(server)
    authority.configure_trust(client)
    async with serving(silent, ssl=server) as port:
        error = await said(Place("127.0.0.1", port, secure=True, ssl_context=client))
    assert error.failure is Failure.CONNECTION
    assert f"No secure connection to 127.0.0.1:{port}: its certificate {expected}" in error.message


_SERVER, _CLIENT = ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT


async def test_no_tls_at_all(sandbox: Sandbox) -> None:
    error = await said(Place("127.0.0.1", sandbox.port, secure=True))
    assert error.failure is Failure.CONNECTION
    assert f"No secure connection to 127.0.0.1:{sandbox.port}: " in error.message
    assert "check that TLS is spoken there" in error.message


async def test_a_connection_that_does_not_open() -> None:
    with full() as port:
        error = await said(Place("127.0.0.1", port), connections=SOON)
    assert error.failure is Failure.TIMEOUT
    assert f"No connection to 127.0.0.1:{port} within 0.2 s" in error.message


async def test_no_answer_to_tls() -> None:
    async with serving(silent) as port:
        error = await said(Place("127.0.0.1", port, secure=True), connections=SOON)
    assert error.failure is Failure.TIMEOUT
    assert f"No connection to 127.0.0.1:{port} within 0.2 s" in error.message


@BOTH
async def test_no_answer_at_all(transport: Any) -> None:
    async with serving(silent) as port:
        place = Place("127.0.0.1", port)
        async with failing(place, transport, connections=SOON) as (talk, timeouts):
            (report,) = (await talk.turn("count to 3")).errors
            assert isinstance(report.exception, ResponsesError)
            assert report.exception.failure is Failure.TIMEOUT
            assert len(timeouts) == 1


@pytest.mark.parametrize("below", [httpx2.AsyncClient, DefaultAioHttpClient])
async def test_a_client_of_the_applications_says_the_same(below: Any) -> None:
    async def of_a_client(base_url: str) -> ResponsesError:
        async with below(verify=ssl.SSLContext(_CLIENT)) as http:
            client = AsyncOpenAI(api_key=KEY, base_url=base_url, http_client=http)
            limits = ConnectionLimits(open_secs=0.2)
            llm = OpenAIResponsesHttpLLMService(
                client=client, connection_limits=limits, turn_limits=TurnLimits(attempts=1)
            )
            with pytest.raises(ResponsesError) as raised:
                await llm.run_inference(LLMContext([{"role": "user", "content": "Hello."}]))
            await llm.cleanup()
            return raised.value

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    port = free_port()
    error = await of_a_client(f"http://127.0.0.1:{port}/v1")
    assert error.failure is Failure.CONNECTION
    assert f"Nothing answers at 127.0.0.1:{port}" in error.message
    error = await of_a_client("https://nobody.invalid/v1")
    assert error.failure is Failure.CONNECTION
    assert "The name of nobody.invalid:443 cannot be resolved" in error.message
    async with Sandbox(tls=True) as server:
        error = await of_a_client(server.base_url)
        assert "its certificate is not trusted" in error.message
    with full() as port:
        error = await of_a_client(f"http://127.0.0.1:{port}/v1")
        assert error.failure is Failure.TIMEOUT
        assert f"No connection to 127.0.0.1:{port} within 0.2 s" in error.message
    async with serving(hang_up) as port:
        error = await of_a_client(f"http://127.0.0.1:{port}/v1")
        assert error.failure is Failure.CONNECTION
        assert f"The connection to 127.0.0.1:{port} failed" in error.message


# -- IPv6, and names with several addresses -------------------------------------------------------


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_ipv6() -> None:
    async with Sandbox(host="::1", tls=True) as server:
        for transport in TRANSPORTS:
            async with talking(server, transport) as talk:  # type: ignore[arg-type]
                heard = await talk.turn("count to 3")
                assert (heard.text, heard.errors) == (counted(3), [])
        assert "[::1]" in server.base_url
    error = await said(server)
    assert f"Nothing answers at [::1]:{server.port}" in error.message


@BOTH
async def test_a_dead_address_of_a_name_is_not_waited_for(
    sandbox: Sandbox, transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def two(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "both.localhost":
            return look_up(host, port, *args, **kwargs)
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (each, int(port))) for each in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    with full("127.0.0.2", sandbox.port):
        # As long as one may wait for a connection: the dead address alone would take all of it.
        limits = {"connections": {"open_secs": 5.0}, "limits": {"attempts": 1, "begin_secs": 5.0}}
        place = Place("both.localhost", sandbox.port)
        async with talking(place, transport, **limits) as talk:  # type: ignore[arg-type]
            heard = await talk.turn("count to 3")
            assert (heard.text, heard.errors) == (counted(3), [])
            assert talk.llm.stats.retries == 0


# -- redirects ------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("status", "clients"), [(301, False), (302, True), (307, False), (308, True)]
)
async def test_a_redirect_carries_nothing_elsewhere(
    transport: Any, status: int, clients: bool
) -> None:
    arrived: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(await reader.read(1))
        writer.close()

    async with serving(elsewhere) as other:

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 {status} Elsewhere\r\nLocation: http://127.0.0.1:{other}/v1\r\n"
            writer.write(f"{head}Content-Length: 0\r\n\r\n".encode())
            await writer.drain()
            writer.close()

        async with serving(redirect) as port:
            place = Place("127.0.0.1", port)
            async with AsyncOpenAI(api_key=KEY, base_url=place.base_url) as client:
                own: dict[str, Any] = {"client": client, "api_key": None, "base_url": None}
                async with failing(place, transport, **(own if clients else {})) as (
                    talk,
                    timeouts,
                ):
                    report = (await talk.turn("count to 3")).errors[-1]
                    assert isinstance(report.exception, ResponsesError)
                    assert report.exception.failure is Failure.ENDPOINT
                    assert f"{status}, a redirect" in report.error
                    assert timeouts == []
    assert arrived == []


# -- what gives the key ---------------------------------------------------------------------------

NOT_TO_BE_TOLD = "key-0123456789-not-to-be-told"


async def hangs() -> Any:
    await asyncio.Event().wait()


async def fails() -> Any:
    raise RuntimeError(f"no use for {NOT_TO_BE_TOLD}")


async def is_cancelled() -> Any:
    raise asyncio.CancelledError


async def refused() -> Any:
    raise ConnectionRefusedError(111, NOT_TO_BE_TOLD)


def gives(value: Any) -> Callable[[], Awaitable[Any]]:
    async def give() -> Any:
        return value

    return give


BAD = {
    "hangs": hangs,
    "fails": fails,
    "is cancelled": is_cancelled,
    "is refused": refused,
    "None": gives(None),
    "bytes": gives(NOT_TO_BE_TOLD.encode()),
    "nothing": gives(""),
    "a line": gives(f"{NOT_TO_BE_TOLD}\n"),
}


class Source:
    """Gives keys, in one way or another."""

    def __init__(self) -> None:
        self.give: Callable[[], Awaitable[Any]] = gives(KEY)

    async def __call__(self) -> Any:
        return await self.give()


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_key_has_one_error(name: str) -> None:
    secrets = Secrets()
    source = secrets.guard(BAD[name], 0.05)
    assert not isinstance(source, str)
    with pytest.raises(ResponsesError, match="api_key") as told_:
        await source()
    assert told_.value.failure is Failure.NO_KEY
    assert NOT_TO_BE_TOLD not in str(told_.value)


async def test_a_turn_that_is_interrupted_is_no_bad_key() -> None:
    source = Secrets().guard(hangs, 5.0)
    assert not isinstance(source, str)
    asking = asyncio.ensure_future(source())
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


@BOTH
@pytest.mark.parametrize(
    ("name", "clients"),
    [("hangs", False), ("fails", False), ("a line", False), ("hangs", True), ("bytes", True)],
)
async def test_a_bad_key_costs_a_turn(
    sandbox: Sandbox, transport: Any, name: str, clients: bool
) -> None:
    source = Source()
    source.give = BAD[name]
    async with AsyncOpenAI(api_key=source, base_url=sandbox.base_url) as client:
        own: dict[str, Any] = {"client": client, "api_key": None, "base_url": None}
        chosen: dict[str, Any] = own if clients else {"api_key": source}
        if name == "hangs":
            chosen["connections"] = SOON
        async with failing(sandbox, transport, **chosen) as (talk, timeouts):
            heard = await talk.turn("count to 3")
            (report,) = heard.errors
            assert report.category is ErrorCategory.APPLICATION
            assert isinstance(report.exception, ResponsesError)
            assert report.exception.failure is Failure.NO_KEY
            assert "api_key" in report.error
            assert NOT_TO_BE_TOLD not in f"{report.error} {report.exception!r}"
            assert heard.text == ""
            assert timeouts == []
            assert talk.llm.is_usable
            assert not sandbox.requests
            source.give = gives(KEY)
            heard = await talk.turn("count to 4")
            assert (heard.text, heard.errors) == (counted(4), [])
            assert {each.transport for each in sandbox.requests} == {transport}


@BOTH
async def test_a_source_that_fails_once_costs_nothing(sandbox: Sandbox, transport: Any) -> None:
    source = Source()

    async def fails_once() -> Any:
        source.give = gives(KEY)
        raise RuntimeError

    source.give = fails_once
    async with failing(sandbox, transport, api_key=source) as (talk, _):
        heard = await talk.turn("count to 3")
        assert (heard.text, heard.errors) == (counted(3), [])


@pytest.mark.parametrize("name", ["hangs", "fails", "nothing"])
async def test_a_bad_key_at_a_reconnect_while_nobody_speaks(sandbox: Sandbox, name: str) -> None:
    source = Source()
    connections = SOON if name == "hangs" else {}
    llm = new_service(sandbox, "websocket", api_key=source, connections=connections)
    failed = told(llm, "on_connection_error")
    async with Talk(llm) as talk:
        assert (await talk.turn("count to 3")).text == counted(3)
        source.give = BAD[name]
        sandbox.cut()
        assert "api_key" in await failed.get()
        source.give = gives(KEY)
        await until(lambda: sandbox.connections == 1)
        heard = await talk.turn("count to 4")
        assert (heard.text, heard.errors) == (counted(4), [])
        assert talk.errors == []
