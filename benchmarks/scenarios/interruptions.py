"""What an interruption costs the next turn."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from benchmarks import material
from benchmarks.contestants import ALL, OUR_WS, Contestant
from benchmarks.measure import median, rounded
from benchmarks.model import Findings
from benchmarks.server import Server
from benchmarks.stage import Stage

WORDS = 60
PACE = 20.0
HEARD = 5
PAUSE = 0.1
"""Seconds before each turn that is measured, after an interruption as otherwise."""


@dataclass(frozen=True)
class Behaviour:
    """How a server behaves."""

    name: str
    config: dict[str, str]
    lanes: bool


BEHAVIOURS = (
    Behaviour("ignores response.cancel", {"cancel": "ignored"}, True),
    Behaviour("rejects response.cancel", {"cancel": "rejected"}, True),
    Behaviour("honours response.cancel", {"cancel": "honoured"}, True),
    Behaviour("rejects stream_id", {"cancel": "ignored", "lanes": "rejected"}, False),
    Behaviour("drops stream_id", {"cancel": "ignored", "lanes": "ignored"}, False),
)


@dataclass
class Times:
    """What was seen of the turns of one kind, in seconds."""

    to_wire: list[float] = field(default_factory=list)
    to_text: list[float] = field(default_factory=list)
    incremental: int = 0


async def run(server: Server, quick: bool) -> Findings:
    """What an interruption costs the next turn."""
    findings = Findings("interruptions", "The turn after an interruption")
    table = findings.table(
        "interruptions",
        "From the context frame to the request on the wire and to the first text, ms (medians)",
        [
            "the server",
            "who",
            "wire, clean turn",
            "wire, after interruption",
            "text, clean turn",
            "text, after interruption",
            "next turns incremental",
        ],
        note=f"A response of {WORDS} words at {PACE:.0f} a second is interrupted after {HEARD}; "
        f"the next turn follows {PAUSE * 1e3:.0f} ms later, and a clean turn comes after such a "
        "pause. What a lane remembers of a response that was cancelled is documented nowhere; "
        "this server forgets it, the worst case. A "
        "request that had to be sent again counts as on the wire the second time.",
    )
    behaviours = BEHAVIOURS[:1] if quick else BEHAVIOURS
    rounds = 2 if quick else 8
    for behaviour in behaviours:
        found = await _measure(server, behaviour, rounds)
        for contestant, (clean, after) in found.items():
            table.add(
                behaviour.name,
                contestant.name,
                rounded(median(clean.to_wire) * 1e3),
                rounded(median(after.to_wire) * 1e3),
                rounded(median(clean.to_text) * 1e3),
                rounded(median(after.to_text) * 1e3),
                f"{after.incremental} of {rounds}",
            )
            if contestant is OUR_WS:
                findings.at_most(
                    f"After an interruption, the server {behaviour.name}: later than a clean turn",
                    (median(after.to_wire) - median(clean.to_wire)) * 1e3,
                    2,
                    "ms",
                )
                if behaviour.lanes:
                    findings.at_least(
                        f"After it, the server {behaviour.name}: incremental of {rounds}",
                        after.incremental,
                        rounds,
                    )
    return findings


async def _measure(
    server: Server, behaviour: Behaviour, rounds: int
) -> dict[Contestant, tuple[Times, Times]]:
    await server.reset(**behaviour.config)
    found: dict[Contestant, tuple[Times, Times]] = defaultdict(lambda: (Times(), Times()))
    async with AsyncExitStack() as stack:
        stages: dict[Contestant, Stage] = {}
        for contestant in ALL:
            stage = Stage(contestant.service(server.base_url), aggregators=True)
            stages[contestant] = await (await stack.enter_async_context(stage)).ready()
            await server.script("Hello, what can I do for you?")
            await stage.say(material.text(100, 1))
        for number in range(rounds):
            for contestant, stage in stages.items():
                clean, after = found[contestant]
                # Otherwise whoever comes behind one that has waited for seconds finds the
                # processor's caches cold, and the others do not.
                await asyncio.sleep(PAUSE)
                await _clean(server, stage, clean, number)
                await _interrupted(server, stage, number)
                await _clean(server, stage, after, number)
                stage.check()
    return dict(found)


async def _interrupted(server: Server, stage: Stage, number: int) -> None:
    long = " ".join(f"word{n}" for n in range(WORDS))
    await server.script({"parts": [long], "tokens_per_second": PACE})
    await stage.start(material.text(80, number))
    await stage.text_arrives(HEARD)
    await stage.interrupt()
    await asyncio.sleep(PAUSE)


async def _clean(server: Server, stage: Stage, times: Times, number: int) -> None:
    await server.requests()
    await server.script("All right, I have written that down for you.")
    await stage.say(material.text(80, 100 + number))
    request = [request for request in await server.requests() if request.generate][-1]
    times.to_wire.append(request.received_at - stage.before.asked_at)
    times.to_text.append(stage.said.first_text_at - stage.before.asked_at)
    times.incremental += request.incremental
