"""Calls at the sandbox in which things go wrong, and what OpenTelemetry is told of them.

Install:  pip install pipecat-responses opentelemetry-sdk opentelemetry-exporter-otlp-proto-http
Run:      python examples/telemetry/calls.py            (prints the metrics; needs no network)
          python examples/telemetry/calls.py --spans    (and the turns' spans)

With OTEL_EXPORTER_OTLP_ENDPOINT in the environment everything goes there instead, and ``--forever``
goes on with calls: that is what compose.yaml runs.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import Iterator

from loguru import logger
from pipecat.utils.tracing.setup import setup_tracing

from pipecat_responses import HedgePolicy, OpenAIResponsesLLMService
from pipecat_responses.sandbox import Answer, Fault, Sandbox, SandboxConfig
from pipecat_responses.testing import Conversation

try:
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import (
        ConsoleMetricExporter,
        HistogramDataPoint,
        MetricExporter,
        MetricsData,
        PeriodicExportingMetricReader,
    )
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter
except ImportError as error:
    sys.exit(f"{error}. Install what the calls need: pip install opentelemetry-sdk")


def lines_of(data: MetricsData) -> Iterator[str]:
    """One line for each combination of a metric and its attributes."""
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    told = (point.attributes or {}).items()
                    names = [(name.rpartition(".")[2], value) for name, value in told]
                    where = ", ".join(f"{name}={value!s}" for name, value in names)
                    if isinstance(point, HistogramDataPoint):
                        yield f"{metric.name}  n={point.count} sum={point.sum:g}  {where}"
                    elif not hasattr(point, "scale"):
                        yield f"{metric.name}  {point.value:g}  {where}"


def set_up(*, spans: bool) -> MeterProvider:
    """What an application does once, at its start."""
    metric_exporter: MetricExporter = ConsoleMetricExporter(
        formatter=lambda data: "\n".join([*lines_of(data), ""])
    )
    span_exporter: SpanExporter | None = ConsoleSpanExporter() if spans else None
    if "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        metric_exporter, span_exporter = OTLPMetricExporter(), OTLPSpanExporter()
    setup_tracing("pipecat-responses-calls", exporter=span_exporter)
    # Pauses between exports are those of OTEL_METRIC_EXPORT_INTERVAL, 60 s otherwise.
    provider = MeterProvider([PeriodicExportingMetricReader(metric_exporter)])
    metrics.set_meter_provider(provider)
    return provider


async def call(sandbox: Sandbox) -> None:
    """A call with an overloaded server, a lost connection, an interruption and a late answer."""
    llm = OpenAIResponsesLLMService(
        api_key="sk-any",
        base_url=sandbox.base_url,
        hedge=HedgePolicy(after_secs=0.2),
    )
    async with Conversation(llm, tts=None, tracing=True) as talk:
        await talk.say("My name is Ada.")
        sandbox.faults.add(Fault("error", "request", params={"status": 503}))
        await talk.say("What is my name?")
        sandbox.faults.add(Fault("reset", "text", after=20))
        await talk.say("count to 30")
        sandbox.config.tokens_per_second = 100
        await talk.start("count to 500")
        await talk.text_arrives(3)
        await talk.interrupt()
        sandbox.config.tokens_per_second = None
        await talk.say("count to 20")
        sandbox.script(Answer(["It is late."], time_to_first_token=5.0), "It is early.")
        await talk.say("Is it late?")
        talk.context.set_messages([{"role": "user", "content": "Let us begin afresh."}])
        await talk.say("count to 3")
        sandbox.faults.add(Fault("error", "request", params={"status": 400, "code": "invalid"}))
        await talk.say("This one fails.")


async def run(calls: int | None) -> None:
    """Runs calls, one after the other.

    Args:
        calls: How many, or None for no end.
    """
    async with Sandbox(SandboxConfig(cancel="honoured")) as sandbox:
        for _ in itertools.count() if calls is None else range(calls):
            await call(sandbox)


def main() -> None:
    """Runs the calls and exports what they told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=3)
    parser.add_argument("--forever", action="store_true")
    parser.add_argument("--spans", action="store_true")
    given = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    provider = set_up(spans=given.spans)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(run(None if given.forever else given.calls))
    finally:
        # The last figures have not been exported yet.
        provider.shutdown()


if __name__ == "__main__":
    main()
