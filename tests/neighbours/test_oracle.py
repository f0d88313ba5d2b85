"""The yardstick itself: that it finds what is wrong, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.sandbox import Sandbox
from tests.neighbours.oracle import says, told
from tests.neighbours.support import calling, left_running
from tests.support.services import websocket_service

CALL = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
SAID: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Look  there."}]},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "a", "content": "found"},
    {"role": "assistant", "content": "I found it."},
]
HELD: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be brief."},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Look there."}]},
    {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{ }"},
    {"type": "function_call_output", "call_id": "a", "output": "found"},
    {"type": "message", "role": "assistant", "content": [{"text": "I found\nit."}]},
]


def test_the_same_in_two_forms() -> None:
    assert told(HELD) == says(LLMContext(SAID))


@pytest.mark.parametrize(
    "other",
    [
        HELD[1:],
        HELD[:-1],
        [*HELD[:4], {"role": "assistant", "content": "I found it!"}],
        [*HELD[:4], {"role": "user", "content": "I found it."}],
        [HELD[1], HELD[0], *HELD[2:]],
        [*HELD[:3], {**HELD[3], "output": "lost"}, HELD[4]],
        [*HELD[:3], {**HELD[3], "call_id": "b"}, HELD[4]],
        [*HELD[:2], {**HELD[2], "arguments": '{"a": 1}'}, *HELD[3:]],
    ],
)
def test_what_is_not_the_same(other: list[dict[str, Any]]) -> None:
    assert told(other) != says(LLMContext(SAID))


async def test_what_runs_is_seen_while_it_runs(sandbox: Sandbox) -> None:
    async with calling(websocket_service(sandbox)):
        running = left_running()
        assert any("pipecat_responses" in each for each in running)
        assert any("/pipecat/utils/" in each for each in running)
    assert left_running() == []
