"""From a Pipecat context to the items of a conversation.

A message is converted and encoded once in its life. Pipecat changes messages in place (a tool's
``IN_PROGRESS`` becomes its result), so neither a message's identity nor a copy of its reference
says that it is the same as last time. Every message is therefore kept as a *snapshot*: its
containers copied, its strings shared. Comparing a context with its snapshots is a comparison of
lists and dicts that ends at shared strings, at the speed of C; only what differs is looked at
further.

What the API would refuse for ever after is repaired on the way (see ``_Ledger``), and what cannot
be sent at all is reported with the place where it stands (``ContextMessageError``).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Required, TypedDict
from weakref import WeakKeyDictionary, WeakValueDictionary

from loguru import logger
from openai import NOT_GIVEN as OPENAI_NOT_GIVEN
from openai import NotGiven as OpenAINotGiven
from pipecat.adapters.llm.base_llm_adapter import BaseLLMAdapter, LLMContextConversionError
from pipecat.adapters.llm.schemas.tools_schema import AdapterType, ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage
from pipecat.utils.types import is_given

from pipecat_responses.core.encoding import LARGE_TEXT, encode, encode_in_pieces
from pipecat_responses.core.items import (
    TEXT_PARTS,
    FunctionCall,
    FunctionOutput,
    Item,
    Message,
    Reasoning,
    item,
)

NOT_COMPLETED = "This function call was not completed, and it has no result."
"""The output that stands in for one that the context lacks."""

CALL_ID_LENGTH = 64
"""The longest ``call_id`` that the API takes."""

_BLOCK = 256
"""Messages that are compared at a time, to find the first that differs."""

_BATCH = 128
"""Messages that are converted before other work on the event loop gets a turn."""

_LONG = 100
"""Characters of an opaque string that a log shows."""


class ContextMessageError(LLMContextConversionError):
    """A message of the context cannot be sent.

    Attributes:
        index: The message's index in the context.
        role: Its role, or None if it has none.
    """

    def __init__(self, index: int, role: str | None, problem: object) -> None:
        """Creates the error.

        Args:
            index: The message's index in the context.
            role: Its role, or None if it has none.
            problem: What is wrong with it, without a word of its content.
        """
        self.index = index
        self.role = role
        super().__init__(
            ValueError(
                f"message {index} of the context (role {role!r}) cannot be sent: {problem}. "
                "Correct the message or remove it; until then every turn fails."
            )
        )


class OpenAIResponsesLLMInvocationParams(TypedDict, total=False):
    """What a context says, as arguments of the SDK's ``responses.create``.

    Attributes:
        input: The conversation's items.
        tools: The tools, or the SDK's ``NOT_GIVEN``.
        instructions: The system instruction, if there is one.
        tool_choice: The context's choice of a tool, if it makes one.
    """

    input: Required[list[dict[str, Any]]]
    tools: Required[list[dict[str, Any]] | OpenAINotGiven]
    instructions: str
    tool_choice: Any


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a context says, in the API's terms.

    Attributes:
        items: The conversation's items. The list is the caller's own, the items are shared: an
            unchanged message gives the same objects every time.
        tools: The tools, or None without any.
        tool_choice: The context's choice of a tool, or None if it makes none.
        instructions: The system instruction, or None if there is none or it became an item.
    """

    items: list[Item]
    tools: list[dict[str, Any]] | None
    tool_choice: Any | None
    instructions: str | None


class OpenAIResponsesLLMAdapter(BaseLLMAdapter[OpenAIResponsesLLMInvocationParams]):
    """Converts Pipecat's contexts for the Responses API, each message once.

    Contexts may alternate and be converted at the same time; what is kept of a context goes when
    the context goes.
    """

    def __init__(self) -> None:
        """Creates an adapter that has not seen any context."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._histories: WeakKeyDictionary[LLMContext, _History] = WeakKeyDictionary()
        # Finds the entry of a message that another context, or another place, has converted.
        # The ids are hints: an entry counts only after its snapshot compared equal.
        self._entries: WeakValueDictionary[int, _Entry] = WeakValueDictionary()
        self._warned: set[str] = set()
        self._instruction_item: Message | None = None

    @property
    def id_for_llm_specific_messages(self) -> str:
        """The name under which contexts hold messages for this API only."""
        return "openai_responses"

    async def get_llm_invocation_params(  # type: ignore[override]
        self, context: LLMContext, *, system_instruction: str | None = None
    ) -> OpenAIResponsesLLMInvocationParams:
        """What a context says, as arguments of the SDK's ``responses.create``.

        Args:
            context: The context.
            system_instruction: The system instruction in force, if any.

        Returns:
            Arguments that the caller may change.

        Raises:
            ContextMessageError: If a message cannot be sent.
        """
        conversion = await self.convert(context, system_instruction=system_instruction)
        params: OpenAIResponsesLLMInvocationParams = {
            "input": [_copied(entry.wire, []) for entry in conversion.items],
            "tools": OPENAI_NOT_GIVEN if conversion.tools is None else conversion.tools,
        }
        if conversion.instructions is not None:
            params["instructions"] = conversion.instructions
        if conversion.tool_choice is not None:
            params["tool_choice"] = conversion.tool_choice
        return params

    async def convert(
        self, context: LLMContext, *, system_instruction: str | None = None
    ) -> Conversion:
        """What a context says at this moment, in the API's terms.

        Without new messages of size nothing is awaited. Large ones are encoded in steps between
        which other work goes on; messages that change meanwhile count for the next call.

        Args:
            context: The context.
            system_instruction: The system instruction in force, if any.

        Returns:
            Items, tools, choice of a tool and instructions.

        Raises:
            ContextMessageError: If a message cannot be sent. What could be converted is kept.
        """
        messages: list[Any] = context.get_messages()
        self._warn_of_system_message(messages, system_instruction)
        tools = self._tools(context)
        tool_choice = _tool_choice(context.tool_choice)
        history = self._histories.get(context)
        if history is None:
            history = self._histories[context] = self._start(messages)
        same = history.common(messages)
        if same < len(messages) or same < len(history.entries):
            await self._follow(history, list(messages), same)
        items = history.ledger.items()
        if items or not system_instruction:
            return Conversion(items, tools, tool_choice, system_instruction or None)
        # The API wants at least one item; instructions alone are refused.
        only = self._instruction_item
        if only is None or only.text != system_instruction:
            only = Message({"role": "developer", "content": system_instruction})
            self._instruction_item = only
        return Conversion([only], tools, tool_choice, None)

    def to_provider_tools_format(self, tools_schema: ToolsSchema) -> list[dict[str, Any]]:
        """The tools of a schema as the API takes them.

        ``strict`` is always written: left out, the API would turn it on by itself.

        Args:
            tools_schema: Pipecat's standard tools, and custom ones for OpenAI.

        Returns:
            Function tools, then the custom tools as they are.
        """
        tools: list[dict[str, Any]] = []
        for function in tools_schema.standard_tools:
            known = function.to_default_dict()
            tool: dict[str, Any] = {"type": "function", "name": known["name"]}
            if "description" in known:
                tool["description"] = known["description"]
            tool["parameters"] = known.get("parameters", {})
            tool["strict"] = known.get("strict")
            tools.append(tool)
        if tools_schema.custom_tools:
            tools.extend(tools_schema.custom_tools.get(AdapterType.OPENAI, []))
        return tools

    def get_messages_for_logging(self, context: LLMContext) -> list[dict[str, Any]]:
        """The messages of a context for a log: binary data and encrypted reasoning shortened.

        Args:
            context: The context.

        Returns:
            Copies, of which the long strings are not part. Messages for other LLMs are left out.
        """
        shown: list[dict[str, Any]] = []
        for message in context.get_messages():
            if isinstance(message, LLMSpecificMessage):
                if message.llm == self.id_for_llm_specific_messages:
                    payload = _for_log(message.message, _LONG)
                    shown.append(payload if isinstance(payload, dict) else {"message": payload})
            else:
                known = _for_log(message, None)
                shown.append(known if isinstance(known, dict) else {"message": repr(type(known))})
        return shown

    def supports_file_url(self, url: str, mime_type: str) -> bool:
        """Whether OpenAI fetches a URL itself: it does for images and files over HTTP."""
        return url.startswith(("http://", "https://"))

    def _warn_of_system_message(
        self, messages: Sequence[Any], system_instruction: str | None
    ) -> None:
        first = messages[0] if messages else None
        if not isinstance(first, dict) or first.get("role") != "system":
            return
        self._warn_context_system_message()  # type: ignore[no-untyped-call]
        content = first.get("content")
        if system_instruction and isinstance(content, str):
            self._resolve_system_instruction(
                content, system_instruction, discard_context_system=False
            )

    def _tools(self, context: LLMContext) -> list[dict[str, Any]] | None:
        tools = self.from_standard_tools(context.tools)
        if tools is None or not is_given(tools) or not tools:
            return None
        return tools

    def _warn_once(self, warning: str) -> None:
        if warning in self._warned:
            return
        if len(self._warned) >= 1024:
            self._warned.clear()
        self._warned.add(warning)
        logger.warning(warning)

    def _start(self, messages: list[Any]) -> _History:
        """A history for a new context: most are copies of one that is known."""
        best, length = None, 0
        for other in self._histories.values():
            if length == len(messages):
                break
            common = other.common(messages)
            if common > length:
                best, length = other, common
        return _History(self._warn_once) if best is None else best.fork(length)

    async def _follow(self, history: _History, messages: list[Any], same: int) -> None:
        """Brings a history up to date with messages, of which the first ``same`` are in it.

        Nothing of the history is touched before all messages are there, since others may follow
        it to somewhere else during an await.
        """
        entries = history.entries[:same]
        version = history.version
        found: list[_Entry | _Draft] = []
        for index in range(same, len(messages)):
            known = self._known(history, messages[index], index)
            found.append(known or _Draft(messages[index], index))
        converted = 0
        try:
            for entry in found:
                if isinstance(entry, _Draft):
                    entries.append(await self._converted(entry))
                    converted += 1
                    if converted % _BATCH == 0:
                        await asyncio.sleep(0)
                else:
                    entries.append(entry)
        finally:
            # Also after an error: what comes before it need not be converted again.
            if len(entries) == len(messages) or len(entries) > len(history.entries):
                history.become(entries, same if history.version == version else 0)

    def _known(self, history: _History, message: Any, index: int) -> _Entry | None:
        # At the same place, if only some messages changed; else wherever it was.
        if index < len(history.entries):
            entry = history.entries[index]
            if _equal(entry.snapshot, message):
                return entry
        found = self._entries.get(id(message))
        if found is not None and _equal(found.snapshot, message):
            return found
        return None

    async def _converted(self, draft: _Draft) -> _Entry:
        """Converts a message and encodes its items, large ones in steps."""
        try:
            if draft.problem is not None:
                raise draft.problem
            if isinstance(draft.content, LLMSpecificMessage):
                wires = self._specific_wires(draft.content)
            else:
                if _holds_file(draft.content):
                    await self._prepare_files(draft.content)
                wires = list(self._wires(draft.content))
            items = []
            for wire in wires:
                if not _is_large(wire):
                    built = item(wire)
                    _ = built.pieces  # Encoded now, so that what JSON cannot hold shows here.
                else:
                    pieces = []
                    for piece in encode_in_pieces(wire):
                        pieces.append(piece)
                        await asyncio.sleep(0)
                    built = item(wire, pieces)
                items.append(built)
        except (AttributeError, LookupError, OverflowError, RecursionError, TypeError) as error:
            problem = f"it is malformed ({type(error).__name__}: {error})"
            raise ContextMessageError(draft.index, draft.role, problem) from error
        except UnicodeError:
            problem = "it holds text that is not valid Unicode"
            raise ContextMessageError(draft.index, draft.role, problem) from None
        except ValueError as error:
            raise ContextMessageError(draft.index, draft.role, error) from error
        entry = _Entry(draft.snapshot, tuple(items))
        self._entries[draft.key] = entry
        return entry

    async def _prepare_files(self, message: dict[str, Any]) -> None:
        try:
            await self.prepare_file_content(LLMContext([message]))  # type: ignore[list-item]
        except LLMContextConversionError as error:
            # The queries of URLs hold signatures, which are secret.
            reason = _QUERY.sub("?...", str(error.__cause__))
            raise ValueError(f"its file cannot be fetched: {reason}") from error

    def _specific_wires(self, message: LLMSpecificMessage) -> list[dict[str, Any]]:
        if message.llm != self.id_for_llm_specific_messages:
            self._warn_once(
                f"Messages for the LLM {message.llm!r} are left out of the conversation: this "
                f"service reads only standard messages and {self.id_for_llm_specific_messages!r} "
                "ones."
            )
            return []
        payload = message.message
        if not isinstance(payload, dict):
            raise ValueError("an LLM-specific message must hold an item, a JSON object")
        _require_json(payload)
        if payload.get("type") != "reasoning":
            return [payload]
        wire: dict[str, Any] = {"type": "reasoning"}
        if payload.get("id") is not None:
            wire["id"] = payload["id"]
        wire["summary"] = payload.get("summary") or []
        if payload.get("encrypted_content"):
            wire["encrypted_content"] = payload["encrypted_content"]
        return [wire]

    def _wires(self, message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The items of a standard message, as the API takes them."""
        role = message.get("role")
        if role in ("system", "developer", "user"):
            content = self._input(message.get("content"))
            # Without content nothing was said, and the API refuses null.
            if content is not None:
                yield {"role": "user" if role == "user" else "developer", "content": content}
        elif role == "assistant":
            content = self._said(message)
            if content is not None:
                yield {"role": "assistant", "content": content}
            yield from map(_call, message.get("tool_calls") or ())
        elif role == "tool":
            yield {
                "type": "function_call_output",
                "call_id": _string(message, "tool_call_id"),
                "output": self._result(message.get("content")),
            }
        else:
            raise ValueError(
                "its role must be 'system', 'developer', 'user', 'assistant' or 'tool'"
            )

    def _input(self, content: Any) -> str | list[dict[str, Any]] | None:
        if content is None or isinstance(content, str):
            return content
        return [self._part(part, "input_text") for part in _parts(content)] or None

    def _said(self, message: Mapping[str, Any]) -> str | list[dict[str, Any]] | None:
        """The content of an assistant message, or None if it says nothing.

        Its texts are ``output_text`` parts: the API refuses ``input_text`` from the assistant.
        """
        content = message.get("content")
        refusal = message.get("refusal")
        parts: list[dict[str, Any]] = []
        if isinstance(content, str):
            if not refusal:
                return content or None
            if content:
                parts.append({"type": "output_text", "text": content})
        elif content is not None:
            parts.extend(self._part(part, "output_text") for part in _parts(content))
            parts = [part for part in parts if part.get("text") != ""]
        if refusal:
            parts.append({"type": "refusal", "refusal": _string(message, "refusal")})
        return _text_alone(parts) if len(parts) == 1 else parts or None

    def _result(self, content: Any) -> str | list[dict[str, Any]]:
        """The output of a function: text, parts that the API takes as they are, or JSON text."""
        if content is None:
            return ""
        if isinstance(content, str):
            return content
        if content and isinstance(content, (list, tuple)) and all(map(_is_result_part, content)):
            parts = [self._part(part, "input_text") for part in content]
            return _text_alone(parts) if len(parts) == 1 else parts
        _require_json(content)
        return encode(content).decode()

    def _part(self, part: dict[str, Any], text_type: str) -> dict[str, Any]:
        kind = part.get("type")
        if kind in TEXT_PARTS:
            if kind == text_type:
                _require_json(part)
                return part
            return {"type": text_type, "text": _string(part, "text", empty=True)}
        if kind == "image_url":
            image = part.get("image_url")
            if isinstance(image, str):
                image = {"url": image}
            return _image(_string(image, "url"), _object(image).get("detail"))
        if kind == "file_base64":
            file = _object(part.get("file"))
            data = _string(file, "file_data")
            if _string(file, "mime_type").startswith("image/"):
                return _image(data, file.get("detail"))
            return _input_file(filename=_file_name(file), file_data=data)
        if kind == "file_url":
            return self._file_by_url(_object(part.get("file")))
        _require_json(part)
        return part

    def _file_by_url(self, file: dict[str, Any]) -> dict[str, Any]:
        url = _string(file, "url")
        image = _string(file, "mime_type").startswith("image/")
        try:
            data = self.inlined_file_content(file)
        except ValueError as error:
            raise ValueError(
                "its file cannot be fetched, by OpenAI or by the service's file resolver"
            ) from error
        if data is None:
            return _image(url, file.get("detail")) if image else _input_file(file_url=url)
        if not isinstance(data, str):
            raise TypeError("the file resolver gave bytes instead of a data URL")
        if image:
            return _image(data, file.get("detail"))
        return _input_file(filename=_file_name(file), file_data=data)


class _Entry:
    """A message that was converted: its snapshot, and the items it gives."""

    __slots__ = ("__weakref__", "items", "snapshot")

    def __init__(self, snapshot: Any, items: tuple[Item, ...]) -> None:
        self.snapshot = snapshot
        self.items = items


class _Draft:
    """A message to be converted, as it is at this moment."""

    __slots__ = ("content", "index", "key", "problem", "role", "snapshot")

    def __init__(self, message: Any, index: int) -> None:
        self.key = id(message)
        self.index = index
        self.role: str | None = None
        self.problem: Exception | None = None
        self.content: Any = None
        self.snapshot: Any = None
        try:
            if isinstance(message, LLMSpecificMessage):
                self.role = f"specific to {message.llm}"
                payload, snapshot = _snapshot(message.message)
                self.content = LLMSpecificMessage(message.llm, payload)
                self.snapshot = _Specific(message.llm, snapshot)
            elif isinstance(message, dict):
                role = message.get("role")
                self.role = role if isinstance(role, str) else None
                self.content, self.snapshot = _snapshot(message)
            else:
                raise ValueError(f"a message must be a dict, not {type(message).__name__}")
        except (ValueError, RecursionError) as error:
            self.problem = error


class _History:
    """A context's messages as they were when it was last converted."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.version = 0
        self.entries: list[_Entry] = []
        self.ledger = _Ledger(warn)
        self._snapshots: list[Any] = []
        self._ends: list[int] = []

    def common(self, messages: list[Any]) -> int:
        """How many messages from the first on are as they were."""
        length = min(len(messages), len(self._snapshots))
        for start in range(0, length, _BLOCK):
            stop = min(start + _BLOCK, length)
            if not _equal(self._snapshots[start:stop], messages[start:stop]):
                while start < stop and _equal(self._snapshots[start], messages[start]):
                    start += 1
                if start < stop:
                    return start
        return length

    def become(self, entries: list[_Entry], same: int) -> None:
        """Takes over the entries of another state of the context.

        Args:
            entries: One for each message.
            same: How many of them, from the first on, are known to be in place.
        """
        length = min(len(entries), len(self.entries))
        while same < length and entries[same] is self.entries[same]:
            same += 1
        self._cut(same)
        self.version += 1
        self.entries = entries
        for entry in entries[same:]:
            self._snapshots.append(entry.snapshot)
            self.ledger.extend(entry.items)
            self._ends.append(len(self.ledger.raw))

    def fork(self, length: int) -> _History:
        """A history of its own that begins with the same messages.

        Args:
            length: How many they are.
        """
        fork = _History(self.ledger.warn)
        fork.entries = self.entries[:length]
        fork.ledger = self.ledger.copy()
        fork._snapshots = self._snapshots.copy()
        fork._ends = self._ends.copy()
        fork._cut(length)
        return fork

    def _cut(self, length: int) -> None:
        self.ledger.truncate(self._ends[length - 1] if length else 0)
        del self._snapshots[length:], self._ends[length:]


_ABSENT: Any = object()
_TABLES = ("_uses", "_waiting", "_latest", "_open", "_ids", "_replaced", "_dropped")


class _Ledger:
    """The items of a context in order, and what has to change for the API to take them.

    1. Every call has one output, later than the call. A call that has none gets ``NOT_COMPLETED``
       behind its group of parallel calls; the next conversion looks again. An output whose call
       did not come before it is left out. A second output of a call takes the place of the first,
       as when Pipecat writes a result over its placeholder.
    2. A call id belongs to one call. A call that uses it again gets an id of its own, ``<id>_2``,
       and so does its output; outputs of one id answer its calls in their order.
    3. A reasoning item comes before what it led to: an output of the model, not something that
       the user or a function said. One that led to nothing is left out.

    Items are added at the end and cut off at the end. ``_undo`` holds, for each entry of a table
    that an item changed, what was there before, so that cutting costs what is cut.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.raw: list[Item] = []
        self.warn = warn
        self._fillers: dict[str, Item] = {}
        # By the id that the context gives: how many calls have it, which of them (by index) wait
        # for their output, and where the output of the last one is that has one.
        self._uses: dict[str, int] = {}
        self._waiting: dict[str, tuple[int, ...]] = {}
        self._latest: dict[str, int] = {}
        # By a call's index: the id that it is sent with, for those without an output.
        self._open: dict[int, str] = {}
        # All ids that calls are sent with.
        self._ids: dict[str, int] = {}
        # By an item's index: what is sent instead of it, and whether nothing is.
        self._replaced: dict[int, Item] = {}
        self._dropped: dict[int, bool] = {}
        self._undo: list[tuple[int, str, Any, Any]] = []

    def truncate(self, length: int) -> None:
        """Forgets all items from an index on."""
        while self._undo and self._undo[-1][0] >= length:
            _, name, key, before = self._undo.pop()
            table = getattr(self, name)
            if before is _ABSENT:
                del table[key]
            else:
                table[key] = before
        del self.raw[length:]

    def copy(self) -> _Ledger:
        """A ledger of its own with the same items."""
        twin = _Ledger(self.warn)
        for name in ("raw", "_undo", "_fillers", *_TABLES):
            setattr(twin, name, getattr(self, name).copy())
        return twin

    def extend(self, items: Sequence[Item]) -> None:
        """Adds items at the end."""
        for entry in items:
            self.raw.append(entry)
            if isinstance(entry, FunctionCall):
                self._add_call(len(self.raw) - 1, entry)
                continue
            if isinstance(entry, FunctionOutput):
                if self._add_output(len(self.raw) - 1, entry):
                    self._drop_reasoning(len(self.raw) - 1)
            elif isinstance(entry, Message) and entry.role != "assistant":
                self._drop_reasoning(len(self.raw) - 1)

    def items(self) -> list[Item]:
        """All items, in a list of the caller's own, as the API takes them."""
        end = self._reasoning_start(len(self.raw))
        result: list[Item | None] = self.raw[:end]  # type: ignore[assignment]
        for index, entry in self._replaced.items():
            if index < end:
                result[index] = entry
        for index in self._dropped:
            if index < end:
                result[index] = None
        for index in sorted(self._open, reverse=True):
            result.insert(self._group_end(index), self._filler(self._open[index]))
        if self._dropped:
            return [entry for entry in result if entry is not None]
        return result  # type: ignore[return-value]

    def _set(self, index: int, name: str, key: Any, value: Any) -> None:
        table = getattr(self, name)
        self._undo.append((index, name, key, table.get(key, _ABSENT)))
        if value is _ABSENT:
            del table[key]
        else:
            table[key] = value

    def _add_call(self, index: int, call: FunctionCall) -> None:
        given = call.call_id
        if not isinstance(given, str):
            return
        call_id = given
        if given in self._ids:
            self.warn(
                f"The context has {given!r} as the id of more than one function call: the later "
                "ones and their outputs are sent with ids of their own."
            )
            call_id = self._free_id(given)
            self._set(index, "_replaced", index, _with_call_id(call, call_id))
        self._set(index, "_ids", call_id, index)
        self._set(index, "_uses", given, self._uses.get(given, 0) + 1)
        self._set(index, "_waiting", given, (*self._waiting.get(given, ()), index))
        self._set(index, "_open", index, call_id)

    def _free_id(self, call_id: str) -> str:
        number = max(2, self._uses.get(call_id, 0) + 1)
        while True:
            suffix = f"_{number}"
            free = call_id[: CALL_ID_LENGTH - len(suffix)] + suffix
            if free not in self._ids:
                return free
            number += 1

    def _add_output(self, index: int, output: FunctionOutput) -> bool:
        """Takes an output in, and says whether it stays where it is."""
        given = output.call_id
        if not isinstance(given, str):
            return True
        waiting = self._waiting.get(given)
        if waiting:
            call_id = self._open[waiting[0]]
            if call_id != given:
                self._set(index, "_replaced", index, _with_call_id(output, call_id))
            self._set(index, "_open", waiting[0], _ABSENT)
            self._set(index, "_waiting", given, waiting[1:])
            self._set(index, "_latest", given, index)
            return True
        first = self._latest.get(given)
        if first is None:
            self.warn(
                f"The output of the function call {given!r} has no call before it in the "
                "context, which the API refuses: it is left out."
            )
        else:
            self.warn(
                f"The context has more than one output of the function call {given!r}: the last "
                "one is sent, in the place of the first."
            )
            call_id = str(self._replaced.get(first, self.raw[first]).wire["call_id"])
            latest = output if call_id == given else _with_call_id(output, call_id)
            self._set(index, "_replaced", first, latest)
        self._set(index, "_dropped", index, True)
        return False

    def _reasoning_start(self, end: int) -> int:
        """Where the run of reasoning items begins that ends before an index."""
        start = end
        while end > 0:
            end -= 1
            if isinstance(self.raw[end], Reasoning):
                start = end
            elif end not in self._dropped:
                break
        return start

    def _drop_reasoning(self, index: int) -> None:
        for place in range(self._reasoning_start(index), index):
            if place not in self._dropped:
                logger.debug("A reasoning item that led to nothing is left out of the input.")
                self._set(index, "_dropped", place, True)

    def _group_end(self, index: int) -> int:
        while index < len(self.raw) and isinstance(self.raw[index], FunctionCall):
            index += 1
        return index

    def _filler(self, call_id: str) -> Item:
        filler = self._fillers.get(call_id)
        if filler is None:
            self.warn(
                f"The function call {call_id!r} has no output in the context, which the API "
                "refuses: the model is told that the call was not completed."
            )
            filler = self._fillers[call_id] = FunctionOutput(
                {"type": "function_call_output", "call_id": call_id, "output": NOT_COMPLETED}
            )
        return filler


class _Specific:
    """The snapshot of an ``LLMSpecificMessage``."""

    __slots__ = ("llm", "payload")

    def __init__(self, llm: str, payload: Any) -> None:
        self.llm = llm
        self.payload = payload

    def __eq__(self, other: object) -> bool:
        return (
            other.__class__ is LLMSpecificMessage
            and self.llm == other.llm
            and self.payload == other.message
        )

    __hash__ = None  # type: ignore[assignment]


class _Leaf:
    """A value in a snapshot whose own equality does not do.

    To Python 1, 1.0 and True are equal, but to JSON they differ. Objects that JSON does not know
    may compare in any way; they are the same only if they are identical.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        value = self.value
        return other is value or (
            isinstance(value, (int, float))
            and type(other) is type(value)
            and repr(other) == repr(value)
        )

    __hash__ = None  # type: ignore[assignment]


def _snapshot(value: Any) -> tuple[Any, Any]:
    """A copy to convert from, and one to compare with (the same, if strings are all it holds)."""
    odd: list[Any] = []
    copied = _copied(value, odd)
    return copied, _with_leaves(copied) if odd else copied


def _copied(value: Any, odd: list[Any]) -> Any:
    if value is None or isinstance(value, (str, bytes)):
        return value
    if isinstance(value, dict):
        return {key: _copied(entry, odd) for key, entry in value.items()}
    if isinstance(value, list):
        return [_copied(entry, odd) for entry in value]
    if isinstance(value, tuple):
        return tuple([_copied(entry, odd) for entry in value])
    odd.append(value)
    return value


def _with_leaves(value: Any) -> Any:
    if value is None or isinstance(value, (str, bytes)):
        return value
    if isinstance(value, dict):
        return {key: _with_leaves(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_with_leaves(entry) for entry in value]
    if isinstance(value, tuple):
        return tuple([_with_leaves(entry) for entry in value])
    return _Leaf(value)


def _equal(snapshot: Any, message: Any) -> bool:
    try:
        return bool(snapshot == message)
    except (TypeError, ValueError, RecursionError):
        # Some objects refuse to be compared, arrays for one.
        return False


def _require_json(value: Any) -> None:
    """Refuses what is not JSON: it could change without notice, or be encoded as a surprise."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return
    if isinstance(value, dict):
        for key, entry in value.items():
            if not isinstance(key, str):
                raise ValueError(f"it has a key of type {type(key).__name__}, not a string")
            _require_json(entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            _require_json(entry)
    else:
        raise ValueError(f"it holds a {type(value).__name__}, which is not JSON")


def _is_large(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) >= LARGE_TEXT
    if isinstance(value, dict):
        return any(map(_is_large, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_is_large, value))
    return False


def _with_call_id(entry: Item, call_id: str) -> Item:
    """The same call or output under another id; what was encoded in pieces stays so."""
    wire = {**entry.wire, "call_id": call_id}
    head = encode({"type": wire.get("type"), "call_id": entry.wire["call_id"]})[:-1]
    first, *rest = entry.pieces
    if not rest or not first.startswith(head):
        return item(wire)
    new_head = encode({"type": wire.get("type"), "call_id": call_id})[:-1]
    return item(wire, (new_head + first[len(head) :], *rest))


def _string(mapping: Any, key: str, *, empty: bool = False) -> str:
    value = _object(mapping).get(key)
    if not isinstance(value, str) or not (value or empty):
        raise ValueError(f"{key!r} must be a string{'' if empty else ' that is not empty'}")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"it has a {type(value).__name__} where an object is needed")
    return value


def _parts(content: Any) -> Sequence[dict[str, Any]]:
    if not isinstance(content, (list, tuple)):
        raise ValueError(f"its content must be text or a list, not {type(content).__name__}")
    for part in content:
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise ValueError("a part of its content is not an object with a 'type'")
    return content


def _text_alone(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    only = parts[0]
    if only["type"] in TEXT_PARTS and only.keys() == {"type", "text"}:
        return str(only["text"])
    return parts


def _call(call: Any) -> dict[str, Any]:
    function = _object(_object(call).get("function"))
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        _require_json(arguments)
        arguments = "{}" if arguments is None else encode(arguments).decode()
    return {
        "type": "function_call",
        "call_id": _string(call, "id"),
        "name": _string(function, "name"),
        # An empty string is not JSON; the API writes no arguments as an empty object.
        "arguments": arguments or "{}",
    }


_RESULT_PARTS = TEXT_PARTS | {
    "file_base64",
    "file_url",
    "image_url",
    "input_file",
    "input_image",
}
_QUERY = re.compile(r"\?[^\s'\"]+")
_FILE_PARTS = frozenset({"file_base64", "file_url"})


def _is_result_part(part: Any) -> bool:
    return isinstance(part, dict) and _kind(part) in _RESULT_PARTS


def _holds_file(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return isinstance(content, (list, tuple)) and any(
        isinstance(part, dict) and _kind(part) in _FILE_PARTS for part in content
    )


def _kind(part: Mapping[str, Any]) -> str | None:
    kind = part.get("type")
    return kind if isinstance(kind, str) else None


def _image(url: str, detail: Any) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url, "detail": detail or "auto"}


def _input_file(**fields: str) -> dict[str, Any]:
    return {"type": "input_file", **fields}


def _file_name(file: Mapping[str, Any]) -> str:
    return str(file.get("filename") or "")


def _tool_choice(choice: Any) -> Any | None:
    """A context's choice of a tool in the Responses API's form (Chat Completions nests names)."""
    if choice is None or not is_given(choice):
        return None
    if not isinstance(choice, dict):
        return choice
    function = choice.get("function")
    if choice.get("type") == "function" and isinstance(function, dict):
        return {"type": "function", "name": function.get("name")}
    return choice


_BINARY = frozenset({"audio", "data", "encrypted_content", "file_data"})


def _for_log(value: Any, longest: int | None) -> Any:
    if isinstance(value, str):
        if value.startswith("data:"):
            return value[:_LONG].partition(",")[0] + ",..."
        if longest is not None and len(value) > longest:
            return f"{value[:longest]}...({len(value)} chars)"
        return value
    if isinstance(value, (bytes, bytearray)):
        return "..."
    if isinstance(value, dict):
        return {
            key: "..." if key in _BINARY and isinstance(entry, str) else _for_log(entry, longest)
            for key, entry in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_for_log(entry, longest) for entry in value]
    return value
