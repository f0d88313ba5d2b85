"""Which parts of a request a server takes: what it refuses, and what it drops without a word.

Fields are named by dotted paths. A step from a list goes on in each of its elements, or names one
that is a string: ``tools.strict``, ``include.reasoning.encrypted_content``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pipecat_responses.sandbox.config import SandboxConfig
from pipecat_responses.sandbox.dialects import Objection, refuse
from pipecat_responses.sandbox.errors import ApiError
from pipecat_responses.sandbox.requests import INCLUDABLE

ENCRYPTED_REASONING = "include.reasoning.encrypted_content"

Found = tuple[tuple[str | int, ...], Any]
"""The way to a value, and the value."""


def check_features(body: dict[str, Any], config: SandboxConfig) -> None:
    """Checks that a request asks for nothing that the server does not take.

    Args:
        body: The request as sent.
        config: What the server takes.

    Raises:
        ApiError: For the first thing that it does not take, in its words.
    """
    for field in _refused(config):
        for path, value in _find(body, field, ()):
            raise refuse(config.dialect, Objection(path, value, _instead(path, config)))
    if config.storage == "rejected" and body.get("store", False) is not False:
        raise refuse(config.dialect, Objection(("store",), body["store"], (False,)))
    if config.instructions_when_continuing == "rejected" and body.get("instructions"):
        parent = "previous_response_id"
        if body.get(parent):
            instructions = body["instructions"]
            raise refuse(config.dialect, Objection(("instructions",), instructions, beside=parent))


def taken(body: dict[str, Any], config: SandboxConfig) -> dict[str, Any]:
    """A request without what the server drops, and without a wish to store where it does not."""
    dropped = config.dropped_fields
    if config.encrypted_reasoning == "ignored":
        dropped = (*dropped, ENCRYPTED_REASONING)
    for field in dropped:
        body = _without(body, field)
    return body if config.storage == "supported" else {**body, "store": False}


def lanes_of(config: SandboxConfig) -> Literal["supported", "rejected", "ignored"]:
    """What becomes of ``stream_id``, which is decided before a request has a lane to wait on."""
    if "stream_id" in config.refused_fields:
        return "rejected"
    return "ignored" if "stream_id" in config.dropped_fields else config.lanes


def no_lanes(stream_id: object, config: SandboxConfig) -> ApiError:
    """The refusal of a lane by a server that has none."""
    return refuse(config.dialect, Objection(("stream_id",), stream_id))


def _refused(config: SandboxConfig) -> tuple[str, ...]:
    refused = config.refused_fields
    if config.generate_false == "rejected":
        refused = ("generate", *refused)
    if config.encrypted_reasoning == "rejected":
        refused = (*refused, ENCRYPTED_REASONING)
    return refused


def _instead(path: tuple[str | int, ...], config: SandboxConfig) -> tuple[str, ...] | None:
    """What may stand in a list in the place of an entry that is refused."""
    if path[0] != "include" or len(path) == 1:
        return None
    refused = _refused(config)
    return tuple(entry for entry in INCLUDABLE if f"include.{entry}" not in refused)


def _find(value: Any, field: str, path: tuple[str | int, ...]) -> Iterator[Found]:
    if isinstance(value, list):
        for index, element in enumerate(value):
            if element == field:
                yield (*path, index), element
            else:
                yield from _find(element, field, (*path, index))
    elif isinstance(value, dict):
        name, _, deeper = field.partition(".")
        if name not in value:
            return
        if deeper:
            yield from _find(value[name], deeper, (*path, name))
        else:
            yield (*path, name), value[name]


def _without(value: Any, field: str) -> Any:
    if isinstance(value, list):
        return [_without(element, field) for element in value if element != field]
    if not isinstance(value, dict):
        return value
    name, _, deeper = field.partition(".")
    if name not in value:
        return value
    if deeper:
        return {**value, name: _without(value[name], deeper)}
    return {key: element for key, element in value.items() if key != name}
