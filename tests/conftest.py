from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from pipecat_responses.sandbox import Sandbox, SandboxConfig


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A server with default behaviour; change ``sandbox.config`` at will."""
    async with Sandbox(SandboxConfig()) as server:
        yield server
