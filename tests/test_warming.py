"""``warm_up="auto"``: the server is given what is known, before a turn needs it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    ClientConnectedFrame,
    Frame,
    LLMMessagesAppendFrame,
    LLMRunFrame,
    LLMSetToolsFrame,
    LLMUpdateSettingsFrame,
    ManuallySwitchServiceFrame,
    UserStartedSpeakingFrame,
)
from pipecat.pipeline.llm_switcher import LLMSwitcher
from pipecat.pipeline.parallel_pipeline import ParallelPipeline
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.filters.identity_filter import IdentityFilter
from pipecat.processors.frame_processor import FrameProcessor

from pipecat_responses import Backoff, ConnectionLimits, OpenAIResponsesLLMSettings
from pipecat_responses.protocol.events import Usage
from pipecat_responses.sandbox import Fault, RecordedRequest, Sandbox
from pipecat_responses.service import warming
from pipecat_responses.service.warming import context_around
from pipecat_responses.session.stats import TurnReport
from pipecat_responses.testing import Conversation
from tests.support.contexts import messages_of
from tests.support.history import of_context, of_items
from tests.support.services import websocket_service
from tests.support.waiting import eventually

QUICK = ConnectionLimits(backoff=Backoff(first=0.01, cap=0.05))
ADA: Any = {"role": "developer", "content": "The user is called Ada."}


@pytest.fixture(autouse=True)
def counting_every_token(sandbox: Sandbox) -> None:
    """A cache that holds the few tokens of a test, too."""
    sandbox.config.cache_minimum_tokens = sandbox.config.cache_step_tokens = 1


def tool(name: str) -> FunctionSchema:
    return FunctionSchema(name, f"Runs {name}.", {"what": {"type": "string"}}, [])


def settings(instruction: str | None = "Be brief.", **kwargs: Any) -> OpenAIResponsesLLMSettings:
    return OpenAIResponsesLLMSettings(model="gpt-4.1", system_instruction=instruction, **kwargs)


def service(sandbox: Sandbox, **kwargs: Any) -> Any:
    defaults = {"warm_up": "auto", "settings": settings(), "connection_limits": QUICK}
    return websocket_service(sandbox, **{**defaults, **kwargs})


def warm_ups(sandbox: Sandbox) -> list[RecordedRequest]:
    return [request for request in sandbox.requests if not request.generate]


def cached(llm: Any) -> int:
    """Input tokens of the last turn that came out of the server's cache."""
    return usage(llm).cached


def usage(llm: Any) -> Usage:
    """What the last turn took, as the server counts."""
    response = last_turn(llm).response
    assert response is not None
    assert response.usage is not None
    return response.usage


def last_turn(llm: Any) -> TurnReport:
    report: TurnReport | None = llm.stats.last_turn
    assert report is not None
    return report


def same_as_context(sandbox: Sandbox, talk: Conversation) -> None:
    """The model has been told what the context says, up to the answer to it."""
    assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]


async def at_rest(llm: Any, *, warm_ups: int) -> None:
    """Waits until so many warm-ups were laid, and nothing is about to be."""

    def resting() -> bool:
        anchor, wait = llm._session._anchor, llm._warming._timer
        looked = wait is None or wait.cancelled() or wait.when() <= wait._loop.time()
        look = llm._warming._task
        return (
            looked
            and (look is None or look.done())
            and not llm._session._state.notices
            and bool(llm._session._pool.usable)
            and (anchor is None or anchor.done())
        )

    await eventually(lambda: llm.stats.warm_ups >= warm_ups and resting())
    assert llm.stats.warm_ups == warm_ups


async def changed(talk: Conversation, *frames: Frame) -> None:
    await talk.worker.queue_frames(frames)
    await talk.settle()


@pytest.mark.parametrize("messages", [[], [ADA]], ids=["empty", "begun"])
async def test_the_first_turn_is_incremental_and_cached(
    sandbox: Sandbox, messages: list[Any]
) -> None:
    llm = service(sandbox)
    context = LLMContext([*messages], tools=ToolsSchema([tool("look_up")]))
    async with Conversation(llm, context, tts=None) as talk:
        await at_rest(llm, warm_ups=1)
        warm = warm_ups(sandbox)[0]
        assert (warm.body["instructions"], warm.body["tools"][0]["name"]) == (
            "Be brief.",
            "look_up",
        )
        assert of_items(warm.input) == of_context(context)
        # Nothing of it is new when a client comes, or speaks.
        await changed(talk, ClientConnectedFrame(), UserStartedSpeakingFrame())
        await at_rest(llm, warm_ups=1)
        for number in range(3):
            await talk.say(f"hello {number}")
            same_as_context(sandbox, talk)
            assert last_turn(llm).incremental
            assert last_turn(llm).prepared == (number == 0)
            assert cached(llm)
        await at_rest(llm, warm_ups=1)
        assert not talk.errors
    assert (llm.stats.full, llm.stats.anchors, sandbox.connections_opened) == (0, 0, 1)


async def test_it_is_off_by_default(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox, settings=settings())
    async with Conversation(llm, LLMContext([ADA]), tts=None) as talk:
        await talk.ready()
        await changed(talk, ClientConnectedFrame(), LLMSetToolsFrame(ToolsSchema([tool("a")])))
        await talk.say("hello")
    assert not warm_ups(sandbox)


async def test_other_values_are_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="warm_up"):
        websocket_service(sandbox, warm_up="on")


async def test_there_may_be_nothing_to_give(sandbox: Sandbox) -> None:
    llm = service(sandbox, settings=settings(None))
    async with Conversation(llm, tts=None) as talk:
        await talk.ready()
        await changed(talk, ClientConnectedFrame())
        await at_rest(llm, warm_ups=0)
        await talk.say("hello")
    assert not warm_ups(sandbox)


@pytest.mark.parametrize(
    "change",
    [
        LLMSetToolsFrame(ToolsSchema([tool("look_up"), tool("book")])),
        LLMUpdateSettingsFrame(delta=OpenAIResponsesLLMSettings(system_instruction="Be long.")),
    ],
    ids=["tools", "instructions"],
)
@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_the_first_turn_after_a_change(sandbox: Sandbox, change: Frame, turns: int) -> None:
    llm = service(sandbox)
    context = LLMContext([ADA], tools=ToolsSchema([tool("look_up")]))
    async with Conversation(llm, context, tts=None) as talk:
        await at_rest(llm, warm_ups=1)
        for number in range(turns):
            await talk.say(f"hello {number}")
        await changed(talk, change)
        await at_rest(llm, warm_ups=2)
        assert of_items(warm_ups(sandbox)[-1].history) == of_context(context)
        await changed(talk, change, ClientConnectedFrame(), UserStartedSpeakingFrame())
        await at_rest(llm, warm_ups=2)
        await talk.say("and now?")
        same_as_context(sandbox, talk)
        assert last_turn(llm).incremental
        assert len(sandbox.requests[-1].input) == 1
        # All but the words that are new.
        assert usage(llm).input - usage(llm).cached < 20
        assert not talk.errors
    assert len(warm_ups(sandbox)) == 2
    assert llm.stats.full == 0


async def test_a_change_with_a_turn_behind_it_costs_nothing(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a node of a flow: instructions, tools, a task, and the model answers at once."""
    # However busy the machine is.
    monkeypatch.setattr(warming, "PAUSE", 60.0)
    llm = service(sandbox)
    async with Conversation(llm, LLMContext([ADA]), tts=None) as talk:
        await at_rest(llm, warm_ups=1)
        await talk.say("hello")
        ends = talk.ends
        await talk.worker.queue_frames(
            [
                LLMUpdateSettingsFrame(
                    delta=OpenAIResponsesLLMSettings(system_instruction="Book.")
                ),
                LLMMessagesAppendFrame([{"role": "developer", "content": "Book a table."}]),
                LLMSetToolsFrame(ToolsSchema([tool("book")])),
                LLMRunFrame(),
            ]
        )
        await talk.said.until(lambda: talk.ends > ends)
        await talk.settle()
        await changed(talk, UserStartedSpeakingFrame())
        await at_rest(llm, warm_ups=1)
        same_as_context(sandbox, talk)
    assert len(sandbox.requests) == 3


async def test_going_back_costs_nothing(sandbox: Sandbox) -> None:
    llm = service(sandbox)
    one, other = (ToolsSchema([tool(name)]) for name in ("look_up", "book"))
    async with Conversation(llm, LLMContext([ADA], tools=one), tts=None) as talk:
        await at_rest(llm, warm_ups=1)
        await talk.say("hello")
        await changed(talk, LLMSetToolsFrame(other))
        await at_rest(llm, warm_ups=2)
        for tools in (one, other, one):
            await changed(talk, LLMSetToolsFrame(tools))
            await at_rest(llm, warm_ups=2)
        await talk.say("hello")
        assert cached(llm)
        same_as_context(sandbox, talk)


async def test_going_back_after_much_was_said(sandbox: Sandbox) -> None:
    llm = service(sandbox)
    one, other = (ToolsSchema([tool(name)]) for name in ("look_up", "book"))
    async with Conversation(llm, LLMContext([ADA], tools=one), tts=None) as talk:
        await at_rest(llm, warm_ups=1)
        await talk.say("hello")
        await changed(talk, LLMSetToolsFrame(other))
        await at_rest(llm, warm_ups=2)
        sandbox.script("Understood.")
        await talk.say("The house rules: " + "be kind to guests; " * 400)
        await changed(talk, LLMSetToolsFrame(one))
        await at_rest(llm, warm_ups=3)
        await talk.say("hello")
        assert usage(llm).input - usage(llm).cached < 20
        same_as_context(sandbox, talk)


@pytest.mark.parametrize("threshold", [4096, None])
async def test_a_fresh_connection_is_warmed(sandbox: Sandbox, threshold: int | None) -> None:
    llm = service(sandbox, anchor_threshold_bytes=threshold)
    async with Conversation(llm, LLMContext([ADA]), tts=None) as talk:
        await at_rest(llm, warm_ups=1)
        await talk.say("hello")
        sandbox.cut()
        await eventually(lambda: llm.stats.connections_opened == 2)
        await at_rest(llm, warm_ups=2)
        await talk.say("still there?")
        assert last_turn(llm).prepared
        same_as_context(sandbox, talk)
        # It has come of age.
        for member in llm._session._pool.usable:
            member.live.opened -= 3600
        llm._session._state.changed()
        await eventually(lambda: llm.stats.connections_opened == 3)
        await at_rest(llm, warm_ups=3)
        await talk.say("and now?")
        assert last_turn(llm).prepared
        same_as_context(sandbox, talk)
        assert not talk.errors
    assert (llm.stats.full, llm.stats.anchors) == (0, 0)


async def test_a_long_conversation_is_given_once(sandbox: Sandbox) -> None:
    """What an anchor is for as well goes with the warm-up."""
    llm = service(sandbox)
    async with Conversation(llm, tts=None) as talk:
        await at_rest(llm, warm_ups=1)
        sandbox.script("Understood.")
        await talk.say("The house rules: " + "be kind to guests; " * 400)
        sandbox.cut()
        await eventually(lambda: llm.stats.connections_opened == 2)
        await at_rest(llm, warm_ups=2)
        await talk.say("hello")
        same_as_context(sandbox, talk)
    assert (llm.stats.full, llm.stats.anchors, len(warm_ups(sandbox))) == (0, 0, 2)


async def test_a_turn_waits_for_no_warm_up(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("silence", "request"))
    llm = service(sandbox)
    async with Conversation(llm, LLMContext([ADA]), tts=None) as talk:
        await eventually(lambda: len(warm_ups(sandbox)) == 1)
        for number in range(2):
            assert await talk.say(f"hello {number}")
            same_as_context(sandbox, talk)
        assert last_turn(llm).incremental
        assert not talk.errors
    assert (sandbox.connections_opened, len(warm_ups(sandbox))) == (1, 1)
    lanes = {request.stream_id for request in sandbox.requests if request.generate}
    assert warm_ups(sandbox)[0].stream_id not in lanes


async def test_one_that_fails_is_not_tried_again_before_a_turn(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("error", "request", params={"status": 500}))
    llm = service(sandbox)
    one, other = (ToolsSchema([tool(name)]) for name in ("look_up", "book"))
    async with Conversation(llm, LLMContext([ADA]), tts=None) as talk:
        await at_rest(llm, warm_ups=1)
        await changed(talk, LLMSetToolsFrame(one), UserStartedSpeakingFrame())
        await at_rest(llm, warm_ups=1)
        await talk.say("hello")
        assert last_turn(llm).full_reason == "first"
        await changed(talk, LLMSetToolsFrame(other))
        await at_rest(llm, warm_ups=2)
        await talk.say("hello")
        assert last_turn(llm).prepared
        same_as_context(sandbox, talk)
        assert not talk.errors


async def test_interruptions_while_it_is_under_way(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("delay", "request", params={"seconds": 0.2}))
    llm = service(sandbox)
    async with Conversation(llm, LLMContext([ADA]), tts=None) as talk:
        await eventually(lambda: len(warm_ups(sandbox)) == 1)
        for _ in range(3):
            await talk.interrupt()
        await at_rest(llm, warm_ups=1)
        await talk.say("hello")
        assert last_turn(llm).prepared
        same_as_context(sandbox, talk)
        assert not talk.errors


async def test_an_answer_that_is_cut_is_not_in_it(sandbox: Sandbox) -> None:
    llm = service(sandbox)
    async with Conversation(llm, LLMContext([ADA]), tts="word", paced=True) as talk:
        await at_rest(llm, warm_ups=1)
        await talk.start("count to 60")
        await talk.play(2.0)
        llm._settings.system_instruction = "Be long."
        await talk.interrupt()
        await at_rest(llm, warm_ups=2)
        # What was heard of it may go with the turn; what was not heard is nowhere.
        given = of_items(warm_ups(sandbox)[-1].history)
        assert len(given) >= 2
        assert given == of_context(talk.context)[: len(given)]
        await talk.say("and now?")
        assert last_turn(llm).prepared
        same_as_context(sandbox, talk)
        assert not talk.errors


async def test_closing_while_it_is_under_way(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("silence", "request"))
    llm = service(sandbox)
    async with Conversation(llm, LLMContext([ADA]), tts=None) as talk:
        await eventually(lambda: len(warm_ups(sandbox)) == 1)
        # And another one is about to be looked for.
        await changed(talk, LLMSetToolsFrame(ToolsSchema([tool("a")])))
        assert not talk.errors
    running = [task.get_name() for task in asyncio.all_tasks()]
    assert not [name for name in running if name.startswith("pipecat-responses")]


async def test_closing_before_a_look(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "PAUSE", 0.0)
    llm = service(sandbox)
    async with Conversation(llm, LLMContext([ADA]), tts=None) as talk:
        await at_rest(llm, warm_ups=1)
        llm._warming._look = asyncio.Event().wait
        llm._warming.soon()
        await eventually(lambda: llm._warming._task)
        assert await talk.say("hello")
        await eventually(llm._warming._task.cancelled)
        llm._warming.soon()
    assert llm._warming._task.done()


@pytest.mark.parametrize(
    ("config", "messages", "sent"),
    [
        ({"generate_false": "rejected"}, [ADA], 1),
        ({"generate_false": "rejected"}, [], 1),
        ({"generate_false": "with_input"}, [], 1),
        ({"lanes": "rejected"}, [ADA], 1),
        ({"lanes": "ignored"}, [ADA], 1),
        ({"websocket_status": 404}, [ADA], 0),
    ],
)
async def test_servers_that_lack_something(
    sandbox: Sandbox, config: dict[str, Any], messages: list[Any], sent: int
) -> None:
    """It costs one request for the address, and no turn notices."""
    for name, value in config.items():
        setattr(sandbox.config, name, value)
    for number in range(2):
        llm = service(sandbox)
        async with Conversation(llm, LLMContext([*messages]), tts=None) as talk:
            if not number:
                await eventually(lambda: len(warm_ups(sandbox)) == sent)
            for number in range(2):
                assert await talk.say(f"hello {number}")
                await changed(talk, LLMSetToolsFrame(ToolsSchema([tool(f"a{number}")])))
                same_as_context(sandbox, talk)
            assert not talk.errors
    without_items = [each for each in warm_ups(sandbox) if not each.input]
    assert len(without_items if "with_input" in config.values() else warm_ups(sandbox)) == sent


async def test_with_items_it_goes_on_where_none_is_refused(sandbox: Sandbox) -> None:
    sandbox.config.generate_false = "with_input"
    llm = service(sandbox)
    async with Conversation(llm, tts=None) as talk:
        await eventually(lambda: llm.capabilities.empty_warm_up is False)
        assert llm.capabilities.warm_up is None
        await talk.say("hello")
        assert last_turn(llm).full_reason == "first"
        await changed(talk, LLMSetToolsFrame(ToolsSchema([tool("a")])))
        await at_rest(llm, warm_ups=2)
        await talk.say("hello")
        assert last_turn(llm).prepared
        same_as_context(sandbox, talk)


async def test_what_was_warmed_by_hand_is_not_given_again(sandbox: Sandbox) -> None:
    llm = service(sandbox)
    async with Conversation(llm, tts=None) as talk:
        await at_rest(llm, warm_ups=1)
        assert not await llm.warm_up(talk.context)
        await talk.say("hello")
    assert len(warm_ups(sandbox)) == 1


async def test_an_empty_context_is_warmed_by_hand(sandbox: Sandbox) -> None:
    llm = service(sandbox, warm_up="off")
    async with Conversation(llm, tts=None) as talk:
        assert await llm.warm_up(talk.context)
        await talk.say("hello")
        assert last_turn(llm).prepared
        same_as_context(sandbox, talk)
    assert llm.stats.full == 0


async def test_what_was_prepared_from_nothing_is_for_the_first_turn(sandbox: Sandbox) -> None:
    """It would cover every context, and hide that one has changed."""
    llm = service(sandbox)
    async with Conversation(llm, tts=None) as talk:
        await at_rest(llm, warm_ups=1)
        await talk.say("hello")
        messages_of(talk.context)[0]["content"] = "good morning"
        await talk.say("hello again")
        assert last_turn(llm).why_full == "context changed at message 1 of 3"
        same_as_context(sandbox, talk)


# -- which context -------------------------------------------------------------------------------


async def test_a_context_in_another_part_of_the_pipeline(sandbox: Sandbox) -> None:
    llm = service(sandbox)
    context = LLMContext([ADA])
    pair = LLMContextAggregatorPair(context)
    talk = Conversation(llm, tts=None, aggregators=False)
    inside = ParallelPipeline([llm], [IdentityFilter()])
    talk.worker = worker_of(pair.user(), inside, pair.assistant(), talk.said)
    async with talk:
        await at_rest(llm, warm_ups=1)
        assert of_items(warm_ups(sandbox)[0].input) == of_context(context)


async def test_a_service_that_stands_by(sandbox: Sandbox) -> None:
    one, two = service(sandbox), service(sandbox)
    switcher: Any = LLMSwitcher([one, two])
    async with Conversation(switcher, LLMContext([ADA]), tts=None) as talk:
        await at_rest(one, warm_ups=1)
        await at_rest(two, warm_ups=1)
        for llm in (one, two):
            await changed(talk, ManuallySwitchServiceFrame(service=llm))
            await talk.say("hello")
            assert last_turn(llm).prepared
            same_as_context(sandbox, talk)
        assert not talk.errors


async def test_several_contexts_and_none_is_nearer(sandbox: Sandbox) -> None:
    llm = service(sandbox)
    pairs = [LLMContextAggregatorPair(LLMContext([ADA])) for _ in range(2)]
    first, last = (pair.user() for pair in pairs)
    talk = Conversation(llm, tts=None, aggregators=False)
    talk.worker = worker_of(first, ParallelPipeline([llm], [last]), talk.said)
    async with talk:
        await talk.ready()
        assert context_around(llm) is None
        await changed(talk, ClientConnectedFrame())
        await at_rest(llm, warm_ups=0)


def worker_of(*processors: FrameProcessor) -> PipelineWorker:
    return PipelineWorker(Pipeline(processors), enable_rtvi=False, enable_turn_tracking=False)
