"""The persona: understands what a recogniser writes, and answers for the ear."""

from datetime import datetime
from typing import Any

import pytest

from pipecat_responses.sandbox import HostedCall, Sandbox, Text
from pipecat_responses.sandbox.answers import Answer
from pipecat_responses.sandbox.rules import answer_by_rules
from pipecat_responses.sandbox.spoken_numbers import number_at, spelled, words_of
from pipecat_responses.sandbox.story import CHAPTERS
from pipecat_responses.sandbox.transcript import Item

from .test_rules import model_input
from .wire import post, text_of, user

NOW = datetime(2026, 11, 27, 15, 5)
SEARCH = [{"type": "web_search"}]


def answer(items: Any, **fields: Any) -> Answer:
    return answer_by_rules(model_input(items, persona=True, now=NOW, **fields))


def assistant(text: str) -> Item:
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("count to five", "One, two, three, four, five."),
        ("cound to three", "One, two, three."),
        ("count from 4 to two", "Four, three, two."),
        ("what is seven times eight", "Seven times eight is fifty-six."),
        ("what is seven times ate", "Seven times eight is fifty-six."),
        ("twelve divided by five", "Twelve divided by five is two point four."),
        ("calculate three point five plus one", "Three point five plus one is four point five."),
        ("what is 12 + 30", "Twelve plus thirty is forty-two."),
        ("what is six over zero", "Six divided by zero is not defined."),
        ("what time is it", "It is three oh five in the afternoon."),
        ("what day is it today", "Today is Friday, the twenty-seventh of November."),
        ("my name is ada", "Nice to meet you, Ada. I will remember that your name is Ada."),
        ("the word is maple", "I will remember that the word is maple."),
        ("tell me a storey", " ".join(CHAPTERS[0])),
        ("stop", "All right."),
        ("look that up", "I am sorry, I have nothing here to look that up with."),
        ("say that again", "I have not said anything yet."),
    ],
)
def test_what_is_said_to_words_without_punctuation(text: str, expected: str) -> None:
    assert answer([user(text)]).text == expected


def test_nothing_said_and_nothing_understood() -> None:
    greeting = answer([{"role": "developer", "content": "Greet the caller."}]).text
    assert greeting == "Hello! How can I help you?"
    assert answer([user("blue bananas")]).text.startswith("You said: blue bananas. ")


def test_what_was_told_is_remembered() -> None:
    items = [user("my name is ada"), assistant("Nice."), user("what is my name")]
    assert answer(items).text == "Your name is ada."


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_the_story_goes_on_where_it_was_heard(cut: int) -> None:
    heard = " ".join(CHAPTERS[0][:cut]) + " " + CHAPTERS[0][cut][:20]
    items = [user("tell me a story"), assistant(heard.strip()), user("hold on"), assistant("Yes.")]
    for asked in ("go on", "please continue", "what happened next"):
        assert answer([*items, user(asked)]).text == " ".join(CHAPTERS[0][cut:])


def test_the_story_has_chapters_and_an_end() -> None:
    items = [user("tell me a story")]
    told = []
    for _ in range(len(CHAPTERS) + 1):
        told.append(answer(items).text)
        items += [assistant(told[-1]), user("go on please")]
    assert told[:-1] == [" ".join(chapter) for chapter in CHAPTERS]
    assert "whole story" in told[-1]


def test_a_search_has_a_commentary_and_an_answer_for_the_ear() -> None:
    parts = answer([user("look something up about lighthouses")], tools=SEARCH).items
    assert [type(part) for part in parts] == [Text, HostedCall, Text]
    commentary, _, said = parts
    assert isinstance(commentary, Text)
    assert isinstance(said, Text)
    assert (commentary.text, commentary.phase) == ("Let me look that up.", "commentary")
    assert said.phase == "final_answer"
    assert "lighthouses" in said.text
    assert "http" not in said.text
    assert len(said.notes) == 2


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("half past twelve", "Half past twelve."),
        ('{"wind_speed": 12, "rain": false, "hours": [1, null]}', None),
    ],
)
def test_results_of_tools_are_read_out(output: str, expected: str | None) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c", "output": output}
    said = answer([user("now"), call, result]).text
    assert said == (expected or "Wind speed is twelve, rain is no, hours is one, nothing.")


def test_the_seed_decides_on_the_wording() -> None:
    said = {seed: answer([user("hello")], seed=seed).text for seed in range(20)}
    assert len(set(said.values())) > 1
    assert said == {seed: answer([user("hello")], seed=seed).text for seed in range(20)}


@pytest.mark.parametrize("number", [*range(0, 130, 7), 200, 345, 1000, 1300, 45_678, 2_000_001])
def test_numbers_are_read_as_they_are_spelled(number: int) -> None:
    words = words_of(spelled(number))
    assert number_at(words, 0) == (number, len(words))


@pytest.mark.parametrize(
    ("text", "number", "taken"),
    [("a hundred and three", 103, 4), ("one two", 1, 1), ("and", 0, 0), ("twenty thirty", 20, 1)],
)
def test_numbers_among_others(text: str, number: int, taken: int) -> None:
    assert number_at(words_of(text), 0) == (number, taken)


async def test_it_is_an_option_of_the_server(sandbox: Sandbox) -> None:
    async def said() -> str:
        status, response = await post(sandbox, "count to three")
        assert status == 200
        return text_of(response)

    assert (await said()).startswith("You said")
    sandbox.config.persona = True
    assert await said() == "One, two, three."
    sandbox.script("Scripts come first.")
    assert await said() == "Scripts come first."
