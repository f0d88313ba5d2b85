"""The instruments of OpenTelemetry. Imported only where the application has set up a provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version

from opentelemetry.metrics import Counter, Histogram, Meter, MeterProvider

OURS = "pipecat_responses"

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""The conventions' bounds for ``gen_ai.client.operation.duration``."""

FIRST_SECONDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0),
)
"""The conventions' bounds for ``gen_ai.server.time_to_first_token``."""

ANSWER_SECONDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
"""What a caller waits for: fine where a conversation feels quick or slow."""

TOKENS = tuple(4**power for power in range(14))
"""The conventions' bounds for ``gen_ai.client.token.usage``."""

COUNTERS = {
    "requests": ("{request}", "Requests of turns, by why they carried everything (or none)."),
    "retries": ("{attempt}", "Attempts after the first."),
    "resumes": ("{answer}", "Answers that were taken up again after they had broken off."),
    "hedges": ("{request}", "Requests that went out once more since their answer was late."),
    "warm_ups": ("{request}", "Warm-ups sent."),
    "anchors": ("{request}", "Anchors sent."),
    "abandoned_responses": ("{response}", "Responses that nobody waited for any more."),
    "abandoned_tokens": ("{token}", "Tokens of those, as far as the server said."),
    "connections": ("{connection}", "Connections opened."),
}
"""Unit and description of what is counted as ``SessionStats`` counts it."""


@dataclass(frozen=True, slots=True)
class Instruments:
    """All of them, made with one meter.

    Attributes:
        tokens: ``gen_ai.client.token.usage``.
        duration: ``gen_ai.client.operation.duration``.
        time_to_first_token: ``gen_ai.server.time_to_first_token``.
        time_to_answer: Seconds until there was something to say or to run.
        cached_tokens: Input tokens that came out of the server's cache.
        reasoning_tokens: Output tokens that went into reasoning.
        errors: Failures that were reported.
        counters: The others, by name.
    """

    tokens: Histogram
    duration: Histogram
    time_to_first_token: Histogram
    time_to_answer: Histogram
    cached_tokens: Counter
    reasoning_tokens: Counter
    errors: Counter
    counters: Mapping[str, Counter]


@lru_cache(maxsize=1)
def instruments_of(provider: MeterProvider) -> Instruments:
    """The instruments of a provider: the same ones for all services of the process.

    Args:
        provider: What the application has set up.
    """
    meter = provider.get_meter(OURS, version("pipecat-responses"))
    return Instruments(
        tokens=meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Input and output tokens of responses.",
            explicit_bucket_boundaries_advisory=TOKENS,
        ),
        duration=_seconds(
            meter, "gen_ai.client.operation.duration", "Turns, from context to end.", SECONDS
        ),
        time_to_first_token=_seconds(
            meter,
            "gen_ai.server.time_to_first_token",
            "From the request that was answered to the first output, as seen here.",
            FIRST_SECONDS,
        ),
        time_to_answer=_seconds(
            meter,
            f"{OURS}.time_to_answer",
            "From the context to the first text or complete function call.",
            ANSWER_SECONDS,
        ),
        cached_tokens=_counter(meter, "cached_tokens", "{token}", "Input tokens out of the cache."),
        reasoning_tokens=_counter(
            meter, "reasoning_tokens", "{token}", "Output tokens that went into reasoning."
        ),
        errors=_counter(meter, "errors", "{error}", "Failures that were reported."),
        counters={name: _counter(meter, name, *told) for name, told in COUNTERS.items()},
    )


def _seconds(meter: Meter, name: str, what: str, bounds: tuple[float, ...]) -> Histogram:
    return meter.create_histogram(name, "s", what, explicit_bucket_boundaries_advisory=bounds)


def _counter(meter: Meter, name: str, unit: str, what: str) -> Counter:
    return meter.create_counter(f"{OURS}.{name}", unit, what)
