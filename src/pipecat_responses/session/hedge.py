"""Hedged turns: a request whose answer is late goes out once more, and the first answer counts.

A ``HedgingBackend`` stands between a turn and its session. What it gives the turn is an exchange
like any other, behind which two may race::

    one leg    nothing put out when its time is up    the hedge goes out
    one leg    puts something out                     it is the answer
    one leg    fails                                  the attempt fails
    two legs   one puts something out                 it is the answer; the other is abandoned
    two legs   one fails                              the other is the attempt

Whatever a leg says before that is kept back, but for the signs that the server is there, so that a
turn hears one response only. When a hedge goes out, ``session.hedge_policy`` says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

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
from pipecat_responses.protocol.requests import Request
from pipecat_responses.session.endpoint import EndpointSession
from pipecat_responses.session.exchange import NEVER, Exchange
from pipecat_responses.session.hedge_policy import HedgePolicy, HedgeTiming
from pipecat_responses.session.log import SessionLog
from pipecat_responses.session.records import HedgeSent
from pipecat_responses.session.stats import SessionStats, TurnReport
from pipecat_responses.session.timing import Milestones
from pipecat_responses.session.turn import Backend
from pipecat_responses.transport.trace import Trace


class HedgingBackend:
    """A turn's way to its server, and the way that its hedge takes."""

    def __init__(
        self,
        own: Backend,
        policy: HedgePolicy,
        endpoint: EndpointSession | None = None,
        *,
        log: SessionLog | None = None,
        trace: Trace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Creates it; nothing is sent.

        Args:
            own: The way to the service's own server.
            policy: When a hedge goes out.
            endpoint: The way to the second server, if there is one.
            log: Where lines go.
            trace: Is told of hedges.
            clock: Seconds, from anywhere.
        """
        self._own = own
        self._policy = policy
        self._endpoint = endpoint
        self._timing = HedgeTiming(policy, own.stats, log or SessionLog(), clock)
        self._trace = trace or Trace()

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
        self._timing.begin()
        other = self._elsewhere(request)
        first = _Leg(self._own, request)
        if other is None:
            await first.send()
            self._timing.was_there()
        second = _Leg(other or self._own, request, self._hedge_sent)
        return HedgedExchange(self._timing, first, second, elsewhere=other is not None)

    def _hedge_sent(self, hedge: Exchange) -> None:
        self.stats.count_hedge()
        if (tell := self._trace.tell) is not None:
            tell(HedgeSent(hedge.number))

    def _elsewhere(self, request: Request) -> EndpointSession | None:
        endpoint = self._endpoint
        return endpoint if endpoint is not None and endpoint.takes(request) else None


class _Leg:
    """One of the two requests.

    Attributes:
        exchange: The request and what answers it, once it has gone out.
        held: What it has said that is not for the turn yet.
    """

    def __init__(
        self, backend: Backend, request: Request, on_sent: Callable[[Exchange], None] | None = None
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
                self._on_sent(self.exchange)
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

    def __init__(self, timing: HedgeTiming, first: _Leg, second: _Leg, *, elsewhere: bool) -> None:
        """Begins with the first request.

        Args:
            timing: Decides about the hedge.
            first: The request.
            second: The hedge.
            elsewhere: Whether the hedge goes to another server.
        """
        self._timing = timing
        self._first = first
        self._second = second
        self._began = timing.clock()
        # Where the server has not been reached yet, the turn has been waiting since it began.
        self._since = timing.unheard_since
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
    def number(self) -> int | None:
        """The number of the request that is the answer, or of the first as long as none is."""
        exchange = self._legs[0].exchange
        return None if exchange is None else exchange.number

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
        clock = self._timing.clock
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
        delay = self._timing.delay(sent=sent)
        if delay is None:
            self._chosen = self._first
            return NEVER
        if not sent and not self._elsewhere:
            # What cannot leave for want of bandwidth would not leave sooner twice.
            return self._timing.clock() + delay
        created = self._created()
        thinking = None if created is None else self._timing.delay_once_accepted()
        if created is not None and thinking is not None:
            return created + thinking
        return self._since + delay

    def _created(self) -> float | None:
        """When the server accepted the first request, if it has said so."""
        exchange = self._first.exchange
        return None if exchange is None else exchange.milestones.created

    def _hedge(self) -> None:
        if self._timing.may_hedge(twice=self._first.sent):
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
                self._timing.was_there()
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
                    self._timing.stats.count_abandoned_tokens(usage.total)
        self._chosen = leg
        held, leg.held = leg.held, []
        return held

    def _fail(self, leg: _Leg, error: ResponsesError) -> list[Event]:
        """One of two has failed: the other is all there is, and has its time before it."""
        self._error = error
        self._timing.leg_failed(error)
        survivor = self._second if leg is self._first else self._first
        return [ACTIVITY, *self._choose(survivor)]

    def _note(self, leg: _Leg, events: list[Event]) -> None:
        if not self._heard and any(_puts_out(each) for each in events):
            self._heard = True
            if _failure(events) is None:
                now, created = self._timing.clock(), self._created()
                self._timing.first_output(
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
