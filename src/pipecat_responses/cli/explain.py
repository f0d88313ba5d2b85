"""Errors by name: the sections of ``errors.md``, which the documentation shows as a page."""

from __future__ import annotations

import difflib
import sys
from importlib.resources import files

from rich.console import Console
from rich.markdown import Markdown

_HEADING = "### "


def sections() -> dict[str, str]:
    """What there is to say about each error, as Markdown, by its name."""
    page = files("pipecat_responses.cli").joinpath("errors.md").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    name = None
    for line in page.splitlines():
        if line.startswith("#"):
            name = line.removeprefix(_HEADING) if line.startswith(_HEADING) else None
        elif name is not None:
            found[name] = f"{found.get(name, '')}{line}\n"
    return {name: text.strip() for name, text in found.items()}


def run(name: str | None) -> int:
    """Prints what there is to say about an error.

    Args:
        name: Its name, or None for all names.

    Returns:
        The exit status.
    """
    known = sections()
    if name is None:
        print("\n".join(known))
        return 0
    text = known.get(name)
    if text is None:
        near = difflib.get_close_matches(name, known, n=1)
        meant = f" Did you mean {near[0]}?" if near else ""
        print(
            f"No error has the name {name}.{meant} All names: pipecat-responses explain",
            file=sys.stderr,
        )
        return 1
    out = Console()
    out.print(Markdown(f"# {name}\n\n{text}"), width=min(out.width, 100))
    return 0
