"""Many calls that start at once over TLS, and whose server dies and comes back."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.contestants import ALL, OUR_WS, WEBSOCKETS
from benchmarks.measure import fresh_python, median, rounded
from benchmarks.model import Findings
from benchmarks.server import Server

MS, KB = " ms", " kB"


async def run(server: Server, quick: bool) -> Findings:
    """A storm over TLS; its server is one of its own."""
    findings = Findings("storm", "Many calls at once over TLS")
    count, rounds = (50, 1) if quick else (200, 3)
    table = findings.table(
        "storm",
        f"{count} calls that start at once, and again after their server has died",
        [
            "who",
            "CPU a call, ms",
            "memory a call, kB",
            "longest block, ms",
            "all connected, ms",
            "all answered again, ms",
            "CPU a call, ms (again)",
            "longest block, ms (again)",
        ],
        note="Over wss:// and https:// with the system's certificate authorities; in a fresh "
        "process each, pipelines included; medians. A block is what the event loop computes in "
        "one stretch; the garbage collector is off, since where its passes (50 to 150 ms here) "
        "fall is chance. After its server has come back, each call asks something. A service that "
        "does nothing is Pipecat's base class in a pipeline.",
    )
    measured = WEBSOCKETS if quick else ALL
    names = {"none": "a service that does nothing", **{each.short: each.name for each in measured}}
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(rounds):
        for short in names:
            for name, value in (
                await fresh_python("-m", "benchmarks.storm", short, str(count))
            ).items():
                found[short][name].append(value)
    figures = {
        short: {name: median(values) for name, values in each.items()}
        for short, each in found.items()
    }
    order = (
        "cpu_ms",
        "kilobytes",
        "start_block_ms",
        "started_ms",
        "back_ms",
        "back_cpu_ms",
        "back_block_ms",
    )
    for short, name in names.items():
        table.add(name, *(rounded(figures[short][each]) for each in order))
    ours, alone = figures[OUR_WS.short], figures["none"]
    more = "our WebSocket, more than a service that does nothing"
    findings.at_most(f"CPU of a call's start: {more}", ours["cpu_ms"] - alone["cpu_ms"], 4, MS)
    findings.at_most(f"Memory of a call: {more}", ours["kilobytes"] - alone["kilobytes"], 300, KB)
    findings.at_most(
        f"Longest block when {count} calls start at once: {more}",
        ours["start_block_ms"] - alone["start_block_ms"],
        20,
        MS,
    )
    return findings
