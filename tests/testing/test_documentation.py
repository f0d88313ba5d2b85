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


@pytest.mark.parametrize(
    ("page", "count", "mode"),
    [
        ("README.md", 1, "strict"),
        ("README.md", 1, "auto"),
        ("docs/testing.md", 10, "strict"),
        ("docs/unknown.md", 1, "strict"),
    ],
)
def test_the_examples_run(page: str, count: int, mode: str, tmp_path: Path) -> None:
    found = examples(page)
    assert len(found) == count
    for number, code in enumerate(found):
        (tmp_path / f"test_{number}.py").write_text(code, encoding="utf-8")
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
    assert f"{sum(code.count('def test_') for code in found)} passed" in done.stdout
