"""The pytest plugin: a sandbox in OpenAI's place, and bots to talk to.

pytest imports it in every suite of an environment that has this package, so it imports nothing of
Pipecat's or the sandbox's before a fixture is used. The fixtures are synchronous, and so work with
pytest-asyncio, with anyio, and in tests without either.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pipecat_responses.sandbox import (
        BackgroundSandbox,
        RecordedRequest,
        Recorder,
        Replay,
        SandboxConfig,
    )
    from pipecat_responses.testing.bots import Bots

MARKER = "responses_sandbox"
CASSETTE = "responses_cassette"
RECORD = "--responses-record"
_SHOWN = 20
"""Requests that a failed test tells of."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option to record."""
    parser.getgroup("pipecat-responses").addoption(
        RECORD,
        action="store_true",
        help="record the cassettes of responses_cassette anew, with the real server",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Registers the markers."""
    config.addinivalue_line(
        "markers",
        f"{CASSETTE}(file, *, timing=False): the cassette of the fixture of that name, beside the "
        "test, and whether to replay it at its own pace",
    )
    config.addinivalue_line(
        "markers",
        f"{MARKER}(*, profile=None, scenario=None, **config): how the fixture behaves: "
        "whose server it plays, a scenario file beside the test, and fields of SandboxConfig",
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Has a test that failed tell what its sandbox was asked."""
    outcome = yield
    sandbox = getattr(item, "funcargs", {}).get("responses_sandbox")
    report = outcome.get_result()
    if report.failed and sandbox is not None and sandbox.requests:
        told = "\n".join(_line(record) for record in sandbox.requests[-_SHOWN:])
        report.sections.append(("responses_sandbox was asked", told))


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
        _lead_to(sandbox.base_url, monkeypatch)
        monkeypatch.setenv("OPENAI_API_KEY", "sandbox")
        yield sandbox
        if run is not None:
            run.check()
    _forget_servers()


@pytest.fixture
def responses_cassette(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Recorder | Replay]:
    """A real server's part of a conversation, from the file that the marker names.

    ``OPENAI_BASE_URL`` leads to it. With ``--responses-record``, what stands there is a recorder
    between the test and the server that it led to, or OpenAI. The test fails if it asks what was
    not recorded.
    """
    from pipecat_responses.sandbox import Recorder, Replay, in_background

    marker = request.node.get_closest_marker(CASSETTE)
    if marker is None or len(marker.args) != 1:
        raise pytest.UsageError(f"The fixture {CASSETTE} needs its marker, with the name of a file")
    file = request.path.parent / marker.args[0]
    if request.config.getoption(RECORD):
        file.parent.mkdir(parents=True, exist_ok=True)
        upstream = os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        with in_background(Recorder(file, upstream)) as recorder:
            _lead_to(recorder.base_url, monkeypatch)
            yield recorder
    elif not file.exists():
        pytest.fail(f"There is no {file}: record it with pytest {RECORD}", pytrace=False)
    else:
        with in_background(Replay(file, timing=marker.kwargs.get("timing", False))) as replay:
            _lead_to(replay.base_url, monkeypatch)
            monkeypatch.setenv("OPENAI_API_KEY", "replay")
            yield replay
        refused = "\n".join(f"  {each}" for each in replay.refused)
        assert not refused, f"What was not recorded was asked:\n{refused}"
    _forget_servers()


@pytest.fixture
def responses_bot(responses_sandbox: BackgroundSandbox) -> Bots:
    """Makes conversations with bots that talk to ``responses_sandbox``."""
    from pipecat_responses.testing.bots import Bots

    return Bots(responses_sandbox)


def _lead_to(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has clients find a server on this machine, past the proxy that the environment may name."""
    monkeypatch.setenv("OPENAI_BASE_URL", base_url)
    # Clients differ in which of the two they read first.
    names = ("NO_PROXY", "no_proxy")
    told = dict.fromkeys(filter(None, map(os.environ.get, names)))
    for name in names:
        monkeypatch.setenv(name, ",".join((*told, "127.0.0.1", "localhost")))


def _line(record: RecordedRequest) -> str:
    """A request in a line."""
    how = "incremental" if record.incremental else "full"
    lane = f", lane {record.stream_id}" if record.stream_id is not None else ""
    newest = record.input[-1] if record.input else None
    return f"{record.transport}{lane}, {how}, {record.outcome or 'running'}: {newest!r:.200}"


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
