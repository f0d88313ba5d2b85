"""The harness itself: what it waits for, what it sees, and what it costs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.frames.frames import (
    AggregatedTextFrame,
    Frame,
    LLMContextFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.responses.llm import OpenAIResponsesLLMService as Theirs

from pipecat_responses.sandbox import Answer, Call, Fault, Reasoning, Sandbox
from pipecat_responses.testing import Conversation, Voice, VoiceKind
from tests.support.contexts import context_of
from tests.support.services import SERVICES, websocket_service

KINDS: list[VoiceKind] = ["sentence", "word", "token"]


async def _get_time(params: FunctionCallParams) -> None:
    await params.result_callback({"time": "12:30"})


def with_a_clock() -> LLMContext:
    """A context with a tool."""
    return LLMContext(tools=[FunctionSchema("get_time", "Tells the time.", {}, [], _get_time)])


@pytest.mark.parametrize("make", SERVICES.values(), ids=SERVICES)
async def test_what_was_heard_is_what_was_said(sandbox: Sandbox, make: Any) -> None:
    sandbox.script("Hello  there.\n", "Bye.")
    async with Conversation(make(sandbox), tts=None) as talk:
        assert await talk.say("Hi") == "Hello  there.\n"
        assert await talk.say("See you") == "Bye."
        assert "".join(talk.texts) == "Hello  there.\nBye."
        assert (talk.starts, talk.ends) == (2, 2)
        assert talk.history == [
            ("user", "Hi"),
            ("assistant", "Hello  there."),
            ("user", "See you"),
            ("assistant", "Bye."),
        ]
        assert {type(d).__name__ for d in talk.metrics} >= {"LLMUsageMetricsData"}
    assert talk.errors == []


@pytest.mark.parametrize("tts", [None, *KINDS])
async def test_tools_of_the_context(sandbox: Sandbox, tts: VoiceKind | None) -> None:
    sandbox.script(Answer(["Let me look.", Call("get_time")]), "Half past twelve.")
    async with Conversation(websocket_service(sandbox), with_a_clock(), tts=tts) as talk:
        heard = await talk.say("What time is it?", ends=2)
        assert heard.replace(".H", ". H") == "Let me look. Half past twelve."
        assert talk.history == [
            ("user", "What time is it?"),
            ("assistant", "Let me look."),
            ("call", "get_time", {}),
            ("result", "get_time", {"time": "12:30"}),
            ("assistant", "Half past twelve."),
        ]
    assert talk.errors == []


async def test_a_history_leaves_out_what_only_openai_reads(sandbox: Sandbox) -> None:
    sandbox.script(Answer([Reasoning(), "Four."]))
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts: list[Any] = [{"type": "text", "text": "Two and two, "}, {"type": "text", "text": "is?"}]
    context = LLMContext([{"role": "developer", "content": parts}])
    async with Conversation(websocket_service(sandbox), context) as talk:
        await talk.say("Well?")
        assert talk.history == [
            ("developer", "Two and two, is?"),
            ("user", "Well?"),
            ("assistant", "Four."),
        ]
    shown = context_of({"role": "user", "content": [picture]})
    assert Conversation(websocket_service(sandbox), shown).history == [("user", [picture])]


async def test_taps_see_frames_at_their_places(sandbox: Sandbox) -> None:
    sandbox.script("Hello there.")
    async with Conversation(websocket_service(sandbox), tts="word") as talk:
        await talk.say("Hi")
        places = (talk.before, talk.said, talk.spoken, talk.played, talk.last)
        for kind, seen in (
            (LLMContextFrame, {"before", "last"}),
            (LLMTextFrame, {"said"}),
            (TTSAudioRawFrame, {"spoken", "played", "last"}),
            (TTSTextFrame, {"spoken", "played"}),
        ):
            assert {t.name for t in places if any(isinstance(f, kind) for f in t.frames)} == seen
    assert talk.spoken is not talk.said


async def test_without_a_voice_the_taps_behind_it_are_the_one_behind_the_service() -> None:
    talk = Conversation(Voice(), tts=None)
    assert talk.spoken is talk.played is talk.said


async def test_nothing_but_counters(sandbox: Sandbox) -> None:
    sandbox.script("Hello there.")
    context = LLMContext([{"role": "user", "content": "Hi"}])
    llm = websocket_service(sandbox)
    async with Conversation(llm, context, tts=None, aggregators=False, record=False) as talk:
        assert talk.pair is None
        assert talk.last is talk.said
        await (await talk.ready()).push_context()
        await talk.answer_ends()
        assert talk.said.text == "Hello there."
        assert talk.said.text_frames > 0
        assert 0 < talk.before.asked_at < talk.said.first_text_at
    assert talk.said.frames == talk.before.frames == []
    assert talk.texts == []
    assert talk.history == [("user", "Hi")]


async def test_ready_waits_for_the_connection(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        await talk.ready()
        assert llm.stats.connections_opened == 1
        await talk.ready()


async def test_a_service_of_pipecats_is_ready_when_its_pipeline_runs(sandbox: Sandbox) -> None:
    llm = Theirs(api_key="any", ws_url=sandbox.ws_url)
    async with Conversation(llm) as talk:
        await talk.ready()
        assert await talk.say("Hi") == 'You said: "Hi". I remember 1 item.'


async def test_errors(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("error", params={"status": 400, "code": "invalid_prompt"}))
    async with Conversation(websocket_service(sandbox), tts="sentence") as talk:
        assert await talk.say("Hi") == ""
        [error] = talk.errors
        assert error.category is not None
        assert talk.history == [("user", "Hi")]


async def test_impatience(sandbox: Sandbox) -> None:
    async with Conversation(websocket_service(sandbox)) as talk:
        patience, talk.patience = talk.patience, 0.05
        with pytest.raises(TimeoutError):
            await talk.answer_ends()
        talk.patience = patience
    with pytest.raises(RuntimeError, match="paced"):
        await talk.play(1)


class Deaf(FrameProcessor):
    """Lets nothing through."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)


@pytest.mark.timeout(20)
def test_a_pipeline_that_does_not_start_is_given_up() -> None:
    async def call() -> None:
        async with Sandbox() as sandbox:
            talk = Conversation(websocket_service(sandbox), extra=[Deaf()], patience=0.05)
            with pytest.raises(TimeoutError):
                await talk.__aenter__()

    # The loop cancels what is left once, which a pipeline survives, and waits for its end.
    asyncio.run(call())


@pytest.mark.parametrize("tts", [None, *KINDS])
async def test_an_interruption_before_a_word(sandbox: Sandbox, tts: VoiceKind | None) -> None:
    sandbox.faults.add(Fault("silence", "created"))
    async with Conversation(websocket_service(sandbox), tts=tts) as talk:
        await talk.start("Hi")
        await talk.said.until(lambda: talk.starts == 1)
        await talk.interrupt()
        await talk.settle()
        assert talk.history == [("user", "Hi")]
        assert await talk.say("Are you there?") == 'You said: "Are you there?". I remember 2 items.'


async def test_the_end_of_a_call_plays_what_is_left(sandbox: Sandbox) -> None:
    sandbox.script("One two three. Four five six.")
    async with Conversation(websocket_service(sandbox), tts="word", paced=True) as talk:
        await talk.start("Count")
        await talk.answer_ends()
        await talk.play(0.1)
        assert talk.history == [("user", "Count")]
    assert talk.history[-1] == ("assistant", "One two three. Four five six.")


async def test_a_cancelled_call_plays_nothing_more(sandbox: Sandbox) -> None:
    sandbox.script("One two three. Four five six.")
    talk = await Conversation(websocket_service(sandbox), tts="word", paced=True).__aenter__()
    await talk.start("Count")
    await talk.answer_ends()
    await talk.play(0.5)
    async with asyncio.timeout(5):
        await talk.cancel()
    assert talk.history[-1] == ("assistant", "One two")


async def test_processors_of_ones_own_stand_in_front_of_the_voice(sandbox: Sandbox) -> None:
    from pipecat.processors.aggregators.llm_text_processor import LLMTextProcessor

    sandbox.script("Hello there. How are you?")
    processor = LLMTextProcessor()
    async with Conversation(websocket_service(sandbox), tts="word", extra=[processor]) as talk:
        assert await talk.say("Hi") == "Hello there. How are you?"
    sentences = [f.text for f in talk.spoken.frames if type(f) is AggregatedTextFrame]
    assert sentences == ["Hello there.", "How are you?"]
