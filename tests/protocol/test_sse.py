"""Server-sent events, cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.sse import EventStream

STREAMS: list[tuple[str, bytes, list[bytes]]] = [
    ("one event", b'data: {"a":1}\n\n', [b'{"a":1}']),
    ("no space", b"data:1\n\n", [b"1"]),
    ("crlf", b"event: x\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", [b"1", b"2"]),
    ("type and id", b"event: response.created\nid: 7\nretry: 5\ndata: 1\n\n", [b"1"]),
    ("several lines", b'data: {"a":\ndata: 1}\n\n', [b'{"a":\n1}']),
    ("comments", b": ping\n\n:\n\n: x\ndata: 1\n: y\n\n", [b"1"]),
    ("done", b"data: 1\n\ndata: [DONE]\n\n", [b"1"]),
    ("blank lines", b"\n\n\ndata: 1\n\n\n\n", [b"1"]),
    ("no end", b"data: 1\n\ndata: 2\n", [b"1"]),
    ("text", "data: größer 你好 😀\n\n".encode(), ["größer 你好 😀".encode()]),
    ("another field", b"database: 1\n\ndata: 2\n\n", [b"2"]),
]


@pytest.mark.parametrize(
    ("stream", "expected"), [s[1:] for s in STREAMS], ids=[s[0] for s in STREAMS]
)
def test_a_stream(stream: bytes, expected: list[bytes]) -> None:
    assert EventStream(1000).feed(stream) == expected
    # Cut at every byte, and byte by byte.
    for at in range(len(stream) + 1):
        parser = EventStream(1000)
        assert [*parser.feed(stream[:at]), *parser.feed(stream[at:])] == expected
    parser = EventStream(1000)
    assert [e for i in range(len(stream)) for e in parser.feed(stream[i : i + 1])] == expected


@given(st.lists(st.sampled_from(STREAMS[:8]), max_size=5), st.lists(st.integers(0, 300)))
def test_streams_in_a_row_cut_anywhere(
    streams: list[tuple[str, bytes, list[bytes]]], cuts: list[int]
) -> None:
    whole = b"".join(stream for _, stream, _ in streams)
    expected = [event for _, _, events in streams for event in events]
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    parser = EventStream(1000)
    got = []
    for start, end in pairwise(edges):
        got += parser.feed(whole[start:end])
    assert got == expected


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_garbage_is_never_an_error_of_ours(chunks: list[bytes]) -> None:
    parser = EventStream(1000)
    for chunk in chunks:
        parser.feed(chunk)


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * 101 + b"\n\n",
        b"data: " + b"x" * 60 + b"\ndata: " + b"x" * 60 + b"\n\n",
        b"data: " + b"x" * 200,
        b"x" * 200,
    ],
)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_an_event_over_the_limit_is_refused(stream: bytes, step: int) -> None:
    parser = EventStream(100)
    chunks = [stream[start : start + step] for start in range(0, len(stream), step)]
    with pytest.raises(ResponsesError, match="max_message_bytes") as caught:
        list(map(parser.feed, chunks))
    assert caught.value.failure is Failure.PROTOCOL


def test_events_up_to_the_limit_are_taken_for_ever() -> None:
    parser = EventStream(100)
    for _ in range(1000):
        assert parser.feed(b"data: " + b"x" * 90 + b"\n\n") == [b"x" * 90]


def test_a_large_event_in_many_pieces_is_one_event() -> None:
    text = b"x" * 200_000
    parser = EventStream(1_000_000)
    stream = b"data: " + text + b"\r\n\r\n"
    got = [e for i in range(0, len(stream), 7_000) for e in parser.feed(stream[i : i + 7_000])]
    assert got == [text]
