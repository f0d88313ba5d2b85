"""Many calls whose server goes and comes back at once, and one call that lasts for hours.

Short runs are part of the suite. ``SOAK=1`` makes the long ones and prints their figures.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest

from pipecat_responses import ConnectionLimits
from pipecat_responses.protocol.retry import Backoff
from pipecat_responses.sandbox import Fault, Sandbox
from tests.faults.support import (
    Talk,
    counted,
    memory_in_use,
    new_service,
    our_objects,
    our_tasks,
    until,
)
from tests.support import history

FULL = bool(os.environ.get("SOAK"))
SESSIONS = 200 if FULL else 40
MINUTES = 360 if FULL else 30
PATIENT = ConnectionLimits(open_secs=5.0, backoff=Backoff(first=0.1, cap=1.0), attempts=1000)
LIMITS = {"quiet_secs": 5.0, "begin_secs": 10.0, "stall_secs": 10.0, "total_secs": 30.0}


class Caller:
    """One call, and how often its service failed to connect."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.llm = new_service(sandbox, "websocket", connection_limits=PATIENT, limits=LIMITS)
        self.talk = Talk(self.llm, metrics=False)
        self.failed: list[float] = []
        self.llm.add_event_handler("on_connection_error", self._note)

    async def _note(self, *_: Any) -> None:
        self.failed.append(time.monotonic())

    @property
    def opened(self) -> int:
        return int(self.llm.stats.connections_opened)

    async def answered(self, top: int) -> bool:
        heard = await self.talk.turn(f"count to {top}")
        return heard.text == counted(top) and not heard.errors


def _more_than(llm: Any, opened: int) -> bool:
    return bool(llm.stats.connections_opened > opened)


def _busiest(moments: list[float], window: float) -> int:
    """The most moments that any window holds."""
    buckets = Counter(int(moment / window) for moment in moments)
    return max(buckets.values(), default=0)


@pytest.mark.timeout(300 if FULL else 60)
async def test_a_server_that_dies_refuses_throttles_and_returns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with Sandbox() as sandbox, AsyncExitStack() as stack:
        callers = [Caller(sandbox) for _ in range(SESSIONS)]
        await asyncio.gather(*(stack.enter_async_context(each.talk) for each in callers))
        assert all(await asyncio.gather(*(each.answered(3) for each in callers)))

        # It dies.
        cpu, began = time.process_time(), time.monotonic()
        await sandbox.stop()
        await until(lambda: all(len(each.failed) >= 3 for each in callers), 30.0)
        dead = time.monotonic() - began
        cpu = time.process_time() - cpu
        while_dead = [len(each.failed) for each in callers]
        seconds = [each.failed[1] for each in callers]
        # Each pause is twice as long as the one before, and half of it is chance.
        assert max(while_dead) <= 10, f"{max(while_dead)} attempts while others made 3"

        # It is there again, and refuses; then it throttles.
        slow_down = {"status": 429, "headers": {"retry-after": "0.2"}}
        sandbox.faults.add(Fault("handshake_status", "handshake", times=SESSIONS))
        sandbox.faults.add(Fault("handshake_status", "handshake", times=SESSIONS, params=slow_down))
        for each in callers:
            each.failed.clear()
        shakes = len(sandbox.handshakes)
        back = time.monotonic()
        await sandbox.start()
        await until(lambda: all(each.opened == 2 for each in callers), 60.0)
        back = time.monotonic() - back
        shakes = len(sandbox.handshakes) - shakes
        assert shakes == 3 * SESSIONS, "a session did not take its refusals one by one"
        assert sandbox.connections == SESSIONS

        # Everybody is answered, and continues from there.
        assert all(await asyncio.gather(*(each.answered(4) for each in callers)))
        sandbox.requests.clear()
        assert all(await asyncio.gather(*(each.answered(5) for each in callers)))
        assert all("previous_response_id" in record.body for record in sandbox.requests)
        assert len(sandbox.requests) == SESSIONS
        assert sandbox.connections == SESSIONS
    assert our_tasks() == []
    if FULL:
        with capsys.disabled():
            print(
                f"\n{SESSIONS} sessions, server away for {dead:.1f} s: {sum(while_dead)} attempts "
                f"(at most {max(while_dead)} a session), {cpu / SESSIONS * 1e3:.1f} ms of CPU a "
                f"session; second attempts in the busiest 50 ms: {_busiest(seconds, 0.05)}; then "
                f"{shakes} handshakes, {2 * SESSIONS} of them refused; all back after {back:.1f} s"
            )


@pytest.mark.timeout(300 if FULL else 60)
async def test_a_call_of_hours_with_a_new_connection_each_minute(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A minute is two turns, and a connection is replaced when it is older than that."""
    async with Sandbox() as sandbox:
        llm = new_service(
            sandbox,
            "websocket",
            connection_max_age_secs=0.02,
            limits=LIMITS,
            connection_limits=PATIENT,
        )
        talk = Talk(llm, metrics=False)
        full = turns = objects = memory = 0
        async with talk:
            for minute in range(MINUTES):
                opened = llm.stats.connections_opened
                for _ in range(2):
                    turns += 1
                    heard = await talk.turn("count to 3")
                    assert heard.text == counted(3), f"turn {turns}: {heard.text!r}"
                    assert heard.errors == []
                said = history.of_context(talk.context)
                # What was laid in the background has no answer.
                asked = [each for each in sandbox.requests if each.generate]
                newest = history.of_items(asked[-1].history)
                assert newest == said[: len(newest)]
                assert len(newest) == len(said) - 1
                full += sum("previous_response_id" not in each.body for each in asked)
                await until(partial(_more_than, llm, opened))
                sandbox.requests.clear()
                sandbox.messages.clear()
                sandbox.handshakes.clear()
                for tap in (talk.before, talk.said, talk.last):
                    tap.frames.clear()
                    tap.upstream.clear()
                if minute == MINUTES // 6:
                    memory, objects = memory_in_use(), our_objects()
            await until(lambda: sandbox.connections <= 2)
            # Each message has an item, a snapshot and their like; nothing else stays.
            grown = (our_objects() - objects) / (MINUTES - MINUTES // 6)
            growth = memory_in_use() - memory
            # Connections that were left are still being closed.
            await until(lambda: len(our_tasks()) <= 12)
        await until(lambda: sandbox.connections == 0)
    assert our_tasks() == []
    # At most the first turn on each new connection carries everything.
    assert 1 <= full <= llm.stats.connections_opened
    assert grown < 40
    assert growth < 40_000_000
    if FULL:
        with capsys.disabled():
            print(
                f"\n{MINUTES} minutes, {turns} turns, {llm.stats.connections_opened} connections, "
                f"{full} full requests; memory {growth / 1e6:+.1f} MB, {grown:.1f} objects a "
                "minute"
            )
