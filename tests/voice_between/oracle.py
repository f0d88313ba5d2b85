"""What a conversation says, word for word: told without any help of the client's.

Letters, digits, accents, currencies and per cent signs count, in their order. Spaces, marks and
markup do not, for every voice writes those down in its own way.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

_KINDS = ("L", "N", "M", "Sc")


@cache
def letters(text: str, dropped: tuple[str, ...] = ()) -> str:
    """What counts of a text.

    Args:
        text: The text.
        dropped: Stretches of it that do not count.
    """
    # The longest first: a link's address begins as another's dropped beginning does.
    for stretch in sorted(dropped, key=len, reverse=True):
        text = text.replace(stretch, "")
    text = unicodedata.normalize("NFC", text)
    return "".join(c for c in text if c == "%" or unicodedata.category(c).startswith(_KINDS))


@dataclass
class Exchange:
    """What one side said, and what came of it.

    Attributes:
        asked: What the user said.
        answered: What the assistant said until the user spoke again.
        calls: The calls made and their results, in no order: a voice writes its text behind them.
    """

    asked: str
    answered: str = ""
    calls: list[tuple[str, ...]] = field(default_factory=list)


def exchanges(items: Iterable[Mapping[str, Any]], dropped: tuple[str, ...] = ()) -> list[Exchange]:
    """Reads messages of Chat Completions or items of the Responses API.

    Args:
        items: The messages or items.
        dropped: Stretches of the assistant's that do not count.
    """
    read: list[Exchange] = []
    for each in items:
        role, kind = each.get("role"), each.get("type", "message")
        if role == "user":
            read.append(Exchange(item_text(each)))
        elif role == "tool":
            read[-1].calls.append(("result", each["tool_call_id"], each["content"]))
        elif kind == "function_call_output":
            read[-1].calls.append(("result", each["call_id"], each["output"]))
        elif kind == "function_call":
            read[-1].calls.append(_call(each["call_id"], each))
        else:
            assert role == "assistant", each
            read[-1].answered += letters(item_text(each), dropped)
            for call in each.get("tool_calls") or ():
                read[-1].calls.append(_call(call["id"], call["function"]))
    for exchange in read:
        exchange.calls.sort()
    return read


def _call(call_id: str, function: Mapping[str, Any]) -> tuple[str, ...]:
    arguments = json.dumps(json.loads(function["arguments"]), sort_keys=True)
    return ("call", call_id, function["name"], arguments)


def item_text(item: Mapping[str, Any]) -> str:
    """The text of a message; empty if it has none."""
    content = item.get("content") or ""
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
