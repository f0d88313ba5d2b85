"""Several contexts at one service, and several services in one pipeline."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.frames.frames import Frame, LLMFullResponseEndFrame
from pipecat.pipeline.parallel_pipeline import ParallelPipeline
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.filters.function_filter import FunctionFilter
from pipecat.processors.filters.null_filter import NullFilter

from pipecat_responses.sandbox import Sandbox
from pipecat_responses.testing import Tap, VoiceKind
from tests.neighbours.support import (
    VOICES,
    Maker,
    Sent,
    agree,
    calling,
    flags,
    pipecats,
    seen,
    turns,
)
from tests.support.services import websocket_service

TAKING_TURNS = ["first", *["context changed"] * 5]
"""A lane whose memory is of no use to the context at hand is the first to be used again, so of two
conversations that alternate each displaces what the server knew of the other."""


def user(text: str) -> Any:
    return {"role": "user", "content": text}


@pytest.mark.parametrize("make", [websocket_service, pipecats])
async def test_contexts_that_alternate(sandbox: Sandbox, sent: Sent, make: Maker) -> None:
    llm = make(sandbox)
    first, second = LLMContext(), LLMContext()
    async with calling(llm, tts="word", aggregators=False) as talk:
        for n in range(3):
            for name, context in (("one", first), ("two", second)):
                context.add_message(user(f"I am {name}, and this is {n}"))
                answer: Any = await talk.answer(context)
                agree(turns(sandbox)[-1], context)
                context.add_message({"role": "assistant", "content": answer})
    assert flags(sandbox) == ["full"] * 6
    if make is not pipecats:
        assert sent.by(llm) == TAKING_TURNS


class TwoPairs:
    """Two conversations at one service: what passes goes to the aggregators of one of them."""

    def __init__(self) -> None:
        self.contexts = [LLMContext(), LLMContext()]
        self.pairs = [LLMContextAggregatorPair(context) for context in self.contexts]
        self.at = 0

    def user(self) -> Any:
        return self._parallel([pair.user() for pair in self.pairs])

    def assistant(self) -> Any:
        return self._parallel([pair.assistant() for pair in self.pairs])

    def _parallel(self, aggregators: list[Any]) -> ParallelPipeline:
        return ParallelPipeline(
            *([self._only(n), each] for n, each in enumerate(aggregators)),
        )

    def _only(self, number: int) -> FunctionFilter:
        async def passes(_: Frame) -> bool:
            return self.at == number

        return FunctionFilter(passes)


@pytest.mark.parametrize("tts", VOICES)
async def test_two_pairs_of_aggregators(sandbox: Sandbox, sent: Sent, tts: VoiceKind) -> None:
    llm = websocket_service(sandbox)
    both = TwoPairs()
    async with calling(llm, tts=tts, pair=both) as talk:
        for n in range(3):
            for both.at in (0, 1):
                await talk.say(f"This is {n} at {both.at}")
                agree(turns(sandbox)[-1], both.contexts[both.at])
    assert [len(context.messages) for context in both.contexts] == [6, 6]
    assert sent.by(llm) == TAKING_TURNS


@pytest.mark.parametrize("tts", VOICES)
async def test_two_services_side_by_side(sandbox: Sandbox, sent: Sent, tts: VoiceKind) -> None:
    """One of them speaks; what the other says is heard by nobody."""
    speaks, listens = websocket_service(sandbox), websocket_service(sandbox)
    unheard = Tap("unheard")
    both = ParallelPipeline([speaks], [listens, unheard, NullFilter()])
    sandbox.config.responder = lambda given: f"I am on {given.settings['metadata']['of']}."
    for name, llm in (("stage", speaks), ("watch", listens)):
        llm._settings.extra = {"metadata": {"of": name}}
    async with calling(both, tts=tts) as talk:
        for n in range(3):
            await talk.say(f"This is {n}")
            await seen(unheard, LLMFullResponseEndFrame, n + 1)
        assert talk.history[1::2] == [("assistant", "I am on stage.")] * 3
        for request in turns(sandbox)[-2:]:
            agree(request, talk.context)
    assert unheard.starts == unheard.ends == 3
    assert sent.by(speaks) == ["first", "+", "+"]
    # The context does not say what it said, so nothing that it remembers is of use.
    assert sent.by(listens) == ["first", "context changed", "context changed"]
