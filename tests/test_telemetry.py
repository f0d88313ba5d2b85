"""What OpenTelemetry is told, read back from spans and metrics of real calls."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    InMemoryMetricReader,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses import Cause, HedgePolicy
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.names import NAMES
from pipecat_responses.protocol.planning import FullReason
from pipecat_responses.sandbox import Answer, Fault, Sandbox
from tests.faults import support
from tests.faults.support import counted, until
from tests.support.hurry import Transport

BOTH = pytest.mark.parametrize("transport", ["websocket", "http"])
PATIENT = {"quiet_secs": 5.0, "begin_secs": 5.0, "stall_secs": 5.0}
DELTA = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}

talking = partial(support.talking, tracing=True)

Point = HistogramDataPoint | NumberDataPoint
Attributes = Mapping[str, Any]


class Telemetry:
    """What was exported since the test began."""

    def __init__(self, spans: InMemorySpanExporter, reader: InMemoryMetricReader) -> None:
        self._spans = spans
        self._reader = reader
        self._points: dict[str, list[Point]] = {}
        self._read()
        self._points.clear()
        spans.clear()

    @property
    def turns(self) -> list[Attributes]:
        """The attributes of the turns' spans."""
        return [span.attributes or {} for span in self.spans("llm")]

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._spans.get_finished_spans() if span.name == name]

    def points(self, name: str, **attributes: Any) -> list[Point]:
        """The points of a metric that have some attributes; dots are double underscores."""
        self._read()
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        return [
            point
            for point in self._points.get(name, [])
            if wanted.items() <= dict(point.attributes or {}).items()
        ]

    def sum(self, name: str, **attributes: Any) -> float:
        points = self.points(name, **attributes)
        return sum(
            each.sum if isinstance(each, HistogramDataPoint) else each.value for each in points
        )

    def count(self, name: str, **attributes: Any) -> int:
        points = self.points(name, **attributes)
        return sum(each.count for each in points if isinstance(each, HistogramDataPoint))

    @property
    def names(self) -> set[str]:
        self._read()
        return set(self._points)

    def _read(self) -> None:
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    kept = self._points.setdefault(metric.name, [])
                    kept.extend(metric.data.data_points)  # type: ignore[arg-type]


@cache
def providers() -> tuple[InMemorySpanExporter, InMemoryMetricReader]:
    """The process's providers: OpenTelemetry allows to set them once."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader(DELTA)  # type: ignore[arg-type]
    tracer = trace.get_tracer_provider()
    if not isinstance(tracer, TracerProvider):
        # Tests of neighbours may have set one.
        tracer = TracerProvider()
        trace.set_tracer_provider(tracer)
    tracer.add_span_processor(SimpleSpanProcessor(spans))
    metrics.set_meter_provider(MeterProvider([reader]))
    return spans, reader


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(*providers())


class TestSpans:
    @BOTH
    async def test_a_turn_says_how_it_went(
        self, sandbox: Sandbox, transport: Transport, telemetry: Telemetry
    ) -> None:
        async with talking(sandbox, transport) as talk:
            await talk.turn("count to 3")
            await talk.turn("count to 4")
        first, second = telemetry.turns
        full = FullReason.FIRST if transport == "websocket" else FullReason.HTTP
        assert first["pipecat_responses.full_reason"] == full
        assert first["gen_ai.provider.name"] == "openai"
        assert first["server.address"] == "127.0.0.1"
        assert first["server.port"] == sandbox.port
        assert first["gen_ai.response.id"] == sandbox.requests[0].response_id
        assert first["gen_ai.response.finish_reasons"] == ("completed",)
        assert first["openai.api.type"] == "responses"
        assert first["pipecat_responses.outcome"] == "answered"
        assert first["pipecat_responses.transport"] == transport
        assert first["pipecat_responses.retries"] == 0
        assert first["pipecat_responses.cause"] in set(Cause)
        assert first["gen_ai.usage.input_tokens"] > 0
        assert first["gen_ai.usage.cache_read.input_tokens"] >= 0
        assert first["gen_ai.usage.reasoning.output_tokens"] == 0
        early = first["gen_ai.response.time_to_first_chunk"]
        assert early <= first["pipecat_responses.time_to_first_text"]
        if transport == "websocket":
            assert second["pipecat_responses.incremental"] is True
            assert "pipecat_responses.full_reason" not in second
            parent = second["pipecat_responses.previous_response_id"]
            assert parent == first["gen_ai.response.id"]
            assert second["pipecat_responses.connection"] == 1
            assert second["pipecat_responses.lane"] == sandbox.requests[1].stream_id
        else:
            assert "pipecat_responses.lane" not in second

    async def test_it_is_pipecats_span_in_its_turn(
        self, sandbox: Sandbox, telemetry: Telemetry
    ) -> None:
        async with talking(sandbox, "websocket") as talk:
            await talk.turn("count to 3")
        (span,) = telemetry.spans("llm")
        (parent,) = telemetry.spans("turn")
        assert span.parent is not None
        assert span.parent.span_id == parent.context.span_id

    async def test_no_key_is_told(self, sandbox: Sandbox, telemetry: Telemetry) -> None:
        key = "sk-0123456789abcdef-hush"
        sandbox.faults.add(Fault("error", "request", params={"status": 400, "message": key}))
        async with talking(sandbox, "websocket", api_key=key) as talk:
            await talk.turn("count to 3")
        for span in telemetry.spans("llm"):
            assert key not in span.to_json()

    async def test_without_tracing_another_span_is_left_alone(self, sandbox: Sandbox) -> None:
        spans, _ = providers()
        spans.clear()
        with trace.get_tracer("application").start_as_current_span("mine"):
            async with support.talking(sandbox, "websocket") as talk:
                await talk.turn("count to 3")
        (span,) = spans.get_finished_spans()
        assert not span.attributes


class TestWhatHappens:
    @BOTH
    async def test_an_interruption(
        self, sandbox: Sandbox, transport: Transport, telemetry: Telemetry
    ) -> None:
        sandbox.config.tokens_per_second = 200
        sandbox.config.cancel = "honoured"
        async with talking(sandbox, transport) as talk:
            await talk.start("count to 500")
            await talk.text_arrives(3)
            await talk.interrupt()
            sandbox.config.tokens_per_second = None
            await talk.turn("count to 3")
            if transport == "websocket":
                await until(lambda: talk.llm.stats.abandoned_tokens > 0)
            tokens = talk.llm.stats.abandoned_tokens
        cut = telemetry.turns[0]
        assert cut["pipecat_responses.outcome"] == "interrupted"
        assert cut["gen_ai.response.id"] == sandbox.requests[0].response_id
        assert "error.type" not in cut
        outcome = {"pipecat_responses__outcome": "interrupted"}
        assert telemetry.count("gen_ai.client.operation.duration", **outcome) == 1
        assert telemetry.sum("pipecat_responses.abandoned_responses") == 1
        assert telemetry.sum("pipecat_responses.abandoned_tokens") == tokens

    @BOTH
    async def test_a_retry(
        self, sandbox: Sandbox, transport: Transport, telemetry: Telemetry
    ) -> None:
        sandbox.faults.add(Fault("error", "request", params={"status": 503}))
        async with talking(sandbox, transport) as talk:
            heard = await talk.turn("count to 3")
            assert (heard.text, heard.errors) == (counted(3), [])
        (turn,) = telemetry.turns
        assert turn["pipecat_responses.retries"] == 1
        assert turn["pipecat_responses.failures"] == (f"{Failure.SERVER}, status 503",)
        assert telemetry.sum("pipecat_responses.retries") == 1
        assert telemetry.sum("pipecat_responses.errors") == 0

    @BOTH
    async def test_a_resumed_answer(
        self, sandbox: Sandbox, transport: Transport, telemetry: Telemetry
    ) -> None:
        sandbox.faults.add(Fault("reset", "text", after=9))
        async with talking(sandbox, transport) as talk:
            await talk.turn("count to 30")
        (turn,) = telemetry.turns
        assert turn["pipecat_responses.resumed"] is True
        assert telemetry.sum("pipecat_responses.resumes") == 1
        assert telemetry.count("pipecat_responses.time_to_answer") == 1
        # Its first output came before the request that was answered to the end.
        assert telemetry.count("gen_ai.server.time_to_first_token") == 0
        if transport == "websocket":
            assert turn["pipecat_responses.connection"] == 2
            assert telemetry.sum("pipecat_responses.connections") == 2

    async def test_a_full_turn(self, sandbox: Sandbox, telemetry: Telemetry) -> None:
        async with talking(sandbox, "websocket") as talk:
            await talk.turn("count to 3")
            await talk.turn("count to 4")
            talk.context.set_messages([{"role": "user", "content": "Forget it."}])
            await talk.turn("count to 5")
        turn = telemetry.turns[-1]
        assert turn["pipecat_responses.incremental"] is False
        assert turn["pipecat_responses.full_reason"].startswith(FullReason.CONTEXT_CHANGED)
        for reason in (FullReason.FIRST, FullReason.CONTEXT_CHANGED, "none"):
            requests = telemetry.sum(
                "pipecat_responses.requests", pipecat_responses__full_reason=reason
            )
            assert requests == 1, reason

    async def test_a_hedge(self, sandbox: Sandbox, telemetry: Telemetry) -> None:
        sandbox.script(Answer(["one"], time_to_first_token=60.0), "two")
        hedge = HedgePolicy(after_secs=0.02)
        async with talking(sandbox, "websocket", hedge=hedge, limits=PATIENT) as talk:
            assert (await talk.turn("Which is it?")).text == "two"
        (turn,) = telemetry.turns
        assert turn["pipecat_responses.hedge"] == "won"
        assert turn["pipecat_responses.lane"] == sandbox.requests[1].stream_id
        assert telemetry.sum("pipecat_responses.hedges", pipecat_responses__hedge="won") == 1

    async def test_a_failed_turn(self, sandbox: Sandbox, telemetry: Telemetry) -> None:
        error = {"status": 400, "code": "invalid_prompt", "message": "no"}
        sandbox.faults.add(Fault("error", "request", params=error))
        async with talking(sandbox, "websocket") as talk:
            (reported,) = (await talk.turn("count to 3")).errors
        name = str(reported.exception.failure)  # type: ignore[union-attr]
        (turn,) = telemetry.turns
        assert (turn["pipecat_responses.outcome"], turn["error.type"]) == ("failed", name)
        assert telemetry.count("gen_ai.client.operation.duration", error__type=name) == 1
        assert telemetry.sum("pipecat_responses.errors", error__type=name) == 1
        assert not telemetry.points("pipecat_responses.time_to_answer")

    async def test_a_context_that_cannot_be_sent(
        self, sandbox: Sandbox, telemetry: Telemetry
    ) -> None:
        async with talking(sandbox, "websocket") as talk:
            talk.context.set_messages([{"role": "oracle", "content": {}}])  # type: ignore[list-item]
            await talk.turn("count to 3")
        assert telemetry.sum("pipecat_responses.errors", error__type="context_message") == 1


class TestMetrics:
    @BOTH
    async def test_tokens_and_times(
        self, sandbox: Sandbox, transport: Transport, telemetry: Telemetry
    ) -> None:
        async with talking(sandbox, transport) as talk:
            await talk.turn("count to 3")
            response = talk.llm.stats.last_turn.response
            inference = LLMContext([{"role": "user", "content": "count to 2"}])
            assert await talk.llm.run_inference(inference) == counted(2)
        usage = "gen_ai.client.token.usage"
        for kind, expected in (("input", response.usage.input), ("output", response.usage.output)):
            points = telemetry.points(usage, gen_ai__token__type=kind)
            (point,) = (each for each in points if isinstance(each, HistogramDataPoint))
            # The turn, and the inference beside it.
            assert point.count == 2
            assert point.max is not None
            assert point.max >= expected > 0
        chat = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "gpt-4.1"}
        assert telemetry.count("gen_ai.client.operation.duration", **chat) == 1
        assert telemetry.count("gen_ai.server.time_to_first_token", **chat) == 1
        assert telemetry.count("pipecat_responses.time_to_answer", **chat) == 1

    async def test_nothing_is_lost_of_what_is_counted(
        self, sandbox: Sandbox, telemetry: Telemetry
    ) -> None:
        async with talking(sandbox, "websocket") as talk:
            for number in range(3, 8):
                await talk.turn(f"count to {number}")
            stats = talk.llm.stats
        assert telemetry.sum("pipecat_responses.requests") == stats.requests == 5
        assert telemetry.sum("pipecat_responses.connections") == stats.connections_opened == 1

    async def test_attributes_have_few_values(self, sandbox: Sandbox, telemetry: Telemetry) -> None:
        async with talking(sandbox, "websocket") as talk:
            for number in range(3, 6):
                await talk.turn(f"count to {number}")
        closed: dict[str, set[Any]] = {
            "gen_ai.operation.name": {"chat"},
            "gen_ai.provider.name": {"openai"},
            "gen_ai.request.model": {"gpt-4.1"},
            "gen_ai.token.type": {"input", "output"},
            "server.address": {"127.0.0.1"},
            "server.port": {sandbox.port},
            "error.type": {*NAMES, "_OTHER"},
            "pipecat_responses.transport": {"websocket", "http"},
            "pipecat_responses.outcome": {"answered", "failed", "interrupted"},
            "pipecat_responses.cause": set(Cause),
            "pipecat_responses.full_reason": {*FullReason, "none"},
            "pipecat_responses.hedge": {"won", "lost"},
        }
        for name in telemetry.names:
            for point in telemetry.points(name):
                for key, value in (point.attributes or {}).items():
                    assert value in closed[key], f"{key} of {name}"


A_CALL = """
import asyncio, sys
{before}
from pipecat_responses import OpenAIResponsesLLMService
from pipecat_responses.sandbox import Sandbox
from pipecat_responses.testing import Conversation

async def call():
    async with Sandbox() as server:
        llm = OpenAIResponsesLLMService(api_key="sk-test", base_url=server.base_url)
        async with Conversation(llm) as talk:
            assert await talk.say("hello")
            assert not talk.errors

asyncio.run(call())
assert "pipecat_responses.service.instruments" not in sys.modules
assert not {after} & {{name for name, module in sys.modules.items() if module}}
"""

WITHOUT = "sys.modules['opentelemetry'] = None"
"""An interpreter that does not have OpenTelemetry."""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # Pipecat's tracing brings the API along.
        pytest.param("", set(), marks=pytest.mark.long_calls),
        (WITHOUT, {"opentelemetry", "opentelemetry.metrics", "opentelemetry.trace"}),
    ],
    ids=["not set up", "not there"],
)
def test_nothing_is_imported_that_nobody_reads(before: str, after: set[str]) -> None:
    code = A_CALL.format(before=before, after=after or "set()")
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True)


EXAMPLE = Path(__file__).parents[1] / "examples" / "telemetry"
PROMETHEUS = """
import asyncio, sys
sys.path.insert(0, {example!r})
import calls
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import generate_latest

metrics.set_meter_provider(MeterProvider([PrometheusMetricReader()]))
asyncio.run(calls.run(1))
print(generate_latest().decode())
"""
SUFFIXES = ("_total", "_bucket", "_count", "_sum")


@pytest.mark.long_calls
def test_the_example_prints_what_it_is_told() -> None:
    command = [sys.executable, str(EXAMPLE / "calls.py"), "--calls", "1", "--spans"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in ("gen_ai.client.operation.duration", "pipecat_responses.retries", '"name": "llm"'):
        assert name in told


def test_the_dashboard_shows_what_there_is() -> None:
    code = PROMETHEUS.format(example=str(EXAMPLE))
    exported = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    dashboard = json.loads((EXAMPLE / "dashboard.json").read_text())
    asked = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    names = set(re.findall(rf"\b\w+(?:{'|'.join(SUFFIXES)})\b", asked))
    there = set(re.findall(r"^(\w+)\{", exported, re.MULTILINE))
    assert len(names) > 15
    assert names <= there
    labels = set(re.findall(r"[{,](\w+)=", exported))
    assert (
        set(re.findall(r"by \(([\w, ]+)\)", asked)) - {"le", "le, gen_ai_request_model"} <= labels
    )
