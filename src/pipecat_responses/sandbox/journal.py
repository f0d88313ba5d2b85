"""What the sandbox saw, as a list that does not grow for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import SupportsIndex, TypeVar

import msgspec

from pipecat_responses.sandbox.bounds import Bound
from pipecat_responses.sandbox.config import SandboxConfig

T = TypeVar("T")


def size_of(message: object) -> int:
    """The bytes of a JSON value."""
    return len(msgspec.json.encode(message))


class Journal(list[T]):
    """A list that drops its oldest entries when there are too many, or too large ones.

    Attributes:
        bytes: How large its entries are.
        dropped: How many it has dropped: the number of its first entry, counted from 0.
    """

    def __init__(
        self, config: SandboxConfig, bound: Bound, size: Callable[[T], int] = lambda _: 0
    ) -> None:
        """Begins with nothing.

        Args:
            config: Says how many entries are kept: ``max_recorded``.
            bound: How large all journals may be together.
            size: The bytes of an entry.
        """
        super().__init__()
        self._config = config
        self._bound = bound
        self._size = size
        self.bytes = 0
        self.dropped = 0
        bound.hold(self)

    def append(self, entry: T, /) -> None:
        """Adds an entry. The newest one is always kept."""
        super().append(entry)
        self.bytes += self._size(entry)
        if (surplus := len(self) - max(1, self._config.max_recorded)) > 0:
            self._drop(surplus)
        self._bound.settle()

    def shed(self) -> bool:
        """Drops the oldest entry; False when there is no other than that."""
        if len(self) <= 1:
            return False
        self._drop(1)
        return True

    def _drop(self, count: int) -> None:
        del self[:count]
        self.dropped += count

    def extend(self, entries: Iterable[T], /) -> None:
        """Adds entries."""
        for entry in entries:
            self.append(entry)

    def clear(self) -> None:
        """Forgets everything, and counts from 0 again."""
        super().clear()
        self.bytes = self.dropped = 0

    def __delitem__(self, index: SupportsIndex | slice, /) -> None:
        """Forgets entries, which count as if they had never been there."""
        gone = self[index] if isinstance(index, slice) else [self[index]]
        self.bytes -= sum(self._size(each) for each in gone)
        super().__delitem__(index)
