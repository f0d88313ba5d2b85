"""What a processor really says in other words: it is anchored, and the log says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from loguru import logger
from pipecat.processors.aggregators.llm_text_processor import LLMTextProcessor

from pipecat_responses import OpenAIResponsesLLMService
from pipecat_responses.sandbox import Sandbox
from pipecat_responses.testing import Conversation, VoiceKind
from tests.voice_between.oracle import exchanges
from tests.voice_between.support import anchor_is_laid, context_of, service

KINDS: list[VoiceKind | None] = [None, "sentence", "word", "token"]


async def howdy(text: str, _: object) -> str:
    return text.replace("Hello", "Howdy")


def talking(llm: OpenAIResponsesLLMService, kind: VoiceKind | None) -> Conversation:
    processor = LLMTextProcessor(text_transforms=[("*", howdy)])
    return Conversation(llm, tts=kind, extra=[processor], record=False, metrics=False)


async def answered(sandbox: Sandbox, talk: Conversation, number: int) -> None:
    """An answer that is rewritten; then the user begins to speak."""
    sandbox.script(f"Hello there, number {number}. Nice to meet you.")
    await talk.say(f"I am number {number}.")
    await anchor_is_laid(talk.llm)
    await talk.interrupt()
    await anchor_is_laid(talk.llm)


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    logger.enable("pipecat_responses")
    lines: list[str] = []
    handler = logger.add(lines.append, level="WARNING", format="{level} {message}")
    yield lines
    logger.remove(handler)
    logger.disable("pipecat_responses")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_anchor_is_laid_once_it_has_been_said(
    sandbox: Sandbox, kind: VoiceKind | None
) -> None:
    llm = service(sandbox, anchor_threshold_bytes=0)
    async with talking(llm, kind) as talk:
        for number in range(6):
            await answered(sandbox, talk, number)
            report = llm.stats.last_turn
            assert report is not None
            assert (report.incremental, report.prepared) == (number > 0, number > 0)
            assert report.items == 1
            # The anchor has given the model the words that were heard.
            seen = exchanges(sandbox.requests[-1].history)
            assert seen == context_of(talk)
    assert llm.stats.full == 1
    assert not talk.errors


THRESHOLDS = [
    pytest.param(None, id="sent again"),
    pytest.param(0, id="anchored"),
]


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("kind", KINDS)
async def test_the_log_says_so_after_three_in_a_row(
    sandbox: Sandbox, kind: VoiceKind | None, threshold: int | None, warnings: list[str]
) -> None:
    llm = service(sandbox, anchor_threshold_bytes=threshold)
    async with talking(llm, kind) as talk:
        for number in range(6):
            await answered(sandbox, talk, number)
            # Two may be an accident.
            assert len(warnings) == (number >= 3)
    assert "Howdy there, number 2" in warnings[0]
    assert "Hello there, number 2" in warnings[0]


async def test_little_is_rather_sent_again(sandbox: Sandbox) -> None:
    llm = service(sandbox, anchor_threshold_bytes=4096)
    async with talking(llm, "word") as talk:
        await talk.say("Hi.")
        for number in range(3):
            await answered(sandbox, talk, number)
        sandbox.script("Bye.")
        await talk.say("Bye.")
    assert llm.stats.anchors == 0
    # From the last answer on that was not rewritten.
    assert [len(each.input) for each in sandbox.requests] == [1, 1, 3, 5, 7]
    assert llm.stats.full == 1


@pytest.mark.parametrize(("coverage", "sent"), [("words", 1), ("exact", 3)])
async def test_a_line_break_at_the_end(sandbox: Sandbox, coverage: str, sent: int) -> None:
    llm = service(sandbox, coverage=coverage)
    async with Conversation(llm, tts="sentence") as talk:
        sandbox.script("Good day.", "Hello.\n", "Bye.")
        for text in ("First.", "Second.", "Third."):
            await talk.say(text)
        assert talk.history[3] == ("assistant", "Hello.")
    assert [len(each.input) for each in sandbox.requests] == [1, 1, sent]
    assert [each.incremental for each in sandbox.requests] == [False, True, True]


@pytest.mark.parametrize("coverage", ["words", "exact"])
async def test_what_is_heard_as_it_was_written_is_always_covered(
    sandbox: Sandbox, coverage: str
) -> None:
    llm = service(sandbox, coverage=coverage)
    async with Conversation(llm, tts="word") as talk:
        for number in range(4):
            sandbox.script(f"That is number {number}. And it is the same.")
            await talk.say("Next.")
    assert [len(each.input) for each in sandbox.requests] == [1, 1, 1, 1]
