"""How far a response has come: one ledger of what it has put out, item by item.

A server says the same thing several times: in deltas, in ``done`` events, in the finished item, in
the terminal event. Some leave one of them out, some contradict themselves, some give no ids. So
each event is looked up here first, and what comes of it is only what was not put out before.

Which item an event is about: the one at its ``output_index``, else the one with its id, else the
newest of its kind that is not finished. An item of the terminal event's list is the one with its
id, else with its call id, else the one at its place, else one that says the same; if there is none,
it is new.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipecat_responses.protocol.encoding import encode, mend_surrogates
from pipecat_responses.protocol.events import ItemAdded, ItemRef, TextDelta, Usage
from pipecat_responses.protocol.items import CALLS, CUSTOM_CALL
from pipecat_responses.protocol.output import output_text, space_between


@dataclass(frozen=True, slots=True)
class Call:
    """A complete function call.

    Attributes:
        call_id: Its id; the item's, if the server gave none.
        name: The function's name.
        arguments: The arguments as JSON text.
        namespace: What the function belongs to, or an empty string.
    """

    call_id: str
    name: str
    arguments: str
    namespace: str = ""


@dataclass(slots=True, eq=False)
class ItemProgress:
    """One item of a response.

    Attributes:
        kind: Its type.
        item_id: Its id, or an empty string.
        call_id: Its call id, or an empty string.
        name: The function's name, or an empty string.
        namespace: What the function belongs to, or an empty string.
        phase: A message's phase (``commentary``, ``final_answer``), or an empty string.
        done: Whether it is finished.
        called: The call that came of it, once one has.
    """

    kind: str
    item_id: str = ""
    call_id: str = ""
    name: str = ""
    namespace: str = ""
    phase: str = ""
    done: bool = False
    called: Call | None = None
    _parts: dict[int, list[str]] = field(default_factory=dict)
    _part: int = 0
    _arguments: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text put out so far."""
        return "".join(map("".join, self._parts.values()))

    @property
    def begun(self) -> bool:
        """Whether any of its text has been put out."""
        return bool(self._parts)

    def learn(self, wire: Mapping[str, Any]) -> None:
        """Takes from an item what is not known of it yet."""
        self.item_id = self.item_id or _text(wire.get("id"))
        self.call_id = self.call_id or _text(wire.get("call_id"))
        self.name = self.name or _text(wire.get("name"))
        self.namespace = self.namespace or _text(wire.get("namespace"))
        self.phase = self.phase or _text(wire.get("phase"))

    def add_text(self, text: str, part: int | None) -> None:
        """A piece of text has been put out."""
        if part is None:
            part = self._part
        else:
            self._part = part
        pieces = self._parts.get(part)
        if pieces is None:
            pieces = self._parts[part] = []
        pieces.append(text)

    def missing_of_part(self, whole: str, part: int | None) -> str:
        """What of a complete part has not been put out."""
        said = "".join(self._parts.get(self._part if part is None else part, ()))
        if part is None and not whole.startswith(said):
            said = self.text
        return _rest(whole, said)

    def missing(self, whole: str) -> str:
        """What of its whole text has not been put out."""
        return _rest(whole, self.text)

    def add_arguments(self, piece: str) -> None:
        """A piece of a call's arguments has come."""
        self._arguments.append(piece)

    def finish(self) -> None:
        """It is complete."""
        self.done = True

    def call(self, given: Any, number: int) -> Call | None:
        """The call, now that its arguments are complete; None if it came before, or has no name.

        Args:
            given: The arguments as the server gives them: text, an object, or nothing.
            number: Where the item stands, for a call without any id.
        """
        if self.called is not None or not self.name:
            return None
        call_id = self.call_id or self.item_id or f"call_{number}"
        self.called = Call(call_id, self.name, self._argument_text(given), self.namespace)
        return self.called

    def _argument_text(self, given: Any) -> str:
        text = given if isinstance(given, str) else ""
        if given is not None and not isinstance(given, str):
            text = encode(given).decode()
        text = text or "".join(self._arguments)
        if self.kind == CUSTOM_CALL:
            return encode({"input": text}).decode()
        return text or "{}"


class ResponseProgress:
    """The ledger of one response. See the module's head.

    Attributes:
        response_id: Its id, once it has begun.
        output: Whether it has put anything out.
        thinks: Whether a thought is under way.
        usage: Its tokens, once the server has said.
    """

    def __init__(self, custom_tools: Collection[str] = ()) -> None:
        """Creates the ledger of a response that has not begun.

        Args:
            custom_tools: The custom tools that run here; calls of others are the server's own.
        """
        self._custom_tools = custom_tools
        self.response_id: str | None = None
        self.output = False
        self.usage: Usage | None = None
        self._items: dict[int, ItemProgress] = {}
        self.thinks = False
        self._last_said: ItemProgress | None = None
        self._last_piece = ""
        self._half = ""

    # -- the response as a whole --------------------------------------------------------------

    @property
    def items(self) -> Sequence[ItemProgress]:
        """Its items, in the order in which they were begun."""
        return list(self._items.values())

    @property
    def all_done(self) -> bool:
        """Whether every item that was begun is finished."""
        return bool(self._items) and all(each.done for each in self._items.values())

    @property
    def is_answered(self) -> bool:
        """Whether what is there may be all there is: all is finished, and the last item speaks."""
        last = next(reversed(self._items.values()), None)
        if last is None or not last.done or not self.all_done:
            return False
        return self.runs_here(last) or (last.kind == "message" and last.phase != "commentary")

    @property
    def ends_with_call(self) -> bool:
        """Whether its last item is a call that the client runs."""
        last = next(reversed(self._items.values()), None)
        return last is not None and self.runs_here(last)

    def runs_here(self, item: ItemProgress) -> bool:
        """Whether an item is a call that the client runs."""
        return item.kind == "function_call" or (
            item.kind == CUSTOM_CALL and item.name in self._custom_tools
        )

    @property
    def is_final(self) -> bool:
        """Whether it is complete for certain: the model has said that this is its final answer."""
        last = next(reversed(self._items.values()), None)
        return last is not None and self.all_done and last.phase == "final_answer"

    @property
    def has_words(self) -> bool:
        """Whether any of its text is more than white space."""
        return any(each.text.strip() for each in self._items.values())

    @property
    def speaker(self) -> ItemProgress | None:
        """The message whose text came last."""
        return self._last_said

    @property
    def speaks(self) -> bool:
        """Whether it is in the middle of a text."""
        # Asked with each delta, and then the newest text is the one.
        last = self._last_said
        if last is not None and last.kind == "message" and not last.done:
            return True
        return any(
            each.kind == "message" and each.begun and not each.done for each in self._items.values()
        )

    def accept(self, response_id: str | None) -> None:
        """The server has accepted the request."""
        self.response_id = response_id or self.response_id

    def end(self, usage: Usage | None) -> None:
        """The terminal event has come."""
        self.usage = usage

    def think(self) -> None:
        """A piece of a thought's summary has come."""
        self.output = self.thinks = True

    def stop_thinking(self) -> bool:
        """Ends a thought.

        Returns:
            Whether one was under way.
        """
        was, self.thinks = self.thinks, False
        return was

    # -- items --------------------------------------------------------------------------------

    def begin_item(self, event: ItemAdded) -> ItemProgress:
        """The model has begun an item."""
        self.output = True
        item = self._find(event.ref, None)
        if item is None or (item.kind and item.kind != event.kind):
            item = self._new(event.kind, event.ref)
        item.call_id = item.call_id or event.call_id
        item.name = item.name or event.name
        item.phase = item.phase or event.phase
        item.namespace = item.namespace or event.namespace
        return item

    def hear(self, event: TextDelta) -> str:
        """A piece of text has come; what comes most takes the short way.

        Returns:
            What is to be said of it: nothing, if the message is complete already.
        """
        text, last = event.text, self._last_said
        if last is None or event.index is None or self._items.get(event.index) is not last:
            last = self.item(ItemRef(event.index, event.item_id), "message")
            return "" if last.done else self.say(last, text, event.part)
        if last.done or not text:
            return ""
        last.add_text(text, event.part)
        self._last_piece = text
        if text.isascii() and not self._half:
            return text
        return self._whole_characters(text)

    def item(self, ref: ItemRef, kind: str) -> ItemProgress:
        """The item that an event is about; a new one if there is none yet."""
        self.output = True
        return self._find(ref, kind) or self._new(kind, ref)

    def finished_item(self, ref: ItemRef, kind: str, wire: Mapping[str, Any]) -> ItemProgress:
        """The item that the server says is complete.

        Without an id or a place it is the one with the same call id or name, else the oldest of
        its kind that is not finished.
        """
        self.output = True
        named = ref.index is not None or bool(ref.item_id)
        found = self._find(ref, kind) if named else None
        if found is None and ref.index is None:
            open_ones = [each for each in self._items.values() if each.kind == kind]
            open_ones = [each for each in open_ones if not each.done]
            open_ones = [each for each in open_ones if not (each.item_id and ref.item_id)]
            alike = [each for each in open_ones if _agrees(each, wire)]
            same = [each for each in alike if each.call_id == _text(wire.get("call_id"))]
            found = next(iter([*same, *alike]), None)
        return found or self._new(kind, ref)

    def begun(self, ref: ItemRef) -> ItemProgress | None:
        """The item that a reference names, if it names one that was begun."""
        return self._find(ref, None)

    def number_of(self, item: ItemProgress) -> int:
        """Where an item stands in the response."""
        return next(number for number, each in self._items.items() if each is item)

    def listed(self, output: Sequence[Any]) -> Iterator[tuple[ItemProgress, Mapping[str, Any]]]:
        """The items of a terminal event's list, each with its progress.

        Args:
            output: The list, as decoded JSON.
        """
        taken: list[ItemProgress] = []
        for place, wire in enumerate(output):
            if not isinstance(wire, Mapping):
                continue
            kind = _text(wire.get("type"))
            item = self._same_as(wire, kind, place, taken)
            if item is None:
                item = self._new(kind, ItemRef(None, ""))
            item.learn(wire)
            taken.append(item)
            yield item, wire

    def _same_as(
        self, wire: Mapping[str, Any], kind: str, place: int, taken: Sequence[ItemProgress]
    ) -> ItemProgress | None:
        at_place = self._items.get(place)
        item_id = wire.get("id")
        if (
            at_place is not None
            and item_id
            and (at_place.kind, at_place.item_id) == (kind, item_id)
        ):
            # As a rule everything is as it should be.
            return at_place
        free = [
            each
            for each in self._items.values()
            if each.kind == kind and not any(each is other for other in taken)
        ]
        for name in ("id", "call_id"):
            given = _text(wire.get(name))
            for each in free:
                if given and given == (each.item_id if name == "id" else each.call_id):
                    return each
        if any(at_place is each for each in free) and _agrees(at_place, wire):
            return at_place
        return next((each for each in free if _says_same(each, wire)), None)

    def _find(self, ref: ItemRef, kind: str | None) -> ItemProgress | None:
        if ref.index is not None:
            found = self._items.get(ref.index)
            if found is not None and kind in (None, found.kind):
                return found
        if ref.item_id:
            for each in self._items.values():
                if each.item_id == ref.item_id:
                    return each
        if ref.index is not None or kind is None:
            return None
        open_ones = [each for each in self._items.values() if each.kind == kind and not each.done]
        unknown = [each for each in open_ones if not (each.item_id and ref.item_id)]
        return unknown[-1] if unknown else None

    def _new(self, kind: str, ref: ItemRef) -> ItemProgress:
        item = ItemProgress(kind, item_id=ref.item_id)
        number = ref.index
        if number is None or number in self._items:
            number = max(self._items, default=-1) + 1
        self._items[number] = item
        return item

    # -- text ---------------------------------------------------------------------------------

    def say(self, item: ItemProgress, text: str, part: int | None) -> str:
        """Puts a piece of text out.

        Args:
            item: The message.
            text: The piece.
            part: The part of the message, if the server said.

        Returns:
            What is to be said: with a space before it where it would run together with the
            message before, and without half a character at its end.
        """
        if not text:
            return ""
        item.add_text(text, part)
        last, self._last_said = self._last_said, item
        before, self._last_piece = self._last_piece, text
        whole = self._whole_characters(text)
        return whole if last is item or last is None else space_between(before, text) + whole

    def _whole_characters(self, text: str) -> str:
        """Joins a character that was sent as two halves (surrogate escapes) in two pieces."""
        text, self._half = self._half + text, ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return mend_surrogates(text)


def _rest(whole: str, said: str) -> str:
    if not said:
        return whole
    return whole[len(said) :] if whole.startswith(said) else ""


def _agrees(item: ItemProgress | None, wire: Mapping[str, Any]) -> bool:
    """Whether an item at the same place may be the same: a call of the same name, some text."""
    return item is not None and (
        item.kind not in CALLS or not item.name or item.name == _text(wire.get("name"))
    )


def _says_same(item: ItemProgress, wire: Mapping[str, Any]) -> bool:
    if item.kind in CALLS:
        called = item.called
        return called is not None and (called.name, called.arguments) == (
            _text(wire.get("name")),
            wire.get("arguments"),
        )
    return item.kind == "message" and bool(item.text) and item.text == output_text(wire)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
