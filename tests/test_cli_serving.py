"""`serve` and `record`, and what happens while they wait for Ctrl-C."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from pipecat_responses.cli.commands import app
from pipecat_responses.sandbox import Cassette

Meanwhile = Callable[[str], Awaitable[None]]


class Command:
    """Runs a command, and something else while it waits for its end."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        # It would silence the log of the tests that follow.
        patch.setattr("pipecat_responses.cli.logs.set_up_logs", lambda **_: None)

    def __call__(self, *arguments: str, meanwhile: Meanwhile | None = None) -> tuple[int, str]:
        """The exit status, and all that was shown."""
        addresses: list[str] = []

        async def until_stopped() -> None:
            assert meanwhile is not None
            await meanwhile(addresses[-1])

        def show(*words: object, **options: Any) -> None:
            addresses.extend(re.findall(r"base_url  (\S+)", " ".join(map(str, words))))
            print(*words, **options)

        for module in ("serve", "record"):
            self._patch.setattr(f"pipecat_responses.cli.{module}.until_stopped", until_stopped)
            self._patch.setattr(f"pipecat_responses.cli.{module}.print", show, raising=False)
        done = CliRunner().invoke(app, list(arguments))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(monkeypatch)


async def ask(
    base_url: str, text: str, key: str = "any", *, model: str = "gpt-4.1"
) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{base_url}/responses",
            json={"model": model, "input": text},
            headers={"authorization": f"Bearer {key}"},
        ) as answer,
    ):
        return answer.status, await answer.json()


def test_a_scenario(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("answers: [{say: Hello., expect: {user: hi}}]")

    async def well(base_url: str) -> None:
        status, body = await ask(base_url, "Hi!")
        assert (status, body["output"][0]["content"][0]["text"]) == (200, "Hello.")

    async def badly(base_url: str) -> None:
        await ask(base_url, "Bye!")

    arguments = ("serve", "--port", "0", "--scenario", str(file))
    assert command(*arguments, meanwhile=well)[0] == 0
    status, shown = command(*arguments, meanwhile=badly)
    assert status == 1
    assert "The scenario 'f' went otherwise:\n  answers[0]: user was 'Bye!', not 'hi'" in shown
    file.write_text("answers: [{}]")
    status, shown = command(*arguments)
    assert status == 1
    assert "answers[0]: say, call, answer or fail" in shown
    status, shown = command("serve", "--scenario", str(tmp_path / "none.yaml"))
    assert status == 1
    assert "none.yaml cannot be read (No such file or directory)." in shown


@pytest.mark.parametrize(("options", "status"), [((), 404), (("--any-model",), 200)])
def test_any_model(command: Command, options: tuple[str, ...], status: int) -> None:
    async def meanwhile(base_url: str) -> None:
        assert (await ask(base_url, "hello", model="my-own"))[0] == status

    assert command("serve", "--port", "0", *options, meanwhile=meanwhile)[0] == 0


def test_somebody_to_talk_to(command: Command) -> None:
    async def meanwhile(base_url: str) -> None:
        assert "One, two, three." in str(await ask(base_url, "count to three"))

    assert command("serve", "--port", "0", "--persona", meanwhile=meanwhile)[0] == 0


def test_a_host_with_a_token(command: Command) -> None:
    async def meanwhile(base_url: str) -> None:
        base_url = base_url.replace("0.0.0.0", "127.0.0.1")
        assert (await ask(base_url, "Hi!", "other"))[0] == 401
        assert (await ask(base_url, "Hi!", "s3cret"))[0] == 200

    host = ("serve", "--port", "0", "--tokens-per-second", "0", "--host", "0.0.0.0")
    status, shown = command(*host)
    assert status == 1
    assert "Without a token the sandbox only listens on loopback" in shown
    status, shown = command(*host, "--token", "s3cret", meanwhile=meanwhile)
    assert status == 0
    assert "s3cret" not in shown
    assert "x-sandbox-token: $PIPECAT_RESPONSES_TOKEN" in shown


def test_record_and_replay(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "cassette.json"
    answers: list[Any] = []

    async def meanwhile(base_url: str) -> None:
        answers.append(await ask(base_url, "Hi!", "sk-0123456789"))

    async def record(upstream: str) -> None:
        # One in the other: what is recorded has to run meanwhile.
        from pipecat_responses.sandbox import Recorder

        async with Recorder(file, upstream) as recorder:
            await meanwhile(recorder.base_url)

    assert command("serve", "--port", "0", meanwhile=record)[0] == 0
    status, shown = command(
        "serve", "--port", "0", "--replay", str(file), "--no-timing", meanwhile=meanwhile
    )
    assert (status, answers[0]) == (0, answers[1])
    assert "is replayed" in shown
    assert "0123456789" not in file.read_text()
    status, shown = command("serve", "--replay", str(tmp_path))
    assert status == 1
    file.write_text("{}")
    status, shown = command("serve", "--replay", str(file))
    assert (status, "is no cassette of version 1" in shown) == (1, True)


def test_recording(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cassette.json"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")

    async def meanwhile(base_url: str) -> None:
        assert (await ask(base_url, "Hi!"))[0] == 502

    arguments = ("record", "--to", str(file), "--port", "0")
    status, shown = command(*arguments, meanwhile=meanwhile)
    assert status == 0
    assert "Recording http://127.0.0.1:1/v1" in shown
    assert "Exchanges written: 0." in shown
    assert Cassette.read(file).exchanges == []
    assert json.loads(file.read_text())["upstream"] == "http://127.0.0.1:1/v1"
    status, shown = command(*arguments, "--redact", "(")
    assert (status, "is no regular expression" in shown) == (1, True)
    status, shown = command("record", "--to", str(tmp_path / "no" / "where.json"))
    assert (status, "cannot be written" in shown) == (1, True)
