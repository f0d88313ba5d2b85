"""Calls with sound: a bot with ears and a voice, a caller, and what was heard."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from functools import cache
from typing import Any

from num2words import num2words
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import NOT_GIVEN, LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.workers.runner import WorkerRunner

from pipecat_responses.testing import Caller, LoopClock, Speech, plain

from .services import SAMPLE_RATE, Ears, Mouth, aside, recognise, synthesise, warm_up

QUIET = bytes(2 * SAMPLE_RATE // 5)
"""A fifth of a second around what the caller says, as between two people."""


@cache
def sentence(text: str) -> bytes:
    """What a caller sounds like who says it, at ``SAMPLE_RATE``."""
    return QUIET + synthesise(text)


class Phone(Caller):
    """A caller, and the bot that answers.

    Attributes:
        llm: The bot's service.
        context: The bot's context.
    """

    def __init__(self, llm: Any, tools: ToolsSchema | None = None) -> None:
        super().__init__()
        self.llm = llm
        self.context = LLMContext(tools=tools or NOT_GIVEN)

    def call(self) -> Any:
        """Calls the bot."""
        warm_up()
        return self.calls(self._bot())

    async def tells(self, text: str) -> Speech:
        """Says a sentence."""
        return await self.say(await aside(sentence, text), sample_rate=SAMPLE_RATE)

    @property
    def history(self) -> list[tuple[Any, ...]]:
        """The context in plain form."""
        return plain(self.context)

    async def _bot(self) -> None:
        pair = LLMContextAggregatorPair(
            self.context, user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
        )
        line = self.transport
        worker = PipelineWorker(
            Pipeline(
                [
                    line.input(),
                    Ears(),
                    pair.user(),
                    self.llm,
                    Mouth(),
                    line.output(),
                    pair.assistant(),
                ]
            ),
            params=PipelineParams(enable_metrics=True, enable_usage_metrics=True),
            clock=LoopClock(),
            enable_rtvi=False,
            idle_timeout_secs=None,
        )

        async def hung_up(transport: Any, client: Any) -> None:
            await worker.cancel()

        line.add_event_handler("on_client_disconnected", hung_up)
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        await runner.run()


async def understood(pcm: bytes) -> str:
    """What a recogniser makes of what was heard."""
    return await aside(recognise, pcm)


def words(text: str) -> list[str]:
    """The words of a text as they are spoken: numbers in words, no punctuation, lower case."""
    spoken = re.sub(r"\d+", lambda number: num2words(int(number[0])), text.lower())
    return re.findall(r"[a-z']+", spoken)


def likeness(heard: str, text: str) -> float:
    """How much of a text was heard in its order, and nothing else: from 0 to 1."""
    return SequenceMatcher(None, words(heard), words(text), autojunk=False).ratio()
