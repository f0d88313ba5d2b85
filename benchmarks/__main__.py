"""``python -m benchmarks``: runs the benchmark."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.model import Results

ROOT = Path(__file__).parents[1]
NAMES = (
    "cpu",
    "deltas",
    "interruptions",
    "traffic",
    "voices",
    "voice",
    "link",
    "sessions",
    "blocking",
    "footprint",
    "inspected",
    "storm",
    "tail",
)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute; coarse figures")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument(
        "--json", type=Path, default=ROOT / "build/bench/results.json", help="where results go"
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw SVG plots there")
    parser.add_argument(
        "--peers", nargs="+", choices=("livekit",), default=[], help="measure others as well"
    )
    parser.add_argument(
        "--write-docs", action="store_true", help="put what was measured into docs/benchmarks.md"
    )
    parser.add_argument(
        "--show", action="store_true", help="measure nothing; take the results from --json"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark as the command line says."""
    options = _options(arguments)
    if options.write_docs and options.quick:
        print("--write-docs wants full figures, not those of a quick run", file=sys.stderr)
        return 2
    os.environ["LOGURU_AUTOINIT"] = "0"
    warnings.simplefilter("ignore", DeprecationWarning)

    from rich.console import Console

    from benchmarks import docs, plots, report

    console = Console()
    if options.show:
        results = report.load(options.json)
        for findings in results.findings:
            report.show(console, findings)
    else:
        results = asyncio.run(_run(console, options))
    checks = [check for findings in results.findings for check in findings.checks]
    console.rule("[bold]Figures and their bounds[/]")
    report.show_checks(console, checks)
    if options.plots or options.write_docs:
        try:
            for folder in filter(None, (options.plots, options.write_docs and ROOT / "docs/plots")):
                plots.draw(results, folder)
        except ModuleNotFoundError:
            console.print("No plots: matplotlib is not installed (pip install -e '.[bench]').")
    if options.write_docs and not results.failed:
        whole = set(NAMES) <= {findings.name for findings in results.findings}
        docs.write(results, ROOT / "docs/benchmarks.md", whole=whole)
    for problem in results.failed:
        print(problem, file=sys.stderr)
    return 1 if results.failed else 0


async def _run(console: Console, options: argparse.Namespace) -> Results:
    from benchmarks import report
    from benchmarks.measure import environment
    from benchmarks.model import Findings, Results
    from benchmarks.peers import livekit
    from benchmarks.scenarios import SCENARIOS
    from benchmarks.server import Server
    from benchmarks.stage import quiet

    quiet()
    results = Results(environment(), options.quick)
    todo = {name: SCENARIOS[name] for name in options.only or NAMES}
    if "livekit" in options.peers:
        todo["livekit"] = livekit.run
    for name, scenario in todo.items():
        # No spinner: it would run in this process and be measured.
        console.print(f"Measuring {name} …")
        start = time.monotonic()
        async with Server() as server:
            try:
                findings = await scenario(server, options.quick)
            except (RuntimeError, TimeoutError) as error:
                # The others are worth having all the same.
                problem = f"{name} could not be measured: {error or type(error).__name__}"
                findings = Findings(name, name, remarks=[problem])
                results.failed.append(problem)
        findings.seconds = time.monotonic() - start
        results.findings.append(findings)
        report.save(results, options.json)
        report.show(console, findings)
    return results


if __name__ == "__main__":
    sys.exit(main())
