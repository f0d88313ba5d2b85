"""A certificate authority to throw away, for a sandbox that is reached over TLS."""

from __future__ import annotations

import ssl
from functools import cached_property


class Certificates:
    """A new authority and a server's certificate from it.

    Attributes:
        authority: The authority's certificate, as PEM: what a client has to trust.
    """

    def __init__(self) -> None:
        """Makes them.

        Raises:
            RuntimeError: Without the package ``trustme``.
        """
        try:
            import trustme
        except ImportError:
            raise RuntimeError(
                "A sandbox with tls=True needs trustme: pip install 'pipecat-responses[tls]'"
            ) from None
        authority = trustme.CA()
        self.authority: bytes = authority.cert_pem.bytes()
        self._server = authority.issue_cert("localhost", "127.0.0.1", "::1")

    @cached_property
    def server_context(self) -> ssl.SSLContext:
        """What the server encrypts with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.configure_cert(context)
        return context

    @cached_property
    def client_context(self) -> ssl.SSLContext:
        """What a client encrypts with; it trusts this authority and no other."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.authority.decode())
        return context
