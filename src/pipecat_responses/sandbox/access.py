"""Who and what is let in: keys, query parameters, and WebSockets at all."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from pipecat_responses.sandbox.config import SandboxConfig
from pipecat_responses.sandbox.errors import ApiError, invalid_api_key, missing_api_key
from pipecat_responses.sandbox.http import error_response, json_response


def is_upgrade(request: web.Request) -> bool:
    """Whether a request asks for a WebSocket."""
    return request.headers.get("upgrade", "").lower() == "websocket"


def check_key(headers: Mapping[str, str], config: SandboxConfig) -> None:
    """Checks the key of a request.

    Raises:
        ApiError: 401, when there is none or it is not accepted.
    """
    scheme, _, key = headers.get("authorization", "").partition(" ")
    key = key.strip() if scheme.lower() == "bearer" else ""
    if not key and config.api_key_header:
        key = headers.get("api-key", "").strip()
    if not key:
        raise missing_api_key()
    if config.api_keys is not None and key not in config.api_keys:
        raise invalid_api_key(key)


def missing_query(request: web.Request, config: SandboxConfig) -> web.Response | None:
    """The answer to a request without a query parameter that the server wants.

    Returns:
        The refusal; None when all of them are there.
    """
    transport = "websocket" if is_upgrade(request) else "http"
    for wanted in config.required_query:
        if wanted.transport in (None, transport) and not request.query.get(wanted.name):
            if wanted.message is None:
                return web.Response(status=wanted.status)
            return error_response(ApiError(wanted.message, status=wanted.status))
    return None


def no_websockets(request: web.Request, status: int) -> web.Response:
    """The answer of a server that has no WebSockets to a handshake.

    Args:
        request: The handshake.
        status: The status to answer with. With 200 the body says that it is an error; with 403
            there is none, as with Starlette.
    """
    if status == 403:
        return web.Response(status=status)
    if status == 200:
        problem = f"Unexpected endpoint or method. ({request.method} {request.path})"
        return json_response({"error": problem})
    return error_response(ApiError(f"Invalid URL ({request.method} {request.path})", status=status))
