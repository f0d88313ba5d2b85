"""The examples of the documentation run as they are copied."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def examples(page: str) -> list[str]:
    """The tests among a page's blocks of Python."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "test_" in block
    ]


PAGES = {"README.md": 1, "docs/testing.md": 9, "docs/unknown.md": 1}
"""How many examples with tests a page has."""


def test_the_examples_run(tmp_path: Path) -> None:
    """All at once, for most of the time goes into starting pytest."""
    found = {page: examples(page) for page in PAGES}
    assert {page: len(codes) for page, codes in found.items()} == PAGES
    codes = [(page, code) for page in PAGES for code in found[page]]
    for number, (page, code) in enumerate(codes):
        file = tmp_path / f"test_{Path(page).stem}_{number}.py"
        file.write_text(code, encoding="utf-8")
    # As in a project of its own, without a configuration.
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
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
