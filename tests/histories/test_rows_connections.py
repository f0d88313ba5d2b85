"""Inputs that once failed: connections, handshakes, keys and addresses."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.utils.errors import ErrorCategory

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure
from tests.histories.meaning import Wire, said
from tests.histories.rows import BOTH
from tests.histories.server import PROPER, ScriptedServer
from tests.histories.stage import Heard, Stage, service, stage
from tests.histories.steps import (
    Answer,
    Close,
    Elapse,
    Reset,
    Silence,
    Step,
    changed,
    error,
    only,
)
from tests.support.hurry import Transport

STORY = "Once upon a time there was a king."
WAITS = [Silence()]


def failure_of(heard: Heard) -> ResponsesError:
    """The one error that was reported."""
    (reported,) = heard.errors
    assert isinstance(reported.exception, ResponsesError)
    return reported.exception


# -- connections that end ---------------------------------------------------------------------


@pytest.mark.parametrize("end", [Close(1013), Reset()], ids=["1013", "eof"])
async def test_row_1_a_server_that_hangs_up_at_once_is_not_called_for_ever(end: Step) -> None:
    def prepare(server: ScriptedServer) -> None:
        server.greeting = [end]

    async with stage("websocket", prepare=prepare, limits={"total_secs": 0.6}) as talk:
        await talk.start("Hello.")
        ended = asyncio.create_task(talk.said.until(lambda: talk.ends > 0, 3.0))
        many = asyncio.create_task(talk.server.until(lambda: talk.server.opened > 100, 3.0))
        try:
            await asyncio.wait({ended, many}, return_when=asyncio.FIRST_COMPLETED)
            assert talk.server.opened <= 100, "it is called for ever"
            await ended
        finally:
            many.cancel()
        assert len(talk.errors) == 1


@pytest.mark.parametrize("pause", [0.0, 0.01])
async def test_row_1_a_refusal_at_once_is_reported_once(pause: float) -> None:
    def prepare(server: ScriptedServer) -> None:
        server.admission = "turn waits"
        server.greeting = [Elapse(pause), Close(1008)]

    async with stage("websocket", prepare=prepare, limits={"total_secs": 0.6}) as talk:
        await talk.start("Hello.")
        await talk.said.until(lambda: talk.starts > 0)
        talk.server.opens("turn waits")
        heard = await talk.finish()
        assert len(heard.errors) == 1
        assert talk.server.opened <= 20


async def test_row_17_a_request_that_is_too_large_is_not_sent_again_and_again() -> None:
    def judge(asked: Any) -> Answer | None:
        return only(Close(1009)) if asked.transport == "websocket" else None

    def prepare(server: ScriptedServer) -> None:
        server.judge = judge

    async with stage("websocket", prepare=prepare) as talk:
        heard = await talk.turn()
        assert len(heard.asked) <= 2
        assert talk.server.opened <= 3
        assert heard.text == PROPER or len(heard.errors) == 1


async def test_row_25_responses_that_never_end_are_given_up() -> None:
    def stop(events: list[Wire]) -> list[Wire | Step]:
        return [*events[:8], Silence()]

    endless = changed(said(STORY), stop)
    async with stage("websocket", *[endless] * 40) as talk:
        for _ in range(40):
            await talk.start("Tell me a story.")
            await talk.text_arrives()
            await talk.interrupt()
        assert (await talk.turn("Enough.")).text == PROPER
        # One to use, one to spare: as many as a server without lanes is given.
        await talk.server.until(lambda: talk.server.open <= 2, 1.5)


async def test_row_44_data_is_a_sign_of_life_where_pings_are_not_answered() -> None:
    def slow(events: list[Wire]) -> list[Wire | Step]:
        return [each for event in events for each in (event, Elapse(0.05))]

    def prepare(server: ScriptedServer) -> None:
        server.pongs = False

    connections = {"ping_interval_secs": 0.15, "ping_timeout_secs": 0.15}
    kwargs = {"prepare": prepare, "connections": connections}
    async with stage("websocket", changed(said(STORY), slow), **kwargs) as talk:
        heard = await talk.turn()
        assert heard.text == STORY
        assert len(heard.asked) == 1
        assert heard.errors == []


@pytest.mark.parametrize("lanes", [True, False], ids=["lanes", "in line"])
@pytest.mark.parametrize("silent", [1, 2])
async def test_where_a_request_gets_no_answer_the_next_one_does_not_stand_in_line(
    lanes: bool, silent: int
) -> None:
    def prepare(server: ScriptedServer) -> None:
        server.lanes = lanes

    async with stage("websocket", *[only(*WAITS)] * silent, prepare=prepare) as talk:
        heard = await talk.turn()
        assert heard.text == PROPER
        assert heard.errors == []
        assert len({asked.connection for asked in heard.asked}) == silent + 1
        assert (await talk.turn()).text == PROPER


@pytest.mark.parametrize("first", [True, False], ids=["had lanes", "had none"])
async def test_a_server_that_is_another_one_after_a_reconnect(first: bool) -> None:
    """Behind one address there may be servers that differ."""

    def prepare(server: ScriptedServer) -> None:
        server.lanes = first

    async with stage("websocket", prepare=prepare) as talk:
        for number, lanes in enumerate([first, not first, first]):
            if number:
                talk.server.lanes = lanes
                talk.server.answers.append(only(Reset()))
            for _ in range(3):
                heard = await talk.turn()
                assert heard.text == PROPER
                assert not heard.errors
                assert len(heard.asked) <= 2


# -- handshakes and gateways ------------------------------------------------------------------


GATEWAYS = {
    "words": error(400, "Extra inputs are not permitted: stream_id", lane=False),
    "words_only": error(None, "Unrecognized request argument supplied: stream_id", lane=False),
    "validator": error(
        422,
        "1 validation error for ResponseCreate: stream_id - Extra inputs are not permitted",
        lane=False,
        type="validation_error",
    ),
    "silent": error(400, "Bad request.", lane=False),
}


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_row_5_a_gateway_that_refuses_lanes_in_its_own_words(gateway: str) -> None:
    def judge(asked: Any) -> Answer | None:
        return only(GATEWAYS[gateway]) if "stream_id" in asked.body else None

    def prepare(server: ScriptedServer) -> None:
        server.judge = judge

    async with stage("websocket", prepare=prepare) as talk:
        heard = await talk.turn()
        assert heard.text == PROPER
        assert heard.errors == []
        assert len(heard.asked) <= 2
        heard = await talk.turn("And now?")
        assert heard.text == PROPER
        assert len(heard.asked) == 1


async def test_row_36_a_401_to_the_upgrade_is_the_401_at_once() -> None:
    refusal = b"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\n\r\n"

    def prepare(server: ScriptedServer) -> None:
        server.handshakes.extend([refusal] * 20)

    connections = {"open_secs": 5.0}
    async with stage("websocket", prepare=prepare, connections=connections) as talk:
        talk.patience = 2.0
        heard = await talk.turn()
        assert failure_of(heard).failure is Failure.AUTHENTICATION
        assert failure_of(heard).status == 401


async def test_row_42_a_warm_up_that_nobody_answers_ends() -> None:
    def judge(asked: Any) -> Answer | None:
        return only(*WAITS) if asked.body.get("generate") is False else None

    def prepare(server: ScriptedServer) -> None:
        server.judge = judge

    async with stage("websocket", prepare=prepare) as talk:
        await talk.ready()
        context = LLMContext([{"role": "user", "content": "My name is Ann."}])
        async with asyncio.timeout(2.0):
            assert await talk.llm.warm_up(context) is False
        talk.server.judge = lambda _: None
        async with asyncio.timeout(2.0):
            assert await talk.llm.warm_up(context) is True


# -- addresses and keys -----------------------------------------------------------------------


class Nowhere:
    """An address at which nobody is."""

    def __init__(self, host: str) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        self.base_url = f"http://{host}:{port}/v1"
        self.ws_url = f"ws://{host}:{port}/v1/responses"


@pytest.mark.parametrize("host", ["127.0.0.1", "nobody.invalid"])
async def test_row_35_an_address_where_nobody_is_is_named_as_that(host: str) -> None:
    timeouts: list[object] = []

    async def on_completion_timeout(*args: object) -> None:
        timeouts.append(args)

    llm = service("http", Nowhere(host), allow_insecure_transport=True)
    llm.add_event_handler("on_completion_timeout", on_completion_timeout)
    async with ScriptedServer() as server, Stage(server, llm) as talk:
        heard = await talk.turn()
        assert failure_of(heard).failure is Failure.CONNECTION
        assert timeouts == []


async def _never() -> str:
    await asyncio.Event().wait()
    return "never"


@BOTH
async def test_row_30_a_key_that_never_comes_ends_the_turn(transport: Transport) -> None:
    async with stage(transport, api_key=_never) as talk:
        talk.patience = 2.5
        heard = await talk.turn()
        assert heard.text == ""
        assert failure_of(heard).message


async def test_row_30_a_key_that_never_comes_ends_a_warm_up() -> None:
    async with stage("websocket", api_key=_never) as talk:
        context = LLMContext([{"role": "user", "content": "My name is Ann."}])
        async with asyncio.timeout(2.0):
            assert await talk.llm.warm_up(context) is False


@BOTH
async def test_row_30_a_key_of_bytes_is_a_clear_error(transport: Transport) -> None:
    keys: list[Any] = [b"sk-not-a-string-0001"]

    async def key() -> str:
        return keys[-1]  # type: ignore[no-any-return]

    async with stage(transport, api_key=key) as talk:
        heard = await talk.turn()
        assert "api_key" in failure_of(heard).message or "str" in failure_of(heard).message
        # Nothing stays behind: with a proper key, everything is as it should be.
        keys.append("sk-a-string-0002")
        await talk.llm.set_usable(True)
        heard = await talk.turn("And now?")
        assert heard.text == PROPER
        refused = [only(error(500, "The model failed.", type="server_error"))] * 9
        talk.server.answers.extend(refused)
        heard = await talk.turn("And then?")
        assert failure_of(heard).failure is Failure.SERVER


# -- proxies ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Elsewhere:
    """Addresses that only a proxy would lead to."""

    base_url: str = "https://example.invalid/v1"
    ws_url: str = "wss://example.invalid/v1/responses"


@BOTH
@pytest.mark.parametrize(
    "proxy",
    ["no address", "socks5://127.0.0.1:1080", "http://127.0.0.1:70000", "http://an odd host:1"],
)
async def test_row_41_a_proxy_that_makes_no_sense_is_a_failure_to_connect(
    transport: Transport, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    llm = service(transport, Elsewhere(), limits={"total_secs": 0.4})
    failures = 0

    async def note(*_: Any) -> None:
        nonlocal failures
        failures += 1

    if transport == "websocket":
        llm.add_event_handler("on_connection_error", note)
    async with ScriptedServer() as server:
        talk = Stage(server, llm)
        async with talk:
            heard = await talk.turn()
            assert failure_of(heard).failure in (Failure.CONNECTION, Failure.TIMEOUT)
            assert heard.errors[0].category is ErrorCategory.CONNECTIVITY
            if transport == "websocket":
                assert failures > 0
                seen = failures
                # It is tried again, whether anybody waits or not.
                async with asyncio.timeout(3.0):
                    while failures == seen:  # noqa: ASYNC110 - there is nothing else to wait for
                        await asyncio.sleep(0.005)
