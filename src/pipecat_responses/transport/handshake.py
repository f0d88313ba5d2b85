"""Why a connection could not be opened, in one sentence that says what to do."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import msgspec
from websockets.exceptions import InvalidHandshake, InvalidProxyStatus, InvalidStatus

from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError, read_error
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.transport.proxies import Proxy, host_and_port

_ADVICE: dict[int, str] = {
    401: "The server rejected the API key: check api_key or OPENAI_API_KEY",
    403: "The API key may not use this address: check organization, project and the key's rights",
    404: "There is no Responses API at this address: check ws_url or base_url",
    429: "The server refuses new connections for now (rate limit)",
}


def handshake_error(
    error: BaseException, url: str, timeout: float, proxy: Proxy | None = None
) -> ResponsesError:
    """Turns a failed handshake into an error that says what to do.

    Args:
        error: What the WebSocket library raised.
        url: The address, for the message (without its query: it may hold secrets).
        timeout: Seconds the handshake was given.
        proxy: The proxy on the way there.
    """
    if isinstance(error, InvalidStatus):
        return _refused(error, _place(url))
    if isinstance(error, ProxyFailedError) and proxy is not None:
        return proxy_error(error.__cause__, proxy, url, transport="handshake")
    if isinstance(error, OSError):
        return unreachable(error, url, timeout, proxy, transport="handshake")
    if isinstance(error, InvalidHandshake | EOFError):
        message = f"{_place(url)} does not speak WebSocket: check ws_url or base_url"
    else:
        message = f"No connection to {_place(url)}: {type(error).__name__}: check the address"
    return ConnectionLostError(message, transport="handshake")


class ProxyFailedError(Exception):
    """A proxy could not be reached, or did not do as it was asked; its cause says why."""


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


def unreachable(
    error: BaseException, url: str, within: float, proxy: Proxy | None = None, *, transport: str
) -> ConnectionLostError:
    """Why a server cannot be reached, in the same words for both transports.

    Args:
        error: What the operating system or TLS said, or that time has run out.
        url: The server's address.
        within: Seconds the connection was given.
        proxy: The proxy that leads there.
        transport: Where it happened.
    """
    where = host_and_port(url)
    if isinstance(error, TimeoutError):
        by = "" if proxy is None else f" by way of the proxy {proxy.place}"
        return ConnectionLostError(
            f"No connection to {where}{by} within {within:g} s: check the address and the network",
            failure=Failure.TIMEOUT,
            transport=transport,
        )
    return ConnectionLostError(
        _why(error, where, "that the server runs and the port is right"), transport=transport
    )


def proxy_error(
    error: BaseException | int | None, proxy: Proxy, url: str, *, transport: str
) -> ConnectionLostError:
    """Why a proxy does not lead to a server, in the same words for both transports.

    Args:
        error: The status it has answered with, or what has happened on the way to it.
        proxy: The proxy.
        url: The server's address.
        transport: Where it happened.
    """
    where = f"the proxy {proxy.place} on the way to {host_and_port(url)}"
    status = error if isinstance(error, int) else None
    if isinstance(error, InvalidProxyStatus):
        status = error.response.status_code
    # The packages for SOCKS need not be there, and have no names for what a proxy refuses.
    said = "" if status is not None else str(error).lower()
    if status == 407 or (proxy.is_socks and "auth" in said):
        message = f"Wrong user or password, or none, for {where}"
    elif status is not None:
        message = f"Refused with status {status} by {where}"
    elif isinstance(error, OSError):
        message = _why(error, where, "that it runs")
    elif getattr(error, "error_code", None) is not None:
        message = f"Refused ({said}) by {where}"
    else:
        message = f"No answer that a proxy gives from {where}"
    advice = "check proxy=... or HTTPS_PROXY and the like"
    joint = ", and" if ": check " in message else ":"
    return ConnectionLostError(f"{message}{joint} {advice}", status=status, transport=transport)


def _why(error: BaseException, where: str, check: str) -> str:
    """Why nothing can be reached somewhere, in one sentence that says what to do."""
    if isinstance(error, socket.gaierror):
        return f"The name of {where} cannot be resolved: check the address and the network"
    if isinstance(error, ssl.SSLCertVerificationError):
        # HTTP libraries have classes of their own, which lack some of the attributes.
        why = getattr(error, "verify_message", None) or "certificate verify failed"
        return f"No secure connection to {where}: {_certificate(error, why)}"
    if isinstance(error, ssl.SSLError):
        why = getattr(error, "reason", None) or type(error).__name__
        return (
            f"No secure connection to {where}: {why}: check that TLS is spoken there, and the port"
        )
    if _numbers(error) == {errno.ECONNREFUSED}:
        return f"Nothing answers at {where}: check {check}"
    why = "; ".join(os.strerror(number) for number in sorted(_numbers(error)))
    return f"No connection to {where}: {why or type(error).__name__}"


def _certificate(error: ssl.SSLCertVerificationError, why: str) -> str:
    """What is the matter with a certificate, and what to do."""
    code = getattr(error, "verify_code", None)
    if code in _OUT_OF_DATE:
        return f"its certificate is not valid at this time ({why}): check this machine's clock"
    if code in _ANOTHERS:
        return f"its certificate is another's ({why}): check the address"
    return f"its certificate is not trusted ({why}): check SSL_CERT_FILE, or pass ssl_context=..."


_OUT_OF_DATE = frozenset({9, 10})
"""OpenSSL's numbers for certificates that are not valid yet, or no more."""

_ANOTHERS = frozenset({62, 64})
"""OpenSSL's numbers for certificates of another host, by its name or by its address."""

_NUMBERS = re.compile(r"\[Errno (\d+)\]")


def _numbers(error: BaseException) -> set[int]:
    """The operating system's numbers of an error, or of all the errors that were made one."""
    number = getattr(error, "errno", None)
    if number is not None:
        return {number}
    # So asyncio joins what has happened at several addresses of a name.
    return {int(found) for found in _NUMBERS.findall(str(error))}


def redirected(status: int) -> str:
    """What a redirect means, for people."""
    return (
        f"The server refused the connection with status {status}, a redirect, and the key is never "
        "carried elsewhere: check ws_url or base_url"
    )


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
    advice = _ADVICE.get(status)
    if advice is None and 300 <= status < 400:
        advice = redirected(status)
    return ResponsesError(
        f"{advice}, {where}{said}"
        if advice
        else f"The server refused the connection with status {status}: {where}{said}",
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
    return f"{parts.scheme}://{host_and_port(url)}{parts.path}"
