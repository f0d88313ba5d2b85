"""What is said before a tool is heard while the tool runs, whatever cuts text into sentences."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import pytest
from pipecat.frames.frames import (
    Frame,
    LLMConfigureOutputFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
)
from pipecat.processors.aggregators.llm_text_processor import LLMTextProcessor
from pipecat.processors.frame_processor import FrameDirection
from pipecat.utils.text.base_text_aggregator import BaseTextAggregator, TextType
from pipecat.utils.text.pattern_pair_aggregator import PatternPairAggregator
from pipecat.utils.text.simple_text_aggregator import SimpleTextAggregator
from pipecat.utils.text.skip_tags_aggregator import SkipTagsAggregator

from pipecat_responses import HostedToolEndedFrame, HostedToolStartedFrame
from pipecat_responses.service.pauses import PAUSE
from pipecat_responses.testing import Voice, VoiceKind
from tests.histories.meaning import Call, Meaning, Say, Search, Think, Wire, words_of
from tests.histories.rows import BOTH
from tests.histories.stage import Stage, stage
from tests.histories.steps import Answer, Reset, Step, Wait, changed
from tests.support.hurry import Transport

LOOK, SUN = "One moment. Let me look that up.", "It is sunny in Paris."
COMMENTARY, SUNNY = Say(words_of(LOOK), "commentary"), Say(words_of(SUN), "final_answer")
SEARCHED = (COMMENTARY, Search(), SUNNY)
UNMARKED = (Say(words_of(LOOK)), Search(), Say(words_of(SUN)))
TAGS = ("<spell>", "</spell>")


class Attentive(Voice):
    """A voice that tells what it is given to say.

    Attributes:
        given: The texts, as they come.
        given_in_time: Those of them that came before the end of a tool.
        fallen_silent: Set once what it says has come to an end.
    """

    def __init__(self, kind: VoiceKind = "sentence", **kwargs: Any) -> None:
        super().__init__(kind, **kwargs)
        self.given: list[str] = []
        self.given_in_time: list[str] = []
        self.fallen_silent = asyncio.Event()
        self._changed = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, HostedToolEndedFrame):
            self.given_in_time = list(self.given)
        await super().process_frame(frame, direction)

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        self.given.append(text)
        self._changed.set()
        async for frame in super().run_tts(text, context_id):
            yield frame

    async def on_audio_context_completed(self, context_id: str) -> None:
        await super().on_audio_context_completed(context_id)
        self.fallen_silent.set()

    async def is_given(self, text: str) -> None:
        """Waits until it has been given so much, and no more."""
        async with asyncio.timeout(3.0):
            while squeezed("".join(self.given)) != squeezed(text):
                self._changed.clear()
                await self._changed.wait()


def patterns(**kwargs: Any) -> PatternPairAggregator:
    aggregator = PatternPairAggregator(**kwargs)
    return aggregator.add_pattern("spelt", *TAGS)


WAYS: dict[str, Callable[[], Attentive]] = {
    "sentences": lambda: Attentive("sentence"),
    "words": lambda: Attentive("word"),
    "tokens": lambda: Attentive("token"),
    "tags": lambda: Attentive("word", text_aggregator=SkipTagsAggregator([TAGS])),
    "patterns": lambda: Attentive("sentence", text_aggregator=patterns()),
}


def squeezed(text: str) -> str:
    return "".join(text.split())


def stops(meaning: Meaning, before: str) -> Answer:
    """An answer that waits at the gate ``tool`` before an event of this type."""

    def wait(events: list[Wire]) -> list[Wire | Step]:
        place = next(n for n, event in enumerate(events) if event["type"].endswith(before))
        return [*events[:place], Wait("tool"), *events[place:]]

    return changed(meaning, wait)


def searches(meaning: Meaning = SEARCHED) -> Answer:
    return stops(meaning, "web_search_call.searching")


@contextlib.asynccontextmanager
async def searching(
    transport: Transport, answer: Answer, voice: Attentive | None, **kwargs: Any
) -> AsyncIterator[Stage]:
    """A conversation that has got as far as the tool."""
    limits = {"stall_secs": 5.0, "total_secs": 9.0}
    async with stage(transport, answer, tts=voice, limits=limits, **kwargs) as talk:
        await talk.start("What is the weather?")
        yield talk
        assert talk.errors == []


async def finish(talk: Stage, responses: int = 1) -> None:
    """The tool is through, and all that is left is heard."""
    talk.server.opens("tool")
    await talk.said.until(lambda: talk.ends >= responses, talk.patience)
    await talk.quiet()
    await talk.play_all()


async def goes_on(talk: Stage, transport: Transport, parent: str = "resp_1") -> None:
    """The next turn carries what is new, where the server remembers."""
    await talk.say("Thanks.")
    asked = talk.server.asked[-1]
    if transport == "websocket":
        assert asked.parent == parent
        assert [item["role"] for item in asked.body["input"]] == ["user"]
    assert asked.told is not None
    told = [item["content"] for item in asked.told if item.get("role") == "assistant"]
    texts = [each if isinstance(each, str) else each[0]["text"] for each in told]
    assert texts == [LOOK, SUN]


@BOTH
@pytest.mark.parametrize(
    ("way", "meaning"),
    [*((way, SEARCHED) for way in WAYS), ("words", UNMARKED)],
    ids=[*WAYS, "without a phase"],
)
async def test_a_tool_of_the_servers(way: str, meaning: Meaning, transport: Transport) -> None:
    voice = WAYS[way]()
    async with searching(transport, searches(meaning), voice) as talk:
        await voice.is_given(LOOK)
        await finish(talk)
        await voice.is_given(LOOK + SUN)
        if way != "tokens":
            assert voice.given == ["One moment.", "Let me look that up.", SUN]
        assert talk.history == [
            ("user", "What is the weather?"),
            ("assistant", f"{LOOK} {SUN}"),
        ]
        assert talk.starts == talk.ends == 1
        await goes_on(talk, transport)


@BOTH
@pytest.mark.parametrize("way", ["sentences", "words"])
async def test_a_function(way: str, transport: Transport) -> None:
    """It is heard while the arguments stream."""
    voice = WAYS[way]()
    call = Call("note", {"words": "weather"}, "call_1")
    answer = stops((COMMENTARY, call), "function_call_arguments.done")
    async with searching(transport, answer, voice) as talk:
        talk.server.fallback = changed((SUNNY,), list)
        await voice.is_given(LOOK)
        assert talk.runs == []
        await finish(talk, responses=2)
        assert voice.given == ["One moment.", "Let me look that up.", SUN]
        assert talk.runs == [("note", {"words": "weather"})]
        said = [each for each in talk.history if each[0] == "assistant"]
        assert said == [("assistant", LOOK), ("assistant", SUN)]
        await goes_on(talk, transport, "resp_2")


@BOTH
async def test_several_tools(transport: Transport) -> None:
    """Each is announced, and each announcement is heard before its tool is through."""
    voice = WAYS["words"]()
    more = Say(words_of("Now the second page."), "commentary")
    meaning = (COMMENTARY, Search(), more, Search("page 2"), SUNNY)

    def wait(events: list[Wire]) -> list[Wire | Step]:
        steps: list[Wire | Step] = []
        for event in events:
            if event["type"].endswith("web_search_call.searching"):
                steps.append(Wait(f"tool {event['output_index']}"))
            steps.append(event)
        return steps

    async with searching(transport, changed(meaning, wait), voice) as talk:
        await voice.is_given(LOOK)
        talk.server.opens("tool 1")
        await voice.is_given(LOOK + more.text)
        talk.server.opens("tool 3")
        await finish(talk)
        assert voice.given == ["One moment.", "Let me look that up.", more.text, SUN]
        assert talk.history[-1] == ("assistant", f"{LOOK} {more.text} {SUN}")


@BOTH
async def test_a_tool_that_begins_before_the_message_ends(transport: Transport) -> None:
    voice = WAYS["words"]()

    def begin(events: list[Wire]) -> list[Wire | Step]:
        added = next(e for e in events if e.get("item", {}).get("type") == "web_search_call")
        place = next(n for n, e in enumerate(events) if e["type"] == "response.output_text.done")
        steps: list[Wire | Step] = [event for event in events if event is not added]
        steps.insert(place, added)
        done = next(n for n, e in enumerate(events) if e["type"].endswith("call.searching"))
        return [*steps[:done], Wait("tool"), *steps[done:]]

    async with searching(transport, changed(UNMARKED, begin), voice) as talk:
        await voice.is_given(LOOK)
        await finish(talk)
        assert voice.given == ["One moment.", "Let me look that up.", SUN]
        await goes_on(talk, transport)


@BOTH
async def test_a_sentence_that_breaks_off_is_said_whole(transport: Transport) -> None:
    """What is resumed is no new message, though the model thinks first."""
    voice = WAYS["words"]()

    def lose(events: list[Wire]) -> list[Wire | Step]:
        last = max(n for n, e in enumerate(events) if e["type"].endswith("output_text.delta"))
        return [*events[: last + 1], Reset()]

    lost = changed((Say(words_of("It costs 5.")),), lose)
    rest = changed((Think(), Say(("5.50 ", "euros."))), list)
    async with stage(transport, lost, rest, tts=voice) as talk:
        await talk.say("What does it cost?")
        assert voice.given == ["It costs 5.50 euros."]
        assert talk.errors == []


@BOTH
async def test_a_processor_that_cuts_sentences(transport: Transport) -> None:
    """Pipecat's, between the service and the voice, cuts in the voice's place."""
    voice = Attentive("sentence")
    processor = LLMTextProcessor(text_aggregator=SkipTagsAggregator([TAGS]))
    async with searching(transport, searches(), voice, extra=[processor]) as talk:
        await voice.is_given(LOOK)
        await finish(talk)
        assert voice.given == ["One moment.", "Let me look that up.", SUN]
        assert talk.history[-1] == ("assistant", f"{LOOK} {SUN}")
        await goes_on(talk, transport)


@BOTH
@pytest.mark.parametrize("way", ["sentences", "words"])
async def test_a_tool_that_outlasts_the_voice(way: str, transport: Transport) -> None:
    """The voice has said it all, and takes its text for over; then the answer comes."""
    kind: VoiceKind = "sentence" if way == "sentences" else "word"
    voice = Attentive(kind, stop_frame_timeout_s=0.02)
    async with searching(transport, searches(), voice) as talk:
        await voice.is_given(LOOK)
        async with asyncio.timeout(3.0):
            await voice.fallen_silent.wait()
        await finish(talk)
        assert talk.history[-1] == ("assistant", f"{LOOK} {SUN}")
        assert talk.starts == talk.ends == 1
        await goes_on(talk, transport)


@BOTH
@pytest.mark.parametrize(
    ("way", "seconds", "heard"),
    [("sentences", 1.0, "One moment."), ("words", 1.0, "One moment. Let"), ("words", 2.0, LOOK)],
)
async def test_an_interruption_while_the_tool_runs(
    way: str, seconds: float, heard: str, transport: Transport
) -> None:
    voice = WAYS[way]()
    async with searching(transport, searches(), voice, paced=True) as talk:
        await voice.is_given(LOOK)
        await talk.play(seconds)
        await talk.interrupt()
        assert [each for each in talk.history if each[0] == "assistant"] == [("assistant", heard)]
        await talk.say("Never mind.")
        # The tool's answer never comes.
        assert voice.given[:3] == [
            "One moment.",
            "Let me look that up.",
            "All is well that ends well.",
        ]
        told = talk.server.asked[-1].told
        assert told is not None
        assert [each["content"] for each in told if each.get("role") == "user"][1:] == [
            "Never mind."
        ]
        assert squeezed(str(told)).count(squeezed(heard)) == 1


@BOTH
async def test_without_it(transport: Transport) -> None:
    voice = Attentive("sentence")
    meaning = (Say(("Hold on.",), "commentary"), Search(), SUNNY)
    async with searching(transport, searches(meaning), voice, early_speech=False) as talk:
        await finish(talk)
        assert voice.given_in_time == []
        assert voice.given == ["Hold on.", SUN]
        assert "" not in talk.texts


@BOTH
@pytest.mark.parametrize("text", ["Let me see:", 'I say "wait."', "One moment"])
async def test_a_sentence_that_may_go_on_waits(text: str, transport: Transport) -> None:
    """Pipecat does not look at what has no mark at its end; it is said with what follows, once."""
    voice = Attentive("sentence")
    meaning = (Say(words_of(text), "commentary"), Search(), SUNNY)
    async with searching(transport, searches(meaning), voice) as talk:
        await finish(talk)
        assert voice.given_in_time == []
        await voice.is_given(text + SUN)
        assert squeezed(str(talk.history[-1][1])) == squeezed(text + SUN)


@BOTH
async def test_without_a_voice(transport: Transport) -> None:
    """The text is as it was, and one frame without any stands where it pauses."""
    async with searching(transport, searches(), None) as talk:
        await finish(talk)
        assert talk.history[-1] == ("assistant", f"{LOOK} {SUN}")
        kinds = (LLMFullResponseStartFrame, LLMTextFrame, HostedToolStartedFrame)
        frames = [each for each in talk.said.frames if isinstance(each, kinds)]
        pauses = [n for n, each in enumerate(frames) if getattr(each, "text", None) == ""]
        assert pauses == [next(n for n, each in enumerate(frames) if is_tool(each)) - 1]
        await goes_on(talk, transport)


async def test_an_answer_alone_has_no_pause() -> None:
    async with stage("websocket", changed((Say(words_of(LOOK)),), list)) as talk:
        await talk.turn()
        assert "" not in talk.texts


async def test_a_bot_that_is_not_to_be_heard() -> None:
    voice = Attentive("sentence")
    async with stage("websocket", searches(), tts=voice, limits={"stall_secs": 5.0}) as talk:
        await talk.worker.queue_frame(LLMConfigureOutputFrame(skip_tts=True))
        await talk.start("What is the weather?")
        await finish(talk)
        frames = [each for each in talk.said.frames if isinstance(each, LLMTextFrame)]
        assert all(each.skip_tts for each in frames)
        assert voice.given == []
        assert talk.history[-1] == ("assistant", f"{LOOK} {SUN}")


async def test_measures_are_as_they_were() -> None:
    counts: list[Counter[str]] = []
    for early in (True, False):
        voice = Attentive("sentence")
        async with searching("websocket", searches(), voice, early_speech=early) as talk:
            await finish(talk)
            frames = [each for each in talk.played.frames if isinstance(each, MetricsFrame)]
            measures = [type(data).__name__ for frame in frames for data in frame.data]
            counts.append(Counter(measures))
    assert counts[0] == counts[1]


def is_tool(frame: Any) -> bool:
    return isinstance(frame, HostedToolStartedFrame)


AGGREGATORS: dict[str, Callable[..., BaseTextAggregator]] = {
    "plain": SimpleTextAggregator,
    "tags": lambda **kwargs: SkipTagsAggregator([TAGS], **kwargs),
    "patterns": patterns,
}


async def cut(aggregator: BaseTextAggregator, *texts: str) -> list[str]:
    return [each.text for text in texts async for each in aggregator.aggregate(text)]


@pytest.mark.parametrize("kind", AGGREGATORS)
@pytest.mark.parametrize(
    "text",
    [
        "Let me see.",
        "Wait...",
        "Is it 5.30?",
        "一会儿。",
        "Ask Dr. No.\n\n",
        "Call <spell>1. 2</spell>.",
    ],
)
async def test_aggregators_give_what_they_have(kind: str, text: str) -> None:
    aggregator = AGGREGATORS[kind]()
    before = await cut(aggregator, text)
    (last,) = await cut(aggregator, PAUSE, PAUSE)
    whole = text.replace("<spell>1. 2</spell>", "") if kind == "patterns" else text
    assert squeezed("".join([*before, last])) == squeezed(whole)
    # Nothing is left behind that would be said.
    left = await aggregator.flush()
    assert left is None or not left.text.strip()


@pytest.mark.parametrize("kind", AGGREGATORS)
async def test_it_is_no_token(kind: str) -> None:
    aggregator = AGGREGATORS[kind](aggregation_type=TextType.TOKEN)
    assert await cut(aggregator, "Hello", PAUSE, " there.", PAUSE) == ["Hello", " there."]


def test_it_is_an_empty_text() -> None:
    assert PAUSE == ""
    assert not PAUSE
    assert f"a{PAUSE}b" == "ab"
    assert len(list(PAUSE)) == 1
