"""Checks of the built site: what a page loads comes from the site itself."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError


class _Loaded(HTMLParser):
    """Collects what a page makes a browser load from another host."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # An <a> is followed only when somebody clicks it.
        if tag == "a":
            return
        given = dict(attrs)
        if "mermaid" in (given.get("class") or "").split():
            self.outside.append("the renderer of Mermaid")
        for name in ("src", "srcset", "href", "data", "poster"):
            value = given.get(name) or ""
            if value.startswith(("http:", "https:", "//")) and given.get("rel") != "canonical":
                self.outside.append(value)


def on_post_build(config: Any) -> None:
    """Fails the build if a page loads anything from outside."""
    for page in sorted(Path(config["site_dir"]).rglob("*.html")):
        loaded = _Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        if loaded.outside:
            raise PluginError(f"{page} loads from outside: {', '.join(loaded.outside)}")
