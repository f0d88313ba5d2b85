"""What an import brings along, counted: modules, in fresh interpreters."""

from __future__ import annotations

import json
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

A_CALL = """
import asyncio, sys
import pipecat_responses
from pipecat_responses.sandbox import Sandbox, SandboxConfig
from pipecat_responses.testing import Conversation

async def call():
    async with Sandbox(SandboxConfig(websocket_status={status})) as server:
        llm = pipecat_responses.{service}(api_key="sk-test", base_url=server.base_url)
        before = set(sys.modules)
        async with Conversation(llm) as talk:
            assert await talk.say("hello")
            assert await llm.run_inference(talk.context)
            assert not talk.errors
            return set(sys.modules) - before

found = asyncio.run(call())
"""
"""A call of one turn, and what is imported in it."""


def modules_after(code: str) -> frozenset[str]:
    """The modules that a fresh interpreter has after some code; those are told by ``found``."""
    tell = "\nimport json, sys\nprint(json.dumps(sorted(globals().get('found', sys.modules))))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code + tell],
        capture_output=True,
        text=True,
        check=True,
    )
    return frozenset(json.loads(done.stdout.splitlines()[-1]))


def libraries(modules: frozenset[str]) -> set[str]:
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


@pytest.mark.parametrize(
    ("service", "status"),
    [
        ("OpenAIResponsesLLMService", None),
        ("OpenAIResponsesLLMService", 426),
        ("OpenAIResponsesHttpLLMService", None),
    ],
    ids=["websocket", "fallback", "http"],
)
def test_a_call_imports_nothing_of_ours_or_the_sdks(service: str, status: int | None) -> None:
    imported = modules_after(A_CALL.format(service=service, status=status))
    assert not libraries(imported) & {"pipecat_responses", "openai", "httpx2", "msgspec"}
