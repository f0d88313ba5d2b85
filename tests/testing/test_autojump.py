"""A clock that stands while there is work, and jumps when there is none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import aiohttp

from pipecat_responses.sandbox import Sandbox
from pipecat_responses.testing import AutojumpEventLoop, LoopClock


def run(main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=AutojumpEventLoop) as runner:
        return runner.run(main)


def test_timers_come_in_order_and_at_their_time() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        fired: list[tuple[int, float]] = []

        def fire(hours: int) -> None:
            fired.append((hours, loop.time()))

        for hours in (3, 1, 2):
            loop.call_later(3600 * hours, fire, hours)
        clock = LoopClock()
        begin, asked = loop.time(), clock.get_time()
        await asyncio.sleep(4 * 3600)
        assert [(n, round((at - begin) / 3600)) for n, at in fired] == [(1, 1), (2, 2), (3, 3)]
        assert round((clock.get_time() - asked) / 3600e9) == 4

    run(main())


def test_the_clock_stands_while_a_thread_works() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        fired = asyncio.Event()
        loop.call_later(3600, fired.set)
        release = threading.Event()
        work = loop.run_in_executor(None, release.wait)
        threading.Timer(0.05, release.set).start()
        assert await work
        assert not fired.is_set()
        await fired.wait()

    run(main())


def test_sockets_come_before_the_next_timer() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with (
            Sandbox() as sandbox,
            aiohttp.ClientSession() as session,
            asyncio.timeout(3600),
            session.get(f"{sandbox.origin}/health") as answer,
        ):
            assert answer.status == 200
            assert await answer.json()
        assert loop.time() < 3600

    run(main())
