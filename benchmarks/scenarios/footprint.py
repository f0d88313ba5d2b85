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
SERVICE = "{module}.OpenAIResponsesLLMService(api_key='benchmark', base_url='http://localhost/v1')"
ROUNDS = 10


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
        "To import, CPU in ms",
        ["what", "alone", "and a service created", "after Pipecat's core and the OpenAI SDK"],
        note="In a fresh interpreter, from bytecode; medians of alternating runs. The SDK comes "
        "with Pipecat's module, and with the first of our services.",
    )
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(2 if quick else ROUNDS + 1):
        for name, module in MODULES.items():
            steps = {
                "alone": ("", f"import {module}"),
                "created": ("", f"import {module}; {SERVICE.format(module=module)}"),
                "after": (SHARED, f"import {module}"),
            }
            for step, (before, measured) in steps.items():
                code = (
                    "import os, time, json; os.environ['LOGURU_AUTOINIT'] = '0'\n"
                    f"{before}\n"
                    f"start = time.process_time(); {measured}\n"
                    "print(json.dumps(time.process_time() - start))"
                )
                taken = await fresh_python("-W", "ignore", "-c", code)
                if number:
                    # The first one may have had bytecode to write.
                    times[name, step].append(taken)
    for name, module in MODULES.items():
        taken = [rounded(median(times[name, step]) * 1e3) for step in steps]
        table.add(f"{name} ({module})", *taken)
    theirs, ours = (median(times[name, "alone"]) for name in MODULES)
    findings.at_most("To import ours takes of the CPU that Pipecat's takes", ours / theirs, 1)


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
