"""``/_sandbox``: the sandbox's own controls, for those who do not hold it as a Python object."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from pipecat_responses.sandbox.answers import answer_from_json
from pipecat_responses.sandbox.config import SandboxConfig
from pipecat_responses.sandbox.faults import fault_from_json
from pipecat_responses.sandbox.http import json_response
from pipecat_responses.sandbox.records import masked
from pipecat_responses.sandbox.typed import checked, types_of

if TYPE_CHECKING:
    from pipecat_responses.sandbox.server import Sandbox

_NOT_SCALAR = ("responder",)
_UNBOUNDED = ("seed",)
_BOUNDS = {
    "cache_step_tokens": (1, sys.maxsize),
    "max_body": (1, sys.maxsize),
    "max_in_flight": (1, sys.maxsize),
    "websocket_status": (200, 599),
}
"""The least and the most of fields that take other numbers than those from 0 on."""


class Control:
    """The handlers of the control endpoint."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Controls a sandbox."""
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        """The endpoint's routes."""
        return [
            web.get("/_sandbox", self.state),
            web.post("/_sandbox/faults", self.add_faults),
            web.delete("/_sandbox/faults", self.clear_faults),
            web.patch("/_sandbox/config", self.configure),
            web.post("/_sandbox/cut", self.cut),
            web.post("/_sandbox/script", self.script),
        ]

    async def state(self, request: web.Request) -> web.StreamResponse:
        """``GET /_sandbox``: configuration, faults, connections, and requests so far."""
        sandbox = self._sandbox
        return json_response(
            {
                "base_url": sandbox.base_url,
                "ws_url": sandbox.ws_url,
                "config": config_as_json(sandbox.config),
                "faults": sandbox.faults.as_json(),
                "scripted": sandbox.scripted,
                "connections": sandbox.connections,
                "connections_opened": sandbox.connections_opened,
                "requests": [
                    {
                        "transport": record.transport,
                        "stream_id": record.stream_id,
                        "connection": record.connection,
                        "size": record.size,
                        "incremental": record.incremental,
                        "previous_response_id": record.previous_response_id,
                        "response_id": record.response_id,
                        "outcome": record.outcome,
                    }
                    for record in sandbox.requests
                ],
            }
        )

    async def add_faults(self, request: web.Request) -> web.StreamResponse:
        """``POST /_sandbox/faults``: one fault, or an array of them."""
        body = await json_of(request)
        with as_bad_request():
            faults = [fault_from_json(value) for value in listed(body)]
        self._sandbox.faults.add(*faults)
        return json_response(self._sandbox.faults.as_json())

    async def clear_faults(self, request: web.Request) -> web.StreamResponse:
        """``DELETE /_sandbox/faults``."""
        self._sandbox.faults.clear()
        return json_response([])

    async def configure(self, request: web.Request) -> web.StreamResponse:
        """``PATCH /_sandbox/config``: the fields of the configuration to change."""
        body = await json_of(request)
        with as_bad_request():
            change_config(self._sandbox.config, body)
        return json_response(config_as_json(self._sandbox.config))

    async def cut(self, request: web.Request) -> web.StreamResponse:
        """``POST /_sandbox/cut``: reset all connections but this one."""
        return json_response({"cut": self._sandbox.cut(but=request.transport)})

    async def script(self, request: web.Request) -> web.StreamResponse:
        """``POST /_sandbox/script``: one answer, or an array of them, to be given next."""
        body = await json_of(request)
        with as_bad_request():
            answers = [answer_from_json(value) for value in listed(body)]
        self._sandbox.script(*answers)
        return json_response({"scripted": self._sandbox.scripted})


def config_as_json(config: SandboxConfig) -> dict[str, Any]:
    """The configuration without what JSON cannot hold, and without API keys."""
    state: dict[str, Any] = {}
    for item in fields(config):
        if item.name in _NOT_SCALAR:
            continue
        value = getattr(config, item.name)
        if item.name == "api_keys" and value is not None:
            value = [masked(key) for key in sorted(value)]
        state[item.name] = sorted(value) if isinstance(value, set) else value
    return state


def change_config(config: SandboxConfig, changes: Any) -> None:
    """Changes fields of the configuration, all or none.

    Raises:
        ValueError: For a field that does not exist, or a value that it does not take.
    """
    for name, value in checked_changes(changes).items():
        setattr(config, name, value)


def checked_changes(changes: Any) -> dict[str, Any]:
    """Fields of the configuration and their values, as the configuration has them.

    Raises:
        ValueError: For a field that does not exist, or a value that it does not take.
    """
    if not isinstance(changes, dict):
        raise ValueError("The changes are an object")
    values = checked(changes, _types(), "The configuration")
    for name, value in values.items():
        _check_bounds(name, value)
    return values


def _check_bounds(name: str, value: object) -> None:
    """Refuses numbers with which the server could not go on.

    Raises:
        ValueError: For such a number.
    """
    if name in _UNBOUNDED or isinstance(value, bool) or not isinstance(value, int | float):
        return
    least, most = _BOUNDS.get(name, (0, sys.maxsize))
    # Written so that it refuses what is no number, too.
    if not least <= value <= most:
        raise ValueError(f"{name}: a number from {least} to {most}, not {value}")


@cache
def _types() -> dict[str, Any]:
    return {n: each for n, each in types_of(SandboxConfig).items() if n not in _NOT_SCALAR}


@contextmanager
def as_bad_request() -> Iterator[None]:
    """Turns what a value that makes no sense raises into a 400 that says what was wrong."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise _bad_request(str(error)) from error


def _bad_request(message: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(
        text=json.dumps({"error": {"message": message}}), content_type="application/json"
    )


async def json_of(request: web.Request) -> Any:
    """The body of a request.

    Raises:
        web.HTTPBadRequest: When it is no JSON.
    """
    try:
        # Stricter than the standard library: what JSON cannot hold cannot be answered with, either.
        return msgspec.json.decode(await request.read())
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _bad_request("The body is not JSON") from error


def listed(body: Any) -> list[Any]:
    """One value or an array of them, as a list."""
    return body if isinstance(body, list) else [body]
