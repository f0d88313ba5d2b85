from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from pipecat_responses.sandbox import Sandbox, SandboxConfig
from pipecat_responses.session.capabilities import KNOWN


@pytest.fixture(autouse=True)
def nothing_is_known() -> None:
    """What tests have learned of servers is forgotten: ports are used again."""
    KNOWN.reset()


@pytest_asyncio.fixture
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """A server with default behaviour; change ``sandbox.config`` at will.

    Marked with ``clear_and_tls``, a test runs against one in the clear and one over TLS.
    """
    async with Sandbox(SandboxConfig(), tls=getattr(request, "param", False)) as server:
        yield server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives tests that are marked so a sandbox in the clear and one over TLS."""
    marked = metafunc.definition.get_closest_marker("clear_and_tls") is not None
    if marked and "sandbox" in metafunc.fixturenames:
        metafunc.parametrize("sandbox", [False, True], ids=["clear", "tls"], indirect=True)
