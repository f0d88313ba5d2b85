"""What is kept is bounded, in order, and without what is not to leave."""

from __future__ import annotations

from typing import Any

import pytest

from pipecat_responses.inspector.redaction import LONGEST, Redaction
from pipecat_responses.inspector.store import EACH, OVERHEAD, InspectorLimits, Ring, WatchedSession
from pipecat_responses.session.records import Noted, Record, ServiceClosed
from pipecat_responses.transport.trace import Reached, Received
from tests.inspector.support import KEY, plain

DELTA = "response.output_text.delta"
DONE = "response.completed"


def event(text: str = "", kind: str = DELTA) -> bytes:
    return b'{"type":"%s","delta":"%s"}' % (kind.encode(), text.encode())


def events(*messages: bytes) -> Record:
    return Received(1, messages, "websocket")


def session(marks: Ring, wire: Ring, key: str = "1", **kwargs: Any) -> WatchedSession:
    return WatchedSession(key, "llm", lambda text: text.replace(KEY, "***"), marks, wire, **kwargs)


def seqs(lines: list[Any]) -> list[int]:
    return [each["seq"] for each in lines]


def test_the_oldest_goes_first_whosever_it_is() -> None:
    marks, wire = Ring(3), Ring(10 * OVERHEAD)
    one, other = session(marks, wire, "1"), session(marks, wire, "2")
    for _ in range(2):
        one.tell(Noted("x", "y"))
        other.tell(Noted("x", "y"))
    assert seqs(one.marks(0, 10)()) == [2]
    assert seqs(other.marks(0, 10)()) == [1, 2]
    assert marks.cost == 3


def test_what_goes_over_the_wire_is_bounded_by_its_bytes() -> None:
    marks, wire = Ring(1000), Ring(100_000)
    one = session(marks, wire)
    for number in range(500):
        one.tell(events(event("x" * 1000 + str(number))))
    assert wire.cost <= 100_000
    kept = one.wire(0, 10_000, 10_000)()
    assert 0 < len(kept) < 100
    assert kept[-1]["seq"] == 500
    # None of it is a mark.
    assert marks.cost == 0


def test_marks_outlive_the_wire() -> None:
    one = session(Ring(1000), Ring(1))
    one.tell(events(event(kind=DONE)))
    one.tell(Reached(1, None, DONE, 0))
    assert one.wire(0, 10, 10)() == []
    (mark,) = one.marks(0, 10)()
    assert mark["kind"] == "response.completed"
    assert "message" not in mark


def test_what_is_dropped_gives_room_to_the_others() -> None:
    marks, wire = Ring(100), Ring(100_000)
    one, other = session(marks, wire, "1"), session(marks, wire, "2")
    for each in (one, other, one):
        each.tell(Noted("x", "y"))
        each.tell(events(event("z")))
    one.drop()
    assert marks.cost == 1
    assert wire.cost == OVERHEAD + EACH + len(event("z"))
    assert seqs(other.marks(0, 10)()) == [1]
    other.tell(ServiceClosed())
    assert other.ended


def test_looking_goes_on_from_a_number() -> None:
    one = session(Ring(100), Ring(100_000))
    for _ in range(6):
        one.tell(Noted("x", "y"))
    assert seqs(one.marks(2, 3)()) == [3, 4, 5]
    assert seqs(one.marks(5, 3)()) == [6]
    assert one.header()["latest"] == 6


def test_a_whole_session_has_each_entry_once_with_its_message() -> None:
    one = session(Ring(100), Ring(100_000))
    one.tell(Noted("x", "y"))
    one.tell(events(event("a"), event("b", kind=DONE)))
    one.tell(Reached(1, None, DONE, 1))
    lines = plain([line for later in one.whole(words=True) for line in later()])
    assert seqs(lines) == [1, 2, 3]
    assert lines[2]["message"] == {"type": DONE, "delta": "b"}


def test_events_that_arrive_in_one_step_are_events_all_the_same() -> None:
    wire = Ring(100_000)
    one = session(Ring(100), wire)
    one.tell(Noted("x", "y"))
    one.tell(events(event("a"), b"hello", event("Bb", kind=DONE), event("c"), event(kind=DONE)))
    one.tell(Reached(1, None, DONE, 2))
    # It has led to something before the rest was handed over.
    one.tell(Noted("x", "y"))
    one.tell(Reached(1, None, DONE, 4))
    assert seqs(one.marks(0, 10)()) == [1, 4, 6, 7]
    assert seqs(one.marks(4, 10)()) == [6, 7]
    assert len({each["at"] for each in one.wire(0, 10, 10)()}) == 1
    assert [each["kind"] for each in one.wire(0, 10, 10)()] == [DELTA, None, DONE, DELTA, DONE]
    assert seqs(one.wire(2, 5, 2)()) == [3, 4]
    assert seqs(one.wire(3, 5, 9)()) == [4, 5]
    assert seqs(one.some([3, 5, 7])()) == [3, 5]
    assert one.search("bb")() == [4]
    lines = plain([line for later in one.whole(words=True) for line in later()])
    assert seqs(lines) == [1, 2, 3, 4, 5, 6, 7]
    assert lines[2]["message"] == "hello"


def test_a_message_that_names_a_lane_over_http_is_on_none() -> None:
    one = session(Ring(100), Ring(100_000))
    message = b'{"type":"error","stream_id":"lane-1"}'
    one.tell(Received(1, (message,), "websocket"))
    one.tell(Received(1, (message,), "http"))
    one.tell(Received(1, (b'{"output":[]}',), "response"))
    lines = one.wire(0, 10, 10)()
    assert [(each["lane"], each["kind"]) for each in lines] == [
        ("lane-1", "error"),
        (None, "error"),
        (None, "response"),
    ]


@pytest.mark.parametrize("name", ["sessions", "marks", "wire_bytes"])
def test_limits_that_make_no_sense_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        InspectorLimits(**{name: 0})


class TestRedaction:
    def test_keys_never_leave(self) -> None:
        redaction = Redaction(lambda text: text.replace(KEY, "***"), words=True)
        said = redaction.said({"a": [f"x {KEY}"], KEY: 1, "id": KEY})
        assert said == {"a": ["x ***"], "***": 1, "id": "***"}
        # Spelled with JSON's escapes, too.
        escaped = "".join(f"\\u{ord(c):04x}" for c in KEY)
        assert redaction.message(f'{{"a": "{escaped}"}}'.encode()) == {"a": "***"}

    def test_without_words_structure_is_kept(self) -> None:
        redaction = Redaction(str, words=False)
        wire = {
            "type": "message",
            "role": "user",
            "name": "call me Ada",
            "content": [{"type": "input_text", "text": "My name is Ada."}],
            "metadata": {"caller": "Ada"},
            "logprobs": [{"token": "Ada", "bytes": [65, 100, 97], "logprob": -0.5}],
            "store": False,
            "count": 3,
            "nothing": None,
        }
        assert redaction.said(wire) == {
            "type": "message",
            "role": "user",
            "name": "<11 characters>",
            "content": [{"type": "input_text", "text": "<15 characters>"}],
            "metadata": {"caller": "<3 characters>"},
            "logprobs": [{"token": "<3 characters>", "bytes": "<3 bytes>", "logprob": -0.5}],
            "store": False,
            "count": 3,
            "nothing": None,
        }

    def test_what_needs_no_change_stays_as_it_is(self) -> None:
        redaction = Redaction(lambda text: text.replace(KEY, "***"), words=True)
        assert plain(redaction.message(b'{"a": "x %s"}' % KEY.encode())) == {"a": "x ***"}

    def test_what_is_no_json_is_a_text(self) -> None:
        assert Redaction(str, words=True).message(b"\xffhello") == "\ufffdhello"
        assert Redaction(str, words=False).message(b"hello") == "<5 characters>"
        deep = b"[" * 100_000 + b"]" * 100_000
        assert isinstance(Redaction(str, words=True).message(deep), str)

    def test_long_texts_are_shortened(self) -> None:
        said = Redaction(str, words=True).said("x" * (LONGEST + 5))
        assert said == "x" * LONGEST + " <5 more characters>"
