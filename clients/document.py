"""The tables in ``docs/clients.md``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from clients.roster import CASES

DOCUMENT = Path(__file__).parents[1] / "docs" / "clients.md"


def write(rows: Iterable[tuple[str, str, Sequence[str | None]]]) -> None:
    """Writes the table of what came of each client over each transport."""
    cells = [
        [name, transport, *("✓" if each is None else "✗" for each in passed)]
        for name, transport, passed in rows
    ]
    replace_table(DOCUMENT, "table", ["client", "transport", *CASES], cells)


def replace_table(
    document: Path, name: str, head: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """Writes a table in the place of the one that stands between the comments of its name."""
    lines = [_line(head), f"|{' --- |' * len(head)}", *map(_line, rows)]
    begin, end = marks(name)
    text = document.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    table = "\n".join(lines)
    document.write_text(f"{before}{begin}\n\n{table}\n\n{end}{after}", encoding="utf-8")


def marks(name: str) -> tuple[str, str]:
    """The comments before and after a table."""
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
