"""A conversation over WebSocket: lanes and checkpoints, on connections that come and go.

A turn's request is planned over the lanes of the open connections and sent (:meth:`respond`). If no
connection has room, a fresh one is opened for it. What happens beside turns never gets in their
way: warm-ups, anchors, requests beside the conversation use a lane that holds nothing the
conversation needs, or do not happen.

What happens when the user interrupts: the turn calls ``abandon()`` on its response
(``session.link``). The lane is left alone until the response ends (``lanes``), and the next
turn is planned on another one, from an older checkpoint, and leaves at once. If cut replies have
left much to send again, :meth:`lay_anchor` puts a checkpoint in place while the user speaks.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from loguru import logger

from pipecat_responses.protocol.errors import Failure, ResponsesError
from pipecat_responses.protocol.events import Refused, Status, Terminal
from pipecat_responses.protocol.items import FunctionOutput, Item
from pipecat_responses.protocol.planning import FullReason, Plan, plan, plan_side_request
from pipecat_responses.protocol.requests import Request, items_size
from pipecat_responses.session.capabilities import Address, traits_of
from pipecat_responses.session.link import Link, Running
from pipecat_responses.session.notices import AbandonedUsage, Listener
from pipecat_responses.session.pool import ConnectionPool, PoolOptions
from pipecat_responses.session.stats import SessionStats

FORKS_GIVEN_UP_AFTER = 3
"""Forks in a row that may fail before the session keeps to one lane."""


class WebSocketSession:
    """One conversation over WebSocket. See the module's head.

    Attributes:
        stats: Counters.
        traits: What is known of the server.
        forks: Whether continuing on another lane is to be used.
    """

    def __init__(
        self,
        address: Address,
        listener: Listener,
        *,
        connections: PoolOptions | None = None,
        anchor_threshold: int | None = 4096,
        join_deltas: bool = True,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Creates a session; nothing is opened before :meth:`start`.

        Args:
            address: The server.
            listener: Is told what happens to connections; its calls are made one by one.
            connections: How connections are kept.
            anchor_threshold: Bytes of items to be sent again from which an interruption lays an
                anchor, or None for never.
            join_deltas: Whether text that has arrived together is joined.
            clock: Seconds, from anywhere.
            rng: Where jitter comes from.
        """
        self.stats = SessionStats()
        self.traits = traits_of(address.url)
        self.forks = True
        self._connections = ConnectionPool(
            self,
            address,
            listener,
            connections or PoolOptions(),
            clock=clock,
            rng=rng or random.Random(),
        )
        self._anchor_threshold = anchor_threshold
        self._join_deltas = join_deltas
        self._anchor: asyncio.Task[bool] | None = None
        self._conversation: Sequence[Item] = ()
        self._blank = FullReason.FIRST
        self._forks_failed = 0

    @property
    def reached(self) -> bool:
        """Whether the server has been there at all."""
        return self.stats.connections_opened > 0

    async def start(self) -> None:
        """Starts to connect, and does not wait for it. May be called again after :meth:`close`."""
        self._connections.start()

    async def close(self) -> None:
        """Closes everything, within the close timeout. May be called more than once."""
        anchor, self._anchor = self._anchor, None
        if anchor is not None:
            anchor.cancel()
            await asyncio.wait({anchor})
        await self._connections.close()

    # -- turns --------------------------------------------------------------------------------

    async def respond(self, request: Request) -> Running:
        """Sends a turn's request; waits for nothing but, if there is none, a connection.

        Raises:
            ResponsesError: If no connection can be opened.
        """
        self._conversation = request.items
        planned = self._plan(request)
        while planned is None:
            await self._connections.connect()
            planned = self._plan(request)
        link, todo = planned
        running = link.send(todo, request, turn=self.stats.turns, join=self._join_deltas)
        self.stats.sent(running.report)
        self._blank = FullReason.NOTHING_REMEMBERED
        return running

    def _plan(self, request: Request) -> tuple[Link, Plan] | None:
        links = self._connections.usable
        blank = self._blank
        if self.traits.lanes is False and self._connections.abandoned:
            blank = FullReason.NO_LANES
        todo = plan(
            [link.lanes for link in links], request.items, request.fields.model, blank=blank
        )
        if todo is None:
            return None
        return next(link for link in links if link.lanes is todo.lanes), todo

    # -- beside turns -------------------------------------------------------------------------

    async def warm_up(self, request: Request) -> bool:
        """Prepares the server for a conversation, so that its first turn is incremental.

        Args:
            request: The conversation as far as it is known.

        Returns:
            Whether the server took it. False is no failure: the first turn sends everything.
        """
        if not self.traits.warm_up or not request.items:
            return False
        if not self._connections.usable:
            try:
                await self._connections.connect()
            except ResponsesError:
                return False
        self._conversation = self._conversation or request.items
        found = self._beside(request.items, request.fields.model)
        if found is None or not found[1].send:
            return False
        running = self._send_beside(*found, replace(request, generate=False), keeps=True)
        self.stats.warm_ups += 1
        return await self._settle(running)

    def lay_anchor(self, request: Request) -> None:
        """Puts a checkpoint in place, in the background, if the next turn would carry too much.

        Call it when the user interrupts. There is never more than one anchor at a time, and a turn
        never waits for it.

        Args:
            request: The conversation as it is known now.
        """
        threshold = self._anchor_threshold
        if threshold is None or not self._connections.started:
            return
        if self._anchor is not None and not self._anchor.done():
            return
        if not (self.traits.lanes and self.traits.warm_up and self.forks):
            return
        items = settled(request.items)
        found = self._beside(items, request.fields.model)
        if found is None or items_size(found[1].send) <= threshold:
            return
        known = Request(request.fields, items, generate=False)
        running = self._send_beside(*found, known, keeps=True)
        self.stats.anchors += 1
        self._anchor = asyncio.create_task(self._settle(running), name="pipecat-responses anchor")

    async def respond_aside(self, request: Request) -> Running | None:
        """Sends a request that is no part of the conversation, at the same time as turns.

        Returns:
            The response, or None if there is no connection or no lane for it.
        """
        if not self._connections.usable or self.traits.lanes is not True:
            return None
        # Everything, from nothing: it must not lean on the conversation's checkpoints.
        found = self._beside((), request.fields.model)
        if found is None:
            return None
        link, todo = found
        self.stats.side_requests += 1
        return self._send_beside(link, replace(todo, send=request.items), request, keeps=False)

    def _send_beside(self, link: Link, todo: Plan, request: Request, *, keeps: bool) -> Running:
        running = link.send(
            todo,
            request,
            turn=self.stats.turns,
            keeps=keeps,
            background=True,
            join=self._join_deltas,
        )
        self.stats.items_sent += running.report.items
        self.stats.bytes_sent += running.report.size
        return running

    def _beside(self, items: Sequence[Item], model: str) -> tuple[Link, Plan] | None:
        for link in self._connections.usable:
            todo = plan_side_request(link.lanes, items, model, self._conversation)
            if todo is not None:
                return link, todo
        return None

    async def _settle(self, running: Running) -> bool:
        """Waits for the end of a response that puts nothing out."""
        try:
            while True:
                for event in await running.next():
                    if isinstance(event, Terminal):
                        return event.status is Status.COMPLETED
                    if isinstance(event, Refused):
                        return False
        except ResponsesError as error:
            logger.debug("A checkpoint could not be laid: {}", error)
            if error.failure in (Failure.NO_WARM_UP, Failure.REQUEST):
                self.traits.warm_up = False
            return False
        finally:
            running.abandon()

    # -- what links and connections say (session.connections.Session) ---------------------------

    def changed(self, link: Link) -> None:
        """Something about a link has changed that may call for action."""
        self._connections.changed(link)

    def opened(self) -> None:
        """A connection has been opened; it remembers nothing."""
        if self._blank is not FullReason.FIRST:
            self._blank = FullReason.RECONNECTED

    def memory_lost(self) -> None:
        """The server has forgotten what a request continued from."""
        self._blank = FullReason.MEMORY_LOST

    def fork_ended(self, *, taken: bool) -> None:
        """Keeps the score of forks."""
        self._forks_failed = 0 if taken else self._forks_failed + 1
        if self._forks_failed >= FORKS_GIVEN_UP_AFTER and self.forks:
            self.forks = False
            for link in self._connections.usable:
                link.lanes.forks = False
            logger.warning(
                "The server keeps refusing to continue from another lane: turns keep to one lane "
                "from here on"
            )

    def abandoned_ended(self, turn: int, terminal: Terminal) -> None:
        """Counts the tokens of a response that nobody waited for."""
        if terminal.usage is not None:
            self.stats.abandoned_tokens += terminal.usage.total
            self._connections.notify(AbandonedUsage(turn, terminal.response_id, terminal.usage))


def settled(items: Sequence[Item]) -> Sequence[Item]:
    """The part of a conversation that will not be changed in place any more.

    Pipecat writes ``IN_PROGRESS`` where the output of a running call will stand; a checkpoint that
    holds it is worth nothing once the output is there.
    """
    for index, each in enumerate(items):
        if isinstance(each, FunctionOutput) and each.wire.get("output") == "IN_PROGRESS":
            call_id = each.call_id
            start = next(
                (i for i, other in enumerate(items) if getattr(other, "call_id", None) == call_id),
                index,
            )
            return items[:start]
    return items
