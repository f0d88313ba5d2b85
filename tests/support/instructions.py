"""What a model makes of the messages that change its instructions."""

from __future__ import annotations

import re

from pipecat_responses.service.instruction_changes import ADDED, REMOVED, REPLACED, WHOLE


def read_change(held: str, told: str) -> str:
    """The instructions after a message has changed them, with single spaces."""
    for form in (WHOLE, REPLACED, REMOVED, ADDED):
        pattern = re.escape(form)
        for name in ("old", "new"):
            pattern = pattern.replace(rf"\{{{name}\}}", f"(?P<{name}>.*)")
        found = re.fullmatch(pattern, told, re.DOTALL)
        if found is None:
            continue
        parts = {name: _spaced(part) for name, part in found.groupdict().items()}
        new = parts.get("new", "")
        if form is WHOLE:
            return new
        if form is ADDED:
            return f"{held} {new}"
        held = _spaced(held)
        assert held.count(parts["old"]) == 1
        return held.replace(parts["old"], new)
    raise AssertionError(told)


def same_words(one: str | None, other: str | None) -> bool:
    """Whether two texts differ in nothing but white space."""
    return _spaced(one or "") == _spaced(other or "")


def _spaced(text: str) -> str:
    return " ".join(text.split())
