"""What an import brings along, counted: modules, in fresh interpreters."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PIPECATS = "import pipecat.services.openai.responses.llm"
"""The module that this package replaces."""

OURS = "from pipecat_responses import OpenAIResponsesLLMService"

ALLOWED = {
    # Takes events apart and puts requests together, in C.
    "msgspec",
    "pipecat_responses",
}
"""What Pipecat's module does not bring along."""

NEVER = {"openai", "aiohttp.web", "pytest", "rich", "trustme", "typer"}
"""What no application is to pay for that only defines its bot: the SDK comes with a service."""

FOR_OTHER_USES = ("cli", "doctor", "sandbox", "testing", "service.over_http")
"""What of ours is imported where it is used."""

CALLS = """
import asyncio, json, os, sys
import pipecat_responses
from pipecat_responses.sandbox import Sandbox, SandboxConfig
from pipecat_responses.testing import Conversation

async def call(service, status):
    async with Sandbox(SandboxConfig(websocket_status=status)) as server:
        llm = getattr(pipecat_responses, service)(api_key="sk-test", base_url=server.base_url)
        before = set(sys.modules)
        async with Conversation(llm) as talk:
            assert await talk.say("hello")
            assert await llm.run_inference(talk.context)
            assert not talk.errors
            return set(sys.modules) - before

for service, status in (
    ("OpenAIResponsesLLMService", None),
    ("OpenAIResponsesLLMService", 426),
    ("OpenAIResponsesHttpLLMService", None),
):
    # What one call imports is there for the next, so each has a process of its own.
    child = os.fork()
    if not child:
        print("MODULES", json.dumps(sorted(asyncio.run(call(service, status)))), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
"""Calls of one turn: by WebSocket, by HTTP where there is none, and by HTTP; and their imports."""


def output_of(code: str) -> list[str]:
    """The lines that some code prints in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has after some code."""
    return set(
        json.loads(output_of(f"{code}\nimport json, sys\nprint(json.dumps([*sys.modules]))")[-1])
    )


def libraries(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names)


def test_what_an_import_brings_along() -> None:
    ours, theirs = modules_after(OURS), modules_after(PIPECATS)
    # No library that Pipecat's does not, and less than it.
    assert libraries(ours) - libraries(theirs) <= ALLOWED
    assert len(ours) < len(theirs)
    # Nothing that is for other uses.
    assert not ours & NEVER
    assert not ours & {f"pipecat_responses.{name}" for name in FOR_OTHER_USES}


def test_the_package_by_itself_is_nothing_but_names() -> None:
    ours = {name for name in modules_after("import pipecat_responses") if "pipecat" in name}
    assert ours == {"pipecat_responses"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_a_call_imports_nothing_of_ours_or_the_sdks() -> None:
    told = [line for line in output_of(CALLS) if line.startswith("MODULES")]
    assert len(told) == 3
    for line in told:
        imported = set(json.loads(line.removeprefix("MODULES ")))
        assert not libraries(imported) & {"pipecat_responses", "openai", "httpx2", "msgspec"}
