"""The built-in answers: deterministic, and good enough to hold a conversation with."""

import json
from typing import Any

import pytest

from pipecat_responses.sandbox import Answer, Call, Sandbox, SandboxConfig
from pipecat_responses.sandbox.answers import ModelInput
from pipecat_responses.sandbox.rules import answer_by_rules
from pipecat_responses.sandbox.samples import sample
from pipecat_responses.sandbox.text import split_words
from pipecat_responses.sandbox.transcript import Item, Transcript

from .wire import function_tool, post, text_of, user

TIME = function_tool("get_current_time", description="Tells what o'clock it is")
CALCULATOR = function_tool(
    "calculator",
    {
        "type": "object",
        "properties": {"expression": {"type": "string"}, "digits": {"type": "integer"}},
        "required": ["expression"],
    },
)
WEATHER = function_tool("get_weather")


def model_input(items: Any, **fields: Any) -> ModelInput:
    given = {
        "model": "gpt-4.1",
        "instructions": None,
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "settings": {},
        "transport": "websocket",
        "stream_id": None,
        **fields,
    }
    return ModelInput(transcript=Transcript().extend(items), **given)


def answer(items: Any, **fields: Any) -> Answer:
    return answer_by_rules(model_input(items, **fields))


def calls(items: Any, tools: Any, **fields: Any) -> list[tuple[str, str]]:
    parts = answer(items, tools=tools, **fields).items
    return [(part.name, part.raw_arguments) for part in parts if isinstance(part, Call)]


def test_speaking() -> None:
    assert answer([user("hello")]).text == 'You said: "hello". I remember 1 item.'
    many = [user("one"), {"role": "assistant", "content": "two"}, user("three")]
    assert answer(many).text == 'You said: "three". I remember 3 items.'
    assert answer([{"role": "developer", "content": "Greet."}]).text == "Hello! How can I help you?"
    parts = [{"type": "input_text", "text": "he"}, {"type": "input_text", "text": "llo"}]
    assert answer([user(parts)]).text.startswith('You said: "hello"')


def test_long_answers() -> None:
    assert answer([user("Please count to 5!")]).text == "1, 2, 3, 4, 5."
    assert answer([user("count from one to 3")]).text == "1, 2, 3."
    assert len(split_words(answer([user("Tell me a story")]).text)) > 150


def test_remembering_a_word() -> None:
    told = [user("The word is maple."), {"role": "assistant", "content": "The word is oak."}]
    assert answer([*told, user("Which word was it?")]).text == "The word is maple."
    again = [*told, user("Now the word is pine, count to 2."), user("Which word?")]
    assert answer(again).text == "The word is pine."
    assert answer([user("Which word?")]).text == "Nobody has told me a word."


@pytest.mark.parametrize(
    ("text", "tools", "expected"),
    [
        ("What time is it?", [WEATHER, TIME], [("get_current_time", "{}")]),
        ("Sometimes I wonder", [TIME], []),
        ("What time is it?", [WEATHER], []),
        ("what is 12 * (3)", [CALCULATOR], [("calculator", '{"expression": "12 * (3)"}')]),
        ("1.5.2 * 2. + 3", [CALCULATOR], [("calculator", '{"expression": "1.5.2 * 2. + 3"}')]),
        ("so ...3+4", [CALCULATOR], [("calculator", '{"expression": "3+4"}')]),
        ("5(3+4)", [CALCULATOR], [("calculator", '{"expression": "(3+4)"}')]),
        ("it is 2026", [CALCULATOR], []),
        (
            "call get_weather and get_current_time",
            [TIME, WEATHER],
            [("get_weather", "{}"), ("get_current_time", "{}")],
        ),
    ],
)
def test_calls(text: str, tools: Any, expected: Any) -> None:
    assert calls([user(text)], tools) == expected


def test_tool_choice() -> None:
    asked = [user("What time is it?")]
    assert calls(asked, [TIME], tool_choice="none") == []
    assert calls([user("hi")], [WEATHER, TIME], tool_choice="required") == [("get_weather", "{}")]
    named = {"type": "function", "name": "get_current_time"}
    assert calls([user("hi")], [WEATHER, TIME], tool_choice=named) == [("get_current_time", "{}")]
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"name": "get_weather"}]}
    assert calls(asked, [TIME, WEATHER], tool_choice=allowed) == []
    both = [user("call get_weather and get_current_time")]
    assert len(calls(both, [TIME, WEATHER], parallel_tool_calls=False)) == 1
    custom = {"type": "custom", "name": "timer"}
    assert calls(asked, [custom]) == [("timer", "What time is it?")]


def test_reports_of_outputs() -> None:
    def call(call_id: str, name: str) -> Item:
        return {"type": "function_call", "call_id": call_id, "name": name, "arguments": "{}"}

    def output(call_id: str, text: str) -> Item:
        return {"type": "function_call_output", "call_id": call_id, "output": text}

    one = [user("time?"), call("1", "get_current_time"), output("1", "12:30")]
    assert answer(one, tools=[TIME]).text == "get_current_time says 12:30."
    expected = "a says 1. b says 2."
    batched = [user("x"), call("1", "a"), call("2", "b"), output("1", "1"), output("2", "2")]
    paired = [user("x"), call("1", "a"), output("1", "1"), call("2", "b"), output("2", "2")]
    assert answer(batched).text == answer(paired).text == expected


@pytest.mark.parametrize("cut", [1, 5, 30, 77])
def test_continuing_gives_exactly_the_rest(cut: int) -> None:
    before = [user("hi"), {"role": "assistant", "content": "hello"}, user("Tell me a story")]
    whole = answer(before).text
    for said in (whole[:cut], whole[:cut].rstrip()):
        items = [
            *before,
            {"role": "assistant", "content": said},
            {"role": "developer", "content": "Continue exactly where you stopped."},
        ]
        rest = answer(items).text
        assert said + rest == whole


def test_continuing_something_else_is_no_resumption() -> None:
    items = [
        user("hello"),
        {"role": "assistant", "content": "Bananas"},
        {"role": "developer", "content": "Please continue."},
    ]
    assert answer(items).text.startswith('You said: "hello"')


def test_json_schemas() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "kind": {"enum": ["a", "b"]},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "age": {"type": ["integer", "null"], "minimum": 3},
            "ok": {"type": "boolean"},
            "inner": {"$ref": "#/$defs/inner"},
            "either": {"anyOf": [{"type": "null"}, {"type": "string"}]},
            "fixed": {"const": 7},
        },
        "$defs": {"inner": {"type": "object", "properties": {"x": {"type": "number"}}}},
    }
    settings = {"text": {"format": {"type": "json_schema", "name": "n", "schema": schema}}}
    assert json.loads(answer([user("hi")], settings=settings).text) == {
        "name": "hi",
        "kind": "a",
        "tags": ["hi", "hi"],
        "age": 3,
        "ok": True,
        "inner": {"x": 0},
        "either": None,
        "fixed": 7,
    }
    endless = {"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"a": {"$ref": "#/$defs/a"}}}}}
    json.dumps(sample(endless))


async def test_a_responder_answers_instead_and_a_script_comes_first(sandbox: Sandbox) -> None:
    seen = []

    def respond(given: ModelInput) -> str:
        seen.append(given)
        return f"{given.count}: {given.last_user_text}"

    sandbox.config.responder = respond
    sandbox.script("scripted")
    assert text_of((await post(sandbox, "x"))[1]) == "scripted"
    assert text_of((await post(sandbox, "y", instructions="i"))[1]) == "1: y"
    assert seen[0].history == [{"type": "message", "role": "user", "content": "y"}]
    assert seen[0].instructions == "i"
    assert seen[0].transport == "http"


def test_defaults_are_the_documented_ones() -> None:
    config = SandboxConfig()
    assert (config.max_in_flight, config.max_streams, config.max_connection_age) == (16, 32, 3600)


@pytest.mark.parametrize(
    ("told", "asked", "said"),
    [
        ("Hi, my name is Ada Lovelace.", "What's my name?", "Your name is Ada Lovelace."),
        ("My name is Bob.", "Repeat my name from our previous message.", "Your name is Bob."),
        (
            "The secret word is PINEAPPLE. Just say OK.",
            "Repeat the secret word from our conversation.",
            "The secret word is PINEAPPLE.",
        ),
        ("My favourite colour is blue.", "Do you know my favourite colour?", None),
    ],
)
def test_what_was_told_is_known_later(told: str, asked: str, said: str | None) -> None:
    said = said or "Your favourite colour is blue."
    assert answer([user(told), user("And now?"), user(asked)]).text == said
    assert "You said" in answer([user(asked)]).text
    assert "You said" in answer([user(told), user("I like my name.")]).text
