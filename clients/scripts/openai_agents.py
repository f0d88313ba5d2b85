"""OpenAI's agents SDK."""

import agents
from agents import Agent, Runner, function_tool
from pydantic import BaseModel

from report import COUNT, COUNTED, MODEL, PERSON, TRANSPORT, TURNS, WEATHER, check, run

agents.set_tracing_disabled(True)
agents.set_default_openai_responses_transport("websocket" if TRANSPORT == "websocket" else "http")


class Person(BaseModel):
    name: str
    age: int


@function_tool
def get_weather(city: str) -> str:
    """Tells the weather of a city."""
    return "18 degrees"


async def stream():
    agent = Agent(name="Counter", instructions="Be brief.", model=MODEL)
    result = Runner.run_streamed(agent, COUNT)
    text = ""
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            text += event.data.delta
    check(text, COUNTED)
    check(result.final_output, COUNTED)


async def tool():
    agent = Agent(name="Weather", instructions="Be brief.", model=MODEL, tools=[get_weather])
    check((await Runner.run(agent, WEATHER)).final_output, "18 degrees")


async def structured():
    agent = Agent(name="Reader", instructions="Be brief.", model=MODEL, output_type=Person)
    check(type((await Runner.run(agent, PERSON)).final_output), Person)


async def three_turns():
    agent = Agent(name="Talker", instructions="Be brief.", model=MODEL)
    said = []
    for text in TURNS:
        result = await Runner.run(agent, [*said, {"role": "user", "content": text}])
        said = result.to_input_list()
    check(result.final_output, "maple")


run({"stream": stream, "tool": tool, "structured": structured, "three turns": three_turns})
