"""The worst silences of a call: a server that is slow once in thirty turns."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from benchmarks import material
from benchmarks.contestants import ALL, INSTRUCTIONS
from benchmarks.measure import median, percentile, ratio, rounded
from benchmarks.model import TIMES, Findings
from benchmarks.server import Server
from benchmarks.stage import Stage
from pipecat_responses import HedgePolicy
from pipecat_responses import llm as ours

TURNS = 300
ROUND_TRIP = 0.08
UP = 2_000_000 / 8
PACE = 60
WORDS = 60
"""Characters of an answer: about twelve tokens."""

INTERRUPTED = 12
"""Each so-manieth turn is interrupted by the user."""

HEDGED = "ours WebSocket, hedged"
HEDGED_HTTP = "ours HTTP, hedged"


@dataclass
class Heard:
    """What a contestant's caller has heard.

    Attributes:
        waits: Seconds from each context frame to the first text.
    """

    waits: list[float] = field(default_factory=list)


def _contestants() -> dict[str, Callable[[str], Any]]:
    found: dict[str, Callable[[str], Any]] = {each.name: each.service for each in ALL}
    found[HEDGED] = lambda base_url: _hedged(ours.OpenAIResponsesLLMService, base_url)
    found[HEDGED_HTTP] = lambda base_url: _hedged(ours.OpenAIResponsesHttpLLMService, base_url)
    return found


def _hedged(kind: Any, base_url: str) -> Any:
    return kind(
        api_key="benchmark",
        base_url=base_url,
        hedge=HedgePolicy(),
        settings=kind.Settings(system_instruction=INSTRUCTIONS),
    )


async def run(server: Server, quick: bool) -> Findings:
    """The worst silences of a call."""
    findings = Findings("tail", "The worst silences of a call")
    turns = 30 if quick else TURNS
    await server.reset(tokens_per_second=PACE)
    await server.tail(material.text(WORDS, 3))
    await server.shape(ROUND_TRIP / 2, UP)
    heard: dict[str, Heard] = defaultdict(Heard)
    async with AsyncExitStack() as stack:
        stages: dict[str, Stage] = {}
        for name, make in _contestants().items():
            stage = Stage(make(f"http://{server.link}/v1"), material.context(10))
            stages[name] = await (await stack.enter_async_context(stage)).ready()
        # All at the same time: they wait, most of the time.
        calls = (_call(name, stage, heard[name], turns) for name, stage in stages.items())
        await asyncio.gather(*calls)
        for stage in stages.values():
            stage.check()
    requests = await server.asked()
    table = findings.table(
        "tail",
        "From the context frame to the first text, ms",
        ["who", "p50", "p95", "p99", "longest", "requests a turn"],
        note=f"A call of {turns} turns each, every twelfth interrupted, over "
        f"{ROUND_TRIP * 1e3:.0f} ms of round trip and 2 Mbit/s. The server takes log-normal times "
        "around 450 ms to the first token, in 3 % of the requests 3 to 8 s; turn by turn the same "
        f"for everybody, and drawn anew for a request that repeats one. {PACE} tokens a second.",
    )
    for name, found in heard.items():
        table.add(
            name,
            *(rounded(value * 1e3) for value in _shape(found.waits)),
            rounded(requests.get(name, 0) / turns),
        )
    findings.at_most(
        "Wait that one turn in a hundred is longer than: our WebSocket, hedged",
        percentile(heard[HEDGED].waits, 0.99),
        1.5,
        " s",
    )
    findings.at_most(
        "Requests of our WebSocket, hedged, over those of it without",
        ratio(requests.get(HEDGED, 0), requests.get("ours WebSocket", 0)),
        1.06,
        TIMES,
    )
    return findings


def _shape(waits: list[float]) -> list[float]:
    return [median(waits), percentile(waits, 0.95), percentile(waits, 0.99), max(waits)]


async def _call(name: str, stage: Stage, heard: Heard, turns: int) -> None:
    for number in range(1, turns + 1):
        # The server tells by it whose turn it is, and which.
        asked = f"[{name}|{number}] {material.text(80, number)}"
        stage.context.add_message({"role": "user", "content": asked})
        if number % INTERRUPTED:
            said = await stage.turn()
            heard.waits.append(stage.said.first_text_at - stage.before.asked_at)
        else:
            said = await _interrupted(stage)
        stage.context.add_message({"role": "assistant", "content": said or "Yes."})


async def _interrupted(stage: Stage) -> str:
    """The user speaks again soon after the answer has begun."""
    before = stage.said.text_frames
    await stage.push_context()
    await stage.said.until(lambda: stage.said.text_frames > before, stage.patience)
    await stage.interrupt()
    return stage.said.text
