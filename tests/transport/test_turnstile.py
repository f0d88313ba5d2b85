"""What takes the event loop a while is let in one after the other."""

from __future__ import annotations

import asyncio

import pytest

from pipecat_responses.transport.turnstile import Turnstile


class Steps:
    """Counts the steps of the event loop."""

    def __init__(self) -> None:
        self.count = 0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)

    def stop(self) -> None:
        self._task.cancel()


async def test_whoever_comes_alone_does_not_wait() -> None:
    turnstile = Turnstile(apart=60.0)
    steps = Steps()
    await turnstile.enter()
    assert steps.count == 0
    steps.stop()


async def test_one_for_each_step() -> None:
    turnstile = Turnstile()
    steps = Steps()
    let_in: list[int] = []

    async def enter() -> None:
        await turnstile.enter()
        let_in.append(steps.count)

    await asyncio.gather(*(enter() for _ in range(20)))
    steps.stop()
    assert len(set(let_in)) == 20
    assert let_in == sorted(let_in)


async def test_a_moment_apart_by_the_clock() -> None:
    now = 100.0
    turnstile = Turnstile(apart=0.001, clock=lambda: now)
    await turnstile.enter()
    second = asyncio.create_task(turnstile.enter())
    third = asyncio.create_task(turnstile.enter())
    await asyncio.wait({second})
    # The clock stands still, so each has waited for as long as it is to.
    assert not third.done()
    await third


async def test_one_that_is_cancelled_lets_the_next_one_in() -> None:
    now = 100.0
    turnstile = Turnstile(apart=60.0, clock=lambda: now)
    await turnstile.enter()
    waiting = asyncio.create_task(turnstile.enter())
    behind = asyncio.create_task(turnstile.enter())
    await asyncio.sleep(0)
    behind.cancel()
    waiting.cancel()
    for task in (behind, waiting):
        with pytest.raises(asyncio.CancelledError):
            await task
    now = 200.0
    await turnstile.enter()


def test_each_event_loop_has_its_own() -> None:
    turnstile = Turnstile()

    async def crowd() -> None:
        await asyncio.gather(*(turnstile.enter() for _ in range(5)))

    for _ in range(3):
        asyncio.run(crowd())
