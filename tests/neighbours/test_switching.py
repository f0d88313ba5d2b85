"""Switchers: two of our services, ours and Pipecat's, back and forth, and after a failure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.frames.frames import (
    FunctionCallInProgressFrame,
    LLMUpdateSettingsFrame,
    ManuallySwitchServiceFrame,
)
from pipecat.pipeline.llm_switcher import LLMSwitcher
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.settings import LLMSettings

from pipecat_responses.sandbox import Answer, Call, Sandbox
from pipecat_responses.testing import Conversation, VoiceKind
from tests.neighbours.support import (
    ALL,
    VOICES,
    Sent,
    agree,
    answered,
    calling,
    flags,
    seen,
    turns,
)
from tests.support.services import websocket_service


def switching(*llms: Any) -> Any:
    return LLMSwitcher([*llms])


async def switch(talk: Conversation, llm: Any) -> None:
    await talk.worker.queue_frame(ManuallySwitchServiceFrame(service=llm))
    await talk.settle()


@pytest.mark.parametrize("tts", VOICES)
async def test_back_and_forth(sandbox: Sandbox, sent: Sent, tts: VoiceKind) -> None:
    one, two = websocket_service(sandbox), websocket_service(sandbox)
    async with calling(switching(one, two), tts=tts) as talk:
        for n, llm in enumerate((one, two, one, two, two)):
            await switch(talk, llm)
            await talk.say(f"Say {n}")
            agree(turns(sandbox)[-1], talk.context)
    # What the other has said in between is new to each of them, and no more.
    assert sent.by(one) == ["first", "+"]
    assert sent.by(two) == ["first", "+", "+"]


@pytest.mark.parametrize("other", ["http", "pipecat", "pipecat-http"])
async def test_with_another_kind_of_service(sandbox: Sandbox, sent: Sent, other: str) -> None:
    ours, theirs = websocket_service(sandbox), ALL[other](sandbox)
    async with calling(switching(ours, theirs), tts="word") as talk:
        for n, llm in enumerate((ours, theirs, ours, theirs, ours)):
            await switch(talk, llm)
            await talk.say(f"Say {n}")
            agree(turns(sandbox)[-1], talk.context)
    assert sent.by(ours) == ["first", "+", "+"]
    back = {"http": "full", "pipecat": "+", "pipecat-http": "full"}[other]
    assert flags(sandbox) == ["full", "full", "+", back, "+"]


@pytest.mark.parametrize("tts", VOICES)
async def test_while_the_other_speaks(sandbox: Sandbox, sent: Sent, tts: VoiceKind) -> None:
    """The switch leaves the answer alone that is being spoken; the user interrupts it."""
    one, two = websocket_service(sandbox), websocket_service(sandbox)
    sandbox.script("First.", "One two three four. Five six seven eight.", "Well.", "Good.")
    async with calling(switching(one, two), tts=tts, paced=True) as talk:
        await talk.say("Begin.")
        await talk.start("Count.")
        await talk.answer_ends()
        await talk.play(1.5)
        await talk.worker.queue_frame(ManuallySwitchServiceFrame(service=two))
        await talk.interrupt()
        await talk.say("Enough.")
        agree(turns(sandbox)[-1], talk.context)
        await talk.worker.queue_frame(ManuallySwitchServiceFrame(service=one))
        await talk.say("And you?")
        agree(turns(sandbox)[-1], talk.context)
    assert sent.by(two) == ["first"]
    # From before the interrupted answer, with what was heard of it and all that was said since.
    assert sent.by(one) == ["first", "+", "+"]


@pytest.mark.parametrize("kinds", [("websocket", "websocket"), ("websocket", "pipecat")])
async def test_while_a_function_runs(sandbox: Sandbox, sent: Sent, kinds: tuple[str, str]) -> None:
    """The result goes to the service that is active when it comes."""
    one, two = (ALL[kind](sandbox) for kind in kinds)
    finish = asyncio.Event()

    async def look_up(params: FunctionCallParams) -> None:
        """Looks something up."""
        await finish.wait()
        await params.result_callback("found")

    sandbox.script("Hi.", Answer([Call("look_up")]), "It is found.", "Bye.")
    context = LLMContext(tools=[look_up])
    async with calling(switching(one, two), context) as talk:
        await talk.say("Hello")
        await talk.start("Look it up.")
        await seen(talk.said, FunctionCallInProgressFrame)
        await switch(talk, two)
        await answered(talk, _set(finish))
        agree(turns(sandbox)[-1], talk.context)
        await switch(talk, one)
        await talk.say("Thanks.")
        agree(turns(sandbox)[-1], talk.context)
    assert sent.by(one) == ["first", "+", "+"]
    assert flags(sandbox) == ["full", "+", "full", "+"]


async def _set(event: asyncio.Event) -> None:
    event.set()


async def test_settings_reach_the_inactive_one(sandbox: Sandbox) -> None:
    one, two = websocket_service(sandbox), websocket_service(sandbox)
    async with calling(switching(one, two)) as talk:
        delta = LLMSettings(system_instruction="Be brief.")
        await talk.worker.queue_frame(
            LLMUpdateSettingsFrame(delta=delta, reach_inactive_services=True)
        )
        await talk.say("Hello")
        await switch(talk, two)
        await talk.say("Hello again")
    assert [r.body["instructions"] for r in turns(sandbox)] == ["Be brief."] * 2
