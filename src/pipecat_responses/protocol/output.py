"""What a response put out, and whether a context repeats it.

A server remembers its own output, so a context that says the same need not be sent again. The
two rarely look alike: Pipecat joins the text of all messages of a response into one assistant
message, and writes parallel calls as call, output, call, output where the server put out call,
call. So the output of a response is compared as one group: its text as a whole, its calls and
reasoning in any order, and the calls' outputs set aside to be sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipecat_responses.protocol.items import (
    FunctionCall,
    FunctionOutput,
    Item,
    Message,
    Reasoning,
    make_item,
)


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


@dataclass(frozen=True, slots=True)
class Output:
    """The output of one response, as a group.

    Attributes:
        text: The text of all its messages, refusals included.
        calls: Its function calls by call id.
        reasoning: Its reasoning items.
        others: Items of any other kind.
    """

    text: str = ""
    calls: Mapping[str, FunctionCall] = field(default_factory=dict)
    reasoning: tuple[Reasoning, ...] = ()
    others: tuple[Item, ...] = ()

    def compare(self, items: Sequence[Item], start: int) -> Match | Unfinished | Mismatch:
        """Looks for this output in a context, from an index on.

        Args:
            items: The context's items.
            start: Index of the item where the output would begin.
        """
        text = self.text
        calls = dict(self.calls)
        reasoning = list(self.reasoning)
        others = list(self.others)
        pending: list[Item] = []
        index = start
        while text or calls or others or any(map(_can_be_sent_back, reasoning)):
            if index >= len(items):
                return UNFINISHED
            current = items[index]
            if pending and not isinstance(current, (FunctionCall, FunctionOutput)):
                # It would have changed places with the outputs, which are sent after it.
                return Mismatch(index)
            if isinstance(current, Message):
                if current.role != "assistant" or not current.text:
                    return Mismatch(index)
                if not text.startswith(current.text):
                    return Mismatch(index)
                text = text[len(current.text) :]
            elif isinstance(current, FunctionCall):
                call = calls.pop(str(current.call_id), None)
                if call is None or call != current:
                    return Mismatch(index)
            elif isinstance(current, FunctionOutput):
                call_id = str(current.call_id)
                if call_id not in self.calls or call_id in calls:
                    return Mismatch(index)
                pending.append(current)
            elif isinstance(current, Reasoning):
                if current not in reasoning:
                    return Mismatch(index)
                reasoning.remove(current)
            else:
                if current not in others:
                    return Mismatch(index)
                others.remove(current)
            index += 1
        return Match(end=index, pending=tuple(pending))


def _can_be_sent_back(reasoning: Reasoning) -> bool:
    # Without encrypted content it stands in no context, so none needs to repeat it.
    return bool(reasoning.wire.get("encrypted_content"))


NOTHING = Output()
"""The output of a response that put out nothing (``generate: false``)."""


def read_output(wire: Iterable[Any]) -> Output | None:
    """Reads a response's ``output`` list.

    Args:
        wire: The items of the list, as decoded JSON.

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
        built = make_item(entry)
        if isinstance(built, Message):
            text = output_text(entry)
            if text is None:
                return None
            texts.append(text)
        elif isinstance(built, FunctionCall):
            if not isinstance(built.call_id, str) or built.call_id in calls:
                return None
            calls[built.call_id] = built
        elif isinstance(built, Reasoning):
            reasoning.append(built)
        else:
            others.append(built)
    return Output("".join(texts), calls, tuple(reasoning), tuple(others))


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
