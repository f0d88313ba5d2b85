"""What the model put out goes back in its order, reasoning right before what it led to."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from pipecat_responses import OpenAIResponsesLLMService
from pipecat_responses.sandbox import Answer, Call, Part, Reasoning, Sandbox, Text
from pipecat_responses.testing import Conversation, VoiceKind
from tests.support.services import websocket_service

pytestmark = pytest.mark.clear_and_tls

KINDS: list[VoiceKind | None] = [None, "sentence", "word"]


async def look_up(params: FunctionCallParams, what: str) -> None:
    """Look something up.

    Args:
        what: What to look up.
    """
    await params.result_callback(f"{what} is 42")


def call(what: str) -> Call:
    return Call("look_up", {"what": what})


def think(about: str) -> Reasoning:
    return Reasoning([f"Let me think about {about}."])


ANSWERS: dict[str, Callable[[], list[Part]]] = {
    "parallel": lambda: [think("a"), call("a"), think("b"), call("b")],
    "text first": lambda: [think("it"), Text("Let me look."), think("a"), call("a"), call("b")],
    "text last": lambda: [think("a"), call("a"), think("it"), Text("One moment.")],
    "text only": lambda: [think("it"), Text("It is sunny.")],
}


def put_out(answer: list[Part]) -> list[str]:
    """What each piece of reasoning led to, in plain words."""
    pairs = itertools.pairwise(answer)
    return [_name(after) for before, after in pairs if isinstance(before, Reasoning)]


def _name(part: Part) -> str:
    return f"call {json.dumps(part.arguments)}" if isinstance(part, Call) else "message"


def sent(items: list[dict[str, Any]]) -> list[str]:
    pairs = itertools.pairwise(items)
    return [_sent(after) for before, after in pairs if before.get("type") == "reasoning"]


def _sent(item: dict[str, Any]) -> str:
    if item.get("type") == "function_call":
        return f"call {json.dumps(json.loads(item['arguments']))}"
    return "message" if item.get("role") == "assistant" else str(item.get("type"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", ANSWERS)
async def test_a_full_resend_keeps_the_order(
    sandbox: Sandbox, shape: str, kind: VoiceKind | None
) -> None:
    first = ANSWERS[shape]()
    calls = any(isinstance(part, Call) for part in first)
    sandbox.script(Answer(first), *["Done."] * 3)
    settings = OpenAIResponsesLLMService.Settings(model="gpt-5")
    llm = websocket_service(sandbox, settings=settings)
    async with Conversation(llm, LLMContext(tools=[look_up]), tts=kind) as talk:
        await talk.say("one", ends=2 if calls else 1)
        # A server that has lost its memory gets everything again.
        sandbox.cut()
        await talk.say("two")
        assert not talk.errors
    full = sandbox.requests[-1]
    assert not full.incremental
    assert sorted(sent(full.input)) == sorted(put_out(first))
