"""Speech to text with PocketSphinx, whose English model comes with its package."""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from loguru import logger
from pipecat.frames.frames import Frame, InputAudioRawFrame, StartFrame, TranscriptionFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601

from examples.voice.recognizer import SAMPLE_RATE, process, recognize

LONGEST = SAMPLE_RATE * 2 * 30
"""Bytes of one utterance that are kept: half a minute."""


class PocketSphinxSTTService(SegmentedSTTService):
    """Transcribes what the user says, one transcription each time that they fall silent.

    Needs voice activity detection in the pipeline. Decoding happens in another process, which all
    services share, at about ten times the speed of speech.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Takes what ``SegmentedSTTService`` takes, but for the rate and the settings."""
        super().__init__(
            sample_rate=SAMPLE_RATE,
            ttfs_p99_latency=kwargs.pop("ttfs_p99_latency", 1.0),
            settings=STTSettings(model="en-us", language=Language.EN),
            **kwargs,
        )

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
        await self._recognize(b"")

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
        await self.start_processing_metrics()
        text = await self._recognize(audio)
        await self.stop_processing_metrics()
        if text:
            logger.debug(f"{self}: heard [{text}]")
            yield TranscriptionFrame(text, self._user_id, time_now_iso8601(), Language.EN)

    async def _recognize(self, audio: bytes) -> str:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(process(), recognize, audio)
        except BrokenProcessPool:
            # It was killed, perhaps in another call's utterance.
            process.cache_clear()
            return await loop.run_in_executor(process(), recognize, audio)
