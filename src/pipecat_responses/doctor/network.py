"""The way to the server: a proxy, its name, a connection, encryption."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from typing import Any
from urllib.parse import urlsplit

from pipecat_responses.doctor.advice import failed, nothing_to_check, ok, trouble
from pipecat_responses.doctor.findings import Finding
from pipecat_responses.doctor.server import Server
from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError
from pipecat_responses.transport.handshake import handshake_error
from pipecat_responses.transport.tls import is_secure


async def proxy(server: Server) -> Finding:
    """Which proxy is in use."""
    try:
        found = server.proxy
    except ResponsesError as error:
        return trouble(error, server)
    if found is None:
        return ok("None: the environment names no proxy for this server.")
    return ok(
        f"{found.url}, as the environment says.",
        f"If it is not to be used, put {server.host} into NO_PROXY.",
    )


async def name(server: Server) -> Finding:
    """Whether the name can be resolved: the proxy's, if there is one."""
    host, port = _first_hop(server)
    try:
        async with asyncio.timeout(server.within):
            found = await _resolve(host, port)
    except TimeoutError:
        return failed(
            f"The name {host} was not resolved within {server.within:g} s.",
            "Check the network and its name server.",
        )
    except OSError:
        return failed(
            f"The name {host} cannot be resolved.",
            "Check the address for a slip, and the network.",
        )
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    more = f" and {len(addresses) - 2} more" if len(addresses) > 2 else ""
    return ok(f"{host} is {', '.join(addresses[:2])}{more}." if addresses != [host] else f"{host}.")


async def tcp(server: Server) -> Finding:
    """Whether something listens there."""
    host, port = _first_hop(server)
    try:
        writer = await _connect(server, host, port, None)
    except ResponsesError as error:
        return trouble(error, server)
    peer = writer.get_extra_info("peername")
    writer.close()
    return ok(f"Connected to {peer[0]}, port {peer[1]}.")


async def tls(server: Server) -> Finding:
    """Whether the connection is encrypted, with a certificate that is trusted."""
    if not is_secure(server.base_url):
        return nothing_to_check("The address begins with http://, so nothing is encrypted.")
    if server.proxy is not None:
        return nothing_to_check("The way is through a proxy: see the checks of HTTP below.")
    host, port = _address(server.base_url)
    try:
        context = await server.tls.context(server.base_url)
        writer = await _connect(server, host, port, context)
    except ResponsesError as error:
        return trouble(error, server)
    secured: ssl.SSLObject = writer.get_extra_info("ssl_object")
    issuer = _issuer(secured.getpeercert() or {})
    seen = f"{secured.version()}, with a certificate of {issuer}."
    writer.transport.abort()
    return ok(seen)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if is_secure(url) else 80)


def _first_hop(server: Server) -> tuple[str, int]:
    """What is connected to: the proxy, or the server itself."""
    if server.proxy is not None:
        return server.proxy.host, server.proxy.port
    return _address(server.base_url)


async def _resolve(host: str, port: int) -> list[tuple[Any, ...]]:
    """Looks a name up, in a thread that nobody waits for when it hangs."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[tuple[Any, ...]]] = loop.create_future()

    def settle(addresses: list[tuple[Any, ...]], error: OSError | None) -> None:
        if found.done():
            return
        if error is not None:
            found.set_exception(error)
        else:
            found.set_result(addresses)

    def look_up() -> None:
        addresses: list[tuple[Any, ...]] = []
        problem: OSError | None = None
        try:
            addresses = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except UnicodeError as error:
            problem = OSError(str(error))
        except OSError as error:
            problem = error
        # The loop may be closed by now.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, addresses, problem)

    threading.Thread(target=look_up, name="pipecat-responses name", daemon=True).start()
    return await found


async def _connect(
    server: Server, host: str, port: int, context: ssl.SSLContext | None
) -> asyncio.StreamWriter:
    """Opens a connection.

    Raises:
        ConnectionLostError: If that fails, with what to do about it.
    """
    where = f"{host}:{port}"
    url = server.proxy.url if server.proxy is not None else server.base_url
    try:
        async with asyncio.timeout(server.within):
            _, writer = await asyncio.open_connection(
                host, port, ssl=context, happy_eyeballs_delay=0.25
            )
    except TimeoutError:
        what = "take part in TLS" if context else "answer"
        raise ConnectionLostError(
            f"{where} did not {what} within {server.within:g} s: check the port, and any firewall "
            "on the way"
        ) from None
    except (ssl.SSLError, ConnectionResetError) as error:
        if context is None or isinstance(error, ssl.SSLCertVerificationError):
            raise handshake_error(error, url, server.within) from None
        why = getattr(error, "reason", None) or type(error).__name__
        raise ConnectionLostError(
            f"{where} does not speak TLS as it should ({why}): check the port, or use http:// if "
            "the server has no TLS"
        ) from None
    except OSError as error:
        raise handshake_error(error, url, server.within) from None
    return writer


def _issuer(certificate: Any) -> str:
    """Who has signed a certificate."""
    facts = {key: value for part in certificate.get("issuer", ()) for key, value in part}
    return str(facts.get("organizationName") or facts.get("commonName") or "an unnamed authority")
