"""Pipecat's evals of the example: the files are right, and the scenarios pass."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pipecat.evals.suite import EvalManifest

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "examples" / "evals" / "suite.yaml"


def test_every_scenario_of_the_suite_can_be_read() -> None:
    runs = EvalManifest.load(SUITE).runs
    assert [run.scenario for run in runs] == ["calls/spoken", "calls/written"]
    for run in runs:
        assert run.load().turns  # type: ignore[union-attr]
        assert run.bot_path is not None
        assert run.bot_path.exists()


@pytest.mark.long_calls
@pytest.mark.timeout(240)
@pytest.mark.parametrize("scenario", ["written", "spoken"])
def test_the_scenarios_pass(scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = subprocess.run(
        [sys.executable, "-m", "examples.evals", "--scenario", scenario, "--base-port", str(port)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"PASS  calls/{scenario}" in done.stdout
