"""A connection that is alive: the protocol decides, and what it decides is carried out here.

The socket hands its events to a ``LiveConnection``, which asks the protocol's ``Connection``
what they amount to and carries out the effects: events go to the inbox of whoever listens, messages
to the outbox, what was learned to the session's state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeAlias, assert_never

from pipecat_responses.protocol.connection import Connection, ConnectionState, Loss
from pipecat_responses.protocol.effects import (
    AbandonedEnded,
    Deliver,
    Dropped,
    Effect,
    Fail,
    ForkEnded,
    Learned,
    MemoryLost,
    OptionRefused,
    Send,
    StateChanged,
    Stored,
)
from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError
from pipecat_responses.protocol.events import ACTIVITY, Event, Usage
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.lanes import LaneSet
from pipecat_responses.protocol.planning import Plan
from pipecat_responses.protocol.requests import Request
from pipecat_responses.protocol.response import Response
from pipecat_responses.session.exchange import NEVER, Inbox
from pipecat_responses.session.records import (
    Abandoned,
    ConnectionLost,
    ConnectionOpened,
    ConnectionRetired,
    Difference,
    MessageSent,
    Purpose,
    RequestSent,
)
from pipecat_responses.session.state import SessionState
from pipecat_responses.session.stats import TurnReport
from pipecat_responses.session.timing import Milestones
from pipecat_responses.transport.outbox import Outbox, QueuedMessage
from pipecat_responses.transport.trace import Trace
from pipecat_responses.transport.websocket import Socket

InboxResponse: TypeAlias = Response[Inbox]


class LiveConnection:
    """A protocol connection and the outbox it speaks through (``transport.websocket.Receiver``).

    Attributes:
        number: Its number among those of the service.
        outbox: What waits to be sent.
        opened: When it was created, in the session's clock.
        retired: When it was seen first that nothing new may start here.
    """

    def __init__(self, state: SessionState, clock: Callable[[], float]) -> None:
        """Creates a connection whose socket is about to be opened."""
        self.number = state.trace.new_connection()
        self.outbox = Outbox()
        self.opened = clock()
        self.retired = NEVER
        self._clock = clock
        self._state = state
        self._connection: Connection[Inbox] = Connection(
            LaneSet(named=state.capabilities.lanes), state.capabilities
        )

    @property
    def lanes(self) -> LaneSet:
        """Its lanes and what the server remembers there."""
        return self._connection.lanes

    @property
    def usable(self) -> bool:
        """Whether a request may start here."""
        return self._connection.usable

    @property
    def retiring(self) -> bool:
        """Whether it is on its way out."""
        return self._connection.state is ConnectionState.RETIRING

    @property
    def silent(self) -> bool:
        """Whether nothing runs here."""
        return self._connection.silent

    @property
    def listened_to(self) -> bool:
        """Whether a response runs here that somebody listens to."""
        return self._connection.listened_to

    @property
    def abandoned(self) -> bool:
        """Whether a response runs here that nobody listens to."""
        return self._connection.abandoned

    @property
    def loss(self) -> Loss | None:
        """Its end, once it has ended."""
        return self._connection.loss

    @property
    def _is_spare(self) -> bool:
        """Whether a turn may want to go on here because the other connections are taken."""
        return self._connection.lanes.named is False and self.usable and self.silent

    # -- intentions ---------------------------------------------------------------------------

    def start(
        self,
        plan: Plan,
        request: Request,
        inbox: Inbox,
        *,
        turn: int,
        keeps: bool,
        background: bool,
    ) -> tuple[InboxResponse, QueuedMessage]:
        """Sends a request on the lane that was planned for it."""
        response, payload = self._connection.start(plan, request, inbox, turn=turn, keeps=keeps)
        return response, self.outbox.post(payload, background=background)

    def abandon(self, response: InboxResponse, message: QueuedMessage) -> None:
        """Lets go of a response, and takes its request back if it has not begun to leave."""
        if not self._connection.runs(response):
            return
        never_left = self.outbox.take_back(message)
        if not never_left:
            self._state.stats.count_abandoned()
        if (tell := self._state.trace.tell) is not None:
            tell(Abandoned(self.number, response.lane.name, never_left))
        self._carry_out(self._connection.abandon(response, never_left=never_left))

    def steerable(self, response: InboxResponse) -> bool:
        """Whether the server may take more input to a response, now."""
        return self._connection.steerable(response)

    def steer(self, response: InboxResponse, items: Sequence[Item]) -> bool:
        """Gives the server what the user has said while a response runs.

        Returns:
            Whether it goes out. What the server makes of it comes as an event.
        """
        effects = self._connection.steer(response, items)
        self._carry_out(effects)
        return bool(effects)

    def gave_no_answer(self) -> None:
        """A request had all the time there was; nothing new starts here."""
        self._state.unanswered()
        if self.usable:
            self.retire()

    def retire(self) -> None:
        """Lets nothing new start here."""
        self._carry_out(self._connection.retire())

    # -- what the socket says (transport.websocket.Receiver) ------------------------------------

    def on_open(self) -> None:
        """The socket is open."""
        self._connection.opened()
        if (tell := self._state.trace.tell) is not None:
            known = self._state.capabilities
            tell(ConnectionOpened(self.number, self._clock() - self.opened, known))

    def on_event(self, stream_id: str | None, event: Event) -> None:
        """An event has arrived."""
        # What comes most goes straight to its listener.
        response = self._connection.response_speaking(stream_id, event)
        if response is None:
            if event is not ACTIVITY:
                self._state.heard()
            self._carry_out(self._connection.receive(stream_id, event))
        elif response.listening:
            response.listener.put(event)

    def on_undecodable(self, error: ResponsesError) -> None:
        """A message has arrived that is no event."""
        self._state.log.warning("{}", error)
        self._carry_out(self._connection.receive_undecodable(error))

    def on_lost(self, error: ResponsesError) -> None:
        """The socket has ended."""
        if (tell := self._state.trace.tell) is not None:
            tell(ConnectionLost(self.number, error))
        self._carry_out(self._connection.lose(error))

    # -- effects ------------------------------------------------------------------------------

    def _carry_out(self, effects: Iterable[Effect[Inbox]]) -> None:
        state = self._state
        for effect in effects:
            match effect:
                case Deliver():
                    effect.listener.put(effect.event)
                case Fail():
                    effect.listener.fail(effect.error)
                case Send():
                    state.stats.count_bytes(effect.payload.size)
                    if (tell := state.trace.tell) is not None:
                        tell(MessageSent(self.number, effect.payload))
                    self.outbox.post(effect.payload, background=True)
                case Learned():
                    state.knowledge.learn(effect.capability, effect.available, effect.why)
                case OptionRefused():
                    state.knowledge.refuse(effect.option)
                case MemoryLost():
                    state.memory_lost()
                case Stored():
                    state.stored.keep(effect.checkpoint)
                case ForkEnded():
                    state.fork_ended(taken=effect.taken)
                case AbandonedEnded():
                    state.abandoned_ended(effect)
                case Dropped():
                    kind = type(effect.event).__name__
                    state.log.debug("Dropped an event that belongs to no response: {}", kind)
                case StateChanged():
                    if self.retired == NEVER and self.retiring:
                        self.retired = self._clock()
                        if (tell := state.trace.tell) is not None:
                            tell(ConnectionRetired(self.number))
                    state.changed()
                    if self._is_spare:
                        state.connection_free()
                case _:
                    assert_never(effect)


class WebSocketExchange:
    """A request over WebSocket and what answers it (see ``session.exchange.Exchange``).

    Attributes:
        number: Its number, for those who look.
        report: How the request went out.
        request_id: None: over WebSocket, errors name it themselves.
    """

    def __init__(
        self,
        live: LiveConnection,
        socket: Socket,
        plan: Plan,
        request: Request,
        *,
        turn: int,
        trace: Trace,
        purpose: Purpose,
        keeps: bool = True,
        background: bool = False,
        join: bool = True,
    ) -> None:
        """Sends a request.

        Args:
            live: The connection that was planned for it.
            socket: Its socket.
            plan: Where it runs and what it carries.
            request: The request.
            turn: The number of its turn.
            trace: Is told of it.
            purpose: What it is for.
            keeps: Whether the conversation may be continued from it.
            background: Whether it gives way to other messages.
            join: Whether text that waits is joined.
        """
        self.number = trace.new_request()
        self.request_id: str | None = None
        self._live = live
        self._socket = socket
        self._inbox = Inbox(join=join)
        self._response, self._message = live.start(
            plan, request, self._inbox, turn=turn, keeps=keeps, background=background
        )
        self._posted = time.monotonic()
        self.report = TurnReport(
            transport="websocket",
            incremental=plan.checkpoint is not None,
            full_reason=plan.full_reason,
            items=len(plan.send),
            size=self._message.payload.size,
            fork=plan.fork,
            changed_at=None if plan.changed_at is None else request.message_of(plan.changed_at),
            messages=request.messages,
            prepared=plan.checkpoint is not None and plan.checkpoint.prepared,
            previous_response_id=None if plan.checkpoint is None else plan.checkpoint.response_id,
            connection=live.number,
            lane=plan.lane.name,
        )
        if (tell := trace.tell) is not None:
            tell(
                RequestSent(
                    self.number,
                    trace.turn,
                    purpose,
                    live.number,
                    self.report,
                    self._message.payload,
                    Difference.of(plan, request),
                )
            )

    @property
    def usage(self) -> Usage | None:
        """The tokens of the response, once it has ended."""
        return self._latest().usage

    @property
    def sent(self) -> bool:
        """Whether the request has left."""
        return self._message.written

    @property
    def milestones(self) -> Milestones:
        """How far it has got when."""
        return Milestones(self._posted, self._message.written_at, self._inbox.created)

    def next(self, within: float | None = None) -> Coroutine[Any, Any, list[Event]]:
        """Waits for events."""
        return self._inbox.next(within)

    def waiting(self) -> list[Event]:
        """Takes the events that wait."""
        return self._inbox.waiting()

    async def probe(self, within: float) -> None:
        """Asks the server for a sign of life; without one the connection is given up."""
        if self._latest().listening and not await self._socket.alive(within):
            self._socket.abort(
                ConnectionLostError(
                    f"The server does not answer any more: no answer to a ping within {within:g} s",
                    failure=Failure.TIMEOUT,
                )
            )

    def abandon(self, *, unanswered: bool = False) -> None:
        """Stops listening; the lane is left alone until the response ends.

        Where one request gets no answer, the next one may be standing in line behind it: on a
        server without lanes, or at a gateway that has lost what is behind it.
        """
        self._inbox.close()
        self._live.abandon(self._latest(), self._message)
        if unanswered:
            self._live.gave_no_answer()

    @property
    def steerable(self) -> bool:
        """Whether the server may take more input now."""
        return self._live.steerable(self._latest())

    def steer(self, items: Sequence[Item]) -> bool:
        """Gives the server more input while the response runs."""
        return self._live.steer(self._latest(), items)

    def _latest(self) -> InboxResponse:
        """The response that runs; the server may have gone on with another one by itself."""
        while self._response.successor is not None:
            self._response = self._response.successor
        return self._response
