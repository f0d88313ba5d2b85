"""An interruption at every await of a turn: the next turn is right, and nothing is left behind."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from pipecat.frames.frames import InterruptionFrame
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.testing import VoiceKind
from tests.histories import oracles
from tests.histories.meaning import Call, Meaning, Say, Search, Think, Wire, said, words_of
from tests.histories.server import PROPER, ScriptedServer
from tests.histories.stage import Stage, close, our_tasks, service
from tests.histories.steps import (
    Answer,
    Asked,
    Elapse,
    Head,
    Reset,
    Silence,
    Step,
    changed,
    error,
    only,
)
from tests.histories.strikes import Strike, StruckHttp, StruckWebSocket
from tests.support.hurry import Transport
from tests.support.portions import portion

STORY = "Once upon a time there was a king."
MOST_WAITS = 200
HURRIED = {"quiet_secs": 0.03, "probe_secs": 0.05, "begin_secs": 0.06}
LARGE = "data:image/png;base64," + "A" * 700_000


@dataclass(frozen=True)
class Scenario:
    """A turn to be interrupted.

    Attributes:
        answers: What its requests are answered with, one after the other.
        before: Whether a turn comes before it.
        prepare: Is called with the server right before it.
        content: What the user says.
        tts: The voice behind the service.
        calls: The functions that are called.
        limits: Limits of the turn.
    """

    answers: tuple[Answer, ...]
    before: bool = True
    prepare: Callable[[ScriptedServer], None] = lambda _: None
    content: Any = "Tell me a story."
    tts: VoiceKind | None = None
    calls: tuple[str, ...] = ()
    limits: dict[str, float] = field(default_factory=dict)


def slowly(meaning: Meaning, end: int | None = None, *then: Step) -> Answer:
    """A proper answer whose events arrive one by one, so that each is waited for.

    Args:
        meaning: What is meant.
        end: How many events there are at most.
        *then: What comes instead of the others.
    """

    def pause(events: list[Wire]) -> list[Wire | Step]:
        return [*(each for event in events[:end] for each in (event, Elapse(0.0005))), *then]

    return changed(meaning, pause)


def refused(status: int, message: str, **facts: Any) -> Answer:
    """A refusal in the form of either transport."""

    def answer(asked: Asked) -> Any:
        steps = [error(status, message, **facts)]
        return only(*([Head(status), *steps] if asked.transport == "http" else steps))(asked)

    return answer


def _closed_doors(server: ScriptedServer) -> None:
    """The connection goes, and the next one is refused."""
    server.handshakes.append(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")


THINKING: Meaning = (
    Think(("Let", " me", " see.")),
    Search(),
    Say(words_of(STORY), "final_answer"),
)
CALLING: Meaning = (
    Say(words_of("One moment."), "commentary"),
    Call("note", {"words": "a"}, "call_a"),
    Call("ring", {"words": "b"}, "call_b"),
)
BROKEN = slowly(said(STORY), 7, Reset())

SCENARIOS: dict[str, Scenario] = {
    "first": Scenario((slowly(said(STORY)),), before=False),
    "second": Scenario((slowly(said(STORY)),)),
    "voice": Scenario((slowly(said(STORY)),), tts="word"),
    "thoughts": Scenario((slowly(THINKING),)),
    "calls": Scenario((slowly(CALLING), slowly(said(STORY))), calls=("note", "ring")),
    "image": Scenario(
        (slowly(said(STORY)),),
        content=[
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": LARGE}},
        ],
    ),
    "throttled": Scenario(
        (refused(429, "Slow down.", code="rate_limit_exceeded"), slowly(said(STORY)))
    ),
    "failing": Scenario((refused(500, "Oops.", code="server_error"), slowly(said(STORY)))),
    "forgotten": Scenario(
        (refused(400, "No such response.", code="previous_response_not_found"), slowly(said(STORY)))
    ),
    "resumed": Scenario((BROKEN, slowly(said("was a king.")))),
    "resumed twice": Scenario((BROKEN, only(Reset()), slowly(said("was a king.")))),
    "doors closed": Scenario((only(Reset()), slowly(said(STORY))), prepare=_closed_doors),
    "silent": Scenario((only(Silence()), slowly(said(STORY))), limits=HURRIED),
}


class _Play:
    """One conversation, in which one turn is interrupted."""

    def __init__(self, talk: Stage, strike: Strike, scenario: Scenario) -> None:
        self.talk = talk
        self.strike = strike
        self.scenario = scenario
        self._contexts: dict[int, list[Any]] = {}
        talk.server.on_request = self._note

    def _note(self, asked: Asked) -> None:
        self._contexts[id(asked)] = copy.deepcopy(self.talk.context.get_messages())

    async def begin(self, at: int, act: Callable[[], Any]) -> bool:
        """Plays the turn until the strike, or to its end. Says whether it was struck."""
        talk, server, scenario = self.talk, self.talk.server, self.scenario
        if scenario.before:
            assert (await talk.turn("Hello.")).text == PROPER
        scenario.prepare(server)
        server.answers.extend(scenario.answers)
        self.strike.arm(at, act)
        talk.context.add_message({"role": "user", "content": scenario.content})
        ends = talk.ends
        await talk.push_context()
        struck = asyncio.create_task(self.strike.struck.wait())
        ended = asyncio.create_task(talk.said.until(lambda: talk.ends > ends, talk.patience))
        await asyncio.wait({struck, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not self.strike.struck.is_set() and scenario.calls:
            quiet = asyncio.create_task(talk.quiet())
            await asyncio.wait({struck, quiet}, return_when=asyncio.FIRST_COMPLETED)
            quiet.cancel()
        for task in (struck, ended):
            task.cancel()
        return self.strike.struck.is_set()

    async def go_on(self) -> None:
        """The next turn is right, and says everything that the context does."""
        talk, server = self.talk, self.talk.server
        self.strike.disarm()
        server.answers.clear()
        server.handshakes.clear()
        await talk.quiet()
        assert talk.errors == [], [each.error for each in talk.errors]
        assert all(talk.runs.count(each) == 1 for each in talk.runs), f"ran {talk.runs}"
        heard = await talk.turn("And now?")
        assert heard.text == PROPER
        assert not heard.errors, oracles.reports(heard)
        for asked in heard.asked:
            oracles.told_what_the_context_says(asked.told, self._contexts[id(asked)])


@asynccontextmanager
async def _played(transport: Transport, scenario: Scenario) -> AsyncIterator[_Play]:
    strike = Strike()
    kinds = {"websocket": partial(StruckWebSocket, strike), "http": partial(StruckHttp, strike)}
    async with ScriptedServer() as server:
        llm = service(transport, server, kinds=kinds, limits=scenario.limits)
        talk = Stage(server, llm, tts=scenario.tts)
        try:
            await talk.__aenter__()
            yield _Play(talk, strike, scenario)
        except BaseException:
            await close(talk)
            raise
        assert server.failures == []
        await server.until(lambda: server.open == 0, 1.0)
    assert our_tasks() == [], "something of the service outlives it"


WHOLE = ("second", "calls", "resumed")
"""Scenarios that are struck at every await in each run, on one transport; `make fuzz` does all."""


def awaits(transport: Transport, name: str, whole: Collection[str] = ()) -> list[int]:
    """At which awaits of a scenario to strike.

    Args:
        transport: The transport.
        name: The scenario.
        whole: Those that are struck at every await, or every second.
    """
    over_http = transport == "http"
    if name in whole:
        return portion(range(MOST_WAITS), 0, 2 if over_http else 1)
    # The two transports share what is behind them: what one leaves out, the other takes.
    return portion(range(MOST_WAITS), [*SCENARIOS].index(name) + 2 * over_http, 4)


WEBSOCKET_ONLY = ("doors closed", "forgotten")
EVERY = [
    pytest.param(transport, name, id=f"{transport}-{name.replace(' ', '-')}")
    for transport in ("websocket", "http")
    for name in SCENARIOS
    if transport == "websocket" or name not in WEBSOCKET_ONLY
]


@pytest.mark.parametrize(("transport", "name"), EVERY)
async def test_an_interruption_at_every_await(transport: Transport, name: str) -> None:
    for at in awaits(transport, name, WHOLE):
        async with _played(transport, SCENARIOS[name]) as play:
            talk = play.talk
            interrupt: list[asyncio.Task[None]] = []

            def act(talk: Stage = talk, begun: list[asyncio.Task[None]] = interrupt) -> None:
                begun.append(asyncio.create_task(talk.worker.queue_frame(InterruptionFrame())))

            struck = await play.begin(at, act)
            if struck:
                await asyncio.wait(interrupt)
                await talk.settle()
            await play.go_on()
            await talk.end()
            talk.check_frames()
        if not struck:
            assert at > 3, "there is hardly anything to interrupt"
            return
    raise AssertionError("the turn has no end")


@pytest.mark.parametrize("transport", ["websocket", "http"])
@pytest.mark.parametrize("name", ["second", "calls", "image", "throttled", "resumed", "silent"])
async def test_the_end_of_the_call_at_every_await(transport: Transport, name: str) -> None:
    for at in awaits(transport, name):
        async with _played(transport, SCENARIOS[name]) as play:
            struck = await play.begin(at, lambda: None)
            await play.talk.cancel()
        if not struck:
            return
    raise AssertionError("the turn has no end")


@pytest.mark.parametrize("transport", ["websocket", "http"])
@pytest.mark.parametrize("name", ["second", "failing", "silent"])
async def test_an_inference_beside_the_call_that_is_cancelled_at_every_await(
    transport: Transport, name: str
) -> None:
    for at in awaits(transport, name):
        async with _played(transport, SCENARIOS[name]) as play:
            talk, server = play.talk, play.talk.server
            assert (await talk.turn("Hello.")).text == PROPER
            server.answers.extend(SCENARIOS[name].answers)
            aside = LLMContext([{"role": "user", "content": "Sum it up."}])
            play.strike.arm(at, lambda: None)
            asking = asyncio.create_task(play.strike.through(talk.llm.run_inference(aside)))
            struck = asyncio.create_task(play.strike.struck.wait())
            await asyncio.wait({asking, struck}, return_when=asyncio.FIRST_COMPLETED)
            finished = asking.done()
            for task in (asking, struck):
                task.cancel()
            await asyncio.wait({asking, struck})
            assert asking.cancelled() or asking.result() == STORY
            await play.go_on()
            await talk.end()
            talk.check_frames()
        if finished:
            assert at > 3, "there is hardly anything to cancel"
            return
    raise AssertionError("the inference has no end")
