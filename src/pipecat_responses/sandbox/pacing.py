"""When tokens are due."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

_BURST = 32


class Pacer:
    """Waits for tokens to become due, on an absolute schedule.

    A wait that comes back late does not delay the tokens after it: those that are due by then
    are let through at once. So the pace holds however coarse the timers are.
    """

    def __init__(
        self,
        first: float,
        rate: float | None,
        *,
        beat: Callable[[], Awaitable[None]] | None = None,
        beat_secs: float = math.inf,
    ) -> None:
        """Starts the clock.

        Args:
            first: Seconds until the first token.
            rate: Tokens per second after that; None, 0 or infinity for all at once.
            beat: Is awaited again and again while a wait goes on.
            beat_secs: Seconds before each time.
        """
        self._loop = asyncio.get_running_loop()
        self._first_due = self._loop.time() + first
        self._interval = 0.0 if not rate or math.isinf(rate) else 1.0 / rate
        self._tokens = 0
        self._unbroken = 0
        self._waiter: asyncio.Future[None] | None = None
        self._interrupted = False
        self._beat = beat
        self._beat_secs = beat_secs

    async def first(self) -> None:
        """Waits until the first token is due."""
        await self._until(self._first_due)

    async def token(self) -> None:
        """Waits until the next token is due."""
        await self._until(self._first_due + self._tokens * self._interval)
        self._tokens += 1

    async def pause(self, seconds: float) -> None:
        """Waits, and shifts what is due by as much."""
        await self._until(self._loop.time() + seconds)
        self._first_due += seconds

    def interrupt(self) -> None:
        """Ends the wait that is going on, and all later ones."""
        self._interrupted = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _until(self, due: float) -> None:
        if self._interrupted:
            return
        if due <= self._loop.time():
            self._unbroken += 1
            if self._unbroken >= _BURST:
                # Everybody else on the loop gets a turn: other lanes, and messages coming in.
                self._unbroken = 0
                await asyncio.sleep(0)
            return
        self._unbroken = 0
        while self._beat is not None and self._loop.time() + self._beat_secs < due:
            await self._sleep(self._loop.time() + self._beat_secs)
            if self._interrupted:
                return
            await self._beat()
        await self._sleep(due)

    async def _sleep(self, due: float) -> None:
        self._waiter = self._loop.create_future()
        timer = self._loop.call_at(due, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
