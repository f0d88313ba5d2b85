"""The report of a turn, as an application gets it: event, log line, span and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Protocol

from pipecat.frames.frames import Frame, MetricsFrame
from pipecat.metrics.metrics import MetricsData

from pipecat_responses.protocol.requests import Fields
from pipecat_responses.service.telemetry import Telemetry
from pipecat_responses.session.causes import explain
from pipecat_responses.session.log import SessionLog
from pipecat_responses.session.stats import Outcome, ResponseReport, TurnReport
from pipecat_responses.session.turn_events import TurnDone
from pipecat_responses.session.watch import TurnWatch

SLOW = 2.0
"""Seconds until there is something to say or to run from which a turn is worth a line."""


class TurnMetricsData(MetricsData):
    """What became of a turn, and where its time went.

    Parameters:
        value: Seconds until there was something to say or to run; without any, until the end.
        outcome: ``"answered"``, ``"failed"`` or ``"interrupted"``.
        cause: What the largest avoidable part of the time went into, such as ``"server slow"``.
        why_slow: The same as a sentence.
        transport: ``"websocket"`` or ``"http"``.
        incremental: Whether the latest request carried only what was new.
        why_full: Why it carried everything, and from which message on, or None.
        items: Items it carried.
        size: Its bytes.
        fork: Whether it continued another lane's response.
        prepared: Whether it continued from a warm-up or an anchor.
        attempts: How many attempts the turn took.
        failures: What the attempts failed of that came to nothing.
        resumed: Whether an answer that had broken off was taken up again.
        changed: The fields of the request that differ from the turn before.
        times: Where the time went, in seconds: the fields of ``TurnTimes``.
        input_tokens: Input tokens, if the server said.
        cached_tokens: Those of them that came out of its cache.
        output_tokens: Output tokens.
        reasoning_tokens: Those of them that went into reasoning.
        service_tier: The tier that was granted.
        cache_diagnostics: Why the cache was hit or missed, as the server says it.
    """

    value: float
    outcome: str
    cause: str
    why_slow: str
    transport: str
    incremental: bool
    why_full: str | None
    items: int
    size: int
    fork: bool
    prepared: bool
    attempts: int
    failures: list[str]
    resumed: bool
    changed: list[str]
    times: dict[str, float | None]
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    service_tier: str | None = None
    cache_diagnostics: Mapping[str, Any] | None = None


class Reporter(Protocol):
    """What is needed of a service to report through it."""

    @property
    def name(self) -> str:
        """The service's name."""

    @property
    def metrics_enabled(self) -> bool:
        """Whether metrics are to be reported."""

    async def push_frame(self, frame: Frame) -> None:
        """Pushes a frame downstream."""


class TurnReports:
    """Completes the reports of a service's turns, one after the other."""

    def __init__(self, service: Reporter, log: SessionLog, telemetry: Telemetry) -> None:
        """Begins with nothing known of earlier turns.

        Args:
            service: The service.
            log: Where lines go.
            telemetry: What OpenTelemetry is told.
        """
        self._service = service
        self._log = log
        self._telemetry = telemetry
        self._fields: Fields | None = None
        self._has_cached = False

    def complete(
        self,
        report: TurnReport,
        watch: TurnWatch,
        fields: Fields,
        outcome: Outcome,
        done: TurnDone | None,
    ) -> TurnReport:
        """Completes the report of a turn that has ended.

        Args:
            report: How its latest request went out.
            watch: What was noted of its time.
            fields: The fields of its request.
            outcome: How it ended.
            done: The end of its answer, if it has one.
        """
        response = ResponseReport.of(done) if done is not None else None
        report = replace(
            report,
            outcome=outcome,
            response=response,
            response_id=(done.response_id if done is not None else None) or report.response_id,
            attempts=watch.attempts,
            failures=tuple(watch.failures),
            resumed=watch.resumed,
            changed=self._changed(fields),
            cache_expected=self._has_cached,
            times=watch.times(),
        )
        if done is not None and done.usage is not None and done.usage.cached:
            self._has_cached = True
        cause, why = explain(report)
        return replace(report, cause=cause, why_slow=why)

    async def tell(self, report: TurnReport) -> None:
        """Writes the log line, tells OpenTelemetry, and pushes the metrics if they are on.

        Args:
            report: The report of a turn that has ended.
        """
        times = report.times
        assert times is not None
        line = self._log.info if times.answer > SLOW else self._log.debug
        line("Turn {} after {:.2f} s: {}", report.outcome, times.answer, report.why_slow)
        self._telemetry.turn(report)
        if self._service.metrics_enabled:
            data = metrics_of(report, self._service.name)
            await self._service.push_frame(MetricsFrame(data=[data]))

    def _changed(self, fields: Fields) -> tuple[str, ...]:
        last, self._fields = self._fields, fields
        if last is None or last is fields:
            return ()
        names = sorted({*last.values, *fields.values})
        return tuple(each for each in names if last.values.get(each) != fields.values.get(each))


def metrics_of(report: TurnReport, processor: str) -> TurnMetricsData:
    """A report in the form of Pipecat's metrics.

    Args:
        report: The report of a turn that has ended.
        processor: The service's name.
    """
    times, response = report.times, report.response
    assert times is not None
    usage = response.usage if response is not None else None
    return TurnMetricsData(
        processor=processor,
        model=response.model if response is not None else None,
        value=times.answer,
        outcome=str(report.outcome),
        cause=str(report.cause),
        why_slow=report.why_slow,
        transport=report.transport,
        incremental=report.incremental,
        why_full=None if report.incremental else report.why_full,
        items=report.items,
        size=report.size,
        fork=report.fork,
        prepared=report.prepared,
        attempts=report.attempts,
        failures=[str(each) for each in report.failures],
        resumed=report.resumed,
        changed=list(report.changed),
        times=asdict(times),
        input_tokens=usage.input if usage is not None else None,
        cached_tokens=usage.cached if usage is not None else None,
        output_tokens=usage.output if usage is not None else None,
        reasoning_tokens=usage.reasoning if usage is not None else None,
        service_tier=response.service_tier if response is not None else None,
        cache_diagnostics=response.cache_diagnostics if response is not None else None,
    )
