"""A server compacts a conversation seldom, and what a compaction stands for is not sent again."""

from __future__ import annotations

import asyncio
from typing import Any, TypeGuard

import pytest
from pipecat.frames.frames import LLMContextSummaryRequestFrame, LLMContextSummaryResultFrame
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses import OpenAIResponsesLLMSettings, ResponsesError
from pipecat_responses.protocol.items import make_item, original_call
from pipecat_responses.protocol.requests import window
from pipecat_responses.sandbox import Sandbox
from pipecat_responses.service.compaction import put_in_place
from pipecat_responses.testing import Conversation, VoiceKind
from tests.support import history
from tests.support.contexts import kept_items, messages_of
from tests.support.events import told
from tests.support.services import SERVICES

THRESHOLD = 50


def passes(talk: Conversation) -> int:
    """How often the server has compacted, by what the context has kept."""
    return sum(item["type"] == "compaction" for item in kept_items(talk.context))


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


@pytest.mark.parametrize("transport", SERVICES)
async def test_the_application_is_told(sandbox: Sandbox, transport: str) -> None:
    settings = OpenAIResponsesLLMSettings(compact_threshold=THRESHOLD)
    async with Conversation(SERVICES[transport](sandbox, settings=settings)) as talk:
        reports = told(talk.llm, "on_compacted")
        while not passes(talk):
            await talk.say("count to 14")
            assert reports.empty()
        # What has become of it shows when it is next read.
        await talk.say("count to 3")
        report = await reports.get()
        assert report.tokens_before is not None
        assert report.tokens_after is not None
        assert report.tokens_before > THRESHOLD / 2


@pytest.mark.parametrize("transport", SERVICES)
async def test_compaction_on_request(sandbox: Sandbox, transport: str) -> None:
    async with Conversation(SERVICES[transport](sandbox)) as talk:
        reports = told(talk.llm, "on_compacted")
        await talk.say("count to 14")
        await talk.say("count to 3")
        report = await talk.llm.compact(talk.context)
        assert await reports.get() == report
        assert report.tokens_before is not None
        first, second, made = messages_of(talk.context)
        assert first == {"role": "user", "content": "count to 14"}
        assert second == {"role": "user", "content": "count to 3"}
        assert made.message["type"] == "compaction"
        await talk.say("count to 4")
        newest = sandbox.requests[-1]
        assert not newest.incremental
        # The window that the server gave goes up as it came.
        kinds = [item.get("type", item.get("role")) for item in newest.input]
        assert kinds == ["user", "user", "compaction", "user"]
        await talk.say("count to 5")
        assert sandbox.requests[-1].incremental == (transport == "websocket")
        # Over HTTP it goes up again, and so does what has been said since.
        if transport == "http":
            kinds = [item.get("type", item.get("role")) for item in sandbox.requests[-1].input]
            assert kinds == ["user", "user", "compaction", "user", "assistant", "user"]
        await talk.llm.compact(talk.context)
        await talk.say("count to 6")
        kinds = [item.get("type", item.get("role")) for item in sandbox.requests[-1].input]
        assert kinds == ["user"] * 4 + ["compaction", "user"]
        assert not talk.errors


async def test_what_is_said_meanwhile_stays_behind_it(sandbox: Sandbox) -> None:
    async with Conversation(SERVICES["websocket"](sandbox)) as talk:
        await talk.say("count to 14")
        compacting = asyncio.create_task(talk.llm.compact(talk.context))
        await asyncio.sleep(0)
        talk.context.add_message({"role": "developer", "content": "Be brief."})
        await compacting
        said, made, added = messages_of(talk.context)
        assert said["role"] == "user"
        assert made.message["type"] == "compaction"
        assert added == {"role": "developer", "content": "Be brief."}


async def test_a_conversation_that_was_changed_stays(sandbox: Sandbox) -> None:
    async with Conversation(SERVICES["websocket"](sandbox)) as talk:
        await talk.say("count to 14")
        compacting = asyncio.create_task(talk.llm.compact(talk.context))
        await asyncio.sleep(0)
        changed: list[Any] = [{"role": "user", "content": "Something else."}]
        talk.context.set_messages(changed)
        with pytest.raises(RuntimeError, match="changed meanwhile"):
            await compacting
        assert messages_of(talk.context) == changed


async def test_a_function_that_runs_stays(sandbox: Sandbox) -> None:
    context = LLMContext(
        [
            {"role": "user", "content": "Look."},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "c",
                        "type": "function",
                        "function": {"name": "look", "arguments": "{}"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c", "content": "IN_PROGRESS"},
        ]
    )
    async with Conversation(SERVICES["http"](sandbox), context) as talk:
        before = list(messages_of(talk.context))
        await talk.llm.compact(context)
        said, made, *rest = messages_of(talk.context)
        assert said == before[0]
        assert made.message["type"] == "compaction"
        assert rest == before[1:]
        await talk.say("count to 3")
        assert not talk.errors


@pytest.mark.parametrize("transport", SERVICES)
async def test_what_cannot_be_compacted_stays(sandbox: Sandbox, transport: str) -> None:
    async with Conversation(SERVICES[transport](sandbox)) as talk:
        with pytest.raises(ValueError, match="nothing to compact"):
            await talk.llm.compact(talk.context)
        await talk.say("count to 3")
        before = list(messages_of(talk.context))
        await sandbox.stop()
        with pytest.raises(ResponsesError):
            await talk.llm.compact(talk.context)
        assert messages_of(talk.context) == before
        await sandbox.start()
        await talk.llm.compact(talk.context)
        await talk.say("count to 4")


@pytest.mark.parametrize("answer", [{}, {"output": 1}, {"output": [1, {"type": "message"}]}])
def test_an_answer_without_a_compaction(answer: dict[str, Any]) -> None:
    context = LLMContext([{"role": "user", "content": "Hello."}])
    messages: list[Any] = list(context.get_messages())
    with pytest.raises(ResponsesError, match="without a compaction"):
        put_in_place(context, messages, 1, answer, "openai_responses")
    assert context.get_messages() == messages


@pytest.mark.parametrize("transport", SERVICES)
async def test_pipecats_summary_knows_what_a_compaction_stands_for(
    sandbox: Sandbox, transport: str
) -> None:
    async with Conversation(SERVICES[transport](sandbox)) as talk:
        await talk.say("count to 14")
        await talk.llm.compact(talk.context)
        made = messages_of(talk.context)[1].message
        for number in (3, 4, 5):
            await talk.say(f"count to {number}")
        sandbox.script("They counted.")
        request = LLMContextSummaryRequestFrame("1", talk.context, 2, 100, "Summarize.")
        await talk.llm.queue_frame(request)
        await talk.said.until(lambda: any(map(_is_summary, talk.said.frames)))
        (result,) = filter(_is_summary, talk.said.frames)
        assert (result.summary, result.error) == ("They counted.", None)
        # Not a transcript, in which it would be missing: the compaction itself.
        content = made["encrypted_content"]
        history = sandbox.requests[-1].history
        assert content in [item.get("encrypted_content") for item in history]
        assert sandbox.requests[-1].body["instructions"] == "Summarize."


def _is_summary(frame: Any) -> TypeGuard[LLMContextSummaryResultFrame]:
    return isinstance(frame, LLMContextSummaryResultFrame)
