"""Shows results in the terminal, and keeps them as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.model import (
    NOTHING,
    Cell,
    Check,
    Findings,
    Plot,
    Results,
    Series,
    Strip,
    Table,
    Timeline,
)


def shown(cell: Cell) -> str:
    """A cell as people read it."""
    if cell is None:
        return NOTHING
    if isinstance(cell, bool | str):
        return str(cell)
    if isinstance(cell, int) or (cell.is_integer() and abs(cell) >= 100):
        return f"{int(cell):,}".replace(",", " ") if abs(cell) >= 10_000 else str(int(cell))
    return f"{cell:g}"


def show(console: Console, findings: Findings) -> None:
    """Prints what a scenario found."""
    console.rule(f"[bold]{findings.title}[/] ({findings.seconds:.0f} s)")
    for table in findings.tables:
        rich = RichTable(title=table.title, caption=table.note or None, title_justify="left")
        for number, column in enumerate(table.columns):
            numeric = number > 0 and all(not isinstance(row[number], str) for row in table.rows)
            rich.add_column(column, justify="right" if numeric else "left")
        for row in table.rows:
            rich.add_row(*map(shown, row))
        console.print(rich)
    for remark in findings.remarks:
        console.print(remark)
    show_checks(console, findings.checks)


def show_checks(console: Console, checks: list[Check]) -> None:
    """Prints figures and their bounds."""
    for check in checks:
        colour = "green" if check.passed else "red"
        console.print(f"[{colour}]{check.verdict:>11}[/]  {check.what}: {figure(check)}")


def figure(check: Check) -> str:
    """A figure and its bound, as people read them."""
    unit = f" {check.unit}" if check.unit else ""
    return f"{check.measured:.4g}{unit} ({check.sense} {check.bound:g}{unit})"


def save(results: Results, path: Path) -> None:
    """Writes results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = asdict(results)
    for findings, raw in zip(results.findings, data["findings"], strict=True):
        for check, fields in zip(findings.checks, raw["checks"], strict=True):
            fields["passed"] = check.passed
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> Results:
    """Reads results back."""
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    found = []
    for raw in data["findings"]:
        for check in raw["checks"]:
            check.pop("passed")
        for plot in raw["plots"]:
            plot["series"] = [Series(**series) for series in plot["series"]]
        raw["tables"] = [Table(**table) for table in raw["tables"]]
        raw["plots"] = [Plot(**plot) for plot in raw["plots"]]
        for timeline in raw["timelines"]:
            timeline["strips"] = [Strip(**strip) for strip in timeline["strips"]]
        raw["timelines"] = [Timeline(**timeline) for timeline in raw["timelines"]]
        raw["checks"] = [Check(**check) for check in raw["checks"]]
        found.append(Findings(**raw))
    return Results(data["environment"], data["quick"], found, data["failed"])
