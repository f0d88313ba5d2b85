"""How to know that a response was really continued: the model is told a word and asked for it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from pipecat_responses.doctor.answers import Answer, is_refusal
from pipecat_responses.doctor.line import Line
from pipecat_responses.doctor.server import Server, Told
from pipecat_responses.protocol.errors import ResponsesError

QUESTION = "Which word was it?"

_NOUNS = """
anchor apron basil beacon bramble button candle canyon cedar cherry cobalt comet copper coral
cricket dolphin ember falcon feather fennel garnet ginger glacier granite hammer harbour
hazel heron island ivory jasmine kettle lantern lemon lilac lobster magnet maple marble
meadow mirror nutmeg olive orchid otter paddle parsley pebble pepper pigeon plum puzzle
quartz raven ribbon saddle saffron salmon sparrow spruce thistle tulip velvet walnut
"""
_WORDS = _NOUNS.split()


def new_word() -> str:
    """A word that a model would not guess."""
    return random.choice(_WORDS)


def two_words() -> tuple[str, str]:
    """Two words that differ."""
    first, second = random.sample(_WORDS, 2)
    return first, second


def telling(word: str) -> str:
    """What tells the model a word, and wants next to nothing for an answer."""
    return f"The word is {word}. Keep it in mind, and answer only: ok"


def telling_and_counting(word: str, top: int) -> str:
    """What tells the model a word, and wants a long answer."""
    return f"The word is {word}. Keep it in mind, and count to {top}, in figures, without a break."


class Memory(Enum):
    """What has become of a response that was to be continued."""

    THERE = auto()
    """The model knew the word."""
    REFUSED = auto()
    """The server would not continue from it."""
    DROPPED = auto()
    """The answer came of the question alone: of fewer tokens than what should have been before."""
    UNCERTAIN = auto()
    """The model did not know the word, twice, which may have other reasons."""
    TROUBLE = auto()
    """Something went wrong that says nothing of memory."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """What came of asking for a word.

    Attributes:
        memory: What is to be concluded.
        answer: The last answer.
    """

    memory: Memory
    answer: Answer

    @property
    def error(self) -> ResponsesError:
        """Why it was refused or lost."""
        assert self.answer.error is not None
        return self.answer.error


async def recall(told: Told, ask: Callable[[str], Awaitable[Answer]], *fields: str) -> Recalled:
    """Asks for a word, twice if need be.

    Args:
        told: What the model was told, and in which response.
        ask: Asks the question, continuing from the response of that id.
        fields: What the requests are about besides ``previous_response_id``, as the server would
            name it.
    """
    parent = told.answer
    for _ in range(2):
        assert parent.response_id is not None
        answer = await ask(parent.response_id)
        if answer.error is not None:
            about = ("previous_response_id", *fields)
            refused = is_refusal(answer.error, *about) and parent is told.answer
            return Recalled(Memory.REFUSED if refused else Memory.TROUBLE, answer)
        if told.word in answer.text.lower():
            return Recalled(Memory.THERE, answer)
        if answer.response_id is None:
            break
        parent = answer
    if 0 < answer.input_tokens < told.answer.input_tokens:
        return Recalled(Memory.DROPPED, answer)
    return Recalled(Memory.UNCERTAIN, answer)


async def recall_on(
    server: Server, line: Line, told: Told, *, lane: str | None = None, **fields: Any
) -> Recalled:
    """Asks for a word on a connection, twice if need be.

    Args:
        server: The server that is examined.
        line: The connection.
        told: What the model was told, and in which response.
        lane: The lane to ask on; None for a request without one.
        fields: Other fields of the requests, which are about these too.
    """

    async def ask(parent: str) -> Answer:
        request = server.request(QUESTION, previous_response_id=parent, **fields)
        return await server.ask_on(line, request, lane=lane)

    return await recall(told, ask, *fields)
