"""Requests: fields that seldom change, items that were encoded before, put together as bytes.

A request is assembled from pieces that exist already: the fields' JSON (encoded when a field
changes), the items' JSON (encoded once in an item's life), and a few bytes around them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pipecat_responses.protocol.encoding import encode, encode_mended
from pipecat_responses.protocol.items import Compaction, FunctionCall, FunctionOutput, Item
from pipecat_responses.protocol.stored import StoredMark

ITEMS_PER_RUN = 64
"""Items that are joined at a time when a message is written."""


@dataclass(frozen=True, slots=True)
class Payload:
    """The bytes of a message, not yet joined: a long one is joined run by run as it is written.

    Attributes:
        runs: The bytes, in order; each run is small enough to be joined in one step.
        size: The number of bytes.
    """

    runs: tuple[Sequence[bytes], ...]
    size: int

    def join(self) -> bytes:
        """All bytes at once."""
        return b"".join(chain.from_iterable(self.runs))

    def pieces(self, size: int) -> Iterator[bytes]:
        """The bytes in pieces of about a size, to be written one by one.

        Args:
            size: Bytes that a piece has at most, and when there are enough of them at least half.
        """
        gathered: list[bytes] = []
        length = 0
        for run in self.runs:
            block = b"".join(run)
            for start in range(0, len(block), size):
                piece = block[start : start + size]
                if length + len(piece) > size:
                    yield b"".join(gathered)
                    gathered, length = [], 0
                gathered.append(piece)
                length += len(piece)
        yield b"".join(gathered)


class Fields:
    """The fields of a request other than its input: model, instructions, tools, and so on.

    Values are encoded when they change, told by comparing with the last ones, so a turn that
    changes nothing encodes nothing.

    Attributes:
        values: Names and values. Not to be changed.
        model: The model's name.
        custom_tools: The names of the custom tools that are declared: the client runs those.
        stored: Whether the server is to store the response, to be continued from by its id. One
            that belongs to a conversation on the server is not.
        encoded: The fields as JSON, without the braces around them.
    """

    __slots__ = ("custom_tools", "encoded", "model", "stored", "values")

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Encodes fields.

        Args:
            values: Names and values. ``model`` must be among them.

        Raises:
            TypeError: If a value is not to be put into JSON.
        """
        self.values: Mapping[str, Any] = dict(values)
        self.model = str(values.get("model") or "")
        self.custom_tools = frozenset(_custom_names(values.get("tools")))
        self.stored = values.get("store") is True and values.get("conversation") is None
        self.encoded = encode_mended(self.values)[1:-1]

    def same_as(self, values: Mapping[str, Any]) -> bool:
        """Whether these are the fields for other values, too."""
        return self.values == values

    def has(self, name: str) -> bool:
        """Whether a field is given."""
        return name in self.values

    def changed(self, **values: Any) -> Fields:
        """A copy with some fields changed; None takes a field away."""
        merged = {**self.values, **values}
        return Fields({name: value for name, value in merged.items() if value is not None})

    def only(self, names: Collection[str]) -> Fields:
        """A copy with some of the fields only."""
        return Fields({name: self.values[name] for name in names if name in self.values})


def _custom_names(tools: Any) -> Iterator[str]:
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, Mapping):
            continue
        if tool.get("type") == "custom":
            yield str(tool.get("name"))
        elif tool.get("type") == "namespace":
            yield from _custom_names(tool.get("tools"))


def no_message(index: int) -> int | None:
    """For items that came from no context."""
    return None


@dataclass(frozen=True, slots=True)
class Request:
    """What a turn asks for, before anything is known about where it runs.

    Attributes:
        fields: Everything but the input.
        items: The whole conversation, a list.
        generate: False prepares state on the server and puts nothing out.
        resumes: Whether it takes up an answer that had broken off.
        steerable: Whether its model takes more input while it answers.
        message_of: Tells which message of the context an item came from, by index; None for an
            item that stands for no message.
        messages: How many messages the context has.
        marks: What the context keeps of stored responses, the oldest first.
    """

    fields: Fields
    items: Sequence[Item]
    generate: bool = True
    resumes: bool = False
    steerable: bool = False
    message_of: Callable[[int], int | None] = no_message
    messages: int = 0
    marks: Sequence[StoredMark] = ()


def websocket_payload(
    fields: Fields,
    items: Sequence[Item],
    *,
    previous_response_id: str | None = None,
    stream_id: str | None = None,
    generate: bool = True,
) -> Payload:
    """Puts a ``response.create`` message together.

    Args:
        fields: The request's fields.
        items: The items to send.
        previous_response_id: What to continue from.
        stream_id: The lane, or None for the default one.
        generate: False to prepare state only.
    """
    head = [b'{"type":"response.create",', fields.encoded]
    if stream_id is not None:
        head += [b',"stream_id":', encode(stream_id)]
    if previous_response_id is not None:
        head += [b',"previous_response_id":', encode(previous_response_id)]
    if not generate:
        head.append(b',"generate":false')
    head.append(b',"input":[')
    return _payload(head, items, b"]}")


def window(items: Sequence[Item]) -> Sequence[Item]:
    """The part of a conversation that has to be sent when all of it is.

    A compaction item stands for everything before it (OpenAI's guide "Compaction"), so that is
    left out; unless an output behind it answers a call before it, which the API would refuse.

    Args:
        items: The conversation's items, a list.
    """
    if Compaction not in set(map(type, items)):
        return items
    start = len(items) - 1
    while not isinstance(latest := items[start], Compaction):
        start -= 1
    rest = items[max(0, start - latest.window) :]
    calls = {str(item.call_id) for item in rest if isinstance(item, FunctionCall)}
    answered = (str(item.call_id) for item in rest if isinstance(item, FunctionOutput))
    return rest if calls.issuperset(answered) else items


def http_payload(
    fields: Fields, items: Sequence[Item], *, previous_response_id: str | None = None
) -> Payload:
    """Puts the body of a streaming ``POST /responses`` together.

    Args:
        fields: The request's fields.
        items: The items to send.
        previous_response_id: What to continue from.
    """
    head = [b'{"stream":true,', fields.encoded]
    if previous_response_id is not None:
        head += [b',"previous_response_id":', encode(previous_response_id)]
    return _payload([*head, b',"input":['], items, b"]}")


def compact_payload(fields: Fields, items: Sequence[Item]) -> Payload:
    """Puts the body of a ``POST /responses/compact`` together."""
    return _payload([b"{", fields.encoded, b',"input":['], items, b"]}")


def cancel_payload(response_id: str, stream_id: str | None) -> Payload:
    """Puts a ``response.cancel`` message together.

    No documentation promises that a Responses server understands it: it is a courtesy, sent once.
    """
    message: dict[str, Any] = {"type": "response.cancel", "response_id": response_id}
    if stream_id is not None:
        message["stream_id"] = stream_id
    data = encode(message)
    return Payload(((data,),), len(data))


def steer_payload(response_id: str, items: Sequence[Item]) -> Payload:
    """Puts a ``response.steer`` message together.

    Args:
        response_id: The response that runs.
        items: User messages.
    """
    head = b'{"type":"response.steer","previous_response_id":' + encode(response_id)
    return _payload([head, b',"input":['], items, b"]}")


def items_size(items: Iterable[Item]) -> int:
    """Bytes that items take up in a request, commas included."""
    return sum(each.size + 1 for each in items)


def _payload(head: list[bytes], items: Sequence[Item], tail: bytes) -> Payload:
    runs: list[Sequence[bytes]] = [head]
    size = sum(map(len, head)) + sum([each.size for each in items]) + max(0, len(items) - 1)
    for start in range(0, len(items), ITEMS_PER_RUN):
        some = items[start : start + ITEMS_PER_RUN]
        data = [each.data for each in some if each.data is not None]
        if len(data) == len(some):
            # Comma, item, comma, item, … put together at the speed of C.
            run = [b","] * (2 * len(data))
            run[1::2] = data
            runs.append(run if start else run[1:])
            continue
        # Some are large; they stay in pieces.
        for number, each in enumerate(some, start):
            runs += [[b","] if number else [], *([piece] for piece in each.pieces)]
    runs.append([tail])
    return Payload(tuple(runs), size + len(tail))
