"""What has to change in a context's items before the API takes them.

The API looks at a conversation as a whole, and refuses one that breaks its order, at every turn
and for ever after. A context may break it at any time: a call is cancelled, a part is cut off, a
model uses an id again. Five rules are kept by repair:

1. Every call has one output, later than the call. A call that has none gets ``NOT_COMPLETED``
   behind its group of parallel calls; the next conversion looks again. An output whose call did
   not come before it is left out. A second output of a call takes the place of the first, as when
   Pipecat writes a result over its placeholder.
2. A call id belongs to one call. A call that uses it again gets an id of its own, ``<id>_2``, and
   so does its output; outputs of one id answer its calls in their order.
3. A call that is kept as the model put it out stands for what Pipecat made of it: that is left out,
   and its output is sent in the call's own kind.
4. What the assistant has said goes up as the messages that the model had put out, as far as that is
   known (``wording``).
5. A reasoning item comes right before what it led to: an output of the model, not something that
   the user or a function said. One that led to nothing is left out. Pipecat writes calls and text
   down when they are over, so where it is known what an item led to (``Reasoning.leads_to``), it is
   put there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeVar

from pipecat_responses.protocol.encoding import encode
from pipecat_responses.protocol.items import (
    CUSTOM_OUTPUT,
    TEXT,
    ApplicationCall,
    ApplicationOutput,
    ApprovalRequest,
    ApprovalResponse,
    CustomCall,
    CustomOutput,
    FunctionCall,
    FunctionOutput,
    Item,
    Message,
    Reasoning,
    make_item,
    original_call,
)
from pipecat_responses.protocol.revertible import RevertibleDict
from pipecat_responses.protocol.stored import StoredMark
from pipecat_responses.protocol.wording import Wording, put_into_words

NOT_COMPLETED = "This function call was not completed, and it has no result."
"""The output that stands in for one that the context lacks."""

COMPUTER = "computer_call"

CALL_ID_LENGTH = 64
"""The longest ``call_id`` that the API takes."""

T = TypeVar("T")
U = TypeVar("U")

_NOTHING: Any = object()


@dataclass(slots=True, eq=False)
class _Tables:
    """What is known of the items added so far; each table remembers what an item changed in it."""

    # By the id that the context gives: how many calls have it, which of them (by index) wait for
    # their output, and where the output of the last one is that has one.
    uses: RevertibleDict[str, int] = field(default_factory=RevertibleDict)
    waiting: RevertibleDict[str, tuple[int, ...]] = field(default_factory=RevertibleDict)
    latest: RevertibleDict[str, int] = field(default_factory=RevertibleDict)
    # By a call's index: the id that it is sent with, for those without an output.
    open: RevertibleDict[int, str] = field(default_factory=RevertibleDict)
    # By call id: the calls as the model put them out whose counterpart of Pipecat's has not come.
    originals: RevertibleDict[str, int] = field(default_factory=RevertibleDict)
    # All ids that calls are sent with.
    ids: RevertibleDict[str, int] = field(default_factory=RevertibleDict)
    # By an item's index: what is sent instead of it, the index of the item that this is made from
    # if it is another one, and whether nothing is sent.
    replaced: RevertibleDict[int, Item] = field(default_factory=RevertibleDict)
    moved: RevertibleDict[int, int] = field(default_factory=RevertibleDict)
    dropped: RevertibleDict[int, bool] = field(default_factory=RevertibleDict)
    # What reasoning led to that has not come yet (by index), the reasoning that waits for each,
    # and before which item it stands once that has come.
    waits_for: RevertibleDict[int, str] = field(default_factory=RevertibleDict)
    awaited: RevertibleDict[str, tuple[int, ...]] = field(default_factory=RevertibleDict)
    before: RevertibleDict[int, int] = field(default_factory=RevertibleDict)
    # By a text's index: the messages that are sent instead of it. And where the latest wordings
    # are, of what the assistant has said since anybody else has.
    worded: RevertibleDict[int, Sequence[Item]] = field(default_factory=RevertibleDict)
    wordings: RevertibleDict[int, bool] = field(default_factory=RevertibleDict)
    # Where the marks of stored responses are.
    marks: RevertibleDict[int, bool] = field(default_factory=RevertibleDict)

    def revert(self, length: int) -> None:
        """Forgets what the items from an index on have changed."""
        self.uses.revert(length)
        self.waiting.revert(length)
        self.latest.revert(length)
        self.open.revert(length)
        self.originals.revert(length)
        self.ids.revert(length)
        self.replaced.revert(length)
        self.moved.revert(length)
        self.dropped.revert(length)
        self.waits_for.revert(length)
        self.awaited.revert(length)
        self.before.revert(length)
        self.worded.revert(length)
        self.wordings.revert(length)
        self.marks.revert(length)

    def reach_back(self, point: int, before: int) -> bool:
        """Whether an item from an index on has changed what is sent of those before another.

        Args:
            point: The index of the first item whose changes count.
            before: The index up to which they count.
        """
        return any(
            index < before for table in self._by_index() for index in table.changed_since(point)
        )

    def _by_index(self) -> Sequence[RevertibleDict[int, Any]]:
        return (
            self.open,
            self.replaced,
            self.dropped,
            self.waits_for,
            self.before,
            self.worded,
        )

    def copy(self) -> _Tables:
        return _Tables(
            self.uses.copy(),
            self.waiting.copy(),
            self.latest.copy(),
            self.open.copy(),
            self.originals.copy(),
            self.ids.copy(),
            self.replaced.copy(),
            self.moved.copy(),
            self.dropped.copy(),
            self.waits_for.copy(),
            self.awaited.copy(),
            self.before.copy(),
            self.worded.copy(),
            self.wordings.copy(),
            self.marks.copy(),
        )


class InputRepairs:
    """The items of a context in order, and the repairs that they need.

    Items are added at the end and cut off at the end, and cutting costs what is cut.
    """

    def __init__(
        self,
        warn: Callable[[str], None],
        note: Callable[[str], None],
        *,
        like: InputRepairs | None = None,
    ) -> None:
        """Creates a ledger.

        Args:
            warn: Told of each repair that changes what the model reads. It may hear the same
                more than once.
            note: Told of what is left out without harm.
            like: A ledger to begin with the items of, or None to begin without any.
        """
        self._warn = warn
        self._note = note
        self._raw: list[Item] = [] if like is None else like._raw.copy()
        self._fillers: dict[tuple[type[Item], str], Item] = (
            {} if like is None else like._fillers.copy()
        )
        self._tables: _Tables = _Tables() if like is None else like._tables.copy()
        # What is sent of the items up to the latest that were not the model's: a turn arranges only
        # what is new in it. And how many items that is made of.
        self._settled: list[Item] = [] if like is None else like._settled.copy()
        self._settled_until: int = 0 if like is None else like._settled_until

    def __len__(self) -> int:
        """How many items were added, whether or not they are sent."""
        return len(self._raw)

    def truncate(self, length: int) -> None:
        """Forgets all items from an index on.

        Args:
            length: How many items stay, counted as they were added.
        """
        if length < len(self._raw):
            self._unsettle(length)
            self._tables.revert(length)
            del self._raw[length:]

    def copy(self) -> InputRepairs:
        """A ledger of its own with the same items."""
        return InputRepairs(self._warn, self._note, like=self)

    def extend(self, items: Iterable[Item]) -> None:
        """Adds items at the end.

        Args:
            items: The items as the context gives them.
        """
        raw = self._raw
        begin = len(raw)
        for kind, run in groupby(items, type):
            start = len(raw)
            raw.extend(run)
            for index in range(start, len(raw)):
                self._look_at(index, raw[index])
                if kind is Message and not self._tables.awaited and not self._tables.wordings:
                    # Most of a conversation is messages, and one behind another needs no look.
                    break
        self._unsettle(begin)

    def _look_at(self, index: int, entry: Item) -> None:
        """Repairs what an item that was added makes necessary."""
        if isinstance(entry, Message):
            self._add_message(index, entry)
            if entry.role != "assistant":
                self._drop_reasoning(index)
        elif isinstance(entry, FunctionCall):
            self._add_call(index, entry)
        elif isinstance(entry, Reasoning) and entry.leads_to is not None:
            self._add_reasoning(index, entry.leads_to)
        elif isinstance(entry, Wording):
            self._tables.dropped.put(index, index, True)
            self._tables.wordings.put(index, index, True)
            self._put_into_words(index)
        elif isinstance(entry, StoredMark):
            self._tables.dropped.put(index, index, True)
            self._tables.marks.put(index, index, True)
        elif isinstance(entry, FunctionOutput) and self._add_output(index, entry):
            self._drop_reasoning(index)

    @property
    def in_place(self) -> bool:
        """Whether each item is sent in the place where it was added, and nothing is put between."""
        tables = self._tables
        return not (
            tables.replaced or tables.dropped or tables.open or tables.before or tables.waits_for
        )

    def items(self) -> list[Item]:
        """All items, in a list of the caller's own, as the API takes them."""
        end = self._reasoning_start(len(self._raw))
        if self.in_place:
            return self._raw[:end]
        self._settle()
        return self._settled + self._sent(self._settled_until, end)

    def marks(self) -> list[StoredMark]:
        """What is kept of stored responses, the oldest first."""
        found = (self._raw[index] for index in self._tables.marks)
        return [each for each in found if isinstance(each, StoredMark)]

    def origins(self) -> list[int | None]:
        """Where each of ``items()`` comes from.

        Returns:
            For each item the index of the added one that gives what it says, counted as they were
            added; None for an output that stands in for one that was never added.
        """
        tables = self._tables
        end = self._reasoning_start(len(self._raw))
        worded = {index: [index] * len(texts) for index, texts in tables.worded.items()}
        return self._arranged(list(range(end)), 0, tables.moved, worded, lambda _: None)

    def _settle(self) -> None:
        """Arranges for good what comes before the latest item that was not the model's."""
        # Not by the last item: what the user says may be said otherwise in the next copy.
        start, end = self._settled_until, len(self._raw) - 2
        # Reasoning that is sent before what came after that goes with it.
        before = self._tables.before
        moved = [(index, before.get(index, 0)) for index in set(before.changed_since(start))]
        while end > start:
            entry = self._raw[end]
            over = [index for index, target in moved if index < end <= target]
            if over:
                end = min(over)
            elif isinstance(entry, Message) and entry.role != "assistant":
                self._settled += self._sent(start, end)
                self._settled_until = end
                return
            else:
                end -= 1

    def _unsettle(self, point: int) -> None:
        """What items from an index on have changed may have been arranged already."""
        settled = self._settled_until
        # The message itself belongs to what was settled: it ends a group of calls.
        if settled and (point <= settled or self._tables.reach_back(point, settled)):
            self._settled, self._settled_until = [], 0

    def _sent(self, start: int, end: int) -> list[Item]:
        tables = self._tables
        return self._arranged(
            self._raw[start:end], start, tables.replaced, tables.worded, self._filler
        )

    def _arranged(
        self,
        sent: list[T],
        start: int,
        replaced: Mapping[int, T],
        worded: Mapping[int, Sequence[T]],
        filler: Callable[[int], U],
    ) -> list[T | U]:
        """Repairs a list that has one value for each item added, from one on.

        Args:
            sent: The values, up to the last item that is sent. The list is used up.
            start: The index of the item that the first value is for.
            replaced: By index, the values that take the place of others.
            worded: By index, the values of which several may take the place of one.
            filler: Gives the value of an output that stands in, by its call's index.
        """
        result: list[Any] = sent
        end = start + len(sent)
        tables = self._tables

        def among(table: RevertibleDict[int, Any]) -> list[int]:
            # An item changes what is sent of those before it, never of those behind it.
            changed = set(table.changed_since(start))
            return sorted(index for index in changed if start <= index < end and index in table)

        for index in among(tables.replaced):
            if index in replaced:
                result[index - start] = replaced[index]
        # What is put in before an item: more messages of the text before it, an output that stands
        # in for the group before it, then the reasoning that led to it.
        put_in: list[tuple[int, int, int, Any]] = [
            (self._group_end(index), 1, index, filler(index)) for index in among(tables.open)
        ]
        for index in among(tables.worded):
            first, *more = worded[index]
            result[index - start] = first
            put_in += [(index + 1, 0, number, each) for number, each in enumerate(more)]
        taken_out = among(tables.dropped) + among(tables.waits_for)
        for index in among(tables.before):
            target = tables.before[index]
            if target < end:
                put_in.append((target, 2, index, result[index - start]))
                taken_out.append(index)
        for index in taken_out:
            result[index - start] = _NOTHING
        for place, _, _, value in sorted(put_in, key=_place, reverse=True):
            result.insert(place - start, value)
        if taken_out:
            return [value for value in result if value is not _NOTHING]
        return result

    def _add_reasoning(self, index: int, leads_to: str) -> None:
        tables = self._tables
        tables.waits_for.put(index, index, leads_to)
        tables.awaited.put(index, leads_to, (*tables.awaited.get(leads_to, ()), index))

    def _add_message(self, index: int, message: Message) -> None:
        if message.role != "assistant":
            # Whatever the model was about to say, it has not said it.
            if TEXT in self._tables.awaited:
                self._tables.awaited.remove(index, TEXT)
            for place in list(self._tables.wordings):
                self._tables.wordings.remove(index, place)
        else:
            self._put_reasoning_before(index, TEXT)
            if self._tables.wordings:
                self._put_into_words(index)

    def _put_into_words(self, index: int) -> None:
        """A text or its wording has come: what the assistant has said is read anew."""
        texts: list[int] = []
        for place in range(index, -1, -1):
            entry = self._raw[place]
            if isinstance(entry, Message):
                if entry.role != "assistant":
                    break
                texts.insert(0, place)
        said = [self._raw[place] for place in texts]
        wordings = [self._raw[place] for place in sorted(self._tables.wordings)]
        worded = put_into_words(
            [each for each in said if isinstance(each, Message)],
            [each for each in wordings if isinstance(each, Wording)],
        )
        for place, messages in zip(texts, worded, strict=True):
            self._tables.worded.put(index, place, messages)

    def _put_reasoning_before(self, index: int, what: str) -> None:
        """What reasoning led to has come."""
        tables = self._tables
        if what not in tables.awaited:
            return
        waiting = tables.awaited[what]
        tables.awaited.remove(index, what)
        for place in waiting:
            tables.waits_for.remove(index, place)
        if waiting != tuple(range(index - len(waiting), index)):
            for place in waiting:
                tables.before.put(index, place, index)

    def _add_call(self, index: int, call: FunctionCall) -> None:
        given = call.call_id
        if not isinstance(given, str):
            return
        tables = self._tables
        if not call.original and given in tables.originals:
            tables.originals.remove(index, given)
            tables.dropped.put(index, index, True)
            return
        self._put_reasoning_before(index, given)
        call_id = given
        if given in tables.ids and isinstance(call, ApprovalRequest):
            tables.dropped.put(index, index, True)
            return
        if given in tables.ids:
            self._warn(
                f"The context has {given!r} as the id of more than one function call: the later "
                "ones and their outputs are sent with ids of their own."
            )
            call_id = self._free_id(given)
            tables.replaced.put(index, index, _with_call_id(call, call_id))
        if call.original:
            tables.originals.put(index, given, index)
        tables.ids.put(index, call_id, index)
        tables.uses.put(index, given, tables.uses.get(given, 0) + 1)
        tables.waiting.put(index, given, (*tables.waiting.get(given, ()), index))
        if call.wire.get("type") == COMPUTER:
            # What it has seen cannot be made up: without it, it has not been asked.
            tables.dropped.put(index, index, True)
        elif not _is_of_the_servers_shell(call):
            tables.open.put(index, index, call_id)

    def _free_id(self, call_id: str) -> str:
        number = max(2, self._tables.uses.get(call_id, 0) + 1)
        while True:
            suffix = f"_{number}"
            free = call_id[: CALL_ID_LENGTH - len(suffix)] + suffix
            if free not in self._tables.ids:
                return free
            number += 1

    def _add_output(self, index: int, output: FunctionOutput) -> bool:
        """Takes an output in, and says whether it stays where it is."""
        given = output.call_id
        if not isinstance(given, str):
            return True
        tables = self._tables
        waiting = tables.waiting.get(given)
        if waiting:
            call = self._raw[waiting[0]]
            call_id = tables.open.get(waiting[0], given)
            custom = isinstance(call, CustomCall)
            if custom or call_id != given:
                tables.replaced.put(index, index, _output_of(output, call_id, custom=custom))
            if call.wire.get("type") == COMPUTER:
                tables.dropped.remove(index, waiting[0])
            elif waiting[0] in tables.open:
                tables.open.remove(index, waiting[0])
            tables.waiting.put(index, given, waiting[1:])
            tables.latest.put(index, given, index)
            return True
        first = tables.latest.get(given)
        if isinstance(output, ApplicationOutput):
            # The application has written it down, and answers for it.
            return True
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
            sent = tables.replaced.get(first, self._raw[first])
            assert isinstance(sent, FunctionOutput)
            call_id = str(sent.call_id)
            custom = isinstance(sent, CustomOutput)
            same = call_id == given and not custom
            latest = output if same else _output_of(output, call_id, custom=custom)
            tables.replaced.put(index, first, latest)
            tables.moved.put(index, first, index)
        tables.dropped.put(index, index, True)
        return False

    def _reasoning_start(self, end: int) -> int:
        """Where the run of reasoning items begins that ends before an index."""
        start = end
        while end > 0:
            end -= 1
            if isinstance(self._raw[end], Reasoning):
                start = end
            elif end not in self._tables.dropped:
                break
        return start

    def _drop_reasoning(self, index: int) -> None:
        for place in range(self._reasoning_start(index), index):
            if place not in self._tables.dropped:
                self._note("A reasoning item that led to nothing is left out of the input.")
                self._tables.dropped.put(index, place, True)

    def _group_end(self, index: int) -> int:
        while index < len(self._raw) and isinstance(self._raw[index], FunctionCall):
            index += 1
        return index

    def _filler(self, index: int) -> Item:
        call_id = self._tables.open[index]
        if isinstance(self._raw[index], ApprovalRequest):
            return self._declined(call_id)
        if isinstance(self._raw[index], ApplicationCall):
            return self._not_completed(str(self._raw[index].wire.get("type")), call_id)
        kind = CustomOutput if isinstance(self._raw[index], CustomCall) else FunctionOutput
        filler = self._fillers.get((kind, call_id))
        if filler is None:
            self._warn(
                f"The function call {call_id!r} has no output in the context, which the API "
                "refuses: the model is told that the call was not completed."
            )
            name = CUSTOM_OUTPUT if kind is CustomOutput else "function_call_output"
            filler = self._fillers[kind, call_id] = kind(
                {"type": name, "call_id": call_id, "output": NOT_COMPLETED}
            )
        return filler

    def _not_completed(self, kind: str, call_id: str) -> Item:
        """The output of a shell or a patch that the application has not written down."""
        filler = self._fillers.get((ApplicationOutput, call_id))
        if filler is None:
            self._warn(f"A {kind} has no output in the context: it counts as not completed.")
            name = f"{kind}_output"
            wire: dict[str, Any] = {"type": name, "call_id": call_id, "output": NOT_COMPLETED}
            if kind == "local_shell_call":
                wire = {"type": name, "id": call_id, "output": NOT_COMPLETED}
            elif kind == "apply_patch_call":
                wire["status"] = "failed"
            elif kind == "shell_call":
                outcome = {"type": "exit", "exit_code": 1}
                wire["output"] = [{"stdout": "", "stderr": NOT_COMPLETED, "outcome": outcome}]
            filler = self._fillers[ApplicationOutput, call_id] = ApplicationOutput(wire)
        return filler

    def _declined(self, request_id: str) -> Item:
        filler = self._fillers.get((ApprovalResponse, request_id))
        if filler is None:
            self._warn("Nobody has answered a request for approval of an MCP call: it is declined.")
            filler = self._fillers[ApprovalResponse, request_id] = ApprovalResponse(
                {
                    "type": "mcp_approval_response",
                    "approval_request_id": request_id,
                    "approve": False,
                }
            )
        return filler


def _place(put_in: tuple[int, int, int, Any]) -> tuple[int, int, int]:
    return put_in[:3]


def _is_of_the_servers_shell(call: FunctionCall) -> bool:
    environment = call.wire.get("environment")
    local = isinstance(environment, Mapping) and environment.get("type") == "local"
    return call.wire.get("type") == "shell_call" and not local


def _with_call_id(call: FunctionCall, call_id: str) -> Item:
    """The same call under another id."""
    wire = {**call.wire, "call_id": call_id}
    build = original_call if call.original else make_item
    return build(wire, _with_head(call, wire))


def _output_of(output: FunctionOutput, call_id: str, *, custom: bool) -> Item:
    """The same output for another call, or in the kind of a custom tool's."""
    kind = {"type": CUSTOM_OUTPUT} if custom else {}
    wire = {**output.wire, **kind, "call_id": call_id}
    build = CustomOutput if custom else make_item
    return build(wire, _with_head(output, wire))


def _with_head(entry: Item, wire: Mapping[str, Any]) -> tuple[bytes, ...] | None:
    """The pieces of an item under another head; what was encoded in pieces stays so."""
    head = encode({"type": entry.wire.get("type"), "call_id": entry.wire["call_id"]})[:-1]
    first, *rest = entry.pieces
    if not rest or not first.startswith(head):
        return None
    new_head = encode({"type": wire.get("type"), "call_id": wire["call_id"]})[:-1]
    return (new_head + first[len(head) :], *rest)
