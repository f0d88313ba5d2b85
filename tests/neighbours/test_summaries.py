"""Summaries that take the place of a context's older messages, made by the same service."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.frames.frames import LLMContextSummaryResultFrame, LLMSummarizeContextFrame
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregatorParams
from pipecat.utils.context.llm_context_summarization import (
    LLMAutoContextSummarizationConfig,
    LLMContextSummaryConfig,
)

from pipecat_responses.sandbox import Answer, Sandbox
from pipecat_responses.testing import VoiceKind
from tests.neighbours.oracle import says, told
from tests.neighbours.support import (
    ALL,
    ASIDE,
    OURS,
    SPOKEN_SERVICES,
    VOICES,
    Sent,
    agree,
    calling,
    left_running,
    pipecats,
    rows,
    seen,
    turns,
)
from tests.support.services import websocket_service

SUMMARY = "They counted."


def summarising(every: int | None, keep: int = 2, **kwargs: Any) -> LLMAssistantAggregatorParams:
    """An assistant's aggregator that has a summary made after so many messages."""
    return LLMAssistantAggregatorParams(
        enable_auto_context_summarization=every is not None,
        auto_context_summarization_config=LLMAutoContextSummarizationConfig(
            max_context_tokens=None if every else 100_000,
            max_unsummarized_messages=every,
            summary_config=LLMContextSummaryConfig(
                min_messages_after_summary=keep,
                summarization_prompt=f"{ASIDE} it.",
                **kwargs,
            ),
        ),
    )


def respond(given: Any) -> Answer | str:
    if str(given.instructions).startswith(ASIDE):
        return SUMMARY
    # Slow enough for the summary to be made while the turn runs.
    return Answer(f"This is answer {given.count}. It is long.", tokens_per_second=200)


SENT = {
    "websocket": ["first", "+", "+", "context changed", "+", "context changed"],
    "pipecat": ["full", "+", "+", "full", "+", "full"],
}
"""Six turns. The third and the fifth bring a summary, which the turn after each goes out with."""


@SPOKEN_SERVICES
async def test_while_a_turn_runs(sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind) -> None:
    llm = ALL[name](sandbox)
    asked: list[Any] = []

    def noting(given: Any) -> Answer | str:
        if not str(given.instructions).startswith(ASIDE):
            # Later on, a summary may have been put in.
            asked.append(says(talk.context))
        return respond(given)

    sandbox.config.responder = noting
    async with calling(llm, tts=tts, assistant=summarising(5)) as talk:
        for n in range(6):
            await talk.say(f"Say {n}")
            # Without this, a slow machine sends the next turn before its summary is there.
            await seen(talk.last, LLMContextSummaryResultFrame, n // 2)
    assert [told(request.history) for request in turns(sandbox)] == asked
    assert talk.history[0] == ("user", f"Conversation summary: {SUMMARY}")
    assert sent.of(llm, sandbox) == rows(SENT, name)
    beside = [r for r in sandbox.requests if r not in turns(sandbox)]
    # Ours goes on a lane beside the turn; Pipecat's service opens a connection for it.
    assert [r.transport for r in beside] == [("http", "websocket")[name == "websocket"]] * 2
    assert not any(r.incremental for r in beside)


@pytest.mark.parametrize("tts", VOICES)
async def test_on_demand_while_the_bot_speaks(sandbox: Sandbox, sent: Sent, tts: VoiceKind) -> None:
    llm = websocket_service(sandbox)
    sandbox.config.responder = respond
    async with calling(llm, tts=tts, paced=True, assistant=summarising(None)) as talk:
        await talk.say("One")
        await talk.say("Two")
        await talk.start("Three")
        await talk.answer_ends()
        await talk.play(0.5)
        await talk.worker.queue_frame(LLMSummarizeContextFrame())
        await talk.play_all()
        await seen(talk.last, LLMContextSummaryResultFrame)
        await talk.say("Four")
        agree(turns(sandbox)[-1], talk.context)
        await talk.say("Five")
        agree(turns(sandbox)[-1], talk.context)
    assert talk.history[0] == ("user", f"Conversation summary: {SUMMARY}")
    assert sent.by(llm) == ["first", "+", "+", "context changed", "+"]


async def test_an_interruption_does_not_stop_it(sandbox: Sandbox, sent: Sent) -> None:
    llm = websocket_service(sandbox)
    sandbox.config.responder = respond
    async with calling(llm, assistant=summarising(3, keep=0)) as talk:
        await talk.say("One")
        await talk.start("Two")
        await talk.text_arrives()
        await talk.interrupt()
        await seen(talk.last, LLMContextSummaryResultFrame)
        await talk.say("Three")
        agree(turns(sandbox)[-1], talk.context)
        # The next summary is made about now: a word more or less was heard of the second answer.
    assert sent.by(llm) == ["first", "+", "context changed"]


def break_off(given: Any) -> Answer | str:
    """Fails in the middle of the summary, and answers everything else."""
    refused = {"code": "invalid_prompt", "message": "No."}
    aside = str(given.instructions).startswith(ASIDE)
    return Answer("They", failed=refused) if aside else "Very well."


@pytest.mark.parametrize("name", OURS)
async def test_one_that_fails_changes_nothing(sandbox: Sandbox, sent: Sent, name: str) -> None:
    llm = OURS[name](sandbox)
    sandbox.config.responder = break_off
    async with calling(llm, assistant=summarising(4), errors=1) as talk:
        for words in ("One", "Two", "Three"):
            await talk.say(words)
            agree(turns(sandbox)[-1], talk.context)
    assert talk.history[0] == ("user", "One")
    assert "summary" in talk.errors[0].error
    assert llm.is_usable
    assert sent.of(llm, sandbox) == rows({"websocket": ["first", "+", "+"]}, name)


async def test_pipecats_service_takes_half_a_summary(sandbox: Sandbox) -> None:
    """It does not look whether the response has failed: what was said of it is the summary."""
    sandbox.config.responder = break_off
    async with calling(pipecats(sandbox), assistant=summarising(4)) as talk:
        for words in ("One", "Two", "Three", "Four"):
            await talk.say(words)
        await seen(talk.last, LLMContextSummaryResultFrame)
    assert talk.history[0] == ("user", "Conversation summary: They")


@pytest.mark.parametrize("tts", VOICES)
async def test_by_a_service_of_its_own(sandbox: Sandbox, sent: Sent, tts: VoiceKind) -> None:
    llm, other = websocket_service(sandbox), websocket_service(sandbox)
    sandbox.config.responder = respond
    async with calling(llm, tts=tts, assistant=summarising(5, llm=other)) as talk:
        applied = asyncio.Event()
        assert talk.pair is not None
        talk.pair.assistant().add_event_handler("on_summary_applied", lambda *_: applied.set())
        for n in range(3):
            await talk.say(f"Say {n}")
        await asyncio.wait_for(applied.wait(), 5)
        await talk.say("And now?")
        agree(turns(sandbox)[-1], talk.context)
    await other.cleanup()
    assert left_running() == []
    assert sent.by(llm) == ["first", "+", "+", "context changed"]
    # It is in no pipeline and never connects: it asks over HTTP.
    assert [r.transport for r in sandbox.requests if r not in turns(sandbox)] == ["http"]
