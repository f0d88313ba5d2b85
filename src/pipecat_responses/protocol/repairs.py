"""What has to change in a context's items before the API takes them.

The API looks at a conversation as a whole, and refuses one that breaks its order, at every turn
and for ever after. A context may break it at any time: a call is cancelled, a part is cut off, a
model uses an id again. Three rules are kept by repair:

1. Every call has one output, later than the call. A call that has none gets ``NOT_COMPLETED``
   behind its group of parallel calls; the next conversion looks again. An output whose call did
   not come before it is left out. A second output of a call takes the place of the first, as when
   Pipecat writes a result over its placeholder.
2. A call id belongs to one call. A call that uses it again gets an id of its own, ``<id>_2``, and
   so does its output; outputs of one id answer its calls in their order.
3. A reasoning item comes before what it led to: an output of the model, not something that the
   user or a function said. One that led to nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pipecat_responses.protocol.encoding import encode
from pipecat_responses.protocol.items import (
    FunctionCall,
    FunctionOutput,
    Item,
    Message,
    Reasoning,
    make_item,
)

NOT_COMPLETED = "This function call was not completed, and it has no result."
"""The output that stands in for one that the context lacks."""

CALL_ID_LENGTH = 64
"""The longest ``call_id`` that the API takes."""

_ABSENT: Any = object()
_TABLES = ("_uses", "_waiting", "_latest", "_open", "_ids", "_replaced", "_dropped")


class InputRepairs:
    """The items of a context in order, and the repairs that they need.

    Items are added at the end and cut off at the end. Each entry of a table that an item changed
    is remembered as it was before, so that cutting costs what is cut.
    """

    def __init__(self, warn: Callable[[str], None], note: Callable[[str], None]) -> None:
        """Creates a ledger without items.

        Args:
            warn: Told of each repair that changes what the model reads. It may hear the same
                more than once.
            note: Told of what is left out without harm.
        """
        self._warn = warn
        self._note = note
        self._raw: list[Item] = []
        self._fillers: dict[str, Item] = {}
        # By the id that the context gives: how many calls have it, which of them (by index) wait
        # for their output, and where the output of the last one is that has one.
        self._uses: dict[str, int] = {}
        self._waiting: dict[str, tuple[int, ...]] = {}
        self._latest: dict[str, int] = {}
        # By a call's index: the id that it is sent with, for those without an output.
        self._open: dict[int, str] = {}
        # All ids that calls are sent with.
        self._ids: dict[str, int] = {}
        # By an item's index: what is sent instead of it, and whether nothing is.
        self._replaced: dict[int, Item] = {}
        self._dropped: dict[int, bool] = {}
        self._undo: list[tuple[int, str, Any, Any]] = []

    def __len__(self) -> int:
        """How many items were added, whether or not they are sent."""
        return len(self._raw)

    def truncate(self, length: int) -> None:
        """Forgets all items from an index on.

        Args:
            length: How many items stay, counted as they were added.
        """
        while self._undo and self._undo[-1][0] >= length:
            _, name, key, before = self._undo.pop()
            table = getattr(self, name)
            if before is _ABSENT:
                del table[key]
            else:
                table[key] = before
        del self._raw[length:]

    def copy(self) -> InputRepairs:
        """A ledger of its own with the same items."""
        twin = InputRepairs(self._warn, self._note)
        for name in ("_raw", "_undo", "_fillers", *_TABLES):
            setattr(twin, name, getattr(self, name).copy())
        return twin

    def extend(self, items: Iterable[Item]) -> None:
        """Adds items at the end.

        Args:
            items: The items as the context gives them.
        """
        raw = self._raw
        for entry in items:
            raw.append(entry)
            if isinstance(entry, Message):
                # Most of a conversation is messages that follow messages.
                if entry.role != "assistant" and not isinstance(raw[-2:][0], Message):
                    self._drop_reasoning(len(raw) - 1)
            elif isinstance(entry, FunctionCall):
                self._add_call(len(raw) - 1, entry)
            elif isinstance(entry, FunctionOutput) and self._add_output(len(raw) - 1, entry):
                self._drop_reasoning(len(raw) - 1)

    def items(self) -> list[Item]:
        """All items, in a list of the caller's own, as the API takes them."""
        end = self._reasoning_start(len(self._raw))
        result: list[Item | None] = self._raw[:end]  # type: ignore[assignment]
        for index, entry in self._replaced.items():
            if index < end:
                result[index] = entry
        for index in self._dropped:
            if index < end:
                result[index] = None
        for index in sorted(self._open, reverse=True):
            result.insert(self._group_end(index), self._filler(self._open[index]))
        if self._dropped:
            return [entry for entry in result if entry is not None]
        return result  # type: ignore[return-value]

    def _set(self, index: int, name: str, key: Any, value: Any) -> None:
        table = getattr(self, name)
        self._undo.append((index, name, key, table.get(key, _ABSENT)))
        if value is _ABSENT:
            del table[key]
        else:
            table[key] = value

    def _add_call(self, index: int, call: FunctionCall) -> None:
        given = call.call_id
        if not isinstance(given, str):
            return
        call_id = given
        if given in self._ids:
            self._warn(
                f"The context has {given!r} as the id of more than one function call: the later "
                "ones and their outputs are sent with ids of their own."
            )
            call_id = self._free_id(given)
            self._set(index, "_replaced", index, _with_call_id(call, call_id))
        self._set(index, "_ids", call_id, index)
        self._set(index, "_uses", given, self._uses.get(given, 0) + 1)
        self._set(index, "_waiting", given, (*self._waiting.get(given, ()), index))
        self._set(index, "_open", index, call_id)

    def _free_id(self, call_id: str) -> str:
        number = max(2, self._uses.get(call_id, 0) + 1)
        while True:
            suffix = f"_{number}"
            free = call_id[: CALL_ID_LENGTH - len(suffix)] + suffix
            if free not in self._ids:
                return free
            number += 1

    def _add_output(self, index: int, output: FunctionOutput) -> bool:
        """Takes an output in, and says whether it stays where it is."""
        given = output.call_id
        if not isinstance(given, str):
            return True
        waiting = self._waiting.get(given)
        if waiting:
            call_id = self._open[waiting[0]]
            if call_id != given:
                self._set(index, "_replaced", index, _with_call_id(output, call_id))
            self._set(index, "_open", waiting[0], _ABSENT)
            self._set(index, "_waiting", given, waiting[1:])
            self._set(index, "_latest", given, index)
            return True
        first = self._latest.get(given)
        if first is None:
            self._warn(
                f"The output of the function call {given!r} has no call before it in the "
                "context, which the API refuses: it is left out."
            )
        else:
            self._warn(
                f"The context has more than one output of the function call {given!r}: the last "
                "one is sent, in the place of the first."
            )
            call_id = str(self._replaced.get(first, self._raw[first]).wire["call_id"])
            latest = output if call_id == given else _with_call_id(output, call_id)
            self._set(index, "_replaced", first, latest)
        self._set(index, "_dropped", index, True)
        return False

    def _reasoning_start(self, end: int) -> int:
        """Where the run of reasoning items begins that ends before an index."""
        start = end
        while end > 0:
            end -= 1
            if isinstance(self._raw[end], Reasoning):
                start = end
            elif end not in self._dropped:
                break
        return start

    def _drop_reasoning(self, index: int) -> None:
        for place in range(self._reasoning_start(index), index):
            if place not in self._dropped:
                self._note("A reasoning item that led to nothing is left out of the input.")
                self._set(index, "_dropped", place, True)

    def _group_end(self, index: int) -> int:
        while index < len(self._raw) and isinstance(self._raw[index], FunctionCall):
            index += 1
        return index

    def _filler(self, call_id: str) -> Item:
        filler = self._fillers.get(call_id)
        if filler is None:
            self._warn(
                f"The function call {call_id!r} has no output in the context, which the API "
                "refuses: the model is told that the call was not completed."
            )
            filler = self._fillers[call_id] = FunctionOutput(
                {"type": "function_call_output", "call_id": call_id, "output": NOT_COMPLETED}
            )
        return filler


def _with_call_id(entry: Item, call_id: str) -> Item:
    """The same call or output under another id; what was encoded in pieces stays so."""
    wire = {**entry.wire, "call_id": call_id}
    head = encode({"type": wire.get("type"), "call_id": entry.wire["call_id"]})[:-1]
    first, *rest = entry.pieces
    if not rest or not first.startswith(head):
        return make_item(wire)
    new_head = encode({"type": wire.get("type"), "call_id": call_id})[:-1]
    return make_item(wire, (new_head + first[len(head) :], *rest))
