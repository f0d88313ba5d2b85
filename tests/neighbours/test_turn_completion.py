"""Turns that the model calls complete or not, by a marker at the head of its text."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregatorParams
from pipecat.turns.user_start import ExternalUserTurnStartStrategy
from pipecat.turns.user_stop import ExternalUserTurnStopStrategy
from pipecat.turns.user_turn_completion_mixin import UserTurnCompletionConfig
from pipecat.turns.user_turn_strategies import FilterIncompleteUserTurnStrategies

from pipecat_responses import OpenAIResponsesLLMService
from pipecat_responses.sandbox import Answer, Call, HostedCall, Sandbox
from pipecat_responses.testing import VoiceKind
from tests.neighbours.support import (
    ALL,
    SERVICES,
    SPOKEN,
    SPOKEN_SERVICES,
    Sent,
    agree,
    answered,
    calling,
    rows,
    turns,
    user_says,
)
from tests.support.services import websocket_service

STEADY = {"websocket": ["first", "+", "+", "+"], "pipecat": ["full", "+", "+", "+"]}


def completing(**timeouts: Any) -> LLMUserAggregatorParams:
    return LLMUserAggregatorParams(
        user_turn_strategies=FilterIncompleteUserTurnStrategies(
            start=[ExternalUserTurnStartStrategy()],
            stop=[ExternalUserTurnStopStrategy()],
            config=UserTurnCompletionConfig(instructions="Mark it.", **timeouts),
        )
    )


@SPOKEN_SERVICES
async def test_markers(sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind) -> None:
    llm = ALL[name](sandbox)
    sandbox.script("● Hello.  How are you?", "◐", "● Tea, then.", "○", "● Bye.")
    async with calling(llm, tts=tts, user=completing()) as talk:
        for words in ("Hi.", "I would like", "some tea.", "Hm.", "That is all."):
            await answered(talk, user_says(talk, words))
            agree(turns(sandbox)[-1], talk.context)
    assert talk.history[1:5:2] == [("assistant", "● Hello. How are you?"), ("assistant", "◐")]
    assert turns(sandbox)[0].body["instructions"] == "Mark it."
    table = {
        "websocket": ["first", "+", "+", "+", "+"],
        # A voice makes one space of two, and that is another text to it.
        "pipecat": ["full", "full", "+", "+", "+"],
    }
    assert sent.of(llm, sandbox) == rows(table, name)


@SERVICES
async def test_a_user_who_does_not_go_on(sandbox: Sandbox, sent: Sent, name: str) -> None:
    llm = ALL[name](sandbox)
    sandbox.script("● Hello.", "◐", "● What would you like?", "● Bye.")
    user = completing(incomplete_short_timeout=0.05)
    async with calling(llm, tts="word", user=user) as talk:
        await answered(talk, user_says(talk, "Hi."))
        await answered(talk, user_says(talk, "I would like"), ends=2)
        agree(turns(sandbox)[-1], talk.context)
        await answered(talk, user_says(talk, "Nothing."))
        agree(turns(sandbox)[-1], talk.context)
    assert sent.of(llm, sandbox) == rows(STEADY, name)


@pytest.mark.filterwarnings("ignore:`OpenAIResponsesLLMSettings:DeprecationWarning")
async def test_only_the_strategy_turns_it_on(sandbox: Sandbox) -> None:
    """Given as settings at construction it has no effect: Pipecat's strategy owns it."""
    settings = OpenAIResponsesLLMService.Settings(
        model="gpt-4.1",
        system_instruction="Be brief.",
        filter_incomplete_user_turns=True,
        user_turn_completion_config=UserTurnCompletionConfig(instructions="Mark it."),
    )
    sandbox.script("◐", "● Tea.", "◐", "● Tea.")
    for user, instructions, heard in (
        (None, "Be brief.", "◐● Tea."),
        (completing(), "Be brief.\n\nMark it.", "Tea."),
    ):
        llm = websocket_service(sandbox, settings=settings)
        async with calling(llm, tts=None, user=user) as talk:
            await answered(talk, user_says(talk, "I would like"))
            await answered(talk, user_says(talk, "some tea."))
            assert "".join(talk.texts) == heard
        assert turns(sandbox)[-1].body["instructions"] == instructions


@SPOKEN_SERVICES
async def test_calls_and_missing_markers(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    async def brew(params: Any) -> None:
        await params.result_callback("done")

    llm = ALL[name](sandbox)
    llm.register_function("brew", brew)
    sandbox.script(Answer([Call("brew")]), "● It is there.", "No marker here.", "● Bye.")
    async with calling(llm, tts=tts, user=completing()) as talk:
        await answered(talk, user_says(talk, "Tea."), ends=2)
        agree(turns(sandbox)[-1], talk.context)
        await answered(talk, user_says(talk, "Thanks."))
        agree(turns(sandbox)[-1], talk.context)
        await answered(talk, user_says(talk, "Bye."))
        agree(turns(sandbox)[-1], talk.context)
    assert sent.of(llm, sandbox) == rows(STEADY, name)


@SPOKEN_SERVICES
async def test_a_model_that_talks_on(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    """What follows the marker of a turn that is not complete is dropped, in the context too."""
    llm = ALL[name](sandbox)
    sandbox.script("● Hello.", "◐ Take your time.", "● Tea, then.", "● Bye.")
    async with calling(llm, tts=tts, user=completing()) as talk:
        for words in ("Hi.", "I would like", "some tea.", "Thanks."):
            await answered(talk, user_says(talk, words))
            agree(turns(sandbox)[-1], talk.context)
    assert talk.history[3] == ("assistant", "◐")
    # Ours goes on from the turn before, since the server remembers more than the context says.
    table = {"websocket": ["first", "+", "+", "+"], "pipecat": ["full", "+", "full", "+"]}
    assert sent.of(llm, sandbox) == rows(table, name)


@SPOKEN
async def test_what_is_said_before_a_tool(sandbox: Sandbox, tts: VoiceKind) -> None:
    """It is heard with its marker, and of a turn that is not complete nothing is pushed at all."""
    search = HostedCall({"type": "web_search_call", "status": "completed"})
    llm = websocket_service(sandbox)
    sandbox.script(Answer(["◐ Wait.", search]), Answer(["● One moment.", search, "Here it is."]))
    async with calling(llm, tts=tts, user=completing()) as talk:
        await answered(talk, user_says(talk, "Please look"))
        assert talk.texts == []
        await answered(talk, user_says(talk, "it up."))
        assert "".join(talk.texts) == "One moment. Here it is."
        assert talk.texts.count("") == 1
    assistant = [each[1] for each in talk.history if each[0] == "assistant"]
    assert assistant == ["◐", "● One moment. Here it is."]
