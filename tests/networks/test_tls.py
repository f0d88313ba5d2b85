"""One TLS context for a process, made off the event loop, and services that bring their own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from pipecat_responses import (
    OpenAIResponsesHttpLLMService,
    OpenAIResponsesLLMService,
    TurnLimits,
)
from pipecat_responses.protocol.errors import ConnectionLostError
from pipecat_responses.sandbox import Answer, Call, Sandbox
from pipecat_responses.testing import Conversation
from pipecat_responses.transport import tls
from pipecat_responses.transport.connectors import CONNECTORS
from pipecat_responses.transport.tls import TlsContexts
from pipecat_responses.transport.turnstile import HANDSHAKES
from tests.faults.support import Talk, counted, talking
from tests.support.services import SERVICES, websocket_service

ONCE = TurnLimits(attempts=1)


@pytest_asyncio.fixture
async def secure() -> AsyncIterator[Sandbox]:
    """A server over TLS."""
    async with Sandbox(tls=True) as server:
        yield server


def trusting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: bytes | None) -> None:
    """The environment names an authority."""
    assert authority is not None
    file = tmp_path / "authority.pem"
    file.write_bytes(authority)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


@pytest.mark.parametrize("transport", SERVICES)
async def test_a_call_of_twelve_turns(secure: Sandbox, transport: Any) -> None:
    assert secure.base_url.startswith("https://")
    assert secure.ws_url.startswith("wss://")
    async with talking(secure, transport, tools=True) as talk:
        for number in range(4):
            assert (await talk.turn(f"count to {number + 3}")).text == counted(number + 3)
            heard = await talk.turn("Please call note.", ends=2)
            assert heard.text == 'note says "note done".'
            await interrupted(talk, secure)
        assert talk.errors == []
        if transport == "websocket":
            assert talk.llm.stats.full == 1
            assert {each.transport for each in secure.requests} == {"websocket"}


async def interrupted(talk: Talk, sandbox: Sandbox) -> None:
    sandbox.config.tokens_per_second = 300
    await talk.start("count to 50")
    await talk.text_arrives(3)
    await talk.interrupt()
    sandbox.config.tokens_per_second = None


@pytest.mark.parametrize("transport", SERVICES)
async def test_the_environment_names_the_authority(
    secure: Sandbox, transport: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trusting(monkeypatch, tmp_path, secure.authority)
    llm = SERVICES[transport](secure, ssl_context=None)
    async with Conversation(llm) as talk:
        assert await talk.say("count to 3") == counted(3)
        assert talk.errors == []


@pytest.mark.parametrize("transport", SERVICES)
async def test_an_authority_that_nobody_knows(secure: Sandbox, transport: Any) -> None:
    llm = SERVICES[transport](secure, ssl_context=None, turn_limits=ONCE)
    async with Conversation(llm) as talk:
        assert await talk.say("hello") == ""
        (error,) = talk.errors
        assert "No secure connection to" in error.error
        assert "its certificate is not trusted" in error.error


@pytest.mark.parametrize("transport", SERVICES)
async def test_a_file_that_is_not_there(
    secure: Sandbox, transport: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    llm = SERVICES[transport](secure, ssl_context=None, turn_limits=ONCE)
    async with Conversation(llm) as talk:
        assert await talk.say("hello") == ""
        (error,) = talk.errors
        assert "check SSL_CERT_FILE" in error.error
        trusting(monkeypatch, tmp_path, secure.authority)
        assert await talk.say("count to 3") == counted(3)


async def test_many_services_share_one_context(
    secure: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[int] = []

    def build() -> ssl.SSLContext:
        made.append(threading.get_ident())
        return httpx2.create_ssl_context()

    monkeypatch.setattr(tls, "SHARED", TlsContexts(build))
    trusting(monkeypatch, tmp_path, secure.authority)
    services = [SERVICES[name](secure, ssl_context=None) for name in SERVICES for _ in range(5)]
    talks = [Conversation(llm) for llm in services]
    for talk in talks:
        await talk.__aenter__()
    assert await asyncio.gather(*(talk.say("count to 3") for talk in talks)) == [counted(3)] * 10
    secure.cut()
    assert await asyncio.gather(*(talk.say("count to 4") for talk in talks)) == [counted(4)] * 10
    for talk in talks:
        await talk.end()
    assert len(made) == 1
    assert made[0] != threading.get_ident()


async def test_one_that_waits_may_be_cancelled() -> None:
    gate = threading.Event()

    def build() -> ssl.SSLContext:
        gate.wait(5)
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    contexts = TlsContexts(build)
    first, second = (asyncio.create_task(contexts.get()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert isinstance(await second, ssl.SSLContext)
    assert first.cancelled() or first.done()
    assert await contexts.get() is await second


async def test_what_cannot_be_made_is_made_the_next_time() -> None:
    failures = [OSError("no such file"), ValueError("nonsense")]

    def build() -> ssl.SSLContext:
        if failures:
            raise failures.pop()
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    contexts = TlsContexts(build)
    for _ in range(2):
        with pytest.raises(ConnectionLostError, match="SSL_CERT_FILE"):
            await contexts.get()
    assert isinstance(await contexts.get(), ssl.SSLContext)


async def test_the_loop_is_free_meanwhile(secure: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    making = threading.Event()
    own = secure.ssl_context
    assert own is not None

    def build() -> ssl.SSLContext:
        making.set()
        assert gate.wait(5)
        return own

    monkeypatch.setattr(tls, "SHARED", TlsContexts(build))
    async with Conversation(SERVICES["websocket"](secure, ssl_context=None)) as talk:
        assert making.wait(5)
        # The pipeline works while the authorities are read.
        await talk.settle()
        gate.set()
        assert await talk.say("count to 3") == counted(3)


# -- a client of the application's --------------------------------------------------------------

Make = Callable[..., Any]
BOTH: tuple[Make, ...] = (OpenAIResponsesLLMService, OpenAIResponsesHttpLLMService)


@pytest.mark.parametrize("make", BOTH)
async def test_a_client_brings_key_address_and_connections(secure: Sandbox, make: Make) -> None:
    context = secure.ssl_context
    assert context is not None
    async with httpx2.AsyncClient(verify=context) as below:
        client = AsyncOpenAI(
            api_key="sk-of-the-client",
            base_url=secure.base_url,
            default_headers={"x-team": "voice"},
            http_client=below,
        )
        llm = make(client=client, ssl_context=context)
        async with Conversation(llm) as talk:
            secure.script(Answer([Call("look")]), "Hello there.")
            assert await talk.say("Hello.", ends=1) is not None
            assert talk.errors == []
        seen = secure.handshakes[0] if secure.handshakes else secure.requests[0]
        assert seen.headers["x-team"] == "voice"
        assert seen.headers["authorization"].endswith("ient")
        # It is not the service's to close.
        assert (await client.models.list()).data


@pytest.mark.parametrize("make", BOTH)
async def test_a_clients_key_may_change(sandbox: Sandbox, make: Make) -> None:
    keys = iter(["sk-key-0001", "sk-key-0002", "sk-key-0003", "sk-key-0004"])

    async def key() -> str:
        return next(keys)

    client = AsyncOpenAI(api_key=key, base_url=sandbox.base_url)
    async with Conversation(make(client=client)) as talk:
        assert await talk.say("count to 3") == counted(3)
        sandbox.cut()
        assert await talk.say("count to 4") == counted(4)
    seen = [each.headers["authorization"] for each in sandbox.handshakes or sandbox.requests]
    assert len(set(seen)) == len(seen) == 2
    await client.close()


@pytest.mark.parametrize("make", BOTH)
def test_a_client_is_not_to_be_contradicted(make: Make) -> None:
    client = AsyncOpenAI(api_key="sk-x")
    with pytest.raises(ValueError, match="api_key, project"):
        make(client=client, api_key="sk-y", project="p")
    with pytest.raises(TypeError, match="AsyncOpenAI"):
        make(client="https://example.com")


async def test_a_connection_sets_little_space_aside(secure: Sandbox) -> None:
    """It is 256 kB in asyncio; and a large message comes through all the same."""
    llm = websocket_service(secure)
    words = "tea" * 100_000
    async with Conversation(llm, tts=None) as talk:
        secure.script(words)
        assert await talk.say("hello") == words
        (member,) = llm._session._pool.usable
        transport: Any = member.socket._channel._below
        protocol = transport._ssl_protocol
        assert len(protocol._ssl_buffer) == protocol.max_size == tls.READ_AT_ONCE


async def test_services_share_what_is_idle_over_http(
    secure: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    handshakes: list[int] = []
    enter = HANDSHAKES.enter

    async def counting() -> None:
        handshakes.append(1)
        await enter()

    monkeypatch.setattr(HANDSHAKES, "enter", counting)
    one, other = (SERVICES["http"](secure) for _ in range(2))
    async with Conversation(one) as talk:
        assert await talk.say("count to 3") == counted(3)
        async with Conversation(other) as beside:
            assert await beside.say("count to 4") == counted(4)
        # Closed with the last that uses it, not before.
        assert await talk.say("count to 5") == counted(5)
    assert len(handshakes) == 1
    assert not CONNECTORS._of_loops.get(asyncio.get_running_loop())
