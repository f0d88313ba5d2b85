"""Pipecat's own two services, in a pipeline of Pipecat's."""

import asyncio
import json

from pipecat.adapters.schemas.function_schema import FunctionSchema
from pipecat.adapters.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    LLMFullResponseEndFrame,
    LLMMessagesAppendFrame,
    LLMTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.responses.llm import (
    OpenAIResponsesHttpLLMService,
    OpenAIResponsesLLMService,
)
from pipecat.workers.runner import WorkerRunner

from report import BASE_URL, COUNT, COUNTED, MODEL, PERSON, TRANSPORT, TURNS, WEATHER, check, run


class Ear(FrameProcessor):
    """Hears what the service says."""

    def __init__(self):
        super().__init__()
        self.text = ""
        self.said = asyncio.Queue()

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            self.text += frame.text
        elif isinstance(frame, LLMFullResponseEndFrame):
            self.said.put_nowait(self.text)
            self.text = ""
        elif isinstance(frame, ErrorFrame):
            self.said.put_nowait(f"error: {frame.error}")
        await self.push_frame(frame, direction)


def service():
    if TRANSPORT == "http":
        kind, where = OpenAIResponsesHttpLLMService, {"base_url": BASE_URL}
    else:
        kind = OpenAIResponsesLLMService
        where = {"ws_url": BASE_URL.replace("http", "ws", 1) + "/responses"}
    return kind(api_key="sk-any", settings=kind.Settings(model=MODEL), **where)


async def talk(texts, *, tools=None, responses=1, handler=None):
    llm, ear, context = service(), Ear(), LLMContext(tools=tools) if tools else LLMContext()
    if handler is not None:
        llm.register_function("get_weather", handler)
    pair = LLMContextAggregatorPair(context)
    worker = PipelineWorker(Pipeline([pair.user(), llm, ear, pair.assistant()]))
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    for text in texts:
        message = {"role": "user", "content": text}
        await worker.queue_frame(LLMMessagesAppendFrame([message], run_llm=True))
        for _ in range(responses):
            said = await asyncio.wait_for(ear.said.get(), 15)
    await worker.queue_frame(EndFrame())
    await running
    return said


async def stream():
    check(await talk([COUNT]), COUNTED)


async def tool():
    async def get_weather(params):
        await params.result_callback("18 degrees")

    city = {"city": {"type": "string"}}
    schema = FunctionSchema("get_weather", "Tells the weather of a city.", city, ["city"])
    tools = ToolsSchema(standard_tools=[schema])
    check(await talk([WEATHER], tools=tools, responses=2, handler=get_weather), "18 degrees")


async def structured():
    llm = service()
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    context = LLMContext([{"role": "user", "content": PERSON}])
    found = json.loads(await llm.run_inference(context, response_schema=schema))
    check(type(found["age"]), int)


async def three_turns():
    check(await talk(TURNS), "maple")


run({"stream": stream, "tool": tool, "structured": structured, "three turns": three_turns})
