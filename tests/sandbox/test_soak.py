"""Very many requests leave the sandbox as it was. SOAK_REQUESTS=50000 takes minutes."""

import gc
import os
from typing import Any

import aiohttp
import pytest

from pipecat_responses.sandbox import Sandbox

from .wire import connected

REQUESTS = int(os.environ.get("SOAK_REQUESTS", "100"))
KEPT = 20


async def ask_many(sandbox: Sandbox, wire: Any, session: aiohttp.ClientSession) -> None:
    body = {"model": "gpt-4.1", "stream": True}
    headers = {"authorization": "Bearer k"}
    for number in range(REQUESTS // 4):
        async with session.post(
            f"{sandbox.base_url}/responses",
            json={**body, "input": f"number {number} of many"},
            headers=headers,
        ) as answer:
            assert "response.completed" in await answer.text()
        await wire.respond(f"number {number} of many", stream_id=f"lane-{number % 8}")
        await wire.refusal([])
        await wire.send("no JSON")
        await wire.event()


@pytest.mark.timeout(0)
async def test_memory_stays_as_it_was(sandbox: Sandbox) -> None:
    sandbox.config.max_recorded = sandbox.config.max_stored = KEPT
    async with connected(sandbox) as wire, aiohttp.ClientSession() as session:
        await ask_many(sandbox, wire, session)
        gc.collect()
        before = len(gc.get_objects())
        await ask_many(sandbox, wire, session)
        gc.collect()
        more = len(gc.get_objects()) - before
    # A request that is kept is dozens of objects.
    assert more < REQUESTS
    assert (len(sandbox.requests), len(sandbox.messages)) == (KEPT, KEPT)
    assert sandbox.requests.dropped == 2 * (REQUESTS // 4) * 3 - KEPT
