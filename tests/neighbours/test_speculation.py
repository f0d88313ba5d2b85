"""Speculation: the answer to a turn that has not ended yet, given or discarded when it does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from pipecat.frames.frames import (
    EagerEndOfTurnCancelFrame,
    EagerTranscriptionFrame,
    LLMFullResponseEndFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregatorParams
from pipecat.turns.user_turn_strategies import EagerUserTurnStrategies

from pipecat_responses.sandbox import Answer, Call, Sandbox
from pipecat_responses.sandbox.records import RecordedRequest
from pipecat_responses.sandbox.transcript import Transcript
from pipecat_responses.testing import Conversation, VoiceKind
from tests.neighbours.support import (
    ALL,
    SERVICES,
    SPOKEN_SERVICES,
    Sent,
    agree,
    answered,
    calling,
    rows,
    transcribed,
    turns,
    user_says,
)
from tests.support.services import websocket_service

STEADY = {"websocket": ["first", "+", "+"], "pipecat": ["full", "+", "+"]}


def eager() -> LLMUserAggregatorParams:
    return LLMUserAggregatorParams(user_turn_strategies=EagerUserTurnStrategies())


def guess(text: str) -> EagerTranscriptionFrame:
    return EagerTranscriptionFrame(text, "user", "2026-01-01T00:00:00Z")


async def speculate(talk: Conversation, text: str) -> None:
    """The user seems to have said all; the answer to that is there, and held back."""
    done = asyncio.Event()
    # What is held back comes by no tap: only the gate sees it.
    gate: Any = talk.llm._speculation_gate
    process = gate.process

    def watch(frame: Any, direction: Any) -> Any:
        if isinstance(frame, LLMFullResponseEndFrame):
            done.set()
        return process(frame, direction)

    gate.process = watch
    await talk.worker.queue_frames([ProposedUserStartedSpeakingFrame(), guess(text)])
    await asyncio.wait_for(done.wait(), 5)
    del gate.process


@SPOKEN_SERVICES
async def test_speculation_that_held(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    llm = ALL[name](sandbox)
    async with calling(llm, tts=tts, user=eager()) as talk:
        for n in range(3):
            await speculate(talk, f"This is {n}.")
            assert talk.ends == n
            await answered(talk, user_commits(talk, f"This is {n}."))
            agree(turns(sandbox)[-1], talk.context)
    assert sent.of(llm, sandbox) == rows(STEADY, name)


async def user_commits(talk: Conversation, text: str) -> None:
    await talk.worker.queue_frames([transcribed(text), ProposedUserStoppedSpeakingFrame()])


def said_so(request: RecordedRequest, guessed: str, committed: str) -> RecordedRequest:
    """The request with the user's latest words as they were committed, after it had been sent."""
    assert request.history[-1]["content"] == guessed
    history = [*request.history[:-1], {"role": "user", "content": committed}]
    return replace(request, transcript=Transcript().extend(history))


@SERVICES
async def test_speculation_that_held_in_other_letters(
    sandbox: Sandbox, sent: Sent, name: str
) -> None:
    """The transcript has got its capitals since: the context says it so, the server does not."""
    llm = ALL[name](sandbox)
    async with calling(llm, user=eager()) as talk:
        for n in range(4):
            await speculate(talk, f"this is {n}")
            await answered(talk, user_commits(talk, f"This is {n}."))
        agree(said_so(turns(sandbox)[-1], "this is 3", "This is 3."), talk.context)
    assert talk.history[-2] == ("user", "This is 3.")
    table = {"websocket": ["first", *["context changed"] * 3], "pipecat": ["full"] * 4}
    assert sent.of(llm, sandbox) == rows(table, name)


async def test_anchors_of_a_conversation_that_is_all_speculation(
    sandbox: Sandbox, sent: Sent
) -> None:
    """The service sees no other context than the guessed ones: it lays its anchors by those."""
    llm = websocket_service(sandbox, anchor_threshold_bytes=0)
    async with calling(llm, user=eager()) as talk:
        for n in range(4):
            await speculate(talk, f"this is {n}")
            await answered(talk, user_commits(talk, f"This is {n}."))
            # The bot's silence, at which an anchor is laid, is known now in front of the voice.
            await talk.settle()
            if llm._session._anchor is not None:
                await llm._session._anchor
        agree(said_so(turns(sandbox)[-1], "this is 3", "This is 3."), talk.context)
    assert sent.by(llm) == ["first", "context changed", "+", "+"]
    # The turn before and the new one, however long the call.
    assert [len(request.input) for request in turns(sandbox)] == [1, 3, 3, 3]


@SPOKEN_SERVICES
async def test_speculation_that_missed(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    """The user goes on speaking, or has said something else: the answer is given to nobody."""
    llm = ALL[name](sandbox)
    async with calling(llm, tts=tts, user=eager(), withheld=2) as talk:
        await answered(talk, user_says(talk, "Hello."))
        await speculate(talk, "I would like")
        await talk.worker.queue_frame(EagerEndOfTurnCancelFrame())
        await answered(talk, user_commits(talk, "I would like some tea."))
        agree(turns(sandbox)[-1], talk.context)
        await speculate(talk, "With milk.")
        await answered(talk, user_commits(talk, "With sugar."))
        agree(turns(sandbox)[-1], talk.context)
        await answered(talk, user_says(talk, "Thanks."))
        agree(turns(sandbox)[-1], talk.context)
    assert talk.ends == 4
    assert not any("milk" in str(item) for item in turns(sandbox)[-1].history)
    table = {
        "websocket": ["first", "+", "+", "+", "+", "+"],
        # Its latest response is the one that was discarded.
        "pipecat": ["full", "+", "full", "+", "full", "+"],
    }
    assert sent.of(llm, sandbox) == rows(table, name)


@SERVICES
async def test_speculation_that_is_stopped(sandbox: Sandbox, sent: Sent, name: str) -> None:
    """The answer has begun to come when the user goes on speaking."""
    llm = ALL[name](sandbox)
    slow = Answer("This is what I would say to that.", tokens_per_second=20)
    sandbox.script("Hi.", slow, "Tea it is.", "Bye.")
    async with calling(llm, user=eager(), withheld=1) as talk:
        await answered(talk, user_says(talk, "Hello."))
        text = asyncio.Event()
        push = llm._push_llm_text

        async def pushed(words: str) -> None:
            await push(words)
            text.set()

        llm._push_llm_text = pushed
        await talk.worker.queue_frames([ProposedUserStartedSpeakingFrame(), guess("I would like")])
        await asyncio.wait_for(text.wait(), 5)
        del llm._push_llm_text
        await talk.worker.queue_frame(EagerEndOfTurnCancelFrame())
        await answered(talk, user_commits(talk, "I would like tea."))
        agree(turns(sandbox)[-1], talk.context)
        await answered(talk, user_says(talk, "Thanks."))
        agree(turns(sandbox)[-1], talk.context)
    # Pipecat's service waits for the end of the response that was stopped, and then continues from
    # one which that has displaced: it is refused, and sends everything.
    table = {"websocket": ["first", "+", "+", "+"], "pipecat": ["full", "+", "+", "full", "+"]}
    assert sent.of(llm, sandbox) == rows(table, name)


@SERVICES
async def test_speculation_that_calls(sandbox: Sandbox, sent: Sent, name: str) -> None:
    """Nothing is called on speculation: the call is made once the turn has ended."""
    llm = ALL[name](sandbox)
    calls = []

    async def brew(params: Any) -> None:
        calls.append(params.tool_call_id)
        await params.result_callback("done")

    llm.register_function("brew", brew)
    sandbox.script(Answer([Call("brew")]), Answer([Call("brew")]), "There you are.", "Bye.")
    async with calling(llm, tts="word", user=eager(), withheld=1) as talk:
        await speculate(talk, "Tea, please.")
        await answered(talk, user_commits(talk, "Tea, please."), ends=2)
        agree(turns(sandbox)[-1], talk.context)
        await answered(talk, user_says(talk, "Thanks."))
        agree(turns(sandbox)[-1], talk.context)
    assert len(calls) == 1
    # The first turn of all is asked a second time: there is nothing before it to continue from.
    table = {
        "websocket": ["first", "context changed", "+", "+"],
        "pipecat": ["full", "full", "+", "+"],
    }
    assert sent.of(llm, sandbox) == rows(table, name)
