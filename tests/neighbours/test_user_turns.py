"""Turns of the user as the aggregators report them, and what an application says meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

from pipecat.frames.frames import (
    LLMMessagesAppendFrame,
    TTSSpeakFrame,
)
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregatorParams
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies

from pipecat_responses.sandbox import Sandbox
from pipecat_responses.testing import VoiceKind
from tests.neighbours.support import (
    ALL,
    SPOKEN_SERVICES,
    Sent,
    agree,
    answered,
    calling,
    rows,
    turns,
    user_says,
)

STEADY = {"websocket": ["first", "+", "+"], "pipecat": ["full", "+", "+"]}


@SPOKEN_SERVICES
async def test_spoken_turns(sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind) -> None:
    llm = ALL[name](sandbox)
    user = LLMUserAggregatorParams(user_turn_strategies=ExternalUserTurnStrategies())
    async with calling(llm, tts=tts, user=user) as talk:
        for n in range(3):
            await answered(talk, user_says(talk, f"This is {n},", "and no more."))
            agree(turns(sandbox)[-1], talk.context)
    assert talk.history[0] == ("user", "This is 0, and no more.")
    assert sent.of(llm, sandbox) == rows(STEADY, name)


@SPOKEN_SERVICES
async def test_a_user_who_says_nothing(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    llm = ALL[name](sandbox)
    user = LLMUserAggregatorParams(user_idle_timeout=0.05)
    sandbox.script("Hello.", "Are you there?", "Well.")
    async with calling(llm, tts=tts, user=user) as talk:
        asked = asyncio.Event()

        async def ask(aggregator: Any) -> None:
            if not asked.is_set():
                asked.set()
                message: Any = {"role": "developer", "content": "The user is quiet. Ask."}
                await aggregator.queue_frame(LLMMessagesAppendFrame([message], run_llm=True))

        assert talk.pair is not None
        talk.pair.user().add_event_handler("on_user_turn_idle", ask)
        await answered(talk, talk.start("Hi."), ends=2)
        agree(turns(sandbox)[-1], talk.context)
        await talk.say("I am.")
        agree(turns(sandbox)[-1], talk.context)
    assert sent.of(llm, sandbox) == rows(STEADY, name)


@SPOKEN_SERVICES
async def test_words_of_the_application(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    """What is spoken without the model is in the context, and new to the server."""
    llm = ALL[name](sandbox)
    async with calling(llm, tts=tts) as talk:
        await talk.say("Hi.")
        await talk.worker.queue_frame(TTSSpeakFrame("By the way.", append_to_context=True))
        await talk.settle()
        await talk.worker.queue_frame(TTSSpeakFrame("Not for the record.", append_to_context=False))
        await talk.settle()
        for words in ("Yes?", "No?"):
            await talk.say(words)
            agree(turns(sandbox)[-1], talk.context)
    assert talk.history[2] == ("assistant", "By the way.")
    assert sent.of(llm, sandbox) == rows(STEADY, name)
