"""Items encoded without holding up the event loop."""

from __future__ import annotations

import asyncio
from typing import Any

from pipecat_responses.context.messages import LEADS_TO, RUN_HERE, WINDOW
from pipecat_responses.protocol.encoding import LARGE_TEXT, encode_in_pieces
from pipecat_responses.protocol.items import (
    CALLS,
    COMPACTION,
    Compaction,
    Item,
    Reasoning,
    make_item,
    original_call,
)
from pipecat_responses.protocol.stored import STORED, StoredMark
from pipecat_responses.protocol.wording import WORDING, Wording


async def encoded(wire: dict[str, Any]) -> Item:
    """The item of a wire form; a large one is encoded in steps between which other work goes on.

    Args:
        wire: The item as the API takes it.

    Raises:
        OverflowError, RecursionError, TypeError, ValueError: If it holds what JSON cannot.
    """
    leads_to = wire.pop(LEADS_TO, None) if wire.get("type") == "reasoning" else None
    run_here = wire.pop(RUN_HERE, False) if wire.get("type") in CALLS else False
    window = wire.pop(WINDOW, None) if wire.get("type") == COMPACTION else None
    pieces: list[bytes] | None = None
    if _is_large(wire):
        pieces = []
        for piece in encode_in_pieces(wire):
            pieces.append(piece)
            await asyncio.sleep(0)
    if leads_to is not None:
        return Reasoning(wire, pieces, leads_to)
    if run_here:
        return original_call(wire, pieces)
    if isinstance(window, int):
        return Compaction(wire, pieces, window)
    if wire.get("type") == WORDING:
        return Wording(wire, pieces)
    if wire.get("type") == STORED:
        return StoredMark(wire, pieces)
    return make_item(wire, pieces)


def _is_large(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) >= LARGE_TEXT
    if isinstance(value, dict):
        return any(map(_is_large, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_is_large, value))
    return False
