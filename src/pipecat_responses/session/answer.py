"""From the events of a response to what comes of a turn.

A turn has one :class:`Answer`, which grows over all its attempts: words that were said stay said,
calls that are complete run once. Each attempt has a :class:`Stream`, which knows how far its
response has come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipecat_responses.protocol.encoding import encode
from pipecat_responses.protocol.errors import Failure, ResponsesError
from pipecat_responses.protocol.events import (
    ArgumentsDone,
    Created,
    Event,
    ItemAdded,
    ItemDone,
    Refused,
    Status,
    Terminal,
    TextDelta,
    TextDone,
    ThoughtDelta,
    Usage,
    text_of,
)
from pipecat_responses.protocol.items import Item, make_item
from pipecat_responses.protocol.splice import Splice
from pipecat_responses.session.turn_events import (
    CompleteCall,
    ItemStart,
    OutputItem,
    Text,
    ThoughtEnd,
    ThoughtText,
    TurnDone,
    TurnEvent,
)


@dataclass(slots=True)
class Stream:
    """How far the response of one attempt has come.

    Attributes:
        response_id: Its id, once it has begun.
        output: Whether it has put anything out.
        usage: Its tokens, once the server has said.
        text: Its text so far, in pieces.
        text_done: How many characters of it belong to parts that are complete.
        open: The items that it has begun and not finished, by id.
        finished: How many items it has finished.
        thinking: Whether a thought's summary is under way.
        reasoning: Reasoning items that have not led to anything yet.
    """

    response_id: str | None = None
    output: bool = False
    usage: Usage | None = None
    text: list[str] = field(default_factory=list)
    text_done: int = 0
    open: dict[str, ItemAdded] = field(default_factory=dict)
    finished: int = 0
    thinking: bool = False
    reasoning: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def all_done(self) -> bool:
        """Whether every item that was begun is finished."""
        return self.finished > 0 and not self.open


class Answer:
    """What a turn has put out so far.

    Attributes:
        kept: Its reasoning items.
        called: Its complete calls by call id.
    """

    def __init__(self) -> None:
        """Creates an answer of which nothing is there yet."""
        self.kept: list[Item] = []
        self.called: dict[str, CompleteCall] = {}
        self._said: list[str] = []
        self._splice: Splice | None = None

    @property
    def said(self) -> str:
        """The text that was put out to be spoken."""
        return "".join(self._said)

    @property
    def has_words(self) -> bool:
        """Whether any of that text is more than white space."""
        return any(text.strip() for text in self._said)

    def resume(self) -> None:
        """The next stream goes on where the text stops; what it repeats is not said again."""
        self._splice = Splice(self.said)

    def take(self, event: Event, stream: Stream) -> list[TurnEvent]:
        """Takes an event in.

        Args:
            event: The event.
            stream: The stream it belongs to.

        Returns:
            What comes of it; :class:`TurnDone` if it ends the turn.

        Raises:
            ResponsesError: If it is a failure, or ends the turn with nothing to show for it.
        """
        outputs: list[TurnEvent] = []
        if isinstance(event, TextDelta):
            stream.text.append(event.text)
            self._say(event.text, stream, outputs)
        elif isinstance(event, ThoughtDelta):
            stream.output = stream.thinking = True
            if event.text:
                outputs.append(ThoughtText(event.text))
        elif isinstance(event, Created):
            stream.response_id = event.response_id
        elif isinstance(event, ItemAdded):
            stream.output = True
            stream.open[event.item_id] = event
            if event.kind != "message":
                outputs.append(ItemStart(is_call=event.kind in _CALLS))
        elif isinstance(event, TextDone):
            self._catch_up(event.text, stream, outputs)
        elif isinstance(event, ArgumentsDone):
            added = stream.open.get(event.item_id)
            if added is not None and added.call_id and added.name:
                self._call(
                    CompleteCall(added.call_id, added.name, event.arguments), stream, outputs
                )
        elif isinstance(event, ItemDone):
            self._item_done(event, stream, outputs)
        elif isinstance(event, Terminal):
            self._terminal(event, stream, outputs)
        elif isinstance(event, Refused):
            raise event.error
        return outputs

    def _say(self, text: str, stream: Stream, outputs: list[TurnEvent]) -> None:
        stream.output = True
        if self._splice is not None:
            text = self._splice.feed(text)
        if text:
            self._led_to_something(stream, outputs)
            self._said.append(text)
            outputs.append(Text(text))

    def _catch_up(self, whole: str, stream: Stream, outputs: list[TurnEvent]) -> None:
        """Says what the deltas left out (some servers send none)."""
        streamed = "".join(stream.text)[stream.text_done :]
        if len(whole) > len(streamed) and whole.startswith(streamed):
            missing = whole[len(streamed) :]
            stream.text.append(missing)
            self._say(missing, stream, outputs)
        stream.text_done = sum(map(len, stream.text))

    def _item_done(self, event: ItemDone, stream: Stream, outputs: list[TurnEvent]) -> None:
        stream.output = True
        stream.open.pop(event.item_id, None)
        stream.finished += 1
        if event.kind == "reasoning":
            _end_thought(stream, outputs)
            # Kept back until it has led to something: alone, the API would refuse it ever after.
            stream.reasoning.append(event.item)
        else:
            self._maybe_call(event.item, stream, outputs)

    def _maybe_call(self, wire: Any, stream: Stream, outputs: list[TurnEvent]) -> None:
        called = _read_call(wire)
        if called is not None:
            self._call(called, stream, outputs)

    def _call(self, called: CompleteCall, stream: Stream, outputs: list[TurnEvent]) -> None:
        if called.call_id not in self.called:
            self._led_to_something(stream, outputs)
            self.called[called.call_id] = called
            outputs.append(called)

    def _led_to_something(self, stream: Stream, outputs: list[TurnEvent]) -> None:
        _end_thought(stream, outputs)
        for wire in stream.reasoning:
            # Without its encrypted content the API would not know it again.
            if wire.get("encrypted_content"):
                self.kept.append(make_item(wire))
                outputs.append(OutputItem(wire))
        stream.reasoning.clear()

    def _terminal(self, event: Terminal, stream: Stream, outputs: list[TurnEvent]) -> None:
        stream.usage = event.usage
        _end_thought(stream, outputs)
        if event.status is Status.FAILED:
            assert event.error is not None
            raise event.error
        if not stream.text:
            self._say(text_of(event.output), stream, outputs)
        if event.status is Status.COMPLETED:
            for wire in event.output or ():
                self._maybe_call(wire, stream, outputs)
        self._finish_splice(stream, outputs)
        silent = not self.called and not "".join(stream.text).strip()
        if silent and (event.status is Status.COMPLETED or not self.has_words):
            raise _nothing_said(event)
        outputs.append(
            TurnDone(event.status, event.reason, event.usage, event.model, event.response_id)
        )

    def _finish_splice(self, stream: Stream, outputs: list[TurnEvent]) -> None:
        splice, self._splice = self._splice, None
        if splice is not None:
            self._say(splice.finish(), stream, outputs)


_CALLS = ("function_call", "custom_tool_call")


def _end_thought(stream: Stream, outputs: list[TurnEvent]) -> None:
    if stream.thinking:
        stream.thinking = False
        outputs.append(ThoughtEnd())


def _read_call(wire: Any) -> CompleteCall | None:
    if not isinstance(wire, Mapping) or wire.get("status") == "incomplete":
        return None
    kind = wire.get("type")
    call_id, name = wire.get("call_id"), wire.get("name")
    if not isinstance(call_id, str) or not isinstance(name, str) or not call_id or not name:
        return None
    if kind == "function_call":
        arguments = wire.get("arguments")
        return CompleteCall(call_id, name, arguments) if isinstance(arguments, str) else None
    if kind == "custom_tool_call":
        text = wire.get("input")
        return (
            CompleteCall(call_id, name, encode({"input": text}).decode())
            if isinstance(text, str)
            else None
        )
    return None


def _nothing_said(event: Terminal) -> ResponsesError:
    if event.status is Status.INCOMPLETE:
        return ResponsesError(
            f"The response ended before it said anything: {event.reason or 'no reason given'}",
            failure=Failure.CONTENT,
            response_id=event.response_id,
        )
    return ResponsesError(
        "The response completed without text or function call",
        failure=Failure.EMPTY,
        response_id=event.response_id,
    )
