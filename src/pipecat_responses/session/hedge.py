"""Hedged turns: a request whose answer is late goes out once more, and the first answer counts.

A ``HedgingBackend`` stands between a turn and its session. What it gives the turn is an exchange
like any other, behind which two may race::

    one leg    nothing put out when its time is up    the hedge goes out
    one leg    puts something out                     it is the answer
    one leg    fails                                  the attempt fails
    two legs   one puts something out                 it is the answer; the other is abandoned
    two legs   one fails                              the other is the attempt

Whatever a leg says before that is kept back, but for the signs that the server is there, so that a
turn hears one response only.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.events import (
    ACTIVITY,
    Activity,
    Began,
    Created,
    Event,
    ItemAdded,
    Refused,
    Status,
    Terminal,
    TextDelta,
    TextDone,
    Usage,
)
from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.names import ErrorName, named
from pipecat_responses.protocol.requests import Request
from pipecat_responses.session.endpoint import Endpoint, EndpointSession
from pipecat_responses.session.exchange import NEVER, Exchange
from pipecat_responses.session.log import SessionLog
from pipecat_responses.session.stats import SessionStats, TurnReport
from pipecat_responses.session.timing import Milestones
from pipecat_responses.session.turn import Backend

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


class HedgingBackend:
    """A turn's way to its server, and the way that its hedge takes."""

    def __init__(
        self,
        own: Backend,
        policy: HedgePolicy,
        endpoint: EndpointSession | None = None,
        *,
        log: SessionLog | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Creates it; nothing is sent.

        Args:
            own: The way to the service's own server.
            policy: When a hedge goes out.
            endpoint: The way to the second server, if there is one.
            log: Where lines go.
            clock: Seconds, from anywhere.
        """
        self._own = own
        self._policy = policy
        self._endpoint = endpoint
        self._log = log or SessionLog()
        self.clock = clock
        self._times: deque[float] = deque(maxlen=TIMES_KEPT)
        self._thinking: deque[float] = deque(maxlen=TIMES_KEPT)
        self._turn = 0
        self._hedged = False
        self._run_twice = 0
        self._unheard_since = 0.0

    @property
    def stats(self) -> SessionStats:
        """Counters."""
        return self._own.stats

    @property
    def reached(self) -> bool:
        """Whether the server has been there at all."""
        return self._own.reached

    @property
    def turns_off(self) -> bool:
        """Whether the next request goes another way than the last one, and need not wait."""
        return self._own.turns_off

    async def respond(self, request: Request) -> Exchange:
        """Sends a turn's request; its hedge goes out when the answer is late.

        Raises:
            ResponsesError: If there is no way to send it now.
        """
        if not self._policy.allows(request):
            return await self._own.respond(request)
        if self._turn != self.stats.turns:
            self._turn, self._hedged = self.stats.turns, False
            self._unheard_since = self.clock()
        other = self._elsewhere(request)
        first = _Leg(self._own, request)
        if other is None:
            await first.send()
            self._unheard_since = self.clock()
        second = _Leg(other or self._own, request, self.stats.count_hedge)
        # Where the server has not been reached yet, the turn has been waiting since it began.
        return HedgedExchange(self, first, second, self._unheard_since, elsewhere=other is not None)

    def _elsewhere(self, request: Request) -> EndpointSession | None:
        endpoint = self._endpoint
        return endpoint if endpoint is not None and endpoint.takes(request) else None

    # -- asked and told by the exchange -------------------------------------------------------

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
        self._unheard_since = self.clock()

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


class _Leg:
    """One of the two requests.

    Attributes:
        exchange: The request and what answers it, once it has gone out.
        held: What it has said that is not for the turn yet.
    """

    def __init__(
        self, backend: Backend, request: Request, on_sent: Callable[[], None] | None = None
    ) -> None:
        self.exchange: Exchange | None = None
        self.held: list[Event] = []
        self._backend = backend
        self._request = request
        self._on_sent = on_sent
        self._reading: asyncio.Task[list[Event]] | None = None

    @property
    def sent(self) -> bool:
        """Whether the request has left."""
        return self.exchange is not None and self.exchange.sent

    async def send(self) -> Exchange:
        """Sends the request, if it has not gone out yet."""
        if self.exchange is None:
            self.exchange = await self._backend.respond(self._request)
            if self._on_sent is not None:
                self._on_sent()
        return self.exchange

    async def next(self, within: float | None) -> list[Event]:
        """Waits for events of this leg alone."""
        if self._reading is None and self.exchange is not None:
            return await self.exchange.next(within)
        await asyncio.wait({self.read()}, timeout=within)
        return self.taken()

    def read(self) -> asyncio.Task[list[Event]]:
        """What waits for the leg's next events, for as long as it takes."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="pipecat-responses hedge")
        return self._reading

    async def _read(self) -> list[Event]:
        return await (await self.send()).next()

    def taken(self) -> list[Event]:
        """The events that have come meanwhile.

        Raises:
            ResponsesError: If no event will come any more.
        """
        reading = self._reading
        if reading is not None and reading.done():
            self._reading = None
            return reading.result()
        # Signs of life do not wake who reads.
        return [] if self.exchange is None else self.exchange.waiting()

    def abandon(self, *, unanswered: bool = False) -> None:
        """Lets go of the request, wherever it is."""
        reading, self._reading = self._reading, None
        if reading is not None and not reading.cancel() and not reading.cancelled():
            # What it has found out is of no use, a failure included.
            reading.exception()
        if self.exchange is not None:
            self.exchange.abandon(unanswered=unanswered)


class HedgedExchange:
    """A request, and the same once more if its answer is late. See the module's head."""

    def __init__(
        self, backend: HedgingBackend, first: _Leg, second: _Leg, since: float, *, elsewhere: bool
    ) -> None:
        """Begins with the first request.

        Args:
            backend: Decides about the hedge.
            first: The request.
            second: The hedge.
            since: Since when the turn waits for it.
            elsewhere: Whether the hedge goes to another server.
        """
        self._backend = backend
        self._first = first
        self._second = second
        self._began = backend.clock()
        self._since = since
        self._elsewhere = elsewhere
        self._hedged = False
        self._chosen: _Leg | None = None
        self._heard = False
        self._error: ResponsesError | None = None

    @property
    def _legs(self) -> list[_Leg]:
        if self._chosen is not None:
            return [self._chosen]
        return [self._first, self._second] if self._hedged else [self._first]

    # -- what a turn sees (session.exchange.Exchange) -----------------------------------------

    @property
    def report(self) -> TurnReport | None:
        """How the request went out that is the answer, or the first as long as none is."""
        legs = [*self._legs, self._first, self._second]
        exchange = next((leg.exchange for leg in legs if leg.exchange is not None), None)
        report = None if exchange is None else exchange.report
        if report is None or self._second.exchange is None:
            return report
        won = self._chosen is self._second
        loser = self._first if won else self._second
        usage = None if loser.exchange is None else loser.exchange.usage
        return replace(report, hedged="won" if won else "lost", hedge_usage=usage)

    @property
    def request_id(self) -> str | None:
        """What the server calls the request, if it has a name there."""
        exchange = self._legs[0].exchange
        return None if exchange is None else exchange.request_id

    @property
    def usage(self) -> Usage | None:
        """The tokens of the response that is the answer, once it has ended."""
        exchange = self._legs[0].exchange
        return None if exchange is None else exchange.usage

    @property
    def sent(self) -> bool:
        """Whether a request has left."""
        return any(leg.sent for leg in self._legs)

    @property
    def milestones(self) -> Milestones:
        """How far the first request has got when, and when the one that answers was accepted."""
        first = self._first.exchange or self._second.exchange
        answers = self._legs[0].exchange
        if first is None:
            return Milestones()
        created = None if answers is None else answers.milestones.created
        return first.milestones._replace(created=created)

    async def next(self, within: float | None = None) -> list[Event]:
        """Waits for events, as ``Inbox.next`` does."""
        clock = self._backend.clock
        until = NEVER if within is None else clock() + within
        while True:
            due = self._due()
            if clock() >= due:
                self._hedge()
                continue
            events = await self._hear(_left(min(until, due), clock()))
            if events and all(event is ACTIVITY for event in events):
                # Both may have shown that they live, and a turn takes that for one sign.
                return [ACTIVITY]
            if events or clock() >= until:
                return events

    def waiting(self) -> list[Event]:
        """Takes the events that wait, once one request is the answer."""
        leg = self._chosen
        return [] if leg is None or leg.exchange is None else leg.exchange.waiting()

    @property
    def steerable(self) -> bool:
        """Whether the server may take more input now: once one request is the answer."""
        leg = self._chosen
        return leg is not None and leg.exchange is not None and leg.exchange.steerable

    def steer(self, items: Sequence[Item]) -> bool:
        """Gives the server that answers more input while the response runs."""
        leg = self._chosen
        return leg is not None and leg.exchange is not None and leg.exchange.steer(items)

    async def probe(self, within: float) -> None:
        """Finds out whether the server is there at all."""
        there = [leg.exchange for leg in self._legs if leg.exchange is not None]
        await asyncio.gather(*(exchange.probe(within) for exchange in there))

    def abandon(self, *, unanswered: bool = False) -> None:
        """Stops listening to whatever runs. The hedge has not had all the time there is."""
        first, *others = self._legs
        first.abandon(unanswered=unanswered)
        for leg in others:
            leg.abandon()

    # -- the race -----------------------------------------------------------------------------

    def _due(self) -> float:
        """When the hedge is to go out, if ever; if it is not to, the first is the answer."""
        if self._hedged or self._chosen is not None:
            return NEVER
        sent = self._first.sent
        delay = self._backend.delay(sent=sent)
        if delay is None:
            self._chosen = self._first
            return NEVER
        if not sent and not self._elsewhere:
            # What cannot leave for want of bandwidth would not leave sooner twice.
            return self._backend.clock() + delay
        created = self._created()
        thinking = None if created is None else self._backend.delay_once_accepted()
        if created is not None and thinking is not None:
            return created + thinking
        return self._since + delay

    def _created(self) -> float | None:
        """When the server accepted the first request, if it has said so."""
        exchange = self._first.exchange
        return None if exchange is None else exchange.milestones.created

    def _hedge(self) -> None:
        if self._backend.may_hedge(twice=self._first.sent):
            self._hedged = True
        else:
            self._chosen = self._first

    async def _hear(self, within: float | None) -> list[Event]:
        if self._chosen is not None:
            return await self._hear_chosen(self._chosen, within)
        if self._hedged:
            return await self._hear_both(within)
        try:
            events = await self._first.next(within)
        finally:
            if self._first.sent:
                self._backend.was_there()
        return self._take(self._first, events)

    async def _hear_chosen(self, leg: _Leg, within: float | None) -> list[Event]:
        try:
            events = await leg.next(within)
        except ResponsesError:
            if self._error is None or self._heard:
                raise
            # The other request had failed before, and that is what the turn has to deal with.
            raise self._error from None
        self._note(leg, events)
        return events

    async def _hear_both(self, within: float | None) -> list[Event]:
        legs = self._legs
        reading = [leg.read() for leg in legs]
        await asyncio.wait(reading, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        heard: list[Event] = []
        for leg in legs:
            try:
                events = leg.taken()
            except ResponsesError as error:
                return heard + self._fail(leg, error)
            if not events:
                continue
            failure = _failure(events)
            if failure is not None:
                return heard + self._fail(leg, failure)
            heard += self._take(leg, events)
            if self._chosen is not None:
                break
        return heard

    def _take(self, leg: _Leg, events: list[Event]) -> list[Event]:
        """Takes in what a leg has said while no leg is the answer."""
        if any(map(_puts_out, events)):
            held = self._choose(leg)
            self._note(leg, events)
            return held + events
        leg.held += [event for event in events if event is not ACTIVITY]
        return [event for event in events if isinstance(event, _SIGNS)]

    def _choose(self, leg: _Leg) -> list[Event]:
        """A leg is the answer, and the other one is let go of.

        Returns:
            What was kept back of it.
        """
        for other in self._legs:
            if other is not leg:
                other.abandon()
                if other.exchange is not None and (usage := other.exchange.usage) is not None:
                    # It had ended before it was let go of, so nobody else counts it.
                    self._backend.stats.count_abandoned_tokens(usage.total)
        self._chosen = leg
        held, leg.held = leg.held, []
        return held

    def _fail(self, leg: _Leg, error: ResponsesError) -> list[Event]:
        """One of two has failed: the other is all there is, and has its time before it."""
        self._error = error
        self._backend.leg_failed(error)
        survivor = self._second if leg is self._first else self._first
        return [ACTIVITY, *self._choose(survivor)]

    def _note(self, leg: _Leg, events: list[Event]) -> None:
        if not self._heard and any(_puts_out(each) for each in events):
            self._heard = True
            if _failure(events) is None:
                now, created = self._backend.clock(), self._created()
                self._backend.first_output(
                    now - self._began,
                    accepted=None if created is None else now - created,
                    hedge=leg is self._second,
                )


_SIGNS = (Created, Began, Activity)
"""What a turn may hear of a response that is not the answer: the server is there."""


def _puts_out(event: Event) -> bool:
    """Whether there is something to an event: text, a thought, a call, another item, the end."""
    if isinstance(event, ItemAdded):
        return event.kind != "message"
    if isinstance(event, (TextDelta, TextDone)):
        return bool(event.text)
    return not isinstance(event, _SIGNS)


def _failure(events: list[Event]) -> ResponsesError | None:
    """The failure that events begin with, if nothing is put out before it."""
    for event in events:
        if isinstance(event, Refused):
            return event.error
        if isinstance(event, Terminal) and event.status is Status.FAILED:
            return event.error
        if _puts_out(event):
            return None
    return None


def _left(until: float, now: float) -> float | None:
    return None if until == NEVER else max(0.0, until - now)
