"""Tables whose latest changes can be taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_ABSENT: Any = object()


class RevertibleDict(dict[K, V]):
    """A dict that remembers, for each change, the point it was made at and what was there before.

    Taking changes back costs what is taken back, not what the dict holds. Changes are made by
    ``put`` and ``remove`` only; everything else of a dict is for reading.
    """

    __slots__ = ("_changes",)

    def __init__(
        self,
        values: Mapping[K, V] | None = None,
        changes: list[tuple[int, K, V]] | None = None,
    ) -> None:
        """Creates a table.

        Args:
            values: What it holds.
            changes: The changes that led to it, oldest first. The list becomes the table's own.
        """
        super().__init__(values or {})
        self._changes: list[tuple[int, K, V]] = changes or []

    def put(self, point: int, key: K, value: V) -> None:
        """Sets the value of a key.

        Args:
            point: When, as a number that is never less than that of an earlier change.
            key: The key.
            value: Its value from now on.
        """
        self._changes.append((point, key, self.get(key, _ABSENT)))
        self[key] = value

    def remove(self, point: int, key: K) -> None:
        """Removes a key that is there.

        Args:
            point: When, as a number that is never less than that of an earlier change.
            key: The key.
        """
        self._changes.append((point, key, self.pop(key)))

    def revert(self, point: int) -> None:
        """Takes back all changes that were made at a point or after it.

        Args:
            point: The first point whose changes are taken back.
        """
        changes = self._changes
        while changes and changes[-1][0] >= point:
            _, key, before = changes.pop()
            if before is _ABSENT:
                del self[key]
            else:
                self[key] = before

    def changed_since(self, point: int) -> Iterator[K]:
        """The keys that were changed at a point or after it, the latest first.

        Args:
            point: The first point whose changes count.
        """
        for change in reversed(self._changes):
            if change[0] < point:
                return
            yield change[1]

    def copy(self) -> RevertibleDict[K, V]:
        """A table of its own with the same values and changes."""
        return RevertibleDict(self, self._changes.copy())
