"""OpenAI's Responses API for Pipecat.

Two LLM services with the names and signatures of Pipecat's own: changing one import line is all it
takes.

What is exported is imported on first use, so that the command line, which lives in this package,
answers ``--help`` without importing Pipecat.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipecat_responses.context.saved import dump, load
    from pipecat_responses.inspector.inspector import Inspector
    from pipecat_responses.inspector.store import InspectorLimits
    from pipecat_responses.llm import (
        OpenAIResponsesHttpLLMService,
        OpenAIResponsesLLMService,
        OpenAIResponsesLLMSettings,
        OpenAIResponsesReasoningConfig,
    )
    from pipecat_responses.protocol.capabilities import ServerCapabilities
    from pipecat_responses.protocol.errors import MidResponseLossError, ResponsesError
    from pipecat_responses.protocol.failures import Failure
    from pipecat_responses.protocol.retry import Backoff
    from pipecat_responses.service.approvals import McpApprovalFrame, McpApprovalRequest
    from pipecat_responses.service.compaction import CompactionReport
    from pipecat_responses.service.frame_writer import AbandonedUsageMetricsData
    from pipecat_responses.service.hosted import (
        Citation,
        CitationsFrame,
        HostedToolEndedFrame,
        HostedToolStartedFrame,
    )
    from pipecat_responses.service.turn_reports import TurnMetricsData
    from pipecat_responses.session.endpoint import Endpoint
    from pipecat_responses.session.hedge_policy import HedgePolicy
    from pipecat_responses.session.limits import ConnectionLimits, TurnLimits
    from pipecat_responses.session.stats import ResponseReport, SessionStats, TurnReport
    from pipecat_responses.session.timing import Cause, FailedAttempt, TurnTimes

__all__ = [
    "AbandonedUsageMetricsData",
    "Backoff",
    "Cause",
    "Citation",
    "CitationsFrame",
    "CompactionReport",
    "ConnectionLimits",
    "Endpoint",
    "FailedAttempt",
    "Failure",
    "HedgePolicy",
    "HostedToolEndedFrame",
    "HostedToolStartedFrame",
    "Inspector",
    "InspectorLimits",
    "McpApprovalFrame",
    "McpApprovalRequest",
    "MidResponseLossError",
    "OpenAIResponsesHttpLLMService",
    "OpenAIResponsesLLMService",
    "OpenAIResponsesLLMSettings",
    "OpenAIResponsesReasoningConfig",
    "ResponseReport",
    "ResponsesError",
    "ServerCapabilities",
    "SessionStats",
    "TurnLimits",
    "TurnMetricsData",
    "TurnReport",
    "TurnTimes",
    "dump",
    "load",
]

__version__ = "0.1.0"

_HOMES = {
    "AbandonedUsageMetricsData": "service.frame_writer",
    "Backoff": "protocol.retry",
    "Cause": "session.timing",
    "Citation": "service.hosted",
    "CitationsFrame": "service.hosted",
    "CompactionReport": "service.compaction",
    "ConnectionLimits": "session.limits",
    "Endpoint": "session.endpoint",
    "FailedAttempt": "session.timing",
    "Failure": "protocol.failures",
    "HedgePolicy": "session.hedge_policy",
    "HostedToolEndedFrame": "service.hosted",
    "HostedToolStartedFrame": "service.hosted",
    "Inspector": "inspector.inspector",
    "InspectorLimits": "inspector.store",
    "McpApprovalFrame": "service.approvals",
    "McpApprovalRequest": "service.approvals",
    "MidResponseLossError": "protocol.errors",
    "OpenAIResponsesHttpLLMService": "llm",
    "OpenAIResponsesLLMService": "llm",
    "OpenAIResponsesLLMSettings": "llm",
    "OpenAIResponsesReasoningConfig": "llm",
    "ResponseReport": "session.stats",
    "ResponsesError": "protocol.errors",
    "ServerCapabilities": "protocol.capabilities",
    "SessionStats": "session.stats",
    "TurnLimits": "session.limits",
    "TurnMetricsData": "service.turn_reports",
    "TurnReport": "session.stats",
    "TurnTimes": "session.timing",
    "dump": "context.saved",
    "load": "context.saved",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
