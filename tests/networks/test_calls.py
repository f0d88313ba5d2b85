"""A call with interruptions and tools against each server that the sandbox can play."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipecat_responses import OpenAIResponsesLLMService, ServerCapabilities
from pipecat_responses.doctor import diagnose
from pipecat_responses.sandbox import PROFILES, Answer, HostedCall, Sandbox, SandboxConfig
from tests.faults.support import Talk, counted, our_tasks
from tests.support.contexts import kept_items
from tests.support.history import of_context, of_items
from tests.support.hurry import hurried_service

# What a server that plays no WebSocket is asked over.
WITHOUT_WEBSOCKETS = ("openrouter", "vllm", "ollama", "lmstudio")
REFUSED_AT_MOST = {"azure": 1}
"""Azure refuses lanes; what the others lack is known, or dropped in silence."""

LIMITS = {"begin_secs": 2.0, "stall_secs": 5.0, "total_secs": 8.0}


def service(name: str, transport: Any, sandbox: Sandbox, **kwargs: Any) -> Any:
    deployments = sandbox.config.deployments
    settings = OpenAIResponsesLLMService.Settings(
        model=next(iter(deployments), "gpt-4.1"),
        system_instruction="Be brief.",
        prompt_cache_key="call-7",
    )
    return hurried_service(
        transport,
        sandbox,
        limits=LIMITS,
        connections={},
        **{"server": name, "api_key": "the-key", "settings": settings, **kwargs},
    )


@pytest.mark.parametrize("transport", ["websocket", "http"])
@pytest.mark.parametrize("name", PROFILES)
async def test_a_call_of_twelve_turns(name: str, transport: Any) -> None:
    async with Sandbox(SandboxConfig.profile(name)) as sandbox:
        llm = service(name, transport, sandbox)
        async with Talk(llm, tools=True) as talk:
            for number in range(4):
                assert (await talk.turn(f"count to {number + 3}")).text == counted(number + 3)
                heard = await talk.turn("Please call note.", ends=2)
                assert heard.text == 'note says "note done".'
                await interrupted(talk, sandbox)
            # The last request was answered to what the context says, and nothing else.
            heard = await talk.turn("count to 9")
            assert heard.text == counted(9)
            assert talk.errors == []
            said = of_context(talk.context)
            assert len(talk.toolbox.runs) == 4
        over = {each.transport for each in sandbox.requests}
        assert over == {"http" if name in WITHOUT_WEBSOCKETS else transport}
        seen = sandbox.requests[-1].transcript
        assert seen is not None
        history = of_items(seen.items())
        if (name, transport) == ("xai", "websocket"):
            assert history.pop(0) == ("developer", "Be brief.")
        assert history == said[:-1]
        refused = [each for each in sandbox.requests if (each.outcome or "")[:7] == "refused"]
        assert len(refused) <= REFUSED_AT_MOST.get(name, 0)
        assert our_tasks() == []


async def interrupted(talk: Talk, sandbox: Sandbox) -> None:
    sandbox.config.tokens_per_second = 300
    await talk.start("count to 50")
    await talk.text_arrives(3)
    await talk.interrupt()
    sandbox.config.tokens_per_second = None


@pytest.mark.parametrize("name", ["azure", "xai", "litellm"])
async def test_what_is_learned_is_learned_once(name: str) -> None:
    async with Sandbox(SandboxConfig.profile(name)) as sandbox:
        for _ in range(2):
            before = len(sandbox.requests)
            async with Talk(service(name, "websocket", sandbox), tools=True) as talk:
                for number in range(3, 6):
                    assert (await talk.turn(f"count to {number}")).text == counted(number)
        assert all(each.outcome == "completed" for each in sandbox.requests[before:])


@pytest.mark.parametrize("transport", ["websocket", "http"])
@pytest.mark.parametrize("kind", ["comments", "events"])
async def test_a_server_that_shows_life_may_take_its_time(transport: Any, kind: Any) -> None:
    """Before its first event as well: for three times as long as one that is silent."""
    if transport == "websocket" and kind == "comments":
        return
    config = SandboxConfig(keepalive=kind, keepalive_secs=0.05, time_to_created=0.9)
    async with Sandbox(config) as sandbox:
        limits = {"quiet_secs": 0.2, "probe_secs": 0.2, "begin_secs": 0.3, "total_secs": 5.0}
        llm = hurried_service(transport, sandbox, limits=limits, connections={}, api_key="the-key")
        async with Talk(llm) as talk:
            assert (await talk.turn("count to 3")).text == counted(3)
            assert talk.errors == []
        assert len(sandbox.requests) == 1


async def test_a_filter_of_azure_is_about_this_turn_only() -> None:
    async with (
        Sandbox(SandboxConfig.profile("azure")) as sandbox,
        Talk(service("azure", "websocket", sandbox)) as talk,
    ):
        heard = await talk.turn("trigger the content filter")
        assert len(heard.errors) == 1
        talk.context.set_messages([])
        assert (await talk.turn("count to 3")).text == counted(3)


async def test_searches_that_xai_reports_as_calls_run_nowhere() -> None:
    action = {"type": "search", "query": "tea"}
    search = HostedCall({"type": "web_search_call", "action": action, "status": "completed"})
    async with (
        Sandbox(SandboxConfig.profile("xai")) as sandbox,
        Talk(service("xai", "websocket", sandbox), tools=True) as talk,
    ):
        sandbox.script(Answer([search, "Tea is from China."]))
        assert (await talk.turn("Where is tea from?")).text == "Tea is from China."
        assert (await talk.turn("count to 3")).text == counted(3)
        assert talk.errors == []
        assert talk.toolbox.runs == []
        assert [each["type"] for each in kept_items(talk.context)] == ["custom_tool_call"]
        assert talk.llm.stats.full == 1


@pytest.mark.parametrize("name", ["azure", "xai"])
async def test_what_the_doctor_has_found_is_not_found_out_again(name: str, tmp_path: Path) -> None:
    async with Sandbox(SandboxConfig.profile(name)) as sandbox:
        model = next(iter(sandbox.config.deployments))
        diagnosis = await diagnose(sandbox.base_url, "the-key", model=model)
        file = tmp_path / "server.json"
        file.write_text(json.dumps(diagnosis.capabilities))
        before, said = len(sandbox.requests), len(sandbox.messages)
        known = ServerCapabilities.load(file)
        async with Talk(service(name, "websocket", sandbox, capabilities=known)) as talk:
            for number in range(3, 6):
                assert (await talk.turn(f"count to {number}")).text == counted(number)
            await interrupted(talk, sandbox)
            assert (await talk.turn("count to 6")).text == counted(6)
            assert talk.errors == []
        asked = sandbox.requests[before:]
        assert all("refused" not in (each.outcome or "") for each in asked)
        # A cancel would be refused as well.
        assert sandbox.messages[said:] == []
