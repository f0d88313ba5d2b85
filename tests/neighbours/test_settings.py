"""What an application changes between two turns: tools, instructions, the model, the way out."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    LLMConfigureOutputFrame,
    LLMSetToolChoiceFrame,
    LLMSetToolsFrame,
    LLMUpdateSettingsFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMAssistantAggregatorParams,
    LLMUserAggregatorParams,
)
from pipecat.services.settings import LLMSettings

from pipecat_responses.sandbox import Answer, Call, Sandbox
from pipecat_responses.testing import VoiceKind
from tests.neighbours.support import (
    ALL,
    SPOKEN,
    SPOKEN_SERVICES,
    Sent,
    agree,
    calling,
    rows,
    turns,
)

STEADY = {"websocket": ["first", "+", "+", "+"], "pipecat": ["full", "+", "+", "+"]}


def tool(name: str) -> FunctionSchema:
    async def run(params: Any) -> None:
        await params.result_callback(f"{name} is done")

    return FunctionSchema(name, f"Runs {name}.", {}, [], run)


@SPOKEN_SERVICES
async def test_tools_that_come_and_go(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    """The tools of a request are its own: another set does not touch what was said."""
    llm = ALL[name](sandbox)
    sandbox.script("Hi.", Answer([Call("two")]), "Two is done.", "Bye.")
    context = LLMContext(tools=[tool("one")])
    told = LLMUserAggregatorParams(add_tool_change_messages=True)
    async with calling(
        llm,
        context,
        tts=tts,
        user=told,
        assistant=LLMAssistantAggregatorParams(add_tool_change_messages=True),
    ) as talk:
        await talk.say("Hello.")
        await talk.worker.queue_frame(LLMSetToolsFrame(ToolsSchema([tool("two")])))
        await talk.say("Do two.", ends=2)
        agree(turns(sandbox)[-1], context)
        await talk.worker.queue_frame(LLMSetToolChoiceFrame("none"))
        await talk.say("Thanks.")
        agree(turns(sandbox)[-1], context)
    offered = [[each["name"] for each in r.body["tools"]] for r in turns(sandbox)]
    assert offered == [["one"], ["two"], ["two"], ["two"]]
    assert talk.history[2][0] == "developer"
    # Pipecat's service does not send the choice of tools.
    choice = turns(sandbox)[-1].body.get("tool_choice")
    assert choice == (None if name.startswith("pipecat") else "none")
    assert sent.of(llm, sandbox) == rows(STEADY, name)


@SPOKEN_SERVICES
async def test_instructions(sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind) -> None:
    llm = ALL[name](sandbox)
    async with calling(llm, tts=tts) as talk:
        for n in range(4):
            delta = LLMSettings(system_instruction=f"This is rule {n // 2}.")
            await talk.worker.queue_frame(LLMUpdateSettingsFrame(delta=delta))
            await talk.say(f"This is {n}.")
            agree(turns(sandbox)[-1], talk.context)
    rules = [r.body["instructions"] for r in turns(sandbox)]
    assert rules == [f"This is rule {n}." for n in (0, 0, 1, 1)]
    assert sent.of(llm, sandbox) == rows(STEADY, name)


@pytest.mark.parametrize("name", ["websocket", "http"])
@SPOKEN
async def test_another_model_and_back(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    llm = ALL[name](sandbox)
    async with calling(llm, tts=tts) as talk:
        for n, model in enumerate(["gpt-4.1", "gpt-4o", "gpt-4o", "gpt-4.1"]):
            delta = LLMSettings(model=model)
            await talk.worker.queue_frame(LLMUpdateSettingsFrame(delta=delta))
            await talk.say(f"This is {n}.")
            agree(turns(sandbox)[-1], talk.context)
    # What the one remembered has gone with the lane that the other took.
    table = {"websocket": ["first", "model changed", "+", "model changed"]}
    assert sent.of(llm, sandbox) == rows(table, name)


@SPOKEN_SERVICES
async def test_text_that_is_not_spoken(
    sandbox: Sandbox, sent: Sent, name: str, tts: VoiceKind
) -> None:
    llm = ALL[name](sandbox)
    sandbox.script("Aloud.", "Silently.  And so on.", "Silently again.", "Aloud again.")
    async with calling(llm, tts=tts) as talk:
        for silent in (False, True, True, False):
            await talk.worker.queue_frame(LLMConfigureOutputFrame(skip_tts=silent))
            heard = await talk.say("Go on.")
            assert heard.startswith("Aloud") is not silent
            agree(turns(sandbox)[-1], talk.context)
    # Pipecat's aggregator makes one space of two, which is another text to its service.
    table = {"websocket": STEADY["websocket"], "pipecat": ["full", "+", "full", "+"]}
    assert sent.of(llm, sandbox) == rows(table, name)
