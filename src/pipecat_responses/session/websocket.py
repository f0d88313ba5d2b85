"""A conversation over WebSocket: lanes, checkpoints, and connections that come and go.

Three concerns meet here, and only here:

- **A request** is planned over the lanes of the open connections and sent (:meth:`respond`). If no
  connection has room, a fresh one is opened for it; the full one falls silent and is closed.
- **What happens beside turns** never gets in their way: warm-ups, anchors, requests beside the
  conversation. They use a lane that holds nothing the conversation needs, or do not happen.
- **Upkeep** is one task: it opens the first connection, reopens a lost one (with growing pauses; a
  turn does not wait for those), replaces one that nears its age limit while nobody speaks, keeps
  a spare for servers without lanes, closes what has fallen silent, and tells the listener.

What happens when the user interrupts: the turn calls ``abandon()`` on its response. The lane is
left alone (``core.lanes``), the next turn is planned on another one, from an older checkpoint, and
leaves at once. If cut replies have left much to send again, :meth:`lay_anchor` puts a checkpoint
in place while the user speaks.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from loguru import logger

from pipecat_responses.core.errors import ConnectionLostError, Failure, Recovery, ResponsesError
from pipecat_responses.core.events import Refused, Status, Terminal, Usage
from pipecat_responses.core.items import FunctionOutput, Item
from pipecat_responses.core.lanes import LaneSet
from pipecat_responses.core.planning import FullReason, Plan, plan, plan_beside
from pipecat_responses.core.requests import Request, items_size
from pipecat_responses.core.retry import Backoff
from pipecat_responses.session.address import Address, traits_of
from pipecat_responses.session.link import Link, Running
from pipecat_responses.session.stats import SessionStats
from pipecat_responses.transport.websocket import Connection, ConnectionOptions

NEARLY_FULL = 12
"""Responses in flight on a connection from which a fresh one is kept ready."""

SPARE = 2
"""Connections to a server without lanes: one to use, one to go on with after an interruption."""

FORKS_GIVEN_UP_AFTER = 3
"""Forks in a row that may fail before the session keeps to one lane."""

NEVER = float("inf")

AT_ONCE = 1.0
"""Seconds within which a connection that closes without a word counts as closed at once."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a session behaves.

    Attributes:
        connection: How its connections behave.
        max_age: Seconds after which an idle connection is replaced (the server allows 3600).
        anchor_threshold: Bytes of items to be sent again from which an interruption lays an
            anchor, or None for never.
        reconnect: Whether lost connections are reopened.
        reconnect_backoff: The pauses between attempts while nobody waits.
        reconnect_attempts: Attempts in a row while nobody waits.
        join_deltas: Whether text that has arrived together is joined.
    """

    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    max_age: float = 55 * 60.0
    anchor_threshold: int | None = 4096
    reconnect: bool = True
    reconnect_backoff: Backoff = field(default_factory=lambda: Backoff(first=0.25, cap=10.0))
    reconnect_attempts: int = 8
    join_deltas: bool = True


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection to carry turns has been opened."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """No connection is left.

    Attributes:
        error: Why; None when it was closed on purpose.
    """

    error: ResponsesError | None


@dataclass(frozen=True, slots=True)
class ConnectFailed:
    """A connection could not be opened.

    Attributes:
        error: Why.
        waited_for: Whether a turn waits for it (and will report it).
    """

    error: ResponsesError
    waited_for: bool


@dataclass(frozen=True, slots=True)
class AbandonedUsage:
    """A response that nobody waited for has ended and was billed.

    Attributes:
        turn: The number of the turn it was meant for, from 1.
        response_id: Its id.
        usage: Its tokens.
    """

    turn: int
    response_id: str | None
    usage: Usage


Notice = Connected | Disconnected | ConnectFailed | AbandonedUsage
Listener = Callable[[Notice], Awaitable[None]]


class WebSocketSession:
    """One conversation over WebSocket. See the module's head."""

    def __init__(
        self,
        address: Address,
        listener: Listener,
        options: SessionOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        """Creates a session; nothing is opened before :meth:`start`.

        Args:
            address: The server.
            listener: Is told what happens to connections; its calls are made one by one.
            options: How the session behaves.
            clock: Seconds, from anywhere.
            chance: Where jitter comes from.
        """
        self._address = address
        self._listener = listener
        self._options = options or SessionOptions()
        self._clock = clock
        self._chance = chance or random.Random()
        self.stats = SessionStats()
        self.traits = traits_of(address.url)
        self._links: list[Link] = []
        self._upkeep: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[Link] | None = None
        self._waiting_turns = 0
        self._wake = asyncio.Event()
        self._notices: deque[Notice] = deque()
        self._closing: set[asyncio.Task[None]] = set()
        self._anchor: asyncio.Task[None] | None = None
        self._conversation: Sequence[Item] = ()
        self._blank = FullReason.FIRST
        self._forks = True
        self._forks_failed = 0
        self._failed_attempts = 0
        self._attempt_at = NEVER
        self._closed = True

    # -- life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts to connect, and does not wait for it. May be called again after :meth:`close`."""
        if not self._closed:
            return
        self._closed = False
        self._failed_attempts = 0
        self._attempt_at = self._clock()
        self._wake.set()
        self._upkeep = asyncio.create_task(self._keep_up(), name="pipecat-responses upkeep")

    async def close(self) -> None:
        """Closes everything, within the close timeout. May be called more than once."""
        if self._closed:
            return
        self._closed = True
        tasks = [t for t in (self._upkeep, self._opening, self._anchor) if t is not None]
        self._upkeep = self._opening = self._anchor = None
        for task in tasks:
            task.cancel()
        links, self._links = self._links, []
        for link in links:
            self._close_link(link)
        await asyncio.gather(*tasks, *self._closing, return_exceptions=True)
        self._notices.clear()
        if any(link.lost is not None for link in links) or links:
            await self._listener(Disconnected(None))

    @property
    def connected(self) -> bool:
        """Whether a connection is open."""
        return any(link.usable for link in self._links)

    # -- turns --------------------------------------------------------------------------------

    async def respond(self, request: Request) -> Running:
        """Sends a turn's request; waits for nothing but, if there is none, a connection.

        Raises:
            ResponsesError: If no connection can be opened.
        """
        self._conversation = request.items
        planned = self._plan(request)
        while planned is None:
            await self._connect()
            planned = self._plan(request)
        link, todo = planned
        running = link.send(todo, request, turn=self.stats.turns, join=self._options.join_deltas)
        self.stats.sent(running.report)
        self._blank = FullReason.NOTHING_REMEMBERED
        if link.lanes.room <= link.lanes.limit - NEARLY_FULL:
            self._wake.set()
        return running

    def _plan(self, request: Request) -> tuple[Link, Plan] | None:
        links = self._usable()
        blank = self._blank
        if self.traits.lanes is False and any(link.abandoned for link in self._links):
            blank = FullReason.NO_LANES
        todo = plan(
            [link.lanes for link in links], request.items, request.fields.model, blank=blank
        )
        if todo is None:
            return None
        return next(link for link in links if link.lanes is todo.lanes), todo

    def _usable(self) -> list[Link]:
        return [link for link in self._links if link.usable]

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
        if not self._usable():
            try:
                await self._connect()
            except ResponsesError:
                return False
        self._conversation = self._conversation or request.items
        running = self._send_beside(request, generate=False)
        if running is None:
            return False
        self.stats.warm_ups += 1
        return await self._settle(running)

    def lay_anchor(self, request: Request) -> None:
        """Puts a checkpoint in place, in the background, if the next turn would carry too much.

        Call it when the user interrupts. There is never more than one anchor at a time, and a turn
        never waits for it.

        Args:
            request: The conversation as it is known now.
        """
        threshold = self._options.anchor_threshold
        if threshold is None or not self.traits.warm_up or self._closed:
            return
        if self._anchor is not None and not self._anchor.done():
            return
        if self.traits.lanes is not True or not self._forks:
            return
        items = settled(request.items)
        todo = self._beside(items, request.fields.model)
        if todo is None or not todo[1].send or items_size(todo[1].send) <= threshold:
            return
        running = self._send_beside(Request(request.fields, items, generate=False), generate=False)
        if running is None:
            return
        self.stats.anchors += 1
        self._anchor = asyncio.create_task(
            self._finish_anchor(running), name="pipecat-responses anchor"
        )

    async def _finish_anchor(self, running: Running) -> None:
        await self._settle(running)

    async def respond_beside(self, request: Request) -> Running | None:
        """Sends a request that is no part of the conversation, at the same time as turns.

        Returns:
            The response, or None if there is no connection or no lane for it.
        """
        if not self._usable() or self.traits.lanes is not True:
            return None
        running = self._send_beside(request, generate=True)
        if running is not None:
            self.stats.side_requests += 1
        return running

    def _send_beside(self, request: Request, *, generate: bool) -> Running | None:
        asked = Request(request.fields, request.items, generate=generate)
        if generate:
            # Everything, from nothing: it must not lean on the conversation's checkpoints.
            found = self._beside((), request.fields.model)
            if found is None:
                return None
            link, lane_plan = found
            todo = Plan(
                lane_plan.lanes, lane_plan.lane, None, request.items, FullReason.FIRST, False
            )
        else:
            found = self._beside(request.items, request.fields.model)
            if found is None or not found[1].send:
                return None
            link, todo = found
        running = link.send(
            todo,
            asked,
            turn=self.stats.turns,
            keeps=not generate,
            background=True,
            join=self._options.join_deltas,
        )
        self.stats.items_sent += running.report.items
        self.stats.bytes_sent += running.report.size
        return running

    def _beside(self, items: Sequence[Item], model: str) -> tuple[Link, Plan] | None:
        for link in self._usable():
            todo = plan_beside(link.lanes, items, model, self._conversation)
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

    # -- connections --------------------------------------------------------------------------

    async def _connect(self) -> None:
        """Opens a connection for a turn that has none, or waits for the one being opened."""
        if self._closed:
            raise ConnectionLostError("The session is closed", failure=Failure.CLOSED)
        for link in self._usable():
            # A fresh one takes over from one that is full. Without lanes, full is no more than
            # busy: such a one is the next spare.
            if not link.lanes.room and (link.lanes.named or len(self._links) > SPARE):
                link.retiring = True
        attempt = self._open()
        self._waiting_turns += 1
        try:
            # Not awaited itself: it is everybody's, and neither is to cancel the other.
            await asyncio.wait({attempt})
        finally:
            self._waiting_turns -= 1
        if attempt.cancelled():
            raise ConnectionLostError("The session was closed", failure=Failure.CLOSED)
        attempt.result()

    def _open(self) -> asyncio.Task[Link]:
        """The attempt to open a connection that is under way, or a new one."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._attempt(), name="pipecat-responses connect")
            self._opening.add_done_callback(_retrieve)
        return self._opening

    async def _attempt(self) -> Link:
        try:
            headers = await self._address.headers()
            lanes = LaneSet(named=self.traits.lanes, forks=self._forks)
            link = Link(self, lanes, self._clock())
            link.connection = await Connection.open(
                self._address.url, headers, link, self._options.connection
            )
        except ResponsesError as error:
            self._attempt_failed(error)
            raise
        except Exception as error:
            failed = ConnectionLostError(
                f"No headers for the connection: {type(error).__name__}: {error}",
                transport="handshake",
            )
            self._attempt_failed(failed)
            raise failed from error
        if link.connection.lost is not None:
            self._attempt_failed(link.connection.lost)
            raise link.connection.lost
        self.stats.connections_opened += 1
        self._attempt_at = self._clock()
        if self._blank is not FullReason.FIRST:
            self._blank = FullReason.RECONNECTED
        was_connected = self.connected
        self._links.append(link)
        if not was_connected:
            self._notices.append(Connected())
        self._wake.set()
        return link

    def _attempt_failed(self, error: ResponsesError) -> None:
        self._failed_attempts += 1
        self._notices.append(ConnectFailed(error, waited_for=self._waiting_turns > 0))
        self._schedule(error)
        self._wake.set()

    def _schedule(self, error: ResponsesError) -> None:
        """When to try again while nobody waits; a turn tries at once."""
        tried = self._failed_attempts
        if (
            error.recovery is Recovery.PERMANENT
            or not self._options.reconnect
            or tried >= self._options.reconnect_attempts
        ):
            self._attempt_at = NEVER
            return
        pause = self._options.reconnect_backoff.delay(tried, self._chance) if tried else 0.0
        self._attempt_at = self._clock() + max(pause, error.retry_after or 0.0)

    # -- what links say (session.link.Owner) ----------------------------------------------------

    def changed(self, link: Link) -> None:
        """Something about a link has changed that may call for action."""
        if link.lost is not None and link in self._links:
            self._links.remove(link)
            self._drop(link)
        self._wake.set()

    def _drop(self, link: Link) -> None:
        error = link.lost
        assert error is not None
        self._close_link(link)
        if link.retiring or self._closed:
            return
        # A server that accepts and closes at once must not be called back for ever.
        closed_at_once = not link.heard and self._clock() - link.opened < AT_ONCE
        self._failed_attempts = self._failed_attempts + 1 if closed_at_once else 0
        if not self.connected:
            self._notices.append(Disconnected(error))
            self._schedule(error)
            if error.recovery is Recovery.PERMANENT:
                self._notices.append(ConnectFailed(error, waited_for=link.waited_for))

    def memory_lost(self) -> None:
        """The server has forgotten what a request continued from."""
        self._blank = FullReason.MEMORY_LOST

    def fork_ended(self, *, taken: bool) -> None:
        """Keeps the score of forks."""
        self._forks_failed = 0 if taken else self._forks_failed + 1
        if self._forks_failed >= FORKS_GIVEN_UP_AFTER and self._forks:
            self._forks = False
            for link in self._links:
                link.lanes.forks = False
            logger.warning(
                "The server keeps refusing to continue from another lane: turns keep to one lane "
                "from here on"
            )

    def abandoned_ended(self, turn: int, terminal: Terminal) -> None:
        """Counts the tokens of a response that nobody waited for."""
        if terminal.usage is not None:
            self.stats.abandoned_tokens += terminal.usage.total
            self._notices.append(AbandonedUsage(turn, terminal.response_id, terminal.usage))
            self._wake.set()

    # -- upkeep -------------------------------------------------------------------------------

    async def _keep_up(self) -> None:
        while True:
            self._wake.clear()
            self._close_silent()
            self._open_what_is_needed()
            while self._notices:
                await self._tell(self._notices.popleft())
            try:
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _tell(self, notice: Notice) -> None:
        try:
            await self._listener(notice)
        except Exception as error:  # noqa: BLE001 - upkeep outlives whatever its listener does
            logger.error("A listener failed on {}: {!r}", type(notice).__name__, error)

    def _pause(self) -> float | None:
        """Seconds until something is due by the clock, or None if nothing is."""
        if self._opening is not None and not self._opening.done():
            return None
        now = self._clock()
        usable = self._usable()
        due = self._attempt_at
        if usable and not self._wants_spare(usable):
            # One that is in use is replaced when it falls silent, and that wakes us.
            oldest = min((link.opened for link in usable if link.silent), default=NEVER)
            due = max(due, oldest + self._options.max_age)
        return None if due == NEVER else max(0.0, due - now)

    def _open_what_is_needed(self) -> None:
        now = self._clock()
        usable = self._usable()
        limit = now - self._options.max_age
        fresh = [link for link in usable if link.opened > limit]
        old = [link for link in usable if link.opened <= limit and link.silent]
        if old and fresh:
            for link in old:
                link.retiring = True
            self._close_silent()
        elif (old or not usable or self._wants_spare(usable)) and now >= self._attempt_at:
            self._open()

    def _wants_spare(self, usable: Sequence[Link]) -> bool:
        if self.traits.lanes is False:
            return len(usable) < SPARE
        return all(link.lanes.in_flight >= NEARLY_FULL for link in usable)

    def _close_silent(self) -> None:
        for link in [link for link in self._links if link.retiring and link.silent]:
            self._links.remove(link)
            self._close_link(link)

    def _close_link(self, link: Link) -> None:
        if link.connection is not None:
            task = asyncio.create_task(link.connection.close(), name="pipecat-responses close")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


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


def _retrieve(task: asyncio.Task[Link]) -> None:
    # A failure is a notice already; nobody else may be waiting for it.
    if not task.cancelled():
        task.exception()
