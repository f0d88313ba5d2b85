"""What is asked of each server that stands in for this API, by raw requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import aiohttp
import jsonschema

Json: TypeAlias = Mapping[str, Any]

MODEL = "gpt-4.1"
HEADERS = {"authorization": "Bearer sk-any"}
SAID = "count to 20"
"""What every server has an answer for."""
WITHIN = 5.0
"""Seconds that a server may take to answer a raw request."""

_STRICT = {"type": "json_schema", "name": "x", "strict": True}
WRONG: Mapping[str, Json] = {
    "a model that does not exist": {"model": "gpt-none"},
    "no model": {"model": None},
    "a number for input": {"input": 5},
    "a role that does not exist": {"input": [{"role": "robot", "content": SAID}]},
    "a part of an unknown type": {"input": [{"role": "user", "content": [{"type": "x"}]}]},
    "an output without its call": {
        "input": [
            {"role": "user", "content": SAID},
            {"type": "function_call_output", "call_id": "call_none", "output": "x"},
        ]
    },
    "a temperature of 5": {"temperature": 5},
    "too few output tokens": {"max_output_tokens": 1},
    "a tool without a name": {"tools": [{"type": "function", "parameters": {}}]},
    "a strict schema that is open": {
        "text": {"format": {**_STRICT, "schema": {"type": "object", "properties": {}}}}
    },
    "an unknown include": {"include": ["everything"]},
    "a field that does not exist": {"colour": "red"},
}
"""Requests that the API refuses, by what is wrong; the rest of each is right."""


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


SCHEMAS: tuple[Json, ...] = (
    _object(name={"type": "string"}, age={"type": "integer"}),
    _object(city={"type": "string"}, unit={"type": "string", "enum": ["celsius", "fahrenheit"]}),
    _object(tags={"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 4}),
    _object(when={"type": "string", "format": "date-time"}, who={"type": ["string", "null"]}),
    _object(score={"type": "number", "minimum": 0.5, "exclusiveMaximum": 1}),
    _object(code={"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"}),
    _object(
        kind={"const": "invoice"}, lines={"type": "array", "items": _object(sum={"type": "number"})}
    ),
    _object(
        value={"anyOf": [{"type": "integer", "multipleOf": 7}, _object(x={"type": "boolean"})]}
    ),
    {
        **_object(node={"$ref": "#/$defs/node"}),
        "$defs": {
            "node": _object(
                name={"type": "string"},
                children={"type": "array", "items": {"$ref": "#/$defs/node"}},
            )
        },
    },
    _object(
        size={"type": "integer", "minimum": 3, "maximum": 5},
        email={"type": "string", "format": "email"},
    ),
)
"""Schemas of structured output, all within the documented subset."""


async def check_all(session: aiohttp.ClientSession, origin: str) -> dict[str, str]:
    """Puts every check to a server that has its answers scripted.

    Args:
        session: What asks.
        origin: Where the server is.

    Returns:
        Of each check, what came of it, as the table has it.
    """
    url = f"{origin}/v1/responses"
    valid = [await _is_valid(session, url, schema) for schema in SCHEMAS]
    refused = [await _refused(session, url, {"input": SAID, **wrong}) for wrong in WRONG.values()]
    found = {
        "values for schemas that nobody scripted": f"{sum(valid)} of {len(valid)}",
        "wrong requests refused with a 400": f"{sum(refused)} of {len(refused)}",
    }
    found["WebSocket"] = found["lanes"] = found["memory of a connection"] = "no"
    try:
        async with session.ws_connect(url, headers=HEADERS, timeout=_CLOSING) as socket:
            found["WebSocket"] = "yes"
            found["memory of a connection"] = _mark(await _remembers(socket))
        async with session.ws_connect(url, headers=HEADERS, timeout=_CLOSING) as socket:
            ended = await _ask(socket, {"stream_id": "a"})
            found["lanes"] = _mark(ended.get("stream_id") == "a")
    except (aiohttp.WSServerHandshakeError, TimeoutError, ConnectionError):
        pass
    return found


async def breaks_off(session: aiohttp.ClientSession, origin: str) -> bool:
    """Whether a stream begins to speak, and its connection ends before its end."""
    body = {"model": MODEL, "input": "break off", "stream": True}
    text = b""
    url = f"{origin}/v1/responses"
    try:
        async with session.post(url, json=body, headers=HEADERS) as answer:
            async for chunk in answer.content.iter_any():
                text += chunk
    except aiohttp.ClientError:
        return b"response.output_text.delta" in text and b"response.completed" not in text
    return False


_CLOSING = aiohttp.ClientWSTimeout(ws_close=1)


def _mark(passed: bool) -> str:
    return "yes" if passed else "no"


async def _post(session: aiohttp.ClientSession, url: str, body: Json) -> tuple[int, Any]:
    timeout = aiohttp.ClientTimeout(total=WITHIN)
    async with session.post(url, json=body, headers=HEADERS, timeout=timeout) as answer:
        try:
            return answer.status, json.loads(await answer.read())
        except ValueError:
            return answer.status, None


async def _refused(session: aiohttp.ClientSession, url: str, fields: Json) -> bool:
    """Whether the API's refusal of a wrong request comes: a 400, or a 404 for the model."""
    try:
        status, _ = await _post(session, url, {"model": MODEL, **fields})
    except (aiohttp.ClientError, TimeoutError):
        return False
    return status in (400, 404) if "model" in fields else status == 400


async def _is_valid(session: aiohttp.ClientSession, url: str, schema: Json) -> bool:
    form = {**_STRICT, "schema": schema}
    body = {"model": MODEL, "input": "Make one up.", "text": {"format": form}}
    try:
        _, response = await _post(session, url, body)
        messages = [item for item in response["output"] if item["type"] == "message"]
        jsonschema.validate(json.loads(messages[0]["content"][0]["text"]), schema)
    except (
        aiohttp.ClientError,
        TimeoutError,
        LookupError,
        TypeError,
        ValueError,
        jsonschema.ValidationError,
    ):
        return False
    return True


async def _ask(socket: aiohttp.ClientWebSocketResponse, fields: Json) -> Json:
    """The last event of an answer."""
    await socket.send_json({"type": "response.create", "model": MODEL, "input": SAID, **fields})
    async with asyncio.timeout(WITHIN):
        while True:
            event: Json = await socket.receive_json()
            if event["type"] in ("response.completed", "response.failed", "error"):
                return event


async def _remembers(socket: aiohttp.ClientWebSocketResponse) -> bool:
    """Whether what was not stored can be continued, and what never was cannot."""
    first = await _ask(socket, {"store": False})
    parent = first.get("response", {}).get("id")
    second = await _ask(socket, {"store": False, "previous_response_id": parent})
    third = await _ask(socket, {"store": False, "previous_response_id": "resp_" + "0" * 32})
    return (second["type"], third["type"]) == ("response.completed", "error")
