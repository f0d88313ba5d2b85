"""An output that plays on a clock of its own, which goes on only as audio is played.

It is Pipecat's ``BaseOutputTransport`` with two things of its own: where audio goes (nowhere), and
what time it is. Words with timestamps wait in the transport's clock queue until the audio has come
to them, so what the user had heard at an interruption depends on how much was played, and not on
how fast the test runs.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pipecat.clocks.base_clock import BaseClock
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputTransportReadyFrame,
    StartFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.utils.frame_queue import FramePriorityQueue

from pipecat_responses.testing.taps import Mark

SAMPLE_RATE = 8000
"""Samples a second. Silence sounds the same at any rate, and this one is cheap."""

SECOND = 1_000_000_000
"""Nanoseconds."""

FOREVER = 3600.0


class AudioClock(BaseClock):
    """A pipeline's clock that shows how much audio has been played.

    Attributes:
        now: The time, in nanoseconds. It does not begin at zero, which Pipecat takes for none.
    """

    def __init__(self) -> None:
        """Makes a clock that stands at one second."""
        self.now = SECOND

    def get_time(self) -> int:
        """Tells the time, in nanoseconds."""
        return self.now

    def start(self) -> None:
        """Does nothing: the clock goes on only as audio is played."""


class Speaker(BaseOutputTransport):
    """Plays audio to nobody: all of it at once, or as much as it is told to."""

    def __init__(self, clock: AudioClock, *, paced: bool = False) -> None:
        """Makes an output.

        Args:
            clock: The pipeline's clock, which it keeps going.
            paced: Whether to play only as much as ``allow`` says, in pieces of 20 ms. If
                not, everything is played at once.
        """
        super().__init__(
            TransportParams(
                audio_out_enabled=True,
                audio_out_10ms_chunks=2 if paced else 50,
                audio_out_end_silence_secs=0,
                audio_out_write_timeout_secs=FOREVER,
            )
        )
        self.clock = clock
        self._timed = _DueQueue(clock)
        self._limit: float = clock.now if paced else float("inf")
        self._held: OutputAudioRawFrame | None = None
        self._changed = asyncio.Event()

    @property
    def holding(self) -> bool:
        """Whether there is audio to be played that may not be played yet."""
        return self._held is not None

    def allow(self, seconds: float) -> None:
        """Lets so many more seconds be played from now on; more are played only as they come.

        Args:
            seconds: Seconds of audio; infinity for all there is, 0 for none.
        """
        self._limit = self.clock.now + seconds * SECOND
        self._changed.set()

    async def held(self) -> None:
        """Waits until everything has been played that may be played, and more is there."""
        while not self.holding or self._fits(self._held):
            self._changed.clear()
            await self._changed.wait()
        await self._timed.quiet()

    async def start(self, frame: StartFrame) -> None:
        """Starts to play.

        Args:
            frame: The pipeline's start frame.
        """
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def set_transport_ready(self, frame: StartFrame) -> None:
        """Starts Pipecat's media sender, with a queue of timed frames that follows the audio.

        Args:
            frame: The pipeline's start frame.
        """
        sender = BaseOutputTransport.MediaSender(
            self,
            destination=None,
            sample_rate=self.sample_rate,
            audio_chunk_size=self.audio_chunk_size,
            params=self._params,
        )
        sender._clock_queue = self._timed
        self._media_senders[None] = sender
        await sender.start(frame)
        await self.push_frame(OutputTransportReadyFrame(), FrameDirection.UPSTREAM)

    async def stop(self, frame: EndFrame) -> None:
        """Plays what is left, as an output does at the end of a call.

        Args:
            frame: The pipeline's end frame.
        """
        self.allow(float("inf"))
        await super().stop(frame)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Lets go of audio that is held back when the user interrupts.

        Args:
            frame: The frame.
            direction: Where it is going.
        """
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame) and self._held and self._held.interruptible:
            self._held = None
            self._changed.set()

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """Plays a piece of audio as soon as it may be played.

        Args:
            frame: The audio.

        Returns:
            Whether it was played, and not interrupted before.
        """
        self._held = frame
        self._changed.set()
        while self._held is frame and not self._fits(frame):
            self._changed.clear()
            await self._changed.wait()
        if self._held is not frame:
            return False
        self._held = None
        self.clock.now += _length(frame)
        self._timed.look()
        # What is due now comes before the audio that follows.
        await self._timed.quiet()
        return True

    async def write_transport_frame(self, frame: Frame) -> None:
        """Lets timed frames that are due go before a mark.

        Args:
            frame: A frame that has waited for the audio before it.
        """
        if isinstance(frame, Mark):
            if self._limit == float("inf"):
                # Nothing is left to play, and in silence time goes on by itself.
                self.clock.now = max(self.clock.now, self._timed.latest())
                self._timed.look()
            await self._timed.quiet()

    def _fits(self, frame: OutputAudioRawFrame | None) -> bool:
        return frame is None or self.clock.now + _length(frame) <= self._limit


class _DueQueue(FramePriorityQueue):
    """The clock queue of a media sender: gives a frame out when its time has come.

    The sender's own task then never has to sleep, and what it does about interruptions stays its
    own. The end of the call waits for nothing, as there.
    """

    def __init__(self, clock: AudioClock) -> None:
        super().__init__(frame_getter=lambda item: item[2])
        self._clock = clock
        self._given = False
        self._changed = asyncio.Event()

    def look(self) -> None:
        """The time has changed."""
        self._changed.set()

    def latest(self) -> int:
        """When the last of its frames is due, in nanoseconds."""
        times = [item[0] for item in self._queue]  # type: ignore[attr-defined]
        return max((time for time in times if time != float("inf")), default=0)

    async def quiet(self) -> None:
        """Waits until every frame whose time has come has been passed on."""
        while self._given or self._due():
            self._changed.clear()
            await self._changed.wait()

    async def get(self) -> Any:
        while not self._due():
            self._changed.clear()
            await self._changed.wait()
        self._given = True
        return self.get_nowait()

    def put_nowait(self, item: Any) -> None:
        super().put_nowait(item)
        self._changed.set()

    def task_done(self) -> None:
        super().task_done()
        self._given = False
        self._changed.set()

    def reset(self) -> None:
        super().reset()
        # The sender gives up waiting for what it was given, too.
        self._given = False
        self._changed.set()

    def _due(self) -> bool:
        if self.empty():
            return False
        time, _, frame = self._queue[0]  # type: ignore[attr-defined]
        return time <= self._clock.now or isinstance(frame, EndFrame)


def _length(frame: OutputAudioRawFrame) -> int:
    """How long audio is, in nanoseconds."""
    return SECOND * frame.num_frames // frame.sample_rate
