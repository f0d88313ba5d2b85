"""A connection with its lanes: which response runs where, and whose an event is.

Events find their response by ``stream_id``. A server without lanes sends none; then the oldest
response that runs is the one that speaks, since such a server answers one after the other. What
does not belong to a running response (a second terminal event, a lane nobody uses) is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from loguru import logger

from pipecat_responses.protocol.errors import ConnectionLostError, Failure, ResponsesError
from pipecat_responses.protocol.events import (
    Began,
    Created,
    Event,
    ItemDone,
    Refused,
    Status,
    Terminal,
    TextDelta,
)
from pipecat_responses.protocol.lanes import Checkpoint, Lane, LaneSet
from pipecat_responses.protocol.output import NOTHING, read_output
from pipecat_responses.protocol.planning import Plan
from pipecat_responses.protocol.requests import Request, cancel_payload, websocket_payload
from pipecat_responses.session.capabilities import ServerCapabilities
from pipecat_responses.session.exchange import Inbox
from pipecat_responses.session.stats import SessionStats, TurnReport
from pipecat_responses.transport.outbox import Outbox, QueuedMessage
from pipecat_responses.transport.websocket import Socket

PROBE = 1.5
"""Seconds a silent server has to answer a ping."""


class Owner(Protocol):
    """The session a link belongs to."""

    stats: SessionStats
    traits: ServerCapabilities

    def changed(self, link: Link) -> None:
        """Something about a link has changed that may call for action."""

    def memory_lost(self) -> None:
        """The server has forgotten what a request continued from."""

    def fork_ended(self, *, taken: bool) -> None:
        """A fork was taken or refused."""

    def abandoned_ended(self, turn: int, terminal: Terminal) -> None:
        """A response nobody waited for has ended."""


@dataclass(slots=True, eq=False)
class Running:
    """A response on a lane, from its request to its terminal event.

    It is what a turn holds (see ``session.exchange.Exchange``), and it lives on after the turn has
    let go of it, until its lane is free again.

    Attributes:
        link: The link it runs on.
        lane: Its lane.
        request: What was asked.
        report: How the request went out.
        turn: The number of the turn it belongs to.
        keeps: Whether its checkpoint is one to continue the conversation from.
        parent: The checkpoint it continues from.
        restore: What the lane remembered before, in case the request never leaves.
        request_id: None: over WebSocket, errors name it themselves.
    """

    link: Link
    lane: Lane
    request: Request
    report: TurnReport
    turn: int
    keeps: bool
    parent: Checkpoint | None
    restore: Checkpoint | None
    inbox: Inbox
    request_id: str | None = None
    ticket: QueuedMessage | None = None
    response_id: str | None = None
    created: bool = False
    listening: bool = True
    cancelled: bool = False
    spoke: bool = False
    done_items: list[Any] = field(default_factory=list)

    @property
    def sent(self) -> bool:
        """Whether the request has left."""
        return self.ticket is None or self.ticket.written

    async def next(self, within: float | None = None) -> list[Event]:
        """Waits for events."""
        return await self.inbox.next(within)

    async def probe(self) -> None:
        """Asks the server for a sign of life; without one the connection is given up."""
        connection = self.link.connection
        if connection is None or not self.listening:
            return
        if not await connection.alive(PROBE):
            connection.abort(
                ConnectionLostError("The server does not answer any more", failure=Failure.TIMEOUT)
            )

    def abandon(self) -> None:
        """Stops listening; the lane is left alone until the response ends."""
        self.inbox.close()
        self.link.abandon(self)


class Link:
    """An open connection and what runs on it.

    Attributes:
        outbox: What is to leave on the connection.
        connection: The connection.
        lanes: Its lanes.
        retiring: Whether nothing new may start here.
        opened: When it was opened, in the session's clock.
        lost: Why the connection has ended, once it has.
        heard: Whether the server has said anything.
        waited_for: Whether somebody was listening when it ended.
    """

    def __init__(self, owner: Owner, lanes: LaneSet, opened: float) -> None:
        """Creates a link; its connection is set once it is open."""
        self._owner = owner
        self.outbox = Outbox()
        self.connection: Socket | None = None
        self.lanes = lanes
        self.retiring = False
        self.opened = opened
        self.lost: ResponsesError | None = None
        self.heard = False
        self.waited_for = False
        self._running: dict[str | None, Running] = {}
        self._last_ids: dict[Lane, str | None] = {}
        self._cancels = 0

    @property
    def usable(self) -> bool:
        """Whether a request may start here."""
        return self.lost is None and not self.retiring and self.connection is not None

    @property
    def silent(self) -> bool:
        """Whether nothing runs here."""
        return not self._running

    @property
    def abandoned(self) -> bool:
        """Whether a response runs here that nobody listens to."""
        return any(not each.listening for each in self._running.values())

    # -- sending ------------------------------------------------------------------------------

    def send(
        self,
        plan: Plan,
        request: Request,
        *,
        turn: int,
        keeps: bool = True,
        background: bool = False,
        join: bool = True,
    ) -> Running:
        """Sends a request on the lane that was planned for it.

        Args:
            plan: Where it runs and what it carries.
            request: The request.
            turn: The number of its turn.
            keeps: Whether the conversation may be continued from it.
            background: Whether it gives way to other messages.
            join: Whether text that waits is joined.
        """
        payload = websocket_payload(
            request.fields,
            plan.send,
            previous_response_id=plan.checkpoint.response_id if plan.checkpoint else None,
            stream_id=plan.lane.name,
            generate=request.generate,
        )
        report = TurnReport(
            transport="websocket",
            incremental=plan.checkpoint is not None,
            full_reason=plan.full_reason,
            items=len(plan.send),
            size=payload.size,
            fork=plan.fork,
        )
        running = Running(
            link=self,
            lane=plan.lane,
            request=request,
            report=report,
            turn=turn,
            keeps=keeps,
            parent=plan.checkpoint,
            restore=plan.lane.checkpoint,
            inbox=Inbox(join=join),
        )
        plan.lane.start(plan.checkpoint if plan.fork else None)
        self._running[plan.lane.name] = running
        running.ticket = self.outbox.post(payload, background=background)
        return running

    def abandon(self, running: Running) -> None:
        """Stops listening to a response."""
        if not running.listening or self._running.get(running.lane.name) is not running:
            running.listening = False
            return
        running.listening = False
        lane = running.lane
        assert running.ticket is not None
        if self.outbox.take_back(running.ticket):
            # It never left, so the server knows nothing of it and remembers what it did.
            del self._running[lane.name]
            lane.complete(running.restore)
        else:
            lane.abandon()
            self._owner.stats.abandoned += 1
            self._cancel(running)
        self._owner.changed(self)

    def _cancel(self, running: Running) -> None:
        # A courtesy that may save tokens. Nothing waits for its effect.
        if not self._owner.traits.cancel or running.cancelled or running.response_id is None:
            return
        if self.connection is not None and self.lost is None:
            running.cancelled = True
            self._cancels += 1
            payload = cancel_payload(running.response_id, running.lane.name)
            self._owner.stats.bytes_sent += payload.size
            self.outbox.post(payload, background=True)

    # -- receiving (transport.websocket.Receiver) -----------------------------------------------

    def on_event(self, stream_id: str | None, event: Event) -> None:
        """Gives an event to the response it belongs to."""
        running = self._running.get(stream_id)
        if type(event) is TextDelta and running is not None and running.created:
            # What comes most, first.
            running.spoke = True
            if running.listening:
                running.inbox.put(event)
            return
        self.heard = True
        if isinstance(event, Refused) and self._answers_cancel(event.error):
            return
        running = self._find(stream_id, event)
        if running is None:
            logger.debug("Dropped an event that belongs to no response: {}", type(event).__name__)
            return
        if isinstance(event, Created):
            self._created(running, stream_id, event)
        elif isinstance(event, Began):
            running.lane.began()
            if running.report.fork:
                self._owner.fork_ended(taken=True)
        elif isinstance(event, TextDelta):
            running.spoke = True
        elif isinstance(event, ItemDone):
            running.done_items.append(event.item)
        elif isinstance(event, Terminal):
            self._terminal(running, event)
        elif isinstance(event, Refused):
            self._refused(running, event.error)
            return
        if running.listening:
            running.inbox.put(event)

    def on_undecodable(self, error: ResponsesError) -> None:
        """A message was no event; the response that runs may have lost a piece."""
        logger.warning("{}", error)
        listening = [each for each in self._running.values() if each.listening]
        if len(listening) == 1:
            # Whose it was is certain, and what it said is not: this response cannot be trusted.
            self._quarantine(listening[0])
            listening[0].inbox.fail(error)

    def on_lost(self, error: ResponsesError) -> None:
        """The connection has ended: so has everything on it."""
        if not self.heard and error.failure is Failure.CONNECTION:
            error = ConnectionLostError(
                f"The server accepted the connection and ended it without a word: {error.message}"
            )
        self.lost = error
        self.waited_for = any(running.listening for running in self._running.values())
        for running in list(self._running.values()):
            running.inbox.fail(error)
        self._running.clear()
        self._owner.changed(self)

    def _find(self, stream_id: str | None, event: Event) -> Running | None:
        found = self._running.get(stream_id)
        if stream_id is None:
            if found is None and self.lanes.named is not True:
                found = next(iter(self._running.values()), None)
            if found is None and isinstance(event, Refused):
                # An error that the server could not tie to a lane: the newest request's, if any.
                waiting = [r for r in self._running.values() if r.listening and not r.created]
                found = waiting[-1] if waiting else None
                if found is None and event.error.failure is Failure.CONNECTION_EXPIRED:
                    self.retiring = True
                    self._owner.changed(self)
        if found is not None and self._is_stray(found, event):
            return None
        return found

    def _is_stray(self, running: Running, event: Event) -> bool:
        """Whether an event is left over from the response that ran on the lane before."""
        if isinstance(event, (Created, Refused)):
            return False
        if isinstance(event, Terminal):
            expected = running.response_id
            if expected is not None and event.response_id is not None:
                return event.response_id != expected
            return (
                not running.created
                and event.response_id is not None
                and event.response_id == self._last_ids.get(running.lane)
            )
        return not running.created and running.lane in self._last_ids

    def _created(self, running: Running, stream_id: str | None, event: Created) -> None:
        running.created = True
        running.response_id = event.response_id
        if running.lane.name is not None:
            if stream_id is None:
                self._no_lanes()
            elif self.lanes.named is None:
                self.lanes.named = True
                self._owner.traits.lanes = True
        if not running.listening:
            self._cancel(running)

    def _no_lanes(self) -> None:
        """The server drops ``stream_id``: everything has run on its default lane."""
        first, *others = self._running.values()
        del self._running[first.lane.name]
        first.lane.name = None
        self._running[None] = first
        self._learn_no_lanes()
        if others:
            # They stand in line behind one another on the server, where no turn may wait.
            self.retiring = True
            for running in others:
                self._quarantine(running)
                running.inbox.fail(
                    ResponsesError("The server has no lanes", failure=Failure.NO_LANES)
                )

    def _learn_no_lanes(self) -> None:
        if self._owner.traits.lanes is not False:
            logger.info(
                "The server has no lanes (stream_id): turns after an interruption go out on a "
                "spare connection"
            )
        self._owner.traits.lanes = False
        self.lanes.without_names()
        self._owner.changed(self)

    def _terminal(self, running: Running, event: Terminal) -> None:
        lane = running.lane
        del self._running[lane.name]
        self._last_ids[lane] = event.response_id or running.response_id
        if event.status is Status.COMPLETED:
            lane.complete(self._checkpoint(running, event))
        else:
            lane.end()
        if not running.listening:
            self._owner.abandoned_ended(running.turn, event)
        self._owner.changed(self)

    def _checkpoint(self, running: Running, event: Terminal) -> Checkpoint | None:
        response_id = event.response_id or running.response_id
        if response_id is None or not running.keeps:
            return None
        # Some servers list nothing at the end of what they have streamed.
        output: Sequence[Any] = event.output or ()
        if len(output) < len(running.done_items):
            output = running.done_items
        put_out = read_output(output) if running.request.generate else NOTHING
        if put_out is None or (running.spoke and not put_out.text):
            return None
        fields, items = running.request.fields, running.request.items
        return Checkpoint(response_id, fields.model, items, put_out)

    def _refused(self, running: Running, error: ResponsesError) -> None:
        lane = running.lane
        if running.created:
            # An error in the middle of a response: whether more of it follows is not known.
            if not running.listening:
                return
            self._quarantine(running)
            running.inbox.fail(error)
            return
        del self._running[lane.name]
        lane.end()
        if error.failure is Failure.MEMORY_LOST:
            # Forks that stood in line when the memory went are one loss, not several.
            counts = running.report.fork and self.lanes.holds(running.parent)
            self.lanes.forget()
            self._owner.memory_lost()
            if counts:
                self._owner.fork_ended(taken=False)
        elif error.failure is Failure.NO_LANES and lane.name is not None:
            self._learn_no_lanes()
        elif error.failure is Failure.LANES_USED_UP:
            self.lanes.no_more_names(lane)
        elif error.failure is Failure.CONNECTION_EXPIRED:
            self.retiring = True
        elif error.failure is Failure.NO_WARM_UP:
            self._owner.traits.warm_up = False
        running.inbox.fail(error)
        self._owner.changed(self)

    def _quarantine(self, running: Running) -> None:
        """Keeps a lane out of use: something may still arrive there that nobody expects."""
        if running.listening:
            running.listening = False
            running.lane.abandon()
        if self.lanes.named is False:
            self.retiring = True
        self._owner.changed(self)

    def _answers_cancel(self, error: ResponsesError) -> bool:
        if self._cancels == 0 or not (error.param == "type" or "response.cancel" in error.message):
            return False
        self._cancels -= 1
        self._owner.traits.cancel = False
        logger.debug("The server rejects response.cancel; it is not asked again")
        return True
