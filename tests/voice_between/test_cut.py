"""Speech that the user cuts short: the turn after continues from the answer before."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from pipecat_responses.sandbox import Answer, Sandbox
from pipecat_responses.testing import Conversation
from tests.support.portions import portion
from tests.voice_between.oracle import letters
from tests.voice_between.support import (
    dropped,
    heard,
    model_knows_what_was_said,
    recognised,
    service,
)
from tests.voice_between.ways import RATE, WAYS, Way

VOICES = ["sentence", "word", "token"]
MORE = ["word, stripped", "sentence behind a processor", "word behind a stripping processor"]


def after_sentences(text: str) -> list[float]:
    """Seconds at which a sentence has been said, and the next one has not begun."""
    ends = re.finditer(r"[.!?\u061f\u0964\u3002\uff01\uff1f]+(?=\s|$|[^\x00-\x7f])|\n", text)
    seconds = [(end.end() - 0.5) / RATE for end in ends][:2]
    # Behind the first sentence in one text, behind the second one in another.
    return portion(seconds, len(text), len(seconds)) if seconds else []


def in_a_word(text: str) -> list[float]:
    """Seconds at which a word in the middle of a text has been said to its half."""
    words = list(re.finditer(r"\S+", text))
    word = words[len(words) // 2]
    return [(word.start() + len(word.group()) / 2) / RATE]


async def cut(sandbox: Sandbox, talk: Conversation, text: str, seconds: float) -> None:
    """The user hears so much of an answer, and speaks."""
    sandbox.script(text)
    await talk.start("Go on.")
    await talk.answer_ends()
    await talk.settle()
    await talk.play(seconds)
    await talk.interrupt()


def was_cut(sandbox: Sandbox, talk: Conversation, way: Way, text: str, said: str) -> None:
    """Asserts that what was heard is a beginning, and that only what is new was sent."""
    # What would be dropped as a whole may be there in part, where the cut came in its middle.
    assert any(letters(text, gone).startswith(said) for gone in (dropped(way), ()))
    request = sandbox.requests[-1]
    assert request.incremental
    # What the user had said before, what was heard of the answer to it, and what the user says.
    new = ["user", "assistant", "user"]
    assert [item["role"] for item in request.input] in (new, ["user", "user"], ["user"])
    model_knows_what_was_said(sandbox, talk, way, "Fine.")


@pytest.mark.parametrize(
    ("name", "where"),
    [
        *((name, after_sentences) for name in VOICES),
        # A stripped text takes other times, but some word is always being said.
        *((name, in_a_word) for name in [*VOICES, *MORE]),
    ],
)
async def test_speech_is_cut(
    sandbox: Sandbox, name: str, where: Callable[[str], list[float]]
) -> None:
    way = WAYS[name]
    names = VOICES if where is after_sentences else [*VOICES, *MORE]
    llm = service(sandbox)
    async with way.conversation(llm, paced=True) as talk:
        await talk.say("Hello.")
        for _, text in portion(recognised(name), names.index(name), len(names)):
            for seconds in where(text):
                await cut(sandbox, talk, text, seconds)
                # The turn before was not cut, and is continued from without a word of it.
                assert len(sandbox.requests[-1].input) == 1
                said = heard(talk, way)
                sandbox.script("Fine.")
                await talk.say("Thank you.")
                was_cut(sandbox, talk, way, text, said)
    assert llm.stats.full == 1
    assert not talk.errors


@pytest.mark.parametrize("name", ["none", "no voice behind a stripping processor"])
async def test_text_is_cut_while_it_arrives(sandbox: Sandbox, name: str) -> None:
    way = WAYS[name]
    llm = service(sandbox)
    async with way.conversation(llm) as talk:
        await talk.say("Hello.")
        for _, text in recognised(name):
            sandbox.script(Answer([text], tokens_per_second=400))
            await talk.start("Go on.")
            await talk.text_arrives()
            await talk.interrupt()
            await talk.settle()
            said = heard(talk, way)
            sandbox.script("Fine.")
            await talk.say("Thank you.")
            was_cut(sandbox, talk, way, text, said)
    assert llm.stats.full == 1
    assert not talk.errors
