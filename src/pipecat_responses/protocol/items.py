"""Items: what a conversation consists of, and when two of them mean the same.

An item is immutable. It is built once from a context message, encoded once, and shared by
every request and checkpoint that holds it, so comparing a long conversation with itself compares
pointers. Two items that were built apart are equal when they mean the same to the model:

- messages by role and text, whether the content is a string or text parts; with images, files or
  audio, part by part;
- calls by call id, name and arguments as JSON values;
- calls of custom tools by call id, name and input;
- outputs by call id and content;
- reasoning, and items of kinds that this package does not look into, by id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pipecat_responses.protocol.encoding import encode
from pipecat_responses.protocol.speech import Speech

TEXT = ""
"""What reasoning led to, if it is no call: the assistant's next message. No call has this id."""

CUSTOM_CALL = "custom_tool_call"
CUSTOM_OUTPUT = "custom_tool_call_output"
CALLS = ("function_call", CUSTOM_CALL)
APPROVAL_REQUEST = "mcp_approval_request"
COMPACTION = "compaction"

TEXT_PARTS = frozenset({"input_text", "output_text", "text"})


class Item:
    """One item of a conversation, with its wire form encoded once.

    Attributes:
        wire: The item as the API takes it, a JSON object.
        data: Its JSON, or None if that is large and stays in pieces.
        pieces: Its JSON in one or more pieces.
        size: Length of its JSON in bytes.
    """

    __slots__ = ("data", "pieces", "size", "wire")

    def __init__(self, wire: Mapping[str, Any], pieces: Sequence[bytes] | None = None) -> None:
        """Encodes an item.

        Args:
            wire: The item as the API takes it. Not to be changed afterwards.
            pieces: Its JSON, if it has been encoded already (large items are, in steps).

        Raises:
            TypeError: If it holds what JSON cannot.
        """
        self.wire = wire
        self.pieces = (encode(wire),) if pieces is None else tuple(pieces)
        self.data = self.pieces[0] if len(self.pieces) == 1 else None
        self.size = sum(map(len, self.pieces))

    def means_same(self, other: Item) -> bool:
        """Whether another item of the same kind means the same to the model."""
        return same_value(self.wire, other.wire)

    def __eq__(self, other: object) -> bool:
        """Items are equal when they mean the same."""
        if self is other:
            return True
        return type(self) is type(other) and self.means_same(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Names the kind only: contents are people's conversations."""
        return f"<{type(self).__name__}>"


class Message(Item):
    """A message of a role: text, or parts of text, images, files and audio.

    Attributes:
        role: ``"user"``, ``"assistant"``, ``"developer"`` or ``"system"``.
        text: The text, when there is nothing but text; else None.
    """

    __slots__ = ("_speech", "role", "text")

    def __init__(self, wire: Mapping[str, Any], pieces: Sequence[bytes] | None = None) -> None:
        """Creates a message from its wire form (``role`` and ``content``)."""
        super().__init__(wire, pieces)
        self.role = wire.get("role")
        self.text = plain_text(wire.get("content"))
        self._speech: Speech | None = None

    @property
    def speech(self) -> Speech | None:
        """The text, made ready for comparison by words; worked out once, and None without text."""
        if self._speech is None and self.text is not None:
            self._speech = Speech.of(self.text)
        return self._speech

    def means_same(self, other: Item) -> bool:
        """Same role and same text, or the same parts."""
        assert isinstance(other, Message)
        if self.role != other.role:
            return False
        if self.text is not None or other.text is not None:
            return self.text == other.text
        return same_value(self.wire.get("content"), other.wire.get("content"))


class FunctionCall(Item):
    """A call of a function by the model.

    Attributes:
        call_id: The id that ties the call to its output.
        name: The function's name.
        arguments: The arguments as JSON text, as written.
        original: Whether it is as the model put it out, and not what Pipecat made of that.
    """

    __slots__ = ("arguments", "call_id", "name", "original")

    def __init__(
        self,
        wire: Mapping[str, Any],
        pieces: Sequence[bytes] | None = None,
        *,
        original: bool = False,
    ) -> None:
        """Creates a call from its wire form (``call_id``, ``name``, ``arguments``)."""
        super().__init__(wire, pieces)
        self.call_id = wire.get("call_id")
        self.name = wire.get("name")
        self.arguments = wire.get("arguments")
        self.original = original

    def means_same(self, other: Item) -> bool:
        """Same call id and name, and arguments that are equal as JSON values."""
        assert isinstance(other, FunctionCall)
        if self.call_id != other.call_id or self.name != other.name:
            return False
        return self.arguments == other.arguments or same_json(self.arguments, other.arguments)


class CustomCall(FunctionCall):
    """A call of a custom tool that the client runs; its input is free text.

    Attributes:
        input: The input.
    """

    __slots__ = ("input",)

    def __init__(self, wire: Mapping[str, Any], pieces: Sequence[bytes] | None = None) -> None:
        """Creates a call from its wire form (``call_id``, ``name``, ``input``)."""
        super().__init__(wire, pieces, original=True)
        self.input = wire.get("input")

    def means_same(self, other: Item) -> bool:
        """Same call id, name and input."""
        assert isinstance(other, CustomCall)
        return (self.call_id, self.name, self.input) == (other.call_id, other.name, other.input)


class ApprovalRequest(FunctionCall):
    """A call of a remote MCP tool that waits for approval: its answer is an item like an output."""

    __slots__ = ()

    def __init__(self, wire: Mapping[str, Any], pieces: Sequence[bytes] | None = None) -> None:
        """Creates a request from its wire form; its id takes the place of a call id."""
        super().__init__(wire, pieces)
        self.call_id = wire.get("id")


class ApplicationCall(FunctionCall):
    """A call of a computer, a shell or a patch, most of which the API leaves to the application.

    This package has no handlers for them; an application may write down their outputs by itself. A
    shell may be the server's own, which puts out the output with the call.
    """

    __slots__ = ()

    def means_same(self, other: Item) -> bool:
        """Same kind and call id."""
        assert isinstance(other, ApplicationCall)
        return (self.wire.get("type"), self.call_id) == (other.wire.get("type"), other.call_id)


class FunctionOutput(Item):
    """The output of a function call.

    Attributes:
        call_id: The id of the call it answers.
    """

    __slots__ = ("call_id",)

    def __init__(self, wire: Mapping[str, Any], pieces: Sequence[bytes] | None = None) -> None:
        """Creates an output from its wire form (``call_id``, ``output``)."""
        super().__init__(wire, pieces)
        self.call_id = wire.get("call_id")

    def means_same(self, other: Item) -> bool:
        """Same call and same content."""
        assert isinstance(other, FunctionOutput)
        return self.call_id == other.call_id and same_value(
            self.wire.get("output"), other.wire.get("output")
        )


class CustomOutput(FunctionOutput):
    """The output of a custom tool's call."""

    __slots__ = ()


class ApplicationOutput(FunctionOutput):
    """The output of a computer, a shell or a patch."""

    __slots__ = ()

    def __init__(self, wire: Mapping[str, Any], pieces: Sequence[bytes] | None = None) -> None:
        """Creates an output from its wire form; a local shell's has the call's id as its own."""
        super().__init__(wire, pieces)
        self.call_id = wire.get("call_id") or wire.get("id")


class ApprovalResponse(FunctionOutput):
    """The answer to a request for approval."""

    __slots__ = ()

    def __init__(self, wire: Mapping[str, Any], pieces: Sequence[bytes] | None = None) -> None:
        """Creates an answer from its wire form (``approval_request_id``, ``approve``)."""
        super().__init__(wire, pieces)
        self.call_id = wire.get("approval_request_id")

    def means_same(self, other: Item) -> bool:
        """Same request and same answer."""
        assert isinstance(other, ApprovalResponse)
        mine, its = self.wire.get("approve"), other.wire.get("approve")
        return self.call_id == other.call_id and mine is its


class Reasoning(Item):
    """A reasoning item; its encrypted content is opaque, its id says which it is.

    Attributes:
        id: The item's id, or None if the server gave none.
        leads_to: What it led to, if that is known: a call's id, or ``TEXT``.
    """

    __slots__ = ("id", "leads_to")

    def __init__(
        self,
        wire: Mapping[str, Any],
        pieces: Sequence[bytes] | None = None,
        leads_to: str | None = None,
    ) -> None:
        """Creates a reasoning item from its wire form (``id``, ``encrypted_content``, …)."""
        super().__init__(wire, pieces)
        self.id = wire.get("id")
        self.leads_to = leads_to

    def means_same(self, other: Item) -> bool:
        """Same id; without ids, the same item as a whole."""
        assert isinstance(other, Reasoning)
        if self.id is None or other.id is None:
            return same_value(self.wire, other.wire)
        return bool(self.id == other.id)


class OtherItem(Item):
    """Any item this package has no need to look into (sent as it is)."""

    __slots__ = ()

    def means_same(self, other: Item) -> bool:
        """Same type and id; without ids, the same item as a whole."""
        mine, its = self.wire.get("id"), other.wire.get("id")
        if isinstance(mine, str) and mine and mine == its:
            return bool(self.wire.get("type") == other.wire.get("type"))
        return super().means_same(other)


class Compaction(OtherItem):
    """What a server has made of a conversation: it stands for everything before it.

    Attributes:
        window: How many items before it go with it, since the server gave them with it.
    """

    __slots__ = ("window",)

    def __init__(
        self, wire: Mapping[str, Any], pieces: Sequence[bytes] | None = None, window: int = 0
    ) -> None:
        """Creates a compaction from its wire form (``id``, ``encrypted_content``)."""
        super().__init__(wire, pieces)
        self.window = window


_KINDS: dict[str, type[Item]] = {
    "message": Message,
    "function_call": FunctionCall,
    "function_call_output": FunctionOutput,
    "reasoning": Reasoning,
    APPROVAL_REQUEST: ApprovalRequest,
    "mcp_approval_response": ApprovalResponse,
    COMPACTION: Compaction,
    "computer_call": ApplicationCall,
    "local_shell_call": ApplicationCall,
    "apply_patch_call": ApplicationCall,
    "shell_call": ApplicationCall,
    "computer_call_output": ApplicationOutput,
    "local_shell_call_output": ApplicationOutput,
    "apply_patch_call_output": ApplicationOutput,
    "shell_call_output": ApplicationOutput,
}


def make_item(wire: Mapping[str, Any], pieces: Sequence[bytes] | None = None) -> Item:
    """Builds the item that a wire form describes.

    Args:
        wire: A JSON object as the API takes it. An object with a ``role`` and no ``type`` is a
            message (the API's short form).
        pieces: Its JSON, if it has been encoded already.
    """
    kind = wire.get("type")
    if kind is None and "role" in wire:
        kind = "message"
    return _KINDS.get(str(kind), OtherItem)(wire, pieces)


def original_call(wire: Mapping[str, Any], pieces: Sequence[bytes] | None = None) -> FunctionCall:
    """Builds a call that the client runs, from the item that the model put out.

    Args:
        wire: A ``function_call`` or ``custom_tool_call``.
        pieces: Its JSON, if it has been encoded already.
    """
    if wire.get("type") == CUSTOM_CALL:
        return CustomCall(wire, pieces)
    return FunctionCall(wire, pieces, original=True)


def plain_text(content: Any) -> str | None:
    """The text of a message's content, or None if it holds anything but text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts: list[str] = []
    for part in content:
        if not isinstance(part, Mapping) or part.get("type") not in TEXT_PARTS:
            return None
        text = part.get("text")
        if not isinstance(text, str):
            return None
        texts.append(text)
    return "".join(texts)


def same_value(one: Any, other: Any) -> bool:
    """Whether two decoded JSON values are the same (Python calls 1, 1.0 and true equal)."""
    if one is other:
        return True
    if one != other:
        return False
    return isinstance(one, str) or _written(one) == _written(other)


def same_json(one: Any, other: Any) -> bool:
    """Whether two JSON texts hold the same value (key order and white space do not matter)."""
    try:
        return _canonical(one) == _canonical(other)
    except (msgspec.DecodeError, TypeError, UnicodeEncodeError):
        return False


def _canonical(text: Any) -> bytes:
    return _written(msgspec.json.decode(text))


def _written(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
