"""A turnstile for TLS handshakes: one after the other, a moment apart.

When hundreds of calls start at once, or a server comes back that all of them wait for, their
handshakes would be computed in a few stretches of the event loop, which hold up every other call's
audio. A handshake takes a millisecond or two of computing, so let in at that pace they take no
longer in all, and leave room between them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

APART = 0.0025
"""Seconds between two handshakes."""


class Turnstile:
    """Lets in one after the other. Whoever comes alone does not wait."""

    def __init__(self, apart: float = APART, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts open.

        Args:
            apart: Seconds between two.
            clock: Seconds, from anywhere.
        """
        self._apart = apart
        self._clock = clock
        self._next = 0.0

    async def enter(self) -> None:
        """Waits for one's turn."""
        now = self._clock()
        mine = max(now, self._next)
        self._next = mine + self._apart
        if mine > now:
            await asyncio.sleep(mine - now)


HANDSHAKES = Turnstile()
"""The process's own: its event loop is what they share."""
