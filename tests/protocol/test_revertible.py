"""A table whose changes are taken back is as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_responses.protocol.revertible import RevertibleDict

CHANGES = st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers()), max_size=20)


@given(changes=CHANGES, back=st.integers(0, 20), again=CHANGES)
def test_taking_back_gives_what_was_there(
    changes: list[tuple[bool, int, int]], back: int, again: list[tuple[bool, int, int]]
) -> None:
    table: RevertibleDict[int, int] = RevertibleDict()
    states = [dict(table)]
    for point, (put, key, value) in enumerate(changes):
        change(table, point, put, key, value)
        states.append(dict(table))
    back = min(back, len(changes))
    table.revert(back)
    assert table == states[back]
    for point, (put, key, value) in enumerate(again, start=back):
        change(table, point, put, key, value)
    table.revert(back)
    assert table == states[back]
    table.revert(0)
    assert table == {}


def change(table: RevertibleDict[int, int], point: int, put: bool, key: int, value: int) -> None:
    if put or key not in table:
        table.put(point, key, value)
    else:
        table.remove(point, key)


def test_several_changes_at_one_point_are_taken_back_together() -> None:
    table: RevertibleDict[str, int] = RevertibleDict()
    table.put(0, "a", 1)
    table.put(1, "a", 2)
    table.put(1, "a", 3)
    table.put(1, "b", 4)
    table.remove(1, "a")
    table.revert(1)
    assert table == {"a": 1}


def test_a_copy_goes_its_own_way() -> None:
    table: RevertibleDict[str, int] = RevertibleDict()
    table.put(0, "a", 1)
    table.put(1, "b", 2)
    twin = table.copy()
    twin.revert(1)
    twin.put(1, "c", 3)
    assert table == {"a": 1, "b": 2}
    assert twin == {"a": 1, "c": 3}
    table.revert(0)
    twin.revert(1)
    assert table == {}
    assert twin == {"a": 1}


def test_what_is_not_there_cannot_be_removed() -> None:
    table: RevertibleDict[str, int] = RevertibleDict()
    with pytest.raises(KeyError):
        table.remove(0, "a")
    table.revert(0)
    assert table == {}
