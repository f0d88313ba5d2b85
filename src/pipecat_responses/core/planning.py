"""Planning a turn: where it runs, what it continues from, what it has to send.

One pure function over plain state. It returns what to do; doing it is the session's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipecat_responses.core.items import Item
from pipecat_responses.core.lanes import Checkpoint, Lane, LaneSet


class FullReason(StrEnum):
    """Why a request had to carry the whole conversation."""

    FIRST = "first"
    CONTEXT_CHANGED = "context changed"
    MODEL_CHANGED = "model changed"
    MEMORY_LOST = "memory lost"
    RECONNECTED = "reconnected"
    NO_LANES = "no lanes"
    NO_FORKS = "no forks"
    NOTHING_REMEMBERED = "nothing remembered yet"
    NOTHING_NEW = "nothing new to send"
    HTTP = "http"


@dataclass(frozen=True, slots=True)
class Cover:
    """How much of a conversation a checkpoint covers.

    Attributes:
        checkpoint: The checkpoint.
        lane: The lane that holds it.
        length: Number of items, from the start, that need not be sent as they stand.
        send: The items that the server lacks.
    """

    checkpoint: Checkpoint
    lane: Lane
    length: int
    send: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a turn does.

    Attributes:
        lanes: The connection's lanes to run on.
        lane: The lane to run on.
        checkpoint: What to continue from, or None to send everything.
        send: The items to send.
        full_reason: Why everything is sent, or None.
        fork: Whether the parent is another lane's.
    """

    lanes: LaneSet
    lane: Lane
    checkpoint: Checkpoint | None
    send: Sequence[Item]
    full_reason: FullReason | None
    fork: bool


def cover(checkpoint: Checkpoint, items: Sequence[Item]) -> tuple[int, Sequence[Item]] | None:
    """How much of a conversation a checkpoint covers.

    Args:
        checkpoint: The checkpoint.
        items: The conversation's items; a list.

    Returns:
        The number of items covered from the start and the items the server lacks, or None if the
        conversation does not continue what the model has seen.
    """
    seen = len(checkpoint.items)
    if len(items) < seen or items[:seen] != checkpoint.items:
        return None
    match = checkpoint.output.match(items, seen)
    if match is None:
        return None
    return match.end, [*match.pending, *items[match.end :]]


def covers(
    lanes: LaneSet, items: Sequence[Item], model: str
) -> tuple[list[Cover], list[Checkpoint]]:
    """Sorts a connection's checkpoints by what they are worth for a conversation.

    Args:
        lanes: The connection's lanes.
        items: The conversation's items.
        model: The model that is to answer.

    Returns:
        The checkpoints that cover some of it, the most first, and those that never will. (The
        newest may do neither: its own output is not in the conversation yet.)
    """
    covering: list[Cover] = []
    worthless: list[Checkpoint] = []
    for lane in lanes.lanes:
        held = lane.checkpoint
        if held is None:
            continue
        found = cover(held, items) if held.model == model else None
        if found is not None:
            covering.append(Cover(held, lane, *found))
        elif held.model != model or not _may_cover(held, items):
            worthless.append(held)
    covering.sort(key=lambda each: each.length, reverse=True)
    return covering, worthless


def _may_cover(checkpoint: Checkpoint, items: Sequence[Item]) -> bool:
    """Whether the conversation may still come to what a checkpoint holds."""
    seen = len(checkpoint.items)
    if len(items) < seen:
        return checkpoint.items[: len(items)] == items
    return items[:seen] == checkpoint.items and checkpoint.output.may_follow(items, seen)


def plan(
    connections: Sequence[LaneSet],
    items: Sequence[Item],
    model: str,
    *,
    blank: FullReason = FullReason.FIRST,
) -> Plan | None:
    """Plans a turn.

    The checkpoint with the longest covered prefix wins; then the lane whose loss costs least,
    never one that holds this checkpoint or the one before it. Without lanes the only lane there is
    continues itself. On equal terms the first connection wins.

    Args:
        connections: The lanes of each open connection, the preferred one first.
        items: The conversation's items, a list.
        model: The model that is to answer.
        blank: The reason to give where nothing has been remembered yet.

    Returns:
        The plan, or None if every connection is full: the turn needs a fresh one.
    """
    best: Plan | None = None
    for lanes in connections:
        candidate = _plan_on(lanes, items, model, blank)
        if candidate is not None and (best is None or len(candidate.send) < len(best.send)):
            best = candidate
    return best


def _plan_on(lanes: LaneSet, items: Sequence[Item], model: str, blank: FullReason) -> Plan | None:
    covering, worthless = covers(lanes, items, model)
    # The API wants at least one input item, so a checkpoint that leaves none to send is of no use.
    usable = [each for each in covering if each.send]
    stay = lanes.named is False or not lanes.forks
    if stay:
        # A lane that continues itself: nothing else may be continued from.
        for each in usable:
            if each.lane.idle and lanes.room:
                return Plan(lanes, each.lane, each.checkpoint, each.send, None, fork=False)
        usable = []
    keep = [each.checkpoint for each in usable[:2]]
    lane = lanes.free_lane(keep, worthless)
    if lane is None and len(keep) > 1:
        lane = lanes.free_lane(keep[:1], worthless)
    if lane is None:
        return None
    if usable:
        first = usable[0]
        return Plan(lanes, lane, first.checkpoint, first.send, None, fork=True)
    return Plan(lanes, lane, None, items, _why_full(lanes, covering, model, blank), fork=False)


def _why_full(
    lanes: LaneSet, covering: Sequence[Cover], model: str, blank: FullReason
) -> FullReason:
    held = [lane.checkpoint for lane in lanes.lanes if lane.checkpoint is not None]
    if covering:
        if any(each.send for each in covering):
            return FullReason.NO_FORKS
        return FullReason.NOTHING_NEW
    if held:
        if all(each.model != model for each in held):
            return FullReason.MODEL_CHANGED
        return FullReason.CONTEXT_CHANGED
    if lanes.named is False and not lanes.silent:
        return FullReason.NO_LANES
    return blank


def plan_beside(
    lanes: LaneSet, items: Sequence[Item], model: str, conversation: Sequence[Item]
) -> Plan | None:
    """Plans a request beside the conversation: it must take nothing that a turn needs.

    Args:
        lanes: The connection's lanes.
        items: What is to be known to the server; covered checkpoints are continued from.
        model: The model.
        conversation: The conversation's items, whose two best checkpoints are kept.

    Returns:
        The plan, or None if there is no lane to spare.
    """
    if lanes.room < ROOM_FOR_TURNS and lanes.named is not False:
        return None
    kept, worthless = covers(lanes, conversation, model)
    covering = covers(lanes, items, model)[0] if items and lanes.forks else []
    newest = [
        lane.checkpoint
        for lane in lanes.lanes
        if lane.checkpoint is not None
        and all(lane.checkpoint is not each for each in worthless)
        and all(lane.checkpoint is not each.checkpoint for each in kept)
    ]
    keep = [*newest, *(each.checkpoint for each in (*kept[:2], *covering[:1]))]
    lane = lanes.free_lane(keep, worthless)
    if lane is None or (lanes.named is False and lane.checkpoint is not None):
        return None
    if covering and lanes.named is not False:
        first = covering[0]
        return Plan(lanes, lane, first.checkpoint, first.send, None, fork=True)
    return Plan(lanes, lane, None, items, FullReason.FIRST, fork=False)


ROOM_FOR_TURNS = 3
"""Responses that must still fit on a connection after one has started beside the conversation."""
