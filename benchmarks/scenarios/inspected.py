"""CPU time of a turn that an inspector watches."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from pathlib import Path

from benchmarks import material
from benchmarks.contestants import OUR_HTTP, OUR_WS, Contestant
from benchmarks.measure import Cpu, median, ratio, rounded, tidy
from benchmarks.model import TIMES, Findings
from benchmarks.server import Server
from benchmarks.stage import Stage
from pipecat_responses import Inspector

TOKENS = 400
WARM = 3
BLOCK = 10
"""Turns in a row that are measured together."""
SETTLE = 0.02
"""Seconds after the end frame that still count: whoever works later works for this turn too."""

AT_ONCE = 1e6
"""Tokens a second. Most of what is done is done for the events themselves then."""

OFF, WATCHED, RECORDED = "nobody", "watched", "recorded"
HOW = (OFF, WATCHED, RECORDED)


async def run(server: Server, quick: bool) -> Findings:
    """CPU time of a turn that is watched, over that of one that is not."""
    findings = Findings("inspected", "What the inspector costs")
    table = findings.table(
        "inspected",
        f"CPU time of a turn of {TOKENS} tokens that arrive at once, ms",
        ["who", "not watched", "watched", "ratio", "recorded", "ratio"],
        note="Nobody looks at the page. The same turns one after the other, watched and not, in a "
        "changing order; medians, and those of the ratios of neighbours. What is recorded is "
        "written in a thread, and its CPU time counts too.",
    )
    await server.beat(TOKENS, AT_ONCE)
    for contestant in (OUR_WS, OUR_HTTP):
        costs = await _measure(server, contestant, 10 if quick else 100)
        ratios = {
            how: median(ratio(*each) for each in zip(costs[how], costs[OFF], strict=True))
            for how in HOW
        }
        table.add(
            contestant.name,
            rounded(median(costs[OFF]) * 1e3),
            rounded(median(costs[WATCHED]) * 1e3),
            rounded(ratios[WATCHED], 4),
            rounded(median(costs[RECORDED]) * 1e3),
            rounded(ratios[RECORDED]),
        )
        if not quick:
            findings.at_most(
                f"A turn that is watched over one that is not: {contestant.name}",
                ratios[WATCHED],
                1.02,
                TIMES,
            )
    return findings


async def _measure(server: Server, contestant: Contestant, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of a turn, in each round one after the other."""
    costs: dict[str, list[float]] = defaultdict(list)
    async with Stage(contestant.service(f"http://{server.metronome}/v1")) as stage:
        await stage.ready()
        stage.said.on_text = _ignore
        for number in range(WARM):
            await _turn(stage, number)
        for number in range(rounds):
            start = number % len(HOW)
            for how in (*HOW[start:], *HOW[:start])[:: 1 if number % 2 else -1]:
                costs[how].append(await _block(stage, how))
        stage.check()
    return costs


async def _block(stage: Stage, how: str) -> float:
    """CPU seconds of a turn, of some in a row. To end an inspector counts in all ways."""
    with tempfile.TemporaryDirectory() as folder:
        inspector = Inspector(
            *([] if how == OFF else [stage.llm]),
            record=Path(folder) if how == RECORDED else None,
        )
        await inspector.start()
        tidy()
        with Cpu() as cpu:
            for number in range(BLOCK):
                await _turn(stage, number)
            await inspector.stop()
    return cpu.seconds / BLOCK


async def _turn(stage: Stage, number: int) -> None:
    stage.context.set_messages([{"role": "user", "content": material.text(100, number)}])
    await stage.turn()
    await asyncio.sleep(SETTLE)


def _ignore(_: str) -> None:
    """Tokens need not be kept."""
