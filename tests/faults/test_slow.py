"""Slow listeners, many services at once, and secrets that stay secret."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import logging
import traceback
from typing import Any

import pytest
from pipecat.frames.frames import Frame, LLMTextFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from pipecat_responses import ConnectionLimits
from pipecat_responses.sandbox import Fault, Sandbox
from tests.faults.support import KEY, Talk, counted, new_service, our_tasks, talking, until
from tests.support.hurry import Transport

BOTH = pytest.mark.parametrize("transport", ["websocket", "http"])


class Gate(FrameProcessor):
    """Holds text back until it is opened, and with it whoever pushes the text."""

    def __init__(self) -> None:
        super().__init__(enable_direct_mode=True)
        self.open = asyncio.Event()
        self.reached = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            self.reached.set()
            await self.open.wait()
        await self.push_frame(frame, direction)


def slow_talk(sandbox: Sandbox, transport: Any, gate: Gate, **kwargs: Any) -> Talk:
    return Talk(new_service(sandbox, transport, **kwargs), extra=[gate])


@BOTH
async def test_a_slow_listener_gets_longer_pieces_and_all_of_them(
    sandbox: Sandbox, transport: Transport
) -> None:
    gate = Gate()
    async with slow_talk(sandbox, transport, gate) as talk:
        await talk.start("count to 5000")
        await gate.reached.wait()
        # The server has said everything before the second word is listened to.
        await until(lambda: sandbox.requests[0].outcome == "completed")
        # Answered on the same connection, so behind all of that.
        aside = LLMContext([{"role": "user", "content": "count to 3"}])
        assert await talk.llm.run_inference(aside) == counted(3)
        gate.open.set()
        await talk.answer_ends()
        await talk.settle()
        assert "".join(talk.texts) == counted(5000)
        assert len(talk.texts) <= (10 if transport == "websocket" else 500)
        assert talk.errors == []
        talk.check_frames()


async def test_a_slow_listener_does_not_break_the_keep_alive(sandbox: Sandbox) -> None:
    gate = Gate()
    limits = ConnectionLimits(ping_interval_secs=0.03, ping_timeout_secs=0.15)
    talk = slow_talk(sandbox, "websocket", gate, connection_limits=limits)
    async with talk:
        await talk.start("count to 500")
        await gate.reached.wait()
        # Long enough for a dozen pings, and twice the time after which a peer counts as dead.
        await asyncio.sleep(0.35)
        gate.open.set()
        await talk.answer_ends()
        await talk.settle()
        assert "".join(talk.texts) == counted(500)
        assert sandbox.connections_opened == 1
        assert talk.errors == []


@BOTH
async def test_a_slow_listener_of_an_answer_that_breaks_off(
    sandbox: Sandbox, transport: Transport
) -> None:
    gate = Gate()
    sandbox.faults.add(Fault("close", "text", after=100))
    async with slow_talk(sandbox, transport, gate) as talk:
        await talk.start("count to 500")
        await gate.reached.wait()
        await until(lambda: sandbox.requests[0].outcome == "fault:close")
        gate.open.set()
        await talk.answer_ends()
        await talk.settle()
        assert "".join(talk.texts) == counted(500)
        assert talk.errors == []


@BOTH
async def test_a_listener_that_never_listens_can_be_cancelled(
    sandbox: Sandbox, transport: Transport
) -> None:
    gate = Gate()
    async with slow_talk(sandbox, transport, gate) as talk:
        await talk.start("count to 500")
        await gate.reached.wait()
        await talk.cancel()
    assert our_tasks() == []


@BOTH
async def test_fifty_at_once(sandbox: Sandbox, transport: Transport) -> None:
    """Each is interrupted, cut off or answered; each is answered after that."""

    async def one(number: int, talk: Talk) -> None:
        if number % 3 == 0:
            await talk.start("count to 40")
            await talk.text_arrives()
            await talk.interrupt()
        else:
            heard = await talk.turn("count to 40")
            assert heard.text == counted(40)
            assert heard.errors == []
        following = await talk.turn(f"count to {number + 1}")
        assert following.text == counted(number + 1)
        assert following.errors == []
        talk.check_frames()

    sandbox.config.tokens_per_second = 400
    sandbox.faults.add(Fault("reset", "text", after=7, times=8), Fault("close", "text", times=8))
    talks = [Talk(new_service(sandbox, transport, limits=PATIENT)) for _ in range(50)]
    async with contextlib.AsyncExitStack() as stack:
        for talk in talks:
            await stack.enter_async_context(talk)
        await asyncio.gather(*(one(number, talk) for number, talk in enumerate(talks)))
        assert len(sandbox.faults) == 0
        await asyncio.gather(*(talk.end() for talk in talks))
    assert our_tasks() == []
    await until(lambda: sandbox.connections == 0)


PATIENT = {
    "begin_secs": 5.0,
    "stall_secs": 5.0,
    "quiet_secs": 2.0,
    "terminal_secs": 5.0,
    "total_secs": 30.0,
}

PLAIN_KEY = "a-key-without-a-prefix-4711"


TELLING = (
    Fault("handshake_status", "handshake", params={"status": 401, "message": "Key {key}."}),
    Fault("close", "text", after=2, params={"code": 1008, "reason": "bad key {key}"}),
    Fault("error", params={"status": 401, "message": "Incorrect API key: {key}."}),
    Fault("error", params={"status": 400, "param": "input", "message": "Bearer {key}, {key}"}),
    Fault("error", "text", after=2, params={"status": 500, "message": "As {key}:"}, times=None),
    Fault("failed", "text", after=2, params={"code": "invalid_prompt", "message": "{key}"}),
    Fault("garbage", "text", after=2, params={"data": "{key} [Bearer {key}]"}, times=None),
    Fault("reset", "text", after=2, times=None),
)
"""Servers and gateways that tell the key they were given."""

SECRETS = [
    pytest.param(transport, fault, key, id=f"{transport}-{fault.kind}-{fault.moment}-{name}")
    for transport in ("websocket", "http")
    # The first two are made for a WebSocket.
    for fault in (TELLING if transport == "websocket" else TELLING[2:])
    for name, key in (("sk", KEY), ("plain", PLAIN_KEY))
]


@pytest.mark.parametrize(("transport", "fault", "key"), SECRETS)
async def test_no_secret_is_told(
    sandbox: Sandbox,
    transport: Transport,
    fault: Fault,
    key: str,
    log: io.StringIO,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    params = {
        name: value.replace("{key}", key) if isinstance(value, str) else value
        for name, value in fault.params.items()
    }
    sandbox.faults.add(dataclasses.replace(fault, params=params, transport=transport))
    limits = {"total_secs": 0.3}
    async with talking(sandbox, transport, api_key=key, limits=limits) as talk:
        connection_errors: list[str] = []
        if transport == "websocket":
            talk.llm.add_event_handler(
                "on_connection_error", lambda _, error: connection_errors.append(str(error))
            )
        heard = await talk.turn("count to 150")
        assert len(talk.errors) >= 1
        told = [log.getvalue(), repr(talk.llm), str(talk.llm), repr(talk.llm.stats)]
        told += connection_errors
        for frame in talk.errors:
            error = frame.exception
            assert error is not None
            told += [frame.error, str(error), repr(error), repr(frame), repr(vars(error))]
            told += traceback.format_exception(error)
            told += [str(arg) for arg in error.args]
        assert len(heard.errors) == 1
    told += [log.getvalue(), caplog.text]
    for text in told:
        assert key not in text
        assert "Bearer sk-" not in text
