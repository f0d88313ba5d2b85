"""What a server says, whole, in part, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.events import (
    ACTIVITY,
    BEGAN,
    NO_ITEM,
    ArgumentsDone,
    Created,
    Event,
    ItemAdded,
    ItemDone,
    ItemRef,
    Refused,
    Status,
    Terminal,
    TextDelta,
    TextDone,
    ThoughtDelta,
    Usage,
    decode,
    read,
    read_usage,
)
from pipecat_responses.protocol.failures import Failure

CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "f",
    "arguments": "{}",
    "status": "completed",
}
SAID = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hi"}, {"type": "refusal", "refusal": " no"}],
}


M, FC_1, X = (ItemRef(item_id=name) for name in ("m", "fc_1", "x"))


def heard(message: Any) -> Event | None:
    data = json.dumps(message).encode()
    return read(decode(data), data)


# Each type of event: what it says, and what it says when fields are missing or wrongly typed.
EVENTS: list[tuple[str, dict[str, Any], Event]] = [
    ("response.created", {"response": {"id": "resp_1"}}, Created("resp_1")),
    ("response.created", {"response": {}}, Created(None)),
    ("response.created", {"response": {"id": ""}}, Created(None)),
    ("response.created", {"response": {"id": 7}}, Created(None)),
    ("response.created", {"response": None}, Created(None)),
    ("response.created", {"response": "resp_1"}, Created(None)),
    ("response.created", {"response": [1]}, Created(None)),
    ("response.created", {}, Created(None)),
    ("response.in_progress", {"response": {"id": "resp_1"}}, BEGAN),
    ("response.in_progress", {}, BEGAN),
    ("response.output_text.delta", {"delta": "Hi", "logprobs": []}, TextDelta("Hi")),
    ("response.output_text.delta", {"delta": ""}, TextDelta("")),
    ("response.output_text.delta", {"delta": None}, ACTIVITY),
    ("response.output_text.delta", {"delta": 7}, ACTIVITY),
    ("response.output_text.delta", {"delta": ["Hi"]}, ACTIVITY),
    ("response.output_text.delta", {"delta": {"text": "Hi"}}, ACTIVITY),
    ("response.output_text.delta", {}, ACTIVITY),
    ("response.refusal.delta", {"delta": "No"}, TextDelta("No")),
    ("response.refusal.delta", {"delta": None}, ACTIVITY),
    ("response.reasoning_summary_text.delta", {"delta": "Hm"}, ThoughtDelta("Hm")),
    ("response.reasoning_text.delta", {"delta": "Hm"}, ThoughtDelta("Hm")),
    ("response.reasoning_summary_text.delta", {"delta": 7}, ACTIVITY),
    ("response.reasoning_summary_text.delta", {}, ACTIVITY),
    (
        "response.output_text.done",
        {"item_id": "m", "text": "Hi"},
        TextDone(M, "Hi"),
    ),
    ("response.output_text.done", {"text": "Hi"}, TextDone(NO_ITEM, "Hi")),
    ("response.output_text.done", {"item_id": 7, "text": "Hi"}, TextDone(NO_ITEM, "Hi")),
    ("response.output_text.done", {"item_id": "m", "text": None}, ACTIVITY),
    ("response.output_text.done", {"item_id": "m", "refusal": "No"}, ACTIVITY),
    (
        "response.refusal.done",
        {"item_id": "m", "refusal": "No"},
        TextDone(M, "No"),
    ),
    ("response.refusal.done", {"item_id": "m", "text": "No"}, ACTIVITY),
    (
        "response.output_item.added",
        {"item": CALL},
        ItemAdded(FC_1, "function_call", "f", "call_1"),
    ),
    (
        "response.output_item.added",
        {"item": {"id": "m", "type": "message"}},
        ItemAdded(M, "message"),
    ),
    (
        "response.output_item.added",
        {"item": {"id": 7, "type": 7, "name": []}},
        ItemAdded(NO_ITEM, ""),
    ),
    ("response.output_item.added", {"item": None}, ItemAdded(NO_ITEM, "")),
    ("response.output_item.added", {}, ItemAdded(NO_ITEM, "")),
    (
        "response.output_item.done",
        {"item": CALL},
        ItemDone(FC_1, "function_call", CALL),
    ),
    ("response.output_item.done", {"item": None}, ItemDone(NO_ITEM, "", {})),
    ("response.output_item.done", {"item": "x"}, ItemDone(NO_ITEM, "", {})),
    ("response.output_item.done", {}, ItemDone(NO_ITEM, "", {})),
    (
        "response.function_call_arguments.done",
        {"item_id": "fc_1", "arguments": '{"a":1}'},
        ArgumentsDone(FC_1, '{"a":1}'),
    ),
    ("response.function_call_arguments.done", {"arguments": ""}, ArgumentsDone(NO_ITEM, "")),
    (
        "response.function_call_arguments.done",
        {"item_id": "x", "arguments": {}},
        ArgumentsDone(X, {}),
    ),
    ("response.function_call_arguments.done", {}, ArgumentsDone(NO_ITEM, None)),
]
ALIVE = [
    "response.queued",
    "response.content_part.added",
    "response.content_part.done",
    "response.custom_tool_call_input.done",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_part.done",
    "response.reasoning_summary_text.done",
    "response.reasoning_text.done",
    "response.output_text.annotation.added",
    "response.web_search_call.searching",
    "response.mcp_list_tools.completed",
    "response.compaction.completed",
    "response.something.nobody.has.heard.of",
]


@pytest.mark.parametrize(("kind", "fields", "event"), EVENTS)
def test_an_event(kind: str, fields: dict[str, Any], event: Event) -> None:
    assert heard({"type": kind, "sequence_number": 1, "new_field": {"x": []}, **fields}) == event


@pytest.mark.parametrize("kind", ALIVE)
def test_what_is_of_no_use_is_a_sign_of_life(kind: str) -> None:
    assert heard({"type": kind, "delta": "x", "item_id": 7}) is ACTIVITY


@pytest.mark.parametrize("kind", ["", "x", "session.created", "ping", "RESPONSE.created", "errors"])
def test_unknown_types_are_signs_of_life(kind: str) -> None:
    assert heard({"type": kind, "error": {"message": "x"}}) is ACTIVITY


@pytest.mark.parametrize("kind", [None, 7, [], {}, True])
def test_a_type_that_is_no_string_is_nothing(kind: Any) -> None:
    assert heard({"type": kind}) is None
    assert heard({"type": kind, "delta": "x"}) is None


def test_an_error_without_a_type() -> None:
    for message in ({"error": {"message": "Boom", "code": "server_error"}}, {"error": "Boom"}):
        event = heard(message)
        assert isinstance(event, Refused)
        assert event.error.message == "Boom"


def test_stream_ids() -> None:
    assert decode(b'{"type":"x","stream_id":"lane-1"}').stream_id == "lane-1"
    assert decode(b'{"type":"x"}').stream_id is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'["type"]',
        b'"response.created"',
        b"7",
        b"{",
        b'{"type":"response.created"',
        b'{"type":"response.created"} {}',
        b"<html>502 Bad Gateway</html>",
        b"\xff\xfe",
        b'{"type":"\xff"}',
        b"[" * 100_000,
        b'{"type":' * 100_000,
        "\ud800",
        '{"type":"\udfff"}',
        "",
    ],
    ids=repr,
)
def test_what_is_no_event(data: bytes | str) -> None:
    with pytest.raises(ResponsesError) as caught:
        decode(data)
    assert caught.value.failure is Failure.PROTOCOL


def test_text_bytes_and_memory_are_taken_alike() -> None:
    text = '{"type":"response.output_text.delta","delta":"größer"}'
    for data in (text, text.encode(), bytearray(text.encode()), memoryview(text.encode())):
        assert decode(data).delta == "größer"


# -- the end of a response ------------------------------------------------------------------------


def end(kind: str = "response.completed", **response: Any) -> Terminal:
    event = heard({"type": kind, "response": response})
    assert isinstance(event, Terminal)
    return event


def test_a_response_that_completed() -> None:
    event = end(
        id="resp_1",
        model="gpt-4.1-2025-04-14",
        output=[SAID, CALL],
        usage={
            "input_tokens": 10,
            "output_tokens": 5,
            "total_tokens": 15,
            "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 2},
            "output_tokens_details": {"reasoning_tokens": 3},
        },
    )
    assert event == Terminal(
        status=Status.COMPLETED,
        response_id="resp_1",
        output=(SAID, CALL),
        usage=Usage(10, 5, 15, 8, 2, 3),
        model="gpt-4.1-2025-04-14",
        reason=None,
        error=None,
    )


@pytest.mark.parametrize("kind", ["completed", "incomplete", "failed"])
@pytest.mark.parametrize(
    "response", [None, {}, [], "x", 7, {"id": None, "output": None, "usage": 1}]
)
def test_a_terminal_event_may_say_nothing(kind: str, response: Any) -> None:
    event = heard({"type": f"response.{kind}", "response": response})
    assert isinstance(event, Terminal)
    assert event.status == kind
    told = (event.response_id, event.output, event.usage, event.model, event.reason)
    assert told == (None,) * 5
    assert (event.error is not None) is (kind == "failed")


def test_an_output_may_be_empty_or_missing() -> None:
    assert end(output=[]).output == ()
    assert end(output=None).output is None
    assert end(output={}).output is None
    assert end().output is None


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"reason": "max_output_tokens"}, "max_output_tokens"),
        ({"reason": ""}, None),
        ({"reason": 7}, None),
        ({}, None),
        (None, None),
        ("content_filter", None),
    ],
)
def test_a_response_that_is_incomplete(details: Any, reason: str | None) -> None:
    event = end("response.incomplete", id="resp_1", incomplete_details=details)
    assert (event.status, event.reason, event.error) == (Status.INCOMPLETE, reason, None)


def test_a_response_that_failed() -> None:
    event = end(
        "response.failed", id="resp_1", error={"code": "rate_limit_exceeded", "message": "Slow."}
    )
    assert event.error is not None
    assert event.error.message == "Slow."
    assert event.error.failure is Failure.RATE_LIMIT
    assert event.error.response_id == "resp_1"


@pytest.mark.parametrize("error", [None, "Boom", 7, [], {}, {"message": None}, {"code": None}])
def test_a_response_that_failed_without_saying_why(error: Any) -> None:
    event = end("response.failed", id="resp_1", error=error)
    assert event.error is not None
    assert event.error.message
    assert event.error.failure is Failure.SERVER


# -- tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (None, None),
        ([], None),
        ("x", None),
        ({}, Usage()),
        ({"input_tokens": 5}, Usage(input=5)),
        ({"input_tokens": 5.0, "output_tokens": "5", "total_tokens": True}, Usage(input=5)),
        ({"input_tokens": -5, "output_tokens": 1e300, "total_tokens": None}, Usage()),
        ({"input_tokens_details": None, "output_tokens_details": 7}, Usage()),
        ({"input_tokens_details": {"cached_tokens": None}}, Usage()),
        ({"input_tokens_details": {"cached_tokens": 3}}, Usage(cached=3)),
        ({"input_tokens": float("nan"), "output_tokens": float("inf")}, Usage()),
    ],
)
def test_usage(wire: Any, expected: Usage | None) -> None:
    assert read_usage(wire) == expected


# -- anything at all ------------------------------------------------------------------------------

KINDS = sorted(
    {kind for kind, _, _ in EVENTS}
    | {"error", "response.completed", "response.incomplete", "response.failed", *ALIVE}
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["message", "function_call", "error", "sk-12345678"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "type",
                    "error",
                    "code",
                    "message",
                    "param",
                    "status",
                    "headers",
                    "usage",
                    "output",
                    "content",
                    "text",
                    "retry-after",
                    "incomplete_details",
                    "input_tokens",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
NAMES = ["delta", "item", "response", "item_id", "text", "refusal", "arguments", "error", "status"]
MESSAGES = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from(KINDS) | JSON,
    st.dictionaries(st.sampled_from([*NAMES, "stream_id", "message", "code", "headers"]), JSON),
)


def may_be_read(data: bytes | str) -> None:
    try:
        wire = decode(data)
    except ResponsesError:
        return
    event = read(wire, data)
    if isinstance(event, Refused):
        assert str(event.error)
        assert repr(event.error)
        assert event.error.recovery


@given(st.binary() | st.text())
def test_no_bytes_are_an_error_of_ours(data: bytes | str) -> None:
    may_be_read(data)


@given(MESSAGES, st.booleans())
def test_no_object_is_an_error_of_ours(message: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(message, ensure_ascii=ascii_only)
    may_be_read(text)
    may_be_read(text.encode("utf-8", "surrogatepass"))


@given(MESSAGES, st.integers(0, 200), st.binary(max_size=3))
def test_no_damage_to_an_event_is_an_error_of_ours(
    message: dict[str, Any], at: int, noise: bytes
) -> None:
    data = json.dumps(message).encode()
    at %= len(data)
    may_be_read(data[:at] + noise + data[at + len(noise) :])
    may_be_read(data[:at])
