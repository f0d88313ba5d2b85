"""Functions start when their calls are complete, and what comes of them waits for its turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.frames.frames import (
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    LLMFullResponseEndFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.sandbox import Answer, Call, Sandbox
from tests.faults.support import Talk, new_service
from tests.support.contexts import messages_of
from tests.support.history import of_context, of_items
from tests.support.hurry import Toolbox

BOTH = pytest.mark.parametrize("transport", ["websocket", "http"])
WORDS = "one two three four five six seven eight nine ten. " * 4
BEFORE, AFTER = "Let me look that up. ", WORDS
NOTE, RING = Call("note", {"words": "tea"}), Call("ring", {"words": "now"})

ORDERS: dict[str, tuple[Any, ...]] = {
    "call, text": (NOTE, AFTER),
    "text, call": (BEFORE, NOTE),
    "text, call, text": (BEFORE, NOTE, AFTER),
    "call, call": (NOTE, RING),
    "call, text, call": (NOTE, AFTER, RING),
    "text, call, text, call, text": (BEFORE, NOTE, AFTER, RING, AFTER),
}


class Handlers:
    """Functions that note when they run, and finish when they may.

    Attributes:
        runs: Their names, with how many responses had ended when they began.
        begun: How often each has begun.
        may_finish: Whether they may.
    """

    def __init__(self, talk: Talk, **options: Any) -> None:
        self.runs: list[tuple[str, int]] = []
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.begun = {name: asyncio.Event() for name in ("note", "ring")}
        self._talk = talk
        for name in self.begun:
            talk.llm.register_function(name, self._run, **options)

    async def _run(self, params: Any) -> None:
        self.runs.append((params.function_name, self._talk.ends))
        self.begun[params.function_name].set()
        await self.may_finish.wait()
        await params.result_callback(f"{params.function_name} done")


def talking(sandbox: Sandbox, transport: Any, **kwargs: Any) -> Talk:
    llm = new_service(sandbox, transport, limits={"stall_secs": 2.0}, **kwargs)
    return Talk(llm, context=LLMContext(tools=Toolbox.schema()))


def completed(sandbox: Sandbox) -> int:
    return sum(each.outcome == "completed" for each in sandbox.requests)


def agrees(talk: Talk, sandbox: Sandbox) -> None:
    """The model has seen what the context says, before its last answer.

    Pipecat joins the texts of a response and writes them behind its calls.
    """
    seen = sandbox.requests[-1].transcript
    assert seen is not None
    history, said = of_items(seen.items()), of_context(talk.context)
    assert said.pop()[0] == "assistant"
    assert _texts(history) == _texts(said)
    calls = [each for each in said if each[0] in ("call", "output")]
    assert sorted(each for each in history if each[0] in ("call", "output")) == sorted(calls)


def _texts(plain: list[tuple[Any, ...]]) -> tuple[str, str]:
    """All that the user has said, and all that the model has, without white space."""
    users = "".join(each[1] for each in plain if each[0] == "user")
    models = "".join(each[1] for each in plain if each[0] == "assistant")
    return "".join(users.split()), "".join(models.split())


@BOTH
@pytest.mark.parametrize("order", ORDERS)
async def test_each_order(sandbox: Sandbox, transport: Any, order: str) -> None:
    sandbox.config.tokens_per_second = 400
    parts = ORDERS[order]
    calls = [each for each in parts if isinstance(each, Call)]
    async with talking(sandbox, transport) as talk:
        handlers = Handlers(talk)
        told: list[list[str]] = []
        talk.llm.add_event_handler(
            "on_function_calls_started",
            lambda _, started: told.append([each.function_name for each in started]),
        )
        sandbox.script(Answer(parts), "All done.")
        heard = await talk.turn("Please.", ends=2)
        texts = [each for each in parts if isinstance(each, str)]
        assert heard.text.replace(" ", "") == "".join([*texts, "All done."]).replace(" ", "")
        assert heard.errors == []
        # Each began while the response was still going on, or with its end, and once.
        assert [name for name, _ in handlers.runs] == [each.name for each in calls]
        assert all(ends == 0 for name, ends in handlers.runs if parts[-1] not in (NOTE, RING))
        assert told == [[each.name for each in calls]]
        # The model was asked to go on once, when all were there.
        assert completed(sandbox) == 2
        frames = [type(each) for each in talk.said.frames]
        assert frames.index(FunctionCallResultFrame) > frames.index(LLMFullResponseEndFrame)
        sandbox.script("Good.")
        await talk.turn("Thanks.")
        assert len(handlers.runs) == len(calls)
        agrees(talk, sandbox)
        if transport == "websocket":
            assert talk.llm.stats.full == 1


@BOTH
async def test_a_result_that_comes_first_waits(sandbox: Sandbox, transport: Any) -> None:
    """The function is through long before the response is."""
    sandbox.config.tokens_per_second = 50
    async with talking(sandbox, transport) as talk:
        handlers = Handlers(talk)
        sandbox.script(Answer([NOTE, AFTER]), "All done.")
        results: list[int] = []

        async def meanwhile() -> None:
            await handlers.begun["note"].wait()
            await talk.text_arrives(3)
            results.append(sum(isinstance(f, FunctionCallResultFrame) for f in talk.said.frames))

        await talk.turn("Please.", ends=2, meanwhile=meanwhile)
        assert results == [0]
        tool = next(each for each in messages_of(talk.context) if each.get("role") == "tool")
        assert tool["content"] == '"note done"'


@BOTH
async def test_they_can_be_had_at_the_end(sandbox: Sandbox, transport: Any) -> None:
    sandbox.config.tokens_per_second = 400
    async with talking(sandbox, transport, early_function_calls=False) as talk:
        handlers = Handlers(talk)
        sandbox.script(Answer([NOTE, AFTER, RING]), "All done.")
        await talk.start("Please.")
        await talk.text_arrives(5)
        assert handlers.runs == []
        await talk.said.until(lambda: talk.ends == 2)
        assert [name for name, _ in handlers.runs] == ["note", "ring"]
        started = [f for f in talk.said.frames if isinstance(f, FunctionCallsStartedFrame)]
        assert [len(frame.function_calls) for frame in started] == [2]
        assert completed(sandbox) == 2


@BOTH
async def test_one_after_the_other(sandbox: Sandbox, transport: Any) -> None:
    sandbox.config.tokens_per_second = 400
    async with talking(sandbox, transport, run_in_parallel=False) as talk:
        handlers = Handlers(talk)
        sandbox.script(Answer([NOTE, AFTER, RING]), "All done.", "All done.")
        await talk.start("Please.")
        await talk.quiet()
        assert [name for name, _ in handlers.runs] == ["note", "ring"]
        assert handlers.runs[0] == ("note", 0)


@BOTH
@pytest.mark.parametrize("finished", [True, False], ids=["finished", "running"])
async def test_an_interruption(sandbox: Sandbox, transport: Any, finished: bool) -> None:
    """What has run is told to the model with the next turn; what runs is cancelled."""
    sandbox.config.tokens_per_second = 200
    async with talking(sandbox, transport) as talk:
        handlers = Handlers(talk)
        if not finished:
            handlers.may_finish.clear()
        sandbox.script(Answer([NOTE, AFTER]), "Yes?")
        await talk.start("Please.")
        await handlers.begun["note"].wait()
        await talk.text_arrives(3)
        await talk.interrupt()
        assert talk.ends == 1
        # Nobody was asked to go on.
        assert len(sandbox.requests) == 1
        sandbox.config.tokens_per_second = None
        heard = await talk.turn("Wait.")
        assert heard.text == "Yes?"
        assert len(handlers.runs) == 1
        tool = next(each for each in messages_of(talk.context) if each.get("role") == "tool")
        assert tool["content"] == ('"note done"' if finished else "CANCELLED")
        agrees(talk, sandbox)


@BOTH
async def test_a_function_that_outlives_an_interruption(sandbox: Sandbox, transport: Any) -> None:
    sandbox.config.tokens_per_second = 200
    async with talking(sandbox, transport) as talk:
        handlers = Handlers(talk, cancel_on_interruption=False)
        handlers.may_finish.clear()
        sandbox.script(Answer([NOTE, AFTER]), "Yes?", "It is done.")
        await talk.start("Please.")
        await handlers.begun["note"].wait()
        await talk.text_arrives(3)
        await talk.interrupt()
        sandbox.config.tokens_per_second = None
        assert (await talk.turn("Wait.")).text == "Yes?"
        before = talk.ends
        handlers.may_finish.set()
        await talk.said.until(lambda: talk.ends > before)
        assert len(handlers.runs) == 1


@BOTH
async def test_a_loss_behind_a_call(sandbox: Sandbox, transport: Any) -> None:
    """It is not asked for again, and what it gives is answered."""
    sandbox.config.tokens_per_second = 200
    async with talking(sandbox, transport) as talk:
        handlers = Handlers(talk)
        sandbox.script(Answer([NOTE, AFTER]), "All done.")

        async def meanwhile() -> None:
            await handlers.begun["note"].wait()
            await talk.text_arrives(3)
            sandbox.config.tokens_per_second = None
            sandbox.cut()

        heard = await talk.turn("Please.", ends=2, meanwhile=meanwhile)
        assert heard.errors == []
        assert heard.text.endswith("All done.")
        assert len(handlers.runs) == 1


@BOTH
async def test_arguments_that_cannot_be_read(sandbox: Sandbox, transport: Any) -> None:
    """The model is told, together with what the other call gives."""
    sandbox.config.tokens_per_second = 400
    async with talking(sandbox, transport) as talk:
        handlers = Handlers(talk)
        sandbox.script(Answer([Call("ring", "{no"), AFTER, NOTE]), "All done.")
        heard = await talk.turn("Please.", ends=2)
        assert heard.text.endswith("All done.")
        assert [name for name, _ in handlers.runs] == ["note"]
        assert completed(sandbox) == 2
        agrees(talk, sandbox)


@BOTH
async def test_a_handler_that_fails(sandbox: Sandbox, transport: Any) -> None:
    sandbox.config.tokens_per_second = 400
    async with talking(sandbox, transport) as talk:

        async def fail(params: Any) -> None:
            raise RuntimeError("no")

        talk.llm.register_function("note", fail)
        sandbox.script(Answer([NOTE, AFTER]), "All done.")
        heard = await talk.turn("Please.", ends=2)
        assert heard.text.endswith("All done.")
        assert len(heard.errors) == 1
