"""Which of the tests of single faults fail today."""

from __future__ import annotations

import pytest

BOTH = pytest.mark.parametrize("transport", ["websocket", "http"])
"""The test is of both services."""

FAILING: list[tuple[int, tuple[str, ...]]] = [
    (3, ()),
    (4, ()),
    (5, ()),
    (6, ()),
    (7, ("interleaved",)),
    (8, ()),
    (9, ()),
    (10, ("done_twice",)),
    (10, ("item_done",)),
    (10, ("second_in_completed-two",)),
    (11, ("between_two",)),
    (11, ("reasoning", "silence")),
    (12, ()),
    (13, ()),
    (14, ()),
    (15, ()),
    (16, ()),
    (17, ()),
    (18, ()),
    (19, ()),
    (20, ()),
    (21, ("after_the_end", "websocket")),
    (22, ()),
    (23, ("The weath-weather",)),
    (23, ("1,23",)),
    (23, ("Rome",)),
    (23, ("The capital",)),
    (23, ("It is so",)),
    (23, ("Well.",)),
    (24, ("websocket",)),
    (25, ()),
    (30, ("never_comes", "websocket")),
    (30, ("warm_up",)),
    (30, ("bytes",)),
    (35, ()),
    (36, ()),
    (37, ("websocket",)),
    (42, ()),
    (43, ()),
    (44, ()),
    (45, ()),
    (46, ()),
]
"""The row, and what stands in the test's name or parameters. One line goes with each repair."""


def row_of(name: str) -> int | None:
    """The row that a test is about; the name says it."""
    parts = name.split("_")
    return int(parts[2]) if name.startswith("test_row_") else None


def fails(name: str) -> int | None:
    """The row for which a test is expected to fail, or None if it is to pass."""
    row = row_of(name)
    for failing, needed in FAILING:
        if row == failing and all(each in name for each in needed):
            return row
    return None
