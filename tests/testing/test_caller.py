"""A caller and a bot that only makes tones, on a real line."""

from __future__ import annotations

import asyncio
import math
import wave
from array import array
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from pipecat_responses.testing import AutojumpEventLoop, Caller, LoopClock

RATE = 16_000


def tone(seconds: float, rate: int = RATE) -> bytes:
    wave_ = (8000 * math.sin(n * 2 * math.pi * 440 / rate) for n in range(round(seconds * rate)))
    return array("h", map(int, wave_)).tobytes()


def in_no_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test where a busy machine changes nothing."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=AutojumpEventLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


class Heard(FrameProcessor):
    """Notes what the caller says."""

    def __init__(self) -> None:
        super().__init__()
        self.pcm = bytearray()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self.pcm += frame.audio if isinstance(frame, InputAudioRawFrame) else b""
        await self.push_frame(frame, direction)


class Bot:
    """A pipeline that says tones when it is told to."""

    def __init__(self, caller: Caller) -> None:
        self.transport = caller.transport
        self.ear = Heard()
        pipeline = Pipeline([self.transport.input(), self.ear, self.transport.output()])
        self.worker = PipelineWorker(
            pipeline, clock=LoopClock(), enable_rtvi=False, idle_timeout_secs=None
        )
        self.connected = 0

    async def run(self, *, hang_up: bool = True) -> None:
        async def on_connected(transport: Any, client: Any) -> None:
            self.connected += 1

        async def on_disconnected(transport: Any, client: Any) -> None:
            if hang_up:
                await self.worker.cancel()

        self.transport.add_event_handler("on_client_connected", on_connected)
        self.transport.add_event_handler("on_client_disconnected", on_disconnected)
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        await runner.run()

    async def say(self, pcm: bytes, rate: int = RATE) -> None:
        frames = [TTSStartedFrame(), TTSAudioRawFrame(pcm, rate, 1), TTSStoppedFrame()]
        await self.worker.queue_frames(frames)


@pytest.mark.parametrize("rate", [RATE, 24_000])
@in_no_time
async def test_what_is_said_on_either_side_is_heard_on_the_other(rate: int, tmp_path: Path) -> None:
    caller = Caller()
    bot = Bot(caller)
    async with caller.calls(bot.run()):
        said = await caller.say(tone(0.3, rate), sample_rate=rate)
        await bot.say(tone(0.4, rate), rate)
        heard = await caller.hears(pause=0.2)
        await caller.waits(0.04)
    assert bot.connected == 1
    assert said.seconds == pytest.approx(0.3, abs=0.02)
    assert heard.seconds == pytest.approx(0.4, abs=0.04)
    assert heard.begin >= said.end
    assert caller.said(said.begin, said.end) == said.pcm
    assert caller.heard(heard.begin, heard.end) == heard.pcm
    assert said.pcm in bot.ear.pcm
    caller.save(tmp_path / "call.wav")
    with wave.open(str(tmp_path / "call.wav")) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, RATE)
        both = array("h", file.readframes(file.getnframes()))
    assert both[0::2].tobytes() == caller.said()
    assert both[1::2].tobytes() == caller.heard()


@in_no_time
async def test_an_interruption_is_heard_at_once() -> None:
    caller = Caller()
    bot = Bot(caller)
    async with caller.calls(bot.run()):
        await bot.say(tone(10))
        begin = await caller.hears_beginning()
        await caller.waits(0.1)
        await bot.worker.queue_frame(InterruptionFrame())
        asked = caller.now
        end = await caller.hears_end(pause=0.2)
        # What was handed to the line is played to its end, as everywhere.
        assert begin < end <= asked + 0.2
        await bot.say(tone(0.1))
        assert (await caller.hears(pause=0.1)).begin > end


@in_no_time
async def test_the_end_is_found_where_the_next_answer_has_begun_already() -> None:
    caller = Caller()
    bot = Bot(caller)
    async with caller.calls(bot.run()):
        await bot.say(tone(0.2) + bytes(RATE) + tone(0.2) + bytes(RATE) + tone(0.2))
        begin = await caller.hears_beginning()
        await caller.waits(1.6)
        # The first pause is one between two sentences.
        end = await caller.hears_end(pause=0.3, since=begin + 0.6)
        assert end - begin == pytest.approx(0.9, abs=0.1)
        rest = await caller.hears(pause=0.2)
        assert rest.begin - begin == pytest.approx(1.4, abs=0.1)


@in_no_time
async def test_a_bot_that_fails_says_so() -> None:
    async def bot() -> None:
        raise LookupError("no key")

    with pytest.raises(LookupError, match="no key"):
        async with Caller().calls(bot()):
            pass


@in_no_time
async def test_a_bot_that_returns_at_once() -> None:
    async def bot() -> None: ...

    with pytest.raises(RuntimeError, match="ended before"):
        async with Caller().calls(bot()):
            pass


@in_no_time
async def test_a_bot_that_never_ends_is_ended() -> None:
    caller = Caller(patience=1.0)
    bot = Bot(caller)
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError, match="did not end"):
        async with caller.calls(bot.run(hang_up=False)):
            pass
    with pytest.raises(TimeoutError, match="not get ready"):
        async with Caller(patience=0.05).calls(asyncio.sleep(10)):
            pass
    assert asyncio.all_tasks() == before


@in_no_time
async def test_patience_has_an_end() -> None:
    caller = Caller(patience=0.1)
    bot = Bot(caller)
    with pytest.raises(TimeoutError):
        async with caller.calls(bot.run()):
            await caller.hears()
