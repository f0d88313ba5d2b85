"""When a context says what a response said.

What Pipecat makes of a text is not imitated here: its own aggregators, transforms and filters are
called, and real TTS services run in a real pipeline.
"""

from __future__ import annotations

import asyncio
import re
import sys
import unicodedata
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from num2words import num2words
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.aggregators.llm_text_processor import LLMTextProcessor
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TextAggregationMode, TTSService
from pipecat.utils.string import TextPartForConcatenation, concatenate_aggregated_text
from pipecat.utils.text.base_text_aggregator import BaseTextAggregator
from pipecat.utils.text.markdown_text_filter import MarkdownTextFilter
from pipecat.utils.text.pattern_pair_aggregator import MatchAction, PatternPairAggregator
from pipecat.utils.text.simple_text_aggregator import SimpleTextAggregator
from pipecat.utils.text.skip_tags_aggregator import SkipTagsAggregator
from pipecat.utils.text.transforms import (
    VoiceFormatter,
    email_to_speech,
    expand_currency,
    expand_numbers,
    expand_percentages,
    expand_phone_numbers,
    expand_units,
    normalize_acronyms,
    normalize_dates,
    strip_markdown,
)
from pipecat.workers.runner import WorkerRunner

from pipecat_responses.protocol.speech import Speech, at_end, follow
from pipecat_responses.protocol.speech_wording import cardinal
from tests.support.contexts import messages_of

SAMPLES = settings(max_examples=25, deadline=None, derandomize=True)


def says(response: str, *heard: str) -> bool:
    """Whether messages, one after the other, say what a response said."""
    speech = Speech.of(response)
    position: int | None = 0
    for each in heard:
        if position is None:
            return False
        position = follow(speech, position, Speech.of(each))
    return position is not None and at_end(speech, position)


# -- a pipeline with a TTS service --------------------------------------------------------------


class Model(FrameProcessor):
    """Answers with one text after the other, in small pieces."""

    def __init__(self, answers: Iterable[str]) -> None:
        super().__init__()
        self._answers = iter(answers)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self.push_frame(LLMFullResponseStartFrame())
            for piece in re.findall(r"\s*\S{1,4}|\s+", next(self._answers)):
                await self.push_frame(LLMTextFrame(piece))
            await self.push_frame(LLMFullResponseEndFrame())
        else:
            await self.push_frame(frame, direction)


class Voice(TTSService):
    """Speaks at once; reports words if it is told how to split a text into them."""

    def __init__(
        self,
        words: Callable[[str], list[str]] | None = None,
        *,
        spaces_included: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            push_text_frames=words is None,
            push_start_frame=True,
            push_stop_frames=True,
            stop_frame_timeout_s=0.02,
            sample_rate=16000,
            settings=TTSSettings(model=None, voice=None, language=None),
            **kwargs,
        )
        self._words = words
        self._spaces_included = spaces_included

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame, None]:
        yield TTSAudioRawFrame(bytes(320), 16000, 1, context_id=context_id)
        if self._words is not None:
            await self.start_word_timestamps()  # type: ignore[no-untyped-call]
            await self.add_word_timestamps(
                [(word, 0.01 * n) for n, word in enumerate(self._words(text))],
                context_id,
                includes_inter_frame_spaces=self._spaces_included,
            )


async def contexts_of(
    answers: Iterable[str], voice: TTSService, *before: FrameProcessor
) -> list[str]:
    """What the context says once each text has been spoken."""
    context = LLMContext()
    pair = LLMContextAggregatorPair(context)
    stopped = asyncio.Event()

    async def on_stopped(*_: object) -> None:
        stopped.set()

    pair.assistant().add_event_handler("on_assistant_turn_stopped", on_stopped)
    answers = list(answers)
    worker = PipelineWorker(
        Pipeline([Model(answers), *before, voice, pair.assistant()]),
        cancel_on_idle_timeout=False,
        enable_rtvi=False,
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    async with asyncio.timeout(30):
        for _ in answers:
            stopped.clear()
            await worker.queue_frame(LLMContextFrame(context))
            await stopped.wait()
        await worker.queue_frame(EndFrame())
        await running
    return [str(message["content"]) for message in messages_of(context)]


async def context_of(text: str, voice: TTSService, *before: FrameProcessor) -> str:
    (heard,) = await contexts_of([text], voice, *before)
    return heard


SHAPES = {
    "plain": "Sure. I can help you with that! What would you like to know?",
    "paragraphs": "First paragraph.\n\nSecond paragraph,\nwith a break.\n\n\nThird.",
    "bullets": "You need:\n\n- two eggs\n- 200 g of flour\n- a pinch of salt\n\nThat's all.",
    "starred bullets": "Options:\n* Red\n* Green\n* Blue",
    "nested bullets": "Plan:\n- first\n  - inner one\n  - inner two\n- second",
    "numbered": "Steps:\n\n1. Open the app.\n2. Tap **Settings**.\n3. Log out.",
    "heading": "# Plan\n\nWe start today.\n\n## Details\n\nBring your ID.",
    "bold and italics": "This is **very** important, *really*, and ***both*** too.",
    "bold sentence": "**Note:** it closes at 5 p.m. **Be there. On time.**",
    "quote block": "He wrote:\n\n> Never give up.\n\nI agree.",
    "rule": "Part one.\n\n---\n\nPart two.",
    "link": "See [the docs](https://example.org/a_b?c=1) for more.",
    "bare link": "Go to https://example.org/path and sign up.",
    "inline code": "Run `pip install pipecat-ai` and wait.",
    "code block": "Try this:\n\n```python\nprint('Hello.')\nx = a*b*c\n```\n\nIt prints a line.",
    "table": "Prices:\n\n| Item | Price |\n|------|-------|\n| Tea | $2 |\n\nAnything else?",
    "emoji": "Great! 🎉 See you soon 👋🏽 and take care ❤️",
    "emoji at the end": "You did it! 🎉",
    "phone": "Call 123-456-7890 or +1 800 555 1234 today.",
    "e-mail": "Write to first.last@example.com, please.",
    "price": "That is $42.50, so $1,234 in all.",
    "numbers": "About 1.5 of 3/4, -5 degrees, 50% at 10:30.",
    "date": "It was on 2023-05-10, or 05/11/2023.",
    "units": "Run 5km at 10 mph with 2GB.",
    "acronyms": "The API of the USA and HTTP.",
    "quotes": "She said, \u201cDon\u2019t go.\u201d \u2018Why?\u2019 he asked.",
    "dashes": "Wait\u2014what? From 3\u20135 p.m. \u2013 maybe.",
    "ellipsis": "Well\u2026 let me think... Okay.",
    "abbreviations": "Dr. Smith, e.g., met Mr. J. R. Jones at St. Mary's.",
    "math": "If a < b and b > 2 then x = 2 * y + 1; C++ agrees.",
    "tags": "Spell <spell>AB12</spell> for me. Then go.",
    "parentheses": "It works (mostly). See (1) and [2].",
    "no last stop": "This one just ends",
    "question marks": "Really?! Are you sure?? Yes!!",
    "snake case": "Set my_var_name to snake_case or a/b.",
    "semicolons": "One; two; three: four.",
    "German": "Natürlich! Das Größte kostet 3,50 €. „Schön“, sagte er.",
    "French": "Bien sûr\u00a0! «\u00a0Où est-ce\u00a0?\u00a0» C'est l'été, d'accord.",
    "Spanish": "¡Claro! ¿Cómo estás? Mañana será otro día.",
    "Arabic": "مرحبا! كيف حالك؟ أنا بخير، شكرا.",
    "Hebrew": "שלום! מה שלומך? הכול בסדר, תודה.",
    "Hindi": "नमस्ते! आप कैसे हैं? मैं ठीक हूँ।",
    "Chinese": "你好\uff01今天天气很好。我有 5 个苹果\uff0c1.5 元。",
    "Japanese": "こんにちは。今日は いい天気です。「はい」と言った。",
    "Thai": "สวัสดีครับ วันนี้อากาศดี",
    "Korean": "안녕하세요. 오늘 날씨가 좋습니다! 3시에 만나요.",
    "Russian": "Привет! Как дела? Всё хорошо.",
}


def one_by_one(text: str) -> list[str]:
    return [character for character in text if not character.isspace()]


VOICES: dict[str, Callable[[], Voice]] = {
    "sentences": Voice,
    "tokens": lambda: Voice(text_aggregation_mode=TextAggregationMode.TOKEN),
    "words": lambda: Voice(str.split),
    "words in lower case": lambda: Voice(lambda text: text.lower().split()),
    "formatted for the voice": lambda: Voice(
        text_transforms=[("*", VoiceFormatter(expand_numbers=True))]
    ),
    "stripped for the voice": lambda: Voice(str.split, text_transforms=[("*", strip_markdown)]),
}


@pytest.mark.parametrize("voice", VOICES)
async def test_what_a_voice_leaves_in_the_context_says_the_same(voice: str) -> None:
    heard = await contexts_of(SHAPES.values(), VOICES[voice]())
    for text, each in zip(SHAPES.values(), heard, strict=True):
        assert says(text, each), (text, each)


@pytest.mark.parametrize("name", ["Chinese", "Japanese"])
async def test_words_of_scripts_without_spaces_may_be_joined(name: str) -> None:
    heard = await context_of(SHAPES[name], Voice(one_by_one, spaces_included=True))
    assert " " not in heard
    # The last mark, reported as a word, is written twice.
    assert heard.endswith("。。")
    assert says(SHAPES[name], heard)


@pytest.mark.parametrize("words", [None, str.split])
async def test_text_rewritten_for_everyone_says_the_same(
    words: Callable[[str], list[str]] | None,
) -> None:
    processor = LLMTextProcessor(text_transforms=[("*", VoiceFormatter(expand_numbers=True))])
    heard = await contexts_of(SHAPES.values(), Voice(words), processor)
    for text, each in zip(SHAPES.values(), heard, strict=True):
        assert says(text, each), (text, each)


CODE = "Look here. ```python\nx = 1\n``` That's it. <think>Is it?</think> Yes."


@pytest.mark.parametrize("action", [MatchAction.REMOVE, MatchAction.KEEP])
@pytest.mark.parametrize("words", [None, str.split])
async def test_patterns_say_the_same(
    action: MatchAction, words: Callable[[str], list[str]] | None
) -> None:
    patterns = PatternPairAggregator()
    patterns.add_pattern("code", "```", "```", action)
    patterns.add_pattern("thought", "<think>", "</think>", action)
    heard = await context_of(CODE, Voice(words), LLMTextProcessor(text_aggregator=patterns))
    assert ("x = 1" in heard) is (action is MatchAction.KEEP)
    assert says(CODE, heard)


async def test_an_element_spoken_without_its_tags_says_the_same() -> None:
    text = "Your card is <card>4111 1111</card>. Is that right?"
    patterns = PatternPairAggregator()
    patterns.add_pattern("card", "<card>", "</card>", MatchAction.AGGREGATE)
    heard = await context_of(text, Voice(), LLMTextProcessor(text_aggregator=patterns))
    assert heard == "Your card is 4111 1111 . Is that right?"
    assert says(text, heard)


# -- Pipecat's mechanisms on generated text -----------------------------------------------------

WORDS = st.sampled_from(
    [
        *("we", "can", "talk", "about", "it", "tomorrow", "naïve", "garçon", "Straße", "Größe"),
        *("Привет", "здесь", "you're", "won't", "not", "never", "well-known", "ok", "Anna"),
        *("Berlin", "dogs'", "(maybe)", "[1]", "a/b", "e.g.", "C#", "@home", "a_b"),
    ]
)
DIGITS = st.integers(0, 10**7).map(str)
VALUES = st.one_of(
    DIGITS,
    st.integers(0, 10**8).map(lambda n: f"{n:,}"),
    st.tuples(st.integers(0, 4000), st.integers(0, 999)).map(lambda p: f"{p[0]}.{p[1]}"),
    st.tuples(st.sampled_from("$€£₹"), st.integers(0, 9999), st.integers(0, 99)).map(
        lambda p: f"{p[0]}{p[1]}.{p[2]:02}"
    ),
    st.integers(0, 300000).map(lambda n: f"${n:,}"),
    st.integers(0, 500).map(lambda n: f"¥{n}"),
    st.tuples(st.integers(0, 200), st.sampled_from(["", ".5", ".25"])).map(
        lambda p: f"{p[0]}{p[1]}%"
    ),
    st.tuples(
        st.sampled_from(["1", "5", "12", "2.5"]),
        st.sampled_from(["km", " kg", "m", "in", " MB", " mph", "GHz", "ft", " lb", " hz"]),
    ).map("".join),
    st.dates().map(str),
    st.dates().map(lambda d: f"{d.month:02}/{d.day:02}/{d.year:04}"),
    st.sampled_from(["123-456-7890", "(555) 010-2030", "+1 800 555 1234", "555.123.4567"]),
    st.sampled_from(["anna.b@example.com", "x_y-z+1@my-mail.co", "API", "HTTP", "10:30", "-5"]),
)
MARKDOWN = st.one_of(
    st.lists(WORDS, min_size=1, max_size=3).map(lambda w: f"**{' '.join(w)}**"),
    WORDS.map(lambda w: f"*{w}*"),
    WORDS.map(lambda w: f"`{w}`"),
    WORDS.filter(str.isalpha).map(lambda w: f"[{w}](https://example.org/a?b={w})"),
    st.sampled_from(["🎉", "👍🏽", "😀"]),
)
LAYOUT = st.sampled_from(
    [" ", " ", " ", "\n", "\n\n", "\n- ", "\n* ", "\n\n## ", "\n> ", ". ", "! "]
)


def texts(*tokens: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    token = st.one_of(WORDS, WORDS, *tokens)
    # A word after a layout mark: "> 5" is no quotation.
    part = st.tuples(WORDS.filter(str.isalpha), st.lists(token, max_size=5), LAYOUT)
    return st.lists(part, min_size=1, max_size=6).map(
        lambda parts: "".join(" ".join([head, *rest]) + end for head, rest, end in parts) + "done"
    )


# Pipecat takes three amounts in a row for a phone number.
VALUES = VALUES.map(lambda value: f"{value} or")
PLAIN = texts(VALUES)
RICH = texts(VALUES, MARKDOWN)
TRANSFORMS = {
    "numbers": expand_numbers(digit_cutoff=None),
    "numbers digit by digit": expand_numbers(),
    "currency": expand_currency,
    "percentages": expand_percentages,
    "units": expand_units,
    "dates": normalize_dates,
    "phones": expand_phone_numbers,
    "e-mail": email_to_speech,
    "acronyms": normalize_acronyms,
}


def run(result: Awaitable[Any]) -> Any:
    async def wait() -> Any:
        return await result

    return asyncio.run(wait())


@pytest.mark.parametrize("name", TRANSFORMS)
@SAMPLES
@given(text=PLAIN)
def test_a_shipped_transform_says_the_same(name: str, text: str) -> None:
    # 20-1 would become twenty-one, and 05 five.
    assume(not re.search(r"[2-9]0-[1-9]|(?<![\d.])0\d", text) or "numbers" not in name)
    assert says(text, run(TRANSFORMS[name](text, "sentence")))


@SAMPLES
@given(text=RICH)
def test_a_voice_formatter_says_the_same(text: str) -> None:
    assert says(text, run(VoiceFormatter()(text, "sentence")))


@SAMPLES
@given(text=RICH)
def test_stripped_markdown_says_the_same(text: str) -> None:
    assert says(text, run(strip_markdown(text, "sentence")))


@SAMPLES
@given(text=texts(MARKDOWN))
def test_the_markdown_filter_says_the_same(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        markdown = MarkdownTextFilter()
    # Sentence by sentence, as a TTS service calls it.
    heard = " ".join(
        run(markdown.filter(each)) for each in aggregated(SimpleTextAggregator(), text)
    )
    assert says(text, heard)


def aggregated(aggregator: BaseTextAggregator, text: str) -> list[str]:
    async def aggregate() -> list[str]:
        found = [each.text async for each in aggregator.aggregate(text)]
        rest = await aggregator.flush()
        return found + ([rest.text] if rest else [])

    return asyncio.run(aggregate())


def joined(parts: list[str]) -> str:
    return concatenate_aggregated_text(
        [TextPartForConcatenation(part, includes_inter_part_spaces=False) for part in parts]
    )


AGGREGATORS: dict[str, Callable[[], BaseTextAggregator]] = {
    "sentences": SimpleTextAggregator,
    "tags": lambda: SkipTagsAggregator([("<spell>", "</spell>")]),
    "patterns removed": lambda: (
        PatternPairAggregator()
        .add_pattern("thought", "<think>", "</think>")
        .add_pattern("code", "```", "```")
    ),
    "patterns split off": lambda: PatternPairAggregator().add_pattern(
        "spelled", "<spell>", "</spell>", MatchAction.AGGREGATE
    ),
}
TAGGED = texts(
    VALUES,
    WORDS.map(lambda word: f"**{word}** `{word}`"),
    WORDS.map(lambda word: f"<spell>{word}</spell>"),
    WORDS.map(lambda word: f"<think>Hm, {word}. Or not?</think>"),
    WORDS.map(lambda word: f"```sh\nrun {word} * 2 * 3\n```"),
)


@pytest.mark.parametrize("name", AGGREGATORS)
@SAMPLES
@given(text=TAGGED)
def test_an_aggregator_says_the_same(name: str, text: str) -> None:
    assert says(text, joined(aggregated(AGGREGATORS[name](), text)))


@SAMPLES
@given(text=RICH)
def test_words_joined_anew_say_the_same(text: str) -> None:
    assert says(text, joined(text.split()))
    assert says(text, unicodedata.normalize("NFD", text))
    assert says(
        text, text.replace("'", "\u2019").replace("-", "\u2013").replace(" ", "\u00a0\u200b")
    )


@SAMPLES
@given(number=st.integers(0, 10**14))
def test_numbers_are_spelled_out_as_pipecat_does(number: int) -> None:
    for each in (number, number % 10**6, number % 1200, number - number % 1000):
        assert cardinal(each) == num2words(each, lang="en")


# -- what must never be equal -------------------------------------------------------------------

DIFFERENT = [
    ("1.5", "15"),
    ("1.5", "1 5"),
    ("15", "1 5"),
    ("-5", "5"),
    ("It is -5.", "It is - 5."),
    ("\u22125", "5"),
    ("3/4", "34"),
    ("10:30", "1030"),
    ("10:30", "10 30"),
    ("50%", "50"),
    ("50%", "fifty"),
    ("$5", "5"),
    ("€5", "$5"),
    ("€5", "five dollars"),
    ("$5.005", "five dollars"),
    ("¥5.50", "five yen"),
    ("$42.50", "forty-two dollars"),
    ("$42.50", "forty-two dollars and fifteen cents"),
    ("21", "twenty"),
    ("20-1", "twenty-one"),
    ("007", "seven"),
    ("50\uff05", "50"),
    ("1…5", "1.5"),
    ("1...5", "1.5"),
    ("5!", "5"),
    ("n! is", "n is"),
    ("f' is", "f is"),
    ('5" wide', "5 wide"),
    ("a < b", "a > b"),
    ("a < b", "a b"),
    ("C++", "C"),
    ("C#", "C"),
    (".NET", "NET"),
    ("x = 2", "x 2"),
    ("2*3", "23"),
    ("2 * 3 * 4", "2 3 4"),
    ("a*b*c", "abc"),
    ("my_var", "myvar"),
    ("__init__", "init"),
    ("The __init__ of __main__.", "The init of main."),
    ("a__b c__d", "ab cd"),
    ("__ a b __", "a b"),
    ("Fill in ___ and ___.", "Fill in and ."),
    ("List<int>", "List"),
    ("a <b> c", "a c"),
    ("(a + b) * c", "a + b * c"),
    ("> 5 apples", "5 apples"),
    ("I can't.", "I can."),
    ("I can't.", "I can"),
    ("I do not agree.", "I do agree."),
    ("I do <b>not</b> agree.", "I do agree."),
    ("I do agree.", "I do not agree."),
    ("do", "don't"),
    ("Ask Anna.", "Ask Hanna."),
    ("Ask Anna.", "Ask anna."),
    ("the rapist", "therapist"),
    ("ice cream", "icecream"),
    ("One. Two. Three.", "One. Three."),
    ("One. Two.", "Two. One."),
    ("One.", "One. Two."),
    ("```\nx = 1\n```\nDone.", "```\nDone."),
    ("```\nx = 1\ny = 2\n```\nDone.", "```\nx = 1\n```\nDone."),
    ("Use `x.y` here", "Use xy here"),
    ("We met on 2023-05-10.", "We met on May 11th, two thousand and twenty-three."),
    ("Call 123-456-7890.", "Call 1 2 3 4 5 6 7 8 9 1."),
    ("5km", "five miles"),
    ("1 in 5", "1 inch 5"),
    ("42.\nThat is it.", "That is it."),
    ("Answer:\n\n42. That is it.", "Answer: That is it."),
    ("not 今天", "今天"),
    ("3\uff1a30", "330"),
    ("Straße", "Strasse"),
    ("résumé", "resume"),
    ("✅ done", "❌ done"),
    ("✅ done", "done"),
    ("👍", "👎"),
    ("", "x"),
]


@pytest.mark.parametrize(("response", "heard"), DIFFERENT)
def test_never_the_same(response: str, heard: str) -> None:
    assert not says(response, heard)


NEGATIONS = {"can": "can't", "not": "", "never": "ever", "won't": "will", "you're": "you aren't"}


@SAMPLES
@given(text=RICH, data=st.data())
def test_a_changed_text_is_never_the_same(text: str, data: st.DataObject) -> None:
    words = text.split()
    at = data.draw(st.integers(0, len(words) - 1))
    changes: list[list[str]] = [[*words[:at], "not", *words[at:]]]
    word = words[at]
    if re.search(r"[^\W_]", word) and "](" not in word:
        changes.append(words[:at] + words[at + 1 :])
        letters = [n for n, character in enumerate(word) if character.isalnum()]
        where = data.draw(st.sampled_from(letters))
        other = "7" if word[where] != "7" else "8"
        changes.append([*words[:at], word[:where] + other + word[where + 1 :], *words[at + 1 :]])
        changes.append([*words[:at], word[:where] + "x" + word[where:], *words[at + 1 :]])
    if word in NEGATIONS:
        changes.append([*words[:at], NEGATIONS[word], *words[at + 1 :]])
    signed = word[0] in "-$€£₹¥" and word != "-"
    if signed:
        changes.append([*words[:at], word[1:], *words[at + 1 :]])
        changes.append([*words[:at], ("£" if word[0] != "£" else "€") + word[1:], *words[at + 1 :]])
    if at + 1 < len(words):
        swapped = [*words[:at], words[at + 1], word, *words[at + 2 :]]
        if _letters(swapped) != _letters(words):
            changes.append(swapped)
    formatter = VoiceFormatter(expand_numbers=True)
    for change in changes:
        if _letters(change) != _letters(words) or signed:
            assert not says(text, " ".join(change)), (change, words)
            heard, same = (run(formatter(" ".join(each), "sentence")) for each in (change, words))
            assert heard == same or not says(text, heard), (change, words)


def _letters(words: list[str]) -> str:
    # In a link's address nobody hears a change.
    return re.sub(r"\]\([^()\s]*\)|[\W_]", "", "".join(words))


# -- following ----------------------------------------------------------------------------------


@SAMPLES
@given(text=texts(VALUES, MARKDOWN), data=st.data())
def test_a_prefix_follows_but_is_not_the_end(text: str, data: st.DataObject) -> None:
    words = text.split()
    at = data.draw(st.integers(0, len(words)))
    speech = Speech.of(text)
    position = follow(speech, 0, Speech.of(" ".join(words[:at])))
    assert position == len("".join(words[:at]))
    if any(re.search(r"[^\W_]", word) for word in words[at:]):
        assert not at_end(speech, position)


@SAMPLES
@given(text=RICH, data=st.data())
def test_two_messages_lead_where_one_does(text: str, data: st.DataObject) -> None:
    heard = run(strip_markdown(text, "sentence"))
    words = heard.split()
    at = data.draw(st.integers(0, len(words)))
    speech = Speech.of(text)
    middle = follow(speech, 0, Speech.of(" ".join(words[:at])))
    assert middle is not None
    whole = follow(speech, 0, Speech.of(heard))
    assert follow(speech, middle, Speech.of(" ".join(words[at:]))) == whole


def test_messages_may_be_joined_without_a_space() -> None:
    assert says("Let me see.\n\nIt is 5.", "Let me see.", "It is 5.")
    assert says("Let me see.It is 5.", "Let me see.", "It is 5.")


def test_marks_behind_an_emoji_may_be_written_twice() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467."
    assert says(f"Bye {family}", f"Bye {family} {family}")
    assert says('"Bye!"', '"Bye!" !"')
    assert not says("Bye 5.", "Bye 5. 5.")


def test_a_last_word_without_letters_may_be_written_twice() -> None:
    assert says("All set ✅", "All set ✅ ✅")
    assert says("| a | b |", "| a | b | |")
    assert not says("All set ✅ then", "All set ✅ ✅ then")
    assert not says("All set ✅", "All set ✅ ❌")
    assert not says("It is 5", "It is 5 5")
    assert not says("He said no", "He said no no")


def test_bold_may_be_written_with_underscores() -> None:
    assert says("It is __very important__, __is it not__?", "It is very important, is it not?")


def test_nothing_heard_leads_nowhere() -> None:
    speech = Speech.of("Hello.")
    assert follow(speech, 0, Speech.of("")) == 0
    assert follow(speech, 3, Speech.of(" \n")) == 3
    assert at_end(Speech.of(""), 0)


HOSTILE = [
    *("a", "1", "*", "_", "`", "~", "<", "<a", "<a>", "<think>", "</think>", "[", "[x](", "]("),
    *(
        "|",
        "-",
        ".",
        "!",
        '"',
        "'",
        "#",
        ">",
        "$",
        "$1",
        "1,",
        "1.",
        "1%",
        "1-",
        "1 ",
        "+1",
        "(555",
    ),
    *("@", "a@", "a@b", "a.b", "A", "AB ", "1km ", "&amp;", "\\*", "*a", "**a", "_a", "~~a", "`a"),
    *("__a ", "__a b"),
    *("*a ", "**a ", "~~a ", "```", "~~~", "🎉", "🎉\u200d", "。", "¿", "<a b='", '<a b="c" '),
    *(" ", "\n", "\n- ", "\n# ", "\n|-\n", "|-", "</a> <a>"),
]
"""What patterns may stumble over, in large numbers."""


@pytest.mark.parametrize(
    "rest",
    ["", ".", " 🎉", "\n\n---\n", "</b>", "\n</b>", "** ", "](https://example.com)"],
)
def test_what_is_not_heard_is_no_rest(rest: str) -> None:
    opening = {"</b>": "<b>", "** ": "**", "](https://example.com)": "["}.get(rest.lstrip("\n"), "")
    text = f"{opening}Well done{rest}"
    speech = Speech.of(text)
    position = follow(speech, 0, Speech.of("Well done"))
    assert position is not None
    assert at_end(speech, position)


# The user may have interrupted right before a block that would have been read aloud.
BLOCKS = ["\n```\ncode\n```", "\n\n| a |\n|---|\n| b |", " ~~indeed~~", "\n<think>no</think>"]


@pytest.mark.parametrize("rest", [" not", " (1)", " 5", "\n```\ncode", " ✅", *BLOCKS])
def test_what_is_heard_is_a_rest(rest: str) -> None:
    speech = Speech.of("Well done" + rest)
    position = follow(speech, 0, Speech.of("Well done"))
    assert position is not None
    assert not at_end(speech, position)


@given(text=st.one_of(RICH, TAGGED, st.lists(st.sampled_from(HOSTILE)).map("".join)))
def test_only_an_address_is_a_rest_that_begins_like_a_word(text: str) -> None:
    # ``at_end`` relies on it.
    speech = Speech.of(text)
    starts = [start for start in speech.skips if speech.units[start].isalnum()]
    assert all(speech.units.startswith("http", start) for start in starts)


@pytest.mark.parametrize("heard", ["I ca", "I can", "I can'", "50", "C", "C+", "$", "1.", "well"])
def test_half_a_word_is_not_followed(heard: str) -> None:
    text = {"5": "50%", "C": "C++", "$": "$5", "1": "1.5", "w": "well-known"}
    assert follow(Speech.of(text.get(heard[0], "I can't.")), 0, Speech.of(heard)) is None


# -- cost ---------------------------------------------------------------------------------------


@pytest.mark.timeout(15)
@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_texts_take_linear_time(unit: str) -> None:
    # Quadratic time would be more than a quarter of a minute at this size, all in all.
    text = unit * (5_000 // len(unit))
    for response in (text + "x", "x " + text + "\n"):
        for heard in (text[:-3] + "zz", " ".join(text[:500])):
            speech = Speech.of(response)
            follow(speech, 0, Speech.of(heard))
            at_end(speech, 0)


def _calls(work: Callable[[], object]) -> int:
    count = 0

    def counts(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(counts)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_equal_texts_take_next_to_no_work() -> None:
    text = SHAPES["numbers"] * 2400
    assert len(text) > 90_000
    speech, heard = Speech.of(text), Speech.of(text.replace(" ", "\n"))
    assert _calls(lambda: follow(speech, 0, heard)) < 300


def test_an_answer_that_was_cut_before_a_word_needs_no_closer_look() -> None:
    speech = Speech.of("I would say so. " + "But then again, <b>$5</b> is $5. " * 100)
    position = follow(speech, 0, Speech.of("I would say so."))
    assert position is not None
    assert _calls(lambda: at_end(speech, position)) < 30


def test_work_grows_with_the_text_and_no_faster() -> None:
    def work(times: int) -> int:
        text = "\n".join(SHAPES.values()) * times
        heard = run(VoiceFormatter(expand_numbers=True)(text, "sentence"))
        return _calls(lambda: follow(Speech.of(text), 0, Speech.of(heard)))

    assert work(8) < 5 * work(2)
