"""The official SDK, with blocking calls."""

import json

import openai
from pydantic import BaseModel

from report import BASE_URL, COUNT, COUNTED, MODEL, PERSON, TRANSPORT, TURNS, WEATHER, check, run

TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather of a city.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


class Person(BaseModel):
    name: str
    age: int


client = openai.OpenAI(base_url=BASE_URL)


def answer(connection=None, **request):
    """Asks, and reads the events to the end."""
    if TRANSPORT == "http":
        events = client.responses.create(model=MODEL, stream=True, **request)
    else:
        connection.response.create(model=MODEL, **request)
        events = connection
    text = ""
    for event in events:
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "response.completed":
            check(text, event.response.output_text)
            return event.response
        elif event.type in ("error", "response.failed", "response.incomplete"):
            raise AssertionError(event)
    raise AssertionError("no terminal event")


def with_connection(case):
    def run_case():
        if TRANSPORT == "http":
            return case(None)
        with client.responses.connect() as connection:
            return case(connection)

    return run_case


@with_connection
def stream(connection):
    check(answer(connection, input=COUNT).output_text, COUNTED)


@with_connection
def tool(connection):
    first = answer(connection, input=WEATHER, tools=[TOOL])
    (call,) = [item for item in first.output if item.type == "function_call"]
    check(call.name, "get_weather")
    check(sorted(json.loads(call.arguments)), ["city"])
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}
    second = answer(connection, input=[output], previous_response_id=first.id, tools=[TOOL])
    check(second.output_text, "18 degrees")


@with_connection
def structured(connection):
    if TRANSPORT == "http":
        parsed = client.responses.parse(model=MODEL, input=PERSON, text_format=Person).output_parsed
    else:
        schema = {**Person.model_json_schema(), "additionalProperties": False}
        form = {"type": "json_schema", "name": "person", "strict": True, "schema": schema}
        text = answer(connection, input=PERSON, text={"format": form}).output_text
        parsed = Person.model_validate_json(text)
    check(type(parsed), Person)


@with_connection
def three_turns(connection):
    previous = None
    for text in TURNS:
        response = answer(connection, input=text, previous_response_id=previous)
        previous = response.id
    check(response.output_text, "maple")


run({"stream": stream, "tool": tool, "structured": structured, "three turns": three_turns})
