"""The plugin for pytest, and assertions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from pipecat_responses.sandbox import Answer, Call, Sandbox
from pipecat_responses.testing import (
    Conversation,
    assert_answered_within,
    assert_called_once,
    assert_history,
    assert_no_full_turns,
)

Bot = Callable[..., Awaitable[Conversation]]

SUITE = """
import os

async def test_the_bot(responses_sandbox, responses_bot):
    responses_sandbox.script("It is sunny.")
    assert os.environ["OPENAI_BASE_URL"] == responses_sandbox.base_url
    talk = await responses_bot(tts=None)
    assert await talk.say("How is the weather?") == "It is sunny."
"""

HEAVY = """
import sys

def test_nothing_is_loaded():
    heavy = {"pipecat", "aiohttp", "openai", "pipecat_responses.llm", "pipecat_responses.sandbox"}
    assert heavy & set(sys.modules) == set()
"""


def pytest_in(folder: Path, suite: str, *options: str) -> str:
    """Runs a suite of somebody else's in a process of its own."""
    (folder / "test_suite.py").write_text(suite, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *options, "test_suite.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_fixtures_are_there(tmp_path: Path, mode: str) -> None:
    suite = SUITE
    if mode == "strict":
        suite = "import pytest\npytestmark = pytest.mark.asyncio\n" + suite
    assert "1 passed" in pytest_in(tmp_path, suite, "-o", f"asyncio_mode={mode}")


def test_a_suite_without_them_loads_nothing(tmp_path: Path) -> None:
    assert "1 passed" in pytest_in(tmp_path, HEAVY)


async def look_up(params: FunctionCallParams) -> None:
    await params.result_callback("found")


async def test_assertions_that_hold(responses_sandbox: Sandbox, responses_bot: Bot) -> None:
    tool = FunctionSchema("look_up", "Looks up.", {"what": {"type": "string"}}, [], look_up)
    responses_sandbox.script(Answer((Call("look_up", {"what": "x"}),)), "Here it is.", "Yes.")
    talk = await responses_bot(None, LLMContext(tools=[tool]))
    await talk.say("Find x.", ends=2)
    await talk.say("Really?")
    assert_called_once(talk, "look_up")
    assert_called_once(talk, "look_up", {"what": "x"})
    assert_history(
        talk,
        [
            ("user", "Find x."),
            ("call", "look_up", {"what": "x"}),
            ("result", "look_up", "found"),
            ("assistant", "Here it is."),
            ("user", "Really?"),
            ("assistant", "Yes."),
        ],
    )
    assert_no_full_turns(talk)
    assert_answered_within(talk, 30.0)


async def test_assertions_that_fail_say_what_there_was(
    responses_sandbox: Sandbox, responses_bot: Bot
) -> None:
    responses_sandbox.script("Yes.")
    talk: Any = await responses_bot()
    with pytest.raises(AssertionError, match="No turn has ended"):
        assert_answered_within(talk, 1.0)
    await talk.say("Really?")
    with pytest.raises(AssertionError, match=r"! \('assistant', 'Yes.'\)\n +should be .*'No.'"):
        assert_history(talk, [("user", "Really?"), ("assistant", "No.")])
    with pytest.raises(AssertionError, match="called 0 times; what was called: nothing"):
        assert_called_once(talk, "look_up")
    with pytest.raises(AssertionError, match=r"1 of 1 requests .* first \(1\)"):
        assert_no_full_turns(talk, after=0)
    with pytest.raises(AssertionError, match="The turn took"):
        assert_answered_within(talk, 0.0)
