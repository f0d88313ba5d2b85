"""The rules by which a turn's report names what was slow."""

from __future__ import annotations

from typing import Any

import pytest

from pipecat_responses import Cause, FailedAttempt, TurnTimes
from pipecat_responses.protocol.events import Usage
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.planning import FullReason
from pipecat_responses.session.causes import RULES, WORTH, cause_of, explain
from pipecat_responses.session.stats import ResponseReport, TurnReport
from pipecat_responses.session.timing import EXPLANATIONS

SLOW: dict[str, Any] = {"sent": 0.01, "created": 0.1, "first_output": 3.0, "first_text": 3.0}


def turn(usage: Usage | None = None, **changes: Any) -> TurnReport:
    """The report of a turn; fields of its times may be given beside its own."""
    spans = {name: changes.pop(name) for name in TurnTimes.__slots__ if name in changes}
    miss = changes.pop("miss", None)
    response = ResponseReport("resp_1", "gpt-4.1", "completed", usage=usage, cache_diagnostics=miss)
    values = {"incremental": True, "full_reason": None, "items": 1, "size": 500, **changes}
    times = TurnTimes(**{"end": 4.0, **spans})
    return TurnReport(transport="websocket", response=response, times=times, **values)


def failed(failure: Failure, seconds: float = 0.5, **values: Any) -> FailedAttempt:
    return FailedAttempt(failure, seconds=seconds, **values)


BIG = Usage(input=5000, cached=0, output=10, total=5010)
WARM = Usage(input=5000, cached=4900, output=10, total=5010)
THOUGHT = Usage(input=50, output=300, total=350, reasoning=290)
FULL = {"incremental": False, "full_reason": FullReason.RECONNECTED, "size": 300_000}
QUICK: dict[str, Any] = {"sent": 0.01, "created": 0.1, "first_output": 0.3, "first_text": 0.3}

NAMED: dict[str, tuple[TurnReport, Cause, str]] = {
    "nothing": (turn(**QUICK), Cause.NOTHING, "Nothing"),
    "as long as ever": (
        turn(**{**QUICK, "first_output": 0.55, "first_text": 0.55}),
        Cause.NOTHING,
        "Nothing",
    ),
    "connecting": (turn(**QUICK, connecting=0.4), Cause.CONNECTING, "0.40 s for a connection"),
    "connections that failed": (
        turn(
            **QUICK,
            connecting=0.4,
            failures=(failed(Failure.CONNECTION, 0.2, sent=False, paused=1.0),),
        ),
        Cause.CONNECTING,
        "1.40 s for a connection to the server, after 1 that failed (connection)",
    ),
    "busy": (
        turn(
            **QUICK,
            connecting=0.4,
            failures=(failed(Failure.RATE_LIMIT, 0.1, status=429, paused=2.0),) * 2,
        ),
        Cause.SERVER_BUSY,
        "2 times (rate_limit, status 429): 4.20 s in all",
    ),
    "refused handshakes": (
        turn(**QUICK, failures=(failed(Failure.RATE_LIMIT, 0.1, sent=False, paused=2.0),)),
        Cause.SERVER_BUSY,
        "once (rate_limit)",
    ),
    "a lost attempt": (
        turn(**QUICK, failures=(failed(Failure.TIMEOUT),)),
        Cause.LOST_ATTEMPT,
        "An attempt broke off (timeout), which took 0.50 s",
    ),
    "two lost attempts": (
        turn(**QUICK, failures=(failed(Failure.TIMEOUT), failed(Failure.UNENDED))),
        Cause.LOST_ATTEMPT,
        "2 attempts broke off (timeout; unended), which took 1.00 s",
    ),
    "a full request": (
        turn(**{**SLOW, **FULL, "created": 2.9}),
        Cause.FULL_REQUEST,
        "300 kB (reconnected)",
    ),
    "a full request that leaves slowly": (
        turn(**{**QUICK, **FULL, "leaving": 0.9}),
        Cause.FULL_REQUEST,
        "0.90 s",
    ),
    "a full request that is read slowly": (
        turn(**{**SLOW, **FULL}),
        Cause.SERVER_SLOW,
        "2.90 s to begin, where 0.30 s or less is usual",
    ),
    "a small full request": (
        turn(**{**SLOW, **FULL, "size": 900}),
        Cause.SERVER_SLOW,
        "0.50 s or less is usual",
    ),
    "an image": (turn(**{**SLOW, "created": 2.9}, size=3_000_000), Cause.LARGE_REQUEST, "3000 kB"),
    "a cache that was lost": (
        turn(BIG, **SLOW, cache_expected=True, changed=("tools", "user")),
        Cause.CACHE_MISSED,
        "0 of 5000 input tokens in its cache (tools changed)",
    ),
    "a cache that the server calls lost": (
        turn(BIG, **SLOW, miss={"type": "cache_miss", "reason": "evicted"}),
        Cause.CACHE_MISSED,
        "(evicted)",
    ),
    "a cache that was lost for no reason": (
        turn(BIG, **SLOW, miss={"type": "cache_miss", "reason": 7}),
        Cause.CACHE_MISSED,
        "(it does not say why)",
    ),
    "a cache that the server calls used": (
        turn(BIG, **SLOW, miss={"type": "cache_hit"}),
        Cause.SERVER_SLOW,
        "0.50 s or less is usual",
    ),
    "a cache that nobody knows of": (
        turn(BIG, **SLOW),
        Cause.SERVER_SLOW,
        "0.50 s or less is usual",
    ),
    "a cache that works": (turn(WARM, **SLOW, cache_expected=True), Cause.SERVER_SLOW, "usual"),
    "a cache that was lost, and nobody noticed": (
        turn(BIG, **QUICK, cache_expected=True),
        Cause.NOTHING,
        "Nothing",
    ),
    "reasoning": (
        turn(THOUGHT, **{**QUICK, "first_text": 2.3}, thinking=2.0),
        Cause.REASONING,
        "reasoned for 2.00 s, 290 tokens",
    ),
    "reasoning that shows in the tokens only": (
        turn(THOUGHT, **SLOW),
        Cause.REASONING,
        "2.90 s, 290 tokens",
    ),
    "a hosted tool": (
        turn(**{**QUICK, "first_text": 2.3}, tools=1.9),
        Cause.HOSTED_TOOL,
        "1.90 s",
    ),
    "slow to begin": (
        turn(**SLOW),
        Cause.SERVER_SLOW,
        "2.99 s to begin, where 0.50 s or less is usual",
    ),
    "no answer before the end": (turn(sent=0.01), Cause.SERVER_SLOW, "3.99 s"),
    "slow to prepare": (turn(**QUICK, preparing=0.6), Cause.OUR_SIDE, "to be made"),
    "a blocked loop": (turn(**SLOW, blocked=2.5), Cause.OUR_SIDE, "event loop was blocked"),
    "a blocked loop, and a slower server": (
        turn(**SLOW, blocked=0.3),
        Cause.SERVER_SLOW,
        "2.69 s to begin",
    ),
}


@pytest.mark.parametrize(("report", "cause", "words"), NAMED.values(), ids=NAMED)
def test_the_largest_part_is_named(report: TurnReport, cause: Cause, words: str) -> None:
    assert cause_of(report) is cause
    assert explain(report)[0] is cause
    assert words in explain(report)[1]


def test_a_report_without_times_names_nothing() -> None:
    assert cause_of(TurnReport("websocket", True, None, 1, 1)) is Cause.NOTHING


def test_every_cause_has_its_rule_and_its_sentence() -> None:
    assert {rule.cause for rule in RULES} == set(Cause) - {Cause.NOTHING}
    assert {cause for _, cause, _ in NAMED.values()} == set(Cause)
    assert set(EXPLANATIONS) == set(Cause)
    assert all(cause.explanation.endswith(".") for cause in Cause)


def test_what_takes_no_time_is_no_cause() -> None:
    clean = turn(**QUICK)
    assert clean.times is not None
    assert all(rule.seconds(clean, clean.times) < WORTH for rule in RULES)
