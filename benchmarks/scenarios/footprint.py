"""Memory of an idle session, time to import, and the first turn from cold."""

from __future__ import annotations

import time
from collections import defaultdict

from benchmarks import material
from benchmarks.contestants import ALL, WEBSOCKETS
from benchmarks.measure import Cpu, fresh_python, median, rounded, tidy
from benchmarks.model import Findings
from benchmarks.server import Server
from benchmarks.stage import Stage

MODULES = {
    "Pipecat": "pipecat.services.openai.responses.llm",
    "ours": "pipecat_responses.llm",
}
SHARED = "import pipecat.services.llm_service, openai, websockets.asyncio.client"


async def run(server: Server, quick: bool) -> Findings:
    """Memory, import time, first turn."""
    findings = Findings("footprint", "Memory, imports, and the first turn")
    await server.reset()
    await server.reply("Hello.")
    await _memory(findings, server, quick)
    await _imports(findings, quick)
    await _cold(findings, server, quick)
    return findings


async def _memory(findings: Findings, server: Server, quick: bool) -> None:
    table = findings.table(
        "memory",
        "Memory of an idle session, kB",
        ["who", "with its pipeline", "without"],
        note="Growth of the resident set of a fresh process over 100 connected sessions; medians.",
    )
    found: dict[str, list[float]] = defaultdict(list)
    measured = WEBSOCKETS if quick else ALL
    names = {"none": "the pipeline alone", **{c.short: c.name for c in measured}}
    for _ in range(1 if quick else 3):
        for short in names:
            answer = await fresh_python("-m", "benchmarks.probe", short, server.base_url)
            found[short].append(answer["kilobytes"])
    alone = median(found["none"])
    for short, name in names.items():
        whole = median(found[short])
        table.add(name, rounded(whole), rounded(whole - alone) if short != "none" else None)


async def _imports(findings: Findings, quick: bool) -> None:
    table = findings.table(
        "imports",
        "Time to import, ms",
        ["what", "alone", "after Pipecat's core and the OpenAI SDK"],
        note="In a fresh interpreter; medians.",
    )
    times: dict[tuple[str, bool], list[float]] = defaultdict(list)
    for _ in range(1 if quick else 7):
        for name, module in MODULES.items():
            for shared in (False, True):
                code = (
                    "import os, time, json; os.environ['LOGURU_AUTOINIT'] = '0'\n"
                    f"{SHARED if shared else ''}\n"
                    f"start = time.perf_counter(); import {module}\n"
                    "print(json.dumps(time.perf_counter() - start))"
                )
                times[name, shared].append(await fresh_python("-W", "ignore", "-c", code))
    for name, module in MODULES.items():
        alone, after = (median(times[name, shared]) * 1e3 for shared in (False, True))
        table.add(f"{name} ({module})", rounded(alone), rounded(after))


async def _cold(findings: Findings, server: Server, quick: bool) -> None:
    table = findings.table(
        "cold",
        "The first turn from cold, ms",
        ["who", "to the first text", "CPU"],
        note="From before the service is created to the first text: service, pipeline, connection "
        "and turn; medians.",
    )
    times: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number in range(3 if quick else 15):
        for contestant in ALL:
            tidy()
            start = time.monotonic()
            with Cpu() as cpu:
                async with Stage(contestant.service(server.base_url)) as stage:
                    said = material.text(100, number)
                    stage.context.add_message({"role": "user", "content": said})
                    await stage.turn()
                    first = stage.said.first_text_at - start
                    stage.check()
            times[contestant.name].append((first, cpu.seconds))
    for name, found in times.items():
        table.add(
            name,
            rounded(median(first for first, _ in found) * 1e3),
            rounded(median(cpu for _, cpu in found) * 1e3),
        )
