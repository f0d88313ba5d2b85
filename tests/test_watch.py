"""What a turn's watch makes of what it is told."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import pytest

from pipecat_responses import FailedAttempt, ResponsesError
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.session.stats import SessionStats
from pipecat_responses.session.timing import Milestones
from pipecat_responses.session.turn_events import (
    CompleteCall,
    ItemStart,
    OutputItem,
    Text,
    ThoughtText,
)
from pipecat_responses.session.watch import TurnWatch


class Clock:
    """A clock that shows what it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def goes(self, seconds: float) -> float:
        self.now += seconds
        return self.now


@dataclass
class Sent:
    """A request as the watch sees it."""

    milestones: Milestones


class Timed:
    """A watch, its clock, and what it counts with."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.watch = TurnWatch(self.clock)
        self.stats = SessionStats()

    def send(self, *, connecting: float = 0.0, **milestones: float) -> None:
        self.watch.asks(self.stats)
        self.stats.count_connecting(connecting)
        self.clock.goes(connecting)
        at = {name: self.clock.now + after for name, after in milestones.items()}
        sent: Any = Sent(Milestones(**{"connected": self.clock.now, **at}))
        self.watch.sent(sent, self.stats)

    def puts_out(self, after: float, *events: Any) -> None:
        self.watch.put_out(events, self.clock.goes(after))

    def fails(self, after: float, failure: Failure = Failure.TIMEOUT) -> None:
        self.clock.goes(after)
        self.watch.fails(ResponsesError("No.", failure=failure, status=500))


CALL = CompleteCall("call_1", "look_up", "{}")
REASONING = ItemStart(is_call=False, kind="reasoning")
SEARCH = ItemStart(is_call=False, kind="web_search_call")
SEARCHED = OutputItem({"type": "web_search_call"})


@pytest.fixture
async def timed() -> Timed:
    return Timed()


async def test_a_plain_turn(timed: Timed) -> None:
    timed.clock.goes(0.25)
    timed.send(connecting=1.0, written=0.125, created=0.25)
    timed.puts_out(0.5, Text("a"))
    assert timed.watch.at_rest
    timed.puts_out(0.5, Text("b"), CALL)
    timed.clock.goes(1.0)
    times = timed.watch.times()
    timed.watch.stop()
    assert (times.preparing, times.connecting, times.leaving) == (0.25, 1.0, 0.125)
    assert (times.sent, times.created) == (1.25, 1.5)
    assert (times.first_output, times.first_text, times.first_call) == (1.75, 1.75, 2.25)
    assert (times.end, times.answer, times.begun) == (3.25, 1.75, 1.5)
    assert (times.thinking, times.tools) == (0.0, 0.0)


async def test_what_the_server_does_before_the_answer(timed: Timed) -> None:
    timed.send()
    timed.puts_out(0.5, REASONING)
    timed.puts_out(1.0, ThoughtText("hm"))
    timed.puts_out(1.0, SEARCH)
    timed.puts_out(4.0, SEARCHED)
    timed.puts_out(0.5, REASONING)
    timed.puts_out(1.0, ItemStart(is_call=True, kind="function_call"))
    timed.puts_out(0.5, CALL)
    times = timed.watch.times()
    assert (times.thinking, times.tools) == (3.0, 4.0)
    assert (times.first_output, times.first_text, times.first_call) == (0.5, None, 8.5)
    assert not timed.watch.at_rest


async def test_a_tool_that_runs_behind_text_is_not_at_rest(timed: Timed) -> None:
    timed.send()
    timed.puts_out(0.5, Text("Let me look that up."), SEARCH)
    assert not timed.watch.at_rest
    timed.puts_out(2.0, SEARCHED)
    assert timed.watch.at_rest
    assert timed.watch.times().tools == 2.0


async def test_what_a_failed_attempt_showed_does_not_count(timed: Timed) -> None:
    timed.send()
    timed.puts_out(0.5, REASONING)
    timed.fails(1.0)
    timed.clock.goes(2.0)
    timed.send(created=0.25)
    timed.puts_out(0.5, Text("a"))
    times = timed.watch.times()
    assert timed.watch.failures == [FailedAttempt(Failure.TIMEOUT, 500, 1.5, 2.0)]
    assert (timed.watch.attempts, timed.watch.resumed) == (2, False)
    assert (times.thinking, times.first_output, times.sent) == (0.0, 4.0, 3.5)


async def test_an_answer_that_is_taken_up_again(timed: Timed) -> None:
    timed.send()
    timed.puts_out(0.5, Text("a"))
    timed.fails(1.0, Failure.CONNECTION)
    timed.send()
    timed.puts_out(0.5, Text("b"))
    assert timed.watch.resumed
    assert timed.watch.times().first_text == 0.5


async def test_a_connection_that_cannot_be_opened(timed: Timed) -> None:
    timed.clock.goes(0.25)
    timed.watch.asks(timed.stats)
    timed.fails(2.0, Failure.CONNECTION)
    timed.clock.goes(1.0)
    timed.send(connecting=0.5)
    [failed] = timed.watch.failures
    assert (failed.sent, failed.seconds, failed.paused) == (False, 2.0, 1.0)
    times = timed.watch.times()
    assert (times.preparing, times.connecting, times.sent) == (0.25, 2.5, 3.75)


async def test_a_connection_that_is_looked_for_after_the_request(timed: Timed) -> None:
    timed.send(connected=0.5, created=0.75)
    timed.clock.goes(2.0)
    times = timed.watch.times()
    assert (times.connecting, times.sent, times.created) == (0.5, 0.5, 0.75)


async def test_the_event_loop_is_watched_until_there_is_an_answer() -> None:
    watch = TurnWatch()
    sent: Any = Sent(Milestones())
    watch.asks(SessionStats())
    watch.sent(sent, SessionStats())
    loop = asyncio.get_running_loop()
    loop.call_soon(_keep, 0.2)
    await asyncio.sleep(0.01)
    watch.put_out([Text("a")], loop.time())
    seen = watch.times().blocked
    assert seen > 0.1
    _keep(0.1)
    await asyncio.sleep(0.01)
    watch.stop()
    assert watch.times().blocked == seen


def _keep(seconds: float) -> None:
    """Lets nothing else run."""
    time.sleep(seconds)
