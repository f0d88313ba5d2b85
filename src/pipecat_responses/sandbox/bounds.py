"""How much a server keeps altogether, whatever number of sessions it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipecat_responses.sandbox.config import SandboxConfig


class Kept(Protocol):
    """Something that grows.

    Attributes:
        bytes: How large it is.
    """

    bytes: int

    def shed(self) -> bool:
        """Drops its oldest entry; False where it has none to spare."""


class Bound:
    """Holds several things that grow to one number of bytes: the largest one gives way."""

    def __init__(self, most: Callable[[], int]) -> None:
        """Begins with nothing to hold.

        Args:
            most: Tells how many bytes they may have together.
        """
        self._most = most
        self._all: list[Kept] = []

    def hold(self, kept: Kept) -> None:
        """Counts something in."""
        self._all.append(kept)

    def release(self, kept: Kept) -> None:
        """Counts something out."""
        self._all = [each for each in self._all if each is not kept]

    def settle(self) -> None:
        """Makes what is held drop as much as is too much."""
        excess = sum(each.bytes for each in self._all) - self._most()
        while excess > 0:
            for each in sorted(self._all, key=lambda each: -each.bytes):
                before = each.bytes
                if each.shed():
                    excess -= before - each.bytes
                    break
            else:
                return


class Bounds:
    """What a server holds together.

    Attributes:
        recorded: Its records.
        stored: Its stored responses and its files.
    """

    def __init__(self, config: SandboxConfig) -> None:
        """Takes the numbers of bytes from a configuration, at any time."""
        self.recorded = Bound(lambda: config.max_recorded_bytes)
        self.stored = Bound(lambda: config.max_stored_bytes)
