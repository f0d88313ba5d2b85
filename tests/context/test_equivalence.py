"""Whatever is done to a context, what is kept of it does not show."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Mapping
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger
from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage

from pipecat_responses.context.adapter import Conversion, OpenAIResponsesLLMAdapter
from pipecat_responses.context.wires import MessageWires
from pipecat_responses.protocol.repairs import NOT_COMPLETED
from tests.context.support import converted, reasoning, result, specific, tool_call, wires

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))

IDS = st.sampled_from(["c1", "c2", "c1_2"])
TEXTS = st.sampled_from(["", "a", "b"])
PARTS = st.lists(
    st.one_of(
        TEXTS.map(lambda text: {"type": "text", "text": text}),
        st.sampled_from([1, True, 1.0]).map(lambda n: {"type": "new", "n": n}),
    ),
    max_size=2,
)
ANY_MESSAGE = st.one_of(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["user", "assistant", "developer"]),
        st.one_of(TEXTS, PARTS, st.none()),
    ),
    st.builds(
        lambda ids, text: {
            "role": "assistant",
            "content": text,
            "tool_calls": [tool_call(call_id) for call_id in ids],
        },
        st.lists(IDS, min_size=1, max_size=3),
        TEXTS,
    ),
    st.builds(result, IDS, TEXTS),
    st.builds(result, IDS, TEXTS),
    st.sampled_from(["rs_1", "rs_2"]).map(reasoning),
    st.just({"type": "web_search_call"}).map(lambda wire: specific(dict(wire))),
    st.just({}).map(lambda wire: specific(dict(wire), "google")),
)
EDIT = st.tuples(
    st.sampled_from(
        ["append", "append", "change", "delete", "insert", "move", "replace", "trim", "double"]
    ),
    st.integers(0, 30),
    ANY_MESSAGE,
)


def apply(messages: list[Any], edit: tuple[str, int, Any]) -> None:
    kind, place, message = edit
    place = place % len(messages) if messages else 0
    if kind == "append" or not messages:
        messages.append(message)
    elif kind == "insert":
        messages.insert(place, message)
    elif kind == "delete":
        del messages[place]
    elif kind == "trim":
        del messages[: place // 2]
    elif kind == "move":
        messages.append(messages.pop(place))
    elif kind == "replace":
        messages[place] = message
    elif kind == "double":
        messages.append(messages[place])
    elif isinstance(messages[place], LLMSpecificMessage):
        messages[place].message = {"type": "thing", "n": True}
    else:
        messages[place]["content"] = "changed"


def check_rules(items: list[Any]) -> None:
    called: set[str] = set()
    answered: set[str] = set()
    for index, wire in enumerate(items):
        if wire.get("type") == "function_call":
            assert wire["call_id"] not in called
            called.add(wire["call_id"])
        elif wire.get("type") == "function_call_output":
            assert wire["call_id"] in called
            assert wire["call_id"] not in answered
            answered.add(wire["call_id"])
        elif wire.get("type") == "reasoning":
            after = items[index + 1]
            assert after.get("type") != "function_call_output"
            assert after.get("role", "assistant") == "assistant"
    assert called == answered


async def check_origins(conversion: Conversion, messages: list[Any]) -> None:
    """Each item says what the message says that it came from, but for the id of a call."""
    assert conversion.messages == len(messages)
    wires = MessageWires("openai_responses", OpenAIResponsesLLMAdapter(), logger.warning)
    for index, item in enumerate(conversion.items):
        origin = conversion.message_of(index)
        if origin is None:
            assert item.wire["output"] == NOT_COMPLETED
        else:
            said = [without_id(wire) for wire in await wires.of(messages[origin])]
            assert without_id(item.wire) in said


def without_id(wire: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in wire.items() if key != "call_id"}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    start=st.lists(ANY_MESSAGE, max_size=8),
    edits=st.lists(st.lists(EDIT, min_size=1, max_size=3), max_size=8),
    copies=st.sets(st.integers(0, 8)),
)
def test_what_is_kept_never_shows(
    start: list[Any], edits: list[list[tuple[str, int, Any]]], copies: set[int]
) -> None:
    async def scenario() -> None:
        adapter = OpenAIResponsesLLMAdapter()
        # Strategies may give the same object again; here each message is its own.
        context = LLMContext(copy.deepcopy(start))
        messages = context.get_messages()
        for turn, changes in enumerate([[], *edits]):
            for edit in changes:
                apply(messages, copy.deepcopy(edit))
            conversion = await adapter.convert(context)
            await check_origins(conversion, messages)
            incremental = wires(conversion)
            fresh = await converted(OpenAIResponsesLLMAdapter(), copy.deepcopy(messages))
            # Compared as JSON, where 1 and true differ.
            assert msgspec.json.encode(incremental) == msgspec.json.encode(fresh)
            check_rules(incremental)
            if turn in copies:
                other = LLMContext(list(messages))
                assert wires(await adapter.convert(other)) == incremental

    logger.disable("pipecat_responses")
    try:
        asyncio.run(scenario())
    finally:
        logger.enable("pipecat_responses")
