"""OpenAI's Responses API for Pipecat.

Two LLM services with the names and signatures of Pipecat's own: changing one import line is all it
takes.
"""

from pipecat_responses.core.errors import Failure, MidResponseLossError, ResponsesError
from pipecat_responses.frames import AbandonedUsageMetricsData
from pipecat_responses.llm import (
    OpenAIResponsesHttpLLMService,
    OpenAIResponsesLLMService,
    OpenAIResponsesLLMSettings,
    OpenAIResponsesReasoningConfig,
)
from pipecat_responses.session.stats import SessionStats, TurnReport

__all__ = [
    "AbandonedUsageMetricsData",
    "Failure",
    "MidResponseLossError",
    "OpenAIResponsesHttpLLMService",
    "OpenAIResponsesLLMService",
    "OpenAIResponsesLLMSettings",
    "OpenAIResponsesReasoningConfig",
    "ResponsesError",
    "SessionStats",
    "TurnReport",
]

__version__ = "0.1.0"
