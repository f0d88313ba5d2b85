"""What a turn continues from, where it runs and what it sends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from pipecat_responses.protocol.items import Item, make_item
from pipecat_responses.protocol.lanes import Checkpoint, Lane, LaneSet, LaneState
from pipecat_responses.protocol.output import NOTHING, Output, read_output
from pipecat_responses.protocol.planning import (
    ROOM_FOR_TURNS,
    FullReason,
    plan,
    plan_anchor,
    plan_side_request,
    worth,
)

MODEL = "gpt-4.1"


def user(text: str) -> Item:
    return make_item({"role": "user", "content": text})


def assistant(text: str) -> Item:
    return make_item({"role": "assistant", "content": text})


def call(name: str) -> Item:
    return make_item({"type": "function_call", "call_id": name, "name": name, "arguments": "{}"})


def out(name: str, value: str = "done") -> Item:
    return make_item({"type": "function_call_output", "call_id": name, "output": value})


def said(text: str, *calls: str) -> Output:
    wire: list[Any] = [{"type": "message", "role": "assistant", "content": text}] if text else []
    output = read_output([*wire, *(call(name).wire for name in calls)])
    assert output is not None
    return output


def talk(turns: int) -> list[Item]:
    """Question and answer, so many times."""
    return [each for n in range(turns) for each in (user(f"q{n}"), assistant(f"a{n}"))]


def after(turns: int, model: str = MODEL) -> Checkpoint:
    """What a server remembers after the answer of a turn, counted from 1."""
    return Checkpoint(f"resp_{turns}", model, talk(turns)[:-1], said(f"a{turns - 1}"))


def lanes_with(*held: Checkpoint | LaneState | None, **options: Any) -> LaneSet:
    """Lanes that hold what is given; ``LaneState.RUNNING`` stands for one that is busy."""
    lanes = LaneSet(**{"named": True, **options})
    for number, each in enumerate(held):
        lane = Lane(f"lane-{number + 1}")
        if isinstance(each, LaneState):
            lane.start(None)
        else:
            lane.checkpoint = each
        lanes.lanes.append(lane)
    return lanes


# -- cover ----------------------------------------------------------------------------------------

NEXT = user("next")


@pytest.mark.parametrize(
    ("seen", "output", "items", "expected"),
    [
        ([user("a")], said("b"), [user("a"), assistant("b"), NEXT], (2, [NEXT])),
        ([user("a")], said("b"), [user("a"), assistant("b")], (2, [])),
        ([user("a")], NOTHING, [user("a")], (1, [])),
        ([user("a")], NOTHING, [user("a"), NEXT], (1, [NEXT])),
        ([], NOTHING, [NEXT], (0, [NEXT])),
        # Cut speech.
        ([user("a")], said("b c"), [user("a"), assistant("b"), NEXT], None),
        ([user("a")], said("b"), [user("a"), NEXT], None),
        # Another context.
        ([user("a")], said("b"), [user("x"), assistant("b"), NEXT], None),
        ([user("a"), user("b")], said("c"), [user("a")], None),
        ([user("a")], said("b"), [], None),
        # Calls, and outputs that stand between them.
        (
            [user("a")],
            said("", "f", "g"),
            [user("a"), call("f"), out("f"), call("g"), out("g")],
            (4, [out("f"), out("g")]),
        ),
        (
            [user("a")],
            said("t", "f", "g"),
            [user("a"), assistant("t"), call("f"), out("f"), call("g"), out("g"), NEXT],
            (5, [out("f"), out("g"), NEXT]),
        ),
        # A placeholder that has got its result.
        (
            [user("a"), call("f"), out("f", "IN_PROGRESS"), user("b")],
            said("c"),
            [user("a"), call("f"), out("f"), user("b"), assistant("c"), NEXT],
            None,
        ),
    ],
)
def test_cover(
    seen: list[Item], output: Output, items: list[Item], expected: tuple[int, list[Item]] | None
) -> None:
    judged = worth(lanes_with(Checkpoint("resp", MODEL, seen, output)), items, MODEL)
    found = [(each.length, list(each.send)) for each in judged.covering]
    if judged.complete is not None:
        found = [(len(items), [])]
    assert (found[0] if found else None) == expected


def names(checkpoints: Iterable[Checkpoint]) -> set[str]:
    return {each.response_id for each in checkpoints}


def test_the_worth_of_checkpoints() -> None:
    other = Checkpoint("other", MODEL, [user("x"), user("x"), user("x")], said("y"))
    lanes = lanes_with(after(1), after(3), other, after(2), None, after(2, "gpt-5"), after(4))
    judged = worth(lanes, [*talk(3), NEXT], MODEL)
    assert [each.checkpoint.response_id for each in judged.covering] == ["resp_3", "resp_2"]
    assert [each.length for each in judged.covering] == [6, 4]
    assert [each.lane.name for each in judged.covering] == ["lane-2", "lane-4"]
    assert [list(each.send) for each in judged.covering] == [[NEXT], [*talk(3)[4:], NEXT]]
    assert judged.complete is None
    assert not judged.open
    assert names(judged.never) >= {"resp_4", "resp_2"}
    assert names(judged.needed) == {"resp_3", "resp_2"}


def test_what_covers_all_is_needed_and_leaves_nothing_to_send() -> None:
    lanes = lanes_with(after(1), after(3), after(2))
    judged = worth(lanes, talk(3), MODEL)
    assert [each.checkpoint.response_id for each in judged.covering] == ["resp_2", "resp_1"]
    assert judged.complete is lanes.lanes[1].checkpoint
    assert names(judged.needed) == {"resp_1", "resp_2", "resp_3"}


@pytest.mark.parametrize(
    ("context", "open_", "needed"),
    [
        (talk(3)[:-1], True, True),  # Its answer is not in the context yet.
        (talk(2), True, True),
        ([], True, True),
        (talk(3), False, True),
        ([*talk(3)[:-1], assistant("a")], True, True),  # The answer is being written.
        ([*talk(3)[:-1], assistant("x")], False, False),
        ([*talk(3)[:-1], user("x")], False, False),
        ([user("x")], False, False),
    ],
)
def test_the_newest_is_needed_before_its_answer_is_written(
    context: list[Item], open_: bool, needed: bool
) -> None:
    newest = after(3)
    judged = worth(lanes_with(newest), context, MODEL)
    assert (newest in judged.open) is open_
    assert (newest in judged.needed) is needed
    assert (newest in judged.never) is not needed


def test_the_longest_counts_by_what_it_covers() -> None:
    """A group of calls covers more than the items that were seen before it."""
    group = [each for n in range(3) for each in (call(f"f{n}"), out(f"f{n}"))]
    context = [user("a"), *group, NEXT]
    calls = Checkpoint("calls", MODEL, [user("a")], said("", "f0", "f1", "f2"))
    warm = Checkpoint("warm", MODEL, context[:3], NOTHING)
    judged = worth(lanes_with(warm, calls), context, MODEL)
    assert [each.checkpoint.response_id for each in judged.covering] == ["calls", "warm"]
    assert [each.length for each in judged.covering] == [6, 3]


# -- plan -----------------------------------------------------------------------------------------


def test_a_first_turn_sends_everything() -> None:
    todo = plan([LaneSet()], [NEXT], MODEL)
    assert todo is not None
    assert todo.checkpoint is None
    assert todo.lane.name == "lane-1"
    assert list(todo.send) == [NEXT]
    assert todo.full_reason is FullReason.FIRST
    assert not todo.fork


def test_a_turn_goes_on_from_the_longest_on_another_lane() -> None:
    lanes = lanes_with(after(1), after(3), after(2))
    todo = plan([lanes], [*talk(3), NEXT], MODEL)
    assert todo is not None
    assert todo.checkpoint is not None
    assert todo.checkpoint.response_id == "resp_3"
    assert list(todo.send) == [NEXT]
    assert todo.fork
    assert todo.full_reason is None
    assert todo.lane.name == "lane-4"


def test_neither_the_parent_nor_the_one_before_it_is_given_up() -> None:
    lanes = lanes_with(after(2), after(4), after(3), after(1))
    todo = plan([lanes], [*talk(4), NEXT], MODEL)
    assert todo is not None
    assert todo.lane.name == "lane-4"
    lanes = lanes_with(after(2), after(1))
    todo = plan([lanes], [*talk(2), NEXT], MODEL)
    assert todo is not None
    assert todo.lane.name == "lane-3"


def test_the_one_before_the_parent_is_given_up_only_in_need() -> None:
    lanes = lanes_with(after(2), after(1), max_named=2)
    todo = plan([lanes], [*talk(2), NEXT], MODEL)
    assert todo is not None
    assert todo.lane.name == "lane-2"
    assert todo.checkpoint is lanes.lanes[0].checkpoint
    # The parent itself, never.
    assert plan([lanes_with(after(2), max_named=1)], [*talk(2), NEXT], MODEL) is None


@pytest.mark.parametrize(
    ("context", "parent", "sent"),
    [
        ([*talk(4), NEXT], "resp_4", 1),
        # The last answer was cut: what was heard of it goes up.
        ([*talk(3), user("q3"), assistant("a"), NEXT], "resp_3", 3),
        # Nothing of it was heard.
        ([*talk(3), user("q3"), NEXT], "resp_3", 2),
        # A message in the middle was changed.
        ([*talk(2), user("changed"), assistant("a2"), *talk(4)[6:], NEXT], "resp_2", 5),
        # The end of the context went.
        ([*talk(1), NEXT], "resp_1", 1),
        # Its beginning went.
        ([*talk(4)[2:], NEXT], None, 7),
        # A summary took the place of its beginning.
        ([make_item({"role": "developer", "content": "sum"}), *talk(4)[4:], NEXT], None, 6),
        ([NEXT], None, 1),
    ],
)
def test_a_changed_context_falls_back_to_what_still_covers(
    context: list[Item], parent: str | None, sent: int
) -> None:
    lanes = lanes_with(*(after(n) for n in (1, 2, 3, 4)))
    todo = plan([lanes], context, MODEL)
    assert todo is not None
    assert (todo.checkpoint.response_id if todo.checkpoint else None) == parent
    assert list(todo.send) == context[len(context) - sent :]
    assert todo.full_reason is (None if parent else FullReason.CONTEXT_CHANGED)


def test_another_model_starts_afresh() -> None:
    lanes = lanes_with(after(1), after(2))
    todo = plan([lanes], [*talk(2), NEXT], "gpt-5")
    assert todo is not None
    assert todo.checkpoint is None
    assert todo.full_reason is FullReason.MODEL_CHANGED
    assert len(todo.send) == 5
    back = plan([lanes], [*talk(2), NEXT], MODEL)
    assert back is not None
    assert back.checkpoint is not None


def test_a_request_is_never_empty() -> None:
    # All is known to the server: the one before has something to send.
    todo = plan([lanes_with(after(1), after(2))], talk(2), MODEL)
    assert todo is not None
    assert todo.checkpoint is not None
    assert todo.checkpoint.response_id == "resp_1"
    assert len(todo.send) == 2
    todo = plan([lanes_with(after(2))], talk(2), MODEL)
    assert todo is not None
    assert todo.checkpoint is None
    assert todo.full_reason is FullReason.NOTHING_NEW
    assert len(todo.send) == 4
    prepared = Checkpoint("warm", MODEL, talk(1), NOTHING)
    for named in (True, False):
        todo = plan([lanes_with(prepared, named=named)], talk(1), MODEL)
        assert todo is not None
        assert todo.checkpoint is None
        assert todo.send


def test_a_warm_up_is_gone_on_from() -> None:
    prepared = Checkpoint("warm", MODEL, [user("setup")], NOTHING)
    todo = plan([lanes_with(prepared)], [user("setup"), NEXT], MODEL)
    assert todo is not None
    assert todo.checkpoint is prepared
    assert list(todo.send) == [NEXT]


def test_without_forks_a_lane_continues_itself() -> None:
    lanes = lanes_with(after(1), after(2))
    todo = plan([lanes], [*talk(2), NEXT], MODEL, forks=False)
    assert todo is not None
    assert todo.checkpoint is not None
    assert todo.checkpoint.response_id == "resp_2"
    assert todo.lane is lanes.lanes[1]
    assert not todo.fork


@pytest.mark.parametrize("context", [[*talk(1), NEXT], [NEXT]])
def test_without_forks_what_covers_less_is_left_alone(context: list[Item]) -> None:
    lanes = lanes_with(LaneState.RUNNING, after(2))
    todo = plan([lanes], context, MODEL, forks=False)
    assert todo is not None
    assert todo.checkpoint is None
    assert not todo.fork
    assert list(todo.send) == context


def test_without_lanes_the_default_one_continues_itself() -> None:
    lanes = LaneSet(named=False)
    first = plan([lanes], [user("q0")], MODEL)
    assert first is not None
    assert first.lane.name is None
    first.lane.start(None)
    assert plan([lanes], [user("q0"), NEXT], MODEL) is None
    first.lane.complete(after(1))
    second = plan([lanes], [*talk(1), NEXT], MODEL)
    assert second is not None
    assert second.lane is first.lane
    assert second.checkpoint is not None
    assert not second.fork
    assert list(second.send) == [NEXT]
    other = plan([lanes], [NEXT], MODEL)
    assert other is not None
    assert (other.checkpoint, other.full_reason) == (None, FullReason.CONTEXT_CHANGED)


def test_the_connection_with_the_least_to_send_wins() -> None:
    one, two = lanes_with(after(1)), lanes_with(after(2))
    todo = plan([one, two], [*talk(2), NEXT], MODEL)
    assert todo is not None
    assert todo.lanes is two
    todo = plan([two, one], [*talk(2), NEXT], MODEL)
    assert todo is not None
    assert todo.lanes is two


def test_on_equal_terms_the_first_connection_wins() -> None:
    for lanes in ([LaneSet(), LaneSet()], [lanes_with(after(1)), lanes_with(after(1))]):
        todo = plan(lanes, [*talk(1), NEXT], MODEL)
        assert todo is not None
        assert todo.lanes is lanes[0]


def test_a_full_connection_is_passed_over() -> None:
    full = lanes_with(after(2), *[LaneState.RUNNING] * 16)
    assert plan([full], [*talk(2), NEXT], MODEL) is None
    fresh = LaneSet()
    todo = plan([full, fresh], [*talk(2), NEXT], MODEL, blank=FullReason.RECONNECTED)
    assert todo is not None
    assert todo.lanes is fresh
    assert todo.full_reason is FullReason.RECONNECTED


def test_without_connections_there_is_no_plan() -> None:
    assert plan([], [NEXT], MODEL) is None


@pytest.mark.parametrize("blank", list(FullReason))
def test_a_blank_connection_gives_the_callers_reason(blank: FullReason) -> None:
    todo = plan([LaneSet()], [NEXT], MODEL, blank=blank)
    assert todo is not None
    assert todo.full_reason is blank


def test_a_full_request_always_has_a_reason_and_another_never() -> None:
    for held in ([], [after(1)], [after(2)], [None], [after(1, "gpt-5")], [LaneState.RUNNING]):
        for forks in (True, False):
            for named in (True, None):
                lanes = lanes_with(*held, named=named)
                todo = plan([lanes], [*talk(1), NEXT], MODEL, forks=forks)
                assert todo is not None
                assert (todo.checkpoint is None) is (todo.full_reason is not None)


def test_every_reason_has_a_sentence() -> None:
    assert all(reason.explanation.endswith(".") for reason in FullReason)


@pytest.mark.parametrize(
    ("context", "changed_at"),
    [
        ([user("other"), *talk(2)[1:], NEXT], 0),
        ([*talk(1), user("other"), talk(2)[3], NEXT], 2),
        ([*talk(2)[:3], assistant("cut"), NEXT], 3),
        (talk(1), 1),
    ],
)
def test_a_changed_context_says_where(context: list[Item], changed_at: int) -> None:
    todo = plan([lanes_with(after(2))], context, MODEL)
    assert todo is not None
    assert todo.full_reason is FullReason.CONTEXT_CHANGED
    assert todo.changed_at == changed_at


def test_after_a_resumed_answer_the_context_is_not_to_blame() -> None:
    resumed = replace(after(2), resumed=True)
    todo = plan([lanes_with(after(1), resumed)], [user("other"), NEXT], MODEL)
    assert todo is not None
    assert todo.full_reason is FullReason.RESUMED
    assert todo.changed_at is None


# -- beside ---------------------------------------------------------------------------------------


def test_beside_the_newest_checkpoint_stays() -> None:
    # The conversation as it was last asked for: the answer is not in it yet.
    lanes = lanes_with(after(2))
    todo = plan_side_request(lanes, (), MODEL, talk(2)[:-1])
    assert todo is not None
    assert todo.lane is not lanes.lanes[0]
    assert todo.checkpoint is None


@pytest.mark.parametrize("names", [1, 2])
def test_beside_nothing_the_conversation_needs_is_taken(names: int) -> None:
    lanes = lanes_with(after(2), after(1), max_named=names)
    lanes.lanes = lanes.lanes[:names]
    assert plan_side_request(lanes, (), MODEL, [*talk(2), NEXT]) is None
    assert plan_side_request(lanes, (), MODEL, talk(2)[:-1]) is None


def test_beside_room_is_left_for_turns() -> None:
    for busy in range(17):
        lanes = lanes_with(*[LaneState.RUNNING] * busy)
        todo = plan_side_request(lanes, (), MODEL, ())
        assert (todo is not None) is (16 - busy >= ROOM_FOR_TURNS)


def test_beside_an_anchor_goes_on_from_the_longest() -> None:
    lanes = lanes_with(after(1), after(2))
    context = [*talk(2), user("q2"), assistant("cut")]
    todo = plan_side_request(lanes, context, MODEL, context)
    assert todo is not None
    assert todo.fork
    assert todo.checkpoint is lanes.lanes[1].checkpoint
    assert list(todo.send) == context[4:]
    assert todo.lane.name == "lane-3"


def test_beside_without_forks_everything_is_sent() -> None:
    lanes = lanes_with(after(1))
    todo = plan_side_request(lanes, [*talk(1), NEXT], MODEL, talk(1), forks=False)
    assert todo is not None
    assert todo.checkpoint is None
    assert len(todo.send) == 3
    assert todo.lane.name == "lane-2"


def test_beside_without_lanes_only_an_empty_default_lane_is_used() -> None:
    lanes = LaneSet(named=False)
    todo = plan_side_request(lanes, [NEXT], MODEL, ())
    assert todo is not None
    todo.lane.start(None)
    assert plan_side_request(lanes, [NEXT], MODEL, ()) is None
    todo.lane.complete(after(1))
    assert plan_side_request(lanes, [*talk(1), NEXT], MODEL, talk(1)) is None


# -- anchors --------------------------------------------------------------------------------------


def test_an_anchor_on_lanes_takes_what_no_turn_needs() -> None:
    lanes = lanes_with(after(1), after(2))
    items = [*talk(2), NEXT]
    todo = plan_anchor(lanes, items, MODEL, items)
    assert todo is not None
    assert todo.fork
    assert todo.checkpoint is lanes.lanes[1].checkpoint
    assert todo.lane not in lanes.lanes[:2]


@pytest.mark.parametrize(
    ("named", "forks"), [(False, True), (True, False)], ids=["no lanes", "no forks"]
)
@pytest.mark.parametrize(
    ("held", "items", "continues", "sent"),
    [
        # Brought up to date from itself.
        (after(1), [*talk(2), NEXT], True, [*talk(2)[2:], NEXT]),
        # Of no use: another conversation, another model, nothing.
        (after(1), [user("x"), NEXT], False, [user("x"), NEXT]),
        (after(1, "gpt-5"), [*talk(1), NEXT], False, [*talk(1), NEXT]),
        (None, talk(2), False, talk(2)),
        # Up to date, or about to be.
        (after(2), talk(2), None, None),
        (after(2), talk(2)[:-1], None, None),
        (after(2), talk(1), None, None),
        # It runs.
        (LaneState.RUNNING, talk(2), None, None),
        (None, [], None, None),
    ],
)
def test_an_anchor_where_a_lane_only_continues_itself(
    named: bool, forks: bool, held: Any, items: list[Item], continues: Any, sent: Any
) -> None:
    lanes = LaneSet(named=named)
    lane = Lane("lane-1" if named else None)
    if isinstance(held, LaneState):
        lane.start(None)
    else:
        lane.checkpoint = held
    lanes.lanes.append(lane)
    todo = plan_anchor(lanes, items, MODEL, items, forks=forks)
    if named and isinstance(held, LaneState):
        # There are others.
        assert todo is not None
        assert todo.lane is not lane
    elif sent is None:
        assert todo is None
    else:
        assert todo is not None
        assert (todo.checkpoint is not None) is continues
        assert list(todo.send) == sent
        assert not todo.fork
        if continues or not named:
            assert todo.lane is lane
