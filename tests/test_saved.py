"""A conversation is written down, and goes on in another process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage

from pipecat_responses import OpenAIResponsesLLMSettings, dump, load
from pipecat_responses.context.adapter import OpenAIResponsesLLMAdapter
from pipecat_responses.sandbox import Answer, Call, Part, Reasoning, Sandbox, Text
from pipecat_responses.testing import Conversation
from tests.support import history
from tests.support.services import KEY, SERVICES

ELSEWHERE = """
import asyncio, sys
from pipecat_responses import OpenAIResponsesLLMService, OpenAIResponsesHttpLLMService, dump, load
from pipecat_responses.testing import Conversation

async def main():
    kind, key, url = sys.argv[1:]
    service = OpenAIResponsesHttpLLMService if kind == "http" else OpenAIResponsesLLMService
    llm = service(api_key=key, base_url=url, settings=service.Settings(model="gpt-5"))
    async with Conversation(llm, load(sys.stdin.read()), tts=None) as talk:
        await talk.say("Where were we?")
        assert not talk.errors, talk.errors
    print(dump(talk.context))

asyncio.run(main())
"""


async def look_up(params: Any, what: str) -> None:
    """Look something up.

    Args:
        what: What to look up.
    """
    await params.result_callback(f"{what} is 42")


@pytest.mark.parametrize(
    "transport", ["websocket", pytest.param("http", marks=pytest.mark.long_calls)]
)
async def test_a_call_moves_to_another_process(sandbox: Sandbox, transport: str) -> None:
    first: list[Part] = [Reasoning(["Hm."]), Text("One moment."), Call("look_up", {"what": "it"})]
    sandbox.script(Answer(first), "It is 42.", "At 42.")
    settings = OpenAIResponsesLLMSettings(model="gpt-5")
    llm = SERVICES[transport](sandbox, settings=settings)
    async with Conversation(llm, LLMContext(tools=[look_up]), tts=None) as talk:
        await talk.say("What is it?", ends=2)
        assert not talk.errors
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ELSEWHERE, transport, KEY, sandbox.base_url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    out, _ = await process.communicate(dump(talk.context).encode())
    assert process.returncode == 0
    there = load(out.decode().splitlines()[-1])
    # What the model is told there is what it was told here, reasoning included.
    newest = sandbox.requests[-1]
    assert not newest.incremental
    kinds = [item.get("type") or item.get("role") for item in newest.input]
    assert "reasoning" in kinds
    assert history.of_items(newest.input) == history.of_context(there)[:-1]
    assert history.of_context(there)[: len(history.of_context(talk.context))] == (
        history.of_context(talk.context)
    )


async def test_every_kind_of_message_comes_back_the_same() -> None:
    messages: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "größer 你好 😀"}]},
        LLMSpecificMessage("openai_responses", {"type": "web_search_call", "id": "w", "x": [1.5]}),
        LLMSpecificMessage("google", {"thought": True}),
        {"role": "assistant", "content": "Yes."},
    ]
    context = load(dump(LLMContext(messages)))
    assert context.get_messages() == messages
    adapter = OpenAIResponsesLLMAdapter()
    there, here = await adapter.convert(context), await adapter.convert(LLMContext(messages))
    assert [item.wire for item in there.items] == [item.wire for item in here.items]


async def test_a_function_that_was_running_did_not_complete() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: list[Any] = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "IN_PROGRESS"},
    ]
    conversion = await OpenAIResponsesLLMAdapter().convert(load(dump(LLMContext(messages))))
    assert "not completed" in conversion.items[-1].wire["output"]


def test_what_cannot_be_written_is_told() -> None:
    context = LLMContext([{"role": "user", "content": object()}])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        dump(context)


@pytest.mark.parametrize(
    "text",
    ["", "no", "[]", "{}", '{"version":1}', '{"version":9,"messages":[]}', b"\xff",
     json.dumps({"version": 1, "messages": [7]})],
)  # fmt: skip
def test_what_is_no_conversation_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError, match="conversation"):
        load(text)
