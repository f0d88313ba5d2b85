"""Why a connection could not be opened, in one sentence that says what to do."""

from __future__ import annotations

import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import msgspec
from websockets.exceptions import InvalidHandshake, InvalidStatus

from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError, read_error
from pipecat_responses.protocol.failures import Failure

_ADVICE: dict[int, str] = {
    401: "The server rejected the API key: check api_key or OPENAI_API_KEY",
    403: "The API key may not use this address: check organization, project and the key's rights",
    404: "There is no Responses API at this address: check ws_url or base_url",
    429: "The server refuses new connections for now (rate limit)",
}


def handshake_error(error: BaseException, url: str, timeout: float) -> ResponsesError:
    """Turns a failed handshake into an error that says what to do.

    Args:
        error: What the WebSocket library raised.
        url: The address, for the message (without its query: it may hold secrets).
        timeout: Seconds the handshake was given.
    """
    where = _place(url)
    if isinstance(error, InvalidStatus):
        return _refused(error, where)
    if isinstance(error, TimeoutError):
        return ConnectionLostError(
            f"No connection to {where} within {timeout:g} s",
            failure=Failure.TIMEOUT,
            transport="handshake",
        )
    if isinstance(error, OSError):
        message = why_unreachable(error, where)
    elif isinstance(error, InvalidHandshake | EOFError):
        message = f"{where} does not speak WebSocket: check ws_url or base_url"
    else:
        # A proxy's address from the environment, most often.
        message = (
            f"No connection to {where}: {type(error).__name__}: {error}: check the address, and "
            "HTTPS_PROXY and the like"
        )
    return ConnectionLostError(message, transport="handshake")


_REFUSALS = frozenset({400, 403, 404, 405, 406, 407, 410, 426, 501})
"""Statuses that say that this is no place for a WebSocket; others pass (429, 503)."""


def refuses_upgrade(error: ResponsesError, *, ever_opened: bool) -> bool:
    """Whether a handshake has failed in a way that HTTP on the same server may not.

    Args:
        error: Why it has failed.
        ever_opened: Whether the session has had a connection to this server. If so, no answer
            is trouble on the way there, and HTTP would have it as well.
    """
    if error.transport != "handshake":
        return False
    if error.failure is Failure.TIMEOUT:
        return not ever_opened
    status = error.status
    if status is None:
        return False
    if status == 403 and (error.code or error.type):
        # The API's own words about the key; a proxy has none.
        return False
    return status in _REFUSALS or 200 <= status < 400


def why_unreachable(error: OSError, where: str) -> str:
    """Why nothing can be reached at an address, in one sentence that says what to do.

    Args:
        error: What the operating system or TLS said.
        where: The address, for the message.
    """
    if isinstance(error, socket.gaierror):
        return f"The name of {where} cannot be resolved: check the address and the network"
    if isinstance(error, ConnectionRefusedError):
        return f"Nothing answers at {where}: check that the server runs and the port is right"
    if isinstance(error, ssl.SSLCertVerificationError):
        # HTTP libraries have classes of their own, which lack some of the attributes.
        why = getattr(error, "verify_message", None) or "certificate verify failed"
        return (
            f"No secure connection to {where}: its certificate is not trusted ({why}): check "
            "SSL_CERT_FILE, or pass ssl_context=..."
        )
    if isinstance(error, ssl.SSLError):
        why = getattr(error, "reason", None) or type(error).__name__
        return f"No secure connection to {where}: {why}"
    return f"No connection to {where}: {error.strerror or type(error).__name__}"


def _refused(error: InvalidStatus, where: str) -> ResponsesError:
    response = error.response
    status = response.status_code
    headers = dict(response.headers.raw_items())
    body: Any = None
    try:
        body = msgspec.json.decode(response.body or b"")
    except msgspec.MsgspecError:
        # A proxy's HTML page, most often: nothing in it is for us.
        body = None
    read = read_error(
        body if isinstance(body, dict) else {},
        status=status,
        transport="handshake",
        headers=headers,
    )
    said = f" ({read.message})" if isinstance(body, dict) else ""
    advice = _ADVICE.get(status, f"The server refused the connection with status {status}")
    return ResponsesError(
        f"{advice}: {where}{said}" if status not in _ADVICE else f"{advice}, {where}{said}",
        code=read.code,
        type=read.type,
        param=read.param,
        status=status,
        request_id=read.request_id,
        retry_after=read.retry_after,
        transport="handshake",
    )


def _place(url: str) -> str:
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or '?'}{port}{parts.path}"
