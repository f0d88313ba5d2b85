"""CPU time of a text delta, by the rate at which tokens arrive."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

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
from benchmarks.model import Findings, Plot
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
    plan = {50: 100, 500: 500, 5000: 5000} if quick else {50: 200, 500: 2000, 5000: 20000}
    rounds = 2 if quick else 5
    costs: dict[tuple[str, int], float] = {}
    frames: dict[tuple[str, int], float] = {}
    async with AsyncExitStack() as stack:
        stages: dict[str, Stage] = {}
        for contestant in ALL:
            stage = Stage(contestant.service(f"http://{server.metronome}/v1"))
            stages[contestant.name] = stage
        paced = PacedFrames()
        stages[ALONE] = Stage(paced)
        for stage in stages.values():
            await (await stack.enter_async_context(stage)).ready()
            stage.tap.on_text = _ignore
        for rate, tokens in plan.items():
            found: dict[str, list[float]] = {name: [] for name in stages}
            for number in range(rounds):
                for name, stage in stages.items():
                    paced.rate = rate
                    cost = []
                    for count in (BASE_TOKENS, tokens):
                        paced.tokens = count
                        await server.beat(count, rate)
                        before = stage.tap.texts
                        cost.append(await _turn(stage, number))
                        frames[name, rate] = (stage.tap.texts - before) / count
                    # Less the cost of a turn as such.
                    found[name].append((cost[1] - cost[0]) / (tokens - BASE_TOKENS))
            for name, values in found.items():
                costs[name, rate] = median(values)
        for stage in stages.values():
            stage.check()
    _report(findings, list(plan), list(stages), costs, frames)
    return findings


def _ignore(_: str) -> None:
    """Tokens need not be kept."""


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
        "millisecond, so at 5 000 tokens/s about five arrive together.",
    )
    plot = Plot("deltas", "CPU time of a text delta", "tokens a second", "µs of CPU", log_y=False)
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
        "×",
    )
    for rate in rates:
        findings.at_most(
            f"A delta at {rate} tokens/s: our HTTP over our WebSocket",
            ratio(costs[OUR_HTTP.name, rate], costs[OUR_WS.name, rate]),
            1.3,
            "×",
        )
