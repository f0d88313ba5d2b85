"""The examples of the documentation run as they are copied."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def examples(page: str) -> list[str]:
    """The tests among a page's blocks of Python."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "test_" in block
    ]


PAGES = {"README.md": 1, "docs/testing.md": 10, "docs/unknown.md": 1}
"""How many examples with tests a page has."""


@pytest.mark.parametrize(
    ("mode", "pages"), [("strict", tuple(PAGES)), ("auto", ("README.md",))], ids=["strict", "auto"]
)
def test_the_examples_run(mode: str, pages: tuple[str, ...], tmp_path: Path) -> None:
    """All at once, for most of the time goes into starting pytest."""
    found = {page: examples(page) for page in pages}
    assert {page: len(codes) for page, codes in found.items()} == {
        page: PAGES[page] for page in pages
    }
    codes = [(page, code) for page in pages for code in found[page]]
    for number, (page, code) in enumerate(codes):
        file = tmp_path / f"test_{Path(page).stem}_{number}.py"
        file.write_text(code, encoding="utf-8")
    # As in a project of its own, without a configuration.
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nasyncio_mode = {mode}\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout
    assert f"{sum(code.count('def test_') for _, code in codes)} passed" in done.stdout
