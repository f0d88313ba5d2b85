from __future__ import annotations

from pathlib import Path

from tests.faults.table import ROWS, End, Moment, cells, document

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"


def test_the_document_is_up_to_date() -> None:
    written = DOCUMENT.read_text(encoding="utf-8")
    assert written == document(), "run: python -m tests.faults.table > docs/faults.md"


def test_every_cell_has_a_name_of_its_own() -> None:
    names = [cell.name for cell in cells()]
    assert len(set(names)) == len(names)


def test_every_moment_and_every_end_occurs_on_both_transports() -> None:
    for transport in ("websocket", "http"):
        found = [cell for cell in cells() if cell.transport == transport]
        assert {cell.end for cell in found} == set(End)
        missing = {Moment.RECONNECTING} if transport == "http" else set()
        assert {cell.moment for cell in found} == set(Moment) - missing


def test_what_is_reported_has_a_category() -> None:
    for row in ROWS:
        reports = any(end in (End.REPORTED, End.CUT) for end in row.ends.values())
        assert reports == (row.category is not None), row.what
