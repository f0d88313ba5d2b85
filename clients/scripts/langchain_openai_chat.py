"""LangChain's chat model, over the Responses API."""

from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool as as_tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from report import BASE_URL, COUNT, COUNTED, MODEL, PERSON, TURNS, WEATHER, check, run

model = ChatOpenAI(model=MODEL, base_url=BASE_URL, use_responses_api=True)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@as_tool
def get_weather(city: str) -> str:
    """Tells the weather of a city."""
    return "18 degrees"


async def stream():
    whole = AIMessageChunk(content="")
    async for chunk in model.astream(COUNT):
        whole += chunk
    check(whole.text, COUNTED)


async def tool():
    asked = HumanMessage(WEATHER)
    with_tools = model.bind_tools([get_weather])
    first = await with_tools.ainvoke([asked])
    (call,) = first.tool_calls
    check(sorted(call["args"]), ["city"])
    output = ToolMessage("18 degrees", tool_call_id=call["id"])
    check((await with_tools.ainvoke([asked, first, output])).text, "18 degrees")


async def structured():
    check(type(await model.with_structured_output(Person).ainvoke(PERSON)), Person)


async def three_turns():
    said = []
    for text in TURNS:
        said.append(HumanMessage(text))
        said.append(await model.ainvoke(said))
    check(said[-1].text, "maple")


run({"stream": stream, "tool": tool, "structured": structured, "three turns": three_turns})
