"""The connections of a session: opened, reopened, replaced, kept ready, closed.

Upkeep is one task. It opens the first connection, reopens a lost one (with growing pauses; a turn
does not wait for those), replaces one that nears its age limit while nobody speaks, keeps a spare
for servers without lanes and for connections that are nearly full, closes what has fallen silent,
and tells the listener.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from loguru import logger

from pipecat_responses.protocol.errors import ConnectionLostError, Failure, Recovery, ResponsesError
from pipecat_responses.protocol.lanes import LaneSet
from pipecat_responses.protocol.retry import Backoff
from pipecat_responses.session.capabilities import Address
from pipecat_responses.session.link import Link, Owner
from pipecat_responses.session.notices import (
    Connected,
    ConnectFailed,
    Disconnected,
    Listener,
    Notice,
)
from pipecat_responses.transport.websocket import Socket, SocketOptions

NEARLY_FULL = 12
"""Responses in flight on a connection from which a fresh one is kept ready."""

SPARE = 2
"""ConnectionPool to a server without lanes: one to use, one to go on with after an interruption."""

AT_ONCE = 1.0
"""Seconds within which a connection that closes without a word counts as closed at once."""

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How connections are kept.

    Attributes:
        connection: How each of them behaves.
        max_age: Seconds after which an idle one is replaced (the server allows 3600).
        reconnect: Whether lost ones are reopened.
        backoff: The pauses between attempts while nobody waits.
        attempts: Attempts in a row while nobody waits.
    """

    connection: SocketOptions = field(default_factory=SocketOptions)
    max_age: float = 55 * 60.0
    reconnect: bool = True
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.25, cap=10.0))
    attempts: int = 8


class Session(Owner, Protocol):
    """The session that connections belong to."""

    @property
    def forks(self) -> bool:
        """Whether continuing on another lane is to be used."""

    def opened(self) -> None:
        """A connection has been opened; it remembers nothing."""


class ConnectionPool:
    """The connections of one session. See the module's head."""

    def __init__(
        self,
        session: Session,
        address: Address,
        listener: Listener,
        options: PoolOptions,
        *,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        """Creates it; nothing is opened before :meth:`start`."""
        self._session = session
        self._address = address
        self._listener = listener
        self._options = options
        self._clock = clock
        self._rng = rng
        self._links: list[Link] = []
        self._upkeep: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._waiting_turns = 0
        self._wake = asyncio.Event()
        self._notices: deque[Notice] = deque()
        self._failed_attempts = 0
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
            self._attempt_at = self._clock()
            self._upkeep = asyncio.create_task(self._keep_up(), name="pipecat-responses upkeep")

    async def close(self) -> None:
        """Closes everything, within the close timeout. May be called more than once."""
        upkeep, self._upkeep = self._upkeep, None
        if upkeep is None:
            return
        tasks = [task for task in (upkeep, self._opening) if task is not None]
        for task in tasks:
            task.cancel()
        links, self._links = self._links, []
        for link in links:
            self._close_link(link)
        await asyncio.gather(*tasks, *self._closing, return_exceptions=True)
        self._notices.clear()
        if links:
            await self._tell(Disconnected(None))

    # -- for turns ----------------------------------------------------------------------------

    @property
    def usable(self) -> list[Link]:
        """The connections on which something may start, the preferred one first."""
        return [link for link in self._links if link.usable]

    @property
    def abandoned(self) -> bool:
        """Whether a response runs anywhere that nobody listens to."""
        return any(link.abandoned for link in self._links)

    async def connect(self) -> None:
        """Opens a connection for a turn that found no room, or waits for the one being opened.

        Raises:
            ResponsesError: If it cannot be opened.
        """
        if self._upkeep is None:
            raise ConnectionLostError("The session is closed", failure=Failure.CLOSED)
        for link in self.usable:
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

    def notify(self, notice: Notice) -> None:
        """Has the listener told, when upkeep gets to it."""
        self._notices.append(notice)
        self._wake.set()

    def changed(self, link: Link) -> None:
        """Something about a link has changed that may call for action."""
        if link.lost is not None and link in self._links:
            self._links.remove(link)
            self._close_link(link)
            if not link.retiring:
                self._lost(link, link.lost)
        self._wake.set()

    # -- opening ------------------------------------------------------------------------------

    def _open(self) -> asyncio.Task[None]:
        """The attempt that is under way, or a new one."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._attempt(), name="pipecat-responses connect")
            self._opening.add_done_callback(_retrieve)
        return self._opening

    async def _attempt(self) -> None:
        try:
            link = await self._new_link()
        except ResponsesError as error:
            self._attempt_failed(error)
            raise
        self._session.stats.connections_opened += 1
        self._attempt_at = self._clock()
        self._session.opened()
        if not self.usable:
            self._notices.append(Connected())
        self._links.append(link)
        self._wake.set()

    async def _new_link(self) -> Link:
        session = self._session
        try:
            headers = await self._address.headers()
        except Exception as error:
            # Whatever gives the key is the application's code.
            raise ConnectionLostError(
                f"There is no key for the connection: {type(error).__name__}: {error}",
                transport="handshake",
            ) from error
        lanes = LaneSet(named=session.traits.lanes, forks=session.forks)
        link = Link(session, lanes, self._clock())
        link.connection = await Socket.open(
            self._address.url, headers, link, link.outbox, self._options.connection
        )
        if link.lost is not None:
            raise link.lost
        return link

    def _attempt_failed(self, error: ResponsesError) -> None:
        self._failed_attempts += 1
        self._schedule(error)
        self.notify(ConnectFailed(error, waited_for=self._waiting_turns > 0))

    def _lost(self, link: Link, error: ResponsesError) -> None:
        # A server that accepts and closes at once must not be called back for ever.
        closed_at_once = not link.heard and self._clock() - link.opened < AT_ONCE
        self._failed_attempts = self._failed_attempts + 1 if closed_at_once else 0
        if self.usable:
            return
        self._schedule(error)
        self.notify(Disconnected(error))
        if error.recovery is Recovery.PERMANENT:
            self.notify(ConnectFailed(error, waited_for=link.waited_for))

    def _schedule(self, error: ResponsesError) -> None:
        """When to try again while nobody waits; a turn tries at once."""
        tried = self._failed_attempts
        if (
            error.recovery is Recovery.PERMANENT
            or not self._options.reconnect
            or tried >= self._options.attempts
        ):
            self._attempt_at = NEVER
            return
        pause = self._options.backoff.delay(tried, self._rng) if tried else 0.0
        self._attempt_at = self._clock() + max(pause, error.retry_after or 0.0)

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
        usable = self.usable
        due = self._attempt_at
        if usable and not self._wants_spare(usable):
            # One that is in use is replaced when it falls silent, and that wakes us.
            oldest = min((link.opened for link in usable if link.silent), default=NEVER)
            due = max(due, oldest + self._options.max_age)
        return None if due == NEVER else max(0.0, due - now)

    def _open_what_is_needed(self) -> None:
        now = self._clock()
        usable = self.usable
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
        if self._session.traits.lanes is False:
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


def _retrieve(task: asyncio.Task[None]) -> None:
    # A failure is a notice already; nobody else may be waiting for it.
    if not task.cancelled():
        task.exception()
