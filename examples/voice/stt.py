"""Speech to text with PocketSphinx, whose English model comes with its package."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from loguru import logger
from pipecat.frames.frames import Frame, InputAudioRawFrame, StartFrame, TranscriptionFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601
from pocketsphinx import Decoder

SAMPLE_RATE = 16_000
"""What the model was made for, in samples per second."""

STEP = SAMPLE_RATE * 2 * 40 // 1000
"""Bytes that are decoded at a time: 40 ms. The decoder keeps Python's lock for as long as it takes
over them, some milliseconds, and all else on the event loop waits for that."""

LONGEST = SAMPLE_RATE * 2 * 30
"""Bytes of one utterance that are kept: half a minute."""


class Recognizer:
    """The model and its decoder. It takes one utterance at a time, from any thread."""

    def __init__(self) -> None:
        """Loads the model, which takes half a second."""
        self._decoder = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")
        self._new_voice = self._decoder.get_cmn(False)
        self._one_at_a_time = threading.Lock()

    def recognize(self, audio: bytes) -> str:
        """The words of an utterance.

        Args:
            audio: 16-bit mono samples, at ``SAMPLE_RATE``.

        Returns:
            The words in lower case, without punctuation; empty where nothing was understood.
        """
        with self._one_at_a_time:
            # It adapts to a voice; the next utterance may be somebody else's.
            self._decoder.set_cmn(self._new_voice)
            self._decoder.start_utt()
            for start in range(0, len(audio), STEP):
                self._decoder.process_raw(audio[start : start + STEP])
            self._decoder.end_utt()
            found = self._decoder.hyp()
        return found.hypstr if found is not None else ""


@cache
def recognizer() -> Recognizer:
    """The process's recognizer: its model takes 100 MB."""
    return Recognizer()


class PocketSphinxSTTService(SegmentedSTTService):
    """Transcribes what the user says, one transcription each time that they fall silent.

    Needs voice activity detection in the pipeline. Decoding happens in a thread of the service's
    own, at about ten times the speed of speech.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Takes what ``SegmentedSTTService`` takes, but for the rate and the settings."""
        super().__init__(
            sample_rate=SAMPLE_RATE,
            ttfs_p99_latency=kwargs.pop("ttfs_p99_latency", 1.0),
            settings=STTSettings(model="en-us", language=Language.EN),
            **kwargs,
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stt")

    @property
    def wants_wav_segments(self) -> bool:
        """The decoder takes samples."""
        return False

    def can_generate_metrics(self) -> bool:
        """The time from the end of speech to its transcription is measured."""
        return True

    async def start(self, frame: StartFrame) -> None:
        """Has the model loaded, so that the first utterance does not wait for it."""
        await super().start(frame)
        await asyncio.get_running_loop().run_in_executor(self._thread, recognizer)

    async def process_audio_frame(
        self, frame: InputAudioRawFrame, direction: FrameDirection
    ) -> None:
        """Keeps audio for the utterance under way, the latest half minute at most."""
        before = len(self._audio_buffer)
        await super().process_audio_frame(frame, direction)
        excess = len(self._audio_buffer) - LONGEST
        if excess > 0:
            if before < LONGEST:
                logger.warning(f"{self}: an utterance is too long; only its end is transcribed")
            del self._audio_buffer[:excess]

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Transcribes an utterance.

        Args:
            audio: 16-bit mono samples, at ``SAMPLE_RATE``.

        Yields:
            The transcription, if anything was understood.
        """
        loop = asyncio.get_running_loop()
        await self.start_processing_metrics()
        text = await loop.run_in_executor(self._thread, _recognize, audio)
        await self.stop_processing_metrics()
        if text:
            logger.debug(f"{self}: heard [{text}]")
            yield TranscriptionFrame(text, self._user_id, time_now_iso8601(), Language.EN)

    async def cleanup(self) -> None:
        """Ends the thread, once it is done with the utterance it is at."""
        await super().cleanup()  # type: ignore[no-untyped-call]
        self._thread.shutdown(wait=False, cancel_futures=True)


def _recognize(audio: bytes) -> str:
    return recognizer().recognize(audio)
