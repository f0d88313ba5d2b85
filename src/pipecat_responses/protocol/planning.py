"""Planning a turn: where it runs, what it continues from, what it has to send.

One pure function over plain state. It returns what to do; doing it is the session's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from typing import assert_never

from pipecat_responses.protocol.items import Item, Message
from pipecat_responses.protocol.lanes import Checkpoint, Lane, LaneSet
from pipecat_responses.protocol.output import Coverage, Match, Mismatch, Unfinished
from pipecat_responses.protocol.requests import window

KEPT = 2
"""Checkpoints that a turn keeps: the one it continues from, and the one before it."""


class FullReason(StrEnum):
    """Why a request had to carry the whole conversation. ``explanation`` says it in a sentence."""

    FIRST = "first"
    CONTEXT_CHANGED = "context changed"
    MODEL_CHANGED = "model changed"
    RESUMED = "resumed"
    MEMORY_LOST = "memory lost"
    RECONNECTED = "reconnected"
    NO_LANES = "no lanes"
    NO_FORKS = "no forks"
    NO_CONTINUATION = "no continuation"
    NOTHING_REMEMBERED = "nothing remembered yet"
    NOTHING_NEW = "nothing new to send"
    HTTP = "http"

    @property
    def explanation(self) -> str:
        """What it means, in a sentence."""
        return EXPLANATIONS[self]


EXPLANATIONS: dict[FullReason, str] = {
    FullReason.FIRST: "It is the first request of the conversation.",
    FullReason.CONTEXT_CHANGED: (
        "The context no longer says what the model has seen: a message was edited, moved or "
        "removed, or an answer was written down in other words than the model's."
    ),
    FullReason.MODEL_CHANGED: "Another model answers, and it remembers nothing of the others.",
    FullReason.RESUMED: (
        "The answer before it had broken off and was resumed, so the server holds it in two "
        "pieces and the context in one."
    ),
    FullReason.MEMORY_LOST: "The server has forgotten what it was to remember.",
    FullReason.RECONNECTED: "A connection was opened anew, and a new one remembers nothing.",
    FullReason.NO_LANES: (
        "The server has no lanes, and its only one is taken by an abandoned response."
    ),
    FullReason.NO_FORKS: (
        "What covers the conversation is on a lane that is taken, and the server does not "
        "continue it on another one."
    ),
    FullReason.NO_CONTINUATION: (
        "The server does not continue from earlier responses (previous_response_id)."
    ),
    FullReason.NOTHING_REMEMBERED: "No response has completed yet on this connection.",
    FullReason.NOTHING_NEW: (
        "The server knows the whole conversation, and the API wants at least one item."
    ),
    FullReason.HTTP: "Over HTTP nothing is remembered without storing the conversation.",
}
"""Every reason has its sentence (a test holds that)."""


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
        changed_at: Index of the first item that differs from what the model has seen, if that is
            why everything is sent.
        changed_from: What the model has seen, in that case.
    """

    lanes: LaneSet
    lane: Lane
    checkpoint: Checkpoint | None
    send: Sequence[Item]
    full_reason: FullReason | None
    fork: bool
    changed_at: int | None = None
    changed_from: Checkpoint | None = None


@dataclass(frozen=True, slots=True)
class Worth:
    """What a connection's checkpoints are worth for a conversation.

    Those that are shorter than the best two stand nowhere: nobody needs to know.

    Attributes:
        covering: The ones that cover most of it and leave something to send, the best first.
        complete: One that covers it to its end.
        open: Those whose own output the conversation does not repeat yet, but may.
        never: Those that can never cover it again.
    """

    covering: Sequence[Cover]
    complete: Checkpoint | None
    open: Sequence[Checkpoint]
    never: Sequence[Checkpoint]

    @property
    def needed(self) -> list[Checkpoint]:
        """The checkpoints that the next turn may need."""
        kept = [each.checkpoint for each in self.covering]
        return [*kept, *self.open, *([self.complete] if self.complete is not None else [])]


def worth(
    lanes: LaneSet,
    items: Sequence[Item],
    model: str,
    coverage: Coverage = Coverage.WORDS,
) -> Worth:
    """Judges a connection's checkpoints.

    Args:
        lanes: The connection's lanes.
        items: The conversation's items.
        model: The model that is to answer.
        coverage: When a context's text covers a response's.
    """
    covering: list[Cover] = []
    complete: Checkpoint | None = None
    still_open: list[Checkpoint] = []
    never: list[Checkpoint] = []
    holding = [(lane.checkpoint, lane) for lane in lanes.lanes if lane.checkpoint is not None]
    # The longest first, and no more than are of use: a comparison walks the whole conversation.
    holding.sort(key=lambda each: len(each[0].items), reverse=True)
    for held, lane in holding:
        if held.model != model:
            never.append(held)
        elif len(covering) < KEPT:
            found = _compare(held, items, coverage)
            if found is _Never.NEVER:
                never.append(held)
            elif found is None:
                still_open.append(held)
            elif found[1]:
                covering.append(Cover(held, lane, *found))
            else:
                complete = complete or held
    covering.sort(key=lambda each: each.length, reverse=True)
    return Worth(covering, complete, still_open, never)


class _Never(Enum):
    NEVER = auto()


def _compare(
    checkpoint: Checkpoint, items: Sequence[Item], coverage: Coverage
) -> tuple[int, Sequence[Item]] | _Never | None:
    """How much of a conversation a checkpoint covers.

    Returns:
        The number of items covered from the start and the items the server lacks; None if the
        conversation may still come to what the model has seen; ``NEVER`` if it never will.
    """
    seen = len(checkpoint.items)
    if len(items) < seen:
        return None if checkpoint.items[: len(items)] == items else _Never.NEVER
    if items[:seen] != checkpoint.items:
        return _Never.NEVER
    found = checkpoint.output.compare(items, seen, coverage)
    match found:
        case Match():
            return found.end, [*found.pending, *items[found.end :]]
        case Unfinished():
            return None
        case Mismatch():
            return _Never.NEVER
        case _:
            assert_never(found)


_BLOCK = 256
"""Items that are compared at a time, to find the first that differs."""


def _where_changed(
    held: Sequence[Checkpoint], items: Sequence[Item], coverage: Coverage
) -> tuple[int | None, Checkpoint | None]:
    """Index of the item where a conversation parts from the checkpoint it goes with longest."""
    at = None
    nearest = None
    for each in held:
        index = _first_difference(each, items, coverage)
        if at is None or index > at:
            at, nearest = index, each
    return at, nearest


def _first_difference(checkpoint: Checkpoint, items: Sequence[Item], coverage: Coverage) -> int:
    """Index of the first item that differs from what the model has seen.

    It is the last one if the conversation ends too early.
    """
    last = len(items) - 1
    held = checkpoint.items
    for start in range(0, min(len(held), len(items)), _BLOCK):
        stop = start + _BLOCK
        # Lists compare at the speed of C as long as they hold the same items.
        if held[start:stop] != items[start:stop]:
            for index in range(start, min(stop, len(held), len(items))):
                if held[index] != items[index]:
                    return index
    seen = len(checkpoint.items)
    if last < seen:
        return last
    found = checkpoint.output.compare(items, seen, coverage)
    return min(found.index, last) if isinstance(found, Mismatch) else seen


def plan(
    connections: Sequence[LaneSet],
    items: Sequence[Item],
    model: str,
    *,
    forks: bool = True,
    continues: bool = True,
    blank: FullReason = FullReason.FIRST,
    coverage: Coverage = Coverage.WORDS,
) -> Plan | None:
    """Plans a turn.

    The checkpoint with the longest covered prefix wins; then the lane whose loss costs least,
    never one that holds this checkpoint or the one before it. Without lanes the only lane there is
    continues itself. On equal terms the first connection wins.

    Args:
        connections: The lanes of each open connection, the preferred one first.
        items: The conversation's items, a list.
        model: The model that is to answer.
        forks: Whether continuing on another lane than the parent's is to be used.
        continues: Whether the server continues from responses at all.
        blank: The reason to give where nothing has been remembered yet.
        coverage: When a context's text covers a response's.

    Returns:
        The plan, or None if every connection is full: the turn needs a fresh one.
    """
    best: Plan | None = None
    for lanes in connections:
        candidate = _plan_on(lanes, items, model, forks, continues, blank, coverage)
        if candidate is not None and (best is None or len(candidate.send) < len(best.send)):
            best = candidate
    return best


def _plan_on(
    lanes: LaneSet,
    items: Sequence[Item],
    model: str,
    forks: bool,
    continues: bool,
    blank: FullReason,
    coverage: Coverage,
) -> Plan | None:
    if not continues:
        lane = lanes.free_lane((), ())
        if lane is None:
            return None
        return Plan(lanes, lane, None, window(items), FullReason.NO_CONTINUATION, fork=False)
    judged = worth(lanes, items, model, coverage)
    best_known = judged.covering[0].checkpoint if judged.covering else None
    if best_known is not None and not best_known.items and len(_held(lanes, model)) > 1:
        # What was prepared without any item covers all there is, and saves nothing but the reading
        # of instructions and tools. It is for the first turn; later it would hide what has changed.
        judged = replace(judged, covering=())
    covering = judged.covering
    if lanes.named is False or not forks:
        # A lane can only continue itself.
        for each in covering:
            if each.lane.idle and lanes.room:
                return Plan(lanes, each.lane, each.checkpoint, each.send, None, fork=False)
        covering = ()
    keep = [each.checkpoint for each in covering]
    lane = lanes.free_lane(keep, judged.never) or lanes.free_lane(keep[:1], judged.never)
    if lane is None:
        return None
    if covering:
        best = covering[0]
        return Plan(lanes, lane, best.checkpoint, best.send, None, fork=True)
    reason = _why_full(lanes, judged, model, blank)
    changed_at = changed_from = None
    if reason is FullReason.CONTEXT_CHANGED:
        changed_at, changed_from = _where_changed(_held(lanes, model), items, coverage)
    return Plan(
        lanes,
        lane,
        None,
        window(items),
        reason,
        fork=False,
        changed_at=changed_at,
        changed_from=changed_from,
    )


def _why_full(lanes: LaneSet, judged: Worth, model: str, blank: FullReason) -> FullReason:
    if judged.covering:
        return FullReason.NO_FORKS
    if judged.complete is not None:
        return FullReason.NOTHING_NEW
    if lanes.named is False and not lanes.silent:
        blank = FullReason.NO_LANES
    held = [lane.checkpoint for lane in lanes.lanes if lane.checkpoint is not None]
    return _why_none_covers(held, model, blank)


def _why_none_covers(held: Sequence[Checkpoint], model: str, blank: FullReason) -> FullReason:
    of_model = [each for each in held if each.model == model]
    if of_model:
        newest = max(of_model, key=lambda each: len(each.items))
        return FullReason.RESUMED if newest.resumed else FullReason.CONTEXT_CHANGED
    return FullReason.MODEL_CHANGED if held else blank


def stored_cover(
    stored: Sequence[Checkpoint],
    items: Sequence[Item],
    model: str,
    coverage: Coverage = Coverage.WORDS,
) -> tuple[Checkpoint, Sequence[Item]] | None:
    """The stored response that covers most of a conversation, and the items that the server lacks.

    Args:
        stored: Responses that can be continued from anywhere.
        items: The conversation's items, a list.
        model: The model that is to answer.
        coverage: When a context's text covers a response's.

    Returns:
        None if none covers it. Without items if one covers it to its end.
    """
    best: tuple[int, Checkpoint, Sequence[Item]] | None = None
    compared = 0
    for each in sorted(stored, key=lambda each: len(each.items), reverse=True):
        if each.model != model or compared == KEPT:
            continue
        found = _compare(each, items, coverage)
        if found is None or found is _Never.NEVER:
            continue
        compared += 1
        if best is None or found[0] > best[0]:
            best = (found[0], each, found[1])
    return None if best is None else best[1:]


def from_stored(
    todo: Plan,
    stored: Sequence[Checkpoint],
    items: Sequence[Item],
    model: str,
    coverage: Coverage = Coverage.WORDS,
) -> Plan:
    """A plan that continues from a stored response, where no lane's own checkpoint covers as much.

    Args:
        todo: The plan that was made of the lanes.
        stored: Responses that can be continued from anywhere.
        items: The conversation's items, a list.
        model: The model that is to answer.
        coverage: When a context's text covers a response's.
    """
    known = -1 if todo.checkpoint is None else len(todo.checkpoint.items)
    found = _leaving_something(
        [each for each in stored if len(each.items) > known], items, model, coverage
    )
    if found is None or (todo.checkpoint is not None and len(found[1]) >= len(todo.send)):
        return todo
    checkpoint, send = found
    return replace(
        todo,
        checkpoint=checkpoint,
        send=send,
        full_reason=None,
        fork=False,
        changed_at=None,
        changed_from=None,
    )


def _leaving_something(
    stored: Sequence[Checkpoint], items: Sequence[Item], model: str, coverage: Coverage
) -> tuple[Checkpoint, Sequence[Item]] | None:
    """The stored response that covers most of a conversation and leaves something to send."""
    left = list(stored)
    found = stored_cover(left, items, model, coverage)
    while found is not None and not found[1]:
        left.remove(found[0])
        found = stored_cover(left, items, model, coverage)
    return found


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """What a turn does where nothing is remembered but what is stored.

    Attributes:
        checkpoint: What to continue from, or None to send everything.
        send: The items to send.
        full_reason: Why everything is sent, or None.
        changed_at: Index of the first item that differs from what the model has seen, if that is
            why everything is sent.
        changed_from: What the model has seen, in that case.
    """

    checkpoint: Checkpoint | None
    send: Sequence[Item]
    full_reason: FullReason | None
    changed_at: int | None = None
    changed_from: Checkpoint | None = None


def plan_over_http(
    stored: Sequence[Checkpoint],
    items: Sequence[Item],
    model: str,
    *,
    blank: FullReason = FullReason.FIRST,
    coverage: Coverage = Coverage.WORDS,
) -> StoredPlan:
    """Plans a turn over HTTP.

    Args:
        stored: Responses that can be continued from.
        items: The conversation's items, a list.
        model: The model that is to answer.
        blank: The reason to give where nothing has been stored yet.
        coverage: When a context's text covers a response's.
    """
    found = _leaving_something(stored, items, model, coverage)
    if found is not None:
        return StoredPlan(*found, None)
    if stored_cover(stored, items, model, coverage) is not None:
        return StoredPlan(None, window(items), FullReason.NOTHING_NEW)
    reason = _why_none_covers(stored, model, blank)
    changed_at = changed_from = None
    if reason is FullReason.CONTEXT_CHANGED:
        held = [each for each in stored if each.model == model]
        changed_at, changed_from = _where_changed(held, items, coverage)
    return StoredPlan(None, window(items), reason, changed_at, changed_from)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """An answer that a context gives in other words.

    Attributes:
        said: What the model said.
        written: What the context says instead.
    """

    said: str
    written: str


def rewritten_answer(
    lanes: LaneSet, items: Sequence[Item], model: str, coverage: Coverage
) -> Rewritten | None:
    """The newest answer, if a context gives it in other words; speech that was cut is not one.

    Args:
        lanes: A connection's lanes.
        items: The conversation's items.
        model: The model that is to answer.
        coverage: When a context's text covers a response's.
    """
    answers = [each for each in _held(lanes, model) if not each.prepared]
    newest = max(answers, key=lambda each: len(each.items), default=None)
    if newest is None or items[: len(newest.items)] != newest.items:
        return None
    found = newest.output.compare(items, len(newest.items), coverage)
    if not isinstance(found, Mismatch):
        return None
    written = items[found.index]
    said = newest.output.text
    if not isinstance(written, Message) or written.role != "assistant" or not written.text:
        return None
    return None if said.startswith(written.text) else Rewritten(said, written.text)


def _held(lanes: LaneSet, model: str) -> list[Checkpoint]:
    held = (lane.checkpoint for lane in lanes.lanes)
    return [each for each in held if each is not None and each.model == model]


def plan_side_request(
    lanes: LaneSet,
    items: Sequence[Item],
    model: str,
    conversation: Sequence[Item],
    *,
    forks: bool = True,
    afresh: bool = False,
    coverage: Coverage = Coverage.WORDS,
) -> Plan | None:
    """Plans a request beside the conversation: it must take nothing that a turn needs.

    Args:
        lanes: The connection's lanes.
        items: What is to be known to the server; covered checkpoints are continued from.
        model: The model.
        conversation: The conversation's items, whose two best checkpoints are kept.
        forks: Whether continuing on another lane than the parent's is to be used.
        afresh: Whether items that are known are given again, since what stands before them (tools,
            instructions) has changed.
        coverage: When a context's text covers a response's.

    Returns:
        The plan, or None if there is no lane to spare.
    """
    has_lanes = lanes.named is not False
    if has_lanes and lanes.room < ROOM_FOR_TURNS:
        return None
    judged = worth(lanes, conversation, model, coverage)
    covering: Sequence[Cover] = ()
    if items and forks and has_lanes:
        known = worth(lanes, items, model, coverage)
        if known.complete is not None and not afresh:
            # The server knows all of it already.
            return None
        covering = known.covering
    keep = [*judged.needed, *(each.checkpoint for each in covering[:1])]
    lane = lanes.free_lane(keep, judged.never)
    if lane is None or (not has_lanes and lane.checkpoint is not None):
        return None
    if covering:
        best = covering[0]
        return Plan(lanes, lane, best.checkpoint, best.send, None, fork=True)
    return Plan(lanes, lane, None, window(items), FullReason.FIRST, fork=False)


def plan_anchor(
    lanes: LaneSet,
    items: Sequence[Item],
    model: str,
    conversation: Sequence[Item],
    *,
    forks: bool = True,
    coverage: Coverage = Coverage.WORDS,
) -> Plan | None:
    """Plans a checkpoint without an answer, for the next turn to continue from.

    Where lanes continue one another it goes on a lane that no turn needs. Elsewhere a lane is
    brought up to date from what it remembers itself, or given everything if that is of no use. What
    an answer has left there that may yet be written down stays.

    Args:
        lanes: The connection's lanes.
        items: The part of the conversation that will not change any more.
        model: The model that is to answer.
        conversation: The conversation's items, whose two best checkpoints are kept.
        forks: Whether continuing on another lane than the parent's is to be used.
        coverage: When a context's text covers a response's.

    Returns:
        The plan, or None if there is nothing to send, or no lane to spare.
    """
    if not items:
        return None
    if lanes.named is not False and forks:
        return plan_side_request(lanes, items, model, conversation, coverage=coverage)
    if lanes.room < min(ROOM_FOR_TURNS, lanes.limit):
        return None
    judged = worth(lanes, items, model, coverage)
    if judged.complete is not None or judged.open:
        return None
    if judged.covering:
        best = judged.covering[0]
        return Plan(lanes, best.lane, best.checkpoint, best.send, None, fork=False)
    lane = lanes.free_lane((), judged.never)
    if lane is None:
        return None
    return Plan(lanes, lane, None, window(items), FullReason.FIRST, fork=False)


ROOM_FOR_TURNS = 3
"""Responses that must still fit on a connection after one has started beside the conversation."""
