"""The sessions behind the services, put together from the services' arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipecat_responses.protocol.capabilities import ServerCapabilities
from pipecat_responses.protocol.output import Coverage
from pipecat_responses.protocol.requests import Request
from pipecat_responses.session.capabilities import KNOWN, Address
from pipecat_responses.session.exchange import Exchange
from pipecat_responses.session.fallback import FallbackSession
from pipecat_responses.session.limits import ConnectionLimits, TurnLimits
from pipecat_responses.session.log import SessionLog
from pipecat_responses.session.notices import Listener
from pipecat_responses.session.pool import PoolOptions
from pipecat_responses.session.stats import SessionStats
from pipecat_responses.session.stored import StoredResponses
from pipecat_responses.session.turn import Backend
from pipecat_responses.session.websocket import WebSocketSession
from pipecat_responses.transport.proxies import Proxies
from pipecat_responses.transport.tls import TlsSettings
from pipecat_responses.transport.trace import Trace
from pipecat_responses.transport.websocket import SocketOptions

if TYPE_CHECKING:
    from pipecat_responses.session.http import HttpSession

__all__ = [
    "KNOWN",
    "Address",
    "Backend",
    "FallbackSession",
    "Proxies",
    "SideRequests",
    "TlsSettings",
    "WebSocketSession",
    "websocket_session",
]


def websocket_session(
    address: Address,
    listener: Listener,
    *,
    limits: ConnectionLimits,
    turn_limits: TurnLimits,
    close_timeout: float,
    max_age: float,
    reconnect: bool,
    max_message_bytes: int,
    anchor_threshold: int | None,
    join_deltas: bool,
    coverage: str,
    tls: TlsSettings,
    proxies: Proxies,
    falls_back: bool,
    stored: StoredResponses,
    capabilities: ServerCapabilities,
    log: SessionLog,
    trace: Trace,
) -> WebSocketSession:
    """A session over WebSocket; nothing is opened before it is started."""
    return WebSocketSession(
        address,
        listener,
        pool=PoolOptions(
            socket=SocketOptions(
                open_timeout=limits.open_secs,
                close_timeout=close_timeout,
                ping_interval=limits.ping_interval_secs,
                ping_timeout=limits.ping_timeout_secs,
                max_message_bytes=max_message_bytes,
                tls=tls,
                proxies=proxies,
            ),
            max_age=max_age,
            reconnect=reconnect,
            backoff=limits.backoff,
            way_back=limits.way_back,
            attempts=limits.attempts,
            abandoned_for=turn_limits.stall_secs,
        ),
        patience=turn_limits.stall_secs,
        anchor_threshold=anchor_threshold,
        join_deltas=join_deltas,
        coverage=Coverage(coverage),
        falls_back=falls_back,
        stored=stored,
        capabilities=capabilities,
        log=log,
        trace=trace,
    )


class SideRequests:
    """Requests beside a conversation over WebSocket: on a lane of their own, or over HTTP."""

    def __init__(self, session: WebSocketSession, http: HttpSession) -> None:
        """Creates the backend.

        Args:
            session: The conversation's session.
            http: Takes what finds no lane there.
        """
        self._session = session
        self._http = http

    @property
    def stats(self) -> SessionStats:
        """Counters, apart from those of the conversation."""
        return self._http.stats

    @property
    def reached(self) -> bool:
        """Whether the server has been there at all."""
        return self._session.reached or self._http.reached

    @property
    def turns_off(self) -> bool:
        """Whether the next request goes another way than the last one, and need not wait."""
        return False

    async def respond(self, request: Request) -> Exchange:
        """Sends a request."""
        exchange = await self._session.respond_aside(request)
        return exchange if exchange is not None else await self._http.respond(request)
