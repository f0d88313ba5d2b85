"""The items a model sees, as a list that many responses share.

Every response continues from another one, so a transcript is a chain: it holds only what was
added, and a reference to what was before. Continuing costs what is new, however long the
conversation; and a fork costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from pipecat_responses.sandbox.text import count_tokens

Item = dict[str, Any]

SERVERS_CALL = "xs_call_"
"""How the call ids begin of what a server ran itself and gives as the call of a custom tool."""

_IMAGE_TOKENS = 85


def runs_at_the_server(item: Item) -> bool:
    """Whether a call needs no output of the client's."""
    return item.get("type") == "custom_tool_call" and item["call_id"].startswith(SERVERS_CALL)


def item_text(item: Item) -> str:
    """All the text of a message or of a tool's output."""
    content = item.get("content", item.get("output", ""))
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "".join(
        part.get("text") or part.get("refusal") or "" for part in content if isinstance(part, dict)
    )


def fingerprint(item: Item) -> tuple[str, ...]:
    """What an item means to the model, whatever its spelling on the wire.

    A message is the same whether its content is a string or parts, and with or without an id.
    """
    kind = item.get("type") or "message"
    match kind:
        case "message":
            return ("message", item["role"], _content_key(item["content"]))
        case "function_call":
            return (kind, item["call_id"], item["name"], item["arguments"])
        case "custom_tool_call":
            return (kind, item["call_id"], item["name"], item["input"])
        case "function_call_output" | "custom_tool_call_output":
            return (kind, item["call_id"], _content_key(item["output"]))
        case "reasoning":
            return (kind, item["id"])
        case _:
            return (kind, msgspec.json.encode(item).decode())


def _content_key(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(
        isinstance(part, dict) and ("text" in part or "refusal" in part) for part in content
    ):
        return "".join(part.get("text") or part.get("refusal") or "" for part in content)
    return msgspec.json.encode(content).decode()


def item_tokens(item: Item) -> int:
    """About how many tokens an item costs; an image costs a flat amount."""
    content = item.get("content")
    images = 0
    if isinstance(content, list):
        images = sum(
            1 for part in content if isinstance(part, dict) and part.get("type") == "input_image"
        )
    match item.get("type"):
        case "function_call":
            return count_tokens(item["name"]) + count_tokens(item["arguments"])
        case "custom_tool_call":
            return count_tokens(item["name"]) + count_tokens(item["input"])
        case "reasoning":
            return sum(count_tokens(part["text"]) for part in item.get("summary") or ())
        case _:
            return count_tokens(item_text(item)) + images * _IMAGE_TOKENS


class Transcript:
    """An immutable chain of items.

    Attributes:
        count: Number of items.
        tokens: Tokens of all items.
        chain: A hash of the meaning of all items in order; equal transcripts have equal chains.
        effort: The reasoning effort that the newest item about it sets; None without one.
        answered: For every call id in the transcript, whether its output is there too.
        ids: The ids of all items that have one.
        parent: The transcript that this one was extended from, or None.
        marks: For each of the items added last, ``(chain, tokens)`` as of that item.
    """

    __slots__ = (
        "_tail",
        "answered",
        "chain",
        "count",
        "effort",
        "ids",
        "marks",
        "parent",
        "tokens",
    )

    def __init__(self) -> None:
        """Begins with nothing."""
        self.parent: Transcript | None = None
        self._tail: tuple[Item, ...] = ()
        self.count = 0
        self.tokens = 0
        self.chain = 0
        self.effort: str | None = None
        self.answered: dict[str, bool] = {}
        self.ids: frozenset[str] = frozenset()
        self.marks: list[tuple[int, int]] = []

    def extend(self, items: Iterable[Item]) -> Transcript:
        """The transcript that has these items after its own."""
        longer = Transcript()
        longer.parent = self
        longer._tail = tuple(items)
        longer.count = self.count + len(longer._tail)
        chain, tokens = self.chain, self.tokens
        longer.effort = self.effort
        calls: dict[str, bool] = {}
        for item in longer._tail:
            chain = hash((chain, fingerprint(item)))
            tokens += item_tokens(item)
            longer.marks.append((chain, tokens))
            kind = item.get("type")
            if kind in ("function_call", "custom_tool_call"):
                calls[item["call_id"]] = runs_at_the_server(item)
            elif kind in ("function_call_output", "custom_tool_call_output"):
                calls[item["call_id"]] = True
            elif kind == "configuration_update":
                longer.effort = (item.get("reasoning") or {}).get("effort", longer.effort)
        longer.chain, longer.tokens = chain, tokens
        longer.answered = {**self.answered, **calls} if calls else self.answered
        ids = [item["id"] for item in longer._tail if isinstance(item.get("id"), str)]
        longer.ids = self.ids.union(ids) if ids else self.ids
        return longer

    def items(self) -> list[Item]:
        """All items, oldest first."""
        newest = list(self.newest_first())
        newest.reverse()
        return newest

    @property
    def added(self) -> tuple[Item, ...]:
        """The items added last: those that are not the parent's."""
        return self._tail

    def marked(self, *, only_added: bool = False) -> list[tuple[int, Item]]:
        """The items with their chains as of each, oldest first.

        Args:
            only_added: Whether to leave out the parent's.
        """
        newest: list[tuple[int, Item]] = []
        link: Transcript | None = self
        while link is not None:
            chains = (chain for chain, _ in reversed(link.marks))
            newest.extend(zip(chains, reversed(link._tail), strict=True))
            link = None if only_added else link.parent
        newest.reverse()
        return newest

    def newest_first(self) -> Iterator[Item]:
        """All items, newest first."""
        link: Transcript | None = self
        while link is not None:
            yield from reversed(link._tail)
            link = link.parent
