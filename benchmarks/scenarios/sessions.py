"""Many sessions in one process: how late their text is, and at what rate they no longer keep up."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks import material
from benchmarks.contestants import ALL, OUR_WS, PIPECAT_WS, WEBSOCKETS, Contestant
from benchmarks.measure import Cpu, median, percentile, ratio, rounded, tidy
from benchmarks.model import TIMES, Findings, Plot
from benchmarks.server import Server
from benchmarks.stage import Stage

RATE = 50
RISING_SESSIONS = 50
STEP = 1.4
SECONDS = 3.0
TOO_LATE = 0.1
NOISE = 1.1


@dataclass(frozen=True)
class Lateness:
    """How late text was, in seconds; and CPU seconds a token."""

    p50: float
    p99: float
    cpu: float


async def run(server: Server, quick: bool) -> Findings:
    """Many sessions in one process."""
    findings = Findings("sessions", "Many sessions in one process")
    await _lateness(findings, server, quick)
    if not quick:
        await _rising(findings, server)
    return findings


async def _lateness(findings: Findings, server: Server, quick: bool) -> None:
    counts = (200,) if quick else (1, 10, 50, 200)
    contestants: Sequence[Contestant] = WEBSOCKETS if quick else ALL
    rounds, seconds = (1, 1.0) if quick else (3, 3.0)
    table = findings.table(
        "sessions",
        f"How late text is at {RATE} tokens/s a session, ms",
        [
            "sessions",
            *(f"{c.name}, {p}" for c in contestants for p in ("median", "p99")),
        ],
        note="From the moment at which the server wrote a token until its frame has left the "
        "service: both processes read the same clock. Medians over rounds.",
    )
    costs = findings.table(
        "sessions-cpu",
        f"CPU time of a token at {RATE} tokens/s a session, µs",
        ["sessions", *(contestant.name for contestant in contestants)],
        note="The pipelines' own cost and that of the turn included. Text is late in earnest when "
        "all tokens of a second together take a second.",
    )
    plot = Plot("sessions", "How late text is (p99)", "sessions in one process", "ms")
    findings.plots.append(plot)
    points: dict[Contestant, dict[float, float]] = defaultdict(dict)
    for count in counts:
        found: dict[Contestant, list[Lateness]] = defaultdict(list)
        for _ in range(rounds):
            for contestant in contestants:
                found[contestant].append(await _stream(server, contestant, count, RATE, seconds))
        row: list[float] = []
        for contestant in contestants:
            p99 = median(late.p99 for late in found[contestant])
            row += [median(late.p50 for late in found[contestant]), p99]
            points[contestant][count] = p99 * 1e3
        table.add(count, *(rounded(value * 1e3) for value in row))
        spent = [median(late.cpu for late in found[contestant]) for contestant in contestants]
        costs.add(count, *(rounded(value * 1e6) for value in spent))
    for contestant in contestants:
        plot.line(contestant.name, points[contestant])
    findings.at_most(
        f"p99 with {counts[-1]} sessions: our WebSocket over Pipecat's (a tenth for noise)",
        ratio(points[OUR_WS][counts[-1]], points[PIPECAT_WS][counts[-1]]),
        NOISE,
        TIMES,
    )


async def _rising(findings: Findings, server: Server) -> None:
    """Raises the rate until the text is late."""
    table = findings.table(
        "rising",
        f"{RISING_SESSIONS} sessions, rising rate: p99 of how late text is, ms",
        ["tokens/s in all", *(contestant.name for contestant in WEBSOCKETS)],
        note=f"A contestant is out when its p99 passes {TOO_LATE * 1e3:.0f} ms.",
    )
    kept: dict[Contestant, float] = dict.fromkeys(WEBSOCKETS, 0.0)
    running = set(WEBSOCKETS)
    rate = 20.0
    while running and rate * RISING_SESSIONS < 200_000:
        row: dict[Contestant, float] = {}
        for contestant in WEBSOCKETS:
            if contestant in running:
                late = await _stream(server, contestant, RISING_SESSIONS, rate, SECONDS)
                row[contestant] = late.p99
                if late.p99 > TOO_LATE:
                    running.discard(contestant)
                else:
                    kept[contestant] = rate * RISING_SESSIONS
        table.add(
            int(rate * RISING_SESSIONS),
            *(rounded(row[c] * 1e3) if c in row else None for c in WEBSOCKETS),
        )
        rate *= STEP
    findings.at_least(
        "Tokens/s that are kept up with: our WebSocket over Pipecat's",
        ratio(kept[OUR_WS], kept[PIPECAT_WS]),
        1,
        TIMES,
    )


async def _stream(
    server: Server, contestant: Contestant, count: int, rate: float, seconds: float
) -> Lateness:
    tokens = max(1, int(rate * seconds))
    await server.beat(tokens, rate)
    late: list[int] = []

    def note(text: str) -> None:
        now = time.monotonic_ns()
        late.extend(now - int(stamp) for stamp in text.split())

    async with AsyncExitStack() as stack:
        stages = [Stage(contestant.service(f"http://{server.metronome}/v1")) for _ in range(count)]
        await asyncio.gather(*(stack.enter_async_context(stage) for stage in stages))
        for number, stage in enumerate(stages):
            await stage.ready()
            stage.said.on_text = note
            stage.context.add_message({"role": "user", "content": material.text(100, number)})
        tidy()
        with Cpu() as cpu:
            await asyncio.gather(*(stage.turn() for stage in stages))
        for stage in stages:
            stage.check()
    if len(late) != tokens * count:
        raise RuntimeError(f"{contestant.name}: {len(late)} of {tokens * count} tokens arrived")
    return Lateness(
        percentile(late, 0.5) / 1e9, percentile(late, 0.99) / 1e9, cpu.seconds / len(late)
    )
