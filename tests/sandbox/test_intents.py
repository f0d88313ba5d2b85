"""Functions are called from what people say, with the arguments that they say."""

import json
from typing import Any

import jsonschema
import pytest

from pipecat_responses.sandbox import Sandbox
from pipecat_responses.sandbox.answers import Call
from pipecat_responses.sandbox.intents import score, wanted_calls

from .test_rules import answer, calls
from .wire import connected, function_tool, text_of, user

TEXT = {"type": "string"}


def tool(name: str, description: str, **properties: Any) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return function_tool(name, schema, description=description, strict=True)


UNIT = {"type": "string", "enum": ["celsius", "fahrenheit"]}
WEATHER = tool("get_weather", "Get the current weather for a location", location=TEXT, unit=UNIT)
EMAIL = tool("send_email", "Send an email to a recipient", to=TEXT, subject=TEXT)
FLIGHT = tool(
    "book_flight",
    "Book a flight",
    origin=TEXT,
    destination=TEXT,
    date={"type": "string", "format": "date"},
    passengers={"type": "integer", "minimum": 1},
)
CANCEL = tool("cancel_flight", "Cancel a flight booking", booking_id=TEXT)
STOCK = tool("get_stock_price", "Get the price of a stock", symbol=TEXT)
LIGHT = tool(
    "turn_on_light",
    "Turns on the light in a room",
    room={"type": "string", "enum": ["kitchen", "living room"]},
    brightness={"type": ["integer", "null"], "maximum": 100},
)
SEARCH = tool("search_products", "Search the catalogue", query=TEXT, max_price={"type": "number"})
TOOLS = [WEATHER, EMAIL, FLIGHT, CANCEL, STOCK, LIGHT, SEARCH]
PARIS = {"location": "Paris", "unit": "celsius"}
LONDON = {"location": "London", "unit": "celsius"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "What's the weather in San Francisco?",
            [("get_weather", {"location": "San Francisco", "unit": "celsius"})],
        ),
        (
            "what is the weather like in san francisco today",
            [("get_weather", {"location": "San Francisco", "unit": "celsius"})],
        ),
        (
            "Do I need an umbrella in Boston, MA? In fahrenheit, please.",
            [("get_weather", {"location": "Boston, MA", "unit": "fahrenheit"})],
        ),
        (
            "What's the weather in Paris and London?",
            [("get_weather", PARIS), ("get_weather", LONDON)],
        ),
        (
            "What's the weather in Paris and what's the price of AAPL?",
            [("get_weather", PARIS), ("get_stock_price", {"symbol": "AAPL"})],
        ),
        (
            "Send an email to bob@example.com about the meeting.",
            [("send_email", {"to": "bob@example.com", "subject": "the meeting"})],
        ),
        (
            "Book a flight from Paris to Tokyo on 2027-03-05 for 2 passengers",
            [
                (
                    "book_flight",
                    {
                        "origin": "Paris",
                        "destination": "Tokyo",
                        "date": "2027-03-05",
                        "passengers": 2,
                    },
                )
            ],
        ),
        ("Cancel my flight booking AB123", [("cancel_flight", {"booking_id": "AB123"})]),
        (
            "Turn on the lights in the living room",
            [("turn_on_light", {"room": "living room", "brightness": None})],
        ),
        (
            "Search for red shoes under 50",
            [],
        ),
        (
            "Search your products for red shoes, at most 50",
            [("search_products", {"query": "red shoes, at most 50", "max_price": 50})],
        ),
        ("How are you?", []),
        ("Tell me a joke, and thank you very much", []),
        ("", []),
    ],
)
def test_what_is_called(text: str, expected: list[tuple[str, Any]]) -> None:
    made = wanted_calls(text, TOOLS)
    assert [(call.name, call.arguments) for call in made] == expected
    schemas = {each["name"]: each["parameters"] for each in TOOLS}
    for call in made:
        jsonschema.validate(json.loads(call.raw_arguments), schemas[call.name])


@pytest.mark.parametrize("piece", ["9", "9.", "9..", " ", "\n", "(", "9 "])
def test_however_long_a_text_is(piece: str) -> None:
    # Patterns that begin anew at each place of a run would not be done in minutes.
    assert wanted_calls(f"weather {piece * 100_000}", TOOLS)


def test_the_score_of_a_tool() -> None:
    assert score(WEATHER, "The weather in celsius at this location") == 3 + 2 + 1
    assert score(WEATHER, "Nice location") == 0
    assert score(SEARCH, "the catalogue by its query, please") == 0
    assert score(tool("search", "Searches"), "Search for Paris") == 3


def test_optional_arguments_only_where_they_are_told() -> None:
    schema = {
        "type": "object",
        "properties": {"city": TEXT, "unit": UNIT, "days": {"type": "integer"}},
    }
    weather = function_tool("get_weather", {**schema, "required": ["city"]})
    assert wanted_calls("The weather in Rome", [weather]) == [Call("get_weather", {"city": "Rome"})]
    told = wanted_calls("The weather in Rome in fahrenheit for 3 days", [weather])
    assert told[0].arguments == {"city": "Rome", "unit": "fahrenheit", "days": 3}


FUNCTION = {"type": "function", "name": "get_stock_price"}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("none", []),
        ("auto", ["get_weather"]),
        ("required", ["get_weather"]),
        (FUNCTION, ["get_stock_price"]),
        ({"type": "allowed_tools", "mode": "auto", "tools": [FUNCTION]}, []),
        ({"type": "allowed_tools", "mode": "required", "tools": [FUNCTION]}, ["get_stock_price"]),
        ({"type": "custom", "name": "run_sql"}, ["run_sql"]),
    ],
)
def test_every_choice_is_honoured(choice: Any, expected: list[str]) -> None:
    tools = [*TOOLS, {"type": "custom", "name": "run_sql", "description": "Runs SQL"}]
    made = calls([user("What's the weather in Paris?")], tools, tool_choice=choice)
    assert [name for name, _ in made] == expected


def test_a_required_call_is_made_again_after_outputs() -> None:
    items = [
        user("What's the weather in Paris?"),
        {"type": "function_call", "call_id": "1", "name": "get_weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "sunny"},
    ]
    assert answer(items, tools=TOOLS).text == "get_weather says sunny."
    assert [name for name, _ in calls(items, TOOLS, tool_choice="required")] == ["get_weather"]


async def test_one_after_the_other_where_calls_are_not_parallel(sandbox: Sandbox) -> None:
    items: list[Any] = [user("What's the weather in Paris and London?")]
    asked = []
    async with connected(sandbox) as wire:
        while True:
            response = await wire.respond(items, tools=TOOLS, parallel_tool_calls=False)
            if text_of(response):
                break
            (call,) = response["output"]
            asked.append(json.loads(call["arguments"])["location"])
            output = {"call_id": call["call_id"], "output": f"{asked[-1]} is sunny"}
            items += [call, {"type": "function_call_output", **output}]
    assert asked == ["Paris", "London"]
    assert text_of(response) == "get_weather says Paris is sunny. get_weather says London is sunny."


async def test_an_output_in_the_form_that_was_asked_for(sandbox: Sandbox) -> None:
    schema = {
        "type": "object",
        "properties": {"temperature": {"type": "number"}, "city": TEXT},
        "required": ["temperature", "city"],
        "additionalProperties": False,
    }
    items = [
        user("What's the weather in Paris?"),
        {"type": "function_call", "call_id": "1", "name": "get_weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "21 degrees in Paris"},
    ]
    form = {"type": "json_schema", "name": "weather", "schema": schema, "strict": True}
    async with connected(sandbox) as wire:
        response = await wire.respond(items, tools=TOOLS, text={"format": form})
    assert json.loads(text_of(response)) == {"temperature": 21, "city": "Paris"}
