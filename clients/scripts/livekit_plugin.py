"""LiveKit's OpenAI plugin."""

import json

from livekit.agents import llm, utils
from livekit.plugins.openai import responses
from pydantic import BaseModel

from report import (
    BASE_URL,
    COUNT,
    COUNTED,
    MODEL,
    PERSON,
    TRANSPORT,
    TURNS,
    WEATHER,
    check,
    run,
)

WEBSOCKET = TRANSPORT == "websocket"


class Person(BaseModel):
    name: str
    age: int


@llm.function_tool
async def get_weather(city: str) -> str:
    """Tells the weather of a city."""
    return "18 degrees"


def model():
    return responses.LLM(
        model=MODEL,
        api_key="sk-any",
        base_url=f"{BASE_URL}/responses" if WEBSOCKET else BASE_URL,
        use_websocket=WEBSOCKET,
    )


async def answer(engine, context, **options):
    text, calls = "", []
    async with engine.chat(chat_ctx=context, **options) as stream:
        async for chunk in stream:
            if chunk.delta is not None:
                text += chunk.delta.content or ""
                calls += chunk.delta.tool_calls or []
    return text, calls


def inside(case):
    async def run_case():
        async with utils.http_context.open():
            engine = model()
            try:
                await case(engine, llm.ChatContext.empty())
            finally:
                await engine.aclose()

    return run_case


@inside
async def stream(engine, context):
    context.add_message(role="user", content=COUNT)
    check((await answer(engine, context))[0], COUNTED)


@inside
async def tool(engine, context):
    context.add_message(role="user", content=WEATHER)
    _, (call,) = await answer(engine, context, tools=[get_weather])
    check(sorted(json.loads(call.arguments)), ["city"])
    context.items.append(
        llm.FunctionCall(call_id=call.call_id, name=call.name, arguments=call.arguments)
    )
    context.items.append(
        llm.FunctionCallOutput(
            call_id=call.call_id, name=call.name, output="18 degrees", is_error=False
        )
    )
    check((await answer(engine, context, tools=[get_weather]))[0], "18 degrees")


@inside
async def structured(engine, context):
    context.add_message(role="user", content=PERSON)
    schema = {**Person.model_json_schema(), "additionalProperties": False}
    form = {"type": "json_schema", "name": "person", "strict": True, "schema": schema}
    text, _ = await answer(engine, context, extra_kwargs={"text": {"format": form}})
    Person.model_validate_json(text)


@inside
async def three_turns(engine, context):
    for text in TURNS:
        context.add_message(role="user", content=text)
        said, _ = await answer(engine, context)
        context.add_message(role="assistant", content=said)
    check(said, "maple")


run({"stream": stream, "tool": tool, "structured": structured, "three turns": three_turns})
