"""Which of the tests of single faults fail today."""

from __future__ import annotations

import pytest

BOTH = pytest.mark.parametrize("transport", ["websocket", "http"])
"""The test is of both services."""

FAILING: list[tuple[int, tuple[str, ...]]] = []
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
