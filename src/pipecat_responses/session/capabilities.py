"""Where a server is, and what the process has learned about it.

What one session learns of a server spares the next one the request that it cost. ``KNOWN`` is the
only state of the package that outlives its services; ``KnownServers.reset`` empties it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlencode, urlsplit

from pipecat_responses.protocol.capabilities import ServerCapabilities

KEPT_FOR = 3600.0
"""Seconds for which sessions rely on what others have learned of a server."""


class KnownServers(Mapping[str, ServerCapabilities]):
    """The capabilities of each address that was tried, by its URL."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts with nothing known.

        Args:
            clock: Seconds, from anywhere.
        """
        self._known: dict[str, ServerCapabilities] = {}
        self._since: dict[str, float] = {}
        self._clock = clock

    def __getitem__(self, url: str) -> ServerCapabilities:
        """What is known of an address that was tried."""
        return self._known[_server(url)]

    def __iter__(self) -> Iterator[str]:
        """The addresses that were tried, without scheme and query."""
        return iter(self._known)

    def __len__(self) -> int:
        """How many they are."""
        return len(self._known)

    def of(
        self, url: str, begin: Callable[[], ServerCapabilities] = ServerCapabilities
    ) -> ServerCapabilities:
        """What is known of an address; sessions share the object, so they learn together.

        Servers change. So what is older than ``KEPT_FOR`` is forgotten, and tried again by the
        sessions that begin from then on.

        Args:
            url: The address, of HTTP or of the WebSocket.
            begin: What is known of it if it was never tried.
        """
        now, server = self._clock(), _server(url)
        if server not in self._known or now - self._since[server] > KEPT_FOR:
            self._known[server], self._since[server] = begin(), now
        return self._known[server]

    def reset(self) -> None:
        """Forgets everything; sessions that are open keep what they have."""
        self._known.clear()
        self._since.clear()


@lru_cache(64)
def _server(url: str) -> str:
    """What HTTP and the WebSocket of one server have in common in their addresses."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2].lower() + parts.path.rstrip("/").removesuffix(
        "/responses"
    )


KNOWN = KnownServers()


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect to, and as whom.

    Attributes:
        url: A WebSocket address.
        headers: Gives the headers for a handshake, credentials included; asked each time, since
            keys may rotate.
        query: Gives what is to be added to the address; asked each time.
    """

    url: str
    headers: Callable[[], Awaitable[Mapping[str, str]]]
    query: Callable[[], Mapping[str, str]] = dict

    def now(self) -> str:
        """The address to open a connection at."""
        query = urlencode(self.query())
        return f"{self.url}{'&' if '?' in self.url else '?'}{query}" if query else self.url
