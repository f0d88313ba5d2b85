"""What OpenTelemetry is told: attributes on Pipecat's span of a turn, and metrics.

Names follow the semantic conventions for generative AI where those have one, and begin with
``pipecat_responses.`` otherwise. Nothing here imports OpenTelemetry or works anything out before
the application has set it up: spans are Pipecat's (``PipelineWorker(enable_tracing=True)``), and
metrics need a meter provider. ``docs/telemetry.md`` lists everything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import urlsplit

from pipecat.metrics.metrics import LLMTokenUsage

from pipecat_responses.service.access import Access
from pipecat_responses.service.settings import OpenAIResponsesLLMSettings
from pipecat_responses.session.stats import SessionStats, TurnReport

if TYPE_CHECKING:
    from pipecat_responses.service.instruments import Instruments

Value: TypeAlias = str | bool | int | float | list[str]

PROVIDERS = {"azure": "azure.ai.openai", "xai": "x_ai"}
"""What the conventions call a server, where that is not its name here."""

OTHER = "_OTHER"
"""What the conventions call an error that has no name."""


class Observed(Protocol):
    """What is needed of a service to tell of it."""

    _settings: OpenAIResponsesLLMSettings
    _tracing_enabled: bool

    @property
    def stats(self) -> SessionStats:
        """Its counters."""


class Telemetry:
    """Tells of one service."""

    def __init__(self, service: Observed, access: Access) -> None:
        """Begins with nothing told.

        Args:
            service: The service.
            access: The way to its server.
        """
        self._service = service
        self._access = access
        self._counted: dict[tuple[str, str], int] = {}

    def turn(self, report: TurnReport) -> None:
        """A turn that has sent a request has ended; the span of it is the current one.

        Args:
            report: How it went.
        """
        if self._service._tracing_enabled:
            from opentelemetry import trace

            span = trace.get_current_span()
            if span.is_recording():
                attributes = {**self._server(), **attributes_of(report)}
                span.set_attributes({k: v for k, v in attributes.items() if v is not None})
        instruments = _instruments()
        if instruments is not None:
            self._record(instruments, report)
            self._count(instruments)

    def tokens(self, usage: LLMTokenUsage) -> None:
        """A response has used tokens, whether it was the answer or not."""
        instruments = _instruments()
        if instruments is None:
            return
        chat = self._chat()
        for kind, count in (("input", usage.prompt_tokens), ("output", usage.completion_tokens)):
            instruments.tokens.record(count, {**chat, "gen_ai.token.type": kind})
        instruments.cached_tokens.add(usage.cache_read_input_tokens or 0, chat)
        instruments.reasoning_tokens.add(usage.reasoning_tokens or 0, chat)

    def error(self, name: str = OTHER) -> None:
        """A failure is reported.

        Args:
            name: Its name.
        """
        instruments = _instruments()
        if instruments is not None:
            instruments.errors.add(1, {**self._server(), "error.type": name})

    def count(self) -> None:
        """Something has happened that the service's counters may tell of."""
        instruments = _instruments()
        if instruments is not None:
            self._count(instruments)

    def _record(self, instruments: Instruments, report: TurnReport) -> None:
        times = report.times
        assert times is not None
        how: dict[str, str | int] = {
            **self._chat(),
            "pipecat_responses.transport": report.transport,
            "pipecat_responses.outcome": str(report.outcome),
        }
        failed = {"error.type": error_of(report)} if report.outcome == "failed" else {}
        instruments.duration.record(times.end, {**how, **failed})
        if times.first_text is not None or times.first_call is not None:
            cause = {"pipecat_responses.cause": str(report.cause)}
            instruments.time_to_answer.record(times.answer, {**how, **cause})
        # What was resumed had its first output before its latest request.
        if times.first_output is not None and times.first_output >= times.sent:
            instruments.time_to_first_token.record(times.first_output - times.sent, self._chat())

    def _count(self, instruments: Instruments) -> None:
        """Adds what the service's counters have gained since the last time."""
        server = self._server()
        for name, attribute, value, now in counters_of(self._service.stats):
            before = self._counted.get((name, value), 0)
            if now > before:
                self._counted[name, value] = now
                more = {attribute: value} if attribute else {}
                instruments.counters[name].add(now - before, {**server, **more})

    def _server(self) -> dict[str, str | int]:
        """Who answers. There are as many as the application has configured."""
        name = self._access.server.name
        address = urlsplit(self._access.base_url)
        return {
            "gen_ai.provider.name": PROVIDERS.get(name, name),
            "server.address": address.hostname or "",
            "server.port": address.port or (443 if address.scheme == "https" else 80),
        }

    def _chat(self) -> dict[str, str | int]:
        return {
            **self._server(),
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": str(self._service._settings.model),
        }


def _instruments() -> Instruments | None:
    """The instruments, if anybody reads them."""
    api = sys.modules.get("opentelemetry.metrics")
    if api is None:
        # Whoever sets a meter provider has imported it.
        return None
    provider = api.get_meter_provider()
    if type(provider).__module__.startswith("opentelemetry.metrics"):
        # The API's own providers stand for one that is not there (yet), and record nothing.
        return None
    from pipecat_responses.service.instruments import instruments_of

    return instruments_of(provider)


def error_of(report: TurnReport) -> str:
    """The name of what a turn has failed of."""
    return str(report.failures[-1].failure) if report.failures else OTHER


def attributes_of(report: TurnReport) -> Mapping[str, Value | None]:
    """A turn as attributes of its span; what is not known is None.

    Args:
        report: The report of a turn that has ended.
    """
    times, response = report.times, report.response
    assert times is not None
    usage = response.usage if response is not None else None
    attributes: dict[str, Any] = {
        "gen_ai.response.id": report.response_id,
        "gen_ai.response.time_to_first_chunk": times.first_output,
        "openai.api.type": "responses",
        "pipecat_responses.outcome": report.outcome,
        "pipecat_responses.transport": report.transport,
        "pipecat_responses.previous_response_id": report.previous_response_id,
        "pipecat_responses.connection": report.connection,
        "pipecat_responses.lane": report.lane,
        "pipecat_responses.incremental": report.incremental,
        "pipecat_responses.full_reason": None if report.incremental else report.why_full,
        "pipecat_responses.request.items": report.items,
        "pipecat_responses.request.size": report.size,
        "pipecat_responses.prepared": report.prepared,
        "pipecat_responses.hedge": report.hedged,
        "pipecat_responses.second_server": report.endpoint,
        "pipecat_responses.retries": report.attempts - 1,
        "pipecat_responses.failures": [str(each) for each in report.failures],
        "pipecat_responses.resumed": report.resumed,
        "pipecat_responses.steered": report.steered,
        "pipecat_responses.time_to_first_text": times.first_text,
        "pipecat_responses.time_to_answer": times.answer,
        "pipecat_responses.cause": report.cause,
        "pipecat_responses.why_slow": report.why_slow,
        "error.type": error_of(report) if report.outcome == "failed" else None,
    }
    if response is not None:
        attributes |= {
            "gen_ai.response.model": response.model,
            "gen_ai.response.finish_reasons": [response.reason or response.status],
            "openai.response.service_tier": response.service_tier,
        }
    if usage is not None:
        attributes |= {
            "gen_ai.usage.input_tokens": usage.input,
            "gen_ai.usage.output_tokens": usage.output,
            "gen_ai.usage.cache_read.input_tokens": usage.cached,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
        }
    return attributes


def counters_of(stats: SessionStats) -> Iterator[tuple[str, str, str, int]]:
    """What is counted of a session: name, an attribute and its value (or neither), and the count.

    Args:
        stats: The session's counters.
    """
    full_reason = "pipecat_responses.full_reason"
    yield "requests", full_reason, "none", stats.incremental
    for reason, count in stats.full_reasons.items():
        yield "requests", full_reason, reason, count
    yield "retries", "", "", stats.retries
    yield "resumes", "", "", stats.resumed
    yield "hedges", "pipecat_responses.hedge", "won", stats.hedges_won
    yield "hedges", "pipecat_responses.hedge", "lost", stats.hedges - stats.hedges_won
    yield "warm_ups", "", "", stats.warm_ups
    yield "anchors", "", "", stats.anchors
    yield "abandoned_responses", "", "", stats.abandoned
    yield "abandoned_tokens", "", "", stats.abandoned_tokens
    yield "connections", "", "", stats.connections_opened
