"""One attempt of a turn: when its request did what, and what its silence means."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum, auto

from pipecat_responses.protocol.events import Event, TextDelta
from pipecat_responses.protocol.progress import ResponseProgress
from pipecat_responses.session.exchange import NEVER, Exchange
from pipecat_responses.session.limits import TurnLimits

SLOW = 4.0
"""A pause is a stall if it is so many times as long as the longest one before it."""

LIVES = 5.0
"""A server that shows that it is there may take so many times as long."""


class Attempt:
    """One request and when it did what, in the turn's clock.

    Attributes:
        exchange: The request and what answers it.
        stream: How far its response has come.
        begun: Whether the server has said anything to it.
    """

    def __init__(
        self,
        exchange: Exchange,
        now: float,
        *,
        output_timeout: float | None,
        custom_tools: Collection[str] = (),
        stream: ResponseProgress | None = None,
    ) -> None:
        """Notes that a request was sent.

        Args:
            exchange: The request and what answers it.
            now: The time.
            output_timeout: Seconds it has to put something out, or None.
            custom_tools: The custom tools that run here.
            stream: How far its response has come, if it has begun before.
        """
        self.exchange = exchange
        self.stream = stream or ResponseProgress(custom_tools)
        self.begun = False
        self._sent = self._last = self._alive = now
        self._longest_gap = 0.0
        self._probed = False
        self._output_timeout = output_timeout
        self._due: float | None = None
        self._spoke = False
        self._custom_tools = custom_tools
        self._goes_on = False

    def heard(self, events: Sequence[Event], now: float) -> None:
        """Something of it has come."""
        gap = now - self._last
        if gap > self._longest_gap and self.stream.speaks:
            self._longest_gap = gap
        self.begun = True
        self._last = self._alive = now
        # More of a text can only put off what is due, and to look too early costs nothing.
        if not self._spoke or len(events) > 1 or type(events[0]) is not TextDelta:
            self._due = None

    def goes_on(self, successor: bool) -> None:
        """Whether the server is to go on by itself once the response has ended.

        Args:
            successor: Whether it is.
        """
        self._goes_on = successor
        self._due = None

    def succeed(self) -> None:
        """The response has ended, and the server has gone on in another one."""
        self.stream = ResponseProgress(self._custom_tools)
        self.goes_on(False)

    def lives(self, now: float) -> None:
        """The server has shown that it is there, and nothing else."""
        self._alive = now

    def still_leaving(self, now: float) -> None:
        """Its request is still being written: the server has nothing to answer yet."""
        self._sent = self._alive = now

    @property
    def where(self) -> str:
        """Where it has come to, for people."""
        return "in the middle of a sentence" if self.stream.speaks else "and did not go on"

    def silent(self, now: float) -> float:
        """Seconds since it has put something out, or at least begun."""
        return now - self._last

    def probe(self) -> None:
        """The server is asked for a sign of life."""
        self._probed = True

    def due(self, limits: TurnLimits) -> float:
        """When to look what is the matter, if nothing comes before."""
        due = self._due
        if due is None:
            self._spoke = self.stream.speaks
            due = self._due = self._due_now(limits)
        return due

    def _due_now(self, limits: TurnLimits) -> float:
        if self.begun:
            due = self._lost_at(limits)
            if self._is_answered:
                due = min(due, self._last + limits.terminal_secs)
        elif self._probed:
            due = self._begins_by(limits)
        else:
            due = min(self._begins_by(limits), self._alive + limits.quiet_secs)
        return min(due, self._output_due)

    def check(self, now: float, limits: TurnLimits) -> Quiet:
        """What it means that nothing has come until now."""
        self._due = None
        if not self.begun and not self.exchange.sent:
            return Quiet.STILL_LEAVING
        if now >= self._output_due:
            return Quiet.NO_OUTPUT
        if self.begun:
            if self._is_answered and now >= self._last + limits.terminal_secs:
                return Quiet.NO_TERMINAL
            return Quiet.STALLED if now >= self._lost_at(limits) else Quiet.EARLY
        if now >= self._begins_by(limits):
            return Quiet.NOT_BEGUN
        if not self._probed and now >= self._alive + limits.quiet_secs:
            return Quiet.PROBE
        return Quiet.EARLY

    @property
    def _is_answered(self) -> bool:
        # What the client has to run first is waited for by nobody else.
        return self.stream.is_answered and (not self._goes_on or self.stream.ends_with_call)

    def _begins_by(self, limits: TurnLimits) -> float:
        return min(self._alive + limits.begin_secs, self._sent + LIVES * limits.stall_secs)

    def _lost_at(self, limits: TurnLimits) -> float:
        if self.stream.speaks:
            # Nobody pauses in the middle of a sentence, but some are slow.
            gap = max(limits.gap_secs, SLOW * self._longest_gap)
            return self._last + min(gap, limits.stall_secs)
        return min(self._alive + limits.stall_secs, self._last + LIVES * limits.stall_secs)

    @property
    def _output_due(self) -> float:
        if self._output_timeout is None or self.stream.output:
            return NEVER
        return self._sent + self._output_timeout


class Quiet(Enum):
    """What it means that an attempt is quiet."""

    STILL_LEAVING = auto()
    NO_OUTPUT = auto()
    NO_TERMINAL = auto()
    STALLED = auto()
    NOT_BEGUN = auto()
    PROBE = auto()
    EARLY = auto()
