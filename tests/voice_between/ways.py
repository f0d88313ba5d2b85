"""What may stand between a service and the context."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_text_processor import LLMTextProcessor
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.utils.text.skip_tags_aggregator import SkipTagsAggregator
from pipecat.utils.text.transforms import strip_markdown

from pipecat_responses import OpenAIResponsesLLMService
from pipecat_responses.testing import Conversation, Voice, VoiceKind

RATE = 20.0
"""Characters a second. Half of one takes longer than the 20 ms in which audio is played."""

FAST = 2000.0
"""Characters a second where all is heard at once: audio costs by its length."""


@dataclass(frozen=True)
class Way:
    """A way from the service to the context.

    Attributes:
        kind: The voice's kind, or None for no voice.
        voice: More for the voice.
        before: Makes the processors in front of the voice.
        strips: Whether markup is gone from the context, too.
    """

    kind: VoiceKind | None
    voice: Callable[[], dict[str, Any]] = dict
    before: Callable[[], list[FrameProcessor]] = list
    strips: bool = False

    def conversation(
        self,
        llm: OpenAIResponsesLLMService,
        context: LLMContext | None = None,
        *,
        paced: bool = False,
    ) -> Conversation:
        """A conversation on this way."""
        voice = (
            None
            if self.kind is None
            else Voice(self.kind, rate=RATE if paced else FAST, **self.voice())
        )
        return Conversation(
            llm, context, tts=voice, extra=self.before(), paced=paced, record=False, metrics=False
        )


def _stripping() -> dict[str, Any]:
    return {"text_transforms": [("*", strip_markdown)]}


def _skipping() -> dict[str, Any]:
    return {"text_aggregator": SkipTagsAggregator([("<spell>", "</spell>")])}


def _processor() -> list[FrameProcessor]:
    return [LLMTextProcessor()]


def _stripping_processor() -> list[FrameProcessor]:
    return [LLMTextProcessor(text_transforms=[("*", strip_markdown)])]


WAYS: dict[str, Way] = {
    "none": Way(None),
    "sentence": Way("sentence"),
    "word": Way("word"),
    "token": Way("token"),
    "sentence, stripped": Way("sentence", _stripping),
    "word, stripped": Way("word", _stripping),
    "token, stripped": Way("token", _stripping),
    "sentence, tags kept together": Way("sentence", _skipping),
    "word, tags kept together": Way("word", _skipping),
    "sentence behind a processor": Way("sentence", before=_processor),
    "word behind a processor": Way("word", before=_processor),
    "sentence behind a stripping processor": Way(
        "sentence", before=_stripping_processor, strips=True
    ),
    "word behind a stripping processor": Way("word", before=_stripping_processor, strips=True),
    "no voice behind a stripping processor": Way(None, before=_stripping_processor, strips=True),
}
