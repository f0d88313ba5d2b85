"""From the events of a response to what comes of a turn.

A turn has one ``Answer``, which grows over all its attempts: words that were said stay said,
calls that are complete run once. Each attempt has its own ``ResponseProgress``, which knows how far
its response has come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.events import (
    Activity,
    ArgumentsDelta,
    ArgumentsDone,
    Began,
    Created,
    Event,
    ItemAdded,
    ItemDone,
    Refused,
    Status,
    SteerAccepted,
    SteerFailed,
    SteerPending,
    Succeeded,
    Terminal,
    TextDelta,
    TextDone,
    ThoughtDelta,
)
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.items import APPROVAL_REQUEST, CUSTOM_CALL, TEXT, Item, make_item
from pipecat_responses.protocol.output import (
    annotations_of,
    logprobs_of,
    output_text,
    space_between,
)
from pipecat_responses.protocol.progress import (
    Call,
    ItemProgress,
    ResponseProgress,
)
from pipecat_responses.protocol.splice import Splice
from pipecat_responses.protocol.wording import PutOut
from pipecat_responses.session.turn_events import (
    AttemptUsage,
    Cited,
    CompleteCall,
    ItemStart,
    OutputItem,
    Pause,
    Text,
    ThoughtEnd,
    ThoughtText,
    TurnDone,
    TurnEvent,
)


@dataclass(slots=True)
class _Begun:
    """A message that was begun to be spoken.

    Attributes:
        item: The message.
        begin: The index of its first piece among all that was said.
        annotations: The sources that it names.
    """

    item: ItemProgress | None
    begin: int
    annotations: Sequence[Mapping[str, Any]] = ()

    def message(self, said: str) -> PutOut:
        item = self.item
        # What is said may have been set off from the message before by a space.
        text = item.text if item is not None and said.strip() == item.text.strip() else said
        # Places in a text that was not said as a whole are of no use.
        annotations = self.annotations if item is not None and text == item.text else ()
        return PutOut(text, item.phase if item is not None else "", annotations)


class Answer:
    """What a turn has put out so far.

    Attributes:
        kept: Its items that are neither text nor calls.
        called: Its complete calls by call id.
        waits: Whether it waits for somebody's approval of a call.
    """

    def __init__(self) -> None:
        """Creates an answer of which nothing is there yet."""
        self.kept: list[Item] = []
        self.called: dict[str, CompleteCall] = {}
        self.waits = False
        self._said: list[str] = []
        self._messages: list[_Begun] = []
        self._logprobs: list[Mapping[str, Any]] = []
        self._splice: Splice | None = None
        self._message_over = False
        self._succeeded = False
        self._reasoning: list[Mapping[str, Any]] = []

    @property
    def said(self) -> str:
        """The text that was put out to be spoken."""
        return "".join(self._said)

    @property
    def has_words(self) -> bool:
        """Whether any of that text is more than white space."""
        return any(text.strip() for text in self._said)

    @property
    def messages(self) -> list[PutOut]:
        """The messages that were put out to be spoken, the last perhaps in part."""
        messages: list[PutOut] = []
        end = len(self._said)
        for begun in reversed(self._messages):
            messages.insert(0, begun.message("".join(self._said[begun.begin : end])))
            end = begun.begin
        return messages

    def begin_attempt(self) -> None:
        """Another attempt is made; reasoning that has led to nothing belonged to the one before."""
        self._reasoning = []

    def taken_over(self) -> None:
        """Another turn goes on with it, whose context holds what was kept."""
        self.kept = []

    def resume(self) -> None:
        """The next stream goes on where the text stops; what it repeats is not said again."""
        self._splice = Splice(self.said, complete=self._message_over)

    def take(self, event: Event, stream: ResponseProgress, outputs: list[TurnEvent]) -> None:
        """Takes an event in.

        Args:
            event: The event.
            stream: How far the response it belongs to has come.
            outputs: What comes of it is added here; ``TurnDone`` if it ends the turn.

        Raises:
            ResponsesError: If it is a failure, or ends the turn with nothing to show for it.
        """
        match event:
            case TextDelta():
                self._say(stream.hear(event), stream, outputs)
            case ThoughtDelta():
                stream.think()
                if event.text:
                    outputs.append(ThoughtText(event.text))
            case Created():
                stream.accept(event.response_id)
            case ItemAdded():
                begun = stream.begin_item(event)
                if event.kind != "message":
                    if self._message_over:
                        outputs.append(Pause())
                    here = stream.runs_here(begun)
                    outputs.append(ItemStart(here, event.kind, event.ref.item_id))
            case TextDone():
                item = stream.item(event.ref, "message")
                missing = item.missing_of_part(event.text, event.part)
                self._say(stream.say(item, missing, event.part), stream, outputs)
            case ArgumentsDelta():
                stream.item(event.ref, event.kind).add_arguments(event.text)
            case ArgumentsDone():
                called = stream.begun(event.ref)
                # Without an id the finished item will tell whose arguments they are.
                if called is not None and called.kind == "function_call" and called.call_id:
                    self._call(called.call(event.arguments, 0), stream, outputs)
            case ItemDone():
                self._item_done(event, stream, outputs)
            case Terminal():
                self._terminal(event, stream, outputs)
            case Refused():
                raise _in_the_middle(event.error) if stream.output else event.error
            case Succeeded():
                self._succeed(event.terminal, stream, outputs)
            case Began() | Activity() | SteerAccepted() | SteerPending() | SteerFailed():
                pass
            case _:
                assert_never(event)

    def _say(self, text: str, stream: ResponseProgress, outputs: list[TurnEvent]) -> None:
        if self._splice is not None:
            text = self._splice.feed(text)
        if text:
            # Asked with each delta: most of the time there is nothing to put out before it.
            if self._reasoning or stream.thinks:
                self._led_to(TEXT, stream, outputs)
            if self._succeeded:
                # What a response begins with knows nothing of what was said in the one before.
                self._succeeded = False
                text = space_between(self.said[-1:], text) + text
            if self._message_over or not self._said:
                self._message_over = False
                self._messages.append(_Begun(stream.speaker, len(self._said)))
            self._said.append(text)
            outputs.append(Text(text))

    def _item_done(
        self, event: ItemDone, stream: ResponseProgress, outputs: list[TurnEvent]
    ) -> None:
        item = stream.finished_item(event.ref, event.kind, event.item)
        item.learn(event.item)
        self._finish_item(item, event.item, stream, outputs)

    def _finish_item(
        self,
        item: ItemProgress,
        wire: Mapping[str, Any],
        stream: ResponseProgress,
        outputs: list[TurnEvent],
    ) -> None:
        """An item is complete: what of it has not been put out yet, is now."""
        was_done = item.done
        item.finish()
        if item.kind == "message":
            missing = item.missing(output_text(wire) or "")
            self._say(stream.say(item, missing, None), stream, outputs)
            if self._splice is None or not self._splice.holds:
                self._message_over = True
            if was_done:
                return
            if self._message_over and (item.phase == "commentary" or not stream.all_done):
                outputs.append(Pause())
            self._logprobs += logprobs_of(wire)
            cited = annotations_of(wire)
            if cited:
                self._cite(item, cited)
                outputs.append(Cited(output_text(wire) or "", cited))
        elif stream.runs_here(item):
            if wire.get("status") != "incomplete":
                given = wire.get("input" if item.kind == CUSTOM_CALL else "arguments")
                self._call(item.call(given, stream.number_of(item)), stream, outputs)
                called = item.called
                if called is not None and not was_done and _is_more_than_pipecats(wire):
                    # Some servers give no call id, and then it is the one it was run by.
                    kept = {**wire, "call_id": called.call_id}
                    outputs.append(OutputItem(kept, run_here=True))
        elif was_done:
            return
        elif item.kind == "reasoning":
            _end_thought(stream, outputs)
            # Kept back until it has led to something: alone, the API would refuse it ever after.
            self._reasoning.append(wire)
        elif item.kind:
            self.waits = self.waits or item.kind == APPROVAL_REQUEST
            self._led_to(None, stream, outputs)
            self._keep(wire, None, outputs)

    def _cite(self, item: ItemProgress, annotations: Sequence[Mapping[str, Any]]) -> None:
        for begun in self._messages:
            if begun.item is item:
                begun.annotations = annotations

    def _call(self, call: Call | None, stream: ResponseProgress, outputs: list[TurnEvent]) -> None:
        if call is None or call.call_id in self.called:
            return
        self._led_to(call.call_id, stream, outputs)
        complete = CompleteCall(call.call_id, call.name, call.arguments, call.namespace)
        self.called[call.call_id] = complete
        outputs.append(complete)

    def _led_to(self, what: str | None, stream: ResponseProgress, outputs: list[TurnEvent]) -> None:
        """Puts the reasoning out that has led to something: a call, text, or (None) another item.

        Pipecat writes text and calls into the context when they are over, so what reasoning led
        to is written down with it. Other items are appended in their order.
        """
        _end_thought(stream, outputs)
        reasoning, self._reasoning = self._reasoning, []
        for wire in reasoning:
            # Without its encrypted content the API would not know it again.
            if wire.get("encrypted_content"):
                self._keep(wire, what, outputs)

    def _keep(
        self, wire: Mapping[str, Any], leads_to: str | None, outputs: list[TurnEvent]
    ) -> None:
        self.kept.append(make_item(wire))
        outputs.append(OutputItem(wire, leads_to))

    def _succeed(self, event: Terminal, stream: ResponseProgress, outputs: list[TurnEvent]) -> None:
        """A response has ended, and the server goes on by itself: the answer goes on in that."""
        self._end_response(event, stream, outputs)
        # What it thought before the user spoke has led to nothing.
        self._reasoning = []
        self._message_over = self._succeeded = bool(self._said)
        if event.usage is not None:
            outputs.append(AttemptUsage(event.usage))

    def _end_response(
        self, event: Terminal, stream: ResponseProgress, outputs: list[TurnEvent]
    ) -> None:
        stream.end(event.usage)
        _end_thought(stream, outputs)
        if event.status is Status.FAILED:
            assert event.error is not None
            raise event.error
        for item, wire in stream.listed(event.output or ()):
            if event.status is Status.COMPLETED or item.kind == "message":
                self._finish_item(item, wire, stream, outputs)
        self._finish_splice(stream, outputs)

    def _terminal(
        self, event: Terminal, stream: ResponseProgress, outputs: list[TurnEvent]
    ) -> None:
        self._end_response(event, stream, outputs)
        silent = not self.called and not self.waits and not stream.has_words
        if silent and (event.status is Status.COMPLETED or not self.has_words):
            raise _nothing_said(event)
        outputs.append(
            TurnDone(
                event.status,
                event.reason,
                event.usage,
                event.model,
                event.response_id,
                event.details,
                self._logprobs,
            )
        )

    def _finish_splice(self, stream: ResponseProgress, outputs: list[TurnEvent]) -> None:
        splice, self._splice = self._splice, None
        if splice is not None:
            self._say(splice.finish(), stream, outputs)


def _is_more_than_pipecats(call: Mapping[str, Any]) -> bool:
    """Whether a call is of a kind, or has something, that Pipecat's form of it has no room for."""
    caller = call.get("caller")
    indirect = isinstance(caller, Mapping) and caller.get("type") != "direct"
    return call.get("type") == CUSTOM_CALL or bool(call.get("namespace")) or indirect


def _end_thought(stream: ResponseProgress, outputs: list[TurnEvent]) -> None:
    if stream.stop_thinking():
        outputs.append(ThoughtEnd())


def _in_the_middle(error: ResponsesError) -> ResponsesError:
    """A failure of a response that had begun: what is being answered was no bad request.

    Among server-sent events an error has no status, and often a type for want of a better one.
    """
    said = (error.status, error.code, error.param)
    if error.failure is Failure.REQUEST and said == (None, None, None):
        return error.rewritten(failure=Failure.SERVER)
    return error


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
