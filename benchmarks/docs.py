"""Puts the figures of a run into the documentation, between its markers."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.model import Findings, Plot, Results, Table, Timeline
from benchmarks.report import figure, shown

_MARKED = re.compile(
    r"(<!-- figures: (?P<name>[\w-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL
)


def write(results: Results, page: Path, *, whole: bool = True) -> None:
    """Replaces what is between the markers of a page; what the run did not measure stays.

    Args:
        results: The run.
        page: The page.
        whole: Whether everything was measured. What the page says of the run itself, and of all
            bounds together, is of such a run only.

    Raises:
        ValueError: If the run was a quick one, which is for finding out and not for showing, or if
            a part of it failed.
    """
    if results.quick:
        raise ValueError("The documentation shows a full run, not a quick one")
    if results.failed:
        raise ValueError(f"The documentation shows a run in which all went well: {results.failed}")
    parts = {findings.name: _findings(findings) for findings in results.findings}
    if whole:
        parts["environment"] = _environment(results)
        parts["checks"] = _checks(results)

    def fill(match: re.Match[str]) -> str:
        part = parts.get(match["name"])
        return match[0] if part is None else f"{match[1]}\n{part}\n{match[3]}"

    page.write_text(_MARKED.sub(fill, page.read_text(encoding="utf-8")), encoding="utf-8")


def _findings(findings: Findings) -> str:
    parts = [_table(table) for table in findings.tables]
    drawn: list[Plot | Timeline] = [*findings.plots, *findings.timelines]
    parts += [f"![{plot.title}](plots/{plot.name}.svg)\n" for plot in drawn]
    parts += [f"{remark}\n" for remark in findings.remarks]
    return "\n".join(parts)


def _table(table: Table) -> str:
    lines = [f"**{table.title}**", "", _row(table.columns)]
    lines.append(_row(["---", *("---:" for _ in table.columns[1:])]))
    lines += [_row([shown(cell) for cell in row]) for row in table.rows]
    if table.note:
        lines += ["", table.note]
    return "\n".join([*lines, ""])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _environment(results: Results) -> str:
    known = results.environment
    packages = ", ".join(f"{name} {version}" for name, version in known["packages"].items())
    return (
        f"Measured on {known['date']}: {known['system']}, {known['cores']} cores, Python "
        f"{known['python']}, {packages}.\n"
    )


def _checks(results: Results) -> str:
    lines = [_row(["figure", "measured (bound)", ""]), _row(["---", "---:", "---"])]
    lines += [
        _row([check.what, figure(check), "met" if check.passed else "**falls short**"])
        for findings in results.findings
        for check in findings.checks
    ]
    return "\n".join([*lines, ""])
