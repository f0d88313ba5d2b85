"""The HTTP client below the SDK's: made when it is first needed, with the shared TLS context."""

from __future__ import annotations

import asyncio
import ssl

import httpx2
from openai import DefaultAioHttpClient

from pipecat_responses.transport.tls import TlsSettings


def create_http_client(tls: TlsSettings, limits: httpx2.Limits) -> httpx2.AsyncClient:
    """Creates a client for ``AsyncOpenAI``.

    Args:
        tls: Which TLS context it uses.
        limits: How many connections it keeps.
    """
    return httpx2.AsyncClient(
        transport=_Deferred(tls, limits),
        # The client below looks at the environment: proxies, and what needs none.
        trust_env=False,
        # A redirect would carry the conversation and its headers to another address.
        follow_redirects=False,
    )


class _Deferred(httpx2.AsyncBaseTransport):
    """Hands requests to a client that is made with the first one."""

    def __init__(self, tls: TlsSettings, limits: httpx2.Limits) -> None:
        self._tls = tls
        self._limits = limits
        self._client: httpx2.AsyncClient | None = None
        self._making = asyncio.Lock()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        client = self._client or await self._make(str(request.url))
        return await client.send(request, stream=True, follow_redirects=False)

    async def _make(self, url: str) -> httpx2.AsyncClient:
        async with self._making:
            if self._client is None:
                context = await self._tls.context(url)
                self._client = DefaultAioHttpClient(
                    # Parses answers in C, which at a thousand tokens a second is most of the work.
                    # Without TLS it trusts nobody, which costs nothing to set up.
                    verify=context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                    follow_redirects=False,
                    limits=self._limits,
                )
        return self._client

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
