"""CPU time of a turn, by the length of the conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext

from benchmarks import material
from benchmarks.contestants import (
    HTTPS,
    OUR_HTTP,
    OUR_WS,
    PIPECAT_HTTP,
    PIPECAT_WS,
    WEBSOCKETS,
    Contestant,
    NoService,
)
from benchmarks.measure import Cpu, median, ratio, rounded, tidy
from benchmarks.model import TIMES, Findings, Plot
from benchmarks.server import Server
from benchmarks.stage import Stage

TOKENS = 3
RATE = 1e6
"""Tokens a second: at once, since a machine that wakes up for each would count for the turn."""
WARM = 2
BLOCK = 6
"""Turns in a row of one contestant; before them a few that do not count."""
SETTLE = 0.01
"""Seconds after the end frame that still count: whoever works later works for this turn too."""

Key = tuple[Contestant, str]


async def run(server: Server, quick: bool) -> Findings:
    """CPU time of a turn."""
    findings = Findings("cpu", "CPU time of a turn")
    sizes = (10, 4000) if quick else (10, 100, 1000, 4000)
    blocks = 1 if quick else 4
    await server.beat(TOKENS, RATE)
    costs = {}
    for size in sizes:
        costs[size] = await _measure(server, blocks, partial(material.context, size))
    alone = await _pipeline_alone(blocks * BLOCK)
    _report(findings, sizes, costs, alone)
    if quick:
        return findings
    variants: list[tuple[str, Callable[[], LLMContext]]] = [
        (
            "1 000 items, half of them calls and outputs, 20 tools",
            lambda: material.context_with_tools(1000),
        ),
        ("100 items, 10 of them images of 100 kB", lambda: material.context_with_images(100)),
    ]
    table = findings.table(
        "cpu-variants",
        "CPU time of a turn in other conversations, ms",
        ["conversation", *(_label(key) for key in _keys())],
    )
    for name, make in variants:
        found = await _measure(server, blocks, make)
        table.add(name, *(rounded(found[key] * 1e3) for key in _keys()))
    return findings


def _keys() -> list[Key]:
    return [
        *((contestant, "incremental") for contestant in WEBSOCKETS),
        *((contestant, "full") for contestant in WEBSOCKETS),
        *((contestant, "full") for contestant in HTTPS),
    ]


def _label(key: Key) -> str:
    contestant, mode = key
    return contestant.name if contestant.transport == "http" else f"{contestant.name}, {mode}"


async def _measure(server: Server, blocks: int, make: Callable[[], LLMContext]) -> dict[Key, float]:
    """Medians of the CPU seconds of a turn; the contestants take turns."""
    costs: dict[Key, list[float]] = {key: [] for key in _keys()}
    for number in range(blocks):
        for contestant, mode in _rotated(_keys(), number):
            costs[contestant, mode] += await _block(server, contestant, mode, make())
    return {key: median(found) for key, found in costs.items()}


async def _block(
    server: Server, contestant: Contestant, mode: str, context: LLMContext
) -> list[float]:
    """Some turns in a row. Nobody else is in the process: garbage collection is part of a turn."""
    costs = []
    async with Stage(contestant.service(f"http://{server.metronome}/v1"), context) as stage:
        await stage.ready()
        for number in range(WARM):
            await _turn(stage, number)
        tidy()
        _, before = await server.counts()
        for number in range(WARM, WARM + BLOCK):
            if mode == "full":
                # An early message has changed, so everything must be sent.
                first: Any = stage.context.get_messages()[0]
                first["content"] = material.text(1000, 10_000 + number)
            costs.append(await _turn(stage, number))
        _, after = await server.counts()
        stage.check()
    if after - before != (BLOCK if mode == "incremental" else 0):
        raise RuntimeError(f"{contestant.name}: {after - before} of {BLOCK} were incremental")
    return costs


async def _turn(stage: Stage, number: int) -> float:
    stage.context.add_message({"role": "user", "content": material.text(1000, 20_000 + number)})
    with Cpu() as cpu:
        said = await stage.turn()
        await asyncio.sleep(SETTLE)
    stage.context.add_message({"role": "assistant", "content": said})
    return cpu.seconds


async def _pipeline_alone(turns: int) -> float:
    async with Stage(NoService([" word"] * TOKENS), material.context(10)) as stage:
        return median([await _turn(stage, number) for number in range(turns)])


def _rotated(keys: list[Key], number: int) -> list[Key]:
    start = number % len(keys)
    return [*keys[start:], *keys[:start]]


def _report(
    findings: Findings,
    sizes: Sequence[int],
    costs: dict[int, dict[Key, float]],
    alone: float,
) -> None:
    last = sizes[-1]
    table = findings.table(
        "cpu",
        "CPU time of a turn, ms",
        ["who", *(f"{size:,} items".replace(",", " ") for size in sizes), "last ÷ first"],
        note=f"The pipeline alone, with as many frames and no service: {alone * 1e3:.2f} ms.",
    )
    plot = Plot("cpu", "CPU time of a turn", "items in the conversation", "ms of CPU")
    findings.plots.append(plot)
    for key in _keys():
        times = {size: costs[size][key] * 1e3 for size in sizes}
        growth = ratio(times[last], times[sizes[0]])
        table.add(_label(key), *(rounded(time) for time in times.values()), rounded(growth))
        plot.line(_label(key), {float(size): time for size, time in times.items()})

    at_last = costs[last]
    findings.at_most(
        "WebSocket, incremental: 4 000 items over 10",
        ratio(at_last[OUR_WS, "incremental"], costs[sizes[0]][OUR_WS, "incremental"]),
        2,
        TIMES,
    )
    for what, theirs, ours, bound in (
        ("WebSocket, incremental", (PIPECAT_WS, "incremental"), (OUR_WS, "incremental"), 25),
        ("WebSocket, full resend", (PIPECAT_WS, "full"), (OUR_WS, "full"), 6),
        ("HTTP", (PIPECAT_HTTP, "full"), (OUR_HTTP, "full"), 60),
    ):
        findings.at_least(
            f"{what}, 4 000 items: Pipecat's over ours",
            ratio(at_last[theirs], at_last[ours]),
            bound,
            TIMES,
        )
