"""Repairs tell where each item that is sent comes from. What they repair: tests/context."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipecat_responses.protocol.items import (
    TEXT,
    CustomOutput,
    FunctionOutput,
    Item,
    Reasoning,
    make_item,
    original_call,
)
from pipecat_responses.protocol.repairs import NOT_COMPLETED, InputRepairs
from pipecat_responses.protocol.wording import Wording


def ignore(_: str) -> None:
    pass


def user(text: str = "a") -> Item:
    return make_item({"role": "user", "content": text})


def assistant() -> Item:
    return make_item({"role": "assistant", "content": "b"})


def call(call_id: str) -> Item:
    return make_item({"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"})


def output(call_id: str, content: str = "42") -> Item:
    return make_item({"type": "function_call_output", "call_id": call_id, "output": content})


def reasoning() -> Item:
    return make_item({"type": "reasoning", "id": "rs_1", "summary": []})


def repaired(*items: Item) -> InputRepairs:
    repairs = InputRepairs(ignore, ignore)
    repairs.extend(items)
    return repairs


@pytest.mark.parametrize(
    ("items", "origins"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([user(), call("c"), output("c")], [0, 1, 2], id="no repair"),
        pytest.param([call("c"), call("d"), user()], [0, 1, None, None, 2], id="inserted"),
        pytest.param([output("c"), user(), output("c"), user()], [1, 3], id="dropped"),
        pytest.param([call("c"), output("c"), call("c"), output("c")], [0, 1, 2, 3], id="renamed"),
        pytest.param(
            [call("c"), output("c", "1"), user(), output("c", "2"), output("c", "3"), user()],
            [0, 4, 2, 5],
            id="moved",
        ),
        pytest.param(
            [
                *(call("c"), output("c"), call("c"), output("c", "1")),
                *(user(), output("c", "2"), call("d")),
            ],
            [0, 1, 2, 5, 4, 6, None],
            id="moved and renamed",
        ),
        pytest.param([user(), reasoning(), user(), reasoning()], [0, 2], id="reasoning"),
        pytest.param(
            [reasoning(), output("c"), assistant(), reasoning(), output("c")],
            [0, 2],
            id="reasoning and dropped",
        ),
    ],
)
def test_origins(items: list[Item], origins: list[int | None]) -> None:
    repairs = repaired(*items)
    assert repairs.origins() == origins
    for item, origin in zip(repairs.items(), origins, strict=True):
        if origin is None:
            assert item.wire["output"] == NOT_COMPLETED
        else:
            assert without_id(item) == without_id(items[origin])


def without_id(item: Item) -> dict[str, Any]:
    return {key: value for key, value in item.wire.items() if key != "call_id"}


def test_origins_follow_what_is_cut_off() -> None:
    repairs = repaired(call("c"), output("c", "1"), output("c", "2"), call("d"))
    assert repairs.origins() == [0, 2, 3, None]
    twin = repairs.copy()
    repairs.truncate(2)
    assert repairs.origins() == [0, 1]
    repairs.extend([output("c", "3"), user()])
    assert repairs.origins() == [0, 2, 3]
    assert [item.wire.get("output") for item in repairs.items()] == [None, "3", None]
    assert twin.origins() == [0, 2, 3, None]


def test_a_copy_goes_its_own_way() -> None:
    repairs = repaired(call("c"), user())
    stand_in = repairs.items()[1]
    twin = repairs.copy()
    twin.extend([output("c"), user()])
    repairs.truncate(1)
    assert len(repairs) == 1
    assert len(twin) == 4
    assert [item.wire.get("type") for item in twin.items()] == [
        *("function_call", None, "function_call_output", None)
    ]
    assert repairs.items()[1] is stand_in


def test_asking_for_origins_says_nothing() -> None:
    heard: list[str] = []
    repairs = InputRepairs(heard.append, heard.append)
    repairs.extend([call("c"), user()])
    assert repairs.origins() == [0, None, 1]
    assert heard == []


def thought(name: str, leads_to: str | None) -> Item:
    return Reasoning({"type": "reasoning", "id": name, "summary": []}, leads_to=leads_to)


def shown(items: list[Item]) -> list[str]:
    """Each item in a word: the id of a thought or call, ``>id`` for an output, a role."""
    words = []
    for item in items:
        wire = item.wire
        kind = wire.get("type")
        if kind == "function_call_output":
            words.append(f">{wire['call_id']}")
        else:
            words.append(str(wire.get("role") or wire.get("call_id") or wire.get("id")))
    return words


ORDERS = [
    # As Pipecat writes parallel calls: reasoning at once, calls when they are over.
    (
        [thought("r", "c"), thought("s", "d"), call("c"), output("c"), call("d"), output("d")],
        ["r", "c", ">c", "s", "d", ">d"],
    ),
    # A voice writes the text down when it has spoken it, behind the calls.
    (
        [thought("r", TEXT), thought("s", "c"), call("c"), output("c"), assistant(), user()],
        ["s", "c", ">c", "r", "assistant", "user"],
    ),
    ([thought("r", TEXT), assistant(), user()], ["r", "assistant", "user"]),
    ([thought("r", "c"), thought("s", "c"), call("c"), output("c")], ["r", "s", "c", ">c"]),
    # The call that it led to was never written down, or not yet.
    ([thought("r", "c"), assistant(), user()], ["assistant", "user"]),
    ([user(), thought("r", "c")], ["user"]),
    # The user spoke before a word of it was said.
    ([thought("r", TEXT), user(), assistant()], ["user", "assistant"]),
    # A call that has no output yet.
    (
        [thought("r", "c"), thought("s", "d"), call("c"), call("d")],
        ["r", "c", "s", "d", ">c", ">d"],
    ),
    (
        [thought("r", "d"), call("c"), output("c"), user(), call("d"), output("d")],
        ["c", ">c", "user", "r", "d", ">d"],
    ),
]


@pytest.mark.parametrize(("items", "expected"), ORDERS)
def test_reasoning_stands_before_what_it_led_to(items: list[Item], expected: list[str]) -> None:
    assert shown(repaired(*items).items()) == expected


@pytest.mark.parametrize(("items", "expected"), ORDERS)
def test_the_order_does_not_depend_on_when_it_is_looked_at(
    items: list[Item], expected: list[str]
) -> None:
    for cut in range(len(items) + 1):
        repairs = InputRepairs(ignore, ignore)
        repairs.extend(items)
        repairs.truncate(cut)
        assert shown(repairs.items()) == shown(repaired(*items[:cut]).items())
        repairs.extend(items[cut:])
        assert shown(repairs.items()) == expected
        origins = repairs.origins()
        assert [None if o is None else items[o] for o in origins] == [
            each if each in items else None for each in repairs.items()
        ]


def custom(call_id: str) -> Item:
    return original_call(
        {"type": "custom_tool_call", "call_id": call_id, "name": "f", "input": "as it is"}
    )


def spaced(call_id: str) -> Item:
    wire = {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"}
    return original_call({**wire, "namespace": "crm"})


def kinds(items: list[Item]) -> list[str]:
    """Each call and output by its kind and id."""
    short = {
        "custom_tool_call": "custom",
        "custom_tool_call_output": ">custom",
        "function_call": "call",
        "function_call_output": ">call",
    }
    return [
        f"{short[item.wire['type']]} {item.wire['call_id']}" if "type" in item.wire else "said"
        for item in items
    ]


ORIGINALS = [
    ([custom("c"), call("c"), output("c")], ["custom c", ">custom c"]),
    ([spaced("c"), call("c"), output("c")], ["call c", ">call c"]),
    # A voice writes the text down between the two.
    ([custom("c"), assistant(), call("c"), output("c")], ["custom c", "said", ">custom c"]),
    (
        [custom("c"), spaced("d"), call("c"), call("d"), output("d"), output("c")],
        ["custom c", "call d", ">call d", ">custom c"],
    ),
    # It has not run, or not yet.
    ([custom("c"), user()], ["custom c", ">custom c", "said"]),
    ([custom("c"), call("c"), user()], ["custom c", ">custom c", "said"]),
    # A result over its placeholder.
    (
        [custom("c"), call("c"), output("c", "1"), user(), output("c", "2")],
        ["custom c", ">custom c", "said"],
    ),
    # The model uses an id again.
    (
        [custom("c"), call("c"), output("c"), custom("c"), call("c"), output("c")],
        ["custom c", ">custom c", "custom c_2", ">custom c_2"],
    ),
    (
        [call("c"), output("c"), custom("c"), call("c")],
        ["call c", ">call c", "custom c_2", ">custom c_2"],
    ),
]


@pytest.mark.parametrize(("items", "expected"), ORIGINALS)
def test_what_the_model_put_out_stands_for_what_pipecat_made_of_it(
    items: list[Item], expected: list[str]
) -> None:
    assert kinds(repaired(*items).items()) == expected
    for cut in range(len(items) + 1):
        repairs = InputRepairs(ignore, ignore)
        repairs.extend(items)
        repairs.truncate(cut)
        assert kinds(repairs.items()) == kinds(repaired(*items[:cut]).items())
        repairs.extend(items[cut:])
        assert kinds(repairs.copy().items()) == expected


def approval(name: str) -> Item:
    return make_item({"type": "mcp_approval_request", "id": name, "name": "f", "arguments": "{}"})


def verdict(name: str, approve: bool) -> Item:
    wire = {"type": "mcp_approval_response", "approval_request_id": name, "approve": approve}
    return make_item(wire)


APPROVALS = [
    ([approval("a"), verdict("a", True)], ["a", True]),
    ([approval("a"), approval("b"), verdict("b", True), verdict("a", False)], [*"ab", True, False]),
    # Nobody has answered.
    ([approval("a"), user()], ["a", False, "said"]),
    ([approval("a"), approval("b"), verdict("a", True), user()], ["a", "b", False, True, "said"]),
    # The last word counts, in the place of the first; what was asked twice is asked once.
    ([approval("a"), verdict("a", True), user(), verdict("a", False)], ["a", False, "said"]),
    ([approval("a"), approval("a"), verdict("a", True)], ["a", True]),
    ([verdict("a", True), user()], ["said"]),
]


@pytest.mark.parametrize(("items", "expected"), APPROVALS)
def test_each_request_for_approval_has_one_answer(items: list[Item], expected: list[Any]) -> None:
    sent = repaired(*items).items()
    assert [item.wire.get("approve", item.wire.get("id", "said")) for item in sent] == expected


def test_a_large_output_of_a_custom_tool_stays_in_pieces() -> None:
    pieces = (b'{"type":"function_call_output","call_id":"c","output":"', b"x" * 10, b'"}')
    wire = {"type": "function_call_output", "call_id": "c", "output": "x" * 10}
    sent = repaired(custom("c"), call("c"), FunctionOutput(wire, pieces)).items()[-1]
    assert sent.pieces == (
        b'{"type":"custom_tool_call_output","call_id":"c","output":"',
        *pieces[1:],
    )
    assert isinstance(sent, CustomOutput)


KINDS: list[Item] = [
    user(),
    assistant(),
    Wording({"type": "wording", "messages": [{"text": "b", "phase": "commentary"}]}),
    Wording({"type": "wording", "messages": [{"text": "b"}, {"text": "c"}]}),
    make_item({"role": "assistant", "content": "b c"}),
    *(each for name in "cd" for each in (call(name), output(name), thought("r" + name, name))),
    thought("rt", TEXT),
    thought("r", None),
    custom("c"),
    approval("a"),
    verdict("a", approve=True),
    make_item({"type": "computer_call", "call_id": "p"}),
    make_item({"type": "computer_call_output", "call_id": "p"}),
    make_item({"type": "apply_patch_call", "call_id": "c"}),
]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_what_is_arranged_once_is_as_if_arranged_anew(data: st.DataObject) -> None:
    items: list[Item] = []
    repairs = InputRepairs(ignore, ignore)
    for _ in range(data.draw(st.integers(1, 6))):
        kept = data.draw(st.integers(max(0, len(items) - 6), len(items)))
        more = data.draw(st.lists(st.sampled_from(KINDS), max_size=8))
        items = items[:kept] + more
        repairs.truncate(kept)
        repairs.extend(more)
        if data.draw(st.booleans()):
            repairs.items()
        if data.draw(st.booleans()):
            repairs = repairs.copy()
    anew = repaired(*items)
    assert [item.wire for item in repairs.items()] == [item.wire for item in anew.items()]
    assert len(repairs.origins()) == len(repairs.items())


def of_kind(kind: str, **fields: Any) -> Item:
    return make_item({"type": kind, "call_id": "c", **fields})


LOCAL = {"environment": {"type": "local"}}


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param(
            [of_kind("apply_patch_call"), user()],
            ["apply_patch_call", "apply_patch_call_output", "user"],
            id="patch",
        ),
        pytest.param(
            [of_kind("local_shell_call"), user()],
            ["local_shell_call", "local_shell_call_output", "user"],
            id="local shell",
        ),
        pytest.param(
            [of_kind("shell_call", **LOCAL), user()],
            ["shell_call", "shell_call_output", "user"],
            id="shell of the application",
        ),
        # It has run, and what it has put out is the server's to tell.
        pytest.param(
            [of_kind("shell_call"), user()], ["shell_call", "user"], id="shell of the server"
        ),
        pytest.param(
            [of_kind("shell_call"), of_kind("shell_call_output"), user()],
            ["shell_call", "shell_call_output", "user"],
            id="shell of the server with its output",
        ),
        # A screenshot cannot be made up.
        pytest.param([of_kind("computer_call"), user()], ["user"], id="computer"),
        pytest.param(
            [of_kind("computer_call"), of_kind("computer_call_output"), user()],
            ["computer_call", "computer_call_output", "user"],
            id="computer with its output",
        ),
        pytest.param(
            [of_kind("computer_call"), user(), of_kind("computer_call_output")],
            ["computer_call", "user", "computer_call_output"],
            id="computer with a late output",
        ),
        pytest.param(
            [
                of_kind("local_shell_call"),
                make_item({"type": "local_shell_call_output", "id": "c", "output": "x"}),
            ],
            ["local_shell_call", "local_shell_call_output"],
            id="local shell with its output",
        ),
        pytest.param(
            [of_kind("computer_call_output"), user()],
            ["computer_call_output", "user"],
            id="no call",
        ),
        pytest.param(
            [make_item({"type": "shell_call", "id": "sh"}), user()],
            ["shell_call", "user"],
            id="without a call id",
        ),
    ],
)
def test_calls_that_are_the_applications(items: list[Item], expected: list[str]) -> None:
    for cut in range(len(items) + 1):
        repairs = repaired(*items)
        repairs.items()
        repairs.truncate(cut)
        repairs.extend(items[cut:])
        sent = repairs.items()
        kinds = [str(item.wire.get("type") or item.wire.get("role")) for item in sent]
        assert kinds == expected
        assert len(repairs.origins()) == len(expected)
