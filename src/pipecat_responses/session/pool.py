"""The connections of a session: opened, reopened, replaced, kept ready, closed.

Upkeep is one task. It opens the first connection, reopens a lost one (with growing pauses; a turn
does not wait for those), replaces one that nears its age limit while nobody speaks, keeps a spare
for servers without lanes and for connections that are nearly full, closes what has fallen silent
or is one too many, and tells the listener.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError
from pipecat_responses.protocol.failures import Failure, Recovery
from pipecat_responses.protocol.lanes import LaneSet
from pipecat_responses.protocol.retry import Backoff
from pipecat_responses.session.capabilities import Address
from pipecat_responses.session.live import LiveConnection
from pipecat_responses.session.notices import (
    Connected,
    ConnectFailed,
    Disconnected,
    Listener,
    Notice,
)
from pipecat_responses.session.records import ConnectionRefused
from pipecat_responses.session.state import SessionState
from pipecat_responses.transport.handshake import refuses_upgrade
from pipecat_responses.transport.tls import is_secure
from pipecat_responses.transport.turnstile import HANDSHAKES
from pipecat_responses.transport.websocket import Socket, SocketOptions

NEARLY_FULL = 12
"""Responses in flight on a connection from which a fresh one is kept ready."""

SPARE = 2
"""Connections to a server without lanes: one to use, one to go on with after an interruption."""

MOST = 4
"""Connections to a server without lanes, those included that abandoned responses have taken."""

AT_ONCE = 1.0
"""Seconds within which a connection that closes without a word counts as closed at once."""

LONG_PAUSE = 30.0
"""Seconds between attempts, at most, once a server has been away for long."""

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How connections are kept.

    Attributes:
        socket: How each of them behaves.
        max_age: Seconds after which an idle one is replaced (the server allows 3600).
        reconnect: Whether lost ones are reopened.
        backoff: The pauses between attempts while nobody waits.
        way_back: The pauses while turns go over HTTP, since no WebSocket comes through.
        attempts: Attempts in a row while nobody waits, before the pauses become long.
        abandoned_for: Seconds that a retiring one may wait for responses nobody listens to.
    """

    socket: SocketOptions = field(default_factory=SocketOptions)
    max_age: float = 55 * 60.0
    reconnect: bool = True
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.25, cap=10.0))
    way_back: Backoff = field(default_factory=lambda: Backoff(first=10.0, cap=300.0))
    attempts: int = 8
    abandoned_for: float = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A connection of the pool and its socket."""

    live: LiveConnection
    socket: Socket

    @property
    def lanes(self) -> LaneSet:
        """Its lanes."""
        return self.live.lanes


class ConnectionPool:
    """The connections of one session. See the module's head."""

    def __init__(
        self,
        state: SessionState,
        address: Address,
        listener: Listener,
        options: PoolOptions,
        *,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        """Creates a pool; nothing is opened before ``start``."""
        self._state = state
        self._address = address
        self._listener = listener
        self._options = options
        self._clock = clock
        self._rng = rng
        self._members: list[Member] = []
        self._upkeep: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._waiting_turns = 0
        self._failed_attempts = self._blocked_attempts = self._detours = 0
        self._attempt_at = NEVER

    # -- life ---------------------------------------------------------------------------------

    @property
    def started(self) -> bool:
        """Whether connections are wanted."""
        return self._upkeep is not None

    def start(self) -> None:
        """Starts to connect, and does not wait for it."""
        if self._upkeep is None:
            self._failed_attempts = 0
            # Where there are none, none is tried.
            self._attempt_at = NEVER if self._state.blocked else self._clock()
            self._upkeep = asyncio.create_task(self._keep_up(), name="pipecat-responses upkeep")

    async def close(self) -> None:
        """Closes everything, within the close timeout. May be called more than once."""
        upkeep, self._upkeep = self._upkeep, None
        if upkeep is None:
            return
        tasks = [task for task in (upkeep, self._opening) if task is not None]
        for task in tasks:
            task.cancel()
        members, self._members = self._members, []
        for member in members:
            self._close(member)
        await asyncio.gather(*tasks, *self._closing, return_exceptions=True)
        self._state.notices.clear()
        if members:
            await self._tell(Disconnected(None))

    # -- for turns ----------------------------------------------------------------------------

    @property
    def usable(self) -> list[Member]:
        """The connections on which something may start, the preferred one first."""
        return [member for member in self._members if member.live.usable]

    @property
    def abandoned(self) -> bool:
        """Whether a response runs anywhere that nobody listens to."""
        return any(member.live.abandoned for member in self._members)

    @property
    def waited_for(self) -> bool:
        """Whether a turn waits for a connection."""
        return self._waiting_turns > 0

    async def connect(self) -> None:
        """Opens a connection for a turn that found no room, or waits for the one being opened.

        Raises:
            ResponsesError: If it cannot be opened.
        """
        if self._upkeep is None:
            raise ConnectionLostError("The session is closed", failure=Failure.CLOSED)
        self._drop_lost()
        for member in self.usable:
            # A fresh one takes over from one that is full. Without lanes, full is no more than
            # busy: such a one is the next spare.
            if not member.lanes.room and (member.lanes.named or len(self._members) >= MOST):
                member.live.retire()
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

    # -- opening ------------------------------------------------------------------------------

    def _open(self) -> asyncio.Task[None]:
        """The attempt that is under way, or a new one."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._attempt(), name="pipecat-responses connect")
            self._opening.add_done_callback(_retrieve)
        return self._opening

    async def _attempt(self) -> None:
        try:
            member = await self._new_member()
        except ResponsesError as error:
            self._attempt_failed(error)
            raise
        self._attempt_at = self._clock()
        if not self._state.swallowed:
            self._blocked_attempts = 0
        self._state.unblock()
        self._state.connection_opened()
        if not self.usable:
            self._state.notices.append(Connected())
        self._members.append(member)
        self._state.connection_free()
        self._state.changed()

    async def _new_member(self) -> Member:
        if is_secure(self._address.url):
            await HANDSHAKES.enter()
        try:
            headers = await self._address.headers()
        except ResponsesError:
            raise
        except Exception as error:
            # Whatever gives the key is the application's code.
            raise ConnectionLostError(
                f"There is no key for the connection: {type(error).__name__}: {error}",
                transport="handshake",
            ) from error
        live = LiveConnection(self._state, self._clock)
        socket = await Socket.open(
            self._address.now(),
            headers,
            live,
            live.outbox,
            self._options.socket,
            trace=self._state.trace,
            number=live.number,
        )
        if live.loss is not None:
            raise live.loss.error
        if self._state.swallowed and not await socket.alive(self._options.socket.open_timeout):
            await socket.close()
            raise ConnectionLostError(
                "A WebSocket was opened again, and a ping gets no answer",
                failure=Failure.TIMEOUT,
                transport="handshake",
            )
        return Member(live, socket)

    def _attempt_failed(self, error: ResponsesError) -> None:
        self._failed_attempts += 1
        if (tell := self._state.trace.tell) is not None:
            tell(ConnectionRefused(error))
        self._schedule(error)
        if self._state.falls_back and (self._state.blocked or self._refuses(error)):
            self._state.block(error)
            self._put_off_way_back()
            self._state.changed()
            return
        self._state.notify(ConnectFailed(error, waited_for=self.waited_for))

    def _put_off_way_back(self) -> None:
        """Turns go over HTTP: when a WebSocket is tried next."""
        self._detours = self._state.detours
        self._blocked_attempts += 1
        pause = self._options.way_back.delay(self._blocked_attempts, self._rng)
        self._attempt_at = self._clock() + pause

    def _refuses(self, error: ResponsesError) -> bool:
        return refuses_upgrade(error, ever_opened=self._state.stats.connections_opened > 0)

    def _drop_lost(self) -> None:
        """Takes note of the connections that have ended since it was last called."""
        for member in [each for each in self._members if each.live.loss is not None]:
            self._members.remove(member)
            self._close(member)
            self._lost(member.live)

    def _lost(self, live: LiveConnection) -> None:
        loss = live.loss
        if loss is None or loss.retiring:
            return
        # A server that accepts and closes at once must not be called back for ever.
        closed_at_once = loss.silent and self._clock() - live.opened < AT_ONCE
        self._failed_attempts = self._failed_attempts + 1 if closed_at_once else 0
        if self.usable:
            return
        self._schedule(loss.error)
        self._state.notify(Disconnected(loss.error))
        if loss.error.recovery is Recovery.PERMANENT:
            self._state.notify(ConnectFailed(loss.error, waited_for=loss.waited_for))

    def _schedule(self, error: ResponsesError) -> None:
        """When to try again while nobody waits; a turn tries at once."""
        tried = self._failed_attempts
        if error.recovery is Recovery.PERMANENT or not self._options.reconnect:
            self._attempt_at = NEVER
            return
        pause = self._options.backoff.delay(tried, self._rng) if tried else 0.0
        if tried >= self._options.attempts:
            # It may still come back, but it is in no hurry.
            pause = LONG_PAUSE * (0.5 + 0.5 * self._rng.random())
        self._attempt_at = self._clock() + max(pause, error.retry_after or 0.0)

    # -- upkeep -------------------------------------------------------------------------------

    async def _keep_up(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._state.looked_at()
            self._drop_lost()
            if self._detours != self._state.detours:
                self._put_off_way_back()
            self._retire_surplus()
            self._close_silent()
            self._open_what_is_needed()
            while self._state.notices:
                await self._tell(self._state.notices.popleft())
            pause = self._pause()
            due = None if pause is None else loop.call_later(pause, self._state.changed)
            try:
                await self._state.change()
            finally:
                if due is not None:
                    due.cancel()

    async def _tell(self, notice: Notice) -> None:
        try:
            await self._listener(notice)
        except Exception as error:  # noqa: BLE001 - upkeep outlives whatever its listener does
            self._state.log.error("A listener failed on {}: {}", type(notice).__name__, repr(error))

    def _pause(self) -> float | None:
        """Seconds until something is due by the clock, or None if nothing is."""
        now = self._clock()
        due = min((self._given_up_at(member) for member in self._members), default=NEVER)
        if self._opening is None or self._opening.done():
            due = min(due, self._next_attempt())
        return None if due == NEVER else max(0.0, due - now)

    def _next_attempt(self) -> float:
        """When a connection is to be opened next, if nothing happens before."""
        usable = self.usable
        due = self._attempt_at
        if usable and not self._wants_spare(usable):
            # One that is in use is replaced when it falls silent, and that wakes us.
            silent = (member.live for member in usable if member.live.silent)
            oldest = min((live.opened for live in silent), default=NEVER)
            due = max(due, oldest + self._options.max_age)
        return due

    def _given_up_at(self, member: Member) -> float:
        """When a connection is closed though responses run on it that nobody listens to."""
        live = member.live
        if not live.retiring or live.listened_to:
            return NEVER
        return live.retired + self._options.abandoned_for

    def _open_what_is_needed(self) -> None:
        now = self._clock()
        usable = self.usable
        full = [each for each in usable if not each.lanes.room and not each.live.listened_to]
        if full and len(full) < len(usable) and self._state.capabilities.lanes:
            # Nothing but responses that nobody listens to, and another one has room.
            for member in full:
                member.live.retire()
            usable = self.usable
        limit = now - self._options.max_age
        fresh = [each for each in usable if each.live.opened > limit]
        old = [each for each in usable if each.live.opened <= limit and each.live.silent]
        if old and fresh:
            for member in old:
                member.live.retire()
            self._close_silent()
        elif (old or not usable or self._wants_spare(usable)) and now >= self._attempt_at:
            self._open()

    def _wants_spare(self, usable: Sequence[Member]) -> bool:
        if self._state.capabilities.lanes is False:
            free = [member for member in usable if not member.live.abandoned]
            return len(free) < SPARE and len(usable) < MOST
        return all(member.lanes.in_flight >= NEARLY_FULL for member in usable)

    def _retire_surplus(self) -> None:
        """Lets go of spares that were opened while others were taken, and are so no more."""
        if self._state.capabilities.lanes is not False:
            return
        free = [member for member in self.usable if not member.live.abandoned]
        silent = [member for member in free if member.live.silent]
        limit = self._clock() - self._options.max_age
        silent.sort(key=lambda each: (each.live.opened > limit, each.lanes.remembered))
        for member in silent[: max(0, len(free) - SPARE)]:
            member.live.retire()

    def _close_silent(self) -> None:
        now = self._clock()
        for member in [each for each in self._members if each.live.retiring]:
            if not member.live.silent and now < self._given_up_at(member):
                continue
            self._members.remove(member)
            self._close(member)

    def _close(self, member: Member) -> None:
        task = asyncio.create_task(member.socket.close(), name="pipecat-responses close")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _retrieve(task: asyncio.Task[None]) -> None:
    # A failure is a notice already; nobody else may be waiting for it.
    if not task.cancelled():
        task.exception()
