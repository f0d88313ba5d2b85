"""History: what is known of a context's messages from one conversion to the next."""

from __future__ import annotations

from itertools import accumulate, chain, islice
from typing import Any

from pipecat_responses.context.snapshots import equal
from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.repairs import InputRepairs

_BLOCK = 256
"""Messages that are compared at a time, to find the first that differs."""


class Entry:
    """A message that was converted.

    Attributes:
        snapshot: The message as it was.
        items: The items it gives.
    """

    __slots__ = ("__weakref__", "items", "snapshot")

    def __init__(self, snapshot: Any, items: tuple[Item, ...]) -> None:
        """Creates an entry.

        Args:
            snapshot: The message as it was.
            items: The items it gives.
        """
        self.snapshot = snapshot
        self.items = items


class History:
    """A context's messages as they were when it was last converted.

    Attributes:
        version: Another number after every change.
        entries: One for each message. The list is replaced, never changed.
    """

    def __init__(self, ledger: InputRepairs) -> None:
        """Creates a history without messages.

        Args:
            ledger: Keeps the items of the messages. It is the history's own from now on.
        """
        self.version = 0
        self.entries: list[Entry] = []
        self._ledger = ledger
        self._snapshots: list[Any] = []
        self._ends: list[int] = []

    def common(self, messages: list[Any], begin: int = 0) -> int:
        """Up to which message all are as they were, in their places.

        Args:
            messages: The messages as they are.
            begin: The first one to look at.

        Returns:
            The index of the first one from there on that is not as it was.
        """
        length = min(len(messages), len(self._snapshots))
        for start in range(begin, length, _BLOCK):
            stop = min(start + _BLOCK, length)
            if not equal(self._snapshots[start:stop], messages[start:stop]):
                while start < stop and equal(self._snapshots[start], messages[start]):
                    start += 1
                if start < stop:
                    return start
        return max(begin, length)

    def items(self) -> list[Item]:
        """The items of all messages, in a list of the caller's own, as the API takes them."""
        return self._ledger.items()

    def become(self, entries: list[Entry], same: int) -> None:
        """Takes over the entries of another state of the context.

        Args:
            entries: One for each message.
            same: How many of them, from the first on, are known to be in place.
        """
        length = min(len(entries), len(self.entries))
        while same < length and entries[same] is self.entries[same]:
            same += 1
        self._cut(same)
        self.version += 1
        self.entries = entries
        added = entries[same:]
        counts = (len(entry.items) for entry in added)
        self._ends.extend(islice(accumulate(counts, initial=len(self._ledger)), 1, None))
        self._snapshots.extend([entry.snapshot for entry in added])
        self._ledger.extend(chain.from_iterable([entry.items for entry in added]))

    def fork(self, length: int) -> History:
        """A history of its own that begins with the same messages.

        Args:
            length: How many they are.
        """
        fork = History(self._ledger.copy())
        fork.entries = self.entries[:length]
        fork._snapshots = self._snapshots.copy()
        fork._ends = self._ends.copy()
        fork._cut(length)
        return fork

    def _cut(self, length: int) -> None:
        self._ledger.truncate(self._ends[length - 1] if length else 0)
        del self._snapshots[length:], self._ends[length:]
