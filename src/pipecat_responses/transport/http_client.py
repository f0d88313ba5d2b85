"""The HTTP client below the SDK's: aiohttp's, with the shared TLS context and our proxies.

aiohttp parses answers in C, which at a thousand tokens a second is most of the work. The SDK has a
client like this one, which calls a refused connection a time-out, does not say whether a proxy or
the server has failed, and knows no SOCKS.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx2

from pipecat_responses.protocol.errors import ConnectionLostError
from pipecat_responses.transport.handshake import proxy_error, unreachable
from pipecat_responses.transport.proxies import Proxies, Proxy, host_and_port
from pipecat_responses.transport.tls import TlsSettings, is_secure

_PIECE = 16 * 1024
"""Bytes of an answer that are handed on at a time, at most."""


def create_http_client(
    tls: TlsSettings, proxies: Proxies, limits: httpx2.Limits
) -> httpx2.AsyncClient:
    """Creates a client for ``AsyncOpenAI``; nothing is opened before its first request.

    Args:
        tls: Which TLS context it uses.
        proxies: Which proxy leads to an address.
        limits: How many connections it keeps.
    """
    return httpx2.AsyncClient(
        transport=_Transport(tls, proxies, limits),
        # The proxies are ours to choose.
        trust_env=False,
        # A redirect would carry the conversation and its headers to another address.
        follow_redirects=False,
    )


class _Transport(httpx2.AsyncBaseTransport):
    """Sends requests by aiohttp."""

    def __init__(self, tls: TlsSettings, proxies: Proxies, limits: httpx2.Limits) -> None:
        self._tls = tls
        self._proxies = proxies
        self._limits = limits
        # SOCKS proxies each have one of their own.
        self._sessions: dict[Proxy | None, aiohttp.ClientSession] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = str(request.url)
        proxy = self._proxies.leading_to(url)
        context = await self._tls.context(url)
        if context is None and proxy is not None:
            context = await self._tls.context(proxy.url)
        timeout = request.extensions.get("timeout", {})
        through = None if proxy is None or proxy.is_socks else proxy
        headers = request.headers.multi_items()
        if through is not None and not is_secure(url):
            # There is no tunnel: the proxy reads the request itself.
            headers += through.credentials.items()
        body = _Body(request)
        try:
            response = await self._session(proxy).request(
                request.method,
                url,
                headers=headers,
                data=body.whole if body.whole is not None else body.pieces(),
                allow_redirects=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(
                    # The pool's covers all until a connection stands, a proxy's answer included.
                    connect=timeout.get("pool"),
                    sock_connect=timeout.get("connect"),
                    sock_read=timeout.get("read"),
                ),
                # Without TLS it trusts nobody.
                ssl=context or _NO_TLS,
                proxy=through.url if through is not None else None,
                proxy_headers=through.credentials if through is not None else None,
            )
        except Exception as error:  # noqa: BLE001 - proxies may be anything
            why = _why(error, url, proxy, timeout.get("pool") or 0.0, begun=body.begun)
            # Without what aiohttp says, which may hold the proxy's password.
            raise why from None
        if response.status == 407 and proxy is not None:
            response.close()
            raise proxy_error(407, proxy, url, transport="http")
        return httpx2.Response(
            response.status,
            headers=response.raw_headers,
            stream=_Stream(response),
            request=request,
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    def _session(self, proxy: Proxy | None) -> aiohttp.ClientSession:
        key = proxy if proxy is not None and proxy.is_socks else None
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = aiohttp.ClientSession(
                connector=self._connector(key), cookie_jar=aiohttp.DummyCookieJar()
            )
        return session

    def _connector(self, socks: Proxy | None) -> aiohttp.BaseConnector:
        limits: dict[str, Any] = {
            "limit": self._limits.max_connections or 0,
            "keepalive_timeout": self._limits.keepalive_expiry,
        }
        if socks is None:
            return aiohttp.TCPConnector(**limits)
        from aiohttp_socks import ProxyConnector

        return ProxyConnector(
            host=socks.host,
            port=socks.port,
            username=socks.user,
            password=socks.password,
            rdns=socks.scheme == "socks5h",
            **limits,
        )


def _of_socks(proxy: Proxy | None) -> tuple[type[Exception], ...]:
    """What the package for SOCKS raises."""
    if proxy is None or not proxy.is_socks:
        return ()
    import aiohttp_socks

    return (
        aiohttp_socks.ProxyError,
        aiohttp_socks.ProxyConnectionError,
        aiohttp_socks.ProxyTimeoutError,
    )


class _Body:
    """A request's body, as aiohttp is given it.

    Attributes:
        whole: All of it, if it is there already.
        begun: Whether any of it was asked for, which is when a connection stands; of what is there
            already that is not known.
    """

    def __init__(self, request: httpx2.Request) -> None:
        self._request = request
        try:
            self.whole: bytes | None = request.content
        except httpx2.RequestNotRead:
            self.whole = None
        self.begun = self.whole is not None

    async def pieces(self) -> AsyncIterator[bytes]:
        self.begun = True
        stream = self._request.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        async for piece in stream:
            yield piece


class _Stream(httpx2.AsyncByteStream):
    """An answer's body, as it arrives."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._response.content.iter_chunked(_PIECE):
                yield piece
        except TimeoutError as error:
            raise httpx2.ReadTimeout(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx2.ReadError(str(error)) from error

    async def aclose(self) -> None:
        # The connection is free for others by now, if all was read.
        self._response.close()


def _why(
    error: Exception, url: str, proxy: Proxy | None, within: float, *, begun: bool
) -> ConnectionLostError:
    """Why there is no answer to a request.

    Args:
        error: What was raised.
        url: The request's address.
        proxy: The proxy that leads there.
        within: Seconds that a connection was given.
        begun: Whether a connection was there already, as far as is known.
    """
    cause = error.__cause__
    if isinstance(error, TimeoutError) or isinstance(cause, TimeoutError):
        return unreachable(TimeoutError(), url, within, proxy, transport="http")
    if proxy is not None and isinstance(error, _of_socks(proxy)):
        # It wraps what it was told, and that wraps what the operating system has said.
        said = cause.__cause__ if isinstance(cause, OSError) else cause
        return proxy_error(said, proxy, url, transport="http")
    if proxy is not None and isinstance(error, aiohttp.ClientHttpProxyError):
        return proxy_error(error.status, proxy, url, transport="http")
    if isinstance(error, aiohttp.ClientConnectorError):
        if proxy is not None and (error.host, error.port) == (proxy.host, proxy.port):
            return proxy_error(cause, proxy, url, transport="http")
        return unreachable(cause or error, url, within, proxy, transport="http")
    if isinstance(error, aiohttp.ClientError):
        if proxy is not None and is_secure(url) and not begun:
            # It was asked for a way to the server, and has hung up.
            return proxy_error(None, proxy, url, transport="http")
        return ConnectionLostError(
            f"The connection to {host_and_port(url)} broke off before an answer: check the server "
            "and the network",
            transport="http",
        )
    return unreachable(error, url, within, proxy, transport="http")


_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For what is not encrypted: it trusts nobody, which costs nothing to set up."""
