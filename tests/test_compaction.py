"""A server compacts a conversation seldom, and what a compaction stands for is not sent again."""

from __future__ import annotations

from typing import Any

import pytest

from pipecat_responses import OpenAIResponsesLLMSettings
from pipecat_responses.protocol.items import make_item, original_call
from pipecat_responses.protocol.requests import window
from pipecat_responses.sandbox import Sandbox
from pipecat_responses.testing import Conversation, VoiceKind
from tests.support import history
from tests.support.services import SERVICES

THRESHOLD = 50


def passes(talk: Conversation) -> int:
    """How often the server has compacted, by what the context has kept."""
    messages: list[Any] = talk.context.get_messages()
    kept = [each.message for each in messages if not isinstance(each, dict)]
    return sum(item["type"] == "compaction" for item in kept)


@pytest.mark.parametrize("transport", SERVICES)
@pytest.mark.parametrize("kind", [None, "sentence", "word"])
async def test_ten_turns(sandbox: Sandbox, transport: str, kind: VoiceKind | None) -> None:
    settings = OpenAIResponsesLLMSettings(compact_threshold=THRESHOLD)
    async with Conversation(SERVICES[transport](sandbox, settings=settings), tts=kind) as talk:
        for _ in range(10):
            await talk.say("count to 14")
        assert not talk.errors
        assert 1 <= passes(talk) <= 3
        if transport == "websocket":
            assert [each.incremental for each in sandbox.requests] == [False, *[True] * 9]
            # A server that has lost its memory gets what the compaction does not stand for.
            sandbox.cut()
            await talk.say("count to 3")
        newest = sandbox.requests[-1]
        assert not newest.incremental
        assert newest.input[0]["type"] == "compaction"
        assert len(newest.input) < 12
        # Behind it comes what the context has behind it, up to what this was the answer to.
        rest = history.of_items(newest.input[1:])
        assert rest == history.of_context(talk.context)[:-1][-len(rest) :]


def message(text: str) -> Any:
    return make_item({"role": "user", "content": text})


def compaction(name: str) -> Any:
    return make_item({"type": "compaction", "id": name, "encrypted_content": "..."})


def call(call_id: str) -> Any:
    wire = {"type": "custom_tool_call", "call_id": call_id, "name": "f", "input": "x"}
    return original_call(wire)


def output(call_id: str) -> Any:
    return make_item({"type": "function_call_output", "call_id": call_id, "output": "1"})


@pytest.mark.parametrize(
    ("items", "start"),
    [
        ([], 0),
        ([message("a"), message("b")], 0),
        ([message("a"), make_item({"type": "web_search_call", "id": "w"}), message("b")], 0),
        ([compaction("c"), message("a")], 0),
        ([message("a"), compaction("c"), message("b")], 1),
        ([message("a"), compaction("c"), message("b"), compaction("d")], 3),
        ([message("a"), compaction("c"), call("1"), output("1")], 1),
        # The API would refuse an output without its call.
        ([message("a"), call("1"), compaction("c"), output("1")], 0),
    ],
)
def test_what_has_to_be_sent(items: list[Any], start: int) -> None:
    assert window(items) == items[start:]
