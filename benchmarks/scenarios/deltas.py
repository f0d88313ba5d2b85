"""CPU time of a text delta, by the rate at which tokens arrive."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

from pipecat.frames.frames import (
    Frame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from benchmarks import material
from benchmarks.contestants import ALL, OUR_HTTP, OUR_WS, PIPECAT_WS
from benchmarks.measure import Cpu, median, ratio, rounded, tidy
from benchmarks.model import TIMES, Findings, Plot
from benchmarks.server import Server
from benchmarks.stage import Stage

ALONE = "the pipeline alone"
BASE_TOKENS = 2


class PacedFrames(FrameProcessor):
    """Pushes text frames on a schedule: what they cost without any service."""

    def __init__(self) -> None:
        super().__init__(name="paced frames")
        self.tokens = 1
        self.rate = 50.0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        clock = asyncio.get_running_loop()
        due = clock.time()
        for _ in range(self.tokens):
            if (wait := due - clock.time()) > 0:
                await asyncio.sleep(wait)
            await self.push_frame(LLMTextFrame(" 1234567890123"))
            due += 1 / self.rate
        await self.push_frame(LLMFullResponseEndFrame())


async def run(server: Server, quick: bool) -> Findings:
    """CPU time of a text delta."""
    findings = Findings("deltas", "CPU time of a text delta")
    plan = {500: 250, 5000: 2500} if quick else {50: 150, 500: 1000, 5000: 10000}
    rounds = 2 if quick else 5
    makers: dict[str, Callable[[], Any]] = {
        contestant.name: partial(contestant.service, f"http://{server.metronome}/v1")
        for contestant in ALL
    }
    makers[ALONE] = PacedFrames
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    frames: dict[tuple[str, int], float] = {}
    for number in range(rounds):
        for rate, tokens in plan.items():
            for name, make in makers.items():
                cost, frames[name, rate] = await _delta(server, make(), rate, tokens, number)
                found[name, rate].append(cost)
    costs = {key: median(values) for key, values in found.items()}
    _report(findings, list(plan), list(makers), costs, frames)
    return findings


def _ignore(_: str) -> None:
    """Tokens need not be kept."""


async def _delta(
    server: Server, service: Any, rate: int, tokens: int, number: int
) -> tuple[float, float]:
    """CPU seconds and text frames of a delta. Nobody else is in the process meanwhile."""
    costs = []
    async with Stage(service) as stage:
        await stage.ready()
        stage.said.on_text = _ignore
        for count in (BASE_TOKENS, tokens):
            if isinstance(service, PacedFrames):
                service.tokens, service.rate = count, rate
            await server.beat(count, rate)
            costs.append(await _turn(stage, number))
        stage.check()
    # Less the cost of a turn as such.
    per_token = (costs[1] - costs[0]) / (tokens - BASE_TOKENS)
    return per_token, (stage.said.text_frames - BASE_TOKENS) / tokens


async def _turn(stage: Stage, number: int) -> float:
    stage.context.set_messages([{"role": "user", "content": material.text(100, number)}])
    tidy()
    with Cpu() as cpu:
        await stage.turn()
    return cpu.seconds


def _report(
    findings: Findings,
    rates: list[int],
    names: list[str],
    costs: dict[tuple[str, int], float],
    frames: dict[tuple[str, int], float],
) -> None:
    table = findings.table(
        "deltas",
        "CPU time of a text delta, µs",
        ["who", *(f"{rate} tokens/s" for rate in rates), f"frames a token at {rates[-1]}/s"],
        note="The fixed cost of a turn is taken off. The server writes what is due every "
        "millisecond, so at 5 000 tokens/s about five arrive together. At a low rate, most of "
        "what a token costs is the machine waking up for it.",
    )
    plot = Plot("deltas", "CPU time of a text delta", "tokens a second", "µs of CPU")
    findings.plots.append(plot)
    for name in names:
        times = {rate: costs[name, rate] * 1e6 for rate in rates}
        table.add(
            name,
            *(rounded(time) for time in times.values()),
            rounded(frames[name, rates[-1]], 2),
        )
        plot.line(name, {float(rate): time for rate, time in times.items()})
    top = rates[-1]
    findings.at_most(
        "A delta at 5 000 tokens/s: our WebSocket over Pipecat's",
        ratio(costs[OUR_WS.name, top], costs[PIPECAT_WS.name, top]),
        0.5,
        TIMES,
    )
    for rate in rates:
        findings.at_most(
            f"A delta at {rate} tokens/s: our HTTP over our WebSocket",
            ratio(costs[OUR_HTTP.name, rate], costs[OUR_WS.name, rate]),
            1.3,
            TIMES,
        )
