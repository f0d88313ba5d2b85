"""The pytest plugin: a sandbox in OpenAI's place, and bots to talk to.

pytest imports it in every suite of an environment that has this package, so it imports nothing of
Pipecat's or the sandbox's before a fixture is used. The fixtures are synchronous, and so work with
pytest-asyncio, with anyio, and in tests without either.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pipecat_responses.sandbox import BackgroundSandbox, SandboxConfig
    from pipecat_responses.testing.bots import Bots

MARKER = "responses_sandbox"


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(*, profile=None, scenario=None, **config): how the fixture behaves: "
        "whose server it plays, a scenario file beside the test, and fields of SandboxConfig",
    )


@pytest.fixture
def responses_sandbox(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BackgroundSandbox]:
    """A server of OpenAI's Responses API on this machine, for one test.

    ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY`` lead to it. The marker ``responses_sandbox`` says how
    it behaves. Where it names a scenario, the test fails if that went otherwise.
    """
    from pipecat_responses.sandbox import BackgroundSandbox

    told = _told(request.node)
    scenario = told.pop("scenario", None)
    with BackgroundSandbox(_config(told)) as sandbox:
        run = sandbox.play(request.path.parent / scenario) if scenario is not None else None
        monkeypatch.setenv("OPENAI_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sandbox")
        yield sandbox
        if run is not None:
            run.check()
    _forget_servers()


@pytest.fixture
def responses_bot(responses_sandbox: BackgroundSandbox) -> Bots:
    """Makes conversations with bots that talk to ``responses_sandbox``."""
    from pipecat_responses.testing.bots import Bots

    return Bots(responses_sandbox)


def _told(node: pytest.Item) -> dict[str, Any]:
    """What the markers say; of two, the closer one."""
    told: dict[str, Any] = {}
    for marker in reversed(list(node.iter_markers(MARKER))):
        if marker.args:
            raise pytest.UsageError(f"The marker {MARKER} takes keyword arguments only")
        told.update(marker.kwargs)
    return told


def _config(told: dict[str, Any]) -> SandboxConfig:
    from pipecat_responses.sandbox import SandboxConfig

    config = SandboxConfig.profile(told.pop("profile", None) or "openai")
    for name, value in told.items():
        if not hasattr(config, name):
            raise pytest.UsageError(f"SandboxConfig has no {name!r}, which {MARKER} names")
        setattr(config, name, value)
    return config


def _forget_servers() -> None:
    """What was learned of a server is not to be believed of the next one on the same port."""
    capabilities = sys.modules.get("pipecat_responses.session.capabilities")
    if capabilities is not None:
        capabilities.KNOWN.reset()
