"""Messages that were converted, and the contexts that consist of them."""

from __future__ import annotations

from itertools import accumulate, chain, islice
from typing import Any

from pipecat_responses.context.snapshots import unchanged
from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.repairs import InputRepairs
from pipecat_responses.protocol.stored import StoredMark

_BLOCK = 256
"""Messages that are compared at a time, to find the first that differs."""


class ConvertedMessage:
    """A message that was converted.

    Attributes:
        snapshot: The message as it was.
        items: The items it gives.
    """

    __slots__ = ("__weakref__", "items", "snapshot")

    def __init__(self, snapshot: Any, items: tuple[Item, ...]) -> None:
        """Creates a converted message.

        Args:
            snapshot: The message as it was.
            items: The items it gives.
        """
        self.snapshot = snapshot
        self.items = items


class ConvertedContext:
    """A context as it was when it was last converted.

    Attributes:
        version: Another number after every change.
        messages: The context's messages. The list only ever grows: where a message has changed,
            another list takes its place.
    """

    def __init__(
        self,
        repairs: InputRepairs,
        messages: list[ConvertedMessage] | None = None,
        snapshots: list[Any] | None = None,
        ends: list[int] | None = None,
    ) -> None:
        """Creates a converted context. All arguments are its own from now on.

        Args:
            repairs: Holds the items of the messages.
            messages: The messages, or None without any.
            snapshots: The snapshot of each message.
            ends: For each message, how many items it and those before it have.
        """
        self.version = 0
        self.messages = messages or []
        self._repairs = repairs
        # Kept apart from the messages, since lists compare at the speed of C.
        self._snapshots = snapshots or []
        self._ends = ends or []

    def unchanged_until(self, messages: list[Any], begin: int = 0, *, behind: int = 0) -> int:
        """Up to which message all are as they were, in their places.

        Args:
            messages: The messages as they are.
            begin: The index of the first one to look at.
            behind: How many others stand before them in the context.

        Returns:
            The index of the first one from there on that is not as it was.
        """
        known = self._snapshots
        length = min(len(messages), len(known) - behind)
        for start in range(begin, length, _BLOCK):
            stop = min(start + _BLOCK, length)
            if not unchanged(known[behind + start : behind + stop], messages[start:stop]):
                while start < stop and unchanged(known[behind + start], messages[start]):
                    start += 1
                if start < stop:
                    return start
        return max(begin, length)

    @property
    def in_place(self) -> bool:
        """Whether the API takes the items as they stand."""
        return self._repairs.in_place

    def marks(self) -> list[StoredMark]:
        """What the messages keep of stored responses, the oldest first."""
        return self._repairs.marks()

    def items(self) -> list[Item]:
        """The items of all messages, in a list of the caller's own, as the API takes them."""
        return self._repairs.items()

    def update(self, messages: list[ConvertedMessage], start: int = 0) -> None:
        """Takes over the messages of another state of the context.

        Args:
            messages: What takes the place of all messages from an index on.
            start: That index.
        """
        known = self.messages
        same = start
        for old, new in zip(known[start:], messages, strict=False):
            if old is not new:
                break
            same += 1
        added = messages[same - start :]
        self._repairs.truncate(self._ends[same - 1] if same else 0)
        del self._snapshots[same:], self._ends[same:]
        self.version += 1
        if same < len(known):
            self.messages = known[:same]
        self.messages.extend(added)
        items = [message.items for message in added]
        counts = map(len, items)
        self._ends.extend(islice(accumulate(counts, initial=len(self._repairs)), 1, None))
        self._snapshots.extend([message.snapshot for message in added])
        self._repairs.extend(chain.from_iterable(items))

    def fork(self, length: int) -> ConvertedContext:
        """A converted context of its own that begins with the same messages.

        Args:
            length: How many they are.
        """
        ends = self._ends[:length]
        repairs = self._repairs.copy()
        repairs.truncate(ends[-1] if ends else 0)
        return ConvertedContext(repairs, self.messages[:length], self._snapshots[:length], ends)
