"""When a turn's request goes out once more: what the application wants, and what the times say."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.names import ErrorName, named
from pipecat_responses.protocol.requests import Request
from pipecat_responses.session.endpoint import Endpoint
from pipecat_responses.session.log import SessionLog
from pipecat_responses.session.stats import SessionStats

ALLOWANCE = 2
"""Hedges that the first turns of a session may have, whatever the budget makes of so few."""

TIMES_KEPT = 200
"""Turns whose times to the first output are kept in mind."""

RUNS_HERE = ("function", "custom")
"""Types of tools that run in the application, and only for the response that is the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgePolicy:
    """When a turn's request goes out once more because its answer is late.

    Attributes:
        after_secs: Seconds without any output after which it does. None takes the time in which
            ``quantile`` of the conversation's own turns had put something out.
        quantile: That part of the turns, between 0 and 1.
        floor_secs: The least seconds that this may come to.
        min_turns: Turns whose times have to be known before.
        initial_secs: The seconds until then: the first answer of a call may be late as well. An
            own server that is not there at all is waited for ``floor_secs``, if there is a second.
        budget: The part of a session's turns that may be hedged; the first two hedges are free.
        repeatable_tools: Types of tools that run at the server and may run twice there
            (``"web_search"``, ``"file_search"``). A request that declares others is never hedged.
        endpoint: A second server. Hedges go there, and so does a turn whose own server is lost.
    """

    after_secs: float | None = None
    quantile: float = 0.93
    floor_secs: float = 0.5
    min_turns: int = 10
    initial_secs: float = 2.0
    budget: float = 0.06
    repeatable_tools: Collection[str] = ()
    endpoint: Endpoint | None = None

    def __post_init__(self) -> None:
        """Refuses what makes no sense."""
        for name in ("after_secs", "floor_secs", "min_turns", "initial_secs"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise named(
                    ValueError(f"HedgePolicy.{name} must be more than 0, not {value!r}"),
                    ErrorName.ARGUMENT,
                )
        if not 0 < self.quantile < 1:
            raise named(
                ValueError(f"HedgePolicy.quantile must be between 0 and 1, not {self.quantile!r}"),
                ErrorName.ARGUMENT,
            )
        if not 0 < self.budget <= 1:
            raise named(
                ValueError(
                    f"HedgePolicy.budget must be more than 0 and at most 1, not {self.budget!r}"
                ),
                ErrorName.ARGUMENT,
            )
        if isinstance(self.repeatable_tools, str):
            raise named(
                ValueError("HedgePolicy.repeatable_tools must be a collection of types of tools"),
                ErrorName.ARGUMENT,
            )

    def allows(self, request: Request) -> bool:
        """Whether a request may run twice at the server.

        Not one that takes up an answer that the user is hearing, not one that adds to a
        conversation kept there, and not one whose tools might act twice; what a stored prompt
        declares nobody knows here.
        """
        fields = request.fields
        if request.resumes or fields.has("conversation") or fields.has("prompt"):
            return False
        return self._may_repeat(fields.values.get("tools"))

    def _may_repeat(self, tools: Any) -> bool:
        return all(
            isinstance(tool, Mapping)
            and (
                self._may_repeat(tool.get("tools"))
                if tool.get("type") == "namespace"
                else tool.get("type") in RUNS_HERE or tool.get("type") in self.repeatable_tools
            )
            for tool in tools or ()
        )


class HedgeTiming:
    """Decides when the turns of a session are hedged, by how long they have taken so far.

    Attributes:
        stats: The session's counters.
        clock: Seconds, from anywhere.
        unheard_since: Since when the turn waits: since the server has its request, or since the
            turn began as long as it has none.
    """

    def __init__(
        self,
        policy: HedgePolicy,
        stats: SessionStats,
        log: SessionLog,
        clock: Callable[[], float],
    ) -> None:
        """Begins with a session of which no times are known.

        Args:
            policy: What the application wants.
            stats: The session's counters.
            log: Where lines go.
            clock: Seconds, from anywhere.
        """
        self.stats = stats
        self.clock = clock
        self.unheard_since = 0.0
        self._policy = policy
        self._log = log
        self._times: deque[float] = deque(maxlen=TIMES_KEPT)
        self._thinking: deque[float] = deque(maxlen=TIMES_KEPT)
        self._turn = 0
        self._hedged = False
        self._run_twice = 0

    def begin(self) -> None:
        """An attempt begins; the session's counters tell whether it is the first of its turn."""
        if self._turn != self.stats.turns:
            self._turn, self._hedged = self.stats.turns, False
            self.unheard_since = self.clock()

    def delay(self, *, sent: bool) -> float | None:
        """Seconds to wait before the hedge of this turn; None if it has none.

        Args:
            sent: Whether the server has the request already. How long it takes to answer says
                nothing of one that is not there.
        """
        policy = self._policy
        if self._hedged:
            return None
        if policy.after_secs is not None:
            return policy.after_secs
        if len(self._times) < policy.min_turns:
            return policy.initial_secs if sent else policy.floor_secs
        return self._usual(self._times)

    def delay_once_accepted(self) -> float | None:
        """Seconds to wait from the moment at which the server has accepted the request.

        What the way there takes says nothing of the server: a request over HTTP grows with the
        conversation, so the time of its upload is always more than it used to be.

        Returns:
            The seconds; None where those since the request went out are all that is known.
        """
        if self._policy.after_secs is not None or len(self._thinking) < self._policy.min_turns:
            return None
        return self._usual(self._thinking)

    def _usual(self, seconds: Collection[float]) -> float:
        """What the quantile of some times comes to."""
        policy, times = self._policy, sorted(seconds)
        return max(policy.floor_secs, times[min(len(times) - 1, int(policy.quantile * len(times)))])

    def may_hedge(self, *, twice: bool) -> bool:
        """Whether a hedge may go out now; if so, it is taken to.

        Args:
            twice: Whether the request is at its server already, and is paid for twice.
        """
        if twice:
            if self._run_twice >= max(ALLOWANCE, self._policy.budget * self.stats.turns):
                return False
            self._run_twice += 1
        self._hedged = True
        self._log.debug("The answer is late: the request goes out once more")
        return True

    def leg_failed(self, error: ResponsesError) -> None:
        """One of two requests has failed, and the other goes on."""
        self._log.warning("One of two requests for the same turn has failed: {}", error)

    def was_there(self) -> None:
        """The server has been given a request of this turn."""
        self.unheard_since = self.clock()

    def first_output(self, seconds: float, *, accepted: float | None, hedge: bool) -> None:
        """A turn has put something out.

        Args:
            seconds: Since its request had gone out. The first request would have taken longer
                where the hedge was faster.
            accepted: Since the server had accepted it, if it has said so.
            hedge: Whether it came of the hedge.
        """
        self._times.append(seconds)
        if accepted is not None:
            self._thinking.append(accepted)
        if hedge:
            self.stats.count_hedge_won()
