"""Servers that refuse parts of a request: each costs one request, once, and never a turn."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pipecat.frames.frames import LLMUpdateSettingsFrame

from pipecat_responses import OpenAIResponsesLLMSettings as Settings
from pipecat_responses import ServerCapabilities
from pipecat_responses.protocol.options import RefusedOption
from pipecat_responses.sandbox import Sandbox, SandboxConfig
from pipecat_responses.sandbox.config import Dialect
from tests.faults.support import counted, until
from tests.support.history import of_items
from tests.support.hurry import JudgedConversation
from tests.support.services import SERVICES, websocket_service

REFUSED = (
    "include",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "text.verbosity",
    "truncation",
)


def asking_for_everything() -> Settings:
    return Settings(
        system_instruction="Be brief.",
        include=["message.output_text.logprobs"],
        metadata={"line": "7"},
        parallel_tool_calls=True,
        prompt_cache_key="call-7",
        safety_identifier="user-1",
        service_tier="auto",
        verbosity="medium",
        truncation="auto",
        top_p=0.5,
    )


def outcomes(sandbox: Sandbox) -> list[str]:
    return ["ok" if each.outcome == "completed" else "refused" for each in sandbox.requests]


def seen_by_the_model(sandbox: Sandbox) -> list[Any]:
    transcript = sandbox.requests[-1].transcript
    assert transcript is not None
    return of_items(transcript.items())


@pytest.mark.parametrize("dialect", get_args(Dialect))
@pytest.mark.parametrize("transport", SERVICES)
async def test_in_whatever_words(transport: Any, dialect: Any) -> None:
    config = SandboxConfig(dialect=dialect, refused_fields=REFUSED, obfuscation=False)
    async with Sandbox(config) as sandbox:
        llm = SERVICES[transport](sandbox, settings=asking_for_everything())
        async with JudgedConversation(llm, tools=True) as talk:
            assert await talk.say("count to 5") == counted(5)
            # Each is refused once; nothing else is left out.
            assert outcomes(sandbox) == ["refused"] * len(REFUSED) + ["ok"]
            assert await talk.say("count to 6") == counted(6)
            assert outcomes(sandbox)[len(REFUSED) :] == ["ok", "ok"]
            assert talk.errors == []
        body = sandbox.requests[-1].body
        assert not {each.partition(".")[0] for each in REFUSED} & set(body)
        assert {"top_p", "tools", "store", "instructions"} <= set(body)
        assert {each.path for each in llm.capabilities.refused} == set(REFUSED)
        # Others know it.
        other = SERVICES[transport](sandbox, settings=asking_for_everything())
        before = len(sandbox.requests)
        async with JudgedConversation(other, tools=True) as talk:
            assert await talk.say("count to 3") == counted(3)
        assert outcomes(sandbox)[before:] == ["ok"]


@pytest.mark.parametrize("dialect", ["openai", "validator", "words"])
@pytest.mark.parametrize("field", ["stream_id", "generate", "previous_response_id"])
async def test_what_the_session_adds(field: str, dialect: Any) -> None:
    config = SandboxConfig(dialect=dialect, refused_fields=(field,))
    async with Sandbox(config) as sandbox:
        llm = websocket_service(sandbox)
        async with JudgedConversation(llm, tools=True) as talk:
            talk.context.add_message({"role": "user", "content": "I am Ada."})
            warm = await llm.warm_up(talk.context)
            assert warm is (field == "previous_response_id")
            for number in range(3, 6):
                assert await talk.say(f"count to {number}") == counted(number)
            assert talk.errors == []
        refused = [each for each in sandbox.requests if each.outcome != "completed"]
        assert len(refused) == 1
        assert field in refused[0].body
        known = llm.capabilities
        assert (known.lanes, known.warm_up, known.continuation) == {
            "stream_id": (False, None, True),
            "generate": (True, False, True),
            "previous_response_id": (True, None, False),
        }[field]
        assert llm.stats.last_turn is not None
        assert llm.stats.last_turn.incremental is (field != "previous_response_id")


async def test_a_server_that_drops_what_it_is_to_continue_from() -> None:
    """The model would see the last words only, and nobody would know why it answers as it does."""
    config = SandboxConfig(dropped_fields=("previous_response_id",))
    async with Sandbox(config) as sandbox:
        llm = SERVICES["websocket"](sandbox)
        async with JudgedConversation(llm, tools=False) as talk:
            for number in range(3, 6):
                assert await talk.say(f"count to {number}") == counted(number)
            assert talk.errors == []
        assert llm.capabilities.continuation is False
        assert sum("previous_response_id" in each.body for each in sandbox.requests) == 1
        assert len(seen_by_the_model(sandbox)) == 5


@pytest.mark.parametrize("first", ["I am Ada.", "I am Ada, and I have come from far away. " * 9])
async def test_a_server_that_continues_and_does_not_say_so(first: str) -> None:
    """Its token count tells, so that one turn pays for it, by one more request, and no other."""
    async with Sandbox(SandboxConfig(names_parents=False)) as sandbox:
        llm = SERVICES["websocket"](sandbox)
        async with JudgedConversation(llm, tools=False) as talk:
            sandbox.script("Hello Ada, what can I do for you?")
            await talk.say(first)
            for number in range(3, 8):
                assert await talk.say(f"count to {number}") == counted(number)
                await until(lambda: llm.capabilities.continuation is True)
            assert talk.errors == []
        assert llm.stats.full <= 2
        assert llm.stats.incremental >= 5
        assert llm.stats.retries == 1
        assert len(seen_by_the_model(sandbox)) == 11


@pytest.mark.parametrize("dialect", ["openai", "xai", "words"])
async def test_instructions_beside_what_is_continued(dialect: Any) -> None:
    config = SandboxConfig(dialect=dialect, instructions_when_continuing="rejected")
    async with Sandbox(config) as sandbox:
        llm = SERVICES["websocket"](sandbox, settings=Settings(system_instruction="Be brief."))
        async with JudgedConversation(llm, tools=False) as talk:
            for number in range(3, 7):
                assert await talk.say(f"count to {number}") == counted(number)
            assert llm.capabilities.instructions_when_continuing is False
            assert llm.stats.last_turn is not None
            assert llm.stats.last_turn.incremental
            assert [each for each in outcomes(sandbox) if each == "refused"] == ["refused"]
            # New instructions are new words at the beginning: everything is sent.
            update = Settings(system_instruction="Be long.")
            await talk.worker.queue_frame(LLMUpdateSettingsFrame(delta=update))
            assert await talk.say("count to 7") == counted(7)
            assert talk.errors == []
        assert "instructions" not in sandbox.requests[-1].body
        seen = seen_by_the_model(sandbox)
        assert seen[0] == ("developer", "Be long.")
        assert [each[0] for each in seen] == ["developer", *["user", "assistant"] * 4, "user"]


@pytest.mark.parametrize("transport", SERVICES)
async def test_a_server_that_does_not_store(transport: Any) -> None:
    async with Sandbox(SandboxConfig(storage="rejected")) as sandbox:
        llm = SERVICES[transport](sandbox, settings=Settings(extra={"store": True}))
        async with JudgedConversation(llm, tools=False) as talk:
            assert await talk.say("count to 3") == counted(3)
            assert await talk.say("count to 4") == counted(4)
            assert talk.errors == []
        assert outcomes(sandbox) == ["refused", "ok", "ok"]
        assert sandbox.requests[-1].body["store"] is False


@pytest.mark.parametrize("transport", SERVICES)
async def test_what_one_value_of_is_refused(sandbox: Sandbox, transport: Any) -> None:
    """Another value may be taken, and so may this one by another model."""
    settings = Settings(model="gpt-4.1", temperature=5.0)
    llm = SERVICES[transport](sandbox, settings=settings)
    async with JudgedConversation(llm, tools=False) as talk:
        assert await talk.say("count to 3") == counted(3)
        await talk.worker.queue_frame(LLMUpdateSettingsFrame(delta=Settings(temperature=0.5)))
        assert await talk.say("count to 4") == counted(4)
        assert talk.errors == []
    assert outcomes(sandbox) == ["refused", "ok", "ok"]
    assert sandbox.requests[-1].body["temperature"] == 0.5


@pytest.mark.parametrize("transport", SERVICES)
async def test_what_an_answer_depends_on_is_reported(sandbox: Sandbox, transport: Any) -> None:
    format_ = {"type": "json_schema", "name": "x y", "schema": {"type": "object"}}
    llm = SERVICES[transport](sandbox, settings=Settings(text_format=format_))
    async with JudgedConversation(llm, tools=False) as talk:
        await talk.say("hello")
        assert len(talk.errors) == 1
    assert outcomes(sandbox) == ["refused"]
    assert llm.capabilities.refused == ()


@pytest.mark.parametrize("transport", SERVICES)
async def test_what_is_known_is_not_tried(sandbox: Sandbox, transport: Any) -> None:
    known = ServerCapabilities(lanes=False, refused=(RefusedOption("metadata"),))
    settings = Settings(metadata={"line": "7"})
    llm = SERVICES[transport](sandbox, settings=settings, capabilities=known)
    async with JudgedConversation(llm, tools=False) as talk:
        assert await talk.say("count to 3") == counted(3)
        assert not {"metadata", "stream_id"} & set(sandbox.requests[-1].body)
        llm.capabilities.reset()
        assert await talk.say("count to 4") == counted(4)
        assert sandbox.requests[-1].body["metadata"] == {"line": "7"}


async def test_a_compaction_is_tried_again_without_it(sandbox: Sandbox) -> None:
    sandbox.config.refused_fields = ("prompt_cache_key",)
    llm = SERVICES["http"](sandbox, settings=Settings(prompt_cache_key="call-7"))
    async with JudgedConversation(llm, tools=False) as talk:
        talk.context.add_message({"role": "user", "content": "I am Ada."})
        report = await llm.compact(talk.context)
        assert report
    assert [each.path for each in llm.capabilities.refused] == ["prompt_cache_key"]
