"""Where a server is, and what the process has learned about it.

What one session learns of a server spares the next one the request that it cost. ``KNOWN`` is the
only state of the package that outlives its services; ``KnownServers.reset`` empties it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from pipecat_responses.protocol.capabilities import ServerCapabilities


class KnownServers(Mapping[str, ServerCapabilities]):
    """The capabilities of each address that was tried, by its URL."""

    def __init__(self) -> None:
        """Starts with nothing known."""
        self._known: dict[str, ServerCapabilities] = {}

    def __getitem__(self, url: str) -> ServerCapabilities:
        """What is known of an address that was tried."""
        return self._known[url]

    def __iter__(self) -> Iterator[str]:
        """The addresses that were tried."""
        return iter(self._known)

    def __len__(self) -> int:
        """How many they are."""
        return len(self._known)

    def of(self, url: str) -> ServerCapabilities:
        """What is known of an address; sessions share the object, so they learn together."""
        return self._known.setdefault(url, ServerCapabilities())

    def reset(self) -> None:
        """Forgets everything; sessions that are open keep what they have."""
        self._known.clear()


KNOWN = KnownServers()


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect to, and as whom.

    Attributes:
        url: A WebSocket address.
        headers: Gives the headers for a handshake, credentials included; asked each time, since
            keys may rotate.
    """

    url: str
    headers: Callable[[], Awaitable[Mapping[str, str]]]
