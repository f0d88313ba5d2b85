"""A telephone line in the process: a transport of Pipecat's, and the two tracks of its call.

Input and output are Pipecat's own base classes, so media senders, resampling, interruptions and
everything else around the audio are those of a real call. Only the wire is ours: 20 ms of audio
each way every 20 ms, as over WebRTC.

The clock is the real one. Pipecat mixes three clocks (frames of audio in the voice activity
detector, timers of asyncio in turn detection, the clock on the wall where the bot stops to speak),
so a call that ran faster would be another call.
"""

from __future__ import annotations

import asyncio
from collections import deque

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    InputAudioRawFrame,
    OutputAudioRawFrame,
    StartFrame,
)
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import BaseTransport, TransportParams

SLOT_MS = 20
"""Milliseconds of audio that go over the line at once."""

SLOT = SLOT_MS / 1000


class Track:
    """What one side of a call has said, and when: 16-bit mono, from the call's beginning on.

    Attributes:
        pcm: All samples so far.
        peaks: The highest sample of each slot of 20 ms.
    """

    def __init__(self) -> None:
        """Begins without any sample."""
        self.pcm = bytearray()
        self.peaks: list[int] = []

    def add(self, audio: bytes) -> None:
        """Adds a slot of audio."""
        self.pcm += audio
        self.peaks.append(max(map(abs, memoryview(audio).cast("h"))))


class Line(BaseTransport):
    """A call in the process, between a pipeline and whoever speaks into it.

    The pipeline takes it for a transport: ``input()``, ``output()``, and the events
    ``on_client_connected`` and ``on_client_disconnected``.

    Attributes:
        sample_rate: Samples a second, both ways.
        spoken: What was spoken into the line.
        played: What the pipeline has played.
        lag: How late the latest slot was at most, in seconds: how far the machine fell behind.
    """

    def __init__(self, sample_rate: int) -> None:
        """Makes a line on which nobody has called yet.

        Args:
            sample_rate: Samples a second, both ways.
        """
        super().__init__()
        self.sample_rate = sample_rate
        self.spoken = Track()
        self.played = Track()
        self.lag = 0.0
        params = TransportParams(
            audio_in_enabled=True,
            audio_in_sample_rate=sample_rate,
            audio_out_enabled=True,
            audio_out_sample_rate=sample_rate,
            audio_out_10ms_chunks=SLOT_MS // 10,
            audio_out_end_silence_secs=0,
        )
        self._input = _Ear(params)
        self._output = _Mouth(params)
        self._to_say: deque[bytes] = deque()
        self._slot_bytes = 2 * sample_rate * SLOT_MS // 1000
        self._slot = asyncio.Event()
        self._register_event_handler("on_client_connected")
        self._register_event_handler("on_client_disconnected")

    def input(self) -> BaseInputTransport:
        """The processor at the pipeline's beginning."""
        return self._input

    def output(self) -> BaseOutputTransport:
        """The processor at the pipeline's end."""
        return self._output

    @property
    def now(self) -> float:
        """Seconds since the call has begun."""
        return len(self.played.peaks) * SLOT

    @property
    def saying(self) -> bool:
        """Whether there is audio that was not spoken yet."""
        return bool(self._to_say)

    def say(self, pcm: bytes) -> None:
        """Speaks into the line, after what is spoken already.

        Args:
            pcm: 16-bit mono at the line's rate; silence fills its last 20 ms.
        """
        for start in range(0, len(pcm), self._slot_bytes):
            piece = pcm[start : start + self._slot_bytes]
            self._to_say.append(piece.ljust(self._slot_bytes, b"\0"))

    async def ready(self) -> None:
        """Waits until the pipeline listens and can speak."""
        await self._input.ready.wait()
        await self._output.ready.wait()

    async def connect(self) -> None:
        """Tells the pipeline that somebody has called."""
        await self._call_event_handler("on_client_connected", self)

    async def disconnect(self) -> None:
        """Tells the pipeline that the caller has hung up."""
        await self._call_event_handler("on_client_disconnected", self)

    async def next_slot(self) -> None:
        """Waits until the next 20 ms have gone over the line."""
        self._slot.clear()
        await self._slot.wait()

    async def run(self) -> None:
        """Carries audio both ways until it is cancelled, 20 ms every 20 ms."""
        loop = asyncio.get_running_loop()
        silence = bytes(self._slot_bytes)
        begin = loop.time()
        while True:
            due = begin + len(self.played.peaks) * SLOT
            await asyncio.sleep(max(0.0, due - loop.time()))
            self.lag = max(self.lag, loop.time() - due)
            # What was spoken until now arrives, and what is played from now on leaves.
            if self.spoken.peaks:
                latest = bytes(self.spoken.pcm[-self._slot_bytes :])
                await self._input.push_audio_frame(InputAudioRawFrame(latest, self.sample_rate, 1))
            self.played.add(self._output.take(self._slot_bytes) or silence)
            self.spoken.add(self._to_say.popleft() if self._to_say else silence)
            self._slot.set()


class _Ear(BaseInputTransport):
    """Where the pipeline listens."""

    def __init__(self, params: TransportParams) -> None:
        super().__init__(params)
        self.ready = asyncio.Event()

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self.ready.set()

    async def push_audio_frame(self, frame: InputAudioRawFrame) -> None:
        if self.ready.is_set():
            await super().push_audio_frame(frame)

    async def stop(self, frame: EndFrame) -> None:
        self.ready.clear()
        await super().stop(frame)

    async def cancel(self, frame: CancelFrame) -> None:
        self.ready.clear()
        await super().cancel(frame)


class _Mouth(BaseOutputTransport):
    """Where the pipeline speaks: takes a chunk at a time, and the next one when it was played."""

    def __init__(self, params: TransportParams) -> None:
        super().__init__(params)
        self.ready = asyncio.Event()
        self._pcm = b""
        self._room = asyncio.Event()

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self.ready.set()

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        # One slot is being played and the next one is here, as in a jitter buffer of 20 ms.
        self._pcm += frame.audio
        self._room.clear()
        await self._room.wait()
        return True

    def take(self, size: int) -> bytes:
        """The next piece to be played; empty if there is none."""
        piece, self._pcm = self._pcm[:size], self._pcm[size:]
        if len(self._pcm) < size:
            self._room.set()
        return piece.ljust(size, b"\0") if piece else b""
