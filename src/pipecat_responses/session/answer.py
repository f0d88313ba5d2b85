"""From the events of a response to what comes of a turn.

A turn has one ``Answer``, which grows over all its attempts: words that were said stay said,
calls that are complete run once. Each attempt has a ``Stream``, which knows how far its
response has come.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from pipecat_responses.protocol.encoding import encode
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.events import (
    Activity,
    ArgumentsDone,
    Began,
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
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.items import TEXT, Item, make_item
from pipecat_responses.protocol.output import space_between
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


class Stream:
    """How far the response of one attempt has come. Only its answer changes it.

    Attributes:
        response_id: Its id, once it has begun.
        output: Whether it has put anything out.
        usage: Its tokens, once the server has said.
    """

    def __init__(self) -> None:
        """Creates the stream of a response that has not begun."""
        self.response_id: str | None = None
        self.output = False
        self.usage: Usage | None = None
        self._text: list[str] = []
        self._text_done = 0
        self._open: dict[str, ItemAdded] = {}
        self._finished = 0
        self._messages = 0
        self._message_begins = False
        self._thinking = False
        self._reasoning: list[Mapping[str, Any]] = []

    @property
    def all_done(self) -> bool:
        """Whether every item that was begun is finished."""
        return self._finished > 0 and not self._open

    @property
    def has_text(self) -> bool:
        """Whether any text has come, white space included."""
        return bool(self._text)

    @property
    def has_words(self) -> bool:
        """Whether any of its text is more than white space."""
        return bool("".join(self._text).strip())

    def accept(self, response_id: str | None) -> None:
        """The server has accepted the request."""
        self.response_id = response_id

    def begin_message(self) -> None:
        """A message begins; its words must not run together with those of the one before."""
        self._message_begins = self._messages > 0
        self._messages += 1

    def add_text(self, text: str) -> str:
        """A piece of text has come.

        Returns:
            The piece, with a space before it if it begins another message.
        """
        self.output = True
        space = ""
        if self._message_begins and text:
            self._message_begins = False
            before = self._text[-1] if self._text else ""
            space = space_between(before, text)
        self._text.append(text)
        return space + text

    def finish_text(self, whole: str) -> str:
        """A part of the text is complete.

        Args:
            whole: All of the part.

        Returns:
            What of it had not come yet (some servers send no deltas).
        """
        streamed = "".join(self._text)[self._text_done :]
        missing = ""
        if len(whole) > len(streamed) and whole.startswith(streamed):
            missing = self.add_text(whole[len(streamed) :])
        self._text_done = sum(map(len, self._text))
        return missing

    def begin_item(self, item: ItemAdded) -> None:
        """The model has begun an item."""
        self.output = True
        self._open[item.item_id] = item

    def begun_item(self, item_id: str) -> ItemAdded | None:
        """The item that is under way with an id."""
        return self._open.get(item_id)

    def finish_item(self, item_id: str) -> None:
        """An item is complete."""
        self.output = True
        self._open.pop(item_id, None)
        self._finished += 1

    def keep_reasoning(self, wire: Mapping[str, Any]) -> None:
        """Keeps a reasoning item back until it has led to something.

        Alone, the API would refuse it ever after.
        """
        self._reasoning.append(wire)

    def take_reasoning(self) -> list[Mapping[str, Any]]:
        """The reasoning that has led to something now."""
        taken, self._reasoning = self._reasoning, []
        return taken

    def think(self) -> None:
        """A piece of a thought's summary has come."""
        self.output = self._thinking = True

    def stop_thinking(self) -> bool:
        """Ends a thought.

        Returns:
            Whether one was under way.
        """
        was, self._thinking = self._thinking, False
        return was

    def end(self, usage: Usage | None) -> None:
        """The terminal event has come."""
        self.usage = usage


class Answer:
    """What a turn has put out so far.

    Attributes:
        kept: Its items that are neither text nor calls.
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
            What comes of it; ``TurnDone`` if it ends the turn.

        Raises:
            ResponsesError: If it is a failure, or ends the turn with nothing to show for it.
        """
        outputs: list[TurnEvent] = []
        match event:
            case TextDelta():
                self._say(stream.add_text(event.text), stream, outputs)
            case ThoughtDelta():
                stream.think()
                if event.text:
                    outputs.append(ThoughtText(event.text))
            case Created():
                stream.accept(event.response_id)
            case ItemAdded():
                stream.begin_item(event)
                if event.kind == "message":
                    stream.begin_message()
                if event.kind != "message":
                    outputs.append(ItemStart(is_call=event.kind in _CALLS))
            case TextDone():
                self._say(stream.finish_text(event.text), stream, outputs)
            case ArgumentsDone():
                self._arguments_done(event, stream, outputs)
            case ItemDone():
                self._item_done(event, stream, outputs)
            case Terminal():
                self._terminal(event, stream, outputs)
            case Refused():
                raise event.error
            case Began() | Activity():
                pass
            case _:
                assert_never(event)
        return outputs

    def _say(self, text: str, stream: Stream, outputs: list[TurnEvent]) -> None:
        if self._splice is not None:
            text = self._splice.feed(text)
        if text:
            self._led_to(TEXT, stream, outputs)
            self._said.append(text)
            outputs.append(Text(text))

    def _arguments_done(
        self, event: ArgumentsDone, stream: Stream, outputs: list[TurnEvent]
    ) -> None:
        begun = stream.begun_item(event.item_id)
        if begun is not None and begun.call_id and begun.name:
            call = CompleteCall(begun.call_id, begun.name, event.arguments)
            self._call(call, stream, outputs)

    def _item_done(self, event: ItemDone, stream: Stream, outputs: list[TurnEvent]) -> None:
        stream.finish_item(event.item_id)
        if event.kind == "reasoning":
            _end_thought(stream, outputs)
            stream.keep_reasoning(event.item)
        elif event.kind in _CALLS:
            self._maybe_call(event.item, stream, outputs)
        elif event.kind and event.kind != "message":
            self._led_to(None, stream, outputs)
            self._keep(event.item, None, outputs)

    def _maybe_call(self, wire: Any, stream: Stream, outputs: list[TurnEvent]) -> None:
        called = _read_call(wire)
        if called is not None:
            self._call(called, stream, outputs)

    def _call(self, called: CompleteCall, stream: Stream, outputs: list[TurnEvent]) -> None:
        if called.call_id not in self.called:
            self._led_to(called.call_id, stream, outputs)
            self.called[called.call_id] = called
            outputs.append(called)

    def _led_to(self, what: str | None, stream: Stream, outputs: list[TurnEvent]) -> None:
        """Puts the reasoning out that has led to something: a call, text, or (None) another item.

        Pipecat writes text and calls into the context when they are over, so what reasoning led
        to is written down with it. Other items are appended in their order.
        """
        _end_thought(stream, outputs)
        for wire in stream.take_reasoning():
            # Without its encrypted content the API would not know it again.
            if wire.get("encrypted_content"):
                self._keep(wire, what, outputs)

    def _keep(
        self, wire: Mapping[str, Any], leads_to: str | None, outputs: list[TurnEvent]
    ) -> None:
        self.kept.append(make_item(wire))
        outputs.append(OutputItem(wire, leads_to))

    def _terminal(self, event: Terminal, stream: Stream, outputs: list[TurnEvent]) -> None:
        stream.end(event.usage)
        _end_thought(stream, outputs)
        if event.status is Status.FAILED:
            assert event.error is not None
            raise event.error
        if not stream.has_text:
            self._say(stream.add_text(text_of(event.output)), stream, outputs)
        if event.status is Status.COMPLETED:
            for wire in event.output or ():
                self._maybe_call(wire, stream, outputs)
        self._finish_splice(stream, outputs)
        silent = not self.called and not stream.has_words
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
    if stream.stop_thinking():
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
