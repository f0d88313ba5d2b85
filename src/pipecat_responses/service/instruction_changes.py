"""How new instructions are said behind earlier ones that the model still reads.

Instructions of a flow's nodes mostly have a long part in common. What has changed is then said by
the very words that no longer hold and those that take their place; where that would not be clear,
or no shorter, the new instructions are said as a whole.
"""

from __future__ import annotations

import re

WHOLE = "From here on, these instructions take the place of all earlier ones:\n\n{new}"
REPLACED = (
    "From here on, this part of the instructions no longer holds:\n\n{old}\n\n"
    "This takes its place:\n\n{new}"
)
REMOVED = "From here on, this part of the instructions no longer holds:\n\n{old}"
ADDED = "From here on, this holds beside the instructions so far:\n\n{new}"

_PIECES = re.compile(r"(?<=\n)|(?<=[.!?] )")
"""Where a line or a sentence ends."""


def change_of(old: str, new: str) -> str:
    """What to tell a model of new instructions.

    Args:
        old: The instructions that it has.
        new: Those that hold from here on.
    """
    whole = WHOLE.format(new=new)
    part = _part(old, new)
    return part if part is not None and len(part) < len(whole) else whole


def _part(old: str, new: str) -> str | None:
    """What has changed, or None if it cannot be said as one part."""
    before, after = _PIECES.split(old), _PIECES.split(new)
    most = min(len(before), len(after))
    start = 0
    while start < most and before[start] == after[start]:
        start += 1
    end = 0
    while end < most - start and before[-1 - end] == after[-1 - end]:
        end += 1
    if not start and not end:
        return None
    if start + end == len(before) and end:
        # What comes in between is tied to what stands before it, or behind.
        start, end = (start - 1, end) if start else (start, end - 1)
    gone = "".join(before[start : len(before) - end]).strip()
    come = "".join(after[start : len(after) - end]).strip()
    if not gone:
        return ADDED.format(new=come) if come else None
    if old.count(gone) != 1:
        # It would not be clear which is meant.
        return None
    return REPLACED.format(old=gone, new=come) if come else REMOVED.format(old=gone)
