"""What the user says while an answer is under way: ``llm.steer`` and ``steering="auto"``."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import MetricsFrame
from pipecat.metrics.metrics import TTFBMetricsData
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from pipecat_responses import HedgePolicy, HostedToolStartedFrame, OpenAIResponsesLLMSettings
from pipecat_responses.sandbox import Answer, Call, Fault, HostedCall, ModelInput, Sandbox, Text
from pipecat_responses.testing import Conversation
from tests.support.history import of_context, of_items
from tests.support.services import SERVICES, websocket_service
from tests.support.waiting import eventually

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "12"))
BUSY = 0.8
"""Seconds that a tool takes while the user says something, on a busy machine, too."""
SEARCH = {"type": "web_search_call", "action": {"type": "search", "query": "weather"}}


def settings(model: str = "gpt-6-sol", **kwargs: Any) -> OpenAIResponsesLLMSettings:
    extra = {"tools": [{"type": "web_search"}]}
    return OpenAIResponsesLLMSettings(model=model, extra=extra, **kwargs)


def service(sandbox: Sandbox, **kwargs: Any) -> Any:
    return websocket_service(sandbox, **{"settings": settings(), **kwargs})


def searches(seconds: float = 0.2, *parts: Any) -> Answer:
    return Answer((HostedCall(SEARCH, seconds=seconds), *parts))


async def tool_runs(talk: Conversation, count: int = 1) -> None:
    def seen() -> bool:
        frames = talk.said.frames
        return sum(isinstance(each, HostedToolStartedFrame) for each in frames) >= count

    await talk.said.until(seen)


def steers(sandbox: Sandbox) -> list[Any]:
    return [each for each in sandbox.messages if each.get("type") == "response.steer"]


def turns(sandbox: Sandbox) -> list[Any]:
    return [each for each in sandbox.requests if each.generate]


@pytest.mark.parametrize("tts", [None, "sentence", "word"])
async def test_the_answer_takes_it_up(sandbox: Sandbox, tts: Any) -> None:
    sandbox.script(searches(0.2, Text("It is cold in Paris.")), "It is warm in Lyon.", "Yes.")
    reports: list[Any] = []
    llm = service(sandbox)
    llm.add_event_handler("on_turn_ended", lambda _, report: reports.append(report))
    async with Conversation(llm, tts=tts) as talk:
        await talk.start("How is the weather in Paris?")
        await tool_runs(talk)
        assert await llm.steer("In Lyon, I mean.")
        await talk.answer_ends()
        await talk.settle()
        # One start, one end, and one answer, with the tool's work and what was said in it.
        assert (talk.starts, talk.ends, talk.errors) == (1, 1, [])
        assert talk.history[-1] == ("assistant", "It is warm in Lyon.")
        assert ("user", "In Lyon, I mean.") in talk.history
        assert len(steers(sandbox)) == 1
        assert reports[-1].steered
        assert llm.stats.steered == 1
        history = of_items(turns(sandbox)[1].history)
        assert history[0] == ("user", "How is the weather in Paris?")
        assert history[-1] == ("user", "In Lyon, I mean.")
        assert await talk.say("Good?") == "Yes."
    # What the two responses said is one answer, and nothing of it is sent again.
    last = turns(sandbox)[-1]
    assert len(last.input) == 1
    assert last.body["previous_response_id"] == turns(sandbox)[1].response_id
    # What was said while it was put out may stand anywhere in it.
    assert sorted(of_items(last.history)) == sorted(of_context(talk.context)[:-1])
    assert (llm.stats.incremental, llm.stats.full) == (1, 1)


async def test_what_was_said_before_and_after_is_one_answer(sandbox: Sandbox) -> None:
    parts = (Text("Let me see."), HostedCall(SEARCH, seconds=0.2), Text("Never heard."))
    sandbox.script(Answer(parts, tokens_per_second=200), "Lyon is warm.", "Yes.")
    llm = service(sandbox)
    async with Conversation(llm) as talk:
        await talk.start("Weather in Paris?")
        await talk.text_arrives()
        taken = await llm.steer("In Lyon.")
        await talk.answer_ends()
        await talk.settle()
        assert taken
        assert ("assistant", "Let me see. Lyon is warm.") in talk.history
        await talk.say("Good?")
    assert len(turns(sandbox)[-1].input) == 1


async def test_it_waits_where_no_turn_runs(sandbox: Sandbox) -> None:
    llm = service(sandbox)
    async with Conversation(llm) as talk:
        assert not await llm.steer("My name is Ada.")
        await talk.settle()
        await talk.say("hello")
        assert of_items(turns(sandbox)[0].history) == [
            ("user", "My name is Ada."),
            ("user", "hello"),
        ]
    assert steers(sandbox) == []


@pytest.mark.parametrize(
    ("transport", "model"),
    [("http", "gpt-6-sol"), ("websocket", "gpt-4.1"), ("websocket", "gpt-5.6-sol")],
)
async def test_it_waits_where_it_is_not_taken(sandbox: Sandbox, transport: str, model: str) -> None:
    sandbox.script(searches(0.1, Text("Cold.")), "Warm.")
    llm: Any = SERVICES[transport](sandbox, settings=settings(model))
    async with Conversation(llm) as talk:
        await talk.start("Weather in Paris?")
        await tool_runs(talk)
        assert not await llm.steer("In Lyon.")
        await talk.answer_ends()
        await talk.settle()
        assert talk.history[-1] == ("assistant", "Cold.")
        assert await talk.say("Well?") == "Warm."
        said = of_items(turns(sandbox)[-1].history)
        assert said.count(("user", "In Lyon.")) == 1
    assert steers(sandbox) == []


async def test_a_server_that_does_not_know_it_is_asked_once(sandbox: Sandbox) -> None:
    sandbox.config.steering = False
    sandbox.script(searches(0.2, Text("Cold.")), searches(0.2, Text("Warm.")))
    llm = service(sandbox)
    async with Conversation(llm) as talk:
        for count in (1, 2):
            await talk.start("Weather?")
            await tool_runs(talk, count)
            assert not await llm.steer("In Lyon.")
            await talk.answer_ends()
            await talk.settle()
        assert talk.errors == []
        assert [text for role, text in talk.history if role == "assistant"] == ["Cold.", "Warm."]
    assert len(steers(sandbox)) == 1
    assert llm.capabilities.steering is False
    assert "response.steer" in llm.capabilities.why["steering"]


def has_begun(talk: Conversation) -> bool:
    """Whether the first token has come, be it of a call."""
    frames = [each for each in talk.said.frames if isinstance(each, MetricsFrame)]
    data = [each for frame in frames for each in frame.data]
    return any(isinstance(each, TTFBMetricsData) and each.value > 0 for each in data)


async def test_a_function_is_called_before_it_is_taken_up(sandbox: Sandbox) -> None:
    """The server lets it wait for the function's result; our next request has all of it."""
    sandbox.script(
        Answer((Call("look_up", {"what": "x" * 400}, "call_1"),), tokens_per_second=400),
        "Warm in Lyon.",
        "Yes.",
    )
    llm = service(sandbox)
    may_go_on = asyncio.Event()

    async def look_up(params: FunctionCallParams) -> None:
        await may_go_on.wait()
        await params.result_callback("cold")

    tool = FunctionSchema("look_up", "Looks up.", {"what": {"type": "string"}}, [], look_up)
    async with Conversation(llm, LLMContext(tools=ToolsSchema([tool]))) as talk:
        await talk.start("Weather in Paris?")
        await talk.said.until(lambda: has_begun(talk))
        taken = await llm.steer("In Lyon.")
        may_go_on.set()
        await talk.answer_ends(2)
        await talk.settle()
        assert taken
        assert talk.errors == []
        await talk.say("Good?")
    answered = [*of_items(turns(sandbox)[1].history), ("assistant", "Warm in Lyon.")]
    assert of_items(turns(sandbox)[-1].history)[:-1] == answered
    second = of_items(turns(sandbox)[1].history)
    assert second.count(("user", "In Lyon.")) == 1
    assert len([each for each in turns(sandbox)[1].history if each.get("call_id")]) == 2


# -- steering="auto" --------------------------------------------------------------------------


def parking(sandbox: Sandbox, **kwargs: Any) -> Any:
    return service(sandbox, **{"steering": "auto", **kwargs})


def cancels(sandbox: Sandbox) -> int:
    return sum(each.get("type") == "response.cancel" for each in sandbox.messages)


def searched(sandbox: Sandbox) -> int:
    """How many searches the conversation holds in the end, as the server knows it."""
    return sum(each.get("type") == "web_search_call" for each in turns(sandbox)[-1].history)


@pytest.mark.parametrize("tts", [None, "sentence"])
async def test_a_response_that_was_not_heard_goes_on(sandbox: Sandbox, tts: Any) -> None:
    sandbox.script(searches(BUSY, Text("It is cold in Paris.")), "It is warm in Lyon.", "Yes.")
    llm = parking(sandbox)
    async with Conversation(llm, tts=tts) as talk:
        await talk.start("How is the weather in Paris?")
        await tool_runs(talk)
        await talk.interrupt()
        assert await talk.say("In Lyon, I mean.") == "It is warm in Lyon."
        await talk.settle()
        assert (talk.starts, talk.ends, talk.errors) == (2, 2, [])
        assert await talk.say("Good?") == "Yes."
    assert len(steers(sandbox)) == 1
    assert cancels(sandbox) == 0
    # The search went on, and was not made again; the turn after sends what is new.
    assert searched(sandbox) == 1
    assert len(turns(sandbox)[-1].input) == 1
    assert sorted(of_items(turns(sandbox)[-1].history)) == sorted(of_context(talk.context)[:-1])
    assert llm.stats.abandoned == 0
    assert llm.stats.steered == 1


async def test_by_default_it_is_let_go_of(sandbox: Sandbox) -> None:
    sandbox.script(searches(BUSY, Text("It is cold in Paris.")), "It is warm in Lyon.")
    llm = service(sandbox)
    async with Conversation(llm) as talk:
        await talk.start("How is the weather in Paris?")
        await tool_runs(talk)
        await talk.interrupt()
        assert await talk.say("In Lyon, I mean.") == "It is warm in Lyon."
    assert steers(sandbox) == []
    assert cancels(sandbox) == 1


@pytest.mark.parametrize("answer", ["It is cold in Paris.", Call("look_up", {}, "call_1")])
async def test_one_that_has_come_to_an_answer_meanwhile_is_let_go_of(
    sandbox: Sandbox, answer: Any
) -> None:
    sandbox.script(searches(0.1, *([Text(answer)] if isinstance(answer, str) else [answer])))
    runs: list[Any] = []
    llm = parking(sandbox)

    async def look_up(params: FunctionCallParams) -> None:
        runs.append(params)
        await params.result_callback("cold")

    tool = FunctionSchema("look_up", "Looks up.", {}, [], look_up)
    async with Conversation(llm, LLMContext(tools=ToolsSchema([tool]))) as talk:
        await talk.start("How is the weather in Paris?")
        await tool_runs(talk)
        await talk.interrupt()
        await eventually(lambda: bool(sandbox.requests[0].outcome))
        sandbox.script("It is warm in Lyon.")
        assert await talk.say("In Lyon, I mean.") == "It is warm in Lyon."
        assert talk.errors == []
    assert steers(sandbox) == []
    assert runs == []


async def test_one_that_was_heard_is_let_go_of(sandbox: Sandbox) -> None:
    sandbox.script(Answer(("One two three four five.",), tokens_per_second=20), "Yes.")
    llm = parking(sandbox)
    async with Conversation(llm) as talk:
        await talk.start("Count.")
        await talk.text_arrives()
        await talk.interrupt()
        assert await talk.say("Stop.") == "Yes."
    assert steers(sandbox) == []
    assert cancels(sandbox) == 1


async def test_another_question_than_that_is_asked_anew(sandbox: Sandbox) -> None:
    """The context was changed: what the response works on is no longer asked."""
    sandbox.script(searches(BUSY, Text("Cold.")), "Fine.")
    llm = parking(sandbox)
    async with Conversation(llm) as talk:
        await talk.start("How is the weather in Paris?")
        await tool_runs(talk)
        await talk.interrupt()
        talk.context.set_messages([])
        assert await talk.say("How are you?") == "Fine."
    assert steers(sandbox) == []
    assert cancels(sandbox) == 1


async def test_the_end_leaves_nothing_behind(sandbox: Sandbox) -> None:
    sandbox.script(searches(30.0, Text("Cold.")))
    llm = parking(sandbox)
    async with Conversation(llm) as talk:
        await talk.start("How is the weather in Paris?")
        await tool_runs(talk)
        await talk.interrupt()
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert [name for name in names if name.startswith("pipecat-responses")] == []


async def test_interrupted_again_and_again(sandbox: Sandbox) -> None:
    sandbox.script(searches(BUSY, Text("Cold.")), searches(BUSY, Text("Warm.")), "At last.", "Yes.")
    llm = parking(sandbox)
    async with Conversation(llm) as talk:
        await talk.start("Weather in Paris?")
        await tool_runs(talk)
        await talk.interrupt()
        await talk.start("In Lyon.")
        await tool_runs(talk, 2)
        await talk.interrupt()
        assert await talk.say("In Nice.") == "At last."
        await talk.say("Good?")
        assert talk.errors == []
    last = turns(sandbox)[-1]
    said = [text for role, text, *_ in of_items(last.history) if role == "user"]
    assert said == ["Weather in Paris?", "In Lyon.", "In Nice.", "Good?"]


@pytest.mark.parametrize("hedged", [False, True])
@pytest.mark.parametrize("lanes", ["supported", "rejected", "ignored"])
async def test_with_and_without_lanes_and_hedges(
    sandbox: Sandbox, lanes: Any, hedged: bool
) -> None:
    sandbox.config.lanes = lanes
    sandbox.script("Hi.", searches(BUSY, Text("Cold.")), "Warm.", "Yes.")
    policy = HedgePolicy(after_secs=5.0, repeatable_tools=["web_search"])
    llm = parking(sandbox, hedge=policy if hedged else None)
    async with Conversation(llm) as talk:
        await talk.say("hello")
        await talk.start("Weather in Paris?")
        await tool_runs(talk)
        await talk.interrupt()
        assert await talk.say("In Lyon.") == "Warm."
        assert await talk.say("Good?") == "Yes."
        assert talk.errors == []
    assert len(steers(sandbox)) == 1
    assert len(turns(sandbox)[-1].input) == 1


# -- what goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["reset", "failed", "error", "close"])
@pytest.mark.parametrize("auto", [False, True])
async def test_what_is_lost_is_asked_again_with_all_of_it(
    sandbox: Sandbox, auto: bool, kind: Any
) -> None:
    """Lost when the successor is created: the request that goes out anew has all of it, once."""
    sandbox.script(searches(BUSY, Text("Cold.")), "Lost.", "Warm.")
    llm = parking(sandbox) if auto else service(sandbox)
    async with Conversation(llm) as talk:
        await talk.start("Weather in Paris?")
        await tool_runs(talk)
        sandbox.faults.add(Fault(kind, "created"))
        if auto:
            await talk.interrupt()
            assert await talk.say("In Lyon.") == "Warm."
        else:
            assert await llm.steer("In Lyon.")
            await talk.answer_ends()
            await talk.settle()
        assert talk.errors == []
        assert talk.history[-1] == ("assistant", "Warm.")
    history = of_items(turns(sandbox)[-1].history)
    assert history.count(("user", "In Lyon.")) == 1
    assert searched(sandbox) == 1


async def test_a_successor_that_breaks_off_is_resumed(sandbox: Sandbox) -> None:
    sandbox.script(searches(BUSY, Text("Cold.")), "It is warm in Lyon.", "warm in Lyon.", "Yes.")
    llm = service(sandbox)
    async with Conversation(llm) as talk:
        await talk.start("Weather in Paris?")
        await tool_runs(talk)
        sandbox.faults.add(Fault("reset", "text", after=3))
        assert await llm.steer("In Lyon.")
        await talk.answer_ends()
        await talk.settle()
        assert talk.history[-1] == ("assistant", "It is warm in Lyon.")
        await talk.say("Good?")
    said = of_items(turns(sandbox)[-1].history)
    assert said.count(("user", "In Lyon.")) == 1
    assert searched(sandbox) == 1


@pytest.mark.parametrize("auto", [False, True])
async def test_interrupted_once_it_was_taken(sandbox: Sandbox, auto: bool) -> None:
    sandbox.script(searches(0.1, Text("Cold.")), Answer(("a b c d e f",), tokens_per_second=20))
    llm = parking(sandbox) if auto else service(sandbox)
    async with Conversation(llm) as talk:
        await talk.start("Weather in Paris?")
        await tool_runs(talk)
        if auto:
            await talk.interrupt()
            await talk.start("In Lyon.")
        else:
            assert await llm.steer("In Lyon.")
        await talk.text_arrives()
        await talk.interrupt()
        sandbox.script("Fine.")
        assert await talk.say("Never mind.") == "Fine."
        await eventually(lambda: llm.stats.abandoned_tokens > 0)
        assert talk.errors == []
        assert await talk.say("Good?")
    assert sorted(of_items(turns(sandbox)[-1].history)) == sorted(of_context(talk.context)[:-1])


async def test_a_model_that_refuses_it(sandbox: Sandbox) -> None:
    """An application's own name for a model, of a family that it is not of."""
    sandbox.script(searches(BUSY, Text("Cold.")), "Warm.")
    llm = parking(sandbox, settings=settings("gpt-4.1"), model_family="gpt-6")
    async with Conversation(llm) as talk:
        await talk.start("Weather in Paris?")
        await tool_runs(talk)
        await talk.interrupt()
        assert await talk.say("In Lyon.") == "Warm."
        assert talk.errors == []
    assert len(steers(sandbox)) == 1
    assert llm.capabilities.steering is False


async def test_empty_text_is_refused(sandbox: Sandbox) -> None:
    llm = service(sandbox)
    async with Conversation(llm):
        with pytest.raises(ValueError, match="text"):
            await llm.steer(" ")


async def test_a_value_that_makes_no_sense_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="steering"):
        service(sandbox, steering="on")


# -- whatever happens -------------------------------------------------------------------------

STEPS = ("say", "steer", "interrupt", "steer, interrupt", "park", "park, interrupt", "restart")


@pytest.mark.timeout(0 if EXAMPLES > 50 else 60)
@hypothesis.settings(max_examples=EXAMPLES, deadline=None)
@hypothesis.given(
    steps=st.lists(st.sampled_from(STEPS), min_size=2, max_size=8),
    faults=st.lists(st.sampled_from(["reset", "failed", "error", "forget"]), max_size=2),
    lanes=st.sampled_from(["supported", "ignored"]),
)
def test_the_model_knows_what_the_context_says(
    steps: list[str], faults: list[Any], lanes: Any
) -> None:
    asyncio.run(_hold(steps, faults, lanes))


async def _hold(steps: list[str], faults: list[Any], lanes: Any) -> None:
    async with Sandbox() as sandbox:
        sandbox.config.lanes = lanes
        sandbox.config.responder = _respond
        llm = parking(sandbox)
        async with Conversation(llm) as talk:
            for number, step in enumerate([*steps, "say"]):
                if faults and number == len(steps) // 2:
                    sandbox.faults.add(Fault(faults.pop(), "created"))
                await _play(sandbox, talk, step, number)
                assert talk.errors == []
            asked = ("user", f"Say {len(steps)}.")
            histories = [of_items(each.history) for each in turns(sandbox)]
            # A response that was let go of may have a successor later than that.
            history = next(each for each in reversed(histories) if asked in each)
            assert sorted(history) == sorted(of_context(talk.context)[:-1])


def _respond(given: ModelInput) -> Answer:
    said = given.last_user_text or ""
    if said.startswith("Look"):
        return searches(0.05, Text(f"Old: {said}"))
    return Answer((f"Answer: {said}",))


async def _play(sandbox: Sandbox, talk: Conversation, step: str, number: int) -> None:
    said, tools = f"Say {number}.", sum(_is_start(each) for each in talk.said.frames)
    if step == "restart":
        talk.context.set_messages([])
    if step in ("say", "restart"):
        await talk.say(said)
        return
    await talk.start(f"Look {number}.")
    await tool_runs(talk, tools + 1)
    if step.startswith("steer"):
        await talk.llm.steer(f"And {number}.")
    elif step != "interrupt":
        await talk.interrupt()
        await talk.start(f"But {number}.")
    if step.endswith("interrupt"):
        await talk.interrupt()
    else:
        await talk.said.until(lambda: talk.ends == talk.before.contexts)
    await talk.settle()


def _is_start(frame: Any) -> bool:
    return isinstance(frame, HostedToolStartedFrame)
