"""A conversation over WebSocket: lanes and checkpoints, on connections that come and go.

A turn's request is planned over the lanes of the open connections and sent (``respond``). If no
connection has room, a fresh one is opened for it. What happens beside turns never gets in their
way: warm-ups, anchors and side requests use a lane that holds nothing the conversation needs, or do
not happen.

What happens when the user interrupts: the turn calls ``abandon()`` on its exchange
(``session.live``), and ``protocol.connection`` decides what that means. The lane is left alone
until the response ends (``protocol.lanes``), and the next turn is planned on another one, from an
older checkpoint, and leaves at once. If cut replies have left much to send again, or a connection
was opened anew, ``lay_anchor`` puts a checkpoint in place while nobody waits. On a server without
lanes it keeps the spare connection ready in the same way.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from pipecat_responses.protocol.capabilities import ServerCapabilities
from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError
from pipecat_responses.protocol.events import Refused, Status, Terminal
from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.lanes import Checkpoint, LaneSet
from pipecat_responses.protocol.output import Coverage
from pipecat_responses.protocol.planning import (
    FullReason,
    Plan,
    from_stored,
    plan,
    plan_anchor,
    plan_side_request,
    rewritten_answer,
    stored_cover,
    worth,
)
from pipecat_responses.protocol.requests import Request, items_size
from pipecat_responses.session.capabilities import KNOWN, Address
from pipecat_responses.session.live import WebSocketExchange
from pipecat_responses.session.log import SessionLog
from pipecat_responses.session.notices import Listener
from pipecat_responses.session.pool import ConnectionPool, Member, PoolOptions
from pipecat_responses.session.prefixes import Prefixes, is_nothing
from pipecat_responses.session.records import Purpose
from pipecat_responses.session.state import SessionState
from pipecat_responses.session.stats import SessionStats
from pipecat_responses.session.stored import StoredResponses
from pipecat_responses.transport.trace import Trace


class WebSocketSession:
    """One conversation over WebSocket. See the module's head."""

    def __init__(
        self,
        address: Address,
        listener: Listener,
        *,
        pool: PoolOptions | None = None,
        anchor_threshold: int | None = 4096,
        join_deltas: bool = True,
        coverage: Coverage = Coverage.WORDS,
        patience: float = 60.0,
        falls_back: bool = False,
        stored: StoredResponses | None = None,
        capabilities: ServerCapabilities | None = None,
        log: SessionLog | None = None,
        trace: Trace | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Creates a session; nothing is opened before ``start``.

        Args:
            address: The server.
            listener: Is told what happens to connections; its calls are made one by one.
            pool: How connections are kept.
            anchor_threshold: Bytes of items to be sent again from which an interruption lays an
                anchor, or None for never.
            join_deltas: Whether text that has arrived together is joined.
            coverage: When a context's text covers a response's.
            patience: Seconds that a warm-up or an anchor may take.
            falls_back: Whether turns go over HTTP where no WebSocket comes through.
            stored: Where responses are kept in mind that can be gone on from anywhere.
            capabilities: What is known of the server; by default what the process knows.
            log: Where lines go.
            trace: Is told of what happens.
            clock: Seconds, from anywhere.
            rng: Where jitter comes from.
        """
        self._state = SessionState(
            capabilities or KNOWN.of(address.url),
            log or SessionLog(),
            falls_back=falls_back,
            stored=stored,
            trace=trace,
        )
        self._pool = ConnectionPool(
            self._state,
            address,
            listener,
            pool or PoolOptions(),
            clock=clock,
            rng=rng or _RNG,
        )
        self._clock = clock
        self._anchor_threshold = anchor_threshold
        self._join_deltas = join_deltas
        self._coverage = coverage
        self._patience = patience
        self._anchor: asyncio.Task[None] | None = None
        self._anchor_wanted = False
        # Where one has failed since the latest turn.
        self._unanchored: list[LaneSet] = []
        self._conversation: Sequence[Item] = ()
        self._prefixes = Prefixes()

    @property
    def stats(self) -> SessionStats:
        """Counters."""
        return self._state.stats

    @property
    def reached(self) -> bool:
        """Whether the server has been there at all."""
        return self.stats.connections_opened > 0

    @property
    def turns_off(self) -> bool:
        """Whether the next request goes another way: that is for others to decide."""
        return False

    @property
    def blocked(self) -> bool:
        """Whether no WebSocket comes through, though HTTP may."""
        return self._state.blocked

    async def start(self) -> None:
        """Starts to connect, and does not wait for it. May be called again after ``close``."""
        self._pool.start()

    async def close(self) -> None:
        """Closes everything, within the close timeout. May be called more than once."""
        # The pool first: its listener may be about to lay an anchor.
        await self._pool.close()
        anchor, self._anchor = self._anchor, None
        if anchor is not None:
            anchor.cancel()
            await asyncio.wait({anchor})

    # -- turns --------------------------------------------------------------------------------

    async def respond(self, request: Request) -> WebSocketExchange:
        """Sends a turn's request; waits for nothing but, if there is none, a connection.

        Raises:
            ResponsesError: If no connection can be opened.
        """
        request = self._fit(request)
        self._conversation = request.items
        self._unanchored.clear()
        planned = self._plan(request)
        if planned is None:
            began = self._clock()
            try:
                await self._pool.connect()
            finally:
                self.stats.count_connecting(self._clock() - began)
            planned = self._plan(request)
        if planned is None:
            # Whether to try again is the turn's decision: it has a budget, and this has none.
            raise ConnectionLostError(
                "A connection was opened, and was lost before the request could leave"
            )
        exchange = self._exchange(*planned, request)
        self.stats.sent(exchange.report)
        self._state.turn_sent()
        return exchange

    def _plan(self, request: Request) -> tuple[Member, Plan] | None:
        members = self._pool.usable
        blank = self._state.blank
        if self._state.capabilities.lanes is False and self._pool.abandoned:
            blank = FullReason.NO_LANES
        todo = plan(
            [member.lanes for member in members],
            request.items,
            request.fields.model,
            forks=self._state.forks,
            continues=self._state.capabilities.continuation is not False,
            blank=blank,
            coverage=self._coverage,
        )
        if todo is None:
            return None
        todo = self._from_stored(todo, request)
        member = next(member for member in members if member.lanes is todo.lanes)
        if todo.checkpoint is None or todo.checkpoint.prepared:
            self._state.answer_missed(
                rewritten_answer(todo.lanes, request.items, request.fields.model, self._coverage)
            )
        else:
            self._state.answer_recognised()
        return member, todo

    def _from_stored(self, todo: Plan, request: Request) -> Plan:
        stored = self._stored_for(request)
        model = request.fields.model
        return from_stored(todo, stored, request.items, model, self._coverage) if stored else todo

    def _stored_for(self, request: Request) -> Sequence[Checkpoint]:
        if not self._state.capabilities.may_continue_stored:
            return ()
        return self._state.stored.checkpoints(request)

    def _exchange(
        self,
        member: Member,
        todo: Plan,
        request: Request,
        *,
        purpose: Purpose = Purpose.TURN,
        keeps: bool = True,
        background: bool = False,
    ) -> WebSocketExchange:
        exchange = WebSocketExchange(
            member.live,
            member.socket,
            todo,
            request,
            turn=self.stats.turns,
            trace=self._state.trace,
            purpose=purpose,
            keeps=keeps,
            background=background,
            join=self._join_deltas,
        )
        if keeps:
            self._prefixes.give(member.live, request)
        return exchange

    # -- beside turns -------------------------------------------------------------------------

    async def warm_up(self, request: Request) -> bool:
        """Prepares the server for a conversation, so that its first turn is incremental.

        Args:
            request: The conversation as far as it is known.

        Returns:
            Whether the server took it. False is no failure: the first turn sends everything.
        """
        if not self._prepares or not self._can_be_given(request):
            return False
        if not self._pool.usable:
            try:
                await self._pool.connect()
            except ResponsesError:
                return False
        if self._anchor is not None:
            # It may be about the same.
            await asyncio.wait({self._anchor})
        request = self._fit(request)
        self._conversation = self._conversation or request.items
        found = self._plan_aside(request.items, request.fields.model)
        if found is None:
            return False
        member, todo = found[0], self._from_stored(found[1], request)
        if not request.items and not self._prefixes.lacks(member.live, request):
            return False
        exchange = self._send_aside(member, todo, replace(request, generate=False), Purpose.WARM_UP)
        self.stats.count_warm_up()
        return await self._settle(exchange)

    def lay_anchor(self, request: Request, *, written: bool = True, warms_up: bool = False) -> None:
        """Puts a checkpoint in place, in the background, if the next turn would carry too much.

        Call it when the user interrupts, and when a connection may lack what the next turn
        continues from. There is never more than one anchor at a time, and where one fails there is
        no other before the next turn. A turn never waits for it.

        Args:
            request: The part of the conversation that will not change any more.
            written: Whether the last answer stands in it as it was heard, for certain. Otherwise
                no anchor is laid as long as it may still be written down.
            warms_up: Whether one is laid as well where tools or instructions are new to the
                server, however little it is.
        """
        threshold = self._anchor_threshold
        if (threshold is None and not warms_up) or not self._pool.started:
            return
        if self._anchor is not None and not self._anchor.done():
            self._anchor_wanted = True
            return
        if not self._prepares or self._pool.waited_for:
            return
        request = self._fit(request)
        if (warms_up and self._warm_up_aside(request, written=written)) or threshold is None:
            return
        stored = stored_cover(
            self._stored_for(request),
            request.items,
            request.fields.model,
            self._coverage,
        )
        if stored is not None and items_size(stored[1]) <= threshold:
            # The next turn continues from that, wherever it goes.
            return
        plans: list[tuple[int, Member, Plan]] = []
        for member in self._pool.usable:
            if written or not self._may_answer(member, request):
                todo = self._plan_anchor(member, request)
                todo = None if todo is None else self._from_stored(todo, request)
                size = 0 if todo is None else items_size(todo.send)
                if todo is not None and size > threshold:
                    plans.append((size, member, todo))
        if plans:
            # What is nearly there is ready first.
            _, member, todo = min(plans, key=lambda each: each[0])
            self._begin_to_lay(member, todo, request, Purpose.ANCHOR)
            self.stats.count_anchor()

    def _warm_up_aside(self, request: Request, *, written: bool) -> bool:
        """Gives tools and instructions that are new to the server, with all that is behind them.

        Returns:
            Whether there was something to give, and a lane to spare for it.
        """
        members = self._pool.usable
        if self._state.capabilities.lanes is False or not self._can_be_given(request):
            return False
        if not all(self._prefixes.lacks(each.live, request) for each in members):
            return False
        for member in members:
            lanes = member.lanes
            if any(lanes is each for each in self._unanchored):
                continue
            if not written and self._may_answer(member, request):
                continue
            todo = plan_side_request(
                lanes,
                request.items,
                request.fields.model,
                self._conversation,
                forks=self._state.forks,
                afresh=True,
                coverage=self._coverage,
            )
            if todo is not None:
                todo = self._from_stored(todo, request)
                self._begin_to_lay(member, todo, request, Purpose.WARM_UP)
                self.stats.count_warm_up()
                return True
        return False

    def _can_be_given(self, request: Request) -> bool:
        """Whether a request has something that the server can prepare."""
        known = self._state.capabilities
        return bool(request.items) or not (is_nothing(request) or known.empty_warm_up is False)

    def _begin_to_lay(self, member: Member, todo: Plan, request: Request, purpose: Purpose) -> None:
        exchange = self._send_aside(member, todo, replace(request, generate=False), purpose)
        self._anchor = asyncio.create_task(
            self._lay(exchange, member.lanes), name="pipecat-responses anchor"
        )

    def _may_answer(self, member: Member, request: Request) -> bool:
        """Whether the last answer is on a connection where the next turn goes on from it."""
        if member.lanes.named is False:
            # Its only lane is looked at as such.
            return False
        judged = worth(member.lanes, request.items, request.fields.model, self._coverage)
        return member.live.listened_to or bool(judged.open)

    def _plan_anchor(self, member: Member, request: Request) -> Plan | None:
        lanes = member.lanes
        if lanes.named is None or any(lanes is each for each in self._unanchored):
            return None
        if lanes.named is False and not self._leaves_room(member):
            return None
        return plan_anchor(
            lanes,
            request.items,
            request.fields.model,
            self._conversation,
            forks=self._state.forks,
            coverage=self._coverage,
        )

    def _leaves_room(self, member: Member) -> bool:
        """Whether a turn that comes while a connection is taken need not wait for another."""
        others = [each for each in self._pool.usable if each is not member]
        # As long as one is being answered, none is due.
        return any(each.lanes.room or each.live.listened_to for each in others)

    async def _lay(self, exchange: WebSocketExchange, lanes: LaneSet) -> None:
        if not await self._settle(exchange):
            self._unanchored.append(lanes)
        if self._anchor_wanted:
            self._anchor_wanted = False
            self._state.connection_free()

    async def respond_aside(self, request: Request) -> WebSocketExchange | None:
        """Sends a request that is no part of the conversation, at the same time as turns.

        Returns:
            The exchange, or None if there is no connection or no lane for it.
        """
        if not self._pool.usable or self._state.capabilities.lanes is not True:
            return None
        # Everything, from nothing: it must not lean on the conversation's checkpoints.
        found = self._plan_aside((), request.fields.model)
        if found is None:
            return None
        member, todo = found
        request = self._state.knowledge.fit(request, may_continue=False)
        self.stats.count_side_request()
        todo = replace(todo, send=request.items)
        return self._send_aside(member, todo, request, Purpose.SIDE_REQUEST)

    @property
    def _prepares(self) -> bool:
        """Whether a checkpoint can be laid without an answer, and continued from."""
        known = self._state.capabilities
        return known.warm_up is not False and known.continuation is not False

    def _fit(self, request: Request) -> Request:
        request = self._state.knowledge.fit(request, may_continue=True)
        self._state.stored.recall(request)
        return request

    def _send_aside(
        self, member: Member, todo: Plan, request: Request, purpose: Purpose
    ) -> WebSocketExchange:
        keeps = purpose is not Purpose.SIDE_REQUEST
        exchange = self._exchange(
            member, todo, request, purpose=purpose, keeps=keeps, background=True
        )
        self.stats.sent_aside(exchange.report)
        return exchange

    def _plan_aside(self, items: Sequence[Item], model: str) -> tuple[Member, Plan] | None:
        for member in self._pool.usable:
            todo = plan_side_request(
                member.lanes,
                items,
                model,
                self._conversation,
                forks=self._state.forks,
                coverage=self._coverage,
            )
            if todo is not None:
                return member, todo
        return None

    async def _settle(self, exchange: WebSocketExchange) -> bool:
        """Waits for the end of a response that puts nothing out."""
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    for event in await exchange.next():
                        if isinstance(event, Terminal):
                            return event.status is Status.COMPLETED
                        if isinstance(event, Refused):
                            return False
        except TimeoutError:
            self._state.log.debug("A checkpoint could not be laid in {} s", self._patience)
            return False
        except ResponsesError as error:
            self._state.log.debug("A checkpoint could not be laid: {}", error)
            return False
        finally:
            exchange.abandon()


_RNG = random.Random()
"""One for all sessions: to seed one costs more than to use it."""
