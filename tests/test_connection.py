"""The life of a connection: opened, lost, replaced, closed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.utils.errors import ErrorCategory

from pipecat_responses import (
    AbandonedUsageMetricsData,
    Backoff,
    ConnectionLimits,
    TurnLimits,
)
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.sandbox import Fault, Sandbox
from pipecat_responses.testing import Conversation
from tests.support.contexts import messages_of
from tests.support.history import of_context, of_items
from tests.support.services import websocket_service
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import eventually

pytestmark = pytest.mark.clear_and_tls


def watch(llm: Any) -> list[str]:
    """Names of the connection events, as they happen."""
    events: list[str] = []

    async def connected(service: Any) -> None:
        assert service is llm
        events.append("connected")

    async def disconnected(service: Any) -> None:
        events.append("disconnected")

    async def failed(service: Any, error: str) -> None:
        events.append(f"failed: {error}")

    llm.add_event_handler("on_connected", connected)
    llm.add_event_handler("on_disconnected", disconnected)
    llm.add_event_handler("on_connection_error", failed)
    return events


async def abandoned(talk: Conversation, count: int) -> None:
    """Waits until so many abandoned responses have ended."""
    await eventually(
        lambda: sum(isinstance(each, AbandonedUsageMetricsData) for each in talk.metrics) == count
    )


QUICK = ConnectionLimits(backoff=Backoff(first=0.01, cap=0.05))


async def test_it_connects_before_the_first_turn(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox)
    events = watch(llm)
    async with Conversation(llm) as talk:
        await eventually(lambda: events == ["connected"])
        assert sandbox.connections == 1
        await talk.say("hello")
    await eventually(lambda: events == ["connected", "disconnected"])
    await eventually(lambda: sandbox.connections == 0)
    assert sandbox.connections_opened == 1


async def test_a_server_that_does_not_answer_holds_nothing_up(sandbox: Sandbox) -> None:
    async with TcpProxy("127.0.0.1", sandbox.port) as proxy:
        proxy.stall()
        llm = websocket_service(
            sandbox, base_url=proxy.url_for(sandbox.base_url.partition(":")[0], "/v1")
        )
        async with Conversation(llm) as talk:
            # The pipeline has started though the handshake is not over.
            await talk.start("hello")
            await talk.said.until(lambda: talk.starts == 1)
            proxy.resume()
            await talk.answer_ends()
            assert "".join(talk.texts).startswith('You said: "hello"')
            assert not talk.errors


async def test_a_connection_lost_while_idle_is_reopened(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox)
    events = watch(llm)
    async with Conversation(llm) as talk:
        await talk.say("hello")
        sandbox.cut()
        await eventually(lambda: events == ["connected", "disconnected", "connected"])
        await talk.say("hello again")
        assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]
        await talk.say("and again")
        assert not talk.errors
    assert dict(llm.stats.full_reasons) == {"first": 1, "reconnected": 1}
    assert llm.stats.incremental == 1


async def test_a_server_that_comes_back(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox, connection_limits=QUICK)
    events = watch(llm)
    async with Conversation(llm) as talk:
        await talk.say("hello")
        await sandbox.stop()
        await eventually(lambda: any("failed" in event for event in events))
        await sandbox.start()
        await eventually(lambda: events[-1] == "connected")
        assert await talk.say("hello again")
        # While nobody waits, failed attempts are events and log lines, not errors of a turn.
        assert not talk.errors
    assert any("Nothing answers" in event for event in events)


async def test_without_reconnecting_the_next_turn_connects(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox, reconnect_on_error=False)
    events = watch(llm)
    async with Conversation(llm) as talk:
        await talk.say("hello")
        sandbox.cut()
        await eventually(lambda: events == ["connected", "disconnected"])
        await talk.settle()
        assert sandbox.connections_opened == 1
        assert await talk.say("hello again")
        assert sandbox.connections_opened == 2
        assert not talk.errors


async def test_an_idle_connection_is_replaced_before_its_age_limit(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox, connection_max_age_secs=0.3)
    events = watch(llm)
    async with Conversation(llm) as talk:
        await talk.say("hello")
        await eventually(lambda: sandbox.connections_opened >= 2 and sandbox.connections == 1)
        assert await talk.say("hello again")
        assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]
        assert not talk.errors
        assert "disconnected" not in events


async def test_a_connection_in_use_is_not_replaced(sandbox: Sandbox) -> None:
    sandbox.config.tokens_per_second = 40
    llm = websocket_service(sandbox, connection_max_age_secs=0.1)
    async with Conversation(llm) as talk:
        await talk.start("count to 20")
        await talk.text_arrives()
        opened = sandbox.connections_opened
        await talk.answer_ends()
        assert "".join(talk.texts).rstrip(".").endswith("20")
        assert sandbox.requests[0].connection == sandbox.requests[-1].connection
        await eventually(lambda: sandbox.connections_opened > opened)


async def test_the_servers_age_limit(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        await talk.say("hello")
        opened = sandbox.connections_opened
        sandbox.faults.add(
            Fault(
                "error",
                "request",
                params={"code": "websocket_connection_limit_reached", "status": 400},
            )
        )
        assert (await talk.say("hello again")).endswith("I remember 3 items.")
        assert sandbox.connections_opened == opened + 1
        await eventually(lambda: sandbox.connections == 1)
        assert not talk.errors
    assert dict(llm.stats.full_reasons) == {"first": 1, "reconnected": 1}


async def test_a_dead_peer_is_noticed_while_idle(sandbox: Sandbox) -> None:
    async with TcpProxy("127.0.0.1", sandbox.port) as proxy:
        limits = ConnectionLimits(
            ping_interval_secs=0.1,
            ping_timeout_secs=0.2,
            open_secs=1.0,
            backoff=QUICK.backoff,
        )
        url = proxy.url_for(sandbox.base_url.partition(":")[0], "/v1")
        llm = websocket_service(sandbox, base_url=url, connection_limits=limits)
        events = watch(llm)
        async with Conversation(llm) as talk:
            await talk.say("hello")
            proxy.stall()
            await eventually(lambda: "disconnected" in events)
            proxy.resume()
            proxy.cut()
            assert await talk.say("hello again")
            assert not talk.errors


async def test_a_silent_connection_is_replaced_within_a_turn(sandbox: Sandbox) -> None:
    async with TcpProxy("127.0.0.1", sandbox.port) as proxy:
        url = proxy.url_for(sandbox.base_url.partition(":")[0], "/v1")
        llm = websocket_service(sandbox, base_url=url, turn_limits=TurnLimits(quiet_secs=0.1))
        events = watch(llm)
        async with Conversation(llm) as talk:
            await talk.say("hello")
            proxy.stall()
            await talk.start("hello again")
            await eventually(lambda: "disconnected" in events)
            proxy.resume()
            await talk.answer_ends()
            await talk.settle()
            assert messages_of(talk.context)[-1]["content"].startswith('You said: "hello again"')
            assert not talk.errors


@pytest.mark.parametrize(
    ("status", "category", "usable"),
    [
        (401, ErrorCategory.AUTHENTICATION, False),
        (403, ErrorCategory.AUTHORIZATION, False),
        (404, ErrorCategory.INVALID_REQUEST, False),
        (503, None, True),
    ],
)
async def test_a_refused_handshake_at_setup(
    sandbox: Sandbox, status: int, category: ErrorCategory | None, usable: bool
) -> None:
    sandbox.faults.add(Fault("handshake_status", "handshake", params={"status": status}))
    llm = websocket_service(sandbox, connection_limits=QUICK, transport="websocket")
    events = watch(llm)
    async with Conversation(llm) as talk:
        await eventually(lambda: any("failed" in event for event in events))
        if category is None:
            await eventually(lambda: "connected" in events)
            assert not talk.errors
        else:
            await talk.before.until(lambda: len(talk.errors) == 1)
            [error] = talk.errors
            assert error.category is category
            assert isinstance(error.exception, ResponsesError)
            assert error.exception.status == status
        assert llm.is_usable is usable
        if not usable:
            # Nothing more is asked of the server until something is changed.
            await talk.start("hello")
            await talk.answer_ends()
            assert not sandbox.requests
            assert len(talk.errors) == 2
            await llm.set_usable(True)
            await talk.settle()
        assert await talk.say("hello")


async def test_no_lanes_means_one_connection_to_spare(sandbox: Sandbox) -> None:
    sandbox.config.lanes = "rejected"
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        await talk.say("hello")
        await eventually(lambda: sandbox.connections == 2)
        sandbox.config.tokens_per_second = 50
        used = set()
        for number in range(4):
            await talk.start("count to 20")
            await talk.text_arrives()
            await talk.interrupt()
            await talk.settle()
            await talk.say(f"next {number}")
            used.add(sandbox.requests[-1].connection)
            assert sandbox.connections <= 4
            await abandoned(talk, number + 1)
            # What an abandoned response had taken is free again, and one is too many.
            await eventually(lambda: sandbox.connections == 2)
        assert not talk.errors
        assert len(used) > 1
    # The next session with this address knows it from the start.
    requests = len(sandbox.requests)
    other = websocket_service(sandbox)
    async with Conversation(other) as talk:
        await talk.say("hello")
    assert len(sandbox.requests) == requests + 1


async def test_many_sessions_at_once(sandbox: Sandbox) -> None:
    sandbox.config.tokens_per_second = 400

    async def call(number: int) -> None:
        llm = websocket_service(sandbox)
        async with Conversation(llm) as talk:
            await talk.say("hello")
            await talk.start("count to 60")
            await talk.text_arrives()
            if number % 2:
                await talk.interrupt()
                await talk.settle()
            else:
                await talk.answer_ends()
            assert f'"I am {number}"' in await talk.say(f"I am {number}")
            assert not talk.errors
            assert llm.stats.full == 1

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(call(number))
    await eventually(lambda: sandbox.connections == 0)
