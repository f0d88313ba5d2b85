"""Who may talk to the sandbox at all: no page of a browser, and nobody elsewhere without a token.

A page that the developer has open can send requests to this machine, from its own origin, or under
a name that it has had rebound to a loopback address. So both are looked at on every request.
"""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import urlsplit

from aiohttp import web

from pipecat_responses.sandbox import page
from pipecat_responses.sandbox.errors import ApiError

TOKEN_HEADER = "x-sandbox-token"


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Refuses what has no business here."""

    def __init__(self, host: str, token: str | None) -> None:
        """Begins to guard a server.

        Args:
            host: The address that it listens on.
            token: What those who control it must know; None on loopback, where anybody may.
        """
        self._host = host
        self._token = token

    def check(self, request: web.Request, path: str) -> None:
        """Checks a request.

        Args:
            request: The request.
            path: Its path, without a session's prefix.

        Raises:
            ApiError: When it is refused.
        """
        if self._token is None:
            self._check_host(request)
        self._check_origin(request)
        controls = path.startswith("/_sandbox") and not path.startswith(page.PATH)
        if self._token is not None and controls:
            self._check_token(request)

    def _check_host(self, request: web.Request) -> None:
        host = _host_of(request)
        if not is_loopback(host) and host != self._host:
            raise ApiError(
                f"The sandbox answers to names of this machine only, not to {host!r}.", status=403
            )

    def _check_origin(self, request: web.Request) -> None:
        origin = request.headers.get("origin")
        if origin is None:
            return
        try:
            own = urlsplit(origin).netloc.lower() == request.host.lower()
        except ValueError:
            own = False
        if not own:
            raise ApiError(
                f"The sandbox takes no requests from pages of {origin[:200]!r}.", status=403
            )

    def _check_token(self, request: web.Request) -> None:
        scheme, _, told = request.headers.get("authorization", "").partition(" ")
        told = request.headers.get(TOKEN_HEADER) or (told if scheme.lower() == "bearer" else "")
        assert self._token is not None
        if not hmac.compare_digest(told.encode(errors="replace"), self._token.encode()):
            raise ApiError(
                f"The controls of this sandbox need its token, as bearer or in {TOKEN_HEADER}.",
                status=401,
            )


def _host_of(request: web.Request) -> str:
    """The name that a request was sent to, without its port."""
    try:
        return urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return request.host
