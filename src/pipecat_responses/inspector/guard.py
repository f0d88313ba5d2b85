"""Who may look: whoever has the address with its token, from no other page, by no other name.

A page that the developer has open can send requests to this machine, from its own origin, or under
a name that it has had rebound to a loopback address. So both are looked at on every request, beside
the token.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from aiohttp import web

from pipecat_responses.service.addresses import is_loopback


class Guard:
    """Refuses what has no business here."""

    def __init__(self, host: str, token: str) -> None:
        """Begins to guard a server.

        Args:
            host: The address that it listens on.
            token: What stands in its address.
        """
        self._host = host
        self._token = token

    def check(self, request: web.Request) -> None:
        """Checks a request.

        Raises:
            web.HTTPException: When it is refused.
        """
        if is_loopback(self._host) and not self._is_own(_host_of(request)):
            raise web.HTTPForbidden(text="The inspector answers to names of this machine only.\n")
        origin = request.headers.get("origin")
        if origin is not None and _netloc_of(origin) != request.host.lower():
            raise web.HTTPForbidden(text="The inspector takes no requests from other pages.\n")
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise web.HTTPForbidden(text="The inspector takes no requests from other pages.\n")
        told = request.match_info.get("token", "")
        if not hmac.compare_digest(told.encode(errors="replace"), self._token.encode()):
            raise web.HTTPNotFound(text="There is nothing here: the address has its token in it.\n")

    def _is_own(self, host: str) -> bool:
        return is_loopback(host) or host == self._host


def _host_of(request: web.Request) -> str:
    """The name that a request was sent to, without its port."""
    try:
        return urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return request.host


def _netloc_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
