"""The worst silences of a call: a server that is slow once in thirty turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from typing import Any

from pipecat.frames.frames import (
    Frame,
    LLMContextFrame,
    LLMFullResponseStartFrame,
    LLMSetToolsFrame,
    LLMTextFrame,
    LLMUpdateSettingsFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams

from benchmarks import script
from benchmarks.contestants import ALL, INSTRUCTIONS
from benchmarks.heard import GPT_5_5, Heard, Text, paid, priced, tables
from benchmarks.measure import median, percentile, ratio
from benchmarks.model import TIMES, Findings
from benchmarks.server import Server
from benchmarks.server.late import LATE
from benchmarks.stage import Stage
from pipecat_responses import HedgePolicy
from pipecat_responses import llm as ours
from pipecat_responses.testing import Voice

TURNS = 300
QUICK_TURNS = 26
ROUND_TRIP = 0.08
UP = 2_000_000 / 8
PACE = 60

FUNCTION_SECS = 0.8
"""How long a function takes."""

SPEAKING = 0.5
"""Seconds between an interruption and the next turn: the user speaks."""

PLAIN = "ours WebSocket"
HEDGED = "ours WebSocket, hedged"
EVERYTHING = "ours WebSocket, everything on"
EVERYTHING_HTTP = "ours HTTP, everything on"
PIPECAT = "Pipecat WebSocket"


HEDGE = HedgePolicy(repeatable_tools=("web_search",))
"""Each node has a search: without a word for it no turn would be hedged."""


def contestants() -> dict[str, Callable[[str], Any]]:
    """Who takes the call, by name: a service for a base URL."""
    found: dict[str, Callable[[str], Any]] = {each.name: each.service for each in ALL}
    websocket, http = ours.OpenAIResponsesLLMService, ours.OpenAIResponsesHttpLLMService
    found[HEDGED] = _ours(websocket, hedge=HEDGE)
    found[EVERYTHING] = _ours(websocket, hedge=HEDGE, keep_cache=True, warm_up="auto")
    found[EVERYTHING_HTTP] = _ours(http, hedge=HEDGE, keep_cache=True)
    return found


def _ours(kind: Any, **options: Any) -> Callable[[str], Any]:
    settings = kind.Settings(system_instruction=INSTRUCTIONS)
    return lambda base_url: kind(
        api_key="benchmark", base_url=base_url, settings=settings, **options
    )


async def run(server: Server, quick: bool) -> Findings:
    """The worst silences of a call."""
    findings = Findings("tail", "The worst silences of a call")
    turns = script.turns(QUICK_TURNS if quick else TURNS)
    await set_up(server)
    async with AsyncExitStack() as stack:
        calls: dict[str, Call] = {}
        for who, (name, make) in zip(script.LETTERS, contestants().items(), strict=False):
            call = Call(who, make(f"http://{server.link}/v1"))
            await (await stack.enter_async_context(call.stage)).ready()
            calls[name] = call
        # All at the same time: they wait, most of the time.
        await asyncio.gather(*(call.take(turns) for call in calls.values()))
        billed = await server.bills()
    heard = {name: call.heard for name, call in calls.items()}
    bills = {name: billed[call.who] for name, call in calls.items()}
    tables(findings, "tail", heard, bills, note(turns))
    _check(findings, heard, bills)
    return findings


async def set_up(server: Server) -> None:
    """Makes the server as late as a real one, and the way to it as long."""
    await server.reset(tokens_per_second=PACE)
    await server.tail()
    await server.shape(ROUND_TRIP / 2, UP)


def note(turns: list[script.Turn]) -> str:
    """What a reader of the tables must know of the call."""
    return (
        f"A call of {len(turns)} turns each, over {ROUND_TRIP * 1e3:.0f} ms of round trip and "
        f"{UP * 8 / 1e6:g} Mbit/s. The server takes log-normal times around 450 ms to the first "
        f"token, in {LATE:.0%} of the requests 3 to 8 s: turn by turn the same for everybody, and "
        f"drawn anew for a request that repeats one. {PACE} tokens a second."
    )


def _check(findings: Findings, heard: dict[str, Heard], bills: dict[str, dict[str, int]]) -> None:
    for name, short in ((HEDGED, "hedged"), (EVERYTHING, "everything on")):
        findings.at_most(
            f"Wait that one answer in a hundred is longer than: our WebSocket, {short}",
            percentile(heard[name].waits, 0.99),
            1.5,
            "s",
        )
        findings.at_most(
            f"Tokens billed: our WebSocket, {short}, over it plain",
            ratio(paid(bills[name]), paid(bills[PLAIN])),
            1.06,
            TIMES,
        )
        findings.at_most(
            f"Price of these tokens, with gpt-5.5: our WebSocket, {short}, over it plain",
            ratio(priced(bills[name], *GPT_5_5), priced(bills[PLAIN], *GPT_5_5)),
            1.06,
            TIMES,
        )
    findings.at_most(
        "Silence before the first sentence with a search: our WebSocket, everything on, over "
        "Pipecat's",
        ratio(
            median(heard[EVERYTHING].silences["search"]), median(heard[PIPECAT].silences["search"])
        ),
        0.25,
        TIMES,
    )


class _Notes(FrameProcessor):
    """Notes when what was said, behind a service.

    Attributes:
        responses: Of each response, when its context frame came, and its texts.
        asked_at: Tells when a context frame has come by in front of the service.
    """

    def __init__(self) -> None:
        super().__init__(enable_direct_mode=True)
        self.responses: list[tuple[float, list[Text]]] = []
        self.asked_at: Callable[[], float] = time.monotonic
        self._asked_from_behind_at = 0.0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            # With the result of a function, the context comes from the assistant's aggregator.
            self._asked_from_behind_at = time.monotonic()
        elif isinstance(frame, LLMFullResponseStartFrame):
            self.responses.append((max(self.asked_at(), self._asked_from_behind_at), []))
        elif isinstance(frame, LLMTextFrame) and frame.text:
            self.responses[-1][1].append((time.monotonic(), frame.text))
        await self.push_frame(frame, direction)


class _Voice(Voice):
    """Notes when it was given which sentence.

    Attributes:
        sentences: The sentences.
    """

    def __init__(self) -> None:
        super().__init__("sentence")
        self.sentences: list[Text] = []

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        self.sentences.append((time.monotonic(), text))
        async for frame in super().run_tts(text, context_id):
            yield frame


class Call:
    """The call of one contestant, between Pipecat's aggregators and with a voice.

    Attributes:
        who: The letter by which the server knows it.
        stage: The pipeline.
        heard: What its caller has heard.
    """

    def __init__(self, who: str, service: Any) -> None:
        self.who = who
        self._notes, self._voice = _Notes(), _Voice()
        for function in script.functions():
            service.register_function(function, _look_up)
        self.heard = Heard()
        context = LLMContext(script.beginning(who), script.tools(0))
        self.stage = Stage(service, context, tts=self._voice, aggregators=True, extra=[self._notes])
        self._notes.asked_at = lambda: self.stage.before.asked_at

    async def take(self, turns: list[script.Turn]) -> None:
        """Takes all turns, one after the other."""
        for turn in turns:
            if turn.is_new:
                await self._go_to(turn.node)
            await self._take(turn)
            self.stage.check()

    async def _go_to(self, node: int) -> None:
        """The flow comes to a node."""
        settings = self.stage.llm.Settings(system_instruction=script.instructions(node))
        await self.stage.worker.queue_frame(LLMUpdateSettingsFrame(delta=settings))
        await self.stage.worker.queue_frame(LLMSetToolsFrame(tools=script.tools(node)))

    async def _take(self, turn: script.Turn) -> None:
        asked = turn.asked(self.who)
        self._notes.responses.clear()
        self._voice.sentences.clear()
        if turn.kind == "interrupted":
            # The user speaks again soon after the answer has begun.
            await self.stage.start(asked)
            await self.stage.text_arrives()
            await self.stage.interrupt()
            await asyncio.sleep(SPEAKING)
        else:
            await self.stage.say(asked, ends=2 if turn.kind == "function" else 1)
        self.heard.note(turn.kind, self._notes.responses, self._voice.sentences)


async def _look_up(params: FunctionCallParams) -> None:
    await asyncio.sleep(FUNCTION_SECS)
    await params.result_callback({"found": "a payment of forty two euros"})
