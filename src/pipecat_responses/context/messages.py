"""One message of a context as items of the API.

Pipecat's contexts hold messages in the form of Chat Completions, and messages for one LLM only.
What the API has another shape for is written in that shape; what is in the API's shape already,
known or not, passes as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from pipecat_responses.protocol.encoding import encode
from pipecat_responses.protocol.items import TEXT_PARTS

Inlined: TypeAlias = Callable[[dict[str, Any]], bytes | str | None]
"""Gives a file's content as a data URL, or None if OpenAI fetches its URL itself.

Raises ``ValueError`` if the content is nowhere to be had.
"""

LEADS_TO = "leads_to"
"""In a reasoning message: what the reasoning led to (see ``protocol.items.Reasoning``).

Pipecat writes text and calls into the context when they are over, and so not always behind the
reasoning that led to them.
"""

RUN_HERE = "run_here"
"""In a call that is kept as the model put it out: that the client runs it, and has its output.

A server puts out calls of custom tools that it runs by itself in the same form.
"""

_FILE_PARTS = frozenset({"file_base64", "file_url"})
_RESULT_PARTS = TEXT_PARTS | _FILE_PARTS | {"image_url", "input_file", "input_image"}

WINDOW = "window"
"""In a compaction: how many messages before it go with it (see ``protocol.items.Compaction``)."""

_MARKS = (RUN_HERE, WINDOW)


def standard_wires(message: Mapping[str, Any], inlined: Inlined) -> Iterator[dict[str, Any]]:
    """The items of a standard message.

    Args:
        message: The message, in the form of Chat Completions.
        inlined: Asked about each file that is given by its URL.

    Yields:
        Each item as the API takes it.

    Raises:
        ValueError: If the message cannot be sent, with the reason. Other exceptions
            (``AttributeError``, ``LookupError``, ``TypeError`` and the like) mean that it is
            malformed.
    """
    role = message.get("role")
    if role in ("system", "developer", "user"):
        content = _input(message.get("content"), inlined)
        # Without content nothing was said, and the API refuses null.
        if content is not None:
            yield {"role": "user" if role == "user" else "developer", "content": content}
    elif role == "assistant":
        content = _said(message, inlined)
        if content is not None:
            yield {"role": "assistant", "content": content}
        yield from map(_call, message.get("tool_calls") or ())
    elif role == "tool":
        yield {
            "type": "function_call_output",
            "call_id": _string(message, "tool_call_id"),
            "output": _result(message.get("content"), inlined),
        }
    else:
        raise ValueError("its role must be 'system', 'developer', 'user', 'assistant' or 'tool'")


def _input(content: Any, inlined: Inlined) -> str | list[dict[str, Any]] | None:
    if content is None or isinstance(content, str):
        return content
    return [_part(part, "input_text", inlined) for part in _parts(content)] or None


def _said(message: Mapping[str, Any], inlined: Inlined) -> str | list[dict[str, Any]] | None:
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
        parts.extend(_part(part, "output_text", inlined) for part in _parts(content))
        parts = [part for part in parts if part.get("text") != ""]
    if refusal:
        parts.append({"type": "refusal", "refusal": _string(message, "refusal")})
    return _text_alone(parts) if len(parts) == 1 else parts or None


def _result(content: Any, inlined: Inlined) -> str | list[dict[str, Any]]:
    """The output of a function: text, parts that the API takes as they are, or JSON text."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if content and isinstance(content, (list, tuple)) and all(map(_is_result_part, content)):
        parts = [_part(part, "input_text", inlined) for part in content]
        return _text_alone(parts) if len(parts) == 1 else parts
    _require_json(content)
    return encode(content).decode()


def _part(part: dict[str, Any], text_type: str, inlined: Inlined) -> dict[str, Any]:
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
        return _file_by_url(_object(part.get("file")), inlined)
    _require_json(part)
    return part


def _file_by_url(file: dict[str, Any], inlined: Inlined) -> dict[str, Any]:
    url = _string(file, "url")
    image = _string(file, "mime_type").startswith("image/")
    try:
        data = inlined(file)
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


def specific_wire(payload: Any) -> dict[str, Any]:
    """The item that a message for this API only holds.

    Args:
        payload: What the message holds, an item.

    Returns:
        The item as the API takes it: reasoning without what only an answer has, anything else as
        it is. ``LEADS_TO``, ``RUN_HERE`` and ``WINDOW`` are left for ``context.encoded``.

    Raises:
        ValueError: If it is not a JSON object.
    """
    if not isinstance(payload, dict):
        raise ValueError("an LLM-specific message must hold an item, a JSON object")
    _require_json(payload)
    if payload.get("type") != "reasoning":
        # What is taken out of it is not to be missing in what was captured.
        return {**payload} if any(mark in payload for mark in _MARKS) else payload
    wire: dict[str, Any] = {"type": "reasoning"}
    if payload.get("id") is not None:
        wire["id"] = payload["id"]
    wire["summary"] = payload.get("summary") or []
    if payload.get("encrypted_content"):
        wire["encrypted_content"] = payload["encrypted_content"]
    if isinstance(payload.get(LEADS_TO), str):
        wire[LEADS_TO] = payload[LEADS_TO]
    return wire


def holds_file(message: Mapping[str, Any]) -> bool:
    """Whether a standard message holds a file, which may have to be fetched before conversion.

    Args:
        message: The message, in the form of Chat Completions.
    """
    content = message.get("content")
    return isinstance(content, (list, tuple)) and any(
        isinstance(part, dict) and _kind(part) in _FILE_PARTS for part in content
    )


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


def _text_alone(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    only = parts[0]
    if only["type"] in TEXT_PARTS and only.keys() == {"type", "text"}:
        return str(only["text"])
    return parts


def _is_result_part(part: Any) -> bool:
    return isinstance(part, dict) and _kind(part) in _RESULT_PARTS


def _kind(part: Mapping[str, Any]) -> str | None:
    kind = part.get("type")
    return kind if isinstance(kind, str) else None


def _image(url: str, detail: Any) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url, "detail": detail or "auto"}


def _input_file(**fields: str) -> dict[str, Any]:
    return {"type": "input_file", **fields}


def _file_name(file: Mapping[str, Any]) -> str:
    return str(file.get("filename") or "")


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
