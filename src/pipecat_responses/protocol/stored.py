"""What a context keeps of responses that a server has stored, to go on from them elsewhere.

With ``store: true`` a response can be continued from by its id over any connection, and in any
process. What the model had seen and said is in the context, but not which response that was. So it
is kept in an item of its own, the ``StoredMark``: the response's id, how many items the model had
seen with a fingerprint of them, and what it put out. It is never sent.

A mark makes a checkpoint of the context in which it stands, if that begins with the very items. The
checkpoint is then compared like every other one. So what has been edited, and an answer of which
only a part was heard, makes a mark worthless and never wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from operator import is_
from typing import Any

from pipecat_responses.protocol.items import (
    CALLS,
    FunctionCall,
    FunctionOutput,
    Item,
    Reasoning,
    make_item,
    original_call,
)
from pipecat_responses.protocol.lanes import Checkpoint
from pipecat_responses.protocol.output import Output, join_texts

STORED = "stored_response"
"""The type of the item in a context."""

_OF_A_CALL = ("type", "id", "call_id", "name", "arguments", "input")
_OF_AN_ITEM = ("type", "id", "call_id")


class StoredMark(Item):
    """A response that a server has stored, and what came before it.

    Attributes:
        response_id: Its id.
        model: The model that it was made with.
        seen: How many items the model had seen.
        fingerprint: The fingerprint of those.
    """

    __slots__ = ("fingerprint", "model", "response_id", "seen")

    def __init__(self, wire: Mapping[str, Any], pieces: Sequence[bytes] | None = None) -> None:
        """Creates a mark from the form that ``mark_wire`` gives."""
        super().__init__(wire, pieces)
        self.response_id = wire.get("response_id")
        self.model = wire.get("model")
        self.seen = wire.get("seen")
        self.fingerprint = wire.get("fingerprint")

    def checkpoint(self, items: Sequence[Item], prints: Fingerprints) -> Checkpoint | None:
        """What the server can continue from, if a conversation begins as the mark says.

        Args:
            items: The conversation's items, a list.
            prints: Works out fingerprints.
        """
        if not isinstance(self.response_id, str) or not isinstance(self.model, str):
            return None
        if not isinstance(self.seen, int) or not 0 < self.seen <= len(items):
            return None
        if prints.of(items, self.seen) != self.fingerprint:
            return None
        output = _read_output(self.wire)
        if output is None:
            return None
        return Checkpoint(self.response_id, self.model, items[: self.seen], output)


def mark_wire(checkpoint: Checkpoint, prints: Fingerprints) -> dict[str, Any] | None:
    """What a context has to keep of a response, or None if it could not be recognised by that.

    Args:
        checkpoint: What the server can continue from after it.
        prints: Works out fingerprints.
    """
    output = checkpoint.output
    others = [*output.reasoning, *output.others]
    if checkpoint.resumed or not all(map(_has_its_id, others)):
        return None
    items = checkpoint.items
    return {
        "type": STORED,
        "response_id": checkpoint.response_id,
        "model": checkpoint.model,
        "seen": len(items),
        "fingerprint": prints.of(items, len(items)),
        "texts": [*output.texts],
        "calls": [_only(call, _OF_A_CALL) for call in output.calls.values()],
        # Whether the API would know it again is all that its content is needed for.
        "reasoning": [
            {**_only(each, _OF_AN_ITEM), "encrypted_content": bool(_content(each))}
            for each in output.reasoning
        ],
        "others": [_only(each, _OF_AN_ITEM) for each in output.others],
    }


class Fingerprints:
    """Fingerprints of conversations.

    Each item's is worked out with that of the items before it, once: the next conversation mostly
    begins with the items of the last one.
    """

    def __init__(self) -> None:
        """Starts with nothing worked out."""
        self._items: Sequence[Item] = ()
        self._prints: list[bytes] = [b""]

    def of(self, items: Sequence[Item], count: int) -> str:
        """The fingerprint of the first items of a conversation.

        Args:
            items: The conversation's items, a list.
            count: How many of them.
        """
        known = min(len(self._items), len(items))
        if not all(map(is_, self._items[:known], items)):
            pairs = zip(self._items, items, strict=False)
            known = next(index for index, (one, other) in enumerate(pairs) if one is not other)
        if len(items) > known or len(self._items) > known:
            del self._prints[known + 1 :]
            self._items = items
        for item in items[len(self._prints) - 1 : count]:
            link = blake2b(self._prints[-1], digest_size=16)
            for piece in item.pieces:
                link.update(piece)
            self._prints.append(link.digest())
        return self._prints[count].hex()


def _read_output(wire: Mapping[str, Any]) -> Output | None:
    """The output that a mark tells of; what an application has made of it need not be one."""
    texts = wire.get("texts")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return None
    lists = [wire.get(name) for name in ("calls", "reasoning", "others")]
    items: list[list[Item]] = []
    for listed in lists:
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            return None
        items.append([_item(each) for each in listed])
    calls = [each for each in items[0] if isinstance(each, FunctionCall)]
    reasoning = [each for each in items[1] if isinstance(each, Reasoning)]
    if len(calls) != len(items[0]) or len(reasoning) != len(items[1]):
        return None
    return Output(
        join_texts(texts),
        {str(call.call_id): call for call in calls},
        tuple(reasoning),
        tuple(items[2]),
        texts=texts,
    )


def _item(wire: Mapping[str, Any]) -> Item:
    return original_call(wire) if wire.get("type") in CALLS else make_item(wire)


def _only(item: Item, names: Sequence[str]) -> dict[str, Any]:
    return {name: item.wire[name] for name in names if name in item.wire}


def _content(reasoning: Reasoning) -> Any:
    return reasoning.wire.get("encrypted_content")


def _has_its_id(item: Item) -> bool:
    """Whether the id of an item says which it is."""
    return bool(item.wire.get("id")) and not isinstance(item, FunctionOutput)
