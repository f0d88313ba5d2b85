"""Pipecat Flows: what a node does to the context, to the tools and to the instructions."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from pipecat.flows import (
    ContextStrategy,
    ContextStrategyConfig,
    FlowManager,
    FlowsFunctionSchema,
    NodeConfig,
)

from pipecat_responses.sandbox import Answer, Call, Sandbox
from pipecat_responses.testing import Conversation, VoiceKind
from tests.neighbours.support import (
    ALL,
    ASIDE,
    VOICES,
    Sent,
    agree,
    answered,
    calling,
    rows,
    turns,
)
from tests.support.portions import covering

SENT: dict[ContextStrategy, dict[str, list[str]]] = {
    ContextStrategy.APPEND: {
        "websocket": ["first", "+", "+", "+", "+", "+"],
        "pipecat": ["full", "+", "+", "+", "+", "+"],
    },
    ContextStrategy.RESET: {
        "websocket": ["first", "+", "context changed", "+", "context changed", "+"],
        "pipecat": ["full", "+", "full", "+", "full", "+"],
    },
    ContextStrategy.RESET_WITH_SUMMARY: {
        "websocket": ["first", "+", "context changed", "+", "context changed", "+"],
        "pipecat": ["full", "+", "full", "+", "full", "+"],
    },
}
"""Greeting; a call; the second node; a call; the third node; a farewell."""


def strategy_of(kind: ContextStrategy) -> ContextStrategyConfig:
    if kind is ContextStrategy.RESET_WITH_SUMMARY:
        return ContextStrategyConfig(kind, summary_prompt=f"{ASIDE} in a sentence.")
    return ContextStrategyConfig(kind)


def nodes() -> NodeConfig:
    """Three nodes, each with a role, a task and a tool of its own that leads to the next one."""
    following: NodeConfig | None = None
    for name in ("end", "trip", "name"):
        following = _node(name, following)
    assert following is not None
    return following


def _node(name: str, following: NodeConfig | None) -> NodeConfig:
    async def go(args: Any, manager: FlowManager) -> tuple[Any, NodeConfig | None]:
        return {"noted": name}, following

    tool = FlowsFunctionSchema(f"note_{name}", f"Notes the {name}.", {}, [], go)
    return {
        "name": name,
        "role_message": f"You ask for the {name}.",
        "task_messages": [{"role": "developer", "content": f"Ask for the {name}."}],
        "functions": [tool],
    }


async def walk(talk: Conversation, manager: FlowManager) -> None:
    await answered(talk, manager.initialize(nodes()))
    await talk.say("I am Ann.", ends=2)
    await talk.say("To Rome.", ends=2)
    await talk.say("That is all.")


NODES = covering(
    product(ContextStrategy, ALL, VOICES),
    lambda node: node[0],
    lambda node: node[1],
    lambda node: node[2],
)


@pytest.mark.parametrize(("kind", "name", "tts"), NODES)
async def test_nodes(
    sandbox: Sandbox, sent: Sent, kind: ContextStrategy, name: str, tts: VoiceKind
) -> None:
    llm = ALL[name](sandbox)
    sandbox.config.responder = converse
    async with calling(llm, tts=tts) as talk:
        manager = FlowManager(
            llm=llm,
            context_aggregator=talk.pair,
            worker=talk.worker,
            context_strategy=strategy_of(kind),
        )
        await walk(talk, manager)
    agree(turns(sandbox)[-1], talk.context)
    asked = [[tool["name"] for tool in r.body["tools"]] for r in turns(sandbox)]
    assert asked == [[f"note_{n}"] for n in ("name", "name", "trip", "trip", "end", "end")]
    for (tool,), request in zip(asked, turns(sandbox), strict=True):
        role = f"You ask for the {tool.removeprefix('note_')}."
        assert request.body["instructions"].startswith(role)
    summarised = [r for r in sandbox.requests if r not in turns(sandbox)]
    # The first node asks for a summary too, of nothing.
    assert len(summarised) == (3 if kind is ContextStrategy.RESET_WITH_SUMMARY else 0)
    assert sent.of(llm, sandbox) == rows(SENT[kind], name)


def converse(given: Any) -> Answer | str:
    """Notes what the user has said, by the tool of the node; asks on after a result."""
    if str(given.instructions).startswith(ASIDE):
        return "They have talked so far."
    newest = next(given.newest_first())
    if newest.get("role") == "user" and newest["content"] != "That is all.":
        return Answer([Call(given.tools[0]["name"])])
    return f"I go on. This is {given.count}."
