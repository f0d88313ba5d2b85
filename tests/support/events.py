"""What a service tells its application."""

from __future__ import annotations

import asyncio
from typing import Any


def told(llm: Any, event: str) -> asyncio.Queue[Any]:
    """Everything that comes with an event of a service, in order, from now on."""
    heard: asyncio.Queue[Any] = asyncio.Queue()

    async def note(_: Any, value: Any) -> None:
        heard.put_nowait(value)

    llm.add_event_handler(event, note)
    return heard
