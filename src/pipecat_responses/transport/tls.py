"""TLS contexts: one for all services that trust the same certificate authorities.

To read the system's authorities takes tens of milliseconds and a megabyte or two; fifty calls that
start together would hold up each other's audio for a second. So it is done once, in a thread.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future

import httpx2

from pipecat_responses.protocol.errors import ConnectionLostError

_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Where the environment names other authorities than the system's."""


class TlsContexts:
    """The contexts of a process, by what the environment says of authorities."""

    def __init__(self, build: Callable[[], ssl.SSLContext] = httpx2.create_ssl_context) -> None:
        """Begins without any.

        Args:
            build: Makes a context for the environment as it is.
        """
        self._build = build
        self._contexts: dict[tuple[str | None, ...], Future[ssl.SSLContext]] = {}
        self._lock = threading.Lock()

    def prepare(self) -> Future[ssl.SSLContext]:
        """Begins to make the context, unless it is there, and returns at once."""
        key = tuple(map(os.environ.get, _VARIABLES))
        with self._lock:
            found = self._contexts.get(key)
            if found is None or (found.done() and found.exception() is not None):
                found = self._contexts[key] = Future()
                found.set_running_or_notify_cancel()
                threading.Thread(
                    target=self._make, args=(found,), name="pipecat-responses tls", daemon=True
                ).start()
            return found

    async def get(self) -> ssl.SSLContext:
        """The context for the environment as it is.

        Raises:
            ConnectionLostError: If the authorities cannot be read.
        """
        making = self.prepare()
        if making.done() and making.exception() is None:
            return making.result()
        try:
            # It is everybody's, so nobody's cancellation is to end it.
            return await asyncio.shield(asyncio.wrap_future(making))
        except (OSError, ValueError) as error:
            raise ConnectionLostError(
                f"The certificate authorities cannot be read ({error}): check SSL_CERT_FILE and "
                "SSL_CERT_DIR, or pass ssl_context=..."
            ) from None

    def _make(self, found: Future[ssl.SSLContext]) -> None:
        try:
            found.set_result(self._build())
        except Exception as error:  # noqa: BLE001 - whoever waits for it hears of it
            found.set_exception(error)


SHARED = TlsContexts()
"""The process's own."""


class TlsSettings:
    """Which TLS context a service uses: its own, or the process's."""

    def __init__(self, own: ssl.SSLContext | None = None) -> None:
        """Chooses.

        Args:
            own: The service's own context: a private authority, a client's certificate.
        """
        self._own = own

    def prepare(self, url: str) -> None:
        """Makes ready for an address, in the background."""
        if self._own is None and is_secure(url):
            SHARED.prepare()

    async def context(self, url: str) -> ssl.SSLContext | None:
        """The context for an address; None where nothing is encrypted.

        Raises:
            ConnectionLostError: If the authorities cannot be read.
        """
        if not is_secure(url):
            return None
        return self._own or await SHARED.get()


def is_secure(url: str) -> bool:
    """Whether an address is reached over TLS."""
    return url.lower().startswith(("https://", "wss://"))


def read_in_smaller_pieces(transport: object) -> None:
    """Makes the space smaller that asyncio sets aside for each TLS connection to read into.

    It is 256 kB, and a thousand connections that speak of words need no quarter of a gigabyte for
    it. There is no argument for that; the space is looked for where Python 3.11 to 3.14 keep it,
    and left alone elsewhere.

    Args:
        transport: The transport of a connection.
    """
    protocol = getattr(transport, "_ssl_protocol", None)
    space = getattr(protocol, "_ssl_buffer", None)
    size = getattr(protocol, "max_size", 0)
    if isinstance(space, bytearray) and len(space) == size > READ_AT_ONCE:
        smaller = bytearray(READ_AT_ONCE)
        vars(protocol).update(
            max_size=READ_AT_ONCE, _ssl_buffer=smaller, _ssl_buffer_view=memoryview(smaller)
        )


READ_AT_ONCE = 32 * 1024
"""Bytes that a TLS connection reads in one step; a TLS record has half of that at most."""
