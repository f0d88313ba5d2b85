"""No word twice, and none left out, where an answer is taken up again."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipecat_responses.protocol.splice import Splice
from tests.support.portions import portion


def joined(said: str, pieces: list[str]) -> str:
    splice = Splice(said)
    return "".join([*map(splice.feed, pieces), splice.finish()])


def cut(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *sorted(min(at, len(text)) for at in cuts), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


LONG = " ".join(f"word{n}" for n in range(200))

# What was said, how it goes on, and what of that is heard.
CASES = [
    ("The weather in Paris is", " sunny today.", " sunny today."),
    ("The weather in Paris is", "The weather in Paris is sunny.", " sunny."),
    ("The weather in Paris is", "the Weather in PARIS is sunny.", " sunny."),
    ("The weather in Paris is", "in Paris is sunny.", " sunny."),
    ("The weather in Paris is", "weather in Paris is", ""),
    ("The weather in Paris is", " in Paris is sunny.", " sunny."),
    ("The weather in Paris is", "\n\nin Paris is sunny.", " sunny."),
    ("The weather in Paris is", "is sunny.", " sunny."),
    ("The weather in Paris is ", "is sunny.", "sunny."),
    ("The weather in Paris is", "sunny.", " sunny."),
    ("The weather in Paris is", ", however, fine.", ", however, fine."),
    ("The weather in Par", "Paris is sunny.", "is is sunny."),
    ("The weather in Par", "weather in Paris is sunny.", "is is sunny."),
    ("The weath", "weather in Paris", "er in Paris"),
    # A mark stands alone, as the word that it begins with has not come.
    ("…one …", "…two.", "two."),
    ("*one* *", "*two*.", "two*."),
    ("1,23", "1,234 dollars", "4 dollars"),
    ("It costs 1,23", "1,234 dollars.", "4 dollars."),
    ("Rome", " Rome, of course.", ", of course."),
    ("Rome,", "Rome, of course.", " of course."),
    ("Well. It is", "It is raining.", " raining."),
    ("It is so", "so nice.", " nice."),
    ("One moment.", "It is sunny.", " It is sunny."),
    ("The weather in Paris is", "in Paris was sunny.", " in Paris was sunny."),
    ("The weather in Paris is", "in Paris", " in Paris"),  # Not a repetition in full.
    ("The weather in Paris is", "", ""),
    ("The weather in Paris is", "  ", "  "),
    ("", "Hello there, friend.", "Hello there, friend."),
    ("  ", "Hello there, friend.", "Hello there, friend."),
    ("Hi", "Hi, how are you?", ", how are you?"),
    ("la la la la la la", "la la la la la la yes", " yes"),
    ("la la la la la la", "la la la yes", " yes"),
    ("no, no, no, no, no", " no, no, no, never", ", never"),
    (LONG, LONG + " and so on", " and so on"),
    (LONG, LONG[-200:].partition(" ")[2] + " and so on", " and so on"),
    (LONG, LONG[:300], " " + LONG[:300]),
    ("Straße in München: größer", "in München: größer als", " als"),
    ("你好你好你好你好", "你好你好你好你好吗", "吗"),
    ("今天天气", "很好。", "很好。"),
    ("A cup of tea\N{GRINNING FACE}", "tea\N{GRINNING FACE}r02.", "r02."),
    ("It costs 3.", "3.5 dollars", "5 dollars"),
    ("It costs 3.", "costs 3.5 dollars", "5 dollars"),
    ("It costs 3. ", "3.5 dollars", "3.5 dollars"),
    ("0000 :", "00000", " 00000"),
    ("0000 :", "0000 :", ""),
    ("rain *", "*bold* today.", "bold* today."),
    ("rain *", " *bold* today.", "bold* today."),
    ("rain *", "bold* today.", "bold* today."),
    ("rain *", "rain *bold* today.", "bold* today."),
    ("It is (", "(or was) fine.", "or was) fine."),
    ("**", "**Bold** words.", "Bold** words."),
    ("Well -", "it is.", " it is."),
    ("Rain.", "\u2026and snow.", " \u2026and snow."),
    ("Rain", "\u2026 and snow.", "\u2026 and snow."),
    ("Well . . .", "Well . . . no", " no"),
    ("rainp00.", "*bold*m00.", " *bold*m00."),
    ("rain", "- and snow", "- and snow"),
    ("20", "°C", "°C"),
    ("I don", "'t know", "'t know"),
]


@pytest.mark.parametrize(("said", "on", "heard"), CASES)
def test_cases(said: str, on: str, heard: str) -> None:
    assert joined(said, [on]) == heard
    assert joined(said, list(on)) == heard
    # Wherever it is cut; a long one in a hundred places.
    for at in portion(range(len(on) + 1), 0, len(on) // 100 + 1):
        assert joined(said, [on[:at], on[at:]]) == heard


WORDS = st.lists(
    st.sampled_from(["la", "no", "a", "the", "weather", "Paris", "is", "größer", "42", "don't"]),
    max_size=12,
).map(" ".join)
TEXTS = WORDS | st.text(max_size=60)


@given(TEXTS, TEXTS, st.lists(st.integers(0, 80)))
def test_it_does_not_matter_how_a_continuation_is_cut(said: str, on: str, cuts: list[int]) -> None:
    assert joined(said, cut(on, cuts)) == joined(said, [on])


@given(WORDS, WORDS, st.lists(st.integers(0, 80)), st.integers(0, 12), st.integers(0, 5))
def test_a_repetition_of_whole_words_is_taken_off(
    said: str, rest: str, cuts: list[int], back: int, off: int
) -> None:
    words = said.split()
    assume(words)
    repeated = " ".join(words[back % len(words) :])
    # What was said may end in the middle of its last word.
    # But not behind a mark, which shows that it is whole.
    heard_before = said[: len(said) - off % len(words[-1])]
    assume(heard_before[-1].isalnum())
    heard = heard_before + joined(heard_before, cut(f"{repeated} {rest}", cuts))
    # With more of the same behind it, even more may be a repetition.
    assert f"{said} {rest}".split()[: len(words)] == heard.split()[: len(words)]
    assert len(heard.split()) <= len(words) + len(rest.split())


@given(TEXTS, TEXTS, st.lists(st.integers(0, 80)))
def test_what_is_heard_is_the_end_of_what_came(said: str, on: str, cuts: list[int]) -> None:
    heard = joined(said, cut(on, cuts))
    assert on.endswith((heard, heard.removeprefix(" ")))


def test_nothing_is_held_back_once_it_is_clear() -> None:
    splice = Splice("The weather in Paris is")
    assert splice.feed(" sun") == " sun"
    assert splice.feed("ny") == "ny"
    assert splice.finish() == ""


def test_a_repetition_is_held_back_and_no_more() -> None:
    splice = Splice("The weather in Paris is")
    assert splice.feed("in Par") == ""
    assert splice.feed("is is") == ""
    assert splice.feed(" sunny") == " sunny"


@pytest.mark.parametrize(
    ("said", "continuation", "heard"),
    [
        ("One moment.", "北京 it is.", " 北京 it is."),
        ("好的。", "北京。", " 北京。"),
        ("One moment.", "moment. It rains.", " It rains."),
        ("One moment. ", "It rains.", "It rains."),
        ("Version 3", "3.5 is out.", " 3.5 is out."),
    ],
)
def test_behind_a_complete_message_another_one_begins(
    said: str, continuation: str, heard: str
) -> None:
    splice = Splice(said, complete=True)
    assert splice.feed(continuation) + splice.finish() == heard
