"""The pages hang together: links, figures, and a place for each page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.commands import ROOT

OUTSIDE = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
"""Those that MkDocs does not check."""

FIGURES = "<!-- figures of docs/benchmarks.md -->\n\n"
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
_NUMBER = re.compile(r"\d+(?:[ .]\d+)*")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


@pytest.mark.parametrize("name", OUTSIDE)
def test_links_lead_somewhere(name: str) -> None:
    for path, anchor in _LINK.findall((ROOT / name).read_text("utf-8")):
        target = ROOT / (path or name)
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


@pytest.mark.parametrize("name", ["README.md", "docs/index.md"])
def test_figures_are_those_of_the_benchmarks(name: str) -> None:
    measured = {*re.findall(r"[\d. ]*\d", (ROOT / "docs/benchmarks.md").read_text("utf-8"))}
    measured = {figure.strip() for figure in measured}
    tables = (ROOT / name).read_text("utf-8").split(FIGURES)[1:]
    assert tables
    for table in tables:
        for row in table.split("\n\n")[0].splitlines()[2:]:
            for cell in row.split("|")[2:]:
                assert {*_NUMBER.findall(cell)} <= measured, row


def test_each_page_has_one_place() -> None:
    def pages(part: Any) -> list[str]:
        if isinstance(part, str):
            return [part]
        return [
            page
            for each in (part.values() if isinstance(part, dict) else part)
            for page in pages(each)
        ]

    docs = ROOT / "docs"
    placed = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"])
    assert sorted(placed) == sorted(str(page.relative_to(docs)) for page in docs.rglob("*.md"))
