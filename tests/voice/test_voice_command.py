"""The command: what cannot work is a sentence before an address is printed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from examples.voice.services import STT, TTS, choose

from pipecat_responses.cli.failures import UnusableError

ROOT = Path(__file__).parents[2]
KEYS = {each.key for each in (*STT.values(), *TTS.values()) if each.key}


def run(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    unset = KEYS | {"CI", "ORT_DISABLE_TELEMETRY"}
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    return subprocess.run(
        [sys.executable, "-m", "examples.voice", "--port", "0", *options],
        cwd=ROOT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=50,
    )


@pytest.mark.parametrize("transport", ["websocket", "http"])
@pytest.mark.long_calls
def test_a_server_that_does_not_answer(transport: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1"
    ended = run("--transport", transport, OPENAI_API_KEY="sk-none", OPENAI_BASE_URL=url)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "cannot be reached" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.long_calls
def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("--port", str(taken.getsockname()[1]), HOME=str(tmp_path))
    # All models were loaded, and none left a name for this machine or what to report of it.
    assert list(tmp_path.rglob("*deviceid*")) == []
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "choose another one with --port" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_key_that_is_not_set() -> None:
    ended = run("--stt", "deepgram")
    assert ended.returncode == 1
    assert ended.stderr == "--stt deepgram needs a key: set DEEPGRAM_API_KEY.\n"


def test_a_service_that_there_is_not() -> None:
    with pytest.raises(UnusableError, match=r"choose one of hibari, cartesia"):
        choose("--tts", TTS, "nobody")


def test_a_service_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPGRAM_API_KEY", "any")
    monkeypatch.setitem(sys.modules, "pipecat.services.deepgram.stt", None)
    with pytest.raises(UnusableError, match=r"pip install 'pipecat-ai\[deepgram\]'"):
        choose("--stt", STT, "deepgram")


async def test_a_service_that_is_chosen_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
    for option, providers in (("--stt", STT), ("--tts", TTS)):
        made = choose(option, providers, "openai")()
        assert type(made).__name__ == providers["openai"].service


def test_those_there_are_exist_in_pipecat() -> None:
    for each in [*STT.values(), *TTS.values()]:
        if each.module.startswith("pipecat"):
            module = Path(*each.module.split(".")).with_suffix(".py")
            source = files("pipecat").joinpath(*module.parts[1:]).read_text()
            assert f"class {each.service}(" in source
