"""How the model had worded an answer, beside the text that says what was heard of it.

Pipecat writes one text of all that was heard of a response. What that has no room for is kept in
an item of its own, the ``Wording``: where one message ended and the next began, whether a message
was a commentary or the final answer (``phase``, which OpenAI asks to have back: "preserve and
resend phase on all assistant messages"), and the sources that it named (``annotations``). It is
never sent. The text is: as the messages that it is made of, as far as they were heard.

Messages go up without the ids that they had. A message with an id is refused without the reasoning
item that led to it, and that may not be there any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipecat_responses.protocol.items import Item, Message
from pipecat_responses.protocol.speech import Speech, at_end, follow

WORDING = "wording"
"""The type of the item in a context."""


@dataclass(frozen=True, eq=False)
class PutOut:
    """A message as the model put it out.

    Attributes:
        text: Its text.
        phase: ``commentary``, ``final_answer``, or an empty string.
        annotations: The sources that it named; their places are indexes into the text.
    """

    text: str
    phase: str = ""
    annotations: Sequence[Mapping[str, Any]] = ()

    @cached_property
    def speech(self) -> Speech:
        """Its text, made ready for comparison by words."""
        return Speech.of(self.text)

    def wire(self, heard: str | None = None) -> dict[str, Any]:
        """The message as the API takes it.

        Args:
            heard: What was heard of it; None for all.
        """
        wire: dict[str, Any] = {"role": "assistant", "content": heard or self.text}
        if self.annotations and heard in (None, self.text.strip()):
            part = {"type": "output_text", "text": self.text, "annotations": [*self.annotations]}
            wire["content"] = [part]
        if self.phase:
            wire["phase"] = self.phase
        return wire


class Wording(Item):
    """The messages of a response as the model put them out.

    Attributes:
        messages: The messages, in order.
    """

    __slots__ = ("messages",)

    def __init__(self, wire: Mapping[str, Any], pieces: Sequence[bytes] | None = None) -> None:
        """Creates a wording from the form that ``wording_wire`` gives."""
        super().__init__(wire, pieces)
        listed = wire.get("messages")
        self.messages = tuple(_read(each) for each in (listed if isinstance(listed, list) else ()))


def wording_wire(messages: Sequence[PutOut]) -> dict[str, Any] | None:
    """What a context has to keep of messages beside their text, or None if that says it all."""
    if len(messages) < 2 and not any(each.phase or each.annotations for each in messages):
        return None
    listed: list[dict[str, Any]] = []
    for each in messages:
        message: dict[str, Any] = {"text": each.text}
        if each.phase:
            message["phase"] = each.phase
        if each.annotations:
            message["annotations"] = [*each.annotations]
        listed.append(message)
    return {"type": WORDING, "messages": listed}


def put_into_words(
    texts: Sequence[Message], wordings: Sequence[Wording]
) -> list[tuple[Message, ...]]:
    """The messages of which the texts of a context are made.

    Args:
        texts: What the context holds of one or more responses, in order.
        wordings: How the model had put it, in order.

    Returns:
        For each text, what is sent instead: the text itself where it is not recognised.
    """
    messages = [message for wording in wordings for message in wording.messages if message.text]
    reader = _Reader(messages)
    return [reader.read(text) for text in texts]


class _Reader:
    """Follows texts through messages."""

    def __init__(self, messages: Sequence[PutOut]) -> None:
        self._messages = messages
        # The message that goes on, and the position behind what was heard of it.
        self._number = 0
        self._at = 0

    def read(self, text: Message) -> tuple[Message, ...]:
        """The messages of which a text is made."""
        if text.text is None:
            return (text,)
        found: list[Message] = []
        rest = text.text.strip()
        while rest:
            part = self._next(rest)
            if part is None:
                # It is not to be told which message it is of, but often all are of one kind.
                phases = {message.phase for message in self._messages[self._number :]}
                phase = phases.pop() if len(phases) == 1 else ""
                if not found and not phase:
                    return (text,)
                part = PutOut(rest, phase), rest
            message, heard = part
            found.append(Message(message.wire(heard)))
            rest = rest[len(heard) :].lstrip()
        return tuple(found)

    def _next(self, rest: str) -> tuple[PutOut, str] | None:
        """Finds the message that a text begins with, and how much of the text is of it."""
        for number in range(self._number, len(self._messages)):
            message = self._messages[number]
            start = self._at if number == self._number else 0
            heard = _heard_of(message, start, rest)
            if heard:
                at = follow(message.speech, start, Speech.of(heard)) or 0
                over = at_end(message.speech, at)
                if over or len(heard) == len(rest):
                    self._number, self._at = (number + 1, 0) if over else (number, at)
                    return message, heard
        return None


_NEXT_WORD = re.compile(r"\s+\w")


def _heard_of(message: PutOut, start: int, text: str) -> str:
    """The longest beginning of a text, in whole words, that goes on with a message."""
    whole = message.text.strip()
    behind = text[len(whole) :]
    if not start and text.startswith(whole) and (not behind or _NEXT_WORD.match(behind)):
        # As a rule. With marks behind it, these may be of it too: some voices repeat the last.
        return whole
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high + 1) // 2
        if follow(message.speech, start, Speech.of(text[: ends[middle - 1]])) is None:
            high = middle - 1
        else:
            low = middle
    return text[: ends[low - 1]] if low else ""


def _read(message: Any) -> PutOut:
    """A message of a wording; what an application has made of it need not be one."""
    fields = message if isinstance(message, Mapping) else {}
    text, phase = fields.get("text"), fields.get("phase")
    annotations = fields.get("annotations")
    return PutOut(
        text if isinstance(text, str) else "",
        phase if isinstance(phase, str) else "",
        annotations if isinstance(annotations, list) else (),
    )
