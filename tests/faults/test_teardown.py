"""Whatever is going on when a service ends: it ends soon, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pipecat.frames.frames import EndFrame

from pipecat_responses.protocol.retry import Backoff
from pipecat_responses.sandbox import Fault, Sandbox
from tests.faults.support import IMPATIENT, Talk, new_service, our_tasks, short_probe, until
from tests.support.hurry import Transport

CLOSE = 0.3
"""The close timeout of services in a hurry (`tests.faults.support`)."""
SLACK = 5.0
"""What a pipeline and a busy machine may take besides."""

WAITING = {"status": 429, "code": "rate_limit_exceeded", "headers": {"retry-after": "60"}}
MOMENTS = {
    "websocket": [
        "connecting",
        "handshake stalled",
        "reconnecting",
        "idle",
        "idle, stalled",
        "request sent",
        "mid-text",
        "mid-text, stalled",
        "mid-tool",
        "retry pause",
    ],
    "http": ["idle", "request sent", "mid-text", "mid-tool", "retry pause"],
}
CASES = [(transport, moment) for transport, moments in MOMENTS.items() for moment in moments]


@pytest_asyncio.fixture(autouse=True)
async def complaints() -> AsyncIterator[list[str]]:
    """Debug mode, and everything that Python and asyncio have to say about what was left."""
    loop = asyncio.get_running_loop()
    said: list[str] = []
    # What was there before is not looked through again.
    gc.freeze()
    loop.set_debug(True)
    loop.slow_callback_duration = 60.0
    loop.set_exception_handler(lambda _, context: said.append(str(context)))
    with warnings.catch_warnings(record=True) as caught, short_probe():
        warnings.simplefilter("always", ResourceWarning)
        warnings.simplefilter("always", RuntimeWarning)
        yield said
        gc.collect()
        gc.unfreeze()
        await asyncio.sleep(0)
    loop.set_debug(False)
    said += [str(w.message) for w in caught if w.category is not DeprecationWarning]
    ours = [each for each in said if "never awaited" in each or "unclosed" in each.lower()]
    assert ours == []
    assert [each for each in said if "exception was never retrieved" in each] == []


class Held:
    """A tool that does not return before it is let go."""

    def __init__(self, llm: Any) -> None:
        self.running = asyncio.Event()
        self.release = asyncio.Event()
        llm.register_function("note", self._run)

    async def _run(self, params: Any) -> None:
        self.running.set()
        await self.release.wait()
        await params.result_callback("done")


async def bring_about(moment: str, sandbox: Sandbox, talk: Talk, held: Held) -> None:
    """Goes on until the service is in the middle of it."""
    if moment in ("connecting", "handshake stalled"):
        await until(lambda: len(sandbox.handshakes) > 0)
        return
    if moment == "reconnecting":
        await talk.turn("count to 3")
        sandbox.faults.add(Fault("stall", "handshake", times=None))
        sandbox.cut()
        await until(lambda: len(sandbox.handshakes) > 1)
        return
    if moment == "idle, stalled":
        await talk.turn("count to 3")
        sandbox.faults.add(Fault("stall", "idle"))
        await until(lambda: len(sandbox.faults) == 0)
        return
    if moment == "idle":
        await talk.turn("count to 3")
        return
    if moment == "request sent":
        sandbox.faults.add(Fault("silence", "request", times=None))
    elif moment == "retry pause":
        sandbox.faults.add(Fault("error", times=None, params={**WAITING}))
    elif moment == "mid-text, stalled":
        sandbox.faults.add(Fault("stall", "text", after=5))
    elif moment == "mid-text":
        sandbox.config.tokens_per_second = 200
    await talk.start("Please call note." if moment == "mid-tool" else "count to 100")
    if moment == "mid-tool":
        await held.running.wait()
    elif moment.startswith("mid-text"):
        await talk.text_arrives()
    else:
        await until(lambda: len(sandbox.requests) > 0)


def talk_at(moment: str, sandbox: Sandbox, transport: Any, **limits: Any) -> tuple[Talk, Held]:
    if moment == "connecting":
        sandbox.faults.add(Fault("delay", "handshake", params={"seconds": 0.1}))
    elif moment == "handshake stalled":
        sandbox.faults.add(Fault("stall", "handshake", times=None))
    llm = new_service(sandbox, transport, limits={"total_secs": 100.0, **limits})
    held = Held(llm)
    talk = Talk(llm, tools=True)
    llm.register_function("note", held._run)
    return talk, held


async def nothing_is_left(sandbox: Sandbox, moment: str) -> None:
    assert our_tasks() == []
    if "stalled" in moment:
        # The sandbox does not read from what it has stalled, so it cannot see the end of it.
        sandbox.cut()
    await until(lambda: sandbox.connections == 0)


@pytest.mark.parametrize(("transport", "moment"), CASES)
async def test_cancel(sandbox: Sandbox, transport: Transport, moment: str) -> None:
    """Patient limits: cancelling waits for none of them."""
    patient = {"quiet_secs": 50.0, "begin_secs": 60.0, "stall_secs": 60.0, "terminal_secs": 60.0}
    talk, held = talk_at(moment, sandbox, transport, **patient)
    async with talk:
        await bring_about(moment, sandbox, talk, held)
        async with asyncio.timeout(CLOSE + SLACK):
            await talk.cancel()
    await nothing_is_left(sandbox, moment)


@pytest.mark.parametrize(("transport", "moment"), [case for case in CASES if case[1] != "mid-tool"])
async def test_end(sandbox: Sandbox, transport: Transport, moment: str) -> None:
    """An EndFrame lets the turn that is under way come to its end, which limits bound."""
    sandbox.config.tokens_per_second = None
    talk, held = talk_at(moment, sandbox, transport, **{**IMPATIENT, "total_secs": 0.3})
    async with talk:
        await bring_about(moment, sandbox, talk, held)
        sandbox.config.tokens_per_second = None
        await talk.worker.queue_frame(EndFrame())
        async with asyncio.timeout(3.0 + CLOSE + SLACK):
            await talk.end()
    assert talk.starts == talk.ends
    await nothing_is_left(sandbox, moment)


@pytest.mark.parametrize(("transport", "moment"), CASES)
async def test_cleanup(sandbox: Sandbox, transport: Transport, moment: str) -> None:
    """`cleanup()` alone, in the middle of it: everything of the service's own is gone after it."""
    talk, held = talk_at(moment, sandbox, transport)
    async with talk:
        await bring_about(moment, sandbox, talk, held)
        async with asyncio.timeout(CLOSE + SLACK):
            await talk.llm.cleanup()
        assert our_tasks() == []
        # Its place in the pipeline is dead by now, so no frame would come through any more.
        await talk.drop()
    await nothing_is_left(sandbox, moment)


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_a_service_that_was_never_used(sandbox: Sandbox, transport: Transport) -> None:
    llm = new_service(sandbox, transport)
    await llm.cleanup()
    await llm.cleanup()
    assert our_tasks() == []
    assert sandbox.connections == 0


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_cleanup_twice(sandbox: Sandbox, transport: Transport) -> None:
    talk, _ = talk_at("idle", sandbox, transport)
    async with talk:
        await talk.turn("count to 3")
    await talk.llm.cleanup()
    await nothing_is_left(sandbox, "idle")


async def test_a_closing_handshake_that_nobody_answers_takes_the_close_timeout(
    sandbox: Sandbox,
) -> None:
    talk, _ = talk_at("idle", sandbox, "websocket")
    async with talk:
        await talk.turn("count to 3")
        sandbox.faults.add(Fault("stall", "idle"))
        await until(lambda: len(sandbox.faults) == 0)
        loop = asyncio.get_running_loop()
        before = loop.time()
        await talk.llm.cleanup()
        assert CLOSE * 0.8 <= loop.time() - before <= CLOSE + SLACK
        assert our_tasks() == []
        await talk.drop()
    sandbox.cut()


async def test_several_connections_close_together(sandbox: Sandbox) -> None:
    """An abandoned one, a spare one and the one in use, none of them answering."""
    sandbox.config.lanes = "rejected"
    sandbox.config.tokens_per_second = 20
    talk, _ = talk_at("idle", sandbox, "websocket")
    async with talk:
        for _ in range(2):
            await talk.start("count to 50")
            await talk.text_arrives()
            await talk.interrupt()
        await until(lambda: sandbox.connections >= 2)
        async with asyncio.timeout(CLOSE + SLACK):
            await talk.cancel()
    await nothing_is_left(sandbox, "idle")


async def test_a_server_that_comes_and_goes_leaves_nothing(sandbox: Sandbox) -> None:
    limits = {"backoff": Backoff(first=0.01, cap=0.05)}
    talk, _ = talk_at("idle", sandbox, "websocket", **limits)
    async with talk:
        for _ in range(5):
            await talk.turn("count to 3")
            await sandbox.stop()
            await sandbox.start()
        await talk.turn("count to 3")
    await nothing_is_left(sandbox, "idle")
