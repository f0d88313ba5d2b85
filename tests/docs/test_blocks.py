"""Every block of the documentation is done, as it stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipecat_responses.sandbox import BackgroundSandbox
from tests.docs.blocks import Page
from tests.docs.commands import ROOT

README = ROOT / "README.md"
PAGES = [
    path
    for path in (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "```" in path.read_text("utf-8")
]
LINE = "```console\n{}\n```\n"
CODE = "```python\n{}\n```\n"
WRONG = {
    "no kind": ("```\nprint(1)\n```\n", "kind ''"),
    "an unknown kind": ("```ruby\nputs 1\n```\n", "kind 'ruby'"),
    "no reason": ("<!-- skip: next -->\n\n```ruby\nputs 1\n```\n", "without a reason"),
    "an old name": (CODE.format("from pipecat_responses import OpenAILLM"), "OpenAILLM"),
    "an old name in a function": (CODE.format("def f():\n    g()\n\n\nf()"), "'g'"),
    "a function nobody calls": (CODE.format("def f():\n    g()"), "never called: {'f, line 2'}"),
    "an error that is logged": (
        CODE.format("from loguru import logger\nlogger.error('went wrong')"),
        "went wrong",
    ),
    "an old argument": (
        CODE.format("from pipecat_responses import TurnLimits\nTurnLimits(first_secs=1)"),
        "first_secs",
    ),
    "other output": (CODE.format("print('one 1')") + "```text\ntwo 2\n```\n", "one 1"),
    "output of nothing": ("```text\ntwo 2\n```\n", "nothing has printed"),
    "a failing test": (CODE.format("def test_it():\n    assert 1 == 2"), "1 == 2"),
    "an old command": (LINE.format("pipecat-responses diagnose"), "diagnose"),
    "an old option": (LINE.format("pipecat-responses serve --delay 3"), "--delay"),
    "an old target": (LINE.format("make talk"), "make talk"),
    "an old option of a target": (LINE.format('make chat ARGS="--speed 3"'), "--speed"),
    "an old variable": (LINE.format("make bench FAST=1"), "FAST"),
    "an old extra": (LINE.format("pip install '.[speech]'"), "speech"),
    "an old extra of Pipecat": (LINE.format("pip install 'pipecat-ai[lip]'"), "lip"),
    "an old option of a program": (LINE.format("python -m benchmarks --fast"), "2"),
    "an old program": (LINE.format("python examples/bot.py"), "bot.py"),
    "an old file": (LINE.format("docker compose -f compose.yaml up"), "compose.yaml"),
    "an unknown program": (LINE.format("pipecat-answers"), "pipecat-answers"),
    "no JSON": ("```json\n{1: 2}\n```\n", "Expecting"),
    "an old key of a scenario": ("```yaml\nanswers: [{sing: la}]\n```\n", "sing"),
    "an old import": ("```diff\n-import json\n+import jason\n```\n", "jason"),
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[BackgroundSandbox]:
    """The server of the blocks that ask one."""
    with BackgroundSandbox() as running:
        yield running


@pytest.mark.parametrize(
    ("path", "mode"),
    [*((path, "strict") for path in PAGES), (README, "auto")],
    ids=lambda value: str(value.relative_to(ROOT)) if isinstance(value, Path) else value,
)
def test_the_blocks_of_a_page(
    path: Path,
    mode: str,
    sandbox: BackgroundSandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", sandbox.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
    with Page(path, tmp_path, mode) as page:
        page.do()


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_block_is_told(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(text, "utf-8")
    with Page(path, tmp_path) as page, pytest.raises((Exception, SystemExit)) as caught:
        page.do()
    assert words in str(caught.value)
