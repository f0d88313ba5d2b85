"""What a voice of each kind writes into the context: at the end, and when it is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    LLMAssistantPushAggregationFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams
from pipecat.utils.text.markdown_text_filter import MarkdownTextFilter
from pipecat.utils.text.skip_tags_aggregator import SkipTagsAggregator
from pipecat.utils.text.transforms import strip_markdown

from pipecat_responses.sandbox import Answer, Call, Sandbox
from pipecat_responses.testing import Conversation, Voice, VoiceKind
from tests.support.services import websocket_service

KINDS: list[VoiceKind] = ["sentence", "word", "token"]
FILTERED: dict[str, Callable[[], dict[str, Any]]] = {
    "filter": lambda: {"text_filters": [MarkdownTextFilter()]},
    "transform": lambda: {"text_transforms": [("*", strip_markdown)]},
}

MILESTONES = (
    TTSStartedFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    TTSStoppedFrame,
)

STORY = "Once upon a time there was a king. He had a daughter."
# 15 characters a second: "upon" begins after 5 of them, at 0.33 s; the first sentence ends at
# 2.27 s; "He" begins one character later.


def written(talk: Conversation) -> list[Any]:
    """What of the assistant's the context says."""
    return [text for role, text in talk.history if role == "assistant"]


WRITTEN: dict[str, tuple[str, str, str]] = {
    # What the model says, and what the context says: of sentences, and of words.
    "plain": (STORY, STORY, STORY),
    "newline": ("Hello. Bye.\n", "Hello. Bye.", "Hello. Bye."),
    "paragraphs": ("One. Two.\n\nThree.", "One. Two. Three.", "One. Two. Three."),
    "list": ("Take:\n- milk\n- eggs\n", "Take:\n- milk\n- eggs\n".strip(), "Take: - milk - eggs"),
    "steps": ("So:\n1. Go.\n2. Come.", "So:\n1. Go. 2. Come.", "So: 1. Go. 2. Come."),
    "spaces": ("One  two.  Three  four.", "One  two. Three  four.", "One two. Three four."),
    "emoji": ("Great! \U0001f600 See you.",) * 3,
    "markdown": ("This is **bold** and `code`. Yes.",) * 3,
    "no spaces": ("你好。我很好。", "你好。 我很好。", "你好。 我很好。"),
    "prices": ("It costs $29.99 at 5:30 p.m. today. Dr. Who came.",) * 3,
}


@pytest.mark.parametrize("said", WRITTEN)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_clean_answer(sandbox: Sandbox, kind: VoiceKind, said: str) -> None:
    text, of_sentences, of_words = WRITTEN[said]
    sandbox.script(text)
    async with Conversation(websocket_service(sandbox), tts=kind) as talk:
        heard = await talk.say("Go on")
        assert written(talk) == [of_sentences if kind == "sentence" else of_words]
        assert heard == written(talk)[0]
    assert talk.errors == []


async def test_an_emoji_at_the_end_of_words_is_written_twice(sandbox: Sandbox) -> None:
    # Pipecat 1.14: the word before it takes it along, and then it comes by itself.
    written_of: dict[VoiceKind, str] = {
        "word": "See you \U0001f600 \U0001f600",
        "token": "See you \U0001f600",
    }
    for kind, expected in written_of.items():
        sandbox.script("See you \U0001f600")
        async with Conversation(websocket_service(sandbox), tts=kind) as talk:
            await talk.say("Bye")
            assert written(talk) == [expected]


@pytest.mark.parametrize("how", FILTERED)
@pytest.mark.parametrize("kind", KINDS)
async def test_markdown_is_filtered_for_the_ear_only(
    sandbox: Sandbox, kind: VoiceKind, how: str
) -> None:
    text = "This is **bold and strong**. See `code` here."
    asked: list[str] = []
    voice = Voice(kind, **FILTERED[how]())
    voice.add_event_handler("on_tts_request", lambda _, context, text: asked.append(text))
    sandbox.script(text)
    async with Conversation(websocket_service(sandbox), tts=voice) as talk:
        await talk.say("Go on")
        assert written(talk) == [text]
    # Tokens reach a filter one by one, and half a pair of asterisks is no markup yet.
    joined = "".join(asked) if kind == "token" else " ".join(asked)
    spoken = "This is bold and strong. See code here."
    assert joined == spoken if kind != "token" else joined.startswith("This is ")


async def test_tags_are_kept_together(sandbox: Sandbox) -> None:
    text = "Call <spell>1. 2. 3</spell> now. Bye."
    sandbox.script(text)
    voice = Voice("sentence", text_aggregator=SkipTagsAggregator([("<spell>", "</spell>")]))
    async with Conversation(websocket_service(sandbox), tts=voice) as talk:
        assert await talk.say("Go on") == text
        parts = [f.text for f in talk.spoken.frames if isinstance(f, TTSTextFrame)]
        assert parts == ["Call <spell>1. 2. 3</spell> now.", "Bye."]


@pytest.mark.parametrize(
    ("kind", "seconds", "expected"),
    [
        ("sentence", 0, []),
        ("sentence", 2.0, []),
        ("sentence", 2.4, ["Once upon a time there was a king."]),
        ("sentence", 60, [STORY]),
        ("word", 0, ["Once"]),
        ("word", 0.3, ["Once"]),
        ("word", 0.34, ["Once upon"]),
        ("word", 2.0, ["Once upon a time there was a king."]),
        ("word", 2.4, ["Once upon a time there was a king. He"]),
        ("word", 60, [STORY]),
        ("token", 0.34, ["Once upon"]),
        ("token", 2.4, ["Once upon a time there was a king. He"]),
        ("token", 60, [STORY]),
    ],
)
async def test_an_interruption(
    sandbox: Sandbox, kind: VoiceKind, seconds: float, expected: list[str]
) -> None:
    sandbox.script(STORY, "As you like.")
    async with Conversation(websocket_service(sandbox), tts=kind, paced=True) as talk:
        await talk.start("Tell me a story.")
        await talk.answer_ends()
        await talk.settle()
        played = await talk.play(seconds)
        assert played == pytest.approx(min(seconds, len(STORY) / 15), abs=0.1)
        await talk.interrupt()
        assert written(talk) == expected
        assert await talk.say("Enough.") == "As you like."
        assert written(talk) == [*expected, "As you like."]
    assert talk.errors == []


@pytest.mark.parametrize("how", FILTERED)
async def test_an_interruption_in_the_middle_of_markup(sandbox: Sandbox, how: str) -> None:
    sandbox.script("This is **bold and strong** and so on. Bye.")
    voice = Voice("word", **FILTERED[how]())
    async with Conversation(websocket_service(sandbox), tts=voice, paced=True) as talk:
        await talk.start("Go on")
        await talk.play(0.6)
        await talk.interrupt()
        # Half of a pair of asterisks stays open.
        assert written(talk) == ["This is **bold"]


async def test_the_service_may_still_be_talking(sandbox: Sandbox) -> None:
    sandbox.config.tokens_per_second = 100
    sandbox.script("One two three. " * 50)
    async with Conversation(websocket_service(sandbox), tts="word", paced=True) as talk:
        await talk.start("Go on")
        assert await talk.play(1.5) == pytest.approx(1.5, abs=0.03)
        assert talk.ends == 0
        await talk.interrupt()
        assert written(talk) == ["One two three. One two"]


async def test_playing_bit_by_bit_is_playing_at_once(sandbox: Sandbox) -> None:
    for pieces in ([0.3] * 7, [2.1]):
        sandbox.script(STORY)
        async with Conversation(websocket_service(sandbox), tts="word", paced=True) as talk:
            await talk.start("Go on")
            for seconds in pieces:
                await talk.play(seconds)
            await talk.interrupt()
            assert written(talk) == ["Once upon a time there was a king."]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_interruption_while_calls_wait_behind_the_audio(
    sandbox: Sandbox, kind: VoiceKind
) -> None:
    async def get_time(params: FunctionCallParams) -> None:
        await params.result_callback("12:30")

    context = LLMContext(tools=[FunctionSchema("get_time", "Tells the time.", {}, [], get_time)])
    sandbox.script(Answer(["Let me look.", Call("get_time")]), "Half past twelve.")
    async with Conversation(websocket_service(sandbox), context, tts=kind, paced=True) as talk:
        await talk.start("What time is it?")
        await talk.answer_ends()
        await talk.play(0.4)
        # The call ran long ago, but its frames wait behind the audio, like everything else.
        assert talk.history == [("user", "What time is it?")]
        await talk.interrupt()
        await talk.said.until(lambda: talk.ends == 2)
        await talk.play_all()
        words = [] if kind == "sentence" else [("assistant", "Let me")]
        # Frames of calls cannot be interrupted: the next response follows, and is heard.
        assert talk.history == [
            ("user", "What time is it?"),
            *words,
            ("call", "get_time", {}),
            ("result", "get_time", "12:30"),
            ("assistant", "Half past twelve."),
        ]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_frames_of_a_voice(sandbox: Sandbox, kind: VoiceKind) -> None:
    sandbox.script(STORY)
    async with Conversation(websocket_service(sandbox), tts=Voice(kind, rate=10)) as talk:
        await talk.say("Go on")
        audio = [f for f in talk.played.frames if isinstance(f, TTSAudioRawFrame)]
        seconds = sum(f.num_frames / f.sample_rate for f in audio)
        # A piece of audio that is not full is filled up.
        assert len(STORY) / 10 <= seconds < len(STORY) / 10 + 0.6
        assert not any(any(f.audio) for f in audio)
        order = [type(f) for f in talk.played.frames if isinstance(f, MILESTONES)]
        assert order[:2] == [TTSStartedFrame, BotStartedSpeakingFrame]
        assert set(order[2:]) == {TTSStoppedFrame, BotStoppedSpeakingFrame}
        timed = [f.pts for f in talk.spoken.frames if isinstance(f, TTSTextFrame)]
        if kind == "sentence":
            assert timed == [None, None]
        else:
            assert timed == sorted(pts for pts in timed if pts is not None)
            assert len(timed) == len(STORY.split())


@pytest.mark.parametrize("kind", KINDS)
async def test_speech_of_the_applications_own(sandbox: Sandbox, kind: VoiceKind) -> None:
    async with Conversation(websocket_service(sandbox), tts=kind, paced=True) as talk:
        await talk.worker.queue_frame(
            TTSSpeakFrame("Please hold the line.", append_to_context=True)
        )
        await talk.play_all()
        assert talk.history == [("assistant", "Please hold the line.")]
        assert any(isinstance(f, LLMAssistantPushAggregationFrame) for f in talk.spoken.frames)
