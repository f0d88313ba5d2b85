"""What watches a pipeline: observers, metrics, tracing, RTVI, the tracking of turns."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pipecat.frames.frames import MetricsFrame
from pipecat.metrics.metrics import (
    LLMUsageMetricsData,
    ProcessingMetricsData,
    TTFATMetricsData,
    TTFBMetricsData,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.observers.turn_tracking_observer import TurnTrackingObserver
from pipecat.observers.user_bot_latency_observer import UserBotLatencyObserver
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregatorParams
from pipecat.processors.frameworks.rtvi import RTVIProcessor
from pipecat.services.llm_service import FunctionCallParams
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies

from pipecat_responses.sandbox import Answer, Call, Sandbox
from tests.neighbours.support import (
    ALL,
    SERVICES,
    Sent,
    agree,
    answered,
    calling,
    rows,
    turns,
    user_says,
)

TABLE = {"websocket": ["first", "+", "+", "+"], "pipecat": ["full", "+", "+", "+"]}


class Counts(BaseObserver):
    """Counts what the service pushes."""

    def __init__(self, llm: Any) -> None:
        super().__init__()
        self.llm = llm
        self.kinds: Counter[str] = Counter()
        self.data: list[Any] = []

    async def on_push_frame(self, data: FramePushed) -> None:
        if data.source is self.llm:
            self.kinds[type(data.frame).__name__] += 1
            if isinstance(data.frame, MetricsFrame):
                self.data += data.frame.data


async def get_time(params: FunctionCallParams) -> None:
    """Tells the time."""
    await params.result_callback("12:30")


async def converse(sandbox: Sandbox, llm: Any, **worker: Any) -> LLMContext:
    """A turn, one with a call, and another one, all of them spoken to the bot."""
    sandbox.script("Hello.", Answer([Call("get_time")]), "Half past twelve.", "Bye.")
    user = LLMUserAggregatorParams(user_turn_strategies=ExternalUserTurnStrategies())
    context = LLMContext(tools=[get_time])
    async with calling(llm, context, user=user, **worker) as talk:
        for words, ends in (("Hi.", 1), ("What time is it?", 2), ("Bye.", 1)):
            await answered(talk, user_says(talk, words), ends=ends)
            agree(turns(sandbox)[-1], context)
    return context


@SERVICES
async def test_observers_and_metrics(sandbox: Sandbox, sent: Sent, name: str) -> None:
    llm = ALL[name](sandbox)
    counts = Counts(llm)
    observers = [counts, TurnTrackingObserver(), UserBotLatencyObserver()]
    await converse(sandbox, llm, observers=observers, enable_turn_tracking=True)
    kinds = counts.kinds
    assert kinds["LLMFullResponseStartFrame"] == kinds["LLMFullResponseEndFrame"] == 4
    assert kinds["ErrorFrame"] == 0
    # At the start Pipecat sends some that measure nothing.
    of = Counter(type(d).__name__ for d in counts.data if getattr(d, "value", True))
    for kind in (LLMUsageMetricsData, ProcessingMetricsData, TTFBMetricsData, TTFATMetricsData):
        assert of[kind.__name__] == 4
    used = [d.value for d in counts.data if isinstance(d, LLMUsageMetricsData)]
    assert all(u.total_tokens == u.prompt_tokens + u.completion_tokens > 0 for u in used)
    # The server counts all that the model sees, however little was sent.
    assert [u.prompt_tokens for u in used] == sorted(u.prompt_tokens for u in used)
    assert {d.model for d in counts.data if isinstance(d, LLMUsageMetricsData)} == {"gpt-4.1"}
    assert sent.of(llm, sandbox) == rows(TABLE, name)


@SERVICES
async def test_rtvi(sandbox: Sandbox, sent: Sent, name: str) -> None:
    llm = ALL[name](sandbox)
    said: list[Any] = []

    class Client(RTVIProcessor):
        async def push_transport_message(self, model: Any, exclude_none: bool = True) -> None:
            said.append(model.model_dump(exclude_none=True))

    await converse(sandbox, llm, enable_rtvi=True, rtvi_processor=Client())
    kinds = Counter(message["type"] for message in said)
    assert kinds["bot-llm-started"] == kinds["bot-llm-stopped"] == 4
    text = "".join(m["data"]["text"] for m in said if m["type"] == "bot-llm-text")
    assert text == "Hello.Half past twelve.Bye."
    assert kinds["llm-function-call-started"] == kinds["llm-function-call-stopped"] == 1
    assert kinds["error"] == kinds["error-response"] == 0
    assert sent.of(llm, sandbox) == rows(TABLE, name)


@SERVICES
async def test_tracing(sandbox: Sandbox, sent: Sent, name: str) -> None:
    spans = exporter()
    llm = ALL[name](sandbox, settings=ALL[name](sandbox).Settings(system_instruction="Be brief."))
    await converse(sandbox, llm, enable_tracing=True, enable_turn_tracking=True)
    traced = [span for span in spans.get_finished_spans() if span.name == "llm"]
    assert len(traced) == 4
    outputs = [span.attributes.get("output") for span in traced]
    assert outputs == ["Hello.", None, "Half past twelve.", "Bye."]
    for span in traced:
        assert span.attributes["gen_ai.request.model"] == "gpt-4.1"
        assert span.attributes["gen_ai.usage.input_tokens"] > 0
        assert "Hi." in span.attributes["input"]
        assert "get_time" in span.attributes["tools"]
        assert span.attributes["metrics.ttfb"] > 0
    assert sent.of(llm, sandbox) == rows(TABLE, name)


def exporter() -> Any:
    """Where finished spans are kept; the tests' only provider of traces."""
    trace = pytest.importorskip("opentelemetry.trace")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    kept = memory.InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, sdk.TracerProvider):
        provider = sdk.TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(export.SimpleSpanProcessor(kept))
    return kept
