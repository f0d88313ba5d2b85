"""Events: what a server says, decoded straight into the few fields that are used.

Both transports carry the same events (OpenAI's API reference, "Streaming events"). Decoding never
raises for an event that is merely unknown, incomplete or odd: unknown types become None, missing
and wrongly typed fields read as absent. Only bytes that are not a JSON object raise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

from pipecat_responses.protocol.encoding import mend_surrogates
from pipecat_responses.protocol.errors import ResponsesError, read_error
from pipecat_responses.protocol.failures import Failure


class Status(StrEnum):
    """How a response ended."""

    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one response. What a server leaves out counts as 0.

    Attributes:
        input: Input tokens.
        output: Output tokens.
        total: All tokens.
        cached: Input tokens that came out of the cache.
        cache_write: Input tokens that were written to the cache.
        reasoning: Output tokens that went into reasoning.
    """

    input: int = 0
    output: int = 0
    total: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


class Created(msgspec.Struct, frozen=True):
    """The server has accepted a request.

    Attributes:
        response_id: The response's id.
        continues: Whether it says that it continues from another response; None if it does not
            say.
    """

    response_id: str | None
    continues: bool | None = None


class Began(msgspec.Struct, frozen=True):
    """The server has begun the response (its parent is part of it now)."""


class ItemRef(msgspec.Struct, frozen=True):
    """Which item of a response an event is about, as far as the server says.

    Attributes:
        index: Its place in the response.
        item_id: Its id, or an empty string.
    """

    index: int | None = None
    item_id: str = ""


NO_ITEM = ItemRef()


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """A piece of the answer's text, or of a refusal.

    Attributes:
        text: The piece.
        index: The place of its item in the response, if the server said.
        item_id: The item's id, or an empty string.
        part: The part of the message, if the server said.
    """

    text: str
    index: int | None = None
    item_id: str = ""
    part: int | None = None


class ThoughtDelta(msgspec.Struct, frozen=True):
    """A piece of the model's reasoning, or of its summary."""

    text: str


class TextDone(msgspec.Struct, frozen=True):
    """The whole text of a part of the answer."""

    ref: ItemRef
    text: str
    part: int | None = None


class ItemAdded(msgspec.Struct, frozen=True):
    """The model has begun an item."""

    ref: ItemRef
    kind: str
    name: str = ""
    call_id: str = ""
    phase: str = ""
    namespace: str = ""


class ArgumentsDelta(msgspec.Struct, frozen=True):
    """A piece of the arguments of a call (or of a custom tool's input)."""

    ref: ItemRef
    kind: str
    text: str


class ArgumentsDone(msgspec.Struct, frozen=True):
    """The arguments of a call are complete: JSON text, an object from some servers, or None."""

    ref: ItemRef
    arguments: Any


class ItemDone(msgspec.Struct, frozen=True):
    """The model has finished an item."""

    ref: ItemRef
    kind: str
    item: Mapping[str, Any]


class Activity(msgspec.Struct, frozen=True):
    """The response is alive, and nothing of it is of use here (deltas of arguments, say)."""


DETAILS = ("service_tier", "moderation", "prompt_cache_diagnostics", "store")
"""What a server says of how it has answered, beside the answer and its tokens."""


class Terminal(msgspec.Struct, frozen=True):
    """The last event of a response."""

    status: Status
    response_id: str | None
    output: tuple[Any, ...] | None
    usage: Usage | None
    model: str | None
    reason: str | None
    error: ResponsesError | None
    details: Mapping[str, Any] = {}


class Refused(msgspec.Struct, frozen=True):
    """An ``error`` event: the request was refused, or the response broke off."""

    error: ResponsesError


class SteerAccepted(msgspec.Struct, frozen=True):
    """The server has what the user said meanwhile, and will go on with it.

    Attributes:
        response_id: The response that it was said in, if the server says.
    """

    response_id: str | None


class SteerPending(msgspec.Struct, frozen=True):
    """The server keeps it until the client has answered what the response has called.

    Attributes:
        response_id: The response that it was said in, if the server says.
    """

    response_id: str | None


class SteerFailed(msgspec.Struct, frozen=True):
    """The server does not go on with it.

    Attributes:
        response_id: The response that it was said in, if the server says.
        error: Why.
        unsupported: Whether that is since it can do so with no response of this model.
    """

    response_id: str | None
    error: ResponsesError
    unsupported: bool = False


class Succeeded(msgspec.Struct, frozen=True):
    """The response has ended, and the server goes on by itself in a successor.

    No server sends it: a connection tells its listeners (``protocol.connection``).

    Attributes:
        terminal: The end of the response.
    """

    terminal: Terminal


Event: TypeAlias = (
    Created
    | Began
    | TextDelta
    | ThoughtDelta
    | TextDone
    | ItemAdded
    | ArgumentsDelta
    | ArgumentsDone
    | ItemDone
    | Activity
    | Terminal
    | Refused
    | SteerAccepted
    | SteerPending
    | SteerFailed
    | Succeeded
)

ACTIVITY = Activity()
BEGAN = Began()


class Envelope(msgspec.Struct, frozen=True):
    """An event as it came, with its larger parts not yet decoded."""

    type: Any = None
    stream_id: Any = None
    item_id: Any = None
    output_index: Any = None
    content_index: Any = None
    delta: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    input: Any = None
    response: msgspec.Raw = msgspec.Raw(b"null")
    item: msgspec.Raw = msgspec.Raw(b"null")


_FIELDS = Envelope.__struct_fields__
_decoder = msgspec.json.Decoder(Envelope)


def decode(data: bytes | bytearray | memoryview | str) -> Envelope:
    """Decodes one event's JSON.

    Args:
        data: The JSON text.

    Returns:
        The event, to be read with ``read``.

    Raises:
        ResponsesError: If it is not a JSON object.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        loosely = _decode_loosely(data)
        if loosely is not None:
            return loosely
        raise ResponsesError(
            f"The server sent something that is no event: {error}", failure=Failure.PROTOCOL
        ) from None


def _decode_loosely(data: bytes | bytearray | memoryview | str) -> Envelope | None:
    """Decodes an event that holds half a surrogate pair, as when an emoji is cut in two.

    The halves stay in pieces of text, where the other half may follow. In whole items nothing
    follows, so there U+FFFD takes their place.
    """
    try:
        text = data if isinstance(data, str) else bytes(data).decode()
        value = json.loads(text) if "\\ud" in text.lower() else None
        if not isinstance(value, dict):
            return None
        parts = {
            name: msgspec.Raw(mend_surrogates(json.dumps(value[name], ensure_ascii=False)).encode())
            for name in ("response", "item")
            if name in value
        }
    except (ValueError, RecursionError):
        return None
    known = {name: value[name] for name in _FIELDS if name in value and name not in parts}
    return Envelope(**known, **parts)


def read(
    wire: Envelope, data: bytes | bytearray | memoryview | str, *, transport: str = "websocket"
) -> Event | None:
    """Reads a decoded event.

    Args:
        wire: The decoded event.
        data: Its JSON text (errors are read whole, since their shapes differ).
        transport: Where it came from, for errors.

    Returns:
        The event: ``ACTIVITY`` if its type is not known, None if it has none.
    """
    kind = wire.type
    # First what comes most.
    if kind == "response.output_text.delta" or kind == "response.refusal.delta":
        text, index, item_id = wire.delta, wire.output_index, wire.item_id
        part = wire.content_index
        if type(text) is not str:
            return ACTIVITY
        return TextDelta(
            text,
            index if type(index) is int else None,
            item_id if type(item_id) is str else "",
            part if type(part) is int else None,
        )
    if kind in _THOUGHTS:
        return ThoughtDelta(wire.delta) if isinstance(wire.delta, str) else ACTIVITY
    if not isinstance(kind, str):
        # An error of a gateway may come without a type.
        return Refused(read_error(_loads(data), transport=transport)) if _has_error(data) else None
    if kind == "response.created":
        response = _loads(wire.response)
        return Created(_str(response.get("id")) or None, _continues(response))
    if kind == "response.in_progress":
        return BEGAN
    if kind in ("response.output_text.done", "response.refusal.done"):
        text = wire.text if kind == "response.output_text.done" else wire.refusal
        if not isinstance(text, str):
            return ACTIVITY
        return TextDone(_ref(wire), text, _index(wire.content_index))
    if kind == "response.output_item.added":
        item = _loads(wire.item)
        return ItemAdded(
            _ref(wire, item),
            _str(item.get("type")),
            _str(item.get("name")),
            _str(item.get("call_id")),
            _str(item.get("phase")),
            _str(item.get("namespace")),
        )
    if kind == "response.output_item.done":
        item = _loads(wire.item)
        return ItemDone(_ref(wire, item), _str(item.get("type")), item)
    if kind in _ARGUMENTS:
        if not isinstance(wire.delta, str):
            return ACTIVITY
        return ArgumentsDelta(_ref(wire), _ARGUMENTS[kind], wire.delta)
    if kind == "response.function_call_arguments.done":
        return ArgumentsDone(_ref(wire), wire.arguments)
    if kind == "error":
        return Refused(read_error(_loads(data), transport=transport))
    if kind in _TERMINAL:
        return _terminal(_TERMINAL[kind], _loads(wire.response), transport)
    if kind in _STEERING:
        return _steering(kind, _loads(data), transport)
    # Whatever it is, it shows that the server is alive.
    return ACTIVITY


def _steering(kind: str, wire: Mapping[str, Any], transport: str) -> Event:
    steer = wire.get("steer")
    named = steer.get("previous_response_id") if isinstance(steer, Mapping) else None
    response_id = _str(named) or None
    if kind == "response.steer.accepted":
        return SteerAccepted(response_id)
    if kind == "response.steer.pending":
        return SteerPending(response_id)
    error = read_error(wire, transport=transport, response_id=response_id)
    return SteerFailed(response_id, error, error.code == "steering_not_supported")


def _continues(response: Mapping[str, Any]) -> bool | None:
    if "previous_response_id" not in response:
        return None
    return response["previous_response_id"] is not None


# Open models show their reasoning itself instead of a summary.
_THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")

_ARGUMENTS = {
    "response.function_call_arguments.delta": "function_call",
    "response.custom_tool_call_input.delta": "custom_tool_call",
}

_STEERING = ("response.steer.accepted", "response.steer.pending", "response.steer.failed")

_TERMINAL = {
    "response.completed": Status.COMPLETED,
    "response.incomplete": Status.INCOMPLETE,
    "response.failed": Status.FAILED,
}


def read_response(data: bytes, *, transport: str) -> Event:
    """Reads a whole response, as a server gives it that does not stream.

    Args:
        data: Its JSON text.
        transport: Where it came from, for errors.

    Returns:
        Its terminal event, or ``Refused`` if it is an error or no response at all.
    """
    response = _loads(data)
    status = _STATUSES.get(_str(response.get("status")))
    if status is None and isinstance(response.get("output"), list):
        status = Status.COMPLETED
    if status is None:
        said = response if response.get("error") else {"message": "The answer is no response"}
        return Refused(read_error(said, transport=transport))
    return _terminal(status, response, transport)


_STATUSES = {status.value: status for status in Status}


def _terminal(status: Status, response: Mapping[str, Any], transport: str) -> Terminal:
    response_id = _str(response.get("id")) or None
    error: ResponsesError | None = None
    if status is Status.FAILED:
        said = response.get("error")
        error = read_error(
            {"message": "The response failed", **said}
            if isinstance(said, Mapping)
            else {"message": "The response failed without saying why"},
            transport=transport,
            response_id=response_id,
        )
    details = response.get("incomplete_details")
    reason = _str(details.get("reason")) if isinstance(details, Mapping) else ""
    output = response.get("output")
    return Terminal(
        status=status,
        response_id=response_id,
        output=tuple(output) if isinstance(output, list) else None,
        usage=read_usage(response.get("usage")),
        model=_str(response.get("model")) or None,
        reason=reason or None,
        error=error,
        details={name: response[name] for name in DETAILS if response.get(name) is not None},
    )


def read_usage(wire: Any) -> Usage | None:
    """Reads a ``usage`` object; None if there is none."""
    if not isinstance(wire, Mapping):
        return None
    into = wire.get("input_tokens_details")
    out = wire.get("output_tokens_details")
    into = into if isinstance(into, Mapping) else {}
    out = out if isinstance(out, Mapping) else {}
    return Usage(
        input=_count(wire.get("input_tokens")),
        output=_count(wire.get("output_tokens")),
        total=_count(wire.get("total_tokens")),
        cached=_count(into.get("cached_tokens")),
        cache_write=_count(into.get("cache_write_tokens")),
        reasoning=_count(out.get("reasoning_tokens")),
    )


def _loads(data: bytes | bytearray | memoryview | str | msgspec.Raw) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _has_error(data: bytes | bytearray | memoryview | str) -> bool:
    return isinstance(_loads(data).get("error"), (dict, str))


def _ref(wire: Envelope, item: Mapping[str, Any] | None = None) -> ItemRef:
    item_id = _str(item.get("id")) if item is not None else ""
    return ItemRef(_index(wire.output_index), item_id or _str(wire.item_id))


def _index(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _str(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0
    # Also keeps NaN and infinities out.
    return int(value) if 0 <= value < 1e15 else 0
