"""HTTP connections that the services of a process share, as long as there is one that uses them.

What is idle after one call's request can serve another's: aiohttp keeps connections apart by host,
TLS context and proxy. With the last service that uses them they are closed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import aiohttp

from pipecat_responses.transport.proxies import Proxy


@dataclass(slots=True)
class _Shared:
    connector: aiohttp.BaseConnector
    users: int = 0

    def enter(self) -> None:
        self.users += 1

    def leave(self) -> bool:
        """Returns whether nobody uses it any more."""
        self.users -= 1
        return self.users == 0


class Connectors:
    """The connectors of a process, by event loop and SOCKS proxy."""

    def __init__(self) -> None:
        """Begins without any."""
        self._of_loops: WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[Proxy | None, _Shared]
        ] = WeakKeyDictionary()

    def lease(self, socks: Proxy | None) -> Lease:
        """A connector for the running event loop.

        Args:
            socks: The SOCKS proxy that all its connections go through, or None.
        """
        shared = self._of_loops.setdefault(asyncio.get_running_loop(), {})
        found = shared.get(socks)
        if found is None:
            found = shared[socks] = _Shared(_connector(socks))
        found.enter()
        return Lease(shared, socks)


class Lease:
    """The right to use a connector, until it is given back.

    Attributes:
        connector: The connector.
    """

    def __init__(self, shared: dict[Proxy | None, _Shared], socks: Proxy | None) -> None:
        """Use ``Connectors.lease``."""
        self._shared = shared
        self._socks = socks
        self.connector = shared[socks].connector

    async def give_back(self) -> None:
        """Ends the use; nothing stays open without one. To be called once."""
        shared = self._shared[self._socks]
        if shared.leave():
            del self._shared[self._socks]
            await shared.connector.close()


def _connector(socks: Proxy | None) -> aiohttp.BaseConnector:
    # A turn must not wait for another's connection, and an idle one may be kept for long.
    if socks is None:
        return aiohttp.TCPConnector(limit=0, keepalive_timeout=None)
    from aiohttp_socks import ProxyConnector

    return ProxyConnector(
        host=socks.host,
        port=socks.port,
        username=socks.user,
        password=socks.password,
        rdns=socks.scheme == "socks5h",
        limit=0,
        keepalive_timeout=None,
    )


CONNECTORS = Connectors()
"""The process's own."""
