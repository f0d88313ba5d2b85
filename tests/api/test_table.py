"""The tables know everything that the SDK knows, and say what is true of the code."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai.types import responses
from openai.types.responses import ResponseInputItemParam, ResponseOutputItem, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage

from pipecat_responses import OpenAIResponsesLLMSettings
from pipecat_responses.context.adapter import OpenAIResponsesLLMAdapter
from pipecat_responses.protocol.events import (
    Activity,
    ArgumentsDelta,
    ArgumentsDone,
    Began,
    Created,
    ItemAdded,
    ItemDone,
    ItemRef,
    Refused,
    SteerAccepted,
    SteerFailed,
    SteerPending,
    Terminal,
    TextDelta,
    TextDone,
    ThoughtDelta,
    decode,
    read,
)
from pipecat_responses.protocol.progress import ResponseProgress
from pipecat_responses.service.settings import OURS, default_settings, request_values
from pipecat_responses.session.answer import Answer
from pipecat_responses.session.turn_events import CompleteCall, OutputItem, Text, TurnEvent
from tests.api.table import (
    EVENTS,
    FIELDS,
    INPUT,
    OUTPUT,
    SECTIONS,
    EventUse,
    FieldUse,
    InputUse,
    OutputUse,
    document,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"


def _members(union: Any) -> Iterator[Any]:
    """The types of a union, however it is wrapped."""
    origin = typing.get_origin(union)
    if origin is typing.Annotated:
        yield from _members(typing.get_args(union)[0])
    elif typing.get_args(union) and origin is not typing.Literal:
        for each in typing.get_args(union):
            yield from _members(each)
    else:
        yield union


def _types(union: Any) -> set[str]:
    """The values of ``type`` that a union of the SDK's types knows."""
    found: set[str] = set()
    for each in _members(union):
        found.update(value for value in _literals(_hint(each)) if isinstance(value, str))
    return found


def _hint(item: Any) -> Any:
    """What the type of an item's ``type`` is: they are models, or typed dicts."""
    fields = getattr(item, "model_fields", None)
    if fields is None:
        return typing.get_type_hints(item).get("type")
    return fields["type"].annotation if "type" in fields else None


def _literals(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) is typing.Literal:
        yield from typing.get_args(hint)
    else:
        for each in typing.get_args(hint):
            yield from _literals(each)


def _request_fields() -> set[str]:
    known = set(typing.get_type_hints(ResponseCreateParamsStreaming))
    # Not in the lowest version that is supported.
    client_event: Any = getattr(responses, "ResponsesClientEvent", None)
    for each in _members(client_event) if client_event is not None else ():
        if each.__name__ == "ResponseCreate":
            known |= set(each.model_fields)
    return known


@pytest.mark.parametrize(
    ("known", "table"),
    [
        (_request_fields(), FIELDS),
        (_types(getattr(responses, "ResponsesServerEvent", ResponseStreamEvent)), EVENTS),
        (_types(ResponseOutputItem), OUTPUT),
        (_types(ResponseInputItemParam), INPUT),
    ],
    ids=[title for title, *_ in SECTIONS],
)
def test_the_table_has_all_that_the_sdk_knows(known: set[str], table: dict[str, Any]) -> None:
    assert len(known) > 10
    assert known - set(table) == set(), "say in tests/api/table.py what becomes of these"


def test_the_document_is_up_to_date() -> None:
    written = DOCUMENT.read_text(encoding="utf-8")
    assert written == document(), "run: python -m tests.api.table > docs/api.md"


# -- what the tables say is true ----------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n, use in FIELDS.items() if use is not FieldUse.CONTEXT])
def test_a_field_from_the_settings(name: str) -> None:
    settings = default_settings()
    settings.apply_update(OpenAIResponsesLLMSettings(extra={name: "given"}))
    values = request_values(settings, service_tier="flex", warn=lambda _: None)
    if FIELDS[name] is FieldUse.SESSION:
        assert name not in values
    else:
        assert values[name] == "given"


def test_fields_that_are_there_without_being_asked_for() -> None:
    settings = default_settings()
    settings.apply_update(
        OpenAIResponsesLLMSettings(
            model="gpt-5", temperature=0.5, top_p=0.5, max_completion_tokens=9
        )
    )
    values = request_values(settings, service_tier=None, warn=lambda _: None)
    uses = {FieldUse.SETTINGS, FieldUse.ALWAYS_FALSE, FieldUse.REASONING}
    expected = {name for name, use in FIELDS.items() if use in uses}
    # Instructions come with the conversation, since a context may have some of its own.
    assert set(values) == expected - {"instructions"}
    assert values["store"] is False


def test_fields_of_settings_that_pipecat_does_not_have() -> None:
    settings = default_settings()
    given: dict[str, Any] = {name: 1 for name in OURS if name != "include"}
    settings.apply_update(OpenAIResponsesLLMSettings(**given))
    before = request_values(default_settings(), service_tier=None, warn=lambda _: None)
    values = request_values(settings, service_tier=None, warn=lambda _: None)
    expected = {name for name, use in FIELDS.items() if use is FieldUse.MORE_SETTINGS}
    assert set(values) - set(before) == expected | {"include"}


USES: dict[type[Any], EventUse] = {
    TextDelta: EventUse.TEXT,
    TextDone: EventUse.TEXT,
    ThoughtDelta: EventUse.THOUGHT,
    ArgumentsDelta: EventUse.CALL,
    ArgumentsDone: EventUse.CALL,
    ItemAdded: EventUse.ITEM,
    ItemDone: EventUse.ITEM,
    Created: EventUse.RESPONSE,
    Began: EventUse.RESPONSE,
    Terminal: EventUse.RESPONSE,
    Refused: EventUse.ERROR,
    SteerAccepted: EventUse.STEER,
    SteerFailed: EventUse.STEER,
    SteerPending: EventUse.STEER,
    Activity: EventUse.ALIVE,
}


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_becomes_what_the_table_says(name: str) -> None:
    event = {
        "type": name,
        "item_id": "x",
        "output_index": 0,
        **dict.fromkeys(("delta", "text", "refusal", "arguments", "input"), "{}"),
        "item": {"type": "message", "id": "x"},
        "response": {"id": "resp_1", "status": "completed", "output": []},
        "error": {"message": "No."},
    }
    data = json.dumps(event).encode()
    found = read(decode(data), data)
    assert USES[type(found)] is EVENTS[name]


def _item(kind: str) -> dict[str, Any]:
    """An item of a kind, with what tells the kinds apart here."""
    own: dict[str, Any] = {"type": kind, "id": "x", "status": "completed", "more": {"a": [1]}}
    if kind == "message":
        content = [{"type": "output_text", "text": "Hello."}]
        own |= {"role": "assistant", "content": content}
    elif kind in ("function_call", "custom_tool_call"):
        own |= {"call_id": "c", "name": "f", "arguments": "{}", "input": "as it is"}
    elif kind == "reasoning":
        own |= {"summary": [], "encrypted_content": "sealed"}
    return own


def _put_out(kind: str, *, declared: bool = True) -> list[TurnEvent]:
    """What comes of an item that is complete, and of the text behind it."""
    answer, stream = Answer(), ResponseProgress({"f"} if declared else ())
    events: list[TurnEvent] = []
    answer.take(ItemDone(ItemRef(0, "x"), kind, _item(kind)), stream, events)
    answer.take(TextDelta("Well.", 1, "m"), stream, events)
    assert isinstance(events.pop(), Text)
    return events


@pytest.mark.parametrize("kind", OUTPUT)
def test_an_item_becomes_what_the_table_says(kind: str) -> None:
    match OUTPUT[kind]:
        case OutputUse.SPOKEN:
            assert _put_out(kind) == [Text("Hello.")]
        case OutputUse.RUN:
            assert [type(event) for event in _put_out(kind)] == [CompleteCall]
        case OutputUse.RUN_OR_KEPT:
            assert {type(event) for event in _put_out(kind)} == {CompleteCall, OutputItem}
            assert _put_out(kind, declared=False) == [OutputItem(_item(kind))]
        case OutputUse.REASONING:
            assert _put_out(kind) == [OutputItem(_item(kind), leads_to="")]
        case _:
            assert _put_out(kind) == [OutputItem(_item(kind))]


@pytest.mark.parametrize("kind", [k for k, use in INPUT.items() if use is InputUse.SPECIFIC])
async def test_an_item_goes_back_as_it_came(kind: str) -> None:
    own = _item(kind)
    behind = {"role": "assistant", "content": "Well."}
    context = LLMContext([LLMSpecificMessage("openai_responses", own), behind])  # type: ignore[list-item]
    conversion = await OpenAIResponsesLLMAdapter().convert(context)
    sent = conversion.items[0].wire
    if kind == "reasoning":
        # Without what only an answer has.
        own = {name: own[name] for name in ("type", "id", "summary", "encrypted_content")}
    assert sent == own
