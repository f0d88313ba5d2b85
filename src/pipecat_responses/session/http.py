"""A conversation over HTTP: each request carries everything, and nothing is remembered.

Unless the application has responses stored: then a request carries what is new.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from openai import AsyncOpenAI

from pipecat_responses.protocol.capabilities import ServerCapabilities
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.events import Event, Refused, Terminal, Usage
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.output import Coverage
from pipecat_responses.protocol.planning import FullReason, StoredPlan, plan_over_http
from pipecat_responses.protocol.requests import (
    Payload,
    Request,
    compact_payload,
    http_payload,
    window,
)
from pipecat_responses.session.capabilities import KNOWN
from pipecat_responses.session.exchange import Inbox
from pipecat_responses.session.knowledge import ServerKnowledge
from pipecat_responses.session.log import SessionLog
from pipecat_responses.session.records import (
    Abandoned,
    Difference,
    Purpose,
    RequestFailed,
    RequestSent,
)
from pipecat_responses.session.stats import SessionStats, TurnReport
from pipecat_responses.session.stored import HttpStoring, StoredResponses
from pipecat_responses.session.timing import Milestones
from pipecat_responses.transport.http import HttpOptions, ask, stream
from pipecat_responses.transport.trace import Trace

LINGER = 2.0
"""Seconds that an answer may take to end after its terminal event."""


class HttpExchange:
    """One request over HTTP and its answer (see ``session.exchange.Exchange``).

    Attributes:
        number: Its number, for those who look.
    """

    def __init__(
        self,
        number: int,
        source: int,
        client: AsyncOpenAI,
        payload: Payload,
        report: TurnReport,
        stats: SessionStats,
        answered: asyncio.Event,
        understood: Callable[[ResponsesError], ResponsesError],
        storing: HttpStoring | None,
        *,
        trace: Trace,
        options: HttpOptions,
        join: bool,
    ) -> None:
        """Sends a request.

        Args:
            number: Its number, for those who look.
            source: That of the connection which it is for them.
            client: The SDK's client.
            payload: The request's body.
            report: How it goes out.
            stats: Where its abandonment is counted.
            answered: Is set when the server answers.
            understood: Learns from a refusal, and tells what it has turned out to be.
            storing: Follows the response, if the server is to store it.
            trace: Is told of what happens.
            options: How it behaves.
            join: Whether text that waits is joined.
        """
        self.number = number
        self._source = source
        self.report = report
        self.request_id: str | None = None
        self.usage: Usage | None = None
        self._stats = stats
        self._trace = trace
        self._answered = answered
        self._understood = understood
        self._storing = storing
        self._inbox = Inbox(join=join)
        self._ended = False
        self._connected: float | None = None
        self._linger: asyncio.TimerHandle | None = None
        # What gives the key and what opens the connection have that long, each.
        self._gone_by = asyncio.get_running_loop().time() + 2 * options.open_timeout
        self.task = asyncio.create_task(
            self._run(client, payload, options), name="pipecat-responses http"
        )

    @property
    def sent(self) -> bool:
        """Whether a connection is there and the request is written to it, or was to be by now."""
        return self._connected is not None or asyncio.get_running_loop().time() > self._gone_by

    @property
    def milestones(self) -> Milestones:
        """How far it has got when; when all of it is written, nobody tells."""
        return Milestones(self._connected, created=self._inbox.created)

    def next(self, within: float | None = None) -> Coroutine[Any, Any, list[Event]]:
        """Waits for events."""
        return self._inbox.next(within)

    def waiting(self) -> list[Event]:
        """Takes the events that wait."""
        return self._inbox.waiting()

    @property
    def steerable(self) -> bool:
        """Over HTTP a request is all that is said."""
        return False

    def steer(self, items: Sequence[Item]) -> bool:
        """Over HTTP a request is all that is said."""
        return False

    async def probe(self, within: float) -> None:
        """HTTP has no way to ask; the turn's own limits apply."""

    def abandon(self, *, unanswered: bool = False) -> None:
        """Closes the response."""
        if not self.task.done() and not self._ended:
            self._stats.count_abandoned()
            if (tell := self._trace.tell) is not None:
                tell(Abandoned(self._source, None, never_left=False))
            self.task.cancel()
        self._inbox.close()

    async def _run(self, client: AsyncOpenAI, payload: Payload, options: HttpOptions) -> None:
        try:
            await stream(
                client,
                payload,
                self._receive,
                self._leaves,
                self._opened,
                options,
                trace=self._trace,
                number=self._source,
            )
            error = ResponsesError(
                "The answer ended without its terminal event",
                failure=Failure.UNENDED,
                transport="http",
            )
        except ResponsesError as raised:
            error = self._understood(raised)
        finally:
            if self._linger is not None:
                self._linger.cancel()
        if not self._ended and (tell := self._trace.tell) is not None:
            tell(RequestFailed(self.number, error))
        self._inbox.fail(error)

    def _leaves(self) -> None:
        self._connected = time.monotonic()

    def _opened(self, request_id: str | None) -> None:
        self.request_id = request_id
        self._answered.set()

    def _receive(self, event: Event) -> None:
        if self._ended:
            return
        if self._storing is not None:
            self._storing.receive(event)
        if isinstance(event, Terminal):
            self.usage = event.usage
        if isinstance(event, (Terminal, Refused)):
            if event.error is not None:
                event = msgspec.structs.replace(event, error=self._understood(event.error))
            self._ended = True
            # Read to its end, so that the connection can be used again; but not for ever.
            self._linger = asyncio.get_running_loop().call_later(LINGER, self.task.cancel)
        self._inbox.put(event)


class HttpSession:
    """One conversation over HTTP.

    Attributes:
        stats: Counters.
    """

    def __init__(
        self,
        client: AsyncOpenAI,
        *,
        join_deltas: bool = True,
        options: HttpOptions | None = None,
        stats: SessionStats | None = None,
        stored: StoredResponses | None = None,
        coverage: Coverage = Coverage.WORDS,
        capabilities: ServerCapabilities | None = None,
        log: SessionLog | None = None,
        trace: Trace | None = None,
        purpose: Purpose = Purpose.TURN,
    ) -> None:
        """Creates a session.

        Args:
            client: The SDK's client.
            join_deltas: Whether text that has arrived together is joined.
            options: How requests behave.
            stats: Where it counts; by default apart from everything.
            stored: What it goes on from, if it is to.
            coverage: When a context's text covers a response's.
            capabilities: What is known of the server; by default what the process knows.
            log: Where lines go.
            trace: Is told of what happens.
            purpose: What its requests are for.
        """
        self._trace = trace or Trace()
        self._purpose = purpose
        self._knowledge = ServerKnowledge(
            capabilities or KNOWN.of(str(client.base_url)), log or SessionLog(), self._trace
        )
        self.stats = stats or SessionStats()
        self._client = client
        self._join_deltas = join_deltas
        self._options = options or HttpOptions()
        self._stored = stored
        self._coverage = coverage
        self._answered = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def reached(self) -> bool:
        """Whether the server has been there at all."""
        return self._answered.is_set()

    @property
    def turns_off(self) -> bool:
        """Whether the next request goes another way: there is one only."""
        return False

    async def respond(self, request: Request) -> HttpExchange:
        """Sends a request; its answer is awaited through what is returned."""
        request = self._knowledge.fit(request, may_continue=self._continues(request))
        todo = self._plan(request)
        parent = todo.checkpoint
        payload = http_payload(
            request.fields,
            todo.send,
            previous_response_id=None if parent is None else parent.response_id,
        )
        report = TurnReport(
            transport="http",
            incremental=parent is not None,
            full_reason=todo.full_reason,
            items=len(todo.send),
            size=payload.size,
            changed_at=None if todo.changed_at is None else request.message_of(todo.changed_at),
            messages=request.messages,
            previous_response_id=None if parent is None else parent.response_id,
        )
        self.stats.sent(report)
        number, source = self._tell(self._purpose, report, payload, Difference.of(todo, request))
        understood = partial(self._understood, request, continued=parent is not None)
        storing = None
        if self._stored is not None and request.fields.stored:
            storing = HttpStoring(
                self._stored, self._knowledge, request, continued=parent is not None
            )
        exchange = HttpExchange(
            number,
            source,
            self._client,
            payload,
            report,
            self.stats,
            self._answered,
            understood,
            storing,
            trace=self._trace,
            options=self._options,
            join=self._join_deltas,
        )
        # It must not outlive the session.
        self._tasks.add(exchange.task)
        exchange.task.add_done_callback(self._tasks.discard)
        return exchange

    def _tell(
        self,
        purpose: Purpose,
        report: TurnReport,
        payload: Payload,
        difference: Difference | None = None,
    ) -> tuple[int, int]:
        """Tells of a request; its number, and that of the connection which it is."""
        number, source = self._trace.new_request(), self._trace.new_connection()
        if (tell := self._trace.tell) is not None:
            turn = self._trace.turn
            tell(RequestSent(number, turn, purpose, source, report, payload, difference))
        return number, source

    def _continues(self, request: Request) -> bool:
        """Whether a request may continue from a stored response."""
        return (
            self._stored is not None
            and request.fields.stored
            and self._knowledge.capabilities.may_continue_stored
        )

    def _understood(
        self, request: Request, error: ResponsesError, *, continued: bool
    ) -> ResponsesError:
        error = self._knowledge.understood(error, request, continued=continued, stored=True)
        if error.failure is Failure.MEMORY_LOST and self._stored is not None:
            self._stored.forget()
        return error

    def _plan(self, request: Request) -> StoredPlan:
        """What a request continues from, and what it sends."""
        if self._stored is None or not self._continues(request):
            return StoredPlan(None, window(request.items), FullReason.HTTP)
        self._stored.recall(request)
        blank = FullReason.NOTHING_REMEMBERED if self.stats.requests else FullReason.FIRST
        if self._stored.lost:
            blank = FullReason.MEMORY_LOST
        return plan_over_http(
            self._stored.checkpoints(request),
            request.items,
            request.fields.model,
            blank=blank,
            coverage=self._coverage,
        )

    async def compact(self, request: Request) -> Mapping[str, Any]:
        """Has a conversation compacted.

        Args:
            request: The conversation.

        Returns:
            What the server has made of it: ``output`` and ``usage``.

        Raises:
            ResponsesError: If the server does not do it.
        """
        while True:
            request = self._knowledge.fit(request, may_continue=False)
            items = window(request.items)
            payload = compact_payload(request.fields, items)
            report = TurnReport(
                "http", False, FullReason.HTTP, len(items), payload.size, messages=request.messages
            )
            number, source = self._tell(Purpose.COMPACTION, report, payload)
            try:
                return await ask(
                    self._client,
                    "/responses/compact",
                    payload,
                    self._options,
                    trace=self._trace,
                    number=source,
                )
            except ResponsesError as raised:
                if (tell := self._trace.tell) is not None:
                    tell(RequestFailed(number, raised))
                error = self._knowledge.understood(raised, request)
                if error.failure is not Failure.OPTION_REFUSED:
                    raise

    async def close(self) -> None:
        """Closes every answer that still runs."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
