"""A conversation over HTTP: each request carries everything, and nothing is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from openai import AsyncOpenAI

from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError
from pipecat_responses.protocol.events import Event, Refused, Terminal
from pipecat_responses.protocol.planning import FullReason
from pipecat_responses.protocol.requests import Payload, Request, http_payload
from pipecat_responses.session.exchange import Inbox
from pipecat_responses.session.stats import SessionStats, TurnReport
from pipecat_responses.transport.http import stream

LINGER = 2.0
"""Seconds that an answer may take to end after its terminal event."""


class HttpExchange:
    """One request and its answer (see ``session.exchange.Exchange``)."""

    def __init__(self, session: HttpSession, payload: Payload, report: TurnReport) -> None:
        """Sends a request."""
        self.report = report
        self.request_id: str | None = None
        self._session = session
        self._inbox = Inbox(join=session.join_deltas)
        self._ended = False
        self._linger: asyncio.TimerHandle | None = None
        self._task = session.spawn(self._run(payload))

    @property
    def sent(self) -> bool:
        """HTTP does not tell; the turn's own limits apply from the start."""
        return True

    async def next(self, within: float | None = None) -> list[Event]:
        """Waits for events."""
        return await self._inbox.next(within)

    async def probe(self) -> None:
        """HTTP has no way to ask; the turn's own limits apply."""

    def abandon(self) -> None:
        """Closes the response."""
        if not self._task.done() and not self._ended:
            self._session.stats.abandoned += 1
            self._task.cancel()
        self._inbox.close()

    async def _run(self, payload: Payload) -> None:
        try:
            await stream(
                self._session.client,
                payload,
                self._receive,
                self._opened,
                max_event_bytes=self._session.max_event_bytes,
            )
            error: ResponsesError = ConnectionLostError(
                "The answer ended without its terminal event", transport="http"
            )
        except ResponsesError as raised:
            error = raised
        finally:
            if self._linger is not None:
                self._linger.cancel()
        self._inbox.fail(error)

    def _opened(self, request_id: str | None) -> None:
        self.request_id = request_id
        self._session.reached = True

    def _receive(self, event: Event) -> None:
        if self._ended:
            return
        self._inbox.put(event)
        if isinstance(event, (Terminal, Refused)):
            self._ended = True
            # Read to its end, so that the connection can be used again; but not for ever.
            self._linger = asyncio.get_running_loop().call_later(LINGER, self._task.cancel)


class HttpSession:
    """One conversation over HTTP.

    Attributes:
        client: The SDK's client.
        stats: Counters.
        join_deltas: Whether text that has arrived together is joined.
        max_event_bytes: Largest event that is accepted.
        reached: Whether the server has been there at all.
    """

    def __init__(
        self, client: AsyncOpenAI, *, join_deltas: bool = True, max_event_bytes: int = 16 << 20
    ) -> None:
        """Creates a session."""
        self.client = client
        self.stats = SessionStats()
        self.join_deltas = join_deltas
        self.max_event_bytes = max_event_bytes
        self.reached = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def respond(self, request: Request) -> HttpExchange:
        """Sends a request; its answer is awaited through what is returned."""
        payload = http_payload(request.fields, request.items)
        report = TurnReport(
            transport="http",
            incremental=False,
            full_reason=FullReason.HTTP,
            items=len(request.items),
            size=payload.size,
        )
        self.stats.sent(report)
        return HttpExchange(self, payload, report)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs something that must not outlive the session."""
        task = asyncio.create_task(work, name="pipecat-responses http")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Closes every answer that still runs."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
