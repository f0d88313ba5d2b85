"""A flow whose nodes change tools, instructions and effort, and what of it a server has cached."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.flows import (
    ContextStrategy,
    ContextStrategyConfig,
    FlowManager,
    FlowsFunctionSchema,
    NodeConfig,
)
from pipecat.frames.frames import LLMUpdateSettingsFrame
from pipecat.processors.aggregators.llm_context import NOT_GIVEN, LLMContext

from pipecat_responses import (
    OpenAIResponsesLLMSettings,
    OpenAIResponsesReasoningConfig,
    TurnReport,
)
from pipecat_responses.sandbox import Answer, Call, Fault, Sandbox
from tests.neighbours.oracle import told
from tests.neighbours.support import OURS, Sent, answered, calling, turns
from tests.support.instructions import read_change

NODES = ("name", "trip", "date", "seat", "meal", "end")
ROLE = "You book trips by telephone. " + "This is a rule that always holds. " * 200
ONES = pytest.mark.parametrize("name", OURS)


def tool_of(node: str, following: NodeConfig | None = None) -> FlowsFunctionSchema:
    async def go(args: Any, manager: FlowManager) -> tuple[Any, NodeConfig | None]:
        return {"noted": node}, following

    return FlowsFunctionSchema(f"note_{node}", f"Notes the {node}.", {}, [], go)


def first_node() -> NodeConfig:
    """Six nodes, each with instructions and a tool of its own that leads to the next one."""
    following: NodeConfig | None = None
    for node in reversed(NODES):
        role = f"{ROLE}\n\nYou ask for the {node} now."
        following = {
            "name": node,
            "role_message": role,
            "task_messages": [{"role": "developer", "content": f"Ask for the {node}."}],
            "functions": [tool_of(node, following)],
        }
    assert following is not None
    return following


def all_tools() -> ToolsSchema:
    return ToolsSchema([tool_of(node).to_function_schema() for node in NODES])


def converse(given: Any) -> Answer | str:
    """Notes what the user has said by the tool that may be called, if that is what he wants."""
    newest = next(given.newest_first())
    if newest.get("role") == "user" and newest["content"].startswith("Note"):
        return Answer([Call(allowed(given.settings)[0])])
    return f"I go on. This is {given.count}."


def allowed(body: Any) -> list[str]:
    """The tools that the model may call."""
    choice = body.get("tool_choice", "auto")
    if choice == "none":
        return []
    if isinstance(choice, dict):
        return [tool["name"] for tool in choice["tools"]]
    return [tool["name"] for tool in body.get("tools", ())]


def in_force(request: Any) -> str:
    """The instructions as the model reads them: the first ones, and what was said of them since."""
    held = str(request.body["instructions"])
    for item in request.history:
        told = item.get("content")
        if item.get("role") == "developer" and str(told).startswith("From here on"):
            held = read_change(held, told)
    return held


async def walk(
    sandbox: Sandbox, llm: Any, kind: ContextStrategy = ContextStrategy.APPEND
) -> list[TurnReport]:
    """Walks through the flow; in each node the user says something before he goes on."""
    reports: list[TurnReport] = []

    async def keep(_: Any, report: TurnReport) -> None:
        reports.append(report)

    llm.add_event_handler("on_turn_ended", keep)
    sandbox.config.responder = converse
    async with calling(llm) as talk:
        manager = FlowManager(
            llm=llm,
            context_aggregator=talk.pair,
            worker=talk.worker,
            context_strategy=ContextStrategyConfig(kind),
        )
        await answered(talk, manager.initialize(first_node()))
        for node in NODES[:-1]:
            await talk.say(f"Let me think about the {node}.")
            await talk.say(f"Note the {node}.", ends=2)
        await talk.say("That is all.")
    return reports


def shares(reports: Sequence[TurnReport]) -> list[float]:
    """For each turn, which part of its input was cached."""
    usages = [report.response.usage for report in reports if report.response is not None]
    return [(usage.cached or 0) / (usage.input or 1) for usage in usages if usage is not None]


def whole_share(reports: Sequence[TurnReport]) -> float:
    usages = [report.response.usage for report in reports if report.response is not None]
    known = [usage for usage in usages if usage is not None]
    return sum(each.cached or 0 for each in known) / sum(each.input or 0 for each in known)


CHANGES = [3 * number for number in range(1, len(NODES))]
"""The turns with which a node begins, but for the first."""


@ONES
async def test_a_flow_is_cached(sandbox: Sandbox, sent: Sent, name: str) -> None:
    llm = OURS[name](sandbox, keep_cache=all_tools())
    reports = await walk(sandbox, llm)
    each = shares(reports)
    assert whole_share(reports) >= 0.9
    assert all(each[change] >= 0.9 for change in CHANGES)
    expected = ["first", *["+"] * 16] if name == "websocket" else ["http"] * 17
    assert sent.of(llm, sandbox) == expected
    assert_true(sandbox)


@ONES
async def test_without_it_a_change_of_node_gives_none(sandbox: Sandbox, name: str) -> None:
    reports = await walk(sandbox, OURS[name](sandbox))
    assert [shares(reports)[change] for change in CHANGES] == [0.0] * len(CHANGES)


async def test_tools_that_nobody_has_announced_come_last(sandbox: Sandbox) -> None:
    await walk(sandbox, OURS["websocket"](sandbox, keep_cache=True))
    declared = [[tool["name"] for tool in r.body["tools"]] for r in turns(sandbox)]
    assert declared[0] == ["note_name"]
    assert declared[-1] == [f"note_{node}" for node in NODES]
    assert all(later[: len(one)] == one for one, later in pairwise(declared))
    assert_true(sandbox)


def assert_true(sandbox: Sandbox) -> None:
    """The model may call the tools of the node, and is told the node's instructions last."""
    nodes = [node for node in NODES[:-1] for _ in range(3)] + ["end", "end"]
    requests = turns(sandbox)
    assert [allowed(request.body) for request in requests] == [[f"note_{n}"] for n in nodes]
    for node, request in zip(nodes, requests, strict=True):
        asked = [each for each in NODES if f"You ask for the {each} now." in in_force(request)]
        assert asked == [node]
        assert in_force(request).startswith(ROLE)


@ONES
async def test_a_node_that_begins_anew(sandbox: Sandbox, name: str) -> None:
    """Nothing is left of what was said, so nothing need be said about it."""
    await walk(sandbox, OURS[name](sandbox, keep_cache=all_tools()), ContextStrategy.RESET)
    assert_true(sandbox)
    for request in turns(sandbox):
        assert not any("From here on" in str(item.get("content")) for item in request.history)


async def test_a_new_connection_is_told_the_same(sandbox: Sandbox, sent: Sent) -> None:
    sandbox.config.responder = lambda given: f"Yes. {given.count}"
    llm = OURS["websocket"](
        sandbox,
        keep_cache=True,
        anchor_threshold_bytes=None,
        settings=OpenAIResponsesLLMSettings(system_instruction=f"{ROLE}\n\nAsk for the name."),
    )
    async with calling(llm) as talk:
        await talk.say("One.")
        changed = OpenAIResponsesLLMSettings(system_instruction=f"{ROLE}\n\nAsk for the trip.")
        await talk.worker.queue_frame(LLMUpdateSettingsFrame(delta=changed))
        await talk.say("Two.")
        sandbox.faults.add(Fault("close"))
        await talk.say("Three.")
    assert sent.by(llm)[:2] == ["first", "+"]
    assert "+" not in sent.by(llm)[3:]
    before, whole = turns(sandbox)[1], turns(sandbox)[-1]
    assert not whole.incremental
    assert told(whole.history[:4]) == told(before.history)
    assert [each["role"] for each in whole.history[:4]] == [
        *("user", "assistant"),
        *("developer", "user"),
    ]
    assert "Ask for the trip." in in_force(whole)
    assert "Ask for the name." not in in_force(whole)


@ONES
@pytest.mark.parametrize("dialect", ["openai", "words", "validator"])
async def test_a_server_without_allowed_tools(sandbox: Sandbox, name: str, dialect: Any) -> None:
    """It is told the tools of each turn, and is asked otherwise once."""
    sandbox.config.dialect = dialect
    sandbox.config.refused_fields = ("tool_choice.tools",)
    await walk(sandbox, llm := OURS[name](sandbox, keep_cache=all_tools()))
    refused = [r for r in sandbox.requests if str(r.outcome).startswith("refused")]
    assert len(refused) == 1
    assert [each.path for each in llm.capabilities.refused] == ["tool_choice.type"]
    taken = [r for r in turns(sandbox) if r not in refused]
    assert all(len(r.body["tools"]) == 1 and "tool_choice" not in r.body for r in taken)


@ONES
async def test_a_server_that_may_drop_the_choice(sandbox: Sandbox, name: str) -> None:
    """Nobody has said that it heeds it, so it is told the tools of each turn."""
    sandbox.config.dropped_fields = ("tool_choice",)
    llm = OURS[name](sandbox, server="litellm", keep_cache=all_tools())
    await walk(sandbox, llm)
    assert all(len(r.body["tools"]) == 1 and "tool_choice" not in r.body for r in turns(sandbox))


@ONES
async def test_a_server_that_drops_the_choice_unsaid(sandbox: Sandbox, name: str) -> None:
    """Once the model has called what it was not to call, that is not declared any more."""
    sandbox.config.dropped_fields = ("tool_choice",)
    sandbox.script(Answer([Call("two")]), "It is done.", "Yes.")
    llm = OURS[name](sandbox, keep_cache=ToolsSchema([function("one"), function("two")]))
    context = LLMContext(tools=[function("one")])

    async def two(params: Any) -> None:
        await params.result_callback("done")

    llm.register_function("two", two)
    async with calling(llm, context) as talk:
        await talk.say("Hello.", ends=2)
        await talk.say("And now?")
    declared = [[tool["name"] for tool in r.body["tools"]] for r in turns(sandbox)]
    assert declared == [["one", "two"], ["one"], ["one"]]
    assert [each.path for each in llm.capabilities.refused] == ["tool_choice.type"]


def function(name: str) -> FunctionSchema:
    async def run(params: Any) -> None:
        await params.result_callback(f"{name} is done")

    return FunctionSchema(name, f"Runs {name}.", {}, [], run)


@ONES
def test_what_is_no_schema(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(TypeError, match="keep_cache must be"):
        OURS[name](sandbox, keep_cache=[function("one")])


@ONES
async def test_choices_stay_what_they_are(sandbox: Sandbox, name: str) -> None:
    llm = OURS[name](sandbox, keep_cache=ToolsSchema([function("one"), function("two")]))
    sandbox.config.responder = lambda _: "Yes."
    context = LLMContext(tools=[function("one")])
    async with calling(llm, context) as talk:
        await talk.say("Hello.")
        context.set_tool_choice("required")
        await talk.say("Do.")
        context.set_tool_choice({"type": "function", "function": {"name": "one"}})
        await talk.say("Do one.")
        context.set_tool_choice("none")
        await talk.say("Do nothing.")
        context.set_tool_choice("auto")
        context.set_tools(ToolsSchema([function("two"), function("one")]))
        await talk.say("Do what you like.")
        context.set_tools(NOT_GIVEN)
        await talk.say("There is nothing to do.")
    only = [{"type": "function", "name": "one"}]
    assert [request.body.get("tool_choice") for request in turns(sandbox)] == [
        {"type": "allowed_tools", "mode": "auto", "tools": only},
        {"type": "allowed_tools", "mode": "required", "tools": only},
        {"type": "function", "name": "one"},
        "none",
        "auto",
        "none",
    ]
    for request in turns(sandbox):
        assert [tool["name"] for tool in request.body["tools"]] == ["one", "two"]


@ONES
async def test_the_effort_changes_by_an_item(sandbox: Sandbox, sent: Sent, name: str) -> None:
    await change_efforts(sandbox, llm := OURS[name](sandbox, keep_cache=True, **model("gpt-6-sol")))
    requests = turns(sandbox)
    assert [r.body["reasoning"]["effort"] for r in requests] == ["none"] * 3
    assert [r.transcript.effort for r in requests if r.transcript] == [None, "high", "none"]
    newest = [each.get("type") for each in requests[1].history[-2:]]
    assert newest[0] == "configuration_update"
    if name == "websocket":
        assert sent.by(llm) == ["first", "+", "+"]


@ONES
async def test_a_model_that_takes_no_such_item(sandbox: Sandbox, name: str) -> None:
    await change_efforts(sandbox, OURS[name](sandbox, keep_cache=True, **model("gpt-5.2")))
    assert [r.body["reasoning"]["effort"] for r in turns(sandbox)] == ["none", "high", "none"]


@ONES
async def test_a_server_that_refuses_such_an_item(sandbox: Sandbox, name: str) -> None:
    sandbox.config.deployments = {"gpt-6-ours": "gpt-5.2"}
    llm = OURS[name](sandbox, keep_cache=True, **model("gpt-6-ours"))
    await change_efforts(sandbox, llm)
    taken = [r for r in turns(sandbox) if not str(r.outcome).startswith("refused")]
    assert len(turns(sandbox)) - len(taken) == 1
    assert [r.body["reasoning"]["effort"] for r in taken] == ["none", "high", "none"]
    assert llm.capabilities.refused[0].path == "input.configuration_update"


def model(name: str) -> dict[str, Any]:
    effort = OpenAIResponsesReasoningConfig(effort="none")
    return {"settings": OpenAIResponsesLLMSettings(model=name, reasoning=effort)}


async def change_efforts(sandbox: Sandbox, llm: Any) -> None:
    sandbox.config.responder = lambda given: f"Yes. {given.count}"
    async with calling(llm) as talk:
        await talk.say("One.")
        for effort in ("high", "none"):
            changed = OpenAIResponsesLLMSettings(
                reasoning=OpenAIResponsesReasoningConfig(effort=effort)
            )
            await talk.worker.queue_frame(LLMUpdateSettingsFrame(delta=changed))
            await talk.say("And now?")
