"""The lines a person has typed before, in a file of theirs."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_state_path
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from pipecat_responses.sandbox.redaction import Redactor

KEPT_BYTES = 256 * 1024
"""What is kept of a longer file when it is opened: its end."""


def open_history(secrets: tuple[str, ...] = ()) -> History:
    """The history of the chat, which nobody else can read.

    Args:
        secrets: What is never written, besides what looks like a key.

    Returns:
        It, or one that is forgotten at the end where no file can be written.
    """
    path = user_state_path("pipecat-responses", appauthor=False) / "history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _prepare(path)
    except OSError:
        return InMemoryHistory()
    return _Discreet(path, secrets)


def _prepare(path: Path) -> None:
    """Makes the file, for its owner only, and shortens it if it has grown long.

    Raises:
        OSError: If that is not possible.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with open(descriptor, "r+b") as file:
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, 0o600)
        if path.stat().st_size > 2 * KEPT_BYTES:
            file.seek(-KEPT_BYTES, os.SEEK_END)
            # An entry begins behind an empty line.
            kept = file.read().partition(b"\n\n")[2]
            file.seek(0)
            file.truncate()
            file.write(b"\n" + kept)


class _Discreet(FileHistory):
    """Does not write what has a key in it; it is remembered until the chat ends."""

    def __init__(self, path: Path, secrets: tuple[str, ...]) -> None:
        super().__init__(path)
        self._secrets = secrets
        self._redactor = Redactor()

    def store_string(self, string: str) -> None:
        if any(secret in string for secret in self._secrets):
            return
        if self._redactor.text(string) == string:
            super().store_string(string)
