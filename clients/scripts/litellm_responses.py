"""LiteLLM's Responses API."""

import json

import litellm
from pydantic import BaseModel

from report import BASE_URL, COUNT, COUNTED, MODEL, PERSON, TURNS, WEATHER, check, run

TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather of a city.",
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


async def ask(**request):
    return await litellm.aresponses(model=f"openai/{MODEL}", api_base=BASE_URL, **request)


def text_of(response):
    messages = [item for item in response.output if item.type == "message"]
    return "".join(part.text for message in messages for part in message.content)


async def stream():
    text = ""
    async for event in await ask(input=COUNT, stream=True):
        if event.type == "response.output_text.delta":
            text += event.delta
    check(text, COUNTED)


async def tool():
    first = await ask(input=WEATHER, tools=[TOOL])
    (call,) = [item for item in first.output if item.type == "function_call"]
    check(sorted(json.loads(call.arguments)), ["city"])
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}
    second = await ask(input=[output], previous_response_id=first.id, tools=[TOOL])
    check(text_of(second), "18 degrees")


async def structured():
    Person.model_validate_json(text_of(await ask(input=PERSON, text_format=Person)))


async def three_turns():
    previous = None
    for text in TURNS:
        response = await ask(input=text, previous_response_id=previous)
        previous = response.id
    check(text_of(response), "maple")


run({"stream": stream, "tool": tool, "structured": structured, "three turns": three_turns})
