"""Ears and a voice for a bot from packages alone: pocketsphinx and hibari."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numpy as np
from hibari import Hibari
from pipecat.frames.frames import Frame, TranscriptionFrame, TTSAudioRawFrame, TTSStoppedFrame
from pipecat.services.settings import STTSettings, TTSSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.time import time_now_iso8601
from pocketsphinx import Decoder

SAMPLE_RATE = 24_000
T = TypeVar("T")
R = TypeVar("R")
# Neither of the two can do two things at once.
WORKER = ThreadPoolExecutor(1)
CHUNK = SAMPLE_RATE // 5 * 2


@cache
def decoder() -> Any:
    return Decoder(samprate=16_000, loglevel="FATAL")


@cache
def voice() -> Any:
    return Hibari()


def recognise(pcm: bytes) -> str:
    d = decoder()
    d.start_utt()
    d.process_raw(pcm, full_utt=True)
    d.end_utt()
    found = d.hyp()
    return found.hypstr if found else ""


def synthesise(text: str) -> bytes:
    return bytes((np.clip(voice()(text), -1, 1) * 32767).astype("<i2").tobytes())


def warm_up() -> None:
    """Loads both before anybody speaks: a bot does so before it takes calls."""
    recognise(synthesise("Hello."))


async def aside(work: Callable[[T], R], given: T) -> R:
    """Does something while the call goes on."""
    return await asyncio.get_running_loop().run_in_executor(WORKER, work, given)


class Ears(SegmentedSTTService):
    def __init__(self) -> None:
        super().__init__(
            sample_rate=16_000,
            ttfs_p99_latency=1.0,
            settings=STTSettings(model=None, language=None),
        )

    @property
    def wants_wav_segments(self) -> bool:
        return False

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        text = await aside(recognise, audio)
        if text:
            yield TranscriptionFrame(text, "caller", time_now_iso8601())


class Mouth(TTSService):
    def __init__(self) -> None:
        super().__init__(
            push_text_frames=False,
            push_start_frame=True,
            push_stop_frames=False,
            settings=TTSSettings(model=None, voice=None, language=None),
        )
        self._said: dict[str, float] = {}

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        pcm = await aside(synthesise, text)
        seconds = len(pcm) / 2 / SAMPLE_RATE
        begin = self._said.get(context_id, 0.0)
        self._said[context_id] = begin + seconds
        words = text.split()
        letters = sum(map(len, words)) or 1
        done, times = 0, []
        for word in words:
            times.append((word, begin + seconds * done / letters))
            done += len(word)
        await self.add_word_timestamps(times, context_id)
        for start in range(0, len(pcm), CHUNK):
            frame = TTSAudioRawFrame(
                pcm[start : start + CHUNK], SAMPLE_RATE, 1, context_id=context_id
            )
            await self.append_to_audio_context(context_id, frame)
        yield None

    async def flush_audio(self, context_id: str | None = None) -> None:
        if context_id is not None:
            self._said.pop(context_id, None)
            await self.append_to_audio_context(context_id, TTSStoppedFrame(context_id=context_id))
            await self.remove_audio_context(context_id)
