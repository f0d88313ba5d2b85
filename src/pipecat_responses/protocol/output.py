"""What a response put out, and whether a context repeats it.

A server remembers its own output, so a context that says the same need not be sent again. The
two rarely look alike: Pipecat joins the text of all messages of a response into one assistant
message, in the words of whatever speaks it (``speech``), writes parallel calls as call, output,
call, output where the server put out call, call, and may write the text behind the calls, once it
has been spoken. So the output of a response is compared as one group: its text as a whole, its
calls, reasoning and other items in any order, and the calls' outputs set aside to be sent. What the
user said while it was put out, and the server worked into it (``steering``), belongs to the group.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pipecat_responses.protocol.items import (
    CUSTOM_CALL,
    ApplicationCall,
    FunctionCall,
    FunctionOutput,
    Item,
    Message,
    Reasoning,
    make_item,
    original_call,
)
from pipecat_responses.protocol.speech import Speech, at_end, follow


class Coverage(StrEnum):
    """When the text of a context covers the text of a response."""

    WORDS = "words"
    """It says the same words, as a voice writes them down."""
    EXACT = "exact"
    """It is the same text, character by character."""


@dataclass(frozen=True, slots=True)
class Match:
    """How far a context repeats a response's output.

    Attributes:
        end: Index of the first context item after the group.
        pending: Outputs of the group's calls that stand inside it; the server lacks them.
    """

    end: int
    pending: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The context ends before it has said all that the response said; it may still come to it."""


UNFINISHED = Unfinished()


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The context says something else than the response.

    Attributes:
        index: Index of the first item that does.
    """

    index: int


class Output:
    """The output of one response, as a group.

    Attributes:
        text: The text of all its messages, refusals included.
        calls: Its function calls by call id.
        reasoning: Its reasoning items.
        others: Items of any other kind.
        texts: The texts of its messages one by one.
        given: What the user said meanwhile, and the server has worked into it.
    """

    __slots__ = ("_speech", "calls", "given", "others", "reasoning", "text", "texts")

    def __init__(
        self,
        text: str = "",
        calls: Mapping[str, FunctionCall] | None = None,
        reasoning: tuple[Reasoning, ...] = (),
        others: tuple[Item, ...] = (),
        *,
        texts: Sequence[str] = (),
        given: tuple[Item, ...] = (),
    ) -> None:
        """Creates an output.

        Args:
            text: The text of all its messages.
            calls: Its function calls by call id.
            reasoning: Its reasoning items.
            others: Items of any other kind.
            texts: The texts of its messages one by one, if it has several.
            given: What the user said meanwhile, and the server has worked into it.
        """
        self.text = text
        self.texts = texts or (text,)
        self.calls = calls or {}
        self.reasoning = reasoning
        self.others = others
        self.given = given
        self._speech: Speech | None = None

    @property
    def speech(self) -> Speech:
        """Its text, made ready for comparison by words; worked out once."""
        if self._speech is None:
            # A message may begin with what is markup only where a line begins: a heading, a list.
            self._speech = Speech.of("\n".join(self.texts))
        return self._speech

    def compare(
        self, items: Sequence[Item], start: int, coverage: Coverage = Coverage.WORDS
    ) -> Match | Unfinished | Mismatch:
        """Looks for this output in a context, from an index on.

        Args:
            items: The context's items.
            start: Index of the item where the output would begin.
            coverage: When texts count as the same.
        """
        # Most texts are the same to the letter, and that is told at once.
        exactly = self._walk(items, start, _Letters(self.text))
        if coverage is Coverage.EXACT or not self.text or isinstance(exactly, Match):
            return exactly
        by_words = self._walk(items, start, _Words(self.speech))
        if isinstance(exactly, Unfinished) and isinstance(by_words, Mismatch):
            # Half a word is no word yet, but the other half may come.
            return exactly
        return by_words

    def _walk(
        self, items: Sequence[Item], start: int, text: _Reader
    ) -> Match | Unfinished | Mismatch:
        calls = dict(self.calls)
        others = [*self.reasoning, *self.others]
        given = list(self.given)
        pending: list[Item] = []
        index = start
        while not text.done or calls or given or any(map(_can_be_sent_back, others)):
            if index >= len(items):
                return UNFINISHED
            current = items[index]
            if given and current in given:
                given.remove(current)
            elif isinstance(current, Message):
                if current.role != "assistant" or not text.read(current):
                    return Mismatch(index)
            elif current in others:
                others.remove(current)
            elif isinstance(current, FunctionCall):
                call = calls.pop(str(current.call_id), None)
                if call is None or call != current:
                    return Mismatch(index)
            elif isinstance(current, FunctionOutput):
                call_id = str(current.call_id)
                if call_id not in self.calls or call_id in calls:
                    return Mismatch(index)
                pending.append(current)
            else:
                return Mismatch(index)
            index += 1
        # A mark or an emoji may have been written down as a message of its own.
        while index < len(items) and text.read_rest(items[index]):
            index += 1
        return Match(end=index, pending=tuple(pending))


class _Reader(Protocol):
    """Follows the messages of a context through the text of a response."""

    @property
    def done(self) -> bool:
        """Whether nothing of the text is left."""

    def read(self, message: Message) -> bool:
        """Reads a message; False if it says anything else than comes next in the text."""

    def read_rest(self, item: Item) -> bool:
        """Reads an item that says what is left of a text that is done."""


class _Letters:
    """Character by character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._text)

    def read(self, message: Message) -> bool:
        said = message.text
        if not said:
            return False
        for joint in ("", " "):
            # Between two messages of the response a space may have been put in.
            if self._text.startswith(joint + said, self._at):
                self._at += len(joint + said)
                return True
        return False

    def read_rest(self, item: Item) -> bool:
        return False


class _Words:
    """Word by word."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech
        self._at = 0

    @property
    def done(self) -> bool:
        return at_end(self._speech, self._at)

    def read(self, message: Message) -> bool:
        said = message.speech
        at = None if said is None else follow(self._speech, self._at, said)
        if at is None:
            return False
        self._at = at
        return True

    def read_rest(self, item: Item) -> bool:
        if not isinstance(item, Message) or item.role != "assistant" or item.speech is None:
            return False
        return self._at < len(self._speech) and len(item.speech) > 0 and self.read(item)


def _can_be_sent_back(item: Item) -> bool:
    # Reasoning without encrypted content stands in no context, so none needs to repeat it.
    return not isinstance(item, Reasoning) or bool(item.wire.get("encrypted_content"))


NOTHING = Output()
"""The output of a response that put out nothing (``generate: false``)."""


def join_texts(texts: Iterable[str]) -> str:
    """The text of several messages, one behind the other, with a space where none stands."""
    joined = ""
    for text in texts:
        joined += space_between(joined, text) + text
    return joined


def space_between(before: str, after: str) -> str:
    """What has to stand between two messages, so that their words do not run together."""
    if not before or not after or before[-1].isspace() or after[0].isspace():
        return ""
    return " "


def read_output(
    wire: Iterable[Any], custom_tools: Collection[str] = (), given: tuple[Item, ...] = ()
) -> Output | None:
    """Reads a response's ``output`` list.

    Args:
        wire: The items of the list, as decoded JSON.
        custom_tools: The custom tools that the client runs. Calls of others are the server's.
        given: What the user said meanwhile, and the server has worked into it.

    Returns:
        The output, or None if an item is not to be understood: such a response is not one to
        continue from.
    """
    texts: list[str] = []
    calls: dict[str, FunctionCall] = {}
    reasoning: list[Reasoning] = []
    others: list[Item] = []
    for entry in wire:
        if not isinstance(entry, Mapping):
            return None
        is_custom = entry.get("type") == CUSTOM_CALL and entry.get("name") in custom_tools
        built = original_call(entry) if is_custom else make_item(entry)
        if isinstance(built, Message):
            text = output_text(entry)
            if text is None:
                return None
            texts.append(text)
        elif isinstance(built, ApplicationCall) and built.call_id is None:
            others.append(built)
        elif isinstance(built, FunctionCall):
            if not isinstance(built.call_id, str) or built.call_id in calls:
                return None
            calls[built.call_id] = built
        elif isinstance(built, Reasoning):
            reasoning.append(built)
        else:
            others.append(built)
    return Output(
        join_texts(texts), calls, tuple(reasoning), tuple(others), texts=texts, given=given
    )


def annotations_of(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The sources that an output message names."""
    return _listed(message, "annotations")


def logprobs_of(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tokens of an output message with their log probabilities, if those were asked for."""
    return _listed(message, "logprobs")


def _listed(message: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """What the parts of a message list under a name."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    lists = [part.get(name) for part in parts if isinstance(part, Mapping)]
    return [
        each
        for listed in lists
        if isinstance(listed, list)
        for each in listed
        if isinstance(each, Mapping)
    ]


def output_text(message: Mapping[str, Any]) -> str | None:
    """The words of an output message (text and refusals), or None if it holds anything else."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts: list[str] = []
    for part in content:
        if not isinstance(part, Mapping):
            return None
        text = part.get("refusal") if part.get("type") == "refusal" else part.get("text")
        if not isinstance(text, str):
            return None
        texts.append(text)
    return "".join(texts)
