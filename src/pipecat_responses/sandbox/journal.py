"""What the sandbox saw, as a list that does not grow for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import SupportsIndex, TypeVar

import msgspec

from pipecat_responses.sandbox.config import SandboxConfig

T = TypeVar("T")


def size_of(message: object) -> int:
    """The bytes of a JSON value."""
    return len(msgspec.json.encode(message))


class Journal(list[T]):
    """A list that drops its oldest entries when there are too many, or too large ones.

    Attributes:
        dropped: How many it has dropped: the number of its first entry, counted from 0.
    """

    def __init__(self, config: SandboxConfig, size: Callable[[T], int] = lambda _: 0) -> None:
        """Begins with nothing.

        Args:
            config: Says how much is kept: ``max_recorded`` and ``max_recorded_bytes``.
            size: The bytes of an entry.
        """
        super().__init__()
        self._config = config
        self._size = size
        self._bytes = 0
        self.dropped = 0

    def append(self, entry: T, /) -> None:
        """Adds an entry. The newest one is always kept."""
        super().append(entry)
        self._bytes += self._size(entry)
        config = self._config
        surplus = max(0, len(self) - max(1, config.max_recorded))
        kept = self._bytes - sum(self._size(each) for each in self[:surplus])
        while kept > config.max_recorded_bytes and surplus < len(self) - 1:
            kept -= self._size(self[surplus])
            surplus += 1
        if surplus:
            self._bytes = kept
            self.dropped += surplus
            super().__delitem__(slice(0, surplus))

    def extend(self, entries: Iterable[T], /) -> None:
        """Adds entries."""
        for entry in entries:
            self.append(entry)

    def clear(self) -> None:
        """Forgets everything, and counts from 0 again."""
        super().clear()
        self._bytes = self.dropped = 0

    def __delitem__(self, index: SupportsIndex | slice, /) -> None:
        """Forgets entries, which count as if they had never been there."""
        gone = self[index] if isinstance(index, slice) else [self[index]]
        self._bytes -= sum(self._size(each) for each in gone)
        super().__delitem__(index)
