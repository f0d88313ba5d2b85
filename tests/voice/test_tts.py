from __future__ import annotations

import numpy as np
import pytest
import soxr
from examples.voice import recognizer
from examples.voice.tts import SAMPLE_RATE, HibariTTSService, synthesizer
from pipecat.frames.frames import TTSAudioRawFrame

from pipecat_responses.sandbox import Sandbox
from pipecat_responses.testing import Conversation
from tests.support.services import websocket_service

STORY = (
    "Once upon a time there was a king. He had a horse that could sing. "
    "They lived happily ever after."
)


def understood(samples: bytes, rate: int) -> str:
    """What the recognizer makes of samples."""
    resampled = soxr.resample(np.frombuffer(samples, "<i2"), rate, recognizer.SAMPLE_RATE)
    quiet = np.zeros(recognizer.SAMPLE_RATE // 2, "<i2")
    return recognizer.recognize(np.concatenate([quiet, resampled, quiet]).tobytes())


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("It is 9:30am.", "it is nine thirty am"),
        pytest.param(
            "I want to book a table for 4 people.",
            "i want to book a table for four people",
            marks=pytest.mark.long_calls,
        ),
    ],
)
async def test_what_is_spoken_is_understood(sentence: str, words: str) -> None:
    assert understood(synthesizer().speak(sentence).audio, SAMPLE_RATE) == words


async def test_words_have_times_that_go_on_within_the_audio() -> None:
    text = "Well, at 9:30am a king had 3 horses."
    speech = synthesizer().speak(text)
    assert " ".join(word for word, _ in speech.words) == text
    times = [at for _, at in speech.words]
    assert times == sorted(set(times))
    assert times[0] >= 0
    assert times[-1] < speech.seconds


async def test_what_cannot_be_pronounced_is_no_error() -> None:
    speech = synthesizer().speak("…")
    assert [word for word, _ in speech.words] == ["…"]


async def test_an_answer_is_spoken_and_the_context_has_its_words() -> None:
    async with Sandbox() as sandbox:
        sandbox.script(STORY)
        voice = HibariTTSService()
        async with Conversation(websocket_service(sandbox), tts=voice) as talk:
            assert await talk.say("Tell me a story.") == STORY
            assert talk.history == [("user", "Tell me a story."), ("assistant", STORY)]
            spoken = [f for f in talk.spoken.frames if isinstance(f, TTSAudioRawFrame)]
            assert len(spoken) == 3
            last = understood(spoken[2].audio, spoken[2].sample_rate)
            assert last == "they lived happily ever after"
        assert not talk.errors


async def test_after_an_interruption_the_context_has_what_was_heard() -> None:
    async with Sandbox() as sandbox:
        sandbox.script(STORY)
        async with Conversation(
            websocket_service(sandbox), tts=HibariTTSService(), paced=True
        ) as talk:
            await talk.start("Tell me a story.")
            await talk.play(2.6)
            await talk.interrupt()
            heard = talk.history[-1][1]
            assert STORY.startswith(heard)
            assert heard.startswith("Once upon a time there was a king. He")
            assert len(heard) < len(STORY) / 2 + len("He had a horse")


async def test_the_threads_end_with_the_service() -> None:
    async with Sandbox() as sandbox:
        sandbox.script("Hello.")
        voice = HibariTTSService()
        async with Conversation(websocket_service(sandbox), tts=voice) as talk:
            await talk.say("Hello.")
        for thread in voice._thread._threads:
            thread.join()
        assert voice._thread._shutdown
