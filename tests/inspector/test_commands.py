"""``inspect``, and ``chat --inspect``."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipecat_responses.cli.commands import app
from pipecat_responses.inspector.files import encode_lines, head_line
from tests.test_cli import talk


def session_file(folder: Path) -> Path:
    file = folder / "call.jsonl"
    header = {"name": "llm", "started": 0.0, "words": True}
    lines = [{"seq": 1, "at": 0.5, "record": "turn", "turn": 1, "messages": 1, "items": 1}]
    file.write_bytes(head_line(header, words=True) + encode_lines(lines))
    return file


def invoke(patch: pytest.MonkeyPatch, *arguments: str) -> Any:
    # It would silence the log of the tests that follow.
    patch.setattr("pipecat_responses.cli.logs.set_up_logs", lambda **_: None)
    return CliRunner().invoke(app, ["inspect", *arguments])


def test_a_file_is_shown_until_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[str] = []
    addresses: list[str] = []

    async def until_stopped() -> None:
        url = addresses[-1] + "api/sessions"
        answers.append(await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode()))

    def show(*words: object, **options: Any) -> None:
        addresses.extend(re.findall(r"http://\S+", " ".join(map(str, words))))
        print(*words, **options)

    monkeypatch.setattr("pipecat_responses.cli.inspect.until_stopped", until_stopped)
    monkeypatch.setattr("pipecat_responses.cli.inspect.print", show, raising=False)
    done = invoke(monkeypatch, str(session_file(tmp_path)))
    assert done.exit_code == 0, done.output
    assert '"name":"llm"' in answers[0]


@pytest.mark.parametrize(
    ("content", "why"), [("hello\n", "no JSON object"), (None, "cannot be read")]
)
def test_what_cannot_be_shown_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, why: str
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)
    done = invoke(monkeypatch, str(file))
    assert done.exit_code == 1
    assert why in done.output


async def test_a_chat_with_an_inspector() -> None:
    status, shown = await talk("hello", inspect=True)
    assert status == 0
    assert re.search(r"See what happens: http://127\.0\.0\.1:\d+/[\w-]{32}/", shown.out)
