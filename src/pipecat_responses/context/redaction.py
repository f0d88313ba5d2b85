"""Messages for a log, without what nobody can read."""

from __future__ import annotations

from typing import Any

LONG = 100
"""Characters of an opaque string that a log shows."""

_BINARY = frozenset({"audio", "data", "encrypted_content", "file_data"})


def redacted(value: Any, longest: int | None = None) -> Any:
    """A copy of a value without binary data and encrypted reasoning.

    Args:
        value: A message, or what it holds.
        longest: Characters of any other string that stay, or None for all.
    """
    if isinstance(value, str):
        if value.startswith("data:"):
            return value[:LONG].partition(",")[0] + ",..."
        if longest is not None and len(value) > longest:
            return f"{value[:longest]}...({len(value)} chars)"
        return value
    if isinstance(value, (bytes, bytearray)):
        return "..."
    if isinstance(value, dict):
        return {
            key: "..." if key in _BINARY and isinstance(entry, str) else redacted(entry, longest)
            for key, entry in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redacted(entry, longest) for entry in value]
    return value
