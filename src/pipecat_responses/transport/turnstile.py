"""A turnstile: what takes the event loop a while is let in one after the other.

When hundreds of calls start at once, or a server comes back that all of them wait for, their
handshakes and requests would be computed in a few long stretches, which hold up every other call's
audio. Let in at the pace at which they can be computed they take no longer in all, and leave room
between them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary


class Turnstile:
    """Lets in one for each step of the event loop. Whoever comes alone does not wait."""

    def __init__(self, apart: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts open.

        Args:
            apart: Seconds between two, at least.
            clock: Seconds, from anywhere.
        """
        self._apart = apart
        self._clock = clock
        self._last = -apart
        self._queues: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )

    async def enter(self) -> None:
        """Waits for one's turn.

        On an event loop that is behind with its work nobody is let in sooner to make up for it.
        """
        loop = asyncio.get_running_loop()
        queue = self._queues.setdefault(loop, asyncio.Lock())
        await queue.acquire()
        try:
            pause = self._last + self._apart - self._clock()
            if pause > 0:
                await asyncio.sleep(pause)
            self._last = self._clock()
        finally:
            # The next one comes with another step of the loop.
            loop.call_soon(queue.release)


HANDSHAKES = Turnstile(apart=0.002)
"""For TLS, which takes a millisecond or two on either side of the server's answer."""

REQUESTS = Turnstile()
"""For requests over HTTP, which the SDK takes a millisecond to put together."""
