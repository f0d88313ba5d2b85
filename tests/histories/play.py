"""Plays a history with a service of ours in a real pipeline, and judges it."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable
from typing import Any

from loguru import logger
from pipecat.frames.frames import LLMTextFrame, LLMUpdateSettingsFrame
from pipecat.metrics.metrics import LLMUsageMetricsData

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.session.capabilities import KNOWN
from tests.histories import oracles
from tests.histories.faithful import Model, gate, user_text
from tests.histories.meaning import Say
from tests.histories.mutations import Effect
from tests.histories.plan import Edit, History, Turn
from tests.histories.server import PROPER, ScriptedServer
from tests.histories.stage import KEY, Heard, Stage, close, our_tasks, service
from tests.histories.steps import Asked
from tests.support.hurry import Transport

HEADER = "header-9d41f0c2b7"
LIMITS = {
    "quiet_secs": 0.1,
    "probe_secs": 0.1,
    "begin_secs": 0.25,
    "stall_secs": 0.25,
    "terminal_secs": 0.1,
    "total_secs": 2.5,
}
BLOCKED = 0.4
"""Seconds for which the loop may do nothing else; a full collection of garbage is one of them."""

STOPPED = 0.1
"""Seconds after which a loop that stood still has missed what it waits for here."""


class StoodStillError(Exception):
    """The machine stood still, so that what did not hold proves nothing."""


class Play:
    """One history, as it is played."""

    def __init__(self, history: History, talk: Stage, server: ScriptedServer) -> None:
        self.history = history
        self.talk = talk
        self.server = server
        self.model = Model(history, server)
        self._snapshots: dict[int, list[Any]] = {}
        self._instructions: dict[int, str | None] = {}
        self._tainted = False
        self._asked_before = 0
        self._wanted: str | None = None
        server.judge = self.model.judge
        server.on_request = self._note

    def _note(self, asked: Asked) -> None:
        self._snapshots[id(asked)] = copy.deepcopy(self.talk.context.get_messages())
        self._instructions[id(asked)] = self._wanted

    async def run(self) -> None:
        """All turns, and one in which nothing goes wrong."""
        for number, turn in enumerate(self.history.turns):
            await self._edit(turn.edit)
            await self._turn(number, turn)
        place = self.server.refused
        heard = await self.talk.turn("Is everything well?")
        assert heard.text == PROPER, f"the next turn: {heard.text!r}, {oracles.reports(heard)}"
        assert not heard.errors, f"the next turn: {oracles.reports(heard)}"
        assert len(heard.asked) + self.server.refused - place <= 3
        self._check_told(heard)

    async def _turn(self, number: int, turn: Turn) -> None:
        talk, server = self.talk, self.server
        runs, opened, contexts = len(talk.runs), server.opened, talk.contexts
        measured = len(talk.metrics)
        began = time.monotonic()
        if turn.interrupt is None:
            heard = await talk.turn(user_text(number))
        else:
            heard = await self._interrupted(number, turn)
        took = time.monotonic() - began
        assert took < oracles.MOST_SECONDS, f"the turn took {took:.1f} s"
        contexts = talk.contexts - contexts
        oracles.reported_at_most_once(heard, contexts)
        for frame in heard.errors:
            assert isinstance(frame.exception, ResponsesError), repr(frame.exception)
        oracles.heard_what_was_meant(turn, heard)
        oracles.ran_what_was_called(turn, heard, talk.runs[runs:])
        oracles.bounded_requests(heard.asked, server.opened - opened)
        # Lanes are learned with one request; a connection may go just as the next one leaves.
        before = self.history.turns[number - 1] if number else turn
        extra = (self.history.lanes != "echoed") + (before.tail != "goes_on")
        oracles.whole_answers_cost_one_request(turn, heard.asked, extra)
        oracles.what_is_forgotten_is_not_named_again(turn, heard.asked)
        late = self._asked_before if oracles.effects(before) - {Effect.WHOLE} else 0
        oracles.usage_is_reported(turn, _tokens(talk.metrics[measured:]), late)
        self._asked_before = len(heard.asked)
        self._tainted |= Effect.GARBLED in oracles.effects(turn)
        self._check_told(heard)
        # A failure for good is the application's to end.
        await talk.llm.set_usable(True)

    async def _interrupted(self, number: int, turn: Turn) -> Heard:
        talk = self.talk
        place = talk._place()
        frames, asked = len(talk.said.frames), len(self.server.asked)
        await talk.start(user_text(number))
        say = turn.meaning[-1]
        assert isinstance(say, Say)
        wanted = "".join(say.pieces[: turn.interrupt])

        def said() -> str:
            new = talk.said.frames[frames:]
            return "".join(each.text for each in new if isinstance(each, LLMTextFrame))

        await self.server.until(lambda: len(self.server.asked) > asked)
        await talk.said.until(lambda: len(said()) >= len(wanted), talk.patience)
        await talk.interrupt()
        self.server.opens(gate(number))
        await talk.quiet()
        return talk._since(place)

    def _check_told(self, heard: Heard) -> None:
        if self._tainted:
            return
        for asked in heard.asked:
            context = self._snapshots[id(asked)]
            oracles.told_what_the_context_says(asked.told, context)
            wanted = self._instructions[id(asked)]
            assert asked.body.get("instructions") == wanted, "not the instructions of this turn"

    async def _edit(self, edit: Edit | None) -> None:
        talk, context = self.talk, self.talk.context
        if edit == "developer":
            context.add_message({"role": "developer", "content": "Be brief."})
        elif edit == "restart":
            context.set_messages([])
        elif edit == "rewrite":
            for message in reversed(context.get_messages()):
                if isinstance(message, dict) and message.get("role") == "user":
                    message["content"] = f"{message['content']} (As was said.)"
                    break
        elif edit == "temperature":
            await self._update(temperature=0.5)
        elif edit == "instructions":
            self._wanted = f"{self._wanted or ''}Be kind. "
            await self._update(system_instruction=self._wanted)
        await talk.settle()

    async def _update(self, **changes: Any) -> None:
        delta = self.talk.llm.Settings(**changes)
        await self.talk.worker.queue_frame(LLMUpdateSettingsFrame(delta=delta))


def _tokens(metrics: list[Any]) -> int:
    usages = [each.value for each in metrics if isinstance(each, LLMUsageMetricsData)]
    return sum(usage.total_tokens for usage in usages)


async def play(history: History, transport: Transport, *, watch: bool = False) -> None:
    """Plays a history.

    Args:
        history: The history.
        transport: By which service.
        watch: Whether the event loop is watched, too.

    Raises:
        AssertionError: If anything did not hold.
        StoodStillError: If the event loop stood still for so long that this may be why.
    """
    # A server on the same port, of another history, was another one.
    KNOWN.reset()
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    ear = oracles.Eavesdropper(KEY, HEADER)
    sink = logger.add(ear, level="TRACE", format="{message}")
    try:
        async with ScriptedServer() as server:
            server.lanes = history.lanes != "dropped"
            llm = service(transport, server, limits=LIMITS, default_headers={"x-secret": HEADER})
            talk = Stage(server, llm, tts=history.tts)
            dog = oracles.Watchdog()
            try:
                await talk.__aenter__()
                await Play(history, talk, server).run()
                await talk.end()
            except BaseException as error:
                await close(talk)
                assert server.failures == [], "the script is wrong, not the client"
                if isinstance(error, AssertionError) and dog.stopped > STOPPED:
                    raise StoodStillError(f"for {dog.stopped:.2f} s") from error
                raise
            finally:
                dog.stop()
            assert server.failures == [], "the script is wrong, not the client"
            talk.check_frames()
            assert our_tasks() == [], "something of the service outlives it"
            await _until(server, lambda: server.open == 0)
    finally:
        logger.remove(sink)
    assert complaints == [], f"the event loop complains: {complaints}"
    assert ear.found == [], f"a secret was logged: {ear.found[0]}"
    if watch:
        assert dog.longest < BLOCKED, f"the loop was blocked for {dog.longest:.2f} s"


async def _until(server: ScriptedServer, condition: Callable[[], bool]) -> None:
    try:
        await server.until(condition, 1.0)
    except TimeoutError:
        raise AssertionError("a connection outlives the service") from None
