"""Time to the first text over a slow link."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack
from typing import Any

from benchmarks import material
from benchmarks.contestants import ALL, OUR_WS, PIPECAT_WS, Contestant
from benchmarks.measure import median, ratio, rounded
from benchmarks.model import TIMES, Findings
from benchmarks.server import Server
from benchmarks.stage import Stage

ROUND_TRIP = 0.08
UP = 2_000_000 / 8
SPEAKING = 0.7
KINDS = ("first turn", "clean turn", "after cut speech")


async def run(server: Server, quick: bool) -> Findings:
    """Time to the first text over a slow link."""
    findings = Findings("link", "Time to the first text over a slow link")
    rounds = 1 if quick else 6
    await server.reset()
    await server.reply(material.text(300, 5))
    await server.shape(ROUND_TRIP / 2, UP)
    times: dict[tuple[Contestant, str], list[float]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        stages: dict[Contestant, Stage] = {}
        for contestant in ALL:
            stage = Stage(contestant.service(f"http://{server.link}/v1"), material.context(100))
            stages[contestant] = await (await stack.enter_async_context(stage)).ready()
            times[contestant, KINDS[0]].append(await _turn(stage, 0))
        for number in range(1, rounds + 1):
            for contestant, stage in stages.items():
                times[contestant, KINDS[1]].append(await _turn(stage, number))
                last: Any = stage.context.get_messages()[-1]
                last["content"] = last["content"][:150]
                await stage.interrupt()
                await asyncio.sleep(SPEAKING)
                times[contestant, KINDS[2]].append(await _turn(stage, number))
        for stage in stages.values():
            stage.check()
    table = findings.table(
        "link",
        "From the context frame to the first text, ms (medians)",
        ["who", *KINDS],
        note="100 kB of context; 80 ms of round trip, 2 Mbit/s towards the server; the server "
        f"answers at once. After cut speech the user speaks for {SPEAKING * 1e3:.0f} ms.",
    )
    for contestant in ALL:
        table.add(
            contestant.name,
            *(rounded(median(times[contestant, kind]) * 1e3) for kind in KINDS),
        )
    findings.at_most(
        "First text after cut speech: our WebSocket over Pipecat's",
        ratio(median(times[OUR_WS, KINDS[2]]), median(times[PIPECAT_WS, KINDS[2]])),
        1,
        TIMES,
    )
    return findings


async def _turn(stage: Stage, number: int) -> float:
    stage.context.add_message({"role": "user", "content": material.text(100, number)})
    said = await stage.turn()
    stage.context.add_message({"role": "assistant", "content": said})
    return stage.said.first_text_at - stage.before.asked_at
