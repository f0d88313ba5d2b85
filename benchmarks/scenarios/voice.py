"""Calls with sound: how long a caller waits for the bot to speak, and for it to be silent."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipecat.adapters.llm.schemas.tools_schema import AdapterType, ToolsSchema
from pipecat.services.llm_service import FunctionCallParams

from benchmarks.contestants import ALL, OUR_WS, PIPECAT_WS, Contestant
from benchmarks.measure import median, percentile, ratio, rounded
from benchmarks.model import TIMES, Cell, Findings, Plot, Strip, Timeline
from benchmarks.phone import Phone
from benchmarks.server import Server
from benchmarks.server.link import SlowLink
from pipecat_responses.sandbox import Sandbox, SandboxConfig
from pipecat_responses.testing import AutojumpEventLoop
from pipecat_responses.testing.line import SLOT

ROUND_TRIP = 0.08
WIDE = 1e9
PACE = 20.0
"""Tokens a second: an answer of 150 words is under way for some seconds."""

LISTENED = 1.5
"""Seconds of a story before the caller talks over it."""

TOOL = 2.0
SEARCH = 3.0
PAUSE = 0.4
CANCELS = ("ignored", "honoured")
SHOWN = 20.0
"""Seconds of a call that are drawn."""


def _over(cancel: str) -> str:
    return f"talked over, cancel {cancel}"


KINDS = ("plain", *map(_over, CANCELS), "function", "search")


@dataclass
class Times:
    """What callers have waited for, in seconds.

    Attributes:
        answers: From the caller's last sample to the bot's first, by the kind of the turn.
        silences: From the caller's first sample, over the bot, to the bot's last.
    """

    answers: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    silences: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


async def run(server: Server, quick: bool) -> Findings:
    """Calls with sound."""
    findings = Findings("voice", "Calls with sound")
    # A loop of its own: in its time nothing takes time but waiting.
    found, strips = await asyncio.to_thread(_hold_calls, 1 if quick else 4)
    note = (
        f"Over {ROUND_TRIP * 1e3:.0f} ms of round trip; the server begins after 0.35 s in the "
        f"median and gives {PACE:.0f} tokens a second. Computing takes no time here: what is "
        "measured is what everybody waits for, on the clock of the audio, to 20 ms."
    )
    _table(findings, "voice_answers", "bot's first audible sample", "answers", found, note)
    _table(
        findings,
        "voice_silences",
        "bot's last one, when the caller talks over it (from the caller's first sample)",
        "silences",
        found,
        "A story is talked over after "
        f"{LISTENED:g} s. The function takes {TOOL:g} s, and the search {SEARCH:g} s, before which "
        "the model says that it looks that up.",
    )
    over = KINDS[1]
    plot = Plot(
        "voice",
        "From the caller's last sample to the answer, after talking over the bot",
        "turns, %",
        "seconds",
        log_x=False,
        log_y=False,
    )
    for contestant in ALL:
        waits = sorted(found[contestant].answers[over])
        plot.line(contestant.name, {100 * (n + 1) / len(waits): t for n, t in enumerate(waits)})
    findings.plots.append(plot)
    findings.timelines.append(
        Timeline("voice_line", "A story that is talked over, and the answer", strips)
    )
    ours, theirs = found[OUR_WS], found[PIPECAT_WS]
    for kind in ("plain", over, "function", "search"):
        findings.at_most(
            f"Audible answer, {kind}: our WebSocket over Pipecat's",
            ratio(median(ours.answers[kind]), median(theirs.answers[kind])),
            1.05,
            TIMES,
        )
    return findings


def _table(
    findings: Findings,
    name: str,
    until: str,
    what: str,
    found: dict[Contestant, Times],
    note: str,
) -> None:
    kinds = [kind for kind in KINDS if kind in getattr(found[OUR_WS], what)]
    table = findings.table(
        name,
        f"From the caller's last sample to the {until}, ms"
        if what == "answers"
        else f"To the {until}, ms",
        ["who", *(f"{kind}, {part}" for kind in kinds for part in ("p50", "p95"))],
        note=note,
    )
    for contestant, times in found.items():
        by_kind = getattr(times, what)
        table.add(contestant.name, *(cell for kind in kinds for cell in _figures(by_kind[kind])))


def _figures(seconds: Sequence[float]) -> list[Cell]:
    return [rounded(each * 1e3) for each in (median(seconds), percentile(seconds, 0.95))]


# -- the calls ------------------------------------------------------------------------------------


def _hold_calls(rounds: int) -> tuple[dict[Contestant, Times], list[Strip]]:
    with asyncio.Runner(loop_factory=AutojumpEventLoop) as runner:
        return runner.run(_calls(rounds))


async def _calls(rounds: int) -> tuple[dict[Contestant, Times], list[Strip]]:
    found = {contestant: Times() for contestant in ALL}
    strips: list[Strip] = []
    for contestant in ALL:
        for cancel in CANCELS:
            phone = await _call(contestant, cancel, rounds, found[contestant])
            if cancel == "ignored" and contestant in (OUR_WS, PIPECAT_WS):
                strips = [*_strips(contestant, phone), *strips]
    return found, strips


async def _call(contestant: Contestant, cancel: Any, rounds: int, times: Times) -> Phone:
    """One call: rounds of each kind of turn, as late as everybody's turns of that number are."""
    config = SandboxConfig(
        persona=True, tokens_per_second=PACE, hosted_seconds=SEARCH, cancel=cancel
    )
    draw = random.Random(1)
    async with Sandbox(config) as sandbox:
        link = SlowLink(sandbox.port)
        link.delay, link.up = ROUND_TRIP / 2, WIDE
        phone = Phone(contestant.service(f"http://{await link.start()}/v1"), _tools())
        kinds = [_story] if cancel != "ignored" else [_story, _plain, _function, _search]
        async with phone.call():
            for _ in range(rounds):
                for kind in kinds:
                    config.time_to_first_token = 0.35 * draw.lognormvariate(0.0, 0.3)
                    await kind(phone, times, cancel)
    return phone


Turn = Callable[[Phone, Times, str], Awaitable[None]]


async def _plain(phone: Phone, times: Times, _: str) -> None:
    said = await phone.tells("What is seven times eight?")
    times.answers["plain"].append((await phone.hears()).begin - said.end)


async def _story(phone: Phone, times: Times, cancel: str) -> None:
    await phone.tells("Tell me a story.")
    await phone.hears_beginning()
    await phone.waits(LISTENED)
    said = await phone.tells("What is seven times eight?")
    silent = await phone.hears_end(pause=PAUSE, since=said.begin)
    answer = await phone.hears()
    times.silences[_over(cancel)].append(silent - said.begin)
    times.answers[_over(cancel)].append(answer.begin - said.end)


async def _function(phone: Phone, times: Times, _: str) -> None:
    said = await phone.tells("What time is it?")
    times.answers["function"].append((await phone.hears()).begin - said.end)


async def _search(phone: Phone, times: Times, _: str) -> None:
    said = await phone.tells("Search for the moon.")
    first = await phone.hears(pause=PAUSE)
    times.answers["search"].append(first.begin - said.end)
    await phone.hears_end(pause=SEARCH + 1.0)


def _tools() -> ToolsSchema:
    search = {AdapterType.OPENAI: [{"type": "web_search"}]}
    return ToolsSchema(standard_tools=[get_time], custom_tools=search)


async def get_time(params: FunctionCallParams) -> None:
    """Tell the time of day."""
    await asyncio.sleep(TOOL)
    await params.result_callback("half past seven")


def _strips(contestant: Contestant, phone: Phone) -> list[Strip]:
    """Both sides of a call's beginning: a story that is talked over."""
    line = phone.transport
    sides = {"caller": line.spoken, "bot": line.played}
    return [
        Strip(
            f"{contestant.name}: {side}",
            [round(peak / 32767, 3) for peak in track.peaks[: round(SHOWN / SLOT)]],
        )
        for side, track in sides.items()
    ]
