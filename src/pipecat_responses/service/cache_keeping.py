"""Requests whose beginning stays the same when tools, instructions or effort change.

A server's prompt cache keeps what begins as an earlier request did, and a model reads tools and
instructions first. So with each change of them, as at each node of a flow, all that was cached is
lost. Here the beginning is kept: all tools are declared, and a choice says which of them the model
may call (``allowed_tools``); new instructions and another effort stand among the items, at the
place from which on they hold. The application's context knows nothing of that.

What is kept of a conversation is bound to its items. A change whose place is gone, because messages
before it were edited, is made once more behind what there is; a conversation that begins otherwise
begins anew here as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.context.conversion import Conversion
from pipecat_responses.protocol.items import Compaction, FunctionOutput, Item, Message
from pipecat_responses.protocol.tool_choice import ALLOWED, reference
from pipecat_responses.protocol.updates import effort_update, takes_updates
from pipecat_responses.service.instruction_changes import WHOLE, change_of


@dataclass(frozen=True, slots=True)
class _Change:
    """What holds from a place in a conversation on.

    Attributes:
        index: How many of the context's items stand before it.
        behind: The last of those.
        item: The item that says it.
        instructions: The instructions, if it changes those.
        effort: The reasoning effort, if it changes that.
    """

    index: int
    behind: Item | None
    item: Item
    instructions: str | None = None
    effort: str | None = None

    def stands_in(self, items: Sequence[Item]) -> bool:
        """Whether its place is still there."""
        if self.behind is None:
            return True
        if self.index > len(items):
            return False
        behind = items[self.index - 1]
        if isinstance(behind, FunctionOutput) and isinstance(self.behind, FunctionOutput):
            # The result of a function is written over what stood there while it ran.
            return bool(behind.call_id == self.behind.call_id)
        return behind == self.behind


@dataclass(frozen=True, slots=True)
class _Beginning:
    """What a conversation's requests begin with.

    Attributes:
        model: The model.
        instructions: The first instructions.
        effort: The first reasoning effort.
        tools: All tools so far, in the order in which they came.
        changes: What has changed since then.
        items: The context's items at the last request.
    """

    model: str
    instructions: str | None
    effort: str | None
    tools: Sequence[dict[str, Any]]
    changes: tuple[_Change, ...] = ()
    items: Sequence[Item] = ()

    def holds_for(self, model: str, items: Sequence[Item]) -> bool:
        """Whether a request can begin like this."""
        return self.model == model and self.items[:1] == items[:1]

    def placed_in(self, items: Sequence[Item]) -> _Beginning:
        """The same, with the changes whose places are still there."""
        changes: list[_Change] = []
        for change in self.changes:
            if not change.stands_in(items):
                break
            changes.append(change)
        return replace(self, changes=tuple(changes))

    def in_force(self, items: Sequence[Item]) -> tuple[str | None, str | None]:
        """The instructions and the effort as the model reads them; None where that is not sure."""
        instructions, effort = self.instructions, self.effort
        compacted = _compacted(items) if self.changes else 0
        for change in self.changes:
            # Of what a compaction stands for nobody knows how much the model still reads.
            known = change.index >= compacted
            if change.instructions is not None:
                instructions = change.instructions if known else None
            if change.effort is not None:
                effort = change.effort if known else None
        return instructions, effort

    def changed(self, items: Sequence[Item], item: Item, **what: str) -> _Beginning:
        """The same, with something that has come into force since the last request."""
        place = _place(items, self.items)
        if self.changes:
            place = max(place, self.changes[-1].index)
        behind = items[place - 1] if place else None
        return replace(self, changes=(*self.changes, _Change(place, behind, item, **what)))


@dataclass(frozen=True, slots=True)
class Kept:
    """A request that begins as the one before it did.

    Attributes:
        values: Its fields.
        items: Its items, with those that say what has changed.
        message_of: Tells which message of the context an item came from, by index.
    """

    values: dict[str, Any]
    items: list[Item]
    message_of: Callable[[int], int | None]


class CacheKeeping:
    """Keeps what the requests of each conversation begin with."""

    def __init__(
        self,
        model_family: str | None,
        tools: Callable[[], list[dict[str, Any]]],
        *,
        takes_choice: bool = True,
    ) -> None:
        """Begins without any conversation.

        Args:
            model_family: The model behind the settings' name of it, if that is one's own.
            tools: Gives tools that are declared from the first request on, as the API takes them.
            takes_choice: Whether the server is known to heed a choice among the tools. One that
                drops it unsaid would let the model call every tool.
        """
        self._model_family = model_family
        self._tools = tools
        self._takes_choice = takes_choice
        self._known: WeakKeyDictionary[LLMContext, _Beginning] = WeakKeyDictionary()
        # An application may go on with a copy of a context, and drop that.
        self._latest: _Beginning | None = None

    def keep(self, context: LLMContext, values: Mapping[str, Any], conversion: Conversion) -> Kept:
        """What to ask for, so that it begins as the request before it did.

        Args:
            context: The conversation.
            values: The request's fields as they would be without this.
            conversion: What the context says.
        """
        values, items = dict(values), conversion.items
        begun = self._begun(context, values, items)
        begun = self._with_effort(begun, values, items)
        begun = _with_instructions(begun, values, items)
        if self._takes_choice:
            begun = _with_tools(begun, values)
        self._known[context] = self._latest = replace(begun, items=items)
        if not begun.changes:
            return Kept(values, items, conversion.message_of)
        added = [change.index + number for number, change in enumerate(begun.changes)]
        return Kept(
            values,
            list(_inserted(items, begun.changes)),
            _beside(conversion.message_of, added),
        )

    def _begun(
        self, context: LLMContext, values: Mapping[str, Any], items: Sequence[Item]
    ) -> _Beginning:
        """What is known of a conversation; a new context may be a copy of one that is known."""
        model = str(values.get("model"))
        own = self._known.get(context)
        candidates = [own] if own is not None else [self._latest, *self._known.values()]
        fitting = [each for each in candidates if each is not None and each.holds_for(model, items)]
        if fitting:
            placed = [each.placed_in(items) for each in fitting]
            return max(placed, key=lambda each: len(each.changes))
        tools = own.tools if own is not None else self._tools()
        return _Beginning(model, values.get("instructions"), _effort(values), tools)

    def _with_effort(
        self, begun: _Beginning, values: dict[str, Any], items: Sequence[Item]
    ) -> _Beginning:
        effort = _effort(values)
        if (
            effort is None
            or begun.effort is None
            or not takes_updates(self._model_family or begun.model)
        ):
            changes = tuple(each for each in begun.changes if each.effort is None)
            return replace(begun, effort=effort, changes=changes)
        values["reasoning"] = {**values["reasoning"], "effort": begun.effort}
        if effort == begun.in_force(items)[1]:
            return begun
        return begun.changed(items, effort_update(effort), effort=effort)


def _with_instructions(
    begun: _Beginning, values: dict[str, Any], items: Sequence[Item]
) -> _Beginning:
    instructions = values.pop("instructions", None)
    said = begun.in_force(items)[0]
    if instructions is None:
        # Nothing takes the place of those that there were.
        changes = tuple(each for each in begun.changes if each.instructions is None)
        return replace(begun, instructions=None, changes=changes)
    if said != instructions:
        text = change_of(said, instructions) if said else WHOLE.format(new=instructions)
        item = Message({"role": "developer", "content": text})
        begun = begun.changed(items, item, instructions=instructions)
    if begun.instructions is not None:
        values["instructions"] = begun.instructions
    return begun


def _with_tools(begun: _Beginning, values: dict[str, Any]) -> _Beginning:
    offered: list[dict[str, Any]] = list(values.get("tools") or ())
    named = [reference(tool) for tool in offered]
    known = [reference(tool) for tool in begun.tools]
    if None in named or None in known or any(named.count(each) > 1 for each in named):
        # A choice could not name them.
        return begun
    tools = list(begun.tools)
    for name, tool in zip(named, offered, strict=True):
        if name in known:
            # What it is has to be true, even if that costs the cache.
            tools[known.index(name)] = tool
        else:
            tools.append(tool)
    if not tools:
        return begun
    values["tools"] = tools
    if not offered:
        values["tool_choice"] = "none"
    elif len(offered) < len(tools) and values.get("tool_choice", "auto") in ("auto", "required"):
        mode = values.get("tool_choice", "auto")
        values["tool_choice"] = {"type": ALLOWED, "mode": mode, "tools": named}
    return replace(begun, tools=tools)


def _effort(values: Mapping[str, Any]) -> str | None:
    reasoning = values.get("reasoning")
    effort = reasoning.get("effort") if isinstance(reasoning, Mapping) else None
    return effort if isinstance(effort, str) else None


def _place(items: Sequence[Item], before: Sequence[Item]) -> int:
    """Where to say what has changed since a request: before what was put in after it.

    Args:
        items: The context's items.
        before: Those of that request; what the server has of them is not touched.
    """
    place = len(items)
    while place and isinstance(last := items[place - 1], Message) and last.role != "assistant":
        place -= 1
    return max(place, len(before)) if items[: len(before)] == before else place


def _compacted(items: Sequence[Item]) -> int:
    """How many items a compaction stands for, with its own."""
    if Compaction not in set(map(type, items)):
        return 0
    return max(index for index, item in enumerate(items, 1) if isinstance(item, Compaction))


def _inserted(items: Sequence[Item], changes: Iterable[_Change]) -> Iterator[Item]:
    start = 0
    for change in changes:
        yield from items[start : change.index]
        yield change.item
        start = change.index
    yield from items[start:]


def _beside(
    message_of: Callable[[int], int | None], added: Sequence[int]
) -> Callable[[int], int | None]:
    """Which message an item came from, where some items came from none."""

    def found(index: int) -> int | None:
        if index in added:
            return None
        return message_of(index - sum(each < index for each in added))

    return found
