"""Incremental requests behind a voice, which writes the context in its own way."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from benchmarks import material
from benchmarks.contestants import OUR_WS, WEBSOCKETS, Contestant
from benchmarks.model import Findings, Table
from benchmarks.server import Server
from benchmarks.stage import Stage
from pipecat_responses.testing import VoiceKind

KINDS: tuple[VoiceKind | None, ...] = (None, "sentence", "word", "token")

SPEAKING = 0.1
"""Seconds between an interruption and the next turn: the user speaks."""

HALF = 17.0
"""Seconds into an answer of 500 characters, at 15 a second: about the middle."""


@dataclass(frozen=True)
class Outcome:
    """How a call went.

    Attributes:
        requests: Requests for answers.
        incremental: How many of them carried only what was new.
        right: Whether the model saw in the end what the context says.
    """

    requests: int
    incremental: int
    right: bool

    def __str__(self) -> str:
        """As the table has it."""
        return f"{self.incremental} of {self.requests}" + ("" if self.right else ", HISTORY WRONG")


Call = Callable[[Server, Stage], Awaitable[None]]


async def run(server: Server, quick: bool) -> Findings:
    """Calls, and answers of many shapes, with a voice of each kind."""
    findings = Findings("voices", "Incremental requests behind a voice")
    kinds = ("sentence", "word") if quick else KINDS
    names = [f"{kind or 'no'} voice, {who.name}" for kind in kinds for who in WEBSOCKETS]
    calls = findings.table(
        "voices_calls",
        "Incremental requests of calls with a voice",
        ["call", *names],
        note="At an interruption the context keeps what had been played: whole sentences with a "
        "sentence voice, words with the others. Behind a voice, results of functions reach the "
        "aggregator one by one, and Pipecat asks for an answer to each: hence more requests.",
    )
    scripted: list[tuple[str, Call]] = [
        ("12 clean turns", _clean),
        ("12 turns, every third reply cut", _every_third_cut),
        ("two parallel calls a turn", _parallel_calls),
        ("60 turns: interruptions, cut speech, functions", _long_call),
    ]
    for name, call in scripted[:-1] if quick else scripted:
        row = await _row(server, calls, name, call, kinds)
        for kind, outcome in row.items():
            _check(findings, f"{name}, {kind or 'no'} voice", [outcome])
    shapes = findings.table(
        "voices_shapes",
        "Incremental requests, by what the model writes",
        ["the model writes", *names],
        note="Calls of 6 turns, 3 in a quick run; the first request is always a full one.",
    )
    ours = []
    for name, text in material.SHAPES.items():
        ours.append(await _row(server, shapes, name, _shape(text, 3 if quick else 6), kinds))
    for kind in kinds:
        _check(findings, f"all shapes, {kind or 'no'} voice", [row[kind] for row in ours])
    return findings


def _check(findings: Findings, what: str, outcomes: list[Outcome]) -> None:
    """Every request of ours is incremental but the first of each call."""
    requests = sum(outcome.requests for outcome in outcomes)
    incremental = sum(outcome.incremental for outcome in outcomes if outcome.right)
    findings.at_least(f"{what}: incremental of {requests}", incremental, requests - len(outcomes))


async def _row(
    server: Server, table: Table, name: str, call: Call, kinds: tuple[VoiceKind | None, ...]
) -> dict[VoiceKind | None, Outcome]:
    """Runs a call with each voice and each service, and gives our service's outcomes."""
    outcomes = {}
    for kind in kinds:
        for contestant in WEBSOCKETS:
            await server.reset()
            outcomes[kind, contestant] = await _outcome(server, contestant, kind, call)
    table.add(name, *map(str, outcomes.values()))
    return {kind: outcomes[kind, OUR_WS] for kind in kinds}


async def _outcome(
    server: Server, contestant: Contestant, kind: VoiceKind | None, call: Call
) -> Outcome:
    service = contestant.service(server.base_url)
    for n in range(2):
        service.register_function(f"tool_{n}", _look_up)
    context = LLMContext(tools=material.schema(2))
    stage = Stage(service, context, tts=kind, paced=kind is not None, aggregators=True)
    async with stage:
        await stage.ready()
        await call(server, stage)
        stage.check()
    requests = await server.requests(history=True)
    answers = [request for request in requests if request.generate]
    said: list[Any] = [
        (message["role"], message.get("content"))
        for message in stage.context.get_messages()
        if isinstance(message, dict) and message["role"] in ("user", "assistant")
    ]
    seen = [(role, text) for role, text in requests[-1].history]
    # The last answer came after the last request.
    return Outcome(
        len(answers),
        sum(request.incremental for request in answers),
        _letters(seen) == _letters(said[:-1]),
    )


def _letters(messages: list[tuple[str, Any]]) -> list[str]:
    """What each side says in turn: its letters and digits."""
    turns: list[str] = []
    last = ""
    for role, text in messages:
        kept = "".join(c for c in text or "" if unicodedata.category(c)[0] in "LNM")
        if not kept:
            continue
        if role != last:
            turns.append("")
        turns[-1] += kept
        last = role
    return turns


async def _look_up(params: FunctionCallParams) -> None:
    await params.result_callback({"found": material.text(300, 7)})


# -- calls --------------------------------------------------------------------------------------


async def _turn(server: Server, stage: Stage, number: int) -> None:
    await server.script(material.sentences(500, number))
    await stage.say(material.text(100, number))


async def _cut(server: Server, stage: Stage, number: int) -> None:
    """The user interrupts speech whose text had arrived whole."""
    await server.script(material.sentences(500, number))
    await stage.start(material.text(100, number))
    await stage.answer_ends()
    await stage.settle()
    if stage.voice is None:
        last: Any = stage.context.get_messages()[-1]
        last["content"] = last["content"][: last["content"].rindex(" ", 0, 250)]
    else:
        await stage.play(HALF)
    await stage.interrupt()
    await asyncio.sleep(SPEAKING)


async def _interrupted(server: Server, stage: Stage, number: int) -> None:
    """The user interrupts while the text still arrives."""
    await server.script({"parts": [material.sentences(300, number)], "tokens_per_second": 50})
    await stage.start(material.text(100, number))
    await stage.text_arrives(5)
    await stage.interrupt()
    await asyncio.sleep(SPEAKING)


async def _functions(server: Server, stage: Stage, number: int) -> None:
    """Two calls at once, and an answer with their results."""
    await server.script({"parts": material.calls(number)}, material.sentences(300, number))
    await stage.say(material.text(100, number), ends=2)


async def _clean(server: Server, stage: Stage) -> None:
    for number in range(12):
        await _turn(server, stage, number)


async def _every_third_cut(server: Server, stage: Stage) -> None:
    for number in range(12):
        await (_cut if number % 3 == 1 else _turn)(server, stage, number)


async def _parallel_calls(server: Server, stage: Stage) -> None:
    for number in range(4):
        await _functions(server, stage, number)
    await _turn(server, stage, 4)


async def _long_call(server: Server, stage: Stage) -> None:
    kinds = {1: _functions, 2: _cut, 4: _interrupted}
    for number in range(60):
        await kinds.get(number % 6, _turn)(server, stage, number)


def _shape(text: str, turns: int) -> Call:
    async def call(server: Server, stage: Stage) -> None:
        for number in range(turns):
            await server.script(text)
            await stage.say(material.text(100, number))

    return call
