"""Lanes: every transition there is and none besides, and which lane is picked."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from pipecat_responses.protocol.items import Item, make_item
from pipecat_responses.protocol.lanes import (
    MAX_IN_FLIGHT,
    MAX_NAMED_LANES,
    SMALL_SET,
    Checkpoint,
    Lane,
    LaneEvent,
    LaneSet,
    LaneState,
)
from pipecat_responses.protocol.output import NOTHING

NEW = object()
GONE = object()
KEPT = object()


def checkpoint(length: int = 0, name: str = "resp") -> Checkpoint:
    items: list[Item] = [make_item({"role": "user", "content": str(n)}) for n in range(length)]
    return Checkpoint(name, "gpt-4.1", items, NOTHING)


def lane_in(state: LaneState, held: Checkpoint | None = None) -> Lane:
    lane = Lane("lane-1")
    lane.checkpoint = held
    if state is not LaneState.IDLE:
        lane.start(None)
    if state is LaneState.ABANDONED:
        lane.abandon()
    return lane


ACTIONS: dict[LaneEvent, Callable[[Lane, Checkpoint], None]] = {
    LaneEvent.START: lambda lane, new: lane.start(None),
    LaneEvent.ABANDON: lambda lane, new: lane.abandon(),
    LaneEvent.COMPLETE: lambda lane, new: lane.complete(new),
    LaneEvent.END: lambda lane, new: lane.end(),
}

# The table in the module's head.
TABLE: dict[tuple[LaneState, LaneEvent], tuple[LaneState, object]] = {
    (LaneState.IDLE, LaneEvent.START): (LaneState.RUNNING, GONE),
    (LaneState.RUNNING, LaneEvent.COMPLETE): (LaneState.IDLE, NEW),
    (LaneState.RUNNING, LaneEvent.END): (LaneState.IDLE, GONE),
    (LaneState.RUNNING, LaneEvent.ABANDON): (LaneState.ABANDONED, GONE),
    (LaneState.ABANDONED, LaneEvent.COMPLETE): (LaneState.IDLE, NEW),
    (LaneState.ABANDONED, LaneEvent.END): (LaneState.IDLE, GONE),
}
PAIRS = [(state, event) for state in LaneState for event in LaneEvent]


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_the_transitions(state: LaneState, event: LaneEvent) -> None:
    lane = lane_in(state, checkpoint(1, "old"))
    new = checkpoint(2, "new")
    if (state, event) not in TABLE:
        before = lane.checkpoint
        with pytest.raises(KeyError):
            ACTIONS[event](lane, new)
        assert (lane.state, lane.checkpoint) == (state, before)
        return
    after, held = TABLE[state, event]
    ACTIONS[event](lane, new)
    assert lane.state is after
    assert lane.idle is (after is LaneState.IDLE)
    assert lane.checkpoint is (new if held is NEW else None)


def test_a_parent_is_pinned_until_the_fork_has_begun() -> None:
    for release in (Lane.began, Lane.end, lambda lane: lane.complete(None)):
        parent = checkpoint(3)
        lane = Lane("lane-1")
        lane.start(parent)
        assert lane.forks_from is parent
        release(lane)
        assert lane.forks_from is None


def test_an_abandoned_fork_still_pins_its_parent() -> None:
    parent = checkpoint(3)
    lane = Lane("lane-1")
    lane.start(parent)
    lane.abandon()
    assert lane.forks_from is parent
    lane.began()
    assert lane.forks_from is None


def test_reprs() -> None:
    assert repr(Lane(None)) == "<Lane default idle>"
    assert repr(lane_in(LaneState.ABANDONED)) == "<Lane lane-1 abandoned>"


# -- picking a lane -------------------------------------------------------------------------------


def lane_set(*held: Checkpoint | LaneState | None, **options: Any) -> LaneSet:
    """Lanes that hold what is given; a state stands for a lane in that state."""
    lanes = LaneSet(named=True, **options)
    for number, each in enumerate(held):
        lane = Lane(f"lane-{number + 1}")
        if isinstance(each, LaneState):
            if each is not LaneState.IDLE:
                lane.start(None)
            if each is LaneState.ABANDONED:
                lane.abandon()
        else:
            lane.checkpoint = each
        lanes.lanes.append(lane)
    return lanes


def picked(lanes: LaneSet, keep: list[Checkpoint] = [], bad: list[Checkpoint] = []) -> str | None:  # noqa: B006
    lane = lanes.free_lane(keep, bad)
    assert lane is None or lane.idle
    assert lane is None or lane in lanes.lanes
    return lane.name if lane is not None else None


RUN, LEFT = LaneState.RUNNING, LaneState.ABANDONED
A, B, C, D, E = (checkpoint(n, f"resp_{n}") for n in (1, 2, 3, 4, 5))


@pytest.mark.parametrize(
    ("held", "keep", "bad", "expected"),
    [
        ([], [], [], "lane-1"),
        ([None], [], [], "lane-1"),
        # One that remembers nothing comes first.
        ([A, None, B], [], [], "lane-2"),
        ([A, None], [], [A], "lane-1"),
        # Then a worthless one, before a new one.
        ([A, B], [B], [A], "lane-1"),
        ([A, B], [A], [B], "lane-2"),
        # Kept is kept, worthless or not.
        ([A, B], [A, B], [A, B], "lane-3"),
        # Then a new one, while there are few.
        ([A], [A], [], "lane-2"),
        ([A, B, C], [], [], "lane-4"),
        # Then the oldest.
        ([C, A, D, B], [], [], "lane-2"),
        ([C, A, D, B], [A], [], "lane-4"),
        ([C, A, D, B], [A, B], [], "lane-1"),
        # Else a new one again.
        ([C, A, D, B], [A, B, C, D], [], "lane-5"),
        ([RUN, LEFT, RUN, LEFT], [], [], "lane-5"),
        ([RUN, A, LEFT, B], [A], [], "lane-4"),
        ([RUN, A, LEFT, B], [A, B], [], "lane-5"),
    ],
)
def test_the_lane_whose_loss_costs_least(
    held: list[Checkpoint | LaneState | None],
    keep: list[Checkpoint],
    bad: list[Checkpoint],
    expected: str,
) -> None:
    assert picked(lane_set(*held), keep, bad) == expected


def test_the_parent_of_a_fork_that_has_not_begun_is_not_touched() -> None:
    lanes = lane_set(A, B, C, D)
    lanes.lanes[3].checkpoint = None
    lanes.lanes[3].start(A)
    assert picked(lanes, [], [A, B]) == "lane-2"
    assert picked(lanes, [], [A]) == "lane-2"
    assert picked(lanes, [B, C], [A]) == "lane-5"
    lanes.lanes[3].abandon()
    assert picked(lanes, [B, C], [A]) == "lane-5"
    lanes.lanes[4].checkpoint = E
    lanes.lanes[3].began()
    assert picked(lanes, [B, C], [A]) == "lane-1"


def test_checkpoints_are_told_apart_by_what_they_are_not_by_what_they_say() -> None:
    twin = checkpoint(1, "resp_1")
    assert picked(lane_set(A, twin, C, D), [A, C, D]) == "lane-2"


def test_no_more_names_than_a_connection_takes() -> None:
    lanes = LaneSet(named=True, max_in_flight=100)
    names = []
    for _ in range(MAX_NAMED_LANES):
        lane = lanes.free_lane((), ())
        assert lane is not None
        lane.start(None)
        names.append(lane.name)
    assert len(set(names)) == MAX_NAMED_LANES == 32
    assert lanes.free_lane((), ()) is None
    assert len(lanes.lanes) == MAX_NAMED_LANES


def test_no_more_responses_than_a_connection_runs() -> None:
    lanes = LaneSet()
    for count in range(MAX_IN_FLIGHT):
        assert lanes.in_flight == count
        assert lanes.room == MAX_IN_FLIGHT - count
        lane = lanes.free_lane((), ())
        assert lane is not None
        lane.start(None)
        if count % 2:
            lane.abandon()
    assert lanes.room == 0
    assert not lanes.silent
    assert lanes.free_lane((), ()) is None
    lanes.lanes[5].end()
    assert lanes.free_lane((), ()) is lanes.lanes[5]


def test_nothing_is_given_away_when_everything_is_kept() -> None:
    kept = [checkpoint(n) for n in range(MAX_NAMED_LANES)]
    lanes = lane_set(*kept)
    assert picked(lanes, kept) is None
    assert picked(lanes, kept[1:]) == "lane-1"


def test_a_quiet_session_uses_few_lanes() -> None:
    lanes = LaneSet(named=True)
    keep: list[Checkpoint] = []
    for turn in range(100):
        lane = lanes.free_lane(keep[-2:], ())
        assert lane is not None
        lane.start(None)
        new = checkpoint(turn)
        lane.complete(new)
        keep.append(new)
    assert len(lanes.lanes) <= SMALL_SET


def test_no_more_names_keeps_those_that_worked() -> None:
    lanes = lane_set(A, B, RUN)
    refused = lanes.lanes[2]
    refused.end()
    lanes.no_more_names(refused)
    assert [lane.name for lane in lanes.lanes] == ["lane-1", "lane-2"]
    assert picked(lanes, [A]) == "lane-2"
    assert picked(lanes, [A, B]) is None
    assert len(lanes.lanes) == 2


def test_a_first_name_that_is_refused_leaves_none() -> None:
    lanes = lane_set(RUN)
    lanes.lanes[0].end()
    lanes.no_more_names(lanes.lanes[0])
    assert picked(lanes) is None


def test_without_lanes_there_is_the_default_one() -> None:
    lanes = LaneSet(named=False)
    assert lanes.limit == lanes.room == 1
    lane = lanes.free_lane((), ())
    assert lane is not None
    assert lane.name is None
    lane.start(None)
    assert lanes.room == 0
    assert lanes.free_lane((), ()) is None
    lane.complete(A)
    assert lanes.free_lane([A], ()) is lane
    assert len(lanes.lanes) == 1


def test_without_lanes_after_all() -> None:
    lanes = LaneSet()
    first = lanes.free_lane((), ())
    assert first is not None
    assert first.name == "lane-1"
    first.start(None)
    first.end()
    lanes.without_names()
    lane = lanes.free_lane((), ())
    assert lane is not None
    assert lane.name is None


def test_any_use_keeps_the_rules() -> None:
    rng = random.Random(7)
    for _ in range(30):
        lanes = LaneSet(named=True)
        held: list[Checkpoint] = []
        for turn in range(200):
            alive = [lane.checkpoint for lane in lanes.lanes if lane.checkpoint is not None]
            keep = rng.sample(alive, min(2, len(alive)))
            bad = [each for each in alive if rng.random() < 0.3]
            lane = lanes.free_lane(keep, bad)
            if lane is not None:
                pinned = [each.forks_from for each in lanes.lanes]
                assert lane.idle
                assert lane.checkpoint is None or (
                    lane.checkpoint not in keep and lane.checkpoint not in pinned
                )
                lane.start(keep[0] if keep else None)
            busy = [each for each in lanes.lanes if not each.idle]
            for each in rng.sample(busy, rng.randint(0, len(busy))):
                match rng.randrange(4):
                    case 0:
                        each.began()
                    case 1 if each.state is LaneState.RUNNING:
                        each.abandon()
                    case 2:
                        each.complete(checkpoint(turn % 9))
                    case _:
                        each.end()
            assert lanes.in_flight <= MAX_IN_FLIGHT
            assert len(lanes.lanes) <= MAX_NAMED_LANES
            assert len({each.name for each in lanes.lanes}) == len(lanes.lanes)
            assert held is not None
