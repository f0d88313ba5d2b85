"""A caller and a bot, with sound: what the scripted audio calls are held with."""

from __future__ import annotations

from functools import cache
from typing import Any

from examples.voice.stt import PocketSphinxSTTService
from examples.voice.tts import SAMPLE_RATE, HibariTTSService, synthesizer
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

from pipecat_responses.testing import Caller, LoopClock, Speech

BREATH = 0.2
"""Seconds of silence in front of what a caller says."""


@cache
def spoken(text: str) -> bytes:
    """What somebody sounds like who says a sentence, at ``SAMPLE_RATE``."""
    return bytes(2 * round(BREATH * SAMPLE_RATE)) + synthesizer().speak(text).audio


class Phone(Caller):
    """A caller, and the bot that answers: Pipecat's detection of turns, a recogniser, a voice.

    Attributes:
        llm: The bot's service.
        context: The bot's context.
    """

    def __init__(self, llm: Any, tools: ToolsSchema | None = None) -> None:
        """Prepares a call.

        Args:
            llm: The bot's service.
            tools: What it may use.
        """
        super().__init__()
        self.llm = llm
        self.context = LLMContext(tools=tools or NOT_GIVEN)

    def call(self) -> Any:
        """Calls the bot, and hangs up at the end of the block."""
        return self.calls(self._bot())

    async def tells(self, text: str) -> Speech:
        """Says a sentence."""
        return await self.say(spoken(text), sample_rate=SAMPLE_RATE)

    async def _bot(self) -> None:
        pair = LLMContextAggregatorPair(
            self.context, user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
        )
        line = self.transport
        worker = PipelineWorker(
            Pipeline(
                [
                    line.input(),
                    PocketSphinxSTTService(),
                    pair.user(),
                    self.llm,
                    HibariTTSService(),
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
