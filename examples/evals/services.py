"""What the harness speaks and listens with, by name in ``scenarios.yaml``."""

from collections.abc import AsyncGenerator
from typing import Any

from pipecat.frames.frames import Frame, TTSAudioRawFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from examples.voice.stt import PocketSphinxSTTService
from examples.voice.tts import SAMPLE_RATE, synthesizer


class Caller(TTSService):
    """The caller's voice. The harness drives it by hand, and keeps what it has said."""

    def __init__(self) -> None:
        super().__init__(settings=TTSSettings(model=None, voice=None, language=None))

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        from pipecat.audio.utils import create_file_resampler

        speech = synthesizer().speak(text).audio
        pcm = await create_file_resampler().resample(speech, SAMPLE_RATE, self.sample_rate)
        yield TTSAudioRawFrame(pcm, self.sample_rate, 1)


def voice(config: dict[str, Any]) -> TTSService:
    """Makes the caller's voice."""
    return Caller()


def ears(config: dict[str, Any]) -> PocketSphinxSTTService:
    """Makes what hears the bot."""
    return PocketSphinxSTTService()
