"""Lanes: what runs where on a connection, and what the server remembers there.

The rules (PROTOCOL.md of OpenAI's WebSocket mode, in short):

- A connection has a default lane and up to 32 named ones. A name of 1-256 characters of
  ``[A-Za-z0-9_.-]`` in ``stream_id`` selects one.
- One lane runs one response at a time; different lanes run side by side, at most 16 responses per
  connection.
- A lane remembers its *latest* response, and nothing else is remembered. Any lane may continue
  from what another lane remembers (a fork), as long as that lane has not moved on before the fork
  began (``response.in_progress``).
- A refused request makes its lane forget the parent it named, if that is the lane's own.
- What a lane remembers after a failed, incomplete or refused response is not documented: nothing
  is assumed.

The life of a lane, and the only transitions there are::

    state        event      next        the checkpoint it held
    ---------    --------   ---------   ----------------------
    IDLE         START      RUNNING     gone (the lane moves on)
    RUNNING      COMPLETE   IDLE        the new response's
    RUNNING      END        IDLE        none
    RUNNING      ABANDON    ABANDONED   none
    ABANDONED    COMPLETE   IDLE        the new response's
    ABANDONED    END        IDLE        none

An abandoned lane belongs to a response nobody listens to any more. It is left alone until that
response's terminal event, and then used again. So an interruption costs nothing: the next turn
runs on another lane, from an older checkpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from pipecat_responses.protocol.events import Usage
from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.output import Output

MAX_NAMED_LANES = 32
"""Distinct lane names a connection may use (documented; the default lane does not count)."""

MAX_IN_FLIGHT = 16
"""Responses in flight per connection before the server queues (documented)."""


class LaneState(Enum):
    """What a lane is doing."""

    IDLE = auto()
    RUNNING = auto()
    ABANDONED = auto()


class LaneEvent(Enum):
    """What can happen to a lane."""

    START = auto()
    ABANDON = auto()
    COMPLETE = auto()
    END = auto()


_TRANSITIONS: dict[tuple[LaneState, LaneEvent], LaneState] = {
    (LaneState.IDLE, LaneEvent.START): LaneState.RUNNING,
    (LaneState.RUNNING, LaneEvent.COMPLETE): LaneState.IDLE,
    (LaneState.RUNNING, LaneEvent.END): LaneState.IDLE,
    (LaneState.RUNNING, LaneEvent.ABANDON): LaneState.ABANDONED,
    (LaneState.ABANDONED, LaneEvent.COMPLETE): LaneState.IDLE,
    (LaneState.ABANDONED, LaneEvent.END): LaneState.IDLE,
}


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What the server can continue from.

    Attributes:
        response_id: The response to name in ``previous_response_id``.
        model: The model it was made with; another model starts afresh.
        items: Every item the model had seen as input, from the start of the conversation.
        output: What the response put out after them.
        resumed: Whether the response took up an answer that had broken off. Then the model has
            seen the answer in two pieces, and no context will say it like that.
        prepared: Whether it was laid without an answer: a warm-up, or an anchor.
        usage: The response's tokens, if the server has said.
    """

    response_id: str
    model: str
    items: Sequence[Item]
    output: Output
    resumed: bool = False
    prepared: bool = False
    usage: Usage | None = None


class Lane:
    """One lane of a connection. See the module's head for its rules.

    Attributes:
        name: Its ``stream_id``, or None for the default lane.
        state: What it is doing.
        checkpoint: What the server remembers there, as far as is certain.
        forks_from: The checkpoint its running response continues from, until that response has
            begun; the lane holding it must not move on before.
    """

    __slots__ = ("checkpoint", "forks_from", "name", "state")

    def __init__(self, name: str | None) -> None:
        """Creates an idle lane that remembers nothing."""
        self.name = name
        self.state = LaneState.IDLE
        self.checkpoint: Checkpoint | None = None
        self.forks_from: Checkpoint | None = None

    def start(self, forks_from: Checkpoint | None) -> None:
        """A request goes out on this lane: whatever it remembered is as good as gone."""
        self._move(LaneEvent.START)
        self.checkpoint = None
        self.forks_from = forks_from

    def began(self) -> None:
        """The server has begun the response, so its parent is safe inside it."""
        self.forks_from = None

    def abandon(self) -> None:
        """Nobody listens to the running response any more."""
        self._move(LaneEvent.ABANDON)

    def complete(self, checkpoint: Checkpoint | None) -> None:
        """The running response has completed; the lane remembers it from here on."""
        self._move(LaneEvent.COMPLETE)
        self.checkpoint = checkpoint
        self.forks_from = None

    def end(self) -> None:
        """The running response has ended in any other way; nothing is known to be remembered."""
        self._move(LaneEvent.END)
        self.forks_from = None

    def forget(self) -> None:
        """What the lane remembered is gone."""
        self.checkpoint = None

    def drop_name(self) -> None:
        """The lane has turned out to be the default one."""
        self.name = None

    @property
    def idle(self) -> bool:
        """Whether a request may go out on this lane."""
        return self.state is LaneState.IDLE

    def _move(self, event: LaneEvent) -> None:
        # A KeyError here is a mistake of ours, never of a server: servers' events are checked
        # against the running response before they come this far.
        self.state = _TRANSITIONS[self.state, event]

    def __repr__(self) -> str:
        """Shows name and state."""
        return f"<Lane {self.name or 'default'} {self.state.name.lower()}>"


class LaneSet:
    """The lanes of one connection.

    Attributes:
        named: Whether the server has lanes: None until known, then True or False.
        lanes: The lanes used so far.
    """

    __slots__ = ("_max_in_flight", "_max_named", "lanes", "named")

    def __init__(
        self,
        *,
        named: bool | None = None,
        max_named: int = MAX_NAMED_LANES,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        """Creates the lanes of a fresh connection: none used, nothing remembered."""
        self.named = named
        self._max_named = max_named
        self._max_in_flight = max_in_flight
        self.lanes: list[Lane] = []

    @property
    def in_flight(self) -> int:
        """Responses that run on this connection, abandoned ones included."""
        return len([lane for lane in self.lanes if lane.state is not LaneState.IDLE])

    @property
    def limit(self) -> int:
        """Responses that may run here at the same time."""
        return 1 if self.named is False else self._max_in_flight

    @property
    def room(self) -> int:
        """Responses that may still start here before the server queues them."""
        return max(0, self.limit - self.in_flight)

    @property
    def silent(self) -> bool:
        """Whether nothing runs here."""
        return all(lane.idle for lane in self.lanes)

    @property
    def remembered(self) -> int:
        """Items of the longest conversation that is remembered here."""
        return max(map(_length, self.lanes), default=0)

    def free_lane(
        self, keep: Collection[Checkpoint], worthless: Collection[Checkpoint]
    ) -> Lane | None:
        """Picks the lane whose loss costs least, or None if there is none to be had.

        Args:
            keep: Checkpoints that must survive: the one a request continues from and its
                predecessor. Those that running forks still need are kept as well.
            worthless: Checkpoints that cannot cover the conversation any more.

        Returns:
            An idle lane: one that remembers nothing, else one with a worthless checkpoint, else a
            new one, else the one with the oldest checkpoint.
        """
        if self.room == 0:
            return None
        if self.named is False:
            return self._default_lane()
        pinned = [lane.forks_from for lane in self.lanes if lane.forks_from is not None]
        oldest: Lane | None = None
        for lane in self.lanes:
            if not lane.idle:
                continue
            held = lane.checkpoint
            if held is None:
                return lane
            if _among(held, pinned) or _among(held, keep):
                continue
            if _among(held, worthless):
                return lane
            if oldest is None or len(held.items) < _length(oldest):
                oldest = lane
        if len(self.lanes) < min(self._max_named, SMALL_SET) or (
            oldest is None and len(self.lanes) < self._max_named
        ):
            lane = Lane(f"lane-{len(self.lanes) + 1}")
            self.lanes.append(lane)
            return lane
        return oldest

    def holds(self, checkpoint: Checkpoint | None) -> bool:
        """Whether a lane is believed to remember a checkpoint."""
        return any(lane.checkpoint is checkpoint is not None for lane in self.lanes)

    def forget(self) -> None:
        """The server has lost what it remembered: everything is sent next, on any lane.

        One checkpoint that is gone says little for the others, and trying them one by one would
        cost a round trip each.
        """
        for lane in self.lanes:
            lane.forget()

    def no_more_names(self, refused: Lane) -> None:
        """The server takes no more names: those that worked are all there are."""
        self.lanes = [lane for lane in self.lanes if lane is not refused]
        self._max_named = len(self.lanes)

    def confirm_names(self) -> None:
        """The server has lanes: it has answered on one by its name."""
        self.named = True

    def doubt_names(self) -> None:
        """Whether the server has lanes is not known after all."""
        self.named = None
        self.lanes = [lane for lane in self.lanes if lane.name is not None]

    def without_names(self) -> None:
        """The server turned out to have no lanes: from here on there is the default one."""
        self.named = False

    def _default_lane(self) -> Lane | None:
        # A lane that was started by name runs on the default lane of a server without lanes.
        for lane in self.lanes:
            if lane.name is None:
                return lane if lane.idle else None
        lane = Lane(None)
        self.lanes.append(lane)
        return lane


SMALL_SET = 4
"""Lanes a session keeps when nothing forces more: the running turn's, the two newest checkpoints',
and one for what runs beside a turn."""


def _among(checkpoint: Checkpoint, others: Collection[Checkpoint]) -> bool:
    return any(checkpoint is other for other in others)


def _length(lane: Lane) -> int:
    return len(lane.checkpoint.items) if lane.checkpoint is not None else 0
