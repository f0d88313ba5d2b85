"""Calls that Pipecat has no form for: custom tools, namespaces, and tools of the server's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.tools_schema import AdapterType, ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMSpecificMessage

from pipecat_responses.testing import VoiceKind
from tests.histories.meaning import Wire, completed, created, item_events, numbered, said
from tests.histories.rows import BOTH
from tests.histories.server import PROPER
from tests.histories.stage import Stage, stage
from tests.histories.steps import Answer, Asked, Reset, Script, Step, sends
from tests.support.hurry import Transport

QUERY = "select 1;\n-- 'as it is'"
CUSTOM = {"type": "custom", "name": "note", "description": "Takes anything."}


def custom_call(name: str, call_id: str = "call_c", text: str = QUERY) -> Wire:
    return {
        "type": "custom_tool_call",
        "id": f"ctc_{call_id}",
        "call_id": call_id,
        "name": name,
        "input": text,
        "status": "completed",
    }


def spaced_call(namespace: str, call_id: str) -> Wire:
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": "ring",
        "namespace": namespace,
        "arguments": '{"words": "a"}',
        "status": "completed",
    }


def puts_out(*items: Wire, text: str = "", end: Sequence[Step] | None = None) -> Answer:
    """An answer of these items, and of a text before them.

    Args:
        *items: The items, complete.
        text: What is said before.
        end: What comes instead of the terminal event.
    """

    def answer(asked: Asked) -> Script:
        own = asked.response_id
        (message,) = said(text)
        events = [created(own), *(item_events(message, own, 0) if text else [])]
        output = [each["item"] for each in events if each["type"] == "response.output_item.done"]
        for index, item in enumerate(items, len(output)):
            events += _events(item, index)
            output.append(item)
        steps = sends(numbered(events))
        ending = sends([completed(own, output)]) if end is None else end
        return Script([*steps, *ending], output)

    return answer


def _events(item: Wire, index: int) -> list[Wire]:
    at = {"output_index": index}
    field = "input" if item["type"] == "custom_tool_call" else "arguments"
    kind = "custom_tool_call_input" if field == "input" else "function_call_arguments"
    place = {**at, "item_id": item["id"]}
    begun = {**item, "status": "in_progress", field: ""}
    return [
        {"type": "response.output_item.added", **at, "item": begun},
        {"type": f"response.{kind}.delta", **place, "delta": item[field]},
        {"type": f"response.{kind}.done", **place, field: item[field]},
        {"type": "response.output_item.done", **at, "item": item},
    ]


def declare(talk: Stage, *tools: Wire) -> None:
    standard = [tool for tool in _standard(talk) if tool.name != "note"]
    talk.context.set_tools(
        ToolsSchema(standard_tools=standard, custom_tools={AdapterType.OPENAI: list(tools)})
    )


def _standard(talk: Stage) -> list[Any]:
    tools = talk.context.tools
    assert isinstance(tools, ToolsSchema)
    return list(tools.standard_tools)


def of_kind(asked: Asked, *kinds: str) -> list[Wire]:
    assert asked.told is not None
    return [item for item in asked.told if item.get("type") in kinds]


async def told_again(talk: Stage) -> list[Wire]:
    """Everything as it goes up when nothing is remembered."""
    talk.context.add_message({"role": "user", "content": "To be forgotten."})
    first: Any = talk.context.get_messages()[0]
    first["content"] = f"{first['content']} (As was said.)"
    heard = await talk.turn("Once more.")
    assert heard.text == PROPER
    assert not heard.errors
    (asked,) = heard.asked
    assert asked.parent is None
    return list(asked.body["input"])


@BOTH
@pytest.mark.parametrize(
    ("text", "tts"), [("", None), ("One moment.", None), ("One moment.", "sentence")]
)
@pytest.mark.parametrize("given", [QUERY, ""])
async def test_a_custom_tool_runs_here_and_is_answered_in_its_kind(
    transport: Transport, text: str, tts: VoiceKind | None, given: str
) -> None:
    call = custom_call("note", text=given)
    async with stage(transport, puts_out(call, text=text), tts=tts) as talk:
        declare(talk, CUSTOM)
        heard = await talk.turn()
        assert heard.text == " ".join(filter(None, [text, PROPER]))
        assert not heard.errors
        assert talk.runs == [("note", {"input": given})]
        assert [asked.parent is not None for asked in heard.asked] == [
            False,
            transport == "websocket",
        ]
        (again,) = (await talk.turn("And now?")).asked
        assert (again.parent is not None) == (transport == "websocket")
        items = await told_again(talk)
    kept = [item for item in items if "call" in item.get("type", "")]
    assert kept == [
        call,
        {"type": "custom_tool_call_output", "call_id": "call_c", "output": '"note done"'},
    ]


@BOTH
async def test_a_call_without_a_call_id_is_answered_by_its_items(transport: Transport) -> None:
    call = {name: value for name, value in custom_call("note").items() if name != "call_id"}
    async with stage(transport, puts_out(call)) as talk:
        declare(talk, CUSTOM)
        heard = await talk.turn()
        assert heard.text == PROPER
        assert talk.runs == [("note", {"input": QUERY})]
        items = await told_again(talk)
    kept = [item for item in items if "call" in item.get("type", "")]
    assert [item["call_id"] for item in kept] == [call["id"], call["id"]]


@BOTH
async def test_a_tool_that_was_not_declared_is_the_servers(transport: Transport) -> None:
    call = custom_call("x_search")
    async with stage(transport, puts_out(call, text="I have looked it up.")) as talk:
        declare(talk, CUSTOM)
        heard = await talk.turn()
        assert heard.text == "I have looked it up."
        assert not heard.errors
        assert talk.runs == []
        assert len(heard.asked) == 1
        (again,) = (await talk.turn("And now?")).asked
        assert (again.parent is not None) == (transport == "websocket")
        items = await told_again(talk)
    assert [item for item in items if "call" in item.get("type", "")] == [call]


@BOTH
async def test_two_functions_of_one_name_have_a_handler_each(transport: Transport) -> None:
    calls = [spaced_call("crm", "call_1"), spaced_call("erp", "call_2"), spaced_call("", "call_3")]
    async with stage(transport, puts_out(*calls)) as talk:
        ran: list[str] = []

        def handler(name: str) -> Any:
            async def handle(params: Any) -> None:
                ran.append(name)
                await params.result_callback(name)

            return handle

        talk.llm.register_function("crm.ring", handler("crm"))
        talk.llm.register_function("erp.ring", handler("erp"))
        heard = await talk.turn()
        assert heard.text == PROPER
        assert sorted(ran) == ["crm", "erp"]
        assert talk.runs == [("ring", {"words": "a"})]
        assert (heard.asked[-1].parent is not None) == (transport == "websocket")
        items = await told_again(talk)
    found = [item for item in items if item.get("type") == "function_call"]
    assert [item.get("namespace") or "" for item in found] == ["crm", "erp", ""]
    outputs = {
        item["call_id"]: item["output"]
        for item in items
        if item.get("type") == "function_call_output"
    }
    assert outputs == {"call_1": '"crm"', "call_2": '"erp"', "call_3": '"ring done"'}


@BOTH
async def test_a_call_that_was_cut_off_is_answered_in_its_kind(transport: Transport) -> None:
    """The call is complete and kept, and then the user interrupts before it has run."""
    call = custom_call("note")
    async with stage(transport) as talk:
        declare(talk, CUSTOM)
        await talk.turn()
        talk.context.add_message(LLMSpecificMessage("openai_responses", {**call, "run_here": True}))
        heard = await talk.turn("And now?")
        assert heard.text == PROPER
        assert not heard.errors
        (output,) = of_kind(heard.asked[-1], "custom_tool_call_output")
    assert "not completed" in output["output"]


@BOTH
async def test_a_call_runs_once_though_the_connection_is_lost_behind_it(
    transport: Transport,
) -> None:
    call = custom_call("note")
    async with stage(transport, puts_out(call, end=[Reset()])) as talk:
        declare(talk, CUSTOM)
        heard = await talk.turn()
        assert heard.text == PROPER
        assert talk.runs == [("note", {"input": QUERY})]
        assert of_kind(heard.asked[-1], "custom_tool_call") == [call]
        assert len(of_kind(heard.asked[-1], "custom_tool_call_output")) == 1
