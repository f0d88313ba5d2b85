"""No word twice, and none left out, where an answer is taken up again."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipecat_responses.protocol.splice import MEMORY, SHORTEST, Splice


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
    ("The weather in Paris is", "in Paris is sunny.", " sunny."),
    ("The weather in Paris is", "weather in Paris is", ""),
    ("The weather in Paris is", " in Paris is sunny.", " sunny."),
    ("The weather in Paris is", "\n\nin Paris is sunny.", " sunny."),
    ("The weather in Paris is", "Paris is sunny.", " sunny."),
    ("The weather in Paris is", "is sunny.", "is sunny."),  # Too short to be sure.
    ("The weather in Paris is", "aris is sunny.", "aris is sunny."),  # Not a word's beginning.
    ("The weather in Par", "is is sunny.", "is is sunny."),
    ("The weather in Par", "weather in Paris is sunny.", "is is sunny."),
    ("The weather in Paris is", "in Paris was sunny.", "in Paris was sunny."),
    ("The weather in Paris is", "in Paris", "in Paris"),  # Not a repetition in full.
    ("The weather in Paris is", "", ""),
    ("The weather in Paris is", "  ", "  "),
    ("", "Hello there, friend.", "Hello there, friend."),
    ("Hi", "Hi, how are you?", "Hi, how are you?"),
    ("la la la la la la", "la la la la la la yes", " yes"),
    ("la la la la la la", "la la la yes", " yes"),
    ("no, no, no, no, no", " no, no, no, never", ", never"),
    (LONG, LONG + " and so on", " and so on"),
    (LONG, LONG[-200:].partition(" ")[2] + " and so on", " and so on"),
    (LONG, LONG[:300], LONG[:300]),
    ("Straße in München: größer", "in München: größer als", " als"),
    ("你好你好你好你好", "你好你好你好你好吗", "吗"),
]


@pytest.mark.parametrize(("said", "on", "heard"), CASES)
def test_cases(said: str, on: str, heard: str) -> None:
    assert joined(said, [on]) == heard
    assert joined(said, list(on)) == heard
    for at in range(len(on) + 1):
        assert joined(said, [on[:at], on[at:]]) == heard


WORDS = st.lists(
    st.sampled_from(["la", "no", "a", "the", "weather", "Paris", "is", "größer", "42", "don't"]),
    max_size=12,
).map(" ".join)
TEXTS = WORDS | st.text(max_size=60)


@given(TEXTS, TEXTS, st.lists(st.integers(0, 80)))
def test_it_does_not_matter_how_a_continuation_is_cut(said: str, on: str, cuts: list[int]) -> None:
    assert joined(said, cut(on, cuts)) == joined(said, [on])


@given(TEXTS, TEXTS, st.lists(st.integers(0, 80)), st.integers(0, 60))
def test_a_repetition_from_a_words_beginning_is_taken_off(
    said: str, rest: str, cuts: list[int], back: int
) -> None:
    tail = said[-MEMORY:]
    starts = [i for i in range(len(tail)) if i == 0 or not tail[i - 1].isalnum()]
    starts = [i for i in starts if len(tail) - i >= SHORTEST and not tail[i].isspace()]
    assume(starts)
    repeated = tail[starts[back % len(starts)] :]
    heard = joined(said, cut(repeated + rest, cuts))
    # With more of the same behind it, even more may be a repetition.
    assert (repeated + rest).endswith(heard)
    assert len(heard) <= len(rest)


@given(TEXTS, TEXTS, st.lists(st.integers(0, 80)))
def test_a_fresh_continuation_is_not_altered(said: str, on: str, cuts: list[int]) -> None:
    bare = on.lstrip()
    assume(not any(bare.startswith(said[i:]) for i in range(len(said) - SHORTEST + 1)))
    assert joined(said, cut(on, cuts)) == on


@given(TEXTS, TEXTS, st.lists(st.integers(0, 80)))
def test_what_is_heard_is_the_end_of_what_came(said: str, on: str, cuts: list[int]) -> None:
    assert on.endswith(joined(said, cut(on, cuts)))


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
