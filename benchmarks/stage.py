"""A conversation that is measured: it records nothing, and costs as little as it can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loguru import logger
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.tts_service import TTSService

from pipecat_responses.testing import Conversation, VoiceKind

PATIENCE = 60.0


def quiet() -> None:
    """Turns logging off for everybody: nobody's log is measured."""
    logger.remove()


class Stage(Conversation):
    """A pipeline around a service whose taps only count."""

    def __init__(
        self,
        service: Any,
        context: LLMContext | None = None,
        *,
        tts: VoiceKind | TTSService | None = None,
        paced: bool = False,
        aggregators: bool = False,
        extra: Sequence[FrameProcessor] = (),
    ) -> None:
        """Prepares a pipeline.

        Args:
            service: What is measured.
            context: The conversation; a new one by default.
            tts: The voice behind the service, or its kind; none by default.
            paced: Whether what it says waits to be played.
            aggregators: Whether Pipecat's aggregators keep the context, as in an application.
            extra: Processors to put behind the service, in front of the voice.
        """
        super().__init__(
            service,
            context,
            tts=tts,
            paced=paced,
            aggregators=aggregators,
            metrics=False,
            record=False,
            extra=extra,
            patience=PATIENCE,
        )

    async def turn(self) -> str:
        """Pushes the context as it is, and waits for the end of the answer.

        Returns:
            What was said.
        """
        wanted = self.said.ends + 1
        await self.push_context()
        await self.said.until(lambda: self.said.ends >= wanted, self.patience)
        return self.said.text

    def check(self) -> None:
        """Complains about errors: a figure of a turn that failed is none."""
        if self.errors:
            raise RuntimeError(f"{self.llm}: {self.errors[0].error}")
