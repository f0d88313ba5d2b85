"""pydantic-ai's model for the Responses API."""

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from report import BASE_URL, COUNT, COUNTED, MODEL, PERSON, TURNS, WEATHER, check, run

model = OpenAIResponsesModel(MODEL, provider=OpenAIProvider(base_url=BASE_URL, api_key="sk-any"))


class Person(BaseModel):
    name: str
    age: int


async def stream():
    async with Agent(model).run_stream(COUNT) as result:
        pieces = [piece async for piece in result.stream_text(delta=True)]
    check("".join(pieces), COUNTED)


async def tool():
    agent = Agent(model)
    runs = []

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """Tells the weather of a city."""
        runs.append(city)
        return "18 degrees"

    check((await agent.run(WEATHER)).output, "18 degrees")
    check(len(runs), 1)


async def structured():
    agent = Agent(model, output_type=NativeOutput(Person))
    check(type((await agent.run(PERSON)).output), Person)


async def three_turns():
    agent = Agent(model)
    history = None
    for text in TURNS:
        result = await agent.run(text, message_history=history)
        history = result.all_messages()
    check(result.output, "maple")


run({"stream": stream, "tool": tool, "structured": structured, "three turns": three_turns})
