"""Where a server is, and what has been learned about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class ServerCapabilities:
    """What an address has shown to be able to do, for every session of the process.

    Attributes:
        lanes: Whether it has lanes; None until it has answered a request that named one.
        cancel: Whether ``response.cancel`` may be sent.
        warm_up: Whether ``generate: false`` may be sent.
    """

    lanes: bool | None = None
    cancel: bool = True
    warm_up: bool = True


_known: dict[str, ServerCapabilities] = {}


def traits_of(url: str) -> ServerCapabilities:
    """What is known about an address; the same object for every session."""
    return _known.setdefault(url, ServerCapabilities())


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
