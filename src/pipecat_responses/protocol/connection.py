"""A connection to a Responses server, without I/O: which response runs where, whose an event is.

It takes requests, events, interruptions and losses, and returns effects (``protocol.effects``) for
somebody else to carry out. The life of a connection, and the only transitions there are::

    state        event     next
    ----------   -------   ----------
    CONNECTING   OPEN      OPEN
    CONNECTING   LOSE      LOST
    OPEN         RETIRE    RETIRING      responses that run go on, nothing new may start
    OPEN         LOSE      LOST
    RETIRING     RETIRE    RETIRING
    RETIRING     LOSE      LOST
    LOST         LOSE      LOST          the first loss is the one that counts

Whose an event is, ``protocol.in_flight`` says. What is known after a failure: a request that was
refused has left its lane, and nothing of it follows. After an error in the middle of a response
nobody knows whether more of it comes, so its lane is left alone until a terminal event does.

``protocol.doubts`` has the refusals that do not say what they refuse.

A response that was steered (``protocol.steering``) may have a successor, which the server makes by
itself on the same lane. So its end is held back until its successor is created, or is known not to
be: ``Succeeded`` takes its place for whoever listens, and the two are one answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeAlias, assert_never

from msgspec.structs import replace

from pipecat_responses.protocol.capabilities import Capability, ServerCapabilities
from pipecat_responses.protocol.doubts import CancelDoubt, LaneDoubt, says_cancel, says_steer
from pipecat_responses.protocol.effects import (
    STATE_CHANGED,
    AbandonedEnded,
    Deliver,
    Dropped,
    Effect,
    Fail,
    ForkEnded,
    Learned,
    ListenerT,
    MemoryLost,
    OptionRefused,
    Send,
    Stored,
)
from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError
from pipecat_responses.protocol.events import (
    Activity,
    ArgumentsDelta,
    ArgumentsDone,
    Began,
    Created,
    Event,
    ItemAdded,
    ItemDone,
    Refused,
    Status,
    SteerAccepted,
    SteerFailed,
    SteerPending,
    Succeeded,
    Terminal,
    TextDelta,
    TextDone,
    ThoughtDelta,
)
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.in_flight import ResponsesInFlight
from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.lanes import LaneSet
from pipecat_responses.protocol.planning import Plan
from pipecat_responses.protocol.refusals import (
    BEGAN_ANEW,
    Understood,
    continuation,
    understand,
)
from pipecat_responses.protocol.requests import (
    Payload,
    Request,
    cancel_payload,
    steer_payload,
    websocket_payload,
)
from pipecat_responses.protocol.response import Response, is_stored
from pipecat_responses.protocol.steering import STEERED, can_be_given, may_steer


class ConnectionState(Enum):
    """What a connection is good for."""

    CONNECTING = auto()
    OPEN = auto()
    RETIRING = auto()
    LOST = auto()


class ConnectionEvent(Enum):
    """What can happen to a connection as a whole."""

    OPEN = auto()
    RETIRE = auto()
    LOSE = auto()


_TRANSITIONS: dict[tuple[ConnectionState, ConnectionEvent], ConnectionState] = {
    (ConnectionState.CONNECTING, ConnectionEvent.OPEN): ConnectionState.OPEN,
    (ConnectionState.CONNECTING, ConnectionEvent.LOSE): ConnectionState.LOST,
    (ConnectionState.OPEN, ConnectionEvent.RETIRE): ConnectionState.RETIRING,
    (ConnectionState.OPEN, ConnectionEvent.LOSE): ConnectionState.LOST,
    (ConnectionState.RETIRING, ConnectionEvent.RETIRE): ConnectionState.RETIRING,
    (ConnectionState.RETIRING, ConnectionEvent.LOSE): ConnectionState.LOST,
    (ConnectionState.LOST, ConnectionEvent.LOSE): ConnectionState.LOST,
}


_SteerAnswer: TypeAlias = SteerAccepted | SteerPending | SteerFailed

_PIECES: frozenset[type[Event]] = frozenset(
    {TextDelta, ThoughtDelta, TextDone, ItemAdded, ArgumentsDelta, ArgumentsDone, Activity}
)
"""Events that concern nobody but the listener of a response that has begun."""


@dataclass(frozen=True, slots=True)
class Loss:
    """The end of a connection.

    Attributes:
        error: Why it has ended.
        retiring: Whether it was on its way out.
        waited_for: Whether somebody listened to a response on it.
        silent: Whether the server had never said anything.
    """

    error: ResponsesError
    retiring: bool
    waited_for: bool
    silent: bool


class Connection(Generic[ListenerT]):
    """One connection. See the module's head.

    Attributes:
        state: What it is good for.
        lanes: Its lanes and what the server remembers there.
        loss: Its end, once it has ended.
    """

    __slots__ = (
        "_cancel_doubt",
        "_capabilities",
        "_heard",
        "_lane_doubt",
        "_lanes_shown",
        "_running",
        "lanes",
        "loss",
        "state",
    )

    def __init__(self, lanes: LaneSet, capabilities: ServerCapabilities) -> None:
        """Creates a connection that is being opened.

        Args:
            lanes: Its lanes, fresh.
            capabilities: What is known of the server. Only read here.
        """
        self.state = ConnectionState.CONNECTING
        self.lanes = lanes
        self.loss: Loss | None = None
        self._capabilities = capabilities
        self._heard = False
        self._lanes_shown = False
        self._running: ResponsesInFlight[ListenerT] = ResponsesInFlight()
        self._cancel_doubt = CancelDoubt()
        self._lane_doubt = LaneDoubt()

    @property
    def usable(self) -> bool:
        """Whether a request may start here."""
        return self.state is ConnectionState.OPEN

    @property
    def silent(self) -> bool:
        """Whether nothing runs here."""
        return not self._running

    @property
    def abandoned(self) -> bool:
        """Whether a response runs here that nobody listens to."""
        return any(not each.listening for each in self._running)

    @property
    def listened_to(self) -> bool:
        """Whether a response runs here that somebody listens to."""
        return any(each.listening for each in self._running)

    # -- intentions ---------------------------------------------------------------------------

    def opened(self) -> None:
        """The handshake is over."""
        self._move(ConnectionEvent.OPEN)

    def retire(self) -> list[Effect[ListenerT]]:
        """Nothing new starts here any more."""
        self._move(ConnectionEvent.RETIRE)
        return [STATE_CHANGED]

    def start(
        self,
        plan: Plan,
        request: Request,
        listener: ListenerT,
        *,
        turn: int,
        keeps: bool = True,
    ) -> tuple[Response[ListenerT], Payload]:
        """Takes a request onto the lane that was planned for it.

        Args:
            plan: Where it runs and what it carries.
            request: The request.
            listener: Who gets the response's events.
            turn: The number of its turn.
            keeps: Whether the conversation may be continued from it.

        Returns:
            The response that is expected now, and the message to send.
        """
        parent = plan.checkpoint
        payload = websocket_payload(
            request.fields,
            plan.send,
            previous_response_id=parent.response_id if parent else None,
            stream_id=plan.lane.name,
            generate=request.generate,
        )
        response = Response(
            listener=listener,
            lane=plan.lane,
            request=request,
            turn=turn,
            keeps=keeps,
            parent=parent,
            fork=plan.fork,
            from_stored=parent is not None and not self.lanes.holds(parent),
            restore=plan.lane.checkpoint,
            sent=plan.send,
        )
        plan.lane.start(parent if plan.fork else None)
        self._running.add(response)
        return response, payload

    def runs(self, response: Response[ListenerT]) -> bool:
        """Whether a response is still expected here, and listened to."""
        return response.listening and response in self._running

    def abandon(
        self, response: Response[ListenerT], *, never_left: bool
    ) -> list[Effect[ListenerT]]:
        """Nobody listens to a response any more; its lane is left alone until it ends.

        Args:
            response: The response.
            never_left: Whether its request was taken back before any of it left.
        """
        was_running = self.runs(response)
        response.stop_listening()
        ignored = response.steers.held is not None and response.steers.unanswered
        if not was_running:
            return []
        if never_left:
            # The server knows nothing of it and remembers what it did.
            self._running.remove(response)
            response.lane.complete(response.restore)
            return [STATE_CHANGED]
        response.lane.abandon()
        effects = [*self._cancel(response), STATE_CHANGED]
        if ignored:
            effects.append(Learned(Capability.STEERING, False, "It has not answered one"))
        return effects

    def steerable(self, response: Response[ListenerT]) -> bool:
        """Whether the server may take more input to a response, now."""
        return (
            self.runs(response)
            and response.response_id is not None
            and response.steers.held is None
            and not response.steers.unanswered
            and self._capabilities.steering is not False
            and may_steer(response.request)
        )

    def steer(
        self, response: Response[ListenerT], items: Sequence[Item]
    ) -> list[Effect[ListenerT]]:
        """Gives the server what the user has said while a response runs.

        Args:
            response: The response.
            items: What was said.

        Returns:
            Nothing where that is not possible; then it is for another request.
        """
        if not self.steerable(response) or not can_be_given(items):
            return []
        assert response.response_id is not None
        response.steer(items)
        return [Send(steer_payload(response.response_id, items))]

    def lose(self, error: ResponsesError) -> list[Effect[ListenerT]]:
        """The connection has ended, and with it everything on it."""
        if self.loss is not None:
            return []
        if not self._heard and error.failure is Failure.CONNECTION:
            error = ConnectionLostError(
                f"The server accepted the connection and ended it without a word: {error.message}"
            )
        running = list(self._running)
        self.loss = Loss(
            error,
            retiring=self.state is ConnectionState.RETIRING,
            waited_for=any(each.listening for each in running),
            silent=not self._heard,
        )
        self._move(ConnectionEvent.LOSE)
        self._running.clear()
        return [*(Fail(each.listener, error) for each in running), STATE_CHANGED]

    # -- events -------------------------------------------------------------------------------

    def response_speaking(self, stream_id: str | None, event: Event) -> Response[ListenerT] | None:
        """The response that an event on a lane is for, if it is for nobody else.

        Pieces of a response are most of what a server sends, so they have a way of their own: the
        caller hands the event to the response's listener if it is listened to, and drops it
        otherwise. None means that the way is the usual one, ``receive``.
        """
        if type(event) not in _PIECES:
            return None
        response = self._running.on_lane.get(stream_id)
        if response is None or not response.created:
            return None
        if type(event) is TextDelta and not response.spoke:
            response.speak()
        return response

    def receive(self, stream_id: str | None, event: Event) -> list[Effect[ListenerT]]:
        """Takes an event in.

        Args:
            stream_id: The lane that the event names, if any.
            event: The event.
        """
        self._heard = True
        if stream_id is not None:
            self._lanes_shown = True
        if isinstance(event, (SteerAccepted, SteerPending, SteerFailed)):
            return self._steer_answered(event)
        if isinstance(event, Refused) and says_steer(event.error):
            unanswered = [each for each in self._running if each.steers.unanswered]
            if unanswered:
                return self._steer_refused(unanswered, event.error)
        if isinstance(event, Refused) and self._cancel_doubt.concerns(
            event.error, stream_id=stream_id, runs=stream_id in self._running.on_lane
        ):
            return self._cancel_refused(event.error)
        response = self._running.owner(stream_id, event, lanes_shown=self._lanes_shown)
        if response is None:
            return self._receive_unowned(stream_id, event)
        effects: list[Effect[ListenerT]] = []
        match event:
            case Created() if response.steers.held is not None:
                return self._succeeded(response, stream_id, event)
            case Created():
                effects = self._created(response, stream_id, event)
            case Began():
                response.lane.began()
                effects = [ForkEnded(taken=True)] if response.fork else []
            case TextDelta():
                response.speak()
            case ItemDone():
                response.finish_item(event.item)
            case Terminal() if response.steers.open and event.status is not Status.FAILED:
                response.hold(event)
                return []
            case Terminal():
                event, effects = self._terminal(response, event)
            case Refused() if response.steers.held is not None:
                return self._steer_answered(SteerFailed(response.response_id, event.error))
            case Refused():
                return self._refused(response, event.error)
            case (
                ThoughtDelta()
                | TextDone()
                | ItemAdded()
                | ArgumentsDelta()
                | ArgumentsDone()
                | Activity()
                | Succeeded()
            ):
                pass
            case _:
                assert_never(event)
        if response.listening:
            effects.append(Deliver(response.listener, event))
        return effects

    def receive_undecodable(self, error: ResponsesError) -> list[Effect[ListenerT]]:
        """A message was no event; the response that runs may have lost a piece."""
        listening = [each for each in self._running if each.listening]
        if len(listening) != 1:
            return []
        # Whose it was is certain, and what it said is not: this response cannot be trusted.
        return [*self._quarantine(listening[0]), Fail(listening[0].listener, error)]

    def _receive_unowned(self, stream_id: str | None, event: Event) -> list[Effect[ListenerT]]:
        if (
            isinstance(event, Refused)
            and stream_id is None
            and event.error.failure is Failure.CONNECTION_EXPIRED
        ):
            return self.retire()
        if isinstance(event, Activity):
            # A sign of life is for everybody who waits.
            return [Deliver(each.listener, event) for each in self._running if each.listening]
        return [Dropped(event)]

    # -- refusals of a cancel -----------------------------------------------------------------

    def _cancel_refused(self, error: ResponsesError) -> list[Effect[ListenerT]]:
        self._cancel_doubt.given_up()
        effects: list[Effect[ListenerT]] = [Learned(Capability.CANCEL, False, error.message)]
        if says_cancel(error):
            return effects
        for response in self._running:
            if response.listening and not response.created:
                effects += self._quarantine(response)
                doubt = error.rewritten(failure=Failure.CANCEL_REFUSED)
                effects.append(Fail(response.listener, doubt))
        return effects

    # -- steering -----------------------------------------------------------------------------

    def _steer_answered(self, event: _SteerAnswer) -> list[Effect[ListenerT]]:
        """The server says what becomes of what it was given while a response ran."""
        response = self._steered(event.response_id)
        if response is None:
            return [Dropped(event)]
        effects: list[Effect[ListenerT]] = []
        if response.listening:
            effects.append(Deliver(response.listener, event))
        match event:
            case SteerAccepted():
                response.steer_accepted()
                effects.append(Learned(Capability.STEERING, True, "It has taken input meanwhile"))
            case SteerPending():
                response.steer_waits()
            case SteerFailed():
                response.steer_failed()
                if event.unsupported:
                    effects.append(Learned(Capability.STEERING, False, event.error.message))
            case _:
                assert_never(event)
        return effects + self._settle_held(response)

    def _steer_refused(
        self, unanswered: Sequence[Response[ListenerT]], error: ResponsesError
    ) -> list[Effect[ListenerT]]:
        """The server does not know the message at all."""
        effects: list[Effect[ListenerT]] = [Learned(Capability.STEERING, False, error.message)]
        for response in unanswered:
            effects += self._steer_answered(SteerFailed(response.response_id, error))
        return effects

    def _steered(self, response_id: str | None) -> Response[ListenerT] | None:
        for response in self._running:
            if response.steers.open and response_id in (None, response.response_id):
                return response
        return None

    def _settle_held(self, response: Response[ListenerT]) -> list[Effect[ListenerT]]:
        """Nothing follows a response whose end was held back for that."""
        held = response.steers.held
        if held is None or response.steers.open:
            return []
        event, effects = self._terminal(response, held)
        if not response.listening:
            return effects
        if event.status is Status.INCOMPLETE and event.reason == STEERED:
            error = ResponsesError(
                "The server has ended the response to go on with what was said, and did not",
                failure=Failure.NOT_STEERED,
                response_id=event.response_id,
            )
            return [*effects, Fail(response.listener, error)]
        return [*effects, Deliver(response.listener, event)]

    def _succeeded(
        self, response: Response[ListenerT], stream_id: str | None, event: Created
    ) -> list[Effect[ListenerT]]:
        """The server goes on by itself with what it was given."""
        held = response.steers.held
        assert held is not None
        successor = response.succeed()
        self._running.succeed(response, successor)
        if response.cancelled:
            self._cancel_doubt.settled()
        response.end(held.usage)
        effects: list[Effect[ListenerT]] = []
        if response.listening:
            effects.append(Deliver(response.listener, Succeeded(held)))
        else:
            effects.append(AbandonedEnded(response.turn, held.response_id, held.usage))
        effects += self._created(successor, stream_id, event)
        if successor.listening:
            effects.append(Deliver(successor.listener, event))
        return effects

    # -- what an event means ------------------------------------------------------------------

    def _created(
        self, response: Response[ListenerT], stream_id: str | None, event: Created
    ) -> list[Effect[ListenerT]]:
        response.accept(event.response_id)
        known = self._capabilities
        shown = known.stored_continuation if response.from_stored else known.continuation
        if response.parent is not None and event.continues is False and shown is not True:
            return self._seems_not_continued(response)
        effects: list[Effect[ListenerT]] = []
        if self._lane_doubt.accepted(response.lane):
            effects = self._without_lanes()
        elif response.lane.name is not None:
            if stream_id is None:
                effects = self._lanes_were_dropped()
            elif self.lanes.named is None:
                self.lanes.confirm_names()
                effects = [Learned(Capability.LANES, True, "It answers on the lane it was given")]
        if response.parent is not None and shown is None:
            capability = continuation(stored=response.from_stored)
            effects.append(Learned(capability, True, "It has continued a response"))
        if not response.listening:
            effects += self._cancel(response)
        return effects

    def _seems_not_continued(self, response: Response[ListenerT]) -> list[Effect[ListenerT]]:
        """The server does not say that it continues: the model may see the last words only.

        Some say so of all responses. So the turn is asked in full, and the response goes on
        unheard: its token count will tell (``_tokens_tell``).
        """
        response.doubt()
        error = ResponsesError(BEGAN_ANEW, failure=Failure.OPTION_REFUSED)
        return [
            Learned(continuation(stored=response.from_stored), False, BEGAN_ANEW),
            *([Fail(response.listener, error)] if response.listening else []),
            *self._quarantine(response),
        ]

    def _tokens_tell(
        self, response: Response[ListenerT], event: Terminal
    ) -> list[Effect[ListenerT]]:
        if not response.suspect or not response.was_remembered(event):
            return []
        capability = continuation(stored=response.from_stored)
        return [Learned(capability, True, "Its token count shows that it continues")]

    def _lanes_were_dropped(self) -> list[Effect[ListenerT]]:
        """The server drops ``stream_id``: everything has run on its default lane."""
        first, *others = self._running
        self._running.move_to_default_lane(first)
        effects = self._without_lanes()
        if others:
            # They stand in line behind one another on the server, where no turn may wait.
            effects += self.retire()
            for response in others:
                effects += self._quarantine(response)
                error = ResponsesError("The server has no lanes", failure=Failure.NO_LANES)
                effects.append(Fail(response.listener, error))
        return effects

    def _without_lanes(self) -> list[Effect[ListenerT]]:
        self.lanes.without_names()
        return [Learned(Capability.LANES, False, "It takes no stream_id"), STATE_CHANGED]

    def _terminal(
        self, response: Response[ListenerT], event: Terminal
    ) -> tuple[Terminal, list[Effect[ListenerT]]]:
        lane = response.lane
        self._running.end(response, event.response_id)
        effects: list[Effect[ListenerT]] = [*self._tokens_tell(response, event), STATE_CHANGED]
        if event.status is Status.COMPLETED:
            checkpoint = response.checkpoint(event)
            lane.complete(checkpoint)
            # A mark of a stored response has no room for what was said meanwhile.
            stored = is_stored(response.request, event) and not response.succeeds
            if checkpoint is not None and stored:
                effects.append(Stored(checkpoint))
        else:
            lane.end()
        if event.error is not None and response.listening and not response.spoke:
            # Some servers accept first, and look at what they have accepted then.
            understood = self._understand(response, event.error)
            event = replace(event, error=understood.error)
            if understood.lesson is not None:
                effects.append(_learned(understood))
        if response.cancelled:
            self._cancel_doubt.settled()
        if event.error is not None and event.error.failure is Failure.MEMORY_LOST:
            self.lanes.forget()
            effects.append(MemoryLost())
        if response.was_not_prepared(event):
            why = "It answers a request that asks for no answer"
            effects.append(Learned(Capability.WARM_UP, False, why))
        response.end(event.usage)
        if not response.listening:
            effects.append(AbandonedEnded(response.turn, event.response_id, event.usage))
        return event, effects

    def _refused(
        self, response: Response[ListenerT], error: ResponsesError
    ) -> list[Effect[ListenerT]]:
        if response.created:
            # An error in the middle of a response: whether more of it follows is not known.
            if not response.listening:
                return []
            lost = error.failure is Failure.MEMORY_LOST
            if lost:
                self.lanes.forget()
            return [
                *self._quarantine(response),
                *([MemoryLost()] if lost else []),
                Fail(response.listener, error),
            ]
        lane = response.lane
        self._running.remove(response)
        lane.end()
        effects: list[Effect[ListenerT]] = []
        understood = self._understand(response, error)
        error = understood.error
        if understood.lesson is not None:
            return [_learned(understood), Fail(response.listener, error), STATE_CHANGED]
        if self._lane_doubt.refused(error, lane, self.lanes):
            error = error.rewritten(failure=Failure.NO_LANES)
        if error.failure is Failure.MEMORY_LOST:
            # Forks that stood in line when the memory went are one loss, not several.
            counts = response.fork and self.lanes.holds(response.parent)
            self.lanes.forget()
            effects = [MemoryLost(), *([ForkEnded(taken=False)] if counts else [])]
        elif error.failure is Failure.NO_LANES and lane.name is not None and self._lane_doubt.open:
            self.lanes.without_names()
        elif error.failure is Failure.NO_LANES and lane.name is not None:
            effects = self._without_lanes()
        elif error.failure is Failure.LANES_USED_UP:
            self.lanes.no_more_names(lane)
        elif error.failure is Failure.CONNECTION_EXPIRED:
            effects = self.retire()
        elif error.failure is Failure.NO_WARM_UP:
            effects = [Learned(Capability.WARM_UP, False, error.message)]
        return [*effects, Fail(response.listener, error), STATE_CHANGED]

    def _understand(self, response: Response[ListenerT], error: ResponsesError) -> Understood:
        return understand(
            error,
            response.request,
            self._capabilities,
            continued=response.parent is not None,
            stored=response.from_stored,
        )

    def _quarantine(self, response: Response[ListenerT]) -> list[Effect[ListenerT]]:
        """Keeps a lane out of use: something may still arrive there that nobody expects."""
        if response.listening:
            response.stop_listening()
            response.lane.abandon()
        return self.retire() if self.lanes.named is False else [STATE_CHANGED]

    def _cancel(self, response: Response[ListenerT]) -> list[Effect[ListenerT]]:
        """A courtesy that may save tokens. Nothing waits for its effect."""
        if self._capabilities.cancel is False or response.cancelled:
            return []
        if response.steers.held is not None:
            # It has ended.
            return []
        if response.response_id is None:
            return []
        response.cancel()
        self._cancel_doubt.sent()
        return [Send(cancel_payload(response.response_id, response.lane.name))]

    def _move(self, event: ConnectionEvent) -> None:
        # A KeyError here is a mistake of ours, never of a server.
        self.state = _TRANSITIONS[self.state, event]


def _learned(understood: Understood) -> Learned | OptionRefused:
    lesson = understood.lesson
    assert lesson is not None
    if isinstance(lesson, Capability):
        return Learned(lesson, False, understood.error.message)
    return OptionRefused(lesson)
