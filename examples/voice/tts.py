"""Text to speech with Hibari, whose English voice comes with its package.

Hibari speaks numbers, times and dates as words by itself. It does not say when it speaks which
word, so that is estimated: each word gets its share of the sentence by the number of its phonemes,
and punctuation the share of a pause.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from hibari import Hibari
from pipecat.frames.frames import Frame, StartFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService
from pipecat.transcriptions.language import Language

SAMPLE_RATE: int = Hibari.sample_rate
"""What the voice speaks at, in samples per second."""

SILENT = 0.01
"""Amplitude below which the beginning and the end of a sentence are silent; 1 is the largest."""

LEAD = 0.05
"""Seconds of silence in front of a sentence. The voice has 0.3, which the user would wait for."""

PAUSES = {",": 3, ";": 4, ":": 4, "—": 4, ".": 5, "!": 5, "?": 5, "…": 5}
"""How many phonemes a pause behind a word is as long as."""


@dataclass(frozen=True)
class Speech:
    """A sentence that was synthesised.

    Attributes:
        audio: 16-bit mono samples, at ``SAMPLE_RATE``.
        words: Each word as it is written, and the second of the audio at which it begins.
    """

    audio: bytes
    words: list[tuple[str, float]]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.audio) / 2 / SAMPLE_RATE


class Synthesizer:
    """The voice, for any thread."""

    def __init__(self) -> None:
        """Loads the voice, which takes half a second."""
        self._voice = Hibari()
        # Loads what is otherwise loaded with the first sentence.
        self._voice("Hello.")

    def sentences(self, text: str) -> list[str]:
        """The sentences of a text."""
        found: list[str] = self._voice.split_sentences(text)
        return found

    def speak(self, sentence: str) -> Speech:
        """Synthesises a sentence; one that cannot be pronounced is silent and short."""
        # With a seed a sentence always sounds the same.
        samples = self._voice(sentence, seed=0)
        loud = np.flatnonzero(np.abs(samples) > SILENT)
        if len(loud):
            samples = samples[max(0, loud[0] - int(LEAD * SAMPLE_RATE)) :]
        audio = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        seconds = (loud[-1] - loud[0]) / SAMPLE_RATE if len(loud) else 0.0
        return Speech(audio, self._times(sentence.split(), seconds))

    def _times(self, words: list[str], seconds: float) -> list[tuple[str, float]]:
        """Words, and when each begins if from the first to the last it takes so long."""
        lengths = [sum(len(part) for part in self._voice.phonemize(word)) for word in words]
        pauses = [PAUSES.get(word[-1], 0) for word in words[:-1]]
        per_phoneme = seconds / max(1, sum(lengths) + sum(pauses))
        steps = [length + pause for length, pause in zip(lengths, pauses, strict=False)]
        starts = [LEAD, *(LEAD + np.cumsum(steps) * per_phoneme)]
        return [(word, float(start)) for word, start in zip(words, starts, strict=True)]


@cache
def synthesizer() -> Synthesizer:
    """The process's synthesizer."""
    return Synthesizer()


class HibariTTSService(TTSService):
    """Speaks sentence by sentence, with an estimate of when each word is heard.

    So the context holds the words that were heard when the user interrupts. Synthesis happens in a
    thread of the service's own, at about a hundred times the speed of speech. An interruption drops
    the sentences that were not synthesised yet.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Takes what ``TTSService`` takes, but for how frames are pushed and the settings."""
        super().__init__(
            push_text_frames=False,
            push_start_frame=True,
            push_stop_frames=True,
            settings=TTSSettings(model="hibari", voice="heart", language=Language.EN),
            **kwargs,
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tts")
        self._playback = _Playback("")

    def can_generate_metrics(self) -> bool:
        """The time to the first audio is measured."""
        return True

    async def start(self, frame: StartFrame) -> None:
        """Has the voice loaded, so that the first sentence does not wait for it."""
        await super().start(frame)
        await asyncio.get_running_loop().run_in_executor(self._thread, synthesizer)

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Synthesises a text.

        Args:
            text: The text.
            context_id: What its audio belongs to.

        Yields:
            The audio of one sentence after the other.
        """
        if self._playback.context_id != context_id:
            self._playback = _Playback(context_id)
        await self.start_tts_usage_metrics(text)
        for sentence in await self._in_thread(_sentences, text):
            speech = await self._in_thread(_speak, sentence)
            start = self._playback.add(speech.seconds, self.get_clock().get_time() / 1e9)
            words = [(word, start + at) for word, at in speech.words]
            await self.add_word_timestamps(words, context_id)
            async for frame in self._stream_audio_frames_from_iterator(
                _once(speech.audio), in_sample_rate=SAMPLE_RATE, context_id=context_id
            ):
                yield frame

    async def _in_thread(self, call: Any, text: str) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, text)

    async def cleanup(self) -> None:
        """Ends the thread, once it is done with the sentence it is at."""
        await super().cleanup()  # type: ignore[no-untyped-call]
        self._thread.shutdown(wait=False, cancel_futures=True)


class _Playback:
    """When the audio of one context is heard, in seconds from its beginning."""

    def __init__(self, context_id: str) -> None:
        self.context_id = context_id
        self._begun: float | None = None
        self._end = 0.0

    def add(self, seconds: float, now: float) -> float:
        """Puts audio behind that which is there.

        Args:
            seconds: Its length.
            now: The pipeline's time, in seconds.

        Returns:
            When it begins: behind the audio before, or now, if that has been played.
        """
        if self._begun is None:
            self._begun = now
        start = max(self._end, now - self._begun)
        self._end = start + seconds
        return start


def _sentences(text: str) -> list[str]:
    return synthesizer().sentences(text)


def _speak(sentence: str) -> Speech:
    return synthesizer().speak(sentence)


async def _once(audio: bytes) -> AsyncIterator[bytes]:
    yield audio
