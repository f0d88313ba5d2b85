"""Pieces of JSON are the JSON, and none is large."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_responses.protocol.encoding import LARGE_TEXT, PIECE, encode, encode_in_pieces

LARGE = "x" * LARGE_TEXT
VALUES: list[Any] = [
    None,
    "",
    "short",
    LARGE[:-1],
    LARGE,
    LARGE + "y",
    "a" * PIECE,
    "a" * (PIECE + 1),
    "a" * (3 * PIECE),
    '"\\\n\t\x00\x7f' * LARGE_TEXT,
    "é你😀\u2028\ue000" * LARGE_TEXT,
    {"a": LARGE, "b": {"c": [LARGE, 1, None, "short", True, 1.5]}},
    [LARGE, LARGE + "1", LARGE],
    (LARGE, "a"),
    {"first": "pipecat-responses:0", "second": LARGE},
    {"first": "\ue000pipecat-responses:0\ue001", "second": LARGE},
    {"key " + LARGE: LARGE},
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_the_pieces_joined_are_the_plain_encoding(value: Any) -> None:
    joined = b"".join(encode_in_pieces(value))
    assert joined == encode(value)
    assert json.loads(joined) == json.loads(json.dumps(value))


@given(
    st.recursive(
        st.none()
        | st.integers(-(2**60), 2**60)
        | st.text(st.characters(codec="utf-8"))
        | st.sampled_from([LARGE, "é" * LARGE_TEXT, '"' * (LARGE_TEXT + 1)]),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab"), inner),
        max_leaves=6,
    )
)
def test_any_value(value: Any) -> None:
    assert b"".join(encode_in_pieces(value)) == encode(value)


@pytest.mark.parametrize("filling", ["a", "é", "😀", "\x00"])
def test_a_piece_is_bounded_however_large_the_text(filling: str) -> None:
    pieces = list(encode_in_pieces({"data": filling * (5 * PIECE)}))
    longest = len(encode(filling)[1:-1]) * PIECE
    assert max(map(len, pieces)) <= longest
    assert len(pieces) == 5 + 2


def test_small_values_are_one_piece() -> None:
    assert list(encode_in_pieces({"a": "b"})) == [b'{"a":"b"}']


@pytest.mark.parametrize("large", [False, True])
def test_what_json_cannot_hold_is_a_type_error(large: bool) -> None:
    value = {"a": object(), "b": LARGE if large else ""}
    with pytest.raises(TypeError):
        list(encode_in_pieces(value))


@pytest.mark.parametrize("text", ["\ud800", LARGE + "\udfff", "\ud83d" + LARGE])
def test_text_that_is_not_unicode_is_a_unicode_error(text: str) -> None:
    with pytest.raises(UnicodeError):
        list(encode_in_pieces({"content": text}))
    with pytest.raises(UnicodeError):
        encode({"content": text})
