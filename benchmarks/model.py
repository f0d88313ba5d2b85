"""What a run finds out: tables, series for plots, and figures that have a bound."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Cell = str | float | int | None

TIMES = "\N{MULTIPLICATION SIGN}"
NOTHING = "\N{EN DASH}"


@dataclass
class Table:
    """Rows under a title; the first column names the row."""

    name: str
    title: str
    columns: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    note: str = ""

    def add(self, *cells: Cell) -> None:
        self.rows.append(list(cells))


@dataclass
class Series:
    """One line of a plot."""

    label: str
    x: list[float]
    y: list[float]


@dataclass
class Plot:
    """Lines over a shared axis."""

    name: str
    title: str
    x_label: str
    y_label: str
    series: list[Series] = field(default_factory=list)
    log_x: bool = True
    log_y: bool = True

    def line(self, label: str, points: dict[float, float]) -> None:
        xs = sorted(points)
        self.series.append(Series(label, xs, [points[x] for x in xs]))


@dataclass
class Strip:
    """One side of a call: how loud it is, from 0 to 1, each 20 ms."""

    label: str
    peaks: list[float]


@dataclass
class Timeline:
    """Sides of calls, one below the other."""

    name: str
    title: str
    strips: list[Strip] = field(default_factory=list)


@dataclass
class Check:
    """A figure that has a bound."""

    what: str
    measured: float
    bound: float
    unit: str
    sense: Literal["at most", "at least"]

    @property
    def passed(self) -> bool:
        if self.sense == "at most":
            return self.measured <= self.bound
        return self.measured >= self.bound

    @property
    def verdict(self) -> str:
        return "PASS" if self.passed else "FALLS SHORT"


@dataclass
class Findings:
    """What one scenario found."""

    name: str
    title: str
    tables: list[Table] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    timelines: list[Timeline] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def table(self, name: str, title: str, columns: list[str], note: str = "") -> Table:
        table = Table(name, title, columns, note=note)
        self.tables.append(table)
        return table

    def at_most(self, what: str, measured: float, bound: float, unit: str = "") -> None:
        self.checks.append(Check(what, measured, bound, unit, "at most"))

    def at_least(self, what: str, measured: float, bound: float, unit: str = "") -> None:
        self.checks.append(Check(what, measured, bound, unit, "at least"))


@dataclass
class Results:
    """What a whole run found.

    Attributes:
        failed: What could not be measured, and why.
    """

    environment: dict[str, Any]
    quick: bool
    findings: list[Findings] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
