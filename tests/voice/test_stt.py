from __future__ import annotations

import asyncio

import numpy as np
import pytest
import soxr
from examples.voice import stt as module
from examples.voice import tts
from examples.voice.recognizer import SAMPLE_RATE, process, recognize
from examples.voice.stt import PocketSphinxSTTService
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import EndFrame, InputAudioRawFrame, TranscriptionFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.workers.runner import WorkerRunner

from pipecat_responses.testing.taps import Tap

PIECE = SAMPLE_RATE * 2 * 20 // 1000
"""Bytes of 20 ms."""


def audio(*sentences: str) -> bytes:
    """Sentences with a second of silence behind each, as a microphone brings them."""
    pieces = []
    for sentence in sentences:
        spoken = np.frombuffer(tts.synthesizer().speak(sentence).audio, "<i2")
        pieces += [
            soxr.resample(spoken, tts.SAMPLE_RATE, SAMPLE_RATE),
            np.zeros(SAMPLE_RATE, "<i2"),
        ]
    return bytes(np.concatenate(pieces).tobytes())


class Listening:
    """A pipeline that listens: voice activity detection, and the service."""

    def __init__(self) -> None:
        self.stt = PocketSphinxSTTService()
        self.tap = Tap("heard")
        vad = VADProcessor(vad_analyzer=SileroVADAnalyzer(), audio_idle_timeout=0)
        self.worker = PipelineWorker(
            Pipeline([vad, self.stt, self.tap]), idle_timeout_secs=None, enable_rtvi=False
        )

    async def hear(self, samples: bytes) -> list[TranscriptionFrame]:
        """Plays samples to it, and ends it."""
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        running = asyncio.create_task(runner.run())
        for start in range(0, len(samples), PIECE):
            piece = samples[start : start + PIECE]
            await self.worker.queue_frame(InputAudioRawFrame(piece, SAMPLE_RATE, 1))
        await self.worker.queue_frame(EndFrame())
        await running
        return [frame for frame in self.tap.frames if isinstance(frame, TranscriptionFrame)]


async def test_a_sentence_that_was_spoken_is_understood() -> None:
    (heard,) = await Listening().hear(audio("What time is it in Paris?"))
    assert heard.text == "what time is it in paris"
    assert heard.finalized
    assert heard.timestamp
    assert heard.language == "en"


async def test_each_sentence_is_a_transcription_and_they_keep_their_order() -> None:
    heard = await Listening().hear(audio("Please tell me a story.", "Count to thirty."))
    assert [each.text for each in heard] == ["please tell me a story", "count to thirty"]


async def test_silence_is_no_transcription() -> None:
    assert await Listening().hear(bytes(SAMPLE_RATE * 4)) == []


@pytest.mark.long_calls
async def test_no_voice_changes_the_next() -> None:
    samples = audio("What is the weather in London?")
    first = recognize(samples)
    recognize(audio("Hello there, this is somebody else."))
    assert recognize(samples) == first == "what is the weather in london"


async def test_services_share_a_process_and_get_another_when_it_is_gone() -> None:
    await Listening().hear(audio("Hello."))
    (first,) = process()._processes.values()
    await Listening().hear(audio("Hello."))
    assert list(process()._processes.values()) == [first]
    first.kill()
    first.join()
    (heard,) = await Listening().hear(audio("What time is it in Paris?"))
    assert heard.text == "what time is it in paris"


async def test_an_utterance_without_an_end_is_kept_within_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LONGEST", SAMPLE_RATE * 2 * 2)
    (heard,) = await Listening().hear(
        audio("I would like to know a lot of things so please count to thirty.")
    )
    assert heard.text.endswith("thirty")
    assert "like to know" not in heard.text
