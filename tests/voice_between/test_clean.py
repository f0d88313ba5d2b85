"""Answers that are heard to their end: each turn sends what the user said, and nothing else."""

from __future__ import annotations

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from pipecat_responses.sandbox import Answer, Call, Sandbox, Text
from tests.support.portions import portion
from tests.voice_between.oracle import letters
from tests.voice_between.shapes import NOT_RECOGNISED, SHAPES
from tests.voice_between.support import (
    anchor_is_laid,
    dropped,
    heard,
    model_knows_what_was_said,
    recognised,
    service,
    ways,
)
from tests.voice_between.ways import WAYS

UNLIKE = [
    "none",
    "sentence",
    "word",
    "token",
    "word, stripped",
    "sentence behind a processor",
    "word behind a stripping processor",
]
"""Ways that have little in common."""


async def look(params: FunctionCallParams) -> None:
    """Looks something up."""
    await params.result_callback("found")


def with_a_tool() -> LLMContext:
    return LLMContext(tools=[FunctionSchema("look", "Looks it up.", {}, [], look)])


def in_pieces(text: str) -> Text:
    """A text in tokens that do not end where words do."""
    return Text(text, [text[at : at + 3] for at in range(0, len(text), 3)])


@pytest.mark.parametrize("name", WAYS)
async def test_answers(sandbox: Sandbox, name: str) -> None:
    way = WAYS[name]
    llm = service(sandbox)
    # To a voice that is given single tokens without their markup, half a word is a word.
    whole_words = name == "token, stripped"
    async with way.conversation(llm) as talk:
        for number, (shape, text) in enumerate(portion(recognised(name), [*WAYS].index(name), 3)):
            sandbox.script(text if whole_words or number % 2 == 0 else in_pieces(text))
            await talk.say(shape)
            assert number == 0 or len(sandbox.requests[-1].input) == 1, "the shape before"
            assert heard(talk, way) == letters(text, dropped(way))
            model_knows_what_was_said(sandbox, talk, way, text)
        sandbox.script("Bye.")
        await talk.say("That is all.")
        model_knows_what_was_said(sandbox, talk, way, "Bye.")
    assert len(sandbox.requests[-1].input) == 1
    assert (llm.stats.incremental, llm.stats.full) == (number + 1, 1)
    assert not talk.errors


@pytest.mark.parametrize("first", ["call", "text"])
@pytest.mark.parametrize("name", UNLIKE)
async def test_answers_with_a_call(sandbox: Sandbox, name: str, first: str) -> None:
    way = WAYS[name]
    llm = service(sandbox)
    async with way.conversation(llm, with_a_tool()) as talk:
        number = 2 * UNLIKE.index(name) + (first == "text")
        for shape, text in portion(recognised(name), number, 2 * len(UNLIKE)):
            parts: list[Call | str] = (
                [Call("look"), text] if first == "call" else [text, Call("look")]
            )
            sandbox.script(Answer(parts), "Done.")
            await talk.say(shape, ends=2)
            # What the user said, then the call's result; the text between them is known.
            assert [len(request.input) for request in sandbox.requests[-2:]] == [1, 1]
            model_knows_what_was_said(sandbox, talk, way, "Done.")
    assert llm.stats.full == 1
    assert not talk.errors


@pytest.mark.parametrize("name", UNLIKE)
async def test_answers_of_two_messages(sandbox: Sandbox, name: str) -> None:
    way = WAYS[name]
    llm = service(sandbox)
    shapes = portion(recognised(name), UNLIKE.index(name), 3)
    async with way.conversation(llm) as talk:
        for (shape, commentary), (_, answer) in zip(shapes, shapes[1:] + shapes[:1], strict=True):
            sandbox.script(Answer([Text(commentary), Text(answer)]))
            await talk.say(shape)
            assert shape == shapes[0][0] or len(sandbox.requests[-1].input) == 1, "the one before"
            model_knows_what_was_said(sandbox, talk, way, commentary + answer)
    assert llm.stats.full == 1
    assert not talk.errors


@pytest.mark.parametrize(
    ("shape", "name"), [(shape, name) for shape, (on, _) in NOT_RECOGNISED.items() for name in on]
)
async def test_what_is_not_recognised_is_anchored(sandbox: Sandbox, shape: str, name: str) -> None:
    llm = service(sandbox, anchor_threshold_bytes=0)
    async with WAYS[name].conversation(llm) as talk:
        await talk.say("Hello.")
        for number in range(3):
            sandbox.script(SHAPES[shape].text)
            await talk.say(f"Question {number}.")
            # The user begins to speak. From now on the context is what it will be.
            await anchor_is_laid(llm)
            await talk.interrupt()
            await anchor_is_laid(llm)
            assert llm.stats.anchors > number
            sandbox.script("Yes.")
            await talk.say("And then?")
            assert len(sandbox.requests[-1].input) == 1
            assert llm.stats.last_turn is not None
            assert llm.stats.last_turn.prepared
            # Not what the model had said, but what was heard of it.
            model_knows_what_was_said(sandbox, talk, WAYS[name], "Yes.")
    assert llm.stats.full == 1


def test_every_exception_is_one() -> None:
    for shape, (on, why) in NOT_RECOGNISED.items():
        assert shape in SHAPES
        assert set(on) <= set(ways())
        assert why
