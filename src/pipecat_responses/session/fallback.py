"""A conversation over WebSocket that goes on over HTTP where no WebSocket comes through.

Proxies refuse the upgrade, answer it with a page, let it go unanswered, or accept it and swallow
what follows; plain HTTP to the same server works. Then a turn's request goes out over HTTP, in the
same attempt. The pool looks for the way back in the background (``ConnectionPool``), and with the
first connection that is opened turns are on the WebSocket again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.requests import Request
from pipecat_responses.session.exchange import Exchange
from pipecat_responses.session.stats import SessionStats
from pipecat_responses.session.websocket import WebSocketSession

if TYPE_CHECKING:
    from pipecat_responses.session.http import HttpSession


class FallbackSession:
    """What turns are given as their backend: a WebSocket session, and HTTP behind it."""

    def __init__(self, websocket: WebSocketSession, http: Callable[[], HttpSession]) -> None:
        """Puts the two together.

        Args:
            websocket: The session over WebSocket, whose owner closes it.
            http: Makes one over HTTP that counts with it, if ever it is needed.
        """
        self._websocket = websocket
        self._make_http = http
        self._http: HttpSession | None = None
        self._over_websocket = self._detoured = False

    @property
    def stats(self) -> SessionStats:
        """Counters."""
        return self._websocket.stats

    @property
    def reached(self) -> bool:
        """Whether the server has been there at all."""
        return self._websocket.reached or self._over_http

    @property
    def turns_off(self) -> bool:
        """Whether the next request goes another way than the last one, and need not wait."""
        return self._over_websocket and self._websocket.blocked

    async def respond(self, request: Request) -> Exchange:
        """Sends a turn's request, over HTTP if no WebSocket comes through.

        Raises:
            ResponsesError: If there is no way to send it now.
        """
        # Where HTTP was tried and there was nobody, it is the WebSocket or nothing.
        if not self._websocket.blocked or (self._detoured and not self._over_http):
            self._over_websocket = True
            try:
                return await self._websocket.respond(request)
            except ResponsesError:
                if not self._websocket.blocked:
                    raise
        self._over_websocket, self._detoured = False, True
        if self._http is None:
            self._http = self._make_http()
        return await self._http.respond(request)

    async def close(self) -> None:
        """Closes what goes over HTTP."""
        if self._http is not None:
            await self._http.close()

    @property
    def _over_http(self) -> bool:
        return self._http is not None and self._http.reached
