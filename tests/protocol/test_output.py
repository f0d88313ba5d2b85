"""Whether a context repeats what a response put out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_responses.protocol.items import Item, make_item
from pipecat_responses.protocol.output import (
    NOTHING,
    Coverage,
    Match,
    Mismatch,
    Output,
    join_texts,
    output_text,
    read_output,
)

Wire = dict[str, Any]


def matched(output: Output, context: list[Item], start: int) -> Match | None:
    found = output.compare(context, start)
    return found if isinstance(found, Match) else None


def said(text: str) -> Wire:
    return {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text}],
    }


def refused(text: str) -> Wire:
    return said("") | {"content": [{"type": "refusal", "refusal": text}]}


def assistant(text: str) -> Wire:
    return {"role": "assistant", "content": text}


def user(text: str) -> Wire:
    return {"role": "user", "content": text}


def call(name: str, arguments: str = "{}") -> Wire:
    return {"type": "function_call", "call_id": name, "name": name, "arguments": arguments}


def out(name: str, output: Any = "done") -> Wire:
    return {"type": "function_call_output", "call_id": name, "output": output}


def thought(name: str) -> Wire:
    return {"type": "reasoning", "id": name, "summary": [], "encrypted_content": "..."}


def private(name: str) -> Wire:
    """A thought that cannot be sent back."""
    return {"type": "reasoning", "id": name, "summary": []}


OTHER = {"type": "compaction", "id": "cmp"}

# What the server put out, what the context says, and then: how many items of the context are the
# group, and which of them are still to be sent; or None.
CASES: list[tuple[str, list[Wire], list[Wire], tuple[int, list[Wire]] | None]] = [
    ("nothing at all", [], [], (0, [])),
    ("nothing, then the user", [], [user("a")], (0, [])),
    ("the same text", [said("a b")], [assistant("a b")], (1, [])),
    ("as parts", [said("a b")], [said("a b")], (1, [])),
    ("what follows is not of it", [said("a")], [assistant("a"), user("b")], (1, [])),
    ("a refusal", [refused("no")], [assistant("no")], (1, [])),
    ("two messages, joined", [said("a"), said("b")], [assistant("a b")], (1, [])),
    ("two messages, run together", [said("a"), said("b")], [assistant("ab")], None),
    ("two messages, apart", [said("a"), said("b")], [assistant("a"), assistant("b")], (2, [])),
    ("one message, split", [said("abc")], [assistant("a"), assistant("bc")], (2, [])),
    ("split elsewhere", [said("a"), said("b c")], [said("a b"), said("c")], (2, [])),
    ("cut short", [said("a b c")], [assistant("a b")], None),
    ("cut short, and the user", [said("a b c")], [assistant("a b"), user("x")], None),
    ("missing", [said("a")], [], None),
    ("missing, and the user", [said("a")], [user("x")], None),
    ("more than was said", [said("a")], [assistant("ab")], None),
    ("another text", [said("a")], [assistant("b")], None),
    ("said by the user", [said("a")], [user("a")], None),
    ("said by a developer", [said("a")], [{"role": "developer", "content": "a"}], None),
    ("an empty message between", [said("ab")], [assistant("a"), assistant(""), said("b")], None),
    ("a call", [call("f")], [call("f"), out("f")], (1, [])),
    ("a call, other white space", [call("f", '{"a":1}')], [call("f", '{ "a": 1 }')], (1, [])),
    ("a call, other arguments", [call("f", '{"a":1}')], [call("f", '{"a":true}')], None),
    ("another call", [call("f")], [call("g")], None),
    ("calls together", [call("f"), call("g")], [call("f"), call("g"), out("f")], (2, [])),
    (
        "call, output, call, output",
        [call("f"), call("g")],
        [call("f"), out("f"), call("g"), out("g")],
        (3, [out("f")]),
    ),
    (
        "three of them, in another order",
        [call("f"), call("g"), call("h")],
        [call("h"), out("h"), call("f"), out("f"), call("g"), out("g"), user("x")],
        (5, [out("h"), out("f")]),
    ),
    ("one call missing", [call("f"), call("g")], [call("f"), out("f"), user("x")], None),
    ("a call too many", [call("f")], [call("f"), call("g")], (1, [])),
    ("a call too many, first", [call("f")], [call("g"), call("f")], None),
    ("an output before its call", [call("f"), call("g")], [out("f"), call("f"), call("g")], None),
    ("an output of another call", [call("f"), call("g")], [call("f"), out("x"), call("g")], None),
    ("text, then a call", [said("a"), call("f")], [assistant("a"), call("f"), out("f")], (2, [])),
    ("a call, then text", [call("f"), said("a")], [assistant("a"), call("f"), out("f")], (2, [])),
    ("the text behind the call", [said("a"), call("f")], [call("f"), assistant("a")], (2, [])),
    (
        "the text behind an output",
        [said("a"), call("f")],
        [call("f"), out("f"), assistant("a")],
        (3, [out("f")]),
    ),
    ("other words", [said("a b.")], [assistant("a c.")], None),
    ("other white space", [said("a\n\nb ")], [assistant("a b")], (1, [])),
    ("markdown", [said("**Total:** $5")], [assistant("Total: five dollars")], (1, [])),
    (
        "the last mark alone",
        [said("Hi! 🎉"), call("f")],
        [said("Hi!"), call("f"), said("🎉")],
        (3, []),
    ),
    ("half of it", [said("I can't")], [assistant("I can")], None),
    (
        "text between the calls",
        [call("f"), said("a"), call("g")],
        [call("f"), assistant("a"), call("g")],
        (3, []),
    ),
    ("reasoning first", [thought("r"), said("a")], [thought("r"), assistant("a")], (2, [])),
    (
        "reasoning, then calls",
        [thought("r"), call("f"), call("g")],
        [thought("r"), call("f"), out("f"), call("g"), out("g")],
        (4, [out("f")]),
    ),
    ("two thoughts", [thought("r"), thought("s"), said("a")], [thought("r"), thought("s")], None),
    ("reasoning left out", [thought("r"), said("a")], [assistant("a"), user("x")], None),
    ("other reasoning", [thought("r"), said("a")], [thought("s"), assistant("a")], None),
    (
        "reasoning behind an output",
        [thought("r"), call("f")],
        [call("f"), out("f"), thought("r")],
        (3, [out("f")]),
    ),
    ("a thought that no context can hold", [private("r"), said("a")], [assistant("a")], (1, [])),
    ("one that this context holds", [private("r"), said("a")], [private("r"), said("a")], (2, [])),
    ("nothing but such a thought", [private("r")], [user("x")], (0, [])),
    (
        "another kind behind an output",
        [OTHER, call("f")],
        [call("f"), out("f"), OTHER],
        (3, [out("f")]),
    ),
    ("another kind", [OTHER, said("a")], [OTHER, assistant("a")], (2, [])),
    ("another kind, left out", [OTHER, said("a")], [assistant("a"), user("x")], None),
    ("another kind, changed", [OTHER], [OTHER | {"id": "x"}], None),
]


def items(wires: list[Wire]) -> list[Item]:
    return [make_item(wire) for wire in wires]


@pytest.mark.parametrize(
    ("put_out", "context", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_match(
    put_out: list[Wire], context: list[Wire], expected: tuple[int, list[Wire]] | None
) -> None:
    output = read_output(put_out)
    assert output is not None
    before = items([user("before")])
    match = matched(output, [*before, *items(context)], 1)
    if expected is None:
        assert match is None
    else:
        assert match is not None
        end, pending = expected
        assert match.end == 1 + end
        assert list(match.pending) == items(pending)


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ([], True),
        ([assistant("a")], True),
        ([assistant("a b"), call("f")], True),
        ([assistant("a b"), call("f"), call("g")], True),
        ([assistant("a b"), call("f"), out("f")], True),
        ([user("x")], False),
        ([assistant("b")], False),
        ([assistant("a"), user("x")], False),
        ([call("f"), out("f"), assistant("a b")], True),
        ([call("f"), out("f"), assistant("b")], False),
    ],
)
def test_whether_a_context_may_still_come_to_say_it(context: list[Wire], expected: bool) -> None:
    output = read_output([said("a b"), call("f"), call("g")])
    assert output is not None
    assert (not isinstance(output.compare(items(context), 0), Mismatch)) is expected


def test_an_output_that_was_prepared_only_is_nothing() -> None:
    match = matched(NOTHING, items([user("a")]), 0)
    assert match is not None
    assert (match.end, match.pending) == (0, ())


@pytest.mark.parametrize(
    "wire",
    [
        ["text"],
        [None],
        [said("a"), 7],
        [{"type": "message", "role": "assistant", "content": None}],
        [{"type": "message", "role": "assistant", "content": [7]}],
        [{"type": "message", "role": "assistant", "content": [{"type": "output_audio"}]}],
        [{"type": "message", "role": "assistant", "content": [{"type": "refusal"}]}],
        [{"type": "function_call", "name": "f", "arguments": "{}"}],
        [{"type": "function_call", "call_id": 7}],
        [call("f"), call("f")],
    ],
)
def test_what_is_not_understood_is_not_to_be_continued_from(wire: list[Any]) -> None:
    assert read_output(wire) is None


def test_reading_an_output() -> None:
    output = read_output([thought("r"), said("a"), refused("b"), call("f"), OTHER])
    assert output is not None
    assert output.text == "a b"
    assert list(output.calls) == ["f"]
    assert output.reasoning == (make_item(thought("r")),)
    assert output.others == (make_item(OTHER),)
    nothing = read_output([])
    assert nothing is not None
    assert (nothing.text, nothing.calls, nothing.reasoning, nothing.others) == ("", {}, (), ())


def test_only_the_letters_count_where_that_is_asked_for() -> None:
    output = read_output([said("a\n\nb")])
    assert output is not None
    context = items([assistant("a b")])
    assert isinstance(output.compare(context, 0), Match)
    assert isinstance(output.compare(context, 0, Coverage.EXACT), Mismatch)


@pytest.mark.parametrize(
    ("content", "expected"),
    [("a", "a"), ([], ""), ([{"type": "refusal", "refusal": "no"}], "no"), (7, None), ([7], None)],
)
def test_the_words_of_a_message(content: Any, expected: str | None) -> None:
    assert output_text({"content": content}) == expected


@given(
    st.lists(st.text(min_size=1, max_size=5), max_size=3),
    st.integers(0, 4),
    st.integers(0, 2),
    st.data(),
)
def test_whatever_order_a_group_is_written_in(
    texts: list[str], calls: int, thoughts: int, data: st.DataObject
) -> None:
    """As Pipecat writes it: texts in order, calls anywhere, each output behind its call."""
    put_out = [thought(f"r{n}") for n in range(thoughts)]
    put_out += [said(text) for text in texts]
    put_out += [call(f"f{n}", json.dumps({"n": n})) for n in range(calls)]
    output = read_output(put_out)
    assert output is not None
    order = data.draw(st.permutations(range(calls)))
    outputs = data.draw(st.sets(st.sampled_from(range(calls)))) if calls else set()
    context = [thought(f"r{n}") for n in range(thoughts)]
    context += [assistant(join_texts(texts))] if texts else []
    for n in order:
        context.append(call(f"f{n}", json.dumps({"n": n}, indent=1)))
        if n in outputs:
            context.append(out(f"f{n}"))
    context.append(user("next"))
    match = matched(output, items(context), 0)
    assert match is not None
    sent = [*match.pending, *items(context)[match.end :]]
    assert sent == items([out(f"f{n}") for n in order if n in outputs] + [user("next")])
