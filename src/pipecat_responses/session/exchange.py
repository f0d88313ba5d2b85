"""A request and the events that answer it, between a reader that never waits and a listener."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.events import (
    ACTIVITY,
    Activity,
    Began,
    Created,
    Event,
    ItemAdded,
    TextDelta,
    TextDone,
    ThoughtDelta,
    Usage,
)
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.items import Item
from pipecat_responses.session.stats import TurnReport
from pipecat_responses.session.timing import Milestones

NEVER = float("inf")

MAX_WAITING = 16 * 1024 * 1024
"""Characters that may wait for a slow listener before the response is given up."""


class Inbox:
    """Events that wait for their listener.

    Text that arrives while the listener is busy is joined, so a slow pipeline gets longer pieces
    and not a longer queue. Nothing ever waits for more text to come.

    Attributes:
        created: When the server said that it has accepted the request, in the monotonic clock.
    """

    def __init__(self, *, join: bool = True) -> None:
        """Creates an inbox.

        Args:
            join: Whether to join pieces of text that wait together.
        """
        self.created: float | None = None
        self._join = join
        self._events: deque[Event] = deque()
        self._spoke = False
        self._ready = False
        self._pieces: list[str] = []
        self._last_piece: TextDelta | None = None
        self._waiting = 0
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._error: ResponsesError | None = None

    def put(self, event: Event) -> None:
        """Adds an event. After a failure nothing counts any more."""
        if self._error is not None:
            return
        if type(event) is TextDelta or type(event) is ThoughtDelta:
            self._waiting += len(event.text)
            if self._waiting > MAX_WAITING:
                self.fail(
                    ResponsesError(
                        "The response is larger than its listener can take",
                        failure=Failure.PROTOCOL,
                    )
                )
                return
            self._spoke = True
            if self._join and type(event) is TextDelta:
                last = self._last_piece
                if last is not None and (
                    event.index != last.index
                    or event.part != last.part
                    or event.item_id != last.item_id
                ):
                    # Of another item, or another part of it.
                    self._flush()
                self._last_piece = event
                self._pieces.append(event.text)
                if not self._ready:
                    self._wake()
                return
        self._flush()
        if event is ACTIVITY and self._events and self._events[-1] is ACTIVITY:
            return
        self._events.append(event)
        if type(event) is Created and self.created is None:
            # Its listener hears of it together with the next event that matters.
            self.created = time.monotonic()
        if not self._can_wait(event):
            self._wake()

    def _can_wait(self, event: Event) -> bool:
        """Whether nothing comes of an event before the next one that matters.

        Half of a response's events are such; each would cost a turn of the event loop.
        """
        if isinstance(event, ItemAdded):
            return event.kind == "message"
        return isinstance(event, (Created, Began, Activity)) or (
            isinstance(event, TextDone) and self._spoke
        )

    def fail(self, error: ResponsesError) -> None:
        """No event will come any more, and why; what waits is still delivered first."""
        if self._error is None:
            self._error = error
            self._wake()

    async def next(self, within: float | None = None) -> list[Event]:
        """Waits for events.

        Args:
            within: Seconds to wait, or None for as long as it takes.

        Returns:
            All that wait, in order; nothing if the time ran out.

        Raises:
            ResponsesError: If no event will come any more.
        """
        if not (self._ready or self._error is not None):
            try:
                await self._wait(within)
            finally:
                self._waiter = None
        self._ready = False
        events = self.waiting()
        if not events and self._error is not None:
            raise self._error
        return events

    def waiting(self) -> list[Event]:
        """Takes the events that wait, though none may matter enough for ``next`` to give them."""
        self._flush()
        events = list(self._events)
        self._events.clear()
        self._waiting = 0
        return events

    def close(self) -> None:
        """Nobody listens any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, within: float | None) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        self._deadline = NEVER if within is None else loop.time() + within
        # One timer serves many waits: a later deadline is looked at when it goes off.
        if self._timer is not None and self._timer.when() > self._deadline:
            self.close()
        if self._timer is None and self._deadline != NEVER:
            self._timer = loop.call_at(self._deadline, self._time_out)
        return waiter

    def _time_out(self) -> None:
        self._timer = None
        if self._waiter is None or self._deadline == NEVER:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._deadline:
            self._timer = loop.call_at(self._deadline, self._time_out)
        else:
            self._wake()

    def _wake(self) -> None:
        self._ready = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _flush(self) -> None:
        if self._pieces:
            last = self._last_piece
            assert last is not None
            if len(self._pieces) > 1:
                last = TextDelta("".join(self._pieces), last.index, last.item_id, last.part)
            self._pieces.clear()
            self._last_piece = None
            self._events.append(last)


class Exchange(Protocol):
    """A request that has been given to a server, as a turn sees it."""

    @property
    def number(self) -> int | None:
        """Its number, for those who look; None as long as it has not gone out."""

    @property
    def report(self) -> TurnReport | None:
        """How the request went out; None as long as it has not."""

    @property
    def request_id(self) -> str | None:
        """What the server calls the request, if it has a name there."""

    @property
    def usage(self) -> Usage | None:
        """The tokens of the response, once it has ended, though nobody may listen any more."""

    @property
    def sent(self) -> bool:
        """Whether the request has left; a large one may take its time."""

    @property
    def milestones(self) -> Milestones:
        """How far it has got when."""

    async def next(self, within: float | None = None) -> list[Event]:
        """Waits for events, as ``Inbox.next`` does."""

    def waiting(self) -> list[Event]:
        """Takes the events that wait, as ``Inbox.waiting`` does."""

    @property
    def steerable(self) -> bool:
        """Whether the server may take more input now."""

    def steer(self, items: Sequence[Item]) -> bool:
        """Gives the server what the user has said while the response runs.

        Args:
            items: User messages.

        Returns:
            Whether it goes out. What the server makes of it comes as an event.
        """

    async def probe(self, within: float) -> None:
        """Finds out whether the server is there at all; if not, the exchange fails.

        Args:
            within: Seconds that the server has to answer.
        """

    def abandon(self, *, unanswered: bool = False) -> None:
        """Stops listening, also after the end.

        Returns at once, and may be called at any time, more than once.

        Args:
            unanswered: Whether the server has been given all the time there is and has said
                nothing to it: the next attempt goes out elsewhere.
        """
