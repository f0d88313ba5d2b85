"""What the user had heard when speech was cut, reckoned by the clock alone.

A voice says so many characters a second. A word counts as heard when it has begun, the sentence of
a voice without timestamps when it has ended. Nothing here looks at what the pipeline pushed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from pipecat_responses.sandbox import Sandbox
from tests.support.portions import portion
from tests.voice_between.oracle import item_text
from tests.voice_between.support import service
from tests.voice_between.ways import RATE, WAYS

SPOKEN = "Once upon a time there was a king. He had two daughters! They liked to read."
WRITTEN = "Once **upon a time** there was a *king*. He had `two` daughters! They liked to read."
"""The same with markup, which nobody hears."""

Clock = Callable[[str, float], str]


def words_begun(written: str, seconds: float) -> str:
    """The words that have begun after so many seconds; the first one does with the first sound."""
    begun = [match.start() / RATE <= seconds for match in re.finditer(r"\S+", SPOKEN)]
    return " ".join(written.split()[: max(1, sum(begun))])


def sentences_ended(written: str, seconds: float) -> str:
    """The sentences that have ended after so many seconds. There is no pause between them."""
    ended, passed = 0, 0.0
    for sentence in re.split(r"(?<=[.!?]) ", SPOKEN):
        passed += len(sentence) / RATE
        ended += passed <= seconds
    return " ".join(re.split(r"(?<=[.!?]) ", written)[:ended])


def times() -> list[float]:
    """Half a character before each word begins and behind it, and so for sentences that end."""
    beginnings = [match.start() for match in re.finditer(r"\S+", SPOKEN)]
    ends = [match.end() for match in re.finditer(r"[.!?]", SPOKEN)]
    # The audio of sentences has no spaces between them.
    marks = {*beginnings, *(end - number for number, end in enumerate(ends)), 13.25}
    return sorted((mark + side) / RATE for mark in marks for side in (-0.5, 0.5) if mark + side > 0)


VOICES: list[tuple[str, str, Clock]] = [
    # In an order in which each time is that of two voices that differ.
    ("sentence", SPOKEN, sentences_ended),
    ("word", SPOKEN, words_begun),
    ("word, stripped", WRITTEN, words_begun),
    ("token", SPOKEN, words_begun),
    ("sentence, stripped", WRITTEN, sentences_ended),
    ("word behind a processor", SPOKEN, words_begun),
]


@pytest.mark.parametrize("number", range(len(VOICES)), ids=[name for name, _, _ in VOICES])
async def test_what_had_been_heard(sandbox: Sandbox, number: int) -> None:
    name, written, clock = VOICES[number]
    llm = service(sandbox)
    async with WAYS[name].conversation(llm, paced=True) as talk:
        await talk.say("Hello.")
        for seconds in portion(times(), number, 3):
            before = len(talk.context.get_messages())
            sandbox.script(written, "As you like.")
            await talk.start("Tell me a story.")
            await talk.answer_ends()
            await talk.settle()
            await talk.play(seconds)
            await talk.interrupt()
            expected = clock(written, seconds)
            assert talk.history[before + 1 :] == ([("assistant", expected)] if expected else [])
            assert await talk.say("Enough.") == "As you like."
            story, enough = sandbox.requests[-2:]
            # The model is told the same, and no more than is new.
            told = [item_text(item) for item in enough.history[before:]]
            assert told == ["Tell me a story.", *([expected] if expected else []), "Enough."]
            assert story.incremental
            assert len(story.input) == 1
            assert enough.incremental
    assert llm.stats.full == 1
    assert not talk.errors
