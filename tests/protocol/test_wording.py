"""What was heard of an answer goes up as the messages that the model had put out."""

from __future__ import annotations

from typing import Any

import pytest

from pipecat_responses.protocol.items import Item, Message, make_item
from pipecat_responses.protocol.output import Coverage, Match, read_output
from pipecat_responses.protocol.repairs import InputRepairs
from pipecat_responses.protocol.wording import PutOut, Wording, put_into_words, wording_wire

SOURCE = {"type": "url_citation", "url": "https://a.example", "start_index": 0, "end_index": 5}
LOOK = PutOut("Let me look **that** up.", "commentary")
SUN = PutOut("It is sunny in Paris. Take a hat along.", "final_answer")
SOURCED = PutOut("Paris is sunny.", annotations=[SOURCE])


def text(content: str) -> Message:
    return Message({"role": "assistant", "content": content})


def wording(*messages: PutOut) -> Wording:
    wire = wording_wire(messages)
    assert wire is not None
    return Wording(wire)


def comment(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "phase": "commentary"}


def final(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "phase": "final_answer"}


def plain(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


@pytest.mark.parametrize(
    ("texts", "messages", "expected"),
    [
        pytest.param(
            [f"{LOOK.text} {SUN.text}"],
            [LOOK, SUN],
            [[comment(LOOK.text), final(SUN.text)]],
            id="to the letter",
        ),
        pytest.param(
            [f"Let me look that up. {SUN.text}"],
            [LOOK, SUN],
            [[comment("Let me look that up."), final(SUN.text)]],
            id="without markup",
        ),
        pytest.param(
            ["Let me look that up. It is sunny"],
            [LOOK, SUN],
            [[comment("Let me look that up."), final("It is sunny")]],
            id="cut in the second",
        ),
        pytest.param(["Let me"], [LOOK, SUN], [[comment("Let me")]], id="cut in the first"),
        pytest.param(
            ["Let me look that up.", SUN.text],
            [LOOK, SUN],
            [[comment("Let me look that up.")], [final(SUN.text)]],
            id="in two texts",
        ),
        pytest.param(
            ["It is sunny in Paris.", "Take a hat along."],
            [SUN],
            [[final("It is sunny in Paris.")], [final("Take a hat along.")]],
            id="one message in two texts",
        ),
        pytest.param([SUN.text], [LOOK, SUN], [[final(SUN.text)]], id="the first was never heard"),
        pytest.param(
            [SOURCED.text],
            [SOURCED],
            [
                [
                    {
                        "role": "assistant",
                        "content": [
                            {
                                "type": "output_text",
                                "text": SOURCED.text,
                                "annotations": [SOURCE],
                            }
                        ],
                    }
                ]
            ],
            id="sources",
        ),
        pytest.param(
            ["Paris is"], [SOURCED], [[plain("Paris is")]], id="sources of what was not heard"
        ),
        pytest.param(["Something else."], [SUN], [[final("Something else.")]], id="one kind only"),
        pytest.param(
            ["Something else."],
            [LOOK, SUN],
            [[plain("Something else.")]],
            id="not to be recognised",
        ),
        pytest.param(
            [f"{LOOK.text} Something else."],
            [LOOK],
            [[comment(LOOK.text), plain("Something else.")]],
            id="more than the model had put out",
        ),
        pytest.param(
            ["One. Two."],
            [PutOut("One."), PutOut("Two.")],
            [[plain("One."), plain("Two.")]],
            id="messages without phases",
        ),
        pytest.param(
            ["你好。 今天天气"],
            [PutOut("你好。", "commentary"), PutOut("今天天气很好。", "final_answer")],
            [[comment("你好。"), final("今天天气")]],
            id="Chinese",
        ),
    ],
)
def test_texts_are_put_into_the_words_of_the_model(
    texts: list[str], messages: list[PutOut], expected: list[list[dict[str, Any]]]
) -> None:
    found = put_into_words([text(each) for each in texts], [wording(*messages)])
    assert [[message.wire for message in messages] for messages in found] == expected


def test_one_message_that_its_text_says_all_of_needs_no_wording() -> None:
    assert wording_wire([PutOut("Yes.")]) is None
    assert wording_wire([]) is None


@pytest.mark.parametrize(
    "wire", [{}, {"messages": None}, {"messages": [None, 1, {"text": 1, "phase": [], "x": 2}]}]
)
def test_a_wording_that_is_none_changes_nothing(wire: dict[str, Any]) -> None:
    (found,) = put_into_words([text("Yes.")], [Wording({"type": "wording", **wire})])
    assert [message.wire for message in found] == [plain("Yes.")]


def user(content: str = "And?") -> Item:
    return make_item({"role": "user", "content": content})


def call() -> list[Item]:
    return [
        make_item({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}),
        make_item({"type": "function_call_output", "call_id": "c", "output": "1"}),
    ]


BOTH = f"{LOOK.text} {SUN.text}"


@pytest.mark.parametrize(
    ("items", "sent", "origins"),
    [
        pytest.param(
            [user(), wording(LOOK, SUN), text(BOTH), user()],
            ["user", LOOK.text, SUN.text, "user"],
            [0, 2, 2, 3],
            id="before the text",
        ),
        pytest.param(
            [user(), text(BOTH), wording(LOOK, SUN), user()],
            ["user", LOOK.text, SUN.text, "user"],
            [0, 1, 1, 3],
            id="behind the text",
        ),
        pytest.param(
            [user(), wording(LOOK), text(LOOK.text), *call(), wording(SUN), text(SUN.text)],
            ["user", LOOK.text, "function_call", "function_call_output", SUN.text],
            [0, 2, 3, 4, 6],
            id="around a call",
        ),
        pytest.param(
            [user(), wording(LOOK, SUN), user(), text(BOTH)],
            ["user", "user", BOTH],
            [0, 2, 3],
            id="of another turn",
        ),
        pytest.param(
            [wording(LOOK, SUN), user(), user(), wording(SUN), text(SUN.text)],
            ["user", "user", SUN.text],
            [1, 2, 4],
            id="of an answer that nobody heard",
        ),
    ],
)
def test_repairs(items: list[Item], sent: list[str], origins: list[int]) -> None:
    for step in (1, 2, len(items)):
        repairs = InputRepairs(_ignore, _ignore)
        for start in range(0, len(items), step):
            repairs.extend(items[start : start + step])
            repairs.items()
        shown = [_shown(item) for item in repairs.items()]
        assert shown == sent
        assert repairs.origins() == origins
        phases = [item.wire.get("phase") for item in repairs.items()]
        expected = {LOOK.text: "commentary", SUN.text: "final_answer"}
        assert phases == [expected.get(each) for each in sent]
        # What is taken back leaves nothing behind.
        repairs.truncate(0)
        repairs.extend([text(BOTH)])
        assert [item.wire for item in repairs.items()] == [plain(BOTH)]


def _shown(item: Item) -> str:
    if isinstance(item, Message) and item.role == "assistant":
        return str(item.text)
    return str(item.wire.get("type") or item.wire.get("role"))


def _ignore(_: str) -> None:
    pass


@pytest.mark.parametrize("coverage", list(Coverage))
def test_what_is_sent_as_messages_is_what_the_model_had_put_out(coverage: Coverage) -> None:
    output = read_output(
        [
            {
                "type": "message",
                "role": "assistant",
                "phase": message.phase,
                "content": [{"type": "output_text", "text": message.text}],
            }
            for message in (LOOK, SUN)
        ]
    )
    assert output is not None
    (items,) = put_into_words([text(BOTH)], [wording(LOOK, SUN)])
    assert output.compare(items, 0, coverage) == Match(2, ())
