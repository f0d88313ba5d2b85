"""The command: what is printed, what is written, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pipecat_responses.cli import doctor
from pipecat_responses.cli.commands import app
from pipecat_responses.sandbox import Sandbox, SandboxConfig

from .support import KEY


@contextmanager
def serving(**config: Any) -> Iterator[Sandbox]:
    """A sandbox on a thread of its own, as the command runs an event loop itself."""
    sandbox = Sandbox(SandboxConfig(**config))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(sandbox.start(), loop).result(10)
    try:
        yield sandbox
    finally:
        asyncio.run_coroutine_threadsafe(sandbox.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def run(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments], env={"OPENAI_API_KEY": KEY, **env})


def test_what_is_printed_and_written(tmp_path: Path) -> None:
    file = tmp_path / "capabilities.json"
    with serving() as sandbox:
        done = run("--url", sandbox.ws_url, "--write", str(file))
    assert done.exit_code == 0, done.output
    # Older versions of click give stderr as well.
    lines = done.stdout.partition("Written: ")[0].splitlines()
    assert lines[0] == f"{sandbox.base_url}, gpt-4.1"
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in done.stdout
    assert KEY not in done.output
    assert any(line.startswith("ok       lanes ") and " ms  Two of" in line for line in lines)
    assert any(line.strip().startswith("-> Nothing to do:") for line in lines)
    assert lines[-1].startswith("A call can be held, over WebSocket and HTTP.")
    assert f"Written: {file}" in done.output
    written = json.loads(file.read_text())
    assert written["format"] == 1
    assert written["address"] == sandbox.ws_url
    assert written["lanes"] is True
    assert written["why"]["lanes"].startswith("Two of them answered")


def test_json(tmp_path: Path) -> None:
    file = tmp_path / "capabilities.json"
    with serving(api_keys={"another"}) as sandbox:
        done = run(
            *("--url", sandbox.base_url, "--json", "--write", str(file), "--key-env", "MY_KEY"),
            MY_KEY="sk-mine-0001",
        )
    assert done.exit_code == 1
    told, _ = json.JSONDecoder().raw_decode(done.stdout)
    assert told["usable"] is False
    assert {each["name"]: each["verdict"] for each in told["checks"]}["key"] == "failed"
    assert told["capabilities"]["lanes"] is None
    assert not file.exists()
    assert "was not written" in done.output


def test_without_a_key() -> None:
    with serving(api_keys={"another"}) as sandbox:
        done = run("--url", sandbox.base_url, OPENAI_API_KEY="")
    assert done.exit_code == 1
    assert "No call can be held: set OPENAI_API_KEY to a key." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--url", "example.com"), "is no address of a server"),
        (("--url", "http://example.com/v1"), "in clear text"),
    ],
)
def test_what_cannot_be_used(arguments: tuple[str, ...], words: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 1
    assert words in done.output


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with serving() as sandbox:
        done = run("--url", sandbox.base_url, "--write", str(tmp_path / "no" / "file"))
    assert done.exit_code == 1
    assert "cannot be written" in done.output


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C is heard, also where the tests were started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def press() -> None:
            # The first is the check of TCP, which says nothing.
            while not (peer := server.accept()[0]).recv(1):
                peer.close()
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=press, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        options = doctor.DoctorOptions(
            url=url,
            ws_url=None,
            model="gpt-4.1",
            key_env="OPENAI_API_KEY",
            stored=False,
            timeout=60.0,
            write=None,
            as_json=False,
        )
        assert doctor.run(options) == 130
        thread.join(10)
    assert "Stopped." in capsys.readouterr().err
