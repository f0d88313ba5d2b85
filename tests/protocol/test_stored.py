"""What is stored, and what a context keeps of it: enough to go on from, and never too much."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_responses.protocol.events import Terminal, decode, read
from pipecat_responses.protocol.items import Item, make_item
from pipecat_responses.protocol.lanes import Checkpoint, Lane, LaneSet
from pipecat_responses.protocol.output import Match, Output, read_output
from pipecat_responses.protocol.planning import (
    FullReason,
    from_stored,
    plan,
    plan_over_http,
    stored_cover,
)
from pipecat_responses.protocol.repairs import InputRepairs
from pipecat_responses.protocol.requests import Fields, Request
from pipecat_responses.protocol.response import is_stored
from pipecat_responses.protocol.stored import Fingerprints, StoredMark, mark_wire
from tests.protocol.test_planning import MODEL, NEXT, after, assistant, call, out, said, talk, user

# -- what is stored -------------------------------------------------------------------------------


def terminal(**fields: Any) -> Terminal:
    body = {"id": "resp_1", "status": "completed", "output": [], **fields}
    data = json.dumps({"type": "response.completed", "response": body}).encode()
    event = read(decode(data), data)
    assert isinstance(event, Terminal)
    return event


@pytest.mark.parametrize(
    ("asked", "answer", "generate", "stored"),
    [
        ({"store": True}, {"store": True}, True, True),
        ({"store": True}, {}, True, True),
        # Data is not retained for this organization.
        ({"store": True}, {"store": False}, True, False),
        # Nobody says.
        ({"store": True}, {"store": True}, False, False),
        ({"store": False}, {}, True, False),
        ({}, {"store": True}, True, False),
        ({"store": True, "conversation": "conv_1"}, {"store": True}, True, False),
    ],
)
def test_what_is_stored(
    asked: dict[str, Any], answer: dict[str, Any], generate: bool, stored: bool
) -> None:
    request = Request(Fields({"model": MODEL, **asked}), [NEXT], generate=generate)
    assert is_stored(request, terminal(**answer)) is stored


# -- plans ----------------------------------------------------------------------------------------


def test_the_longest_that_covers() -> None:
    items = [*talk(3), NEXT]
    stored = [after(1), after(3), after(2), after(4), after(3, "gpt-5")]
    found = stored_cover(stored, items, MODEL)
    assert found is not None
    assert found[0] is stored[1]
    assert list(found[1]) == [NEXT]
    whole = stored_cover(stored, talk(3), MODEL)
    assert whole is not None
    assert not whole[1]
    assert stored_cover(stored, [user("x"), NEXT], MODEL) is None
    assert stored_cover([], items, MODEL) is None


@pytest.mark.parametrize(
    ("on_lane", "stored", "expected"),
    [
        (None, 2, "stored"),
        (1, 2, "stored"),
        (2, 2, "lane"),
        (2, 1, "lane"),
        (2, None, "lane"),
        (None, None, None),
    ],
)
def test_a_lanes_own_checkpoint_comes_first(
    on_lane: int | None, stored: int | None, expected: str | None
) -> None:
    lanes = LaneSet(named=True)
    if on_lane is not None:
        lane = Lane("lane-1")
        lane.checkpoint = after(on_lane)
        lanes.lanes.append(lane)
    items = [*talk(2), NEXT]
    todo = plan([lanes], items, MODEL)
    assert todo is not None
    kept = [] if stored is None else [after(stored)]
    found = from_stored(todo, kept, items, MODEL)
    assert found.lane is todo.lane
    if expected == "stored":
        assert found.checkpoint is kept[0]
        assert (found.fork, found.full_reason) == (False, None)
        assert len(found.send) < len(todo.send)
    else:
        assert found is todo
        assert (found.checkpoint is not None) is (expected == "lane")


def test_something_is_always_sent() -> None:
    items = talk(3)
    todo = plan([LaneSet(named=True)], items, MODEL)
    assert todo is not None
    found = from_stored(todo, [after(3), after(2)], items, MODEL)
    assert found.checkpoint is not None
    assert list(found.send) == items[4:]
    assert from_stored(todo, [after(3)], items, MODEL) is todo


@pytest.mark.parametrize(
    ("stored", "items", "reason", "changed_at"),
    [
        ([after(2)], [*talk(2), NEXT], None, None),
        ([], [*talk(2), NEXT], FullReason.MEMORY_LOST, None),
        ([after(2)], talk(2), FullReason.NOTHING_NEW, None),
        ([after(2, "gpt-5")], [*talk(2), NEXT], FullReason.MODEL_CHANGED, None),
        ([after(1), after(2)], [user("q0"), user("x")], FullReason.CONTEXT_CHANGED, 1),
        ([replace(after(2), resumed=True)], [NEXT], FullReason.RESUMED, None),
    ],
)
def test_plans_over_http(
    stored: list[Checkpoint], items: list[Item], reason: Any, changed_at: int | None
) -> None:
    todo = plan_over_http(stored, items, MODEL, blank=FullReason.MEMORY_LOST)
    assert (todo.full_reason, todo.changed_at) == (reason, changed_at)
    assert (todo.checkpoint is None) is (reason is not None)
    assert list(todo.send) == (items if reason is not None else [NEXT])


# -- marks ----------------------------------------------------------------------------------------


def marked(checkpoint: Checkpoint) -> StoredMark:
    """A mark that has been written down and read again."""
    wire = mark_wire(checkpoint, Fingerprints())
    assert wire is not None
    return StoredMark(json.loads(json.dumps(wire)))


OUTPUTS: dict[str, list[Any]] = {
    "text": [assistant("one").wire, assistant("two").wire],
    "calls": [call("f").wire, call("g").wire],
    "custom": [{"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "select 1"}],
    "reasoning": [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x" * 99},
        assistant("hm").wire,
    ],
    "unsendable reasoning": [{"type": "reasoning", "id": "rs_1", "summary": []}],
    "hosted": [{"type": "image_generation_call", "id": "ig_1", "result": "A" * 999}],
    "approval": [
        {
            "type": "mcp_approval_request",
            "id": "ap",
            "name": "f",
            "arguments": "{}",
            "server_label": "s",
        }
    ],
    "shell": [{"type": "shell_call", "id": "sh", "call_id": "s1", "action": {"commands": ["ls"]}}],
}


def read_it(kind: str) -> Output:
    output = read_output(OUTPUTS[kind], ["sql"])
    assert output is not None
    return output


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_mark_is_read_as_what_was_marked(kind: str) -> None:
    items: list[Item] = [user("a"), NEXT]
    mark = marked(Checkpoint("resp", MODEL, items, read_it(kind)))
    assert mark.size < 700
    again = [make_item(each.wire) for each in items]
    found = mark.checkpoint([*again, user("b")], Fingerprints())
    assert found is not None
    assert (found.response_id, found.model, found.items) == ("resp", MODEL, items)
    # It is recognised, or not, as the response itself is.
    said_again = [*read_it(kind).calls.values(), *read_it(kind).reasoning, *read_it(kind).others]
    told = [assistant(text) for text in read_it(kind).texts if text]
    for context in ([*items, *said_again, *told, NEXT], [*items, user("x")], items):
        expected = read_it(kind).compare(context, 2)
        found_so = found.output.compare(context, 2)
        assert type(found_so) is type(expected)
        if isinstance(expected, Match) and isinstance(found_so, Match):
            assert found_so.end == expected.end


@pytest.mark.parametrize(
    "checkpoint",
    [
        replace(after(2), resumed=True),
        # Without an id it would have to be kept whole.
        replace(after(2), output=Output(others=(make_item({"type": "program", "code": "1"}),))),
    ],
)
def test_what_could_not_be_recognised_gets_no_mark(checkpoint: Checkpoint) -> None:
    assert mark_wire(checkpoint, Fingerprints()) is None


TURNS = st.lists(
    st.sampled_from([user("a"), user("b"), assistant("a"), call("f"), out("f"), out("f", "no")]),
    min_size=1,
    max_size=6,
)


@given(TURNS, TURNS)
def test_a_mark_counts_for_the_very_items_only(seen: list[Item], items: list[Item]) -> None:
    mark = marked(Checkpoint("resp", MODEL, seen, said("yes")))
    found = mark.checkpoint(items, Fingerprints())
    same = [each.data for each in items[: len(seen)]] == [each.data for each in seen]
    assert (found is not None) is same


@given(st.lists(st.tuples(TURNS, st.integers(0, 6)), max_size=6))
def test_fingerprints_do_not_depend_on_what_was_worked_out_before(
    asked: list[tuple[list[Item], int]],
) -> None:
    prints = Fingerprints()
    for items, count in asked:
        count = min(count, len(items))
        assert prints.of(items, count) == Fingerprints().of(items, count)


@pytest.mark.parametrize(
    "change",
    [
        {"seen": 0},
        {"seen": -1},
        {"seen": 99},
        {"seen": "1"},
        {"seen": None},
        {"fingerprint": ""},
        {"fingerprint": None},
        {"response_id": None},
        {"model": None},
        {"texts": None},
        {"texts": [1]},
        {"calls": None},
        {"calls": ["x"]},
        {"calls": [{"type": "message", "role": "user", "content": "x"}]},
        {"reasoning": [{"type": "x"}]},
        {"others": {}},
    ],
)
def test_a_mark_that_was_changed_counts_for_nothing(change: dict[str, Any]) -> None:
    wire = {**marked(after(1)).wire, **change}
    assert StoredMark(wire).checkpoint([*talk(1), NEXT], Fingerprints()) is None


def test_marks_are_never_sent() -> None:
    mark = marked(after(1))
    repairs = InputRepairs(pytest.fail, pytest.fail)
    repairs.extend([*talk(1), mark, call("f"), mark, out("f"), NEXT])
    assert repairs.items() == [*talk(1), call("f"), out("f"), NEXT]
    assert repairs.marks() == [mark, mark]
    assert repairs.copy().marks() == [mark, mark]
    repairs.truncate(4)
    assert repairs.marks() == [mark]
