"""A turn is timed: one look at the clock for each thing that matters, and none for a delta."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.session.exchange import Exchange
from pipecat_responses.session.stats import SessionStats
from pipecat_responses.session.timing import FailedAttempt, Milestones, TurnTimes
from pipecat_responses.session.turn_events import (
    CompleteCall,
    ItemStart,
    OutputItem,
    Text,
    ThoughtText,
    TurnEvent,
)

TICK = 0.05
"""Seconds between two looks at how late the event loop is, while an answer is waited for."""

LATE = 0.02
"""Seconds that the event loop may be late before that counts."""


class TurnWatch:
    """Notes when a turn does what. Its life begins when the context frame arrives.

    Attributes:
        attempts: How many attempts were made.
        failures: Those that came to nothing.
        resumed: Whether an answer that had broken off was taken up again.
        at_rest: Whether more text, and nothing else, would be no news.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts with the time that it is now."""
        self.attempts = 0
        self.failures: list[FailedAttempt] = []
        self.resumed = self.at_rest = False
        self._clock = clock
        self._began = self._asked = self._ended = clock()
        self._preparing = self._connecting = self._connecting_before = 0.0
        self._exchange: Exchange | None = None
        self._sent = self._began
        self._first_output: float | None = None
        self._first_text: float | None = None
        self._first_call: float | None = None
        self._doing: Literal["thinking", "tools"] | None = None
        self._doing_since = 0.0
        self._spent = {"thinking": 0.0, "tools": 0.0}
        self._loop_delay = _LoopDelay(clock)

    def asks(self, stats: SessionStats) -> None:
        """A request is about to be given to the session."""
        now = self._clock()
        if self.failures:
            self.failures[-1] = replace(self.failures[-1], paused=now - self._ended)
        else:
            self._preparing = now - self._began
        self._asked = now
        self.resumed = self.resumed or self._first_text is not None
        if not self._answered:
            # What an attempt showed that came to nothing is nobody's answer.
            self._first_output = self._doing = None
            self._spent = dict.fromkeys(self._spent, 0.0)
        self.attempts += 1
        self._exchange = None
        self._connecting_before = stats.connecting_secs
        self._loop_delay.start()

    def sent(self, exchange: Exchange, stats: SessionStats) -> None:
        """The request is on its way."""
        self._exchange = exchange
        self._sent = self._clock()
        waited = stats.connecting_secs - self._connecting_before
        self._connecting += waited
        self._preparing += max(0.0, self._sent - self._asked - waited)

    def fails(self, error: ResponsesError) -> None:
        """The attempt has come to nothing."""
        now = self._ended = self._clock()
        connected = self._milestones().connected
        if connected is None:
            self._connecting += now - (self._asked if self._exchange is None else self._sent)
        else:
            self._connecting += max(0.0, connected - self._sent)
        self._exchange = None
        self.failures.append(
            FailedAttempt(
                error.failure, error.status, now - self._asked, sent=connected is not None
            )
        )

    def put_out(self, events: Sequence[TurnEvent], now: float) -> None:
        """Something has come of the turn.

        Args:
            events: What it is. Text alone need not be told while the watch is at rest.
            now: The time.
        """
        for event in events:
            match event:
                case Text():
                    self._does(None, now)
                    self._first_text = now if self._first_text is None else self._first_text
                case CompleteCall():
                    self._does(None, now)
                    self._first_call = now if self._first_call is None else self._first_call
                case ItemStart():
                    self._does(_what(event), now)
                case ThoughtText():
                    self._does("thinking", now)
                case OutputItem():
                    self._does(None, now)
                case _:
                    continue
            if self._first_output is None:
                self._first_output = now
        if self._answered:
            self._loop_delay.stop()
        self.at_rest = self._first_text is not None and self._doing is None

    def stop(self) -> None:
        """The turn is over, or nobody waits for it any more."""
        self._loop_delay.stop()

    def times(self) -> TurnTimes:
        """Where the time went, until now."""
        now = self._clock()
        self._does(None, now)
        milestones = self._milestones()
        left, written = self._sent, milestones.written
        if self._exchange is not None:
            # Over HTTP the connection is looked for once the request is given away.
            left = now if milestones.connected is None else max(milestones.connected, left)
        return TurnTimes(
            preparing=self._preparing,
            connecting=self._connecting + left - self._sent,
            leaving=None if written is None else max(0.0, written - self._sent),
            thinking=self._spent["thinking"],
            tools=self._spent["tools"],
            blocked=self._loop_delay.seconds,
            sent=left - self._began,
            created=self._since(milestones.created),
            first_output=self._since(self._first_output),
            first_text=self._since(self._first_text),
            first_call=self._since(self._first_call),
            end=now - self._began,
        )

    @property
    def _answered(self) -> bool:
        return self._first_text is not None or self._first_call is not None

    def _milestones(self) -> Milestones:
        return Milestones() if self._exchange is None else self._exchange.milestones

    def _since(self, moment: float | None) -> float | None:
        return None if moment is None else moment - self._began

    def _does(self, what: Literal["thinking", "tools"] | None, now: float) -> None:
        if what == self._doing:
            return
        if self._doing is not None:
            self._spent[self._doing] += now - self._doing_since
        self._doing, self._doing_since = what, now


def _what(begun: ItemStart) -> Literal["thinking", "tools"] | None:
    if begun.kind == "reasoning":
        return "thinking"
    return "tools" if begun.kind.endswith("_call") and not begun.is_call else None


class _LoopDelay:
    """How late the event loop is in all, while it is watched.

    Attributes:
        seconds: The sum of what was noticed.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.seconds = 0.0
        self._clock = clock
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._timer is None:
            self._wait()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._count()

    def _wait(self) -> None:
        self._due = self._clock() + TICK
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _tick(self) -> None:
        self._count()
        self._wait()

    def _count(self) -> None:
        late = self._clock() - self._due
        if late > LATE:
            self.seconds += late
