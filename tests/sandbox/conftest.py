from collections.abc import AsyncIterator

import pytest

from pipecat_responses.sandbox import Sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as server:
        yield server
