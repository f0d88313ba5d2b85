"""The table in ``docs/clients.md``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from clients.roster import CASES

DOCUMENT = Path(__file__).parents[1] / "docs" / "clients.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"


def write(rows: Iterable[tuple[str, str, Sequence[str | None]]]) -> None:
    """Writes the table of what came of each client over each transport."""
    lines = [
        f"| client | transport | {' | '.join(CASES)} |",
        f"| --- | --- |{' --- |' * len(CASES)}",
    ]
    for name, transport, passed in rows:
        cells = " | ".join("✓" if each is None else "✗" for each in passed)
        lines.append(f"| {name} | {transport} | {cells} |")
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(lines)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")
