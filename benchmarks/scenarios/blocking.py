"""How long the event loop is blocked while a service handles something large."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext

from benchmarks import material
from benchmarks.contestants import ALL, PIPECAT_HTTP, WEBSOCKETS, Contestant
from benchmarks.measure import Gap, longest_gap, median, rounded, tidy
from benchmarks.model import Findings
from benchmarks.server import Server
from benchmarks.stage import Stage

ITEMS = 4000
IMAGE = 5_000_000
LIMIT = 5.0

FIRST = "first turn, 4 000 items"
INCREMENTAL = "next turn, 4 000 items"
FULL = "everything again, 4 000 items"
WITH_IMAGE = "first image of 5 MB"


async def run(server: Server, quick: bool) -> Findings:
    """How long the event loop is blocked."""
    findings = Findings("blocking", "How long the event loop is blocked")
    rounds = 2 if quick else 9
    # The slow one is left out of a quick run: a turn takes it seconds.
    contestants = [c for c in ALL if not (quick and c is PIPECAT_HTTP)]
    await server.reset()
    await server.reply("All right.")
    gaps: dict[tuple[str, Contestant], list[Gap]] = defaultdict(list)
    for _ in range(1 if quick else 3):
        for contestant in contestants:
            await _first(server, contestant, gaps[FIRST, contestant])
    await _later(server, rounds, contestants, gaps)
    for number in range(rounds):
        for contestant in contestants:
            await _image(server, contestant, number, gaps[WITH_IMAGE, contestant])
    _report(findings, gaps)
    return findings


async def _turn(stage: Stage, number: int, gaps: list[Gap]) -> None:
    stage.context.add_message({"role": "user", "content": material.text(300, number)})
    tidy()
    async with longest_gap() as gap:
        said = await stage.turn()
    stage.context.add_message({"role": "assistant", "content": said})
    gaps.append(gap)


async def _first(server: Server, contestant: Contestant, gaps: list[Gap]) -> None:
    async with Stage(contestant.service(server.base_url), material.context(ITEMS)) as stage:
        await stage.ready()
        await _turn(stage, 0, gaps)
        stage.check()
    await server.requests()


async def _later(
    server: Server,
    rounds: int,
    everybody: Sequence[Contestant],
    gaps: dict[tuple[str, Contestant], list[Gap]],
) -> None:
    async with AsyncExitStack() as stack:
        stages: dict[Contestant, Stage] = {}
        for contestant in everybody:
            stage = Stage(contestant.service(server.base_url), material.context(ITEMS))
            stages[contestant] = await (await stack.enter_async_context(stage)).ready()
            await _turn(stage, 0, [])
        for kind, contestants in ((INCREMENTAL, everybody), (FULL, WEBSOCKETS)):
            for number in range(rounds):
                for contestant in contestants:
                    stage = stages[contestant]
                    if kind == FULL:
                        first: Any = stage.context.get_messages()[0]
                        first["content"] = material.text(1000, 10_000 + number)
                    await _turn(stage, number, gaps[kind, contestant])
                await server.requests()
        for stage in stages.values():
            stage.check()


async def _image(server: Server, contestant: Contestant, number: int, gaps: list[Gap]) -> None:
    url = material.image(IMAGE, number)
    async with Stage(contestant.service(server.base_url), LLMContext()) as stage:
        await stage.ready()
        stage.context.add_message(
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": url}},
                ],
            }
        )
        await _turn(stage, number, gaps)
        stage.check()
    await server.requests()


def _report(findings: Findings, gaps: dict[tuple[str, Contestant], list[Gap]]) -> None:
    table = findings.table(
        "blocking",
        "Longest time for which the event loop was blocked, ms",
        ["what", "who", "median by the clock", "median of CPU", "worst of CPU"],
        note="A task that wants to run every millisecond notes how long it could not. CPU is what "
        "the loop's thread computed meanwhile, and free of what other processes did.",
    )
    for (kind, contestant), found in gaps.items():
        worst = max(gap.cpu for gap in found) * 1e3
        table.add(
            kind,
            contestant.name,
            rounded(median(gap.wall for gap in found) * 1e3),
            rounded(median(gap.cpu for gap in found) * 1e3),
            rounded(worst),
        )
    _check(findings, gaps)


def _check(
    findings: Findings,
    gaps: dict[tuple[str, Contestant], list[Gap]],
) -> None:
    for (kind, contestant), found in gaps.items():
        if contestant.ours:
            findings.at_most(
                f"{contestant.name}, {kind}: longest block (worst)",
                max(gap.cpu for gap in found) * 1e3,
                LIMIT,
                "ms",
            )
