"""What a model means to say, and the events in which a Responses server says it.

The events are those of ``openai.types.responses`` (a test holds that), in the order in which
OpenAI's server sends them. Nothing of the client is used here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Wire: TypeAlias = dict[str, Any]

MODEL = "gpt-4.1"


@dataclass(frozen=True)
class Say:
    """A message.

    Attributes:
        pieces: Its text as it is streamed.
        phase: ``commentary`` for what comes before tools, ``final_answer``, or None.
    """

    pieces: tuple[str, ...]
    phase: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True)
class Call:
    """A function call.

    Attributes:
        name: The function.
        arguments: Its arguments.
        call_id: The call's id.
    """

    name: str
    arguments: Wire
    call_id: str

    @property
    def text(self) -> str:
        return json.dumps(self.arguments)


@dataclass(frozen=True)
class Think:
    """A reasoning item.

    Attributes:
        summary: Its summary as it is streamed; empty for none.
    """

    summary: tuple[str, ...] = ()


@dataclass(frozen=True)
class Search:
    """A search that the server has run by itself: an item that is neither text nor a call."""

    query: str = "weather"


Item: TypeAlias = Say | Call | Think | Search
Meaning: TypeAlias = tuple[Item, ...]


def said(*texts: str) -> Meaning:
    """A meaning of messages only, each cut into its words."""
    return tuple(Say(words_of(text)) for text in texts)


def words_of(text: str) -> tuple[str, ...]:
    """A text as a model streams it: word by word, the space before each."""
    words = text.split(" ")
    return (words[0], *(f" {word}" for word in words[1:]))


def spoken(meaning: Meaning) -> str:
    """All that is meant to be heard; two messages are two sentences."""
    return " ".join(item.text.strip() for item in meaning if isinstance(item, Say))


def calls(meaning: Meaning) -> list[tuple[str, Wire]]:
    """The calls that are meant to be made."""
    return [(item.name, item.arguments) for item in meaning if isinstance(item, Call)]


def item_id(item: Item, response_id: str, index: int) -> str:
    """The id that the server gives an item."""
    prefix = {Say: "msg", Call: "fc", Think: "rs", Search: "ws"}[type(item)]
    return f"{prefix}_{response_id}_{index}"


def complete(item: Item, response_id: str, index: int) -> Wire:
    """An item as it is once it is complete."""
    own = item_id(item, response_id, index)
    match item:
        case Say():
            part = {"type": "output_text", "text": item.text, "annotations": [], "logprobs": []}
            message = {
                "type": "message",
                "id": own,
                "role": "assistant",
                "status": "completed",
                "content": [part],
            }
            return message if item.phase is None else {**message, "phase": item.phase}
        case Call():
            return {
                "type": "function_call",
                "id": own,
                "call_id": item.call_id,
                "name": item.name,
                "arguments": item.text,
                "status": "completed",
            }
        case Think():
            summary = [{"type": "summary_text", "text": "".join(item.summary)}]
            return {
                "type": "reasoning",
                "id": own,
                "summary": summary if item.summary else [],
                "encrypted_content": f"sealed-{own}",
            }
        case Search():
            return {
                "type": "web_search_call",
                "id": own,
                "status": "completed",
                "action": {"type": "search", "query": item.query},
            }


def begun(item: Item, response_id: str, index: int) -> Wire:
    """An item as it is when the model begins it."""
    wire = complete(item, response_id, index)
    match item:
        case Say():
            return {**wire, "status": "in_progress", "content": []}
        case Call():
            return {**wire, "status": "in_progress", "arguments": ""}
        case Think():
            return {**wire, "summary": []}
        case Search():
            return {**wire, "status": "in_progress"}


def output_of(meaning: Meaning, response_id: str) -> list[Wire]:
    """The output of the complete response."""
    return [complete(item, response_id, index) for index, item in enumerate(meaning)]


def response_of(response_id: str, status: str, output: Sequence[Wire] = ()) -> Wire:
    """A response object."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": 1_790_000_000,
        "model": MODEL,
        "status": status,
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
    }


USAGE: Wire = {
    "input_tokens": 7,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 10,
}


def created(response_id: str) -> Wire:
    """The event with which a response begins."""
    return {"type": "response.created", "response": response_of(response_id, "in_progress")}


def completed(response_id: str, output: Sequence[Wire]) -> Wire:
    """The event with which it ends."""
    response = {**response_of(response_id, "completed", output), "usage": USAGE}
    return {"type": "response.completed", "response": response}


def events_of(meaning: Meaning, response_id: str) -> list[Wire]:
    """Everything that a proper server sends, in order and numbered."""
    in_progress = response_of(response_id, "in_progress")
    events = [created(response_id), {"type": "response.in_progress", "response": in_progress}]
    for index, item in enumerate(meaning):
        events += item_events(item, response_id, index)
    events.append(completed(response_id, output_of(meaning, response_id)))
    return numbered(events)


def numbered(events: Sequence[Wire]) -> list[Wire]:
    """The events with their sequence numbers."""
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def item_events(item: Item, response_id: str, index: int) -> list[Wire]:
    """The events of one item, from ``added`` to ``done``."""
    at = {"output_index": index}
    inside: list[Wire]
    match item:
        case Say():
            inside = _text_events(item, item_id(item, response_id, index), at)
        case Call():
            inside = _argument_events(item, item_id(item, response_id, index), at)
        case Think():
            inside = _summary_events(item, item_id(item, response_id, index), at)
        case Search():
            own = {"item_id": item_id(item, response_id, index), **at}
            inside = [
                {"type": f"response.web_search_call.{step}", **own}
                for step in ("in_progress", "searching", "completed")
            ]
    added = {"type": "response.output_item.added", **at, "item": begun(item, response_id, index)}
    done = {"type": "response.output_item.done", **at, "item": complete(item, response_id, index)}
    return [added, *inside, done]


def _text_events(item: Say, own: str, at: Wire) -> list[Wire]:
    place = {"item_id": own, **at, "content_index": 0}
    part = {"type": "output_text", "annotations": [], "logprobs": []}
    deltas = [
        {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
        for piece in item.pieces
    ]
    return [
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        *deltas,
        {"type": "response.output_text.done", **place, "text": item.text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": {**part, "text": item.text}},
    ]


def _argument_events(item: Call, own: str, at: Wire) -> list[Wire]:
    place = {"item_id": own, **at}
    middle = len(item.text) // 2
    kind = "response.function_call_arguments"
    return [
        {"type": f"{kind}.delta", **place, "delta": item.text[:middle]},
        {"type": f"{kind}.delta", **place, "delta": item.text[middle:]},
        {"type": f"{kind}.done", **place, "arguments": item.text},
    ]


def _summary_events(item: Think, own: str, at: Wire) -> list[Wire]:
    if not item.summary:
        return []
    place = {"item_id": own, **at, "summary_index": 0}
    part = {"type": "summary_text", "text": ""}
    text = "".join(item.summary)
    deltas = [
        {"type": "response.reasoning_summary_text.delta", **place, "delta": piece}
        for piece in item.summary
    ]
    return [
        {"type": "response.reasoning_summary_part.added", **place, "part": part},
        *deltas,
        {"type": "response.reasoning_summary_text.done", **place, "text": text},
        {
            "type": "response.reasoning_summary_part.done",
            **place,
            "part": {**part, "text": text},
        },
    ]
