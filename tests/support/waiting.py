"""Waiting for something that tells nobody when it happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def eventually(condition: Callable[[], object], within: float = 10.0) -> None:
    """Looks again and again until a condition holds.

    Raises:
        TimeoutError: If it does not in time.
    """
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - there is nothing to wait on
            await asyncio.sleep(0.005)
