"""The bytes of a request say what the request says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_responses.protocol.encoding import encode, encode_in_pieces
from pipecat_responses.protocol.items import Item, make_item
from pipecat_responses.protocol.requests import (
    ITEMS_PER_RUN,
    Fields,
    Payload,
    cancel_payload,
    http_payload,
    items_size,
    websocket_payload,
)

UNICODE = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | UNICODE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(UNICODE, inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.dictionaries(st.sampled_from(["instructions", "tools", "store", "x"]), VALUES).map(
    lambda values: {"model": "gpt-4.1", **values}
)
ITEMS = st.lists(
    st.fixed_dictionaries({"role": st.just("user"), "content": UNICODE})
    | st.fixed_dictionaries({"type": st.just("other"), "value": VALUES}),
    max_size=6,
)


BLOCK = 64 * 1024


def whole(payload: Payload) -> Any:
    data = payload.join()
    assert payload.size == len(data)
    return json.loads(data)


@given(
    FIELDS, ITEMS, st.none() | UNICODE.filter(bool), st.sampled_from([None, "a-1"]), st.booleans()
)
def test_a_websocket_message(
    fields: dict[str, Any],
    wires: list[dict[str, Any]],
    previous: str | None,
    stream_id: str | None,
    generate: bool,
) -> None:
    items = [make_item(wire) for wire in wires]
    payload = websocket_payload(
        Fields(fields),
        items,
        previous_response_id=previous,
        stream_id=stream_id,
        generate=generate,
    )
    expected: dict[str, Any] = {"type": "response.create", **fields, "input": wires}
    if previous is not None:
        expected["previous_response_id"] = previous
    if stream_id is not None:
        expected["stream_id"] = stream_id
    if not generate:
        expected["generate"] = False
    assert whole(payload) == expected


@given(FIELDS, ITEMS)
def test_an_http_body(fields: dict[str, Any], wires: list[dict[str, Any]]) -> None:
    payload = http_payload(Fields(fields), [make_item(wire) for wire in wires])
    assert whole(payload) == {"stream": True, **fields, "input": wires}


@pytest.mark.parametrize("stream_id", [None, "lane-1"])
def test_a_cancel_message(stream_id: str | None) -> None:
    expected = {"type": "response.cancel", "response_id": "resp_1"}
    if stream_id is not None:
        expected["stream_id"] = stream_id
    assert whole(cancel_payload("resp_1", stream_id)) == expected


def large(size: int) -> Item:
    wire = {"role": "user", "content": "é\n" * (size // 2)}
    return make_item(wire, list(encode_in_pieces(wire)))


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [10],
        [BLOCK],
        [5_000_000],
        [10] * 20_000,
        [1000] * 500,
        [BLOCK - 100, 90, BLOCK, 1],
        [10, 1_000_000, 10, 1_000_000, 10],
        [BLOCK // 2] * 9,
    ],
    ids=str,
)
def test_blocks_are_bounded_and_complete(sizes: list[int]) -> None:
    items = [large(size) for size in sizes]
    fields = Fields({"model": "m", "instructions": "be brief"})
    payload = websocket_payload(fields, items, previous_response_id="resp_1", stream_id="a")
    assert whole(payload)["input"] == [each.wire for each in items]
    # A block is the whole of a small message, a run of small items, or a piece of a large one.
    small = max((each.size + 1 for each in items if len(each.pieces) == 1), default=0)
    piece = max((len(piece) + 1 for each in items for piece in each.pieces), default=0)
    runs = [sum(map(len, run)) for run in payload.runs]
    assert max(runs) <= max(1000, ITEMS_PER_RUN * small, piece)
    # What is written is neither large nor a write for each little block.
    written = list(payload.pieces(BLOCK))
    assert b"".join(written) == payload.join()
    assert max(map(len, written)) <= BLOCK
    assert len(written) <= 2 * payload.size / BLOCK + 2


def test_a_small_message_is_one_block() -> None:
    payload = websocket_payload(
        Fields({"model": "m"}), [make_item({"role": "user", "content": "a"})]
    )
    assert list(payload.pieces(1000)) == [payload.join()]


def test_items_are_not_encoded_again() -> None:
    each = make_item({"role": "user", "content": "a"}, [b'"already"'])
    assert whole(websocket_payload(Fields({"model": "m"}), [each]))["input"] == ["already"]


@given(ITEMS)
def test_the_size_of_items(wires: list[dict[str, Any]]) -> None:
    items = [make_item(wire) for wire in wires]
    assert items_size(items) == sum(len(encode(wire)) + 1 for wire in wires)


def test_fields_are_encoded_when_they_change() -> None:
    values = {"model": "m", "temperature": 0.5, "tools": [{"name": "f"}]}
    fields = Fields(values)
    assert fields.model == "m"
    assert json.loads(b"{" + fields.encoded + b"}") == values
    assert fields.same_as({"model": "m", "temperature": 0.5, "tools": [{"name": "f"}]})
    assert not fields.same_as({"model": "m", "temperature": 0.5, "tools": [{"name": "g"}]})
    assert not fields.same_as({"model": "m", "temperature": 0.5})


def test_fields_with_changes() -> None:
    fields = Fields({"model": "m", "temperature": 0.5})
    changed = fields.changed(model="n", temperature=None, text={"format": "x"})
    assert changed.model == "n"
    assert json.loads(b"{" + changed.encoded + b"}") == {"model": "n", "text": {"format": "x"}}
    assert fields.model == "m"
    assert json.loads(b"{" + fields.encoded + b"}") == {"model": "m", "temperature": 0.5}


def test_fields_that_json_cannot_hold() -> None:
    with pytest.raises(TypeError):
        Fields({"model": "m", "x": object()})
