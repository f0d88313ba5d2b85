"""Files that clients have uploaded, as far as the input of responses needs them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipecat_responses.sandbox.errors import ApiError
from pipecat_responses.sandbox.transcript import Item

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")


@dataclass(frozen=True)
class File:
    """One file.

    Attributes:
        name: Its name.
        purpose: What it was uploaded for.
        content: What is in it.
        expires_after: Seconds after which it is gone; None for a file that stays.
        id: Its id.
        created_at: When it was uploaded, in seconds since the epoch.
    """

    name: str
    purpose: str
    content: bytes = field(repr=False)
    expires_after: int | None = None
    id: str = field(default_factory=lambda: f"file-{uuid.uuid4().hex[:24]}")
    created_at: int = field(default_factory=lambda: int(time.time()))

    @property
    def expires_at(self) -> int | None:
        """When it is gone, in seconds since the epoch."""
        return None if self.expires_after is None else self.created_at + self.expires_after

    def body(self) -> dict[str, Any]:
        """The file as the API gives it."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class Files:
    """All files there are; beyond a maximum number, the oldest are dropped.

    Attributes:
        bytes: How large they are.
    """

    def __init__(self) -> None:
        """Begins with none."""
        self._all: dict[str, File] = {}
        self.bytes = 0

    def clear(self) -> None:
        """Deletes all of them."""
        self._all.clear()
        self.bytes = 0

    def add(self, file: File, *, maximum: int) -> None:
        """Keeps a file, and makes room for it."""
        self._all[file.id] = file
        self.bytes += len(file.content)
        while len(self._all) > maximum:
            self._drop(next(iter(self._all)))

    def shed(self) -> bool:
        """Drops the oldest file; False when there is no other than that."""
        if len(self._all) <= 1:
            return False
        self._drop(next(iter(self._all)))
        return True

    def all(self) -> list[File]:
        """All of them, oldest first."""
        self._expire()
        return list(self._all.values())

    def find(self, file_id: str, *, param: str = "id") -> File:
        """Finds a file.

        Args:
            file_id: Its id.
            param: What the id was given as.

        Raises:
            ApiError: 404, when there is none of that id.
        """
        self._expire()
        file = self._all.get(file_id)
        if file is None:
            raise ApiError(f"No such File object: {file_id}", status=404, param=param)
        return file

    def delete(self, file_id: str) -> None:
        """Deletes a file.

        Raises:
            ApiError: 404, when there is none of that id.
        """
        self._drop(self.find(file_id).id)

    def check_named(self, items: list[Item]) -> None:
        """Checks that the files that items name are there.

        Raises:
            ApiError: 404 for the first that is not.
        """
        for file_id, param in _named(items):
            self.find(file_id, param=param)

    def _expire(self) -> None:
        now = time.time()
        for file in tuple(self._all.values()):
            if file.expires_at is not None and file.expires_at <= now:
                self._drop(file.id)

    def _drop(self, file_id: str) -> None:
        self.bytes -= len(self._all.pop(file_id).content)


def _named(items: Iterable[Item]) -> Iterator[tuple[str, str]]:
    """Every id of a file among items, and its place."""
    for index, item in enumerate(items):
        for name in ("content", "output"):
            parts = item.get(name)
            for number, part in enumerate(parts if isinstance(parts, list) else ()):
                if isinstance(part, dict) and part.get("file_id"):
                    yield part["file_id"], f"input[{index}].{name}[{number}].file_id"
