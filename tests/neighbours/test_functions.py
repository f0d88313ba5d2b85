"""Functions that take long, come back in any order, fail, or never come back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.frames.frames import (
    FunctionCallInProgressFrame,
    FunctionCallResultProperties,
    LLMFullResponseEndFrame,
    LLMMessagesUpdateFrame,
    TTSSpeakFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from pipecat_responses.sandbox import Answer, Call, Sandbox
from pipecat_responses.testing import Conversation, VoiceKind
from tests.neighbours.support import (
    ALL,
    OURS,
    SERVICES,
    SPOKEN,
    SPOKEN_SERVICES,
    Sent,
    agree,
    answered,
    calling,
    rows,
    seen,
    turns,
)


class Tools:
    """Functions that finish when they are told to.

    Attributes:
        context: A context that has them.
    """

    def __init__(self, *names: str) -> None:
        self.context = LLMContext(
            tools=[FunctionSchema(name, f"Runs {name}.", {}, [], self._run) for name in names]
        )
        self._running: dict[str, FunctionCallParams] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self.names = names

    def register(self, llm: Any, **options: Any) -> None:
        """Registers them at a service, with how they are to run."""
        for name in self.names:
            llm.register_function(name, self._run, **options)

    async def result(self, name: str, value: Any, **properties: Any) -> None:
        """Gives a result of a function that runs; with ``is_final=False`` it runs on."""
        given = FunctionCallResultProperties(**properties) if properties else None
        await self._running[name].result_callback(value, properties=given)
        if properties.get("is_final", True):
            self._ended[name].set()

    async def _run(self, params: FunctionCallParams) -> None:
        name = params.function_name
        self._running[name], self._ended[name] = params, asyncio.Event()
        await self._ended[name].wait()


async def started(talk: Conversation, count: int) -> None:
    """So many functions run, and the context says so."""
    await seen(talk.said, FunctionCallInProgressFrame, count)
    await talk.settle()


IN_TURN = {"websocket": ["first", "+", "+"], "pipecat": ["full", "+", "+"]}
"""A call, what is said to its result, and a turn more."""

IN_A_GROUP = {"websocket": ["first", "+", "+"], "pipecat": ["full", "full", "+"]}
"""The same with several calls at once. Pipecat's service wants the calls to follow one another,
while the context has each of them with its result."""

TURNS_LATER = {
    "websocket": ["first", "+", "+", "+", "+", "+"],
    "pipecat": ["full", "+", "+", "+", "+", "+"],
}
"""A call, two turns without its result, a part of it, the whole of it, and a turn more."""


@SPOKEN_SERVICES
async def test_results_in_the_order_of_the_calls(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    await _parallel(sandbox, sent, name, tts, ["one", "two", "three"])


@SPOKEN_SERVICES
async def test_results_in_any_order(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    await _parallel(sandbox, sent, name, tts, ["three", "one", "two"])


async def _parallel(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind, order: list[str]
) -> None:
    tools = Tools("one", "two", "three")
    llm = ALL[name](sandbox)
    calls = [Call(each) for each in tools.names]
    sandbox.script(Answer(["Let me see.", *calls]), "There they are.", "Bye.")
    async with calling(llm, tools.context, tts=tts) as talk:
        await talk.start("Go.")
        await started(talk, 3)
        await answered(talk, _results(tools, order))
        agree(turns(sandbox)[-1], talk.context)
        await talk.say("Thanks.")
        agree(turns(sandbox)[-1], talk.context)
    assert sent.of(llm, sandbox) == rows(IN_A_GROUP, name)


async def _results(tools: Tools, order: list[str]) -> None:
    for each in order:
        await tools.result(each, f"{each} is done")


@SPOKEN_SERVICES
async def test_a_result_that_comes_turns_later(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    tools = Tools("dig")
    llm = ALL[name](sandbox)
    tools.register(llm, cancel_on_interruption=False)
    sandbox.script(Answer([Call("dig")]), "How are you?", "Nice.", "It digs.", "It is dug.", "Bye.")
    async with calling(llm, tools.context, tts=tts) as talk:
        await talk.start("Dig.")
        await started(talk, 1)
        await talk.say("Meanwhile, talk.")
        await talk.say("I am well.")
        for value, final in (("a metre", False), ("a hole", True)):
            await answered(talk, tools.result("dig", value, is_final=final))
            agree(turns(sandbox)[-1], talk.context)
        await talk.say("Good.")
        agree(turns(sandbox)[-1], talk.context)
    assert sent.of(llm, sandbox) == rows(TURNS_LATER, name)


@SERVICES
async def test_one_that_raises(sandbox: Sandbox, sent: Sent, name: str) -> None:
    async def fall(params: FunctionCallParams) -> None:
        """Falls."""
        raise RuntimeError("It fell.")

    llm = ALL[name](sandbox)
    sandbox.script(Answer([Call("fall")]), "It did not work.", "Bye.")
    async with calling(llm, LLMContext(tools=[fall]), errors=1) as talk:
        await talk.say("Fall.", ends=2)
        agree(turns(sandbox)[-1], talk.context)
        await talk.say("A pity.")
        agree(turns(sandbox)[-1], talk.context)
        assert llm.is_usable
    assert sent.of(llm, sandbox) == rows(IN_TURN, name)


@SPOKEN_SERVICES
async def test_one_that_never_returns(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    tools = Tools("wait")
    llm = ALL[name](sandbox)
    tools.register(llm, timeout_secs=0.05)
    sandbox.script(Answer([Call("wait")]), "It took too long.", "Bye.")
    async with calling(llm, tools.context, tts=tts) as talk:
        await talk.say("Wait.", ends=2)
        agree(turns(sandbox)[-1], talk.context)
        await talk.say("A pity.")
        agree(turns(sandbox)[-1], talk.context)
    assert sent.of(llm, sandbox) == rows(IN_TURN, name)


@SERVICES
async def test_the_call_ends_while_one_runs(sandbox: Sandbox, name: str) -> None:
    tools = Tools("wait")
    llm = ALL[name](sandbox)
    tools.register(llm, cancel_on_interruption=False)
    sandbox.script(Answer([Call("wait")]))
    async with calling(llm, tools.context) as talk:
        await talk.start("Wait.")
        await started(talk, 1)


@SPOKEN_SERVICES
async def test_cancelled_by_an_interruption(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    tools = Tools("one", "two")
    llm = ALL[name](sandbox)
    sandbox.script(Answer([Call("one"), Call("two")]), "As you like.", "Bye.")
    async with calling(llm, tools.context, tts=tts) as talk:
        await talk.start("Go.")
        await started(talk, 2)
        await tools.result("one", "done")
        await talk.settle()
        await talk.interrupt()
        await talk.settle()
        await talk.say("Never mind.")
        agree(turns(sandbox)[-1], talk.context)
        await talk.say("Thanks.")
        agree(turns(sandbox)[-1], talk.context)
    results = sorted(each[2] for each in talk.history if each[0] == "result")
    assert results == ["CANCELLED", "done"]
    assert sent.of(llm, sandbox) == rows(IN_A_GROUP, name)


@SPOKEN_SERVICES
async def test_words_to_fill_the_time(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    """What is spoken while a function runs comes into the context behind its call."""
    tools = Tools("look")
    llm = ALL[name](sandbox)
    sandbox.script(Answer(["Let me look.", Call("look")]), "I found it.", "Bye.")
    async with calling(llm, tools.context, tts=tts) as talk:
        await talk.start("Look.")
        await started(talk, 1)
        await talk.worker.queue_frame(TTSSpeakFrame("One moment please.", append_to_context=True))
        await talk.settle()
        await answered(talk, tools.result("look", "a key"))
        agree(turns(sandbox)[-1], talk.context)
        await talk.say("Thanks.")
        agree(turns(sandbox)[-1], talk.context)
    assert ("assistant", "One moment please.") in talk.history
    assert sent.of(llm, sandbox) == rows(IN_TURN, name)


async def test_each_result_for_itself(sandbox: Sandbox, sent: Sent) -> None:
    """Without groups the model runs at every result, and the later ones change what it was told."""
    tools = Tools("one", "two")
    llm = ALL["websocket"](sandbox, group_parallel_tools=False)
    sandbox.script(Answer([Call("one"), Call("two")]), "One is there.", "Two is there.", "Bye.")
    async with calling(llm, tools.context) as talk:
        await talk.start("Go.")
        await started(talk, 2)
        for each in tools.names:
            await answered(talk, tools.result(each, "done"))
            agree(turns(sandbox)[-1], talk.context)
        await talk.say("Thanks.")
        agree(turns(sandbox)[-1], talk.context)
    # What came before the calls stands: from there the second result is sent as well.
    assert sent.by(llm) == ["first", "+", "+", "+"]


@SPOKEN
async def test_a_result_while_the_bot_speaks(sandbox: Sandbox, sent: Sent, tts: VoiceKind) -> None:
    """Pipecat holds the result back until the bot has spoken."""
    tools = Tools("dig")
    llm = ALL["websocket"](sandbox)
    tools.register(llm, cancel_on_interruption=False)
    sandbox.script(Answer([Call("dig")]), "How are you? I am well.", "It is dug.", "Bye.")
    async with calling(llm, tools.context, tts=tts, paced=True) as talk:
        await talk.start("Dig.")
        await started(talk, 1)
        await talk.start("Meanwhile, talk.")
        await seen(talk.said, LLMFullResponseEndFrame, 2)
        await talk.play(1)
        await tools.result("dig", "a hole")
        await talk.settle()
        assert talk.ends == 2
        await answered(talk, talk.play_all())
        agree(turns(sandbox)[-1], talk.context)
        await talk.say("Good.")
        agree(turns(sandbox)[-1], talk.context)
    assert sent.by(llm) == ["first", "+", "+", "+"]


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("name", OURS)
async def test_a_result_for_a_context_that_has_been_replaced(
    sandbox: Sandbox, sent: Sent, name: str, stays: bool
) -> None:
    """The call is gone from the context: its result comes in words, or not at all."""
    tools = Tools("dig")
    llm = ALL[name](sandbox)
    tools.register(llm, cancel_on_interruption=not stays)
    sandbox.script(Answer([Call("dig")]), "Afresh.", "So.", "Bye.")
    async with calling(llm, tools.context) as talk:
        await talk.start("Dig.")
        await started(talk, 1)
        begin: Any = {"role": "user", "content": "Begin afresh."}
        await answered(talk, talk.worker.queue_frame(LLMMessagesUpdateFrame([begin], run_llm=True)))
        await answered(talk, tools.result("dig", "a hole"))
        agree(turns(sandbox)[-1], talk.context)
        await talk.say("Thanks.")
        agree(turns(sandbox)[-1], talk.context)
    assert any("a hole" in str(each) for each in talk.history) is stays
    third = "+" if stays else "nothing new to send"
    table = {"websocket": ["first", "context changed", third, "+"]}
    assert sent.of(llm, sandbox) == rows(table, name)
