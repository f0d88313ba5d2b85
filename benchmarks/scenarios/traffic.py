"""Bytes sent over scripted calls, and how many requests were incremental."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from benchmarks import material
from benchmarks.contestants import ALL, OUR_WS, WEBSOCKETS, Contestant
from benchmarks.model import Findings
from benchmarks.server import Server
from benchmarks.stage import Stage

SPEAKING = 0.1
"""Seconds between an interruption and the next turn: the user speaks."""


@dataclass
class Sent:
    """What a call sent.

    Attributes:
        requests: Requests for answers.
        incremental: How many of them carried only what was new.
        size: Bytes of all requests, warm-ups and anchors included.
        beside: Warm-ups and anchors.
        right: Whether the model saw in the end what the context says.
    """

    requests: int
    incremental: int
    size: int
    beside: int
    right: bool


Call = Callable[[Server, Contestant], Awaitable[Stage]]


async def run(server: Server, quick: bool) -> Findings:
    """Bytes sent."""
    findings = Findings("traffic", "Bytes sent, and incremental requests")
    table = findings.table(
        "traffic",
        "Bytes sent over a call",
        ["call", "who", "requests", "incremental", "beside them", "bytes", "history right"],
        note="Beside them: warm-ups and anchors, whose bytes are counted. History right: what the "
        "model saw with the last request is what the context says.",
    )
    calls: list[tuple[str, Call]] = [
        ("12 clean turns", _clean),
        ("12 clean turns after warm_up", _warmed),
        ("12 turns, every third reply cut", _every_third_cut),
        ("100 kB of context, 40 turns, every reply cut", _all_cut),
        ("two parallel calls a turn", _parallel_calls),
        ("60 turns: interruptions, cut speech, functions", _long_call),
    ]
    contestants = WEBSOCKETS if quick else ALL
    for name, call in calls[:-1] if quick else calls:
        for contestant in contestants:
            if call is _warmed and contestant is not OUR_WS:
                continue
            await server.reset()
            stage = await call(server, contestant)
            sent = await _sent(server, stage)
            table.add(
                name,
                contestant.name,
                sent.requests,
                sent.incremental,
                sent.beside,
                sent.size,
                "yes" if sent.right else "NO",
            )
            if contestant is OUR_WS:
                _check(findings, name, call, sent)
    return findings


def _check(findings: Findings, name: str, call: Call, sent: Sent) -> None:
    findings.at_least(f"{name}: history right", float(sent.right), 1)
    full = 0 if call is _warmed else 1
    findings.at_least(
        f"{name}: incremental of {sent.requests}", sent.incremental, sent.requests - full
    )
    bounds: dict[Call, int] = {_every_third_cut: 10_000, _all_cut: 350_000}
    if call in bounds:
        findings.at_most(f"{name}: bytes", sent.size, bounds[call], "B")


async def _sent(server: Server, stage: Stage) -> Sent:
    requests = await server.requests(history=True)
    answers = [request for request in requests if request.generate]
    expected = [
        (message["role"], message["content"])
        for message in stage.context.get_messages()
        if isinstance(message, dict)
        and message["role"] in ("developer", "user", "assistant")
        and isinstance(message.get("content"), str)
    ]
    # The last answer came after the last request.
    expected.pop()
    seen = [(role, said) for role, said in map(tuple, requests[-1].history)]
    return Sent(
        len(answers),
        sum(request.incremental for request in answers),
        sum(request.size for request in requests),
        len(requests) - len(answers),
        seen == expected,
    )


# -- calls whose context is kept by hand ------------------------------------------------------


async def _turn(server: Server, stage: Stage, number: int, reply: str) -> None:
    await server.script(reply)
    stage.context.add_message({"role": "user", "content": material.text(100, number)})
    said = await stage.turn()
    stage.context.add_message({"role": "assistant", "content": said})


async def _cut(stage: Stage, share: float = 0.5) -> None:
    """The user interrupts speech whose text had arrived whole: the context keeps what was heard."""
    last: Any = stage.context.get_messages()[-1]
    words = last["content"].split(" ")
    last["content"] = " ".join(words[: max(1, int(len(words) * share))])
    await stage.interrupt()
    await asyncio.sleep(SPEAKING)


async def _clean(server: Server, contestant: Contestant, *, warm: bool = False) -> Stage:
    async with Stage(contestant.service(server.base_url)) as stage:
        await stage.ready()
        if warm:
            stage.context.add_message({"role": "developer", "content": material.text(1000, 1)})
            await stage.llm.warm_up(stage.context)
        for number in range(12):
            await _turn(server, stage, number, material.text(500, 100 + number))
        stage.check()
    return stage


async def _warmed(server: Server, contestant: Contestant) -> Stage:
    return await _clean(server, contestant, warm=True)


async def _every_third_cut(server: Server, contestant: Contestant) -> Stage:
    async with Stage(contestant.service(server.base_url)) as stage:
        await stage.ready()
        for number in range(12):
            await _turn(server, stage, number, material.text(640, 100 + number))
            if number % 3 == 1:
                await _cut(stage)
        stage.check()
    return stage


async def _all_cut(server: Server, contestant: Contestant) -> Stage:
    context: LLMContext = material.context(100)
    async with Stage(contestant.service(server.base_url), context) as stage:
        await stage.ready()
        for number in range(40):
            await _turn(server, stage, number, material.text(700, 100 + number))
            if number < 39:
                await _cut(stage)
        stage.check()
    return stage


# -- calls through the aggregators ------------------------------------------------------------


async def _look_up(params: FunctionCallParams) -> None:
    await params.result_callback({"found": material.text(300, 7)})


def _with_functions(server: Server, contestant: Contestant) -> Stage:
    service = contestant.service(server.base_url)
    for n in range(2):
        service.register_function(f"tool_{n}", _look_up)
    return Stage(service, LLMContext(tools=material.schema(2)), aggregators=True)


async def _call_functions(server: Server, stage: Stage, number: int) -> None:
    await server.script({"parts": material.calls(number)}, material.text(300, number))
    await stage.say(material.text(100, number), ends=2)


async def _parallel_calls(server: Server, contestant: Contestant) -> Stage:
    async with _with_functions(server, contestant) as stage:
        await stage.ready()
        for number in range(4):
            await _call_functions(server, stage, number)
        await server.script("Good bye.")
        await stage.say("Thank you, that is all.")
        stage.check()
    return stage


async def _long_call(server: Server, contestant: Contestant) -> Stage:
    async with _with_functions(server, contestant) as stage:
        await stage.ready()
        for number in range(60):
            kind = number % 6
            if kind == 1:
                await _call_functions(server, stage, number)
            elif kind == 4:
                await _interrupted(server, stage, number)
            else:
                await server.script(material.text(500, number))
                await stage.say(material.text(100, number))
                if kind == 2:
                    await _cut(stage)
        stage.check()
    return stage


async def _interrupted(server: Server, stage: Stage, number: int) -> None:
    """The user interrupts while the text still arrives."""
    await server.script({"parts": [material.text(300, number)], "tokens_per_second": 50})
    await stage.start(material.text(100, number))
    await stage.text_arrives(5)
    await stage.interrupt()
    await asyncio.sleep(SPEAKING)
