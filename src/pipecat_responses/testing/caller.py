"""Somebody who calls a bot: says what it is given, listens, talks over it, and remembers it all."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipecat.audio.utils import create_file_resampler

from pipecat_responses.testing.line import SLOT, Line, Track

SAMPLE_RATE = 16_000
"""Samples a second, where a caller is not told otherwise: what voice activity detectors want."""

AUDIBLE = 500
"""A sample from which on a slot of 20 ms is no silence, of 32 767: about -36 dBFS."""

PAUSE = 0.7
"""Seconds of silence that end a stretch of speech: longer than a pause between two sentences."""

PATIENCE = 30.0


@dataclass(frozen=True)
class Speech:
    """A stretch of speech.

    Attributes:
        begin: When its first audible sample was heard, in seconds since the call began.
        end: When its last one was heard, to 20 ms.
        pcm: What was heard from the one to the other: 16-bit mono.
    """

    begin: float
    end: float
    pcm: bytes

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.begin


class Caller:
    """A scripted caller at the other end of a bot's transport.

    Everything but the caller is real: the bot's pipeline, its voice activity and turn detection,
    its services, and time::

        caller = Caller()
        async with caller.calls(run_bot(caller.transport)):
            await caller.hears()  # the bot greets
            await caller.say(good_morning)
            answer = await caller.hears()
            await caller.say(tell_a_story)
            await caller.hears_beginning()
            said = await caller.say(stop)  # over the bot
            cut_at = await caller.hears_end(since=said.begin)
        caller.save("call.wav")

    What it says is PCM of any rate: recorded, or synthesised by whatever there is.

    Attributes:
        transport: The transport for the bot's pipeline.
        sample_rate: Samples a second of all that is said and heard.
    """

    def __init__(self, *, sample_rate: int = SAMPLE_RATE, patience: float = PATIENCE) -> None:
        """Makes a caller who has not called yet.

        Args:
            sample_rate: Samples a second of the line.
            patience: Seconds to wait for anything before ``TimeoutError`` is raised.
        """
        self.transport = Line(sample_rate)
        self.sample_rate = sample_rate
        self.patience = patience
        self._listened = 0

    @asynccontextmanager
    async def calls(self, bot: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
        """Calls a bot, and hangs up at the end of the block.

        Args:
            bot: What runs the bot's pipeline with ``transport`` and returns when that has ended.
                One that goes on after ``on_client_disconnected`` is cancelled.

        Yields:
            Nothing; the call is connected.

        Raises:
            TimeoutError: When the bot does not get ready in time, or does not end.
            Exception: What the bot has raised.
        """
        line = self.transport
        running = asyncio.ensure_future(bot)
        wire: asyncio.Task[None] | None = None
        try:
            await self._ready(running)
            wire = asyncio.create_task(line.run())
            await line.connect()
            yield
            await line.disconnect()
            await asyncio.wait({running}, timeout=self.patience)
            if not running.done():
                raise TimeoutError("The bot did not end when the caller had hung up")
            await running
        finally:
            for task in (running, wire):
                if task is not None and not task.done():
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task

    async def _ready(self, running: asyncio.Future[Any]) -> None:
        ready = asyncio.create_task(self.transport.ready())
        await asyncio.wait(
            {ready, running}, timeout=self.patience, return_when=asyncio.FIRST_COMPLETED
        )
        if running.done():
            ready.cancel()
            await running
            raise RuntimeError("The bot has ended before it was called")
        if not ready.done():
            ready.cancel()
            raise TimeoutError("The bot did not get ready")

    # -- speaking ---------------------------------------------------------------------------------

    async def say(self, pcm: bytes, *, sample_rate: int | None = None) -> Speech:
        """Says something, whether the bot speaks or not, and waits until it is said.

        Args:
            pcm: 16-bit mono.
            sample_rate: Its samples a second; the line's by default.

        Returns:
            What was said and when: ``end`` is the last audible sample.
        """
        rate = sample_rate or self.sample_rate
        if rate != self.sample_rate:
            pcm = await create_file_resampler().resample(pcm, rate, self.sample_rate)
        line = self.transport
        start = len(line.spoken.peaks)
        line.say(pcm)
        while line.saying:
            await line.next_slot()
        stop = len(line.spoken.peaks)
        # Its last 20 ms have only begun.
        await line.next_slot()
        return self._speech(line.spoken, start, stop)

    async def waits(self, seconds: float) -> None:
        """Says nothing for so many seconds of the call."""
        end = self.now + seconds
        await self._until(lambda: self.now >= end, seconds)

    # -- listening --------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the call has begun."""
        return self.transport.now

    async def hears_beginning(self) -> float:
        """Waits until the bot begins to speak, or speaks, that was not listened to yet.

        Returns:
            When its first audible sample was heard, in seconds since the call began.
        """
        await self._until(lambda: self._next_audible() is not None)
        found = self._next_audible()
        assert found is not None
        self._listened = found
        return found * SLOT

    async def hears_end(self, *, pause: float = PAUSE, since: float = 0.0) -> float:
        """Waits until the bot is silent.

        Args:
            pause: Seconds of silence after which it is.
            since: Pauses that began before do not count: where the caller talks over the bot, when
                that began.

        Returns:
            When its last audible sample was heard, in seconds since the call began. What is heard
            after the pause counts as not listened to yet.
        """
        slots = round(pause / SLOT)
        begin = self._listened
        start = max(begin, round(since / SLOT))
        await self._until(lambda: self._pause(start, slots) is not None)
        silent = self._pause(start, slots)
        assert silent is not None
        self._listened = silent + slots
        last = self._last_audible(begin, silent)
        return (begin if last is None else last + 1) * SLOT

    async def hears(self, *, pause: float = PAUSE) -> Speech:
        """Waits until the bot has spoken, and is silent.

        Args:
            pause: Seconds of silence after which it is.

        Returns:
            What it has said.
        """
        begin = await self.hears_beginning()
        end = await self.hears_end(pause=pause)
        return self._speech(self.transport.played, round(begin / SLOT), round(end / SLOT))

    # -- remembering ------------------------------------------------------------------------------

    def heard(self, begin: float = 0.0, end: float | None = None) -> bytes:
        """What was heard of the bot, silence included.

        Args:
            begin: Seconds since the call began.
            end: The same; None for now.

        Returns:
            16-bit mono.
        """
        return self._cut(self.transport.played, begin, end)

    def said(self, begin: float = 0.0, end: float | None = None) -> bytes:
        """What was said by the caller, silence included; as ``heard``."""
        return self._cut(self.transport.spoken, begin, end)

    def save(self, path: str | Path) -> None:
        """Writes the call as a WAV file: the caller to the left, the bot to the right.

        Args:
            path: The file.
        """
        caller = memoryview(bytes(self.said())).cast("h")
        bot = memoryview(bytes(self.heard())).cast("h")
        both = bytearray(4 * min(len(caller), len(bot)))
        samples = memoryview(both).cast("h")
        samples[0::2], samples[1::2] = caller[: len(samples) // 2], bot[: len(samples) // 2]
        with wave.open(str(path), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(self.sample_rate)
            file.writeframes(both)

    def _cut(self, track: Track, begin: float, end: float | None) -> bytes:
        last = None if end is None else 2 * round(end * self.sample_rate)
        return bytes(track.pcm[2 * round(begin * self.sample_rate) : last])

    def _speech(self, track: Track, start: int, stop: int) -> Speech:
        loud = [slot for slot in range(start, stop) if track.peaks[slot] >= AUDIBLE]
        begin, end = (loud[0], loud[-1] + 1) if loud else (start, start)
        return Speech(begin * SLOT, end * SLOT, self._cut(track, begin * SLOT, end * SLOT))

    def _next_audible(self) -> int | None:
        peaks = self.transport.played.peaks
        return next((n for n in range(self._listened, len(peaks)) if peaks[n] >= AUDIBLE), None)

    def _last_audible(self, begin: int, end: int) -> int | None:
        peaks = self.transport.played.peaks
        return next((n for n in reversed(range(begin, end)) if peaks[n] >= AUDIBLE), None)

    def _pause(self, start: int, slots: int) -> int | None:
        """Where the first pause of so many slots begins."""
        peaks = self.transport.played.peaks
        silent = 0
        for n in range(start, len(peaks)):
            silent = silent + 1 if peaks[n] < AUDIBLE else 0
            if silent == slots:
                return n + 1 - slots
        return None

    async def _until(self, condition: Callable[[], bool], longer: float = 0.0) -> None:
        async with asyncio.timeout(self.patience + longer):
            while not condition():
                await self.transport.next_slot()
