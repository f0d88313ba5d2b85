"""How often and how long a turn tries again."""

from __future__ import annotations

import random

import pytest

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import RECOVERIES, Failure, Recovery
from pipecat_responses.protocol.retry import Backoff, Budget


class Chance(random.Random):
    """Chance that is no rng."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


def error(failure: Failure, retry_after: float | None = None) -> ResponsesError:
    return ResponsesError("x", failure=failure, retry_after=retry_after)


@pytest.mark.parametrize(
    ("attempt", "least", "most"),
    [(1, 0.1, 0.2), (2, 0.2, 0.4), (3, 0.4, 0.8), (5, 1.6, 3.2), (6, 2.0, 4.0), (10**6, 2.0, 4.0)],
)
def test_a_pause_doubles_up_to_a_cap_and_half_of_it_is_chance(
    attempt: int, least: float, most: float
) -> None:
    backoff = Backoff(first=0.2, cap=4.0)
    assert backoff.delay(attempt, Chance(0.0)) == pytest.approx(least)
    assert backoff.delay(attempt, Chance(1.0)) == pytest.approx(most)


def test_so_many_attempts_follow_passing_failures() -> None:
    budget = Budget(deadline=100.0, attempts=4, rng=Chance(1.0))
    delays = [budget.spend(error(Failure.SERVER), now=0.0) for _ in range(5)]
    assert delays == [pytest.approx(0.2), pytest.approx(0.4), pytest.approx(0.8), None, None]


def test_one_attempt_means_none_more() -> None:
    assert Budget(deadline=100.0, attempts=1).spend(error(Failure.SERVER), now=0.0) is None


@pytest.mark.parametrize(
    ("asked", "now", "expected"),
    [
        (3.0, 0.0, 3.0),
        (0.0, 0.0, 0.0),
        (0.01, 0.0, 0.01),
        (9.9, 0.0, 9.9),
        (10.0, 0.0, None),
        (3600.0, 0.0, None),
        (3.0, 8.0, None),
    ],
)
def test_the_servers_wish_counts_within_the_deadline(
    asked: float, now: float, expected: float | None
) -> None:
    budget = Budget(deadline=10.0)
    assert budget.spend(error(Failure.RATE_LIMIT, asked), now) == expected


def test_a_clock_may_start_anywhere() -> None:
    budget = Budget(deadline=-5.0, rng=Chance(1.0))
    assert budget.spend(error(Failure.SERVER), now=-10.0) == pytest.approx(0.2)
    assert budget.spend(error(Failure.SERVER), now=-5.3) is None


@pytest.mark.parametrize(
    "failure", [f for f, r in RECOVERIES.items() if r in (Recovery.REPORT, Recovery.PERMANENT)]
)
def test_what_will_not_pass_is_not_tried_again(failure: Failure) -> None:
    assert Budget(deadline=100.0).spend(error(failure), now=0.0) is None


AT_ONCE = [
    Failure.MEMORY_LOST,
    Failure.CONNECTION_EXPIRED,
    Failure.LANES_USED_UP,
    Failure.NO_LANES,
]


@pytest.mark.parametrize("failure", AT_ONCE)
def test_what_needs_no_waiting_is_tried_at_once_but_not_for_ever(failure: Failure) -> None:
    budget = Budget(deadline=100.0, at_once=3)
    assert [budget.spend(error(failure), now=0.0) for _ in range(5)] == [0.0, 0.0, 0.0, None, None]


def test_an_empty_answer_is_asked_for_once_more() -> None:
    budget = Budget(deadline=100.0)
    assert budget.spend(error(Failure.EMPTY), now=0.0) == 0.0
    assert budget.spend(error(Failure.EMPTY), now=0.0) is None


def test_the_purses_are_apart() -> None:
    budget = Budget(deadline=100.0, attempts=2, at_once=1, rng=Chance(0.0))
    assert budget.spend(error(Failure.MEMORY_LOST), now=0.0) == 0.0
    assert budget.spend(error(Failure.SERVER), now=0.0) == pytest.approx(0.1)
    assert budget.spend(error(Failure.EMPTY), now=0.0) == 0.0
    assert budget.spend(error(Failure.MEMORY_LOST), now=0.0) is None
    assert budget.spend(error(Failure.SERVER), now=0.0) is None


@pytest.mark.parametrize("failure", list(Failure))
def test_after_the_deadline_nothing_is_tried(failure: Failure) -> None:
    assert Budget(deadline=10.0).spend(error(failure), now=10.0) is None
