"""Failover: a switcher takes the next service when the active one can do its job no more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.frames.frames import LLMRunFrame, ManuallySwitchServiceFrame
from pipecat.pipeline.llm_switcher import LLMSwitcher
from pipecat.pipeline.service_switcher import ServiceSwitcherStrategyFailover

from pipecat_responses import ConnectionLimits, TurnLimits
from pipecat_responses.protocol.retry import Backoff
from pipecat_responses.sandbox import Fault, Sandbox
from tests.neighbours.support import (
    ALL,
    OURS,
    Sent,
    agree,
    answered,
    calling,
    turns,
)
from tests.support.services import KEY

SWIFT = Backoff(first=0.01, cap=0.05)
LIMITS = {
    "turn_limits": TurnLimits(total_secs=0.3, attempts=3, backoff=SWIFT),
    "connection_limits": ConnectionLimits(backoff=SWIFT, attempts=200),
}
PIPECATS = {"reconnect_backoff_min_wait": 0.01, "reconnect_backoff_max_wait": 0.02}


def impatient(name: str, sandbox: Sandbox) -> Any:
    """A service that does not wait long for a server."""
    return ALL[name](sandbox, **{"pipecat": PIPECATS}.get(name, LIMITS))


def failing_over(*llms: Any) -> LLMSwitcher[ServiceSwitcherStrategyFailover]:
    return LLMSwitcher([*llms], ServiceSwitcherStrategyFailover)


def on_switch(switcher: Any, then: Any) -> None:
    """What an application does: the turn that was lost is asked for again."""
    switcher.strategy.add_event_handler("on_service_switched", then)


@pytest.mark.parametrize("name", ["websocket", "pipecat"])
async def test_a_server_that_is_gone(sandbox: Sandbox, sent: Sent, name: str) -> None:
    async with Sandbox() as spare:
        one, two = impatient(name, sandbox), ALL["websocket"](spare)
        switcher = failing_over(one, two)
        # Pipecat's service reports each attempt to connect, twice; ours reports the turn, once,
        # and that is the error which the switcher answers for.
        reports = {"websocket": 0, "pipecat": 6}[name]
        async with calling(switcher, errors=reports) as talk:

            async def again(*_: Any) -> None:
                await talk.worker.queue_frame(LLMRunFrame())

            on_switch(switcher, again)
            await talk.say("One")
            await sandbox.stop()
            await talk.say("Two", ends=2)
            assert switcher.active_llm is two
            assert not one.is_usable
            agree(turns(spare)[-1], talk.context)
            await talk.say("Three")
            agree(turns(spare)[-1], talk.context)
        assert sent.by(two) == ["first", "+"]
        await sandbox.start()


async def test_ours_comes_back_by_itself(sandbox: Sandbox, sent: Sent) -> None:
    """Pipecat's service stays unusable until it is told otherwise, and never connects again."""
    async with Sandbox() as spare:
        one, two = impatient("websocket", sandbox), ALL["websocket"](spare)
        back = asyncio.Event()

        def tell(_: Any, usable: bool) -> None:
            if usable:
                back.set()

        one.add_event_handler("on_usable_changed", tell)
        switcher = failing_over(one, two)
        async with calling(switcher) as talk:
            await talk.say("One")
            await sandbox.stop()
            await talk.say("Two")
            await talk.say("Are you there?")
            await sandbox.start()
            await asyncio.wait_for(back.wait(), 5)
            await talk.worker.queue_frame(ManuallySwitchServiceFrame(service=one))
            await talk.say("Three")
            agree(turns(sandbox)[-1], talk.context)
            await talk.say("Four")
            agree(turns(sandbox)[-1], talk.context)
        assert sent.by(one) == ["first", "reconnected", "+"]


async def test_alone_it_answers_once_the_server_is_back(sandbox: Sandbox, sent: Sent) -> None:
    """Unusable or not: whoever gives it a turn gets what can be had."""
    llm = impatient("websocket", sandbox)
    async with calling(llm, errors=1) as talk:
        await talk.say("One")
        await sandbox.stop()
        await talk.say("Two")
        assert not llm.is_usable
        await sandbox.start()
        assert await talk.say("Three")
        agree(turns(sandbox)[-1], talk.context)
        assert llm.is_usable
    assert sent.by(llm) == ["first", "reconnected"]


@pytest.mark.parametrize("name", OURS)
async def test_a_key_that_is_refused(sandbox: Sandbox, sent: Sent, name: str) -> None:
    async with Sandbox() as spare:
        one, two = ALL[name](sandbox), ALL["websocket"](spare)
        switcher = failing_over(one, two)
        async with calling(switcher) as talk:
            await talk.say("One")
            sandbox.config.api_keys = {"another"}
            sandbox.cut()
            sandbox.faults.add(Fault("error", params={"status": 401, "code": "invalid_api_key"}))
            await talk.say("Two")
            assert (one.is_usable, switcher.active_llm) == (False, two)
            await talk.say("Three")
            agree(turns(spare)[-1], talk.context)
            # With a new key it can be switched back to.
            sandbox.faults.clear()
            sandbox.config.api_keys = {KEY}
            await one.set_usable(True)
            await talk.worker.queue_frame(ManuallySwitchServiceFrame(service=one))
            await talk.say("Four")
            agree(turns(sandbox)[-1], talk.context)


@pytest.mark.parametrize("name", ALL)
async def test_a_passing_error_is_no_reason(sandbox: Sandbox, sent: Sent, name: str) -> None:
    async with Sandbox() as spare:
        one, two = ALL[name](sandbox), ALL["websocket"](spare)
        switcher = failing_over(one, two)
        params = {"code": "invalid_prompt", "message": "Not this."}
        async with calling(switcher, errors=1) as talk:
            sandbox.faults.add(Fault("failed", "created", params=params))
            await talk.say("One")
            assert one.is_usable
            await talk.say("Two")
            agree(turns(sandbox)[-1], talk.context)
        assert spare.requests == []


async def test_nothing_left_to_switch_to(sandbox: Sandbox) -> None:
    async with Sandbox() as spare:
        llms = [impatient("websocket", server) for server in (sandbox, spare)]
        switcher = failing_over(*llms)
        async with calling(switcher, errors=1) as talk:
            await talk.say("One")
            await sandbox.stop()
            await spare.stop()
            await talk.say("Two")
            await answered(talk, talk.worker.queue_frame(LLMRunFrame()))
            assert [llm.is_usable for llm in llms] == [False, False]
            assert not switcher.is_usable
        await sandbox.start()
        await spare.start()
