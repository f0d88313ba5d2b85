"""When two items mean the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_responses.protocol.encoding import encode, encode_in_pieces
from pipecat_responses.protocol.items import (
    Compaction,
    FunctionCall,
    FunctionOutput,
    Item,
    Message,
    OtherItem,
    Reasoning,
    make_item,
    plain_text,
    same_json,
    same_value,
)


def message(content: Any, role: str = "user", **more: Any) -> Item:
    return make_item({"role": role, "content": content, **more})


def call(arguments: Any, call_id: str = "c1", name: str = "f") -> Item:
    return make_item(
        {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
    )


def output(value: Any, call_id: str = "c1") -> Item:
    return make_item({"type": "function_call_output", "call_id": call_id, "output": value})


def text(value: str, kind: str = "input_text") -> dict[str, Any]:
    return {"type": kind, "text": value}


def image(url: str = "https://example.com/a.png", detail: Any = "auto") -> dict[str, Any]:
    return {"type": "input_image", "image_url": url, "detail": detail}


SAME = [
    (message("hello"), message("hello")),
    (message("hello"), message([text("hello")])),
    (message("hello", type="message"), message("hello")),
    (message("hello"), message([text("hel"), text("lo")])),
    (message("hi", "assistant"), message([text("hi", "output_text")], "assistant")),
    (message("hi", "assistant", id="msg_1", status="completed"), message("hi", "assistant")),
    (message(""), message([])),
    (message([text("a"), image()]), message([text("a"), image()])),
    (call("{}"), call("{ }")),
    (call('{"a": 1, "b": [2]}'), call('{"b":[2],"a":1}')),
    (call('{"a":"é"}'), call('{"a":"\\u00e9"}')),
    (call("not json"), call("not json")),
    (output("done"), output("done")),
    (output([image()]), output([image()])),
    (
        make_item({"type": "reasoning", "id": "r", "summary": []}),
        make_item({"type": "reasoning", "id": "r"}),
    ),
    (
        make_item({"type": "reasoning", "summary": []}),
        make_item({"type": "reasoning", "summary": []}),
    ),
    (make_item({"type": "compaction", "id": "x"}), make_item({"id": "x", "type": "compaction"})),
]

DIFFERENT = [
    (message("hello"), message("hello ")),
    (message("hello"), message("hello", "developer")),
    (message("hello", "assistant"), message("hello")),
    (message([text("a"), image()]), message("a")),
    (message([text("a"), image()]), message([image(), text("a")])),
    (message([image()]), message([image("https://example.com/b.png")])),
    (message([image(detail=1)]), message([image(detail=True)])),
    (message([image(detail=1)]), message([image(detail=1.0)])),
    (message("a"), output("a")),
    (call('{"a":1}'), call('{"a":true}')),
    (call('{"a":1}'), call('{"a":1.0}')),
    (call('{"a":0}'), call('{"a":false}')),
    (call('{"a":"1"}'), call('{"a":1}')),
    (call('{"a":null}'), call("{}")),
    (call("[1,2]"), call("[2,1]")),
    (call("{}"), call("{}", call_id="c2")),
    (call("{}"), call("{}", name="g")),
    (call("not json"), call("not  json")),
    (call("{}"), call(None)),
    (call("{}"), output("{}")),
    (output("done"), output("done", call_id="c2")),
    (output("IN_PROGRESS"), output("done")),
    (output([{"n": 1}]), output([{"n": True}])),
    (output("1"), output([text("1")])),
    (make_item({"type": "reasoning", "id": "r1"}), make_item({"type": "reasoning", "id": "r2"})),
    (make_item({"type": "reasoning", "summary": []}), make_item({"type": "reasoning", "id": "r"})),
    (make_item({"type": "x", "ok": True}), make_item({"type": "x", "ok": 1})),
    (make_item({"type": "x"}), make_item({"type": "y"})),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_items_that_mean_the_same(one: Item, other: Item) -> None:
    assert one == other
    assert other == one


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_items_that_do_not(one: Item, other: Item) -> None:
    assert one != other
    assert other != one


@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        ({"role": "user", "content": ""}, Message),
        ({"type": "message", "role": "user", "content": ""}, Message),
        ({"type": "function_call"}, FunctionCall),
        ({"type": "function_call_output"}, FunctionOutput),
        ({"type": "reasoning"}, Reasoning),
        ({"type": "compaction"}, Compaction),
        ({"type": None}, OtherItem),
        ({"type": 7}, OtherItem),
        ({}, OtherItem),
    ],
)
def test_an_item_is_of_the_kind_its_wire_form_says(wire: Any, kind: type[Item]) -> None:
    assert type(make_item(wire)) is kind


def test_an_item_is_not_equal_to_what_is_no_item() -> None:
    assert message("a") != "a"
    assert message("a") != None  # noqa: E711


def test_items_cannot_be_hashed_since_equal_ones_may_look_different() -> None:
    with pytest.raises(TypeError):
        hash(message("a"))


def test_a_repr_does_not_tell_what_people_say() -> None:
    for each in (message("my secret"), call('{"pin":"my secret"}'), output("my secret")):
        assert "secret" not in repr(each)


def test_an_item_is_encoded_once() -> None:
    each = message("hello")
    assert each.pieces is each.pieces
    assert each.size == len(encode(each.wire)) == len(b"".join(each.pieces))


def test_pieces_that_exist_are_used_as_they_are() -> None:
    wire = {"role": "user", "content": "x" * 300_000}
    pieces = list(encode_in_pieces(wire))
    each = make_item(wire, pieces)
    assert all(one is other for one, other in zip(each.pieces, pieces, strict=True))
    assert each.size == len(encode(wire))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a", "a"),
        ("", ""),
        ([], ""),
        ([text("a"), text("b", "output_text"), text("c", "text")], "abc"),
        ([text("a"), image()], None),
        ([{"type": "refusal", "refusal": "no"}], None),
        ([{"type": "input_text"}], None),
        ([{"type": "input_text", "text": 1}], None),
        (["a"], None),
        (None, None),
        (7, None),
        ({"type": "input_text", "text": "a"}, None),
    ],
)
def test_plain_text(content: Any, expected: str | None) -> None:
    assert plain_text(content) == expected


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


def plainly(value: Any) -> Any:
    """A value in a form that Python's equality does not confuse."""
    if isinstance(value, dict):
        return {key: plainly(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plainly(entry) for entry in value]
    return type(value).__name__, repr(value)


@given(JSON)
def test_the_order_of_keys_and_white_space_do_not_matter(value: Any) -> None:
    reordered = json.dumps(value, sort_keys=True, indent=2)
    assert same_json(json.dumps(value), reordered)
    assert same_value(value, json.loads(reordered))


@given(JSON, JSON)
def test_values_are_the_same_only_if_they_are(one: Any, other: Any) -> None:
    same = plainly(one) == plainly(other)
    assert same_value(one, other) is same
    assert same_json(json.dumps(one), json.dumps(other)) is same


@pytest.mark.parametrize("broken", ["", "{", "nul", "{} {}", None, 7, "\ud800"])
def test_what_is_no_json_is_the_same_as_nothing(broken: Any) -> None:
    assert not same_json(broken, "{}")
    assert not same_json("{}", broken)
