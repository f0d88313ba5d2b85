from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme
from pipecat.turns import user_turn_strategies
from pipecat.turns.user_stop import ExternalUserTurnStopStrategy

from pipecat_responses.sandbox import Sandbox, SandboxConfig
from pipecat_responses.session.capabilities import KNOWN
from tests.support.browser import running

VOICE = Path(__file__).parent / "voice"
"""Tests in which somebody speaks."""

TIME_LIMIT = pytest.StashKey[Any]()


@pytest.fixture(autouse=True, scope="session")
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Clients read the system's authorities, each anew in 20 ms; only OpenAI needs any of them."""
    with pytest.MonkeyPatch.context() as patch:
        if not os.environ.get("OPENAI_API_KEY"):
            file = tmp_path_factory.mktemp("authority") / "authority.pem"
            trustme.CA().cert_pem.write_to_path(str(file))
            patch.setenv("SSL_CERT_FILE", str(file))
        yield


@pytest.fixture(autouse=True)
def no_turn_analyzer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody is heard, the model that listens need not be loaded: 40 ms for each pipeline."""
    if VOICE not in request.path.parents:
        monkeypatch.setattr(
            user_turn_strategies,
            "default_user_turn_stop_strategies",
            lambda: [ExternalUserTurnStopStrategy()],
        )


def pytest_collection_finish() -> None:
    """What stays until the end need not be looked at by each collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Keeps the time limit of a test for its teardown."""
    item.stash[TIME_LIMIT] = settings


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Begins the time limit anew: pytest-timeout lifts it when a test fails.

    What a failed test has left may never end, and the event loop's teardown waits for it.
    """
    if TIME_LIMIT in item.stash:
        item.config.hook.pytest_timeout_set_timer(item=item, settings=item.stash[TIME_LIMIT])


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a browser, for `tests.support.browser.browsing`."""
    with running(tmp_path_factory.mktemp("chromium")) as address:
        yield address


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
