"""What Pipecat writes for a function that still runs, and which items will change with it."""

from __future__ import annotations

from collections.abc import Sequence

from pipecat_responses.protocol.items import FunctionCall, FunctionOutput, Item

IN_PROGRESS = "IN_PROGRESS"
"""The output that Pipecat writes for a call until its result is there."""


def settled(items: Sequence[Item]) -> Sequence[Item]:
    """The part of a conversation that will not be changed in place any more.

    Pipecat writes the result of a function over ``IN_PROGRESS``. What a server is asked to
    remember must end before the call: from there on it would be wrong once the result is there.

    Args:
        items: The items of a conversation.

    Returns:
        The items before the first call that still runs; the same sequence if there is none.
    """
    for index, item in enumerate(items):
        if isinstance(item, FunctionOutput) and item.wire.get("output") == IN_PROGRESS:
            return items[: _first_use(items[:index], item.call_id)]
    return items


def _first_use(items: Sequence[Item], call_id: object) -> int:
    """The index of the first call or output with a call id, or the end if there is none."""
    for index, item in enumerate(items):
        if isinstance(item, (FunctionCall, FunctionOutput)) and item.call_id == call_id:
            return index
    return len(items)
