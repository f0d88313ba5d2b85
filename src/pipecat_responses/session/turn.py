"""One turn: from a request to the end of its answer, over as many attempts as it takes.

What can happen, and what the caller hears::

    failure                before a word was said      after words were said
    --------------------   -------------------------   -------------------------------------
    passing                tried again, in a budget    resumed: the answer goes on where it
                                                       broke off, no word twice
    memory, lanes, age     sent again at once, full    the same
    permanent, content     reported                    reported, with what was said kept
    empty answer           asked once more             -
    complete calls exist   -                           the turn ends; the calls run, once
    no terminal event      -                           the turn ends once all items are done
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from loguru import logger

from pipecat_responses.protocol.errors import (
    Failure,
    MidResponseLossError,
    Recovery,
    ResponsesError,
)
from pipecat_responses.protocol.events import Status
from pipecat_responses.protocol.items import make_item
from pipecat_responses.protocol.requests import Request
from pipecat_responses.protocol.retry import Backoff, Budget
from pipecat_responses.session.answer import Answer, Stream
from pipecat_responses.session.exchange import Exchange
from pipecat_responses.session.stats import SessionStats
from pipecat_responses.session.turn_events import AttemptUsage, TurnDone, TurnEvent

RESUME_INSTRUCTION = (
    "A technical fault cut your last message off. The user has heard it up to its last character. "
    "Continue it from exactly there: no repetition, no apology, no comment, as if nothing had "
    "happened."
)


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """How patient a turn is. All times are in seconds.

    Attributes:
        on_mid_response_loss: Whether an answer that breaks off is resumed, or ends there.
        output_timeout: Time for the first attempt to put something out before it is made once
            more, or None to wait.
        total: Time within which new attempts are made.
        attempts: Attempts, the first included. A server that was there before and cannot be
            reached any more is waited for as long as ``total`` allows.
        backoff: The waiting between them.
        silence: Time without any event after which the connection is asked for a sign of life.
        start: Time for a response to begin at all.
        stall: Time without an event after which a running response counts as lost.
        terminal: Time to wait for the terminal event once everything has been put out.
    """

    on_mid_response_loss: Literal["resume", "stop"] = "resume"
    output_timeout: float | None = None
    total: float = 12.0
    attempts: int = 5
    backoff: Backoff = field(default_factory=Backoff)
    silence: float = 1.5
    start: float = 6.0
    stall: float = 60.0
    terminal: float = 10.0


class Backend(Protocol):
    """A way to make an attempt."""

    stats: SessionStats

    @property
    def reached(self) -> bool:
        """Whether the server has been there at all."""

    async def respond(self, request: Request) -> Exchange:
        """Sends a request.

        Raises:
            ResponsesError: If there is no way to send it now.
        """


@dataclass(slots=True)
class _Attempt:
    """One request and when it did what, in the turn's clock."""

    exchange: Exchange
    sent: float
    last: float
    first: bool
    begun: bool = False
    probed: bool = False
    stream: Stream = field(default_factory=Stream)


class Turn:
    """One turn. Call :meth:`next` until it gives ``TurnDone``; :meth:`abandon` at any time."""

    def __init__(
        self,
        backend: Backend,
        request: Request,
        policy: TurnPolicy,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Prepares a turn; nothing is sent before the first :meth:`next`."""
        self._backend = backend
        self._request = request
        self._policy = policy
        self._clock = clock
        self._budget = Budget(
            deadline=clock() + policy.total,
            attempts=policy.attempts,
            backoff=policy.backoff,
            rng=rng or random.Random(),
        )
        self._answer = Answer()
        self._attempt: _Attempt | None = None
        self._attempts = 0
        self._failed: ResponsesError | None = None
        self._last = Stream()
        self._response_id: str | None = None

    async def next(self) -> list[TurnEvent]:
        """Goes on with the turn.

        Returns:
            What came of it, in order; the last of all is ``TurnDone``.

        Raises:
            ResponsesError: If the turn is lost. Words that were said before stay said.
        """
        while True:
            try:
                if self._failed is not None:
                    outputs = await self._recover(self._failed)
                else:
                    outputs = await self._read(self._attempt or await self._start())
            except ResponsesError as error:
                if error is self._failed:
                    raise
                outputs = self._fail(error)
            if outputs:
                return outputs

    def abandon(self) -> None:
        """Stops listening. Costs nothing and waits for nothing."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.exchange.abandon()

    async def _start(self) -> _Attempt:
        self._attempts += 1
        if self._attempts > 1:
            self._backend.stats.retries += 1
        exchange = await self._backend.respond(self._next_request())
        if self._answer.has_words:
            self._backend.stats.resumed += 1
        now = self._clock()
        self._attempt = _Attempt(exchange, sent=now, last=now, first=self._attempts == 1)
        logger.debug("Turn sent: {}", exchange.report)
        return self._attempt

    def _next_request(self) -> Request:
        answer = self._answer
        if not answer.has_words:
            return self._request
        answer.resume()
        return Request(
            self._request.fields,
            [
                *self._request.items,
                *answer.kept,
                make_item({"role": "assistant", "content": answer.said}),
                make_item({"role": "developer", "content": RESUME_INSTRUCTION}),
            ],
        )

    async def _read(self, attempt: _Attempt) -> list[TurnEvent]:
        now = self._clock()
        events = await attempt.exchange.next(max(0.0, self._limit(attempt) - now))
        if not events:
            return await self._quiet(attempt, self._clock())
        attempt.last = self._clock()
        attempt.begun = True
        outputs: list[TurnEvent] = []
        for event in events:
            try:
                outputs += self._answer.take(event, attempt.stream)
            except ResponsesError as error:
                # What came before the failure is said first.
                return outputs + self._fail(error)
        if outputs and isinstance(outputs[-1], TurnDone):
            self.abandon()
        return outputs

    # -- time ---------------------------------------------------------------------------------

    def _limit(self, attempt: _Attempt) -> float:
        """When to look what is the matter, if nothing comes before."""
        policy = self._policy
        if attempt.begun:
            limit = attempt.last + (policy.terminal if attempt.stream.all_done else policy.stall)
        elif attempt.probed:
            limit = attempt.sent + policy.start
        else:
            limit = attempt.sent + min(policy.start, policy.silence)
        return min(limit, self._output_limit(attempt))

    def _output_limit(self, attempt: _Attempt) -> float:
        timeout = self._policy.output_timeout
        if timeout is None or attempt.stream.output or not attempt.first:
            return NEVER
        return attempt.sent + timeout

    async def _quiet(self, attempt: _Attempt, now: float) -> list[TurnEvent]:
        policy = self._policy
        if not attempt.begun and not attempt.exchange.sent:
            # A large request on a slow line: the server has nothing to answer yet.
            attempt.sent = now
        elif now >= self._output_limit(attempt):
            raise _timeout(f"The response put nothing out within {policy.output_timeout:g} s")
        elif attempt.begun and attempt.stream.all_done and now >= attempt.last + policy.terminal:
            logger.warning("The server put everything out but did not end the response")
            return self._end(TurnDone(Status.COMPLETED, response_id=self._response_id))
        elif attempt.begun and now >= attempt.last + policy.stall:
            raise _timeout(f"The response fell silent for {policy.stall:g} s")
        elif not attempt.begun and now >= attempt.sent + policy.start:
            raise _timeout(f"The response did not begin within {policy.start:g} s")
        elif not attempt.begun and not attempt.probed and now >= attempt.sent + policy.silence:
            attempt.probed = True
            await attempt.exchange.probe()
        return []

    # -- recovery -----------------------------------------------------------------------------

    def _fail(self, error: ResponsesError) -> list[TurnEvent]:
        """The attempt has failed: what is known of it is kept, and it is let go of."""
        self._failed = error
        attempt = self._attempt
        if attempt is None:
            self._last = Stream()
            return []
        self._last = attempt.stream
        self._response_id = attempt.stream.response_id or self._response_id
        error.response_id = error.response_id or self._response_id
        error.request_id = error.request_id or attempt.exchange.request_id
        self.abandon()
        usage = attempt.stream.usage
        return [AttemptUsage(usage)] if usage is not None else []

    async def _recover(self, error: ResponsesError) -> list[TurnEvent]:
        """Makes ready for another attempt, or ends the turn.

        Raises:
            ResponsesError: If there is nothing more to try.
        """
        if self._last.all_done and self._answer.has_words and error.failure in _BROKE_OFF:
            # Only the terminal event is missing, and it says nothing that is to be heard.
            logger.warning("The response broke off after everything had been put out: {}", error)
            return self._end(TurnDone(Status.COMPLETED, response_id=self._response_id))
        if self._answer.called:
            # Asking again could call again, and what has been called is going to run.
            logger.warning("The response broke off after its calls were complete: {}", error)
            return self._end(TurnDone(Status.INCOMPLETE, "lost"))
        coming_back = (
            error.failure is Failure.CONNECTION
            and self._backend.reached
            and self._last.response_id is None
        )
        delay = self._budget.spend(error, self._clock(), coming_back=coming_back)
        if delay is None and error.failure is Failure.EMPTY and self._answer.has_words:
            # Asked to go on, the model has nothing to add.
            return self._end(TurnDone(Status.COMPLETED, response_id=self._response_id))
        stop = self._answer.has_words and self._policy.on_mid_response_loss == "stop"
        if delay is None or stop:
            self._failed = self._lost(error)
            raise self._failed from None
        if self._policy.output_timeout is not None and error.failure is Failure.TIMEOUT:
            delay = 0.0
        logger.warning("Trying again in {:.2f} s: {}", delay, error)
        if delay:
            await asyncio.sleep(delay)
        self._failed = None
        return []

    def _end(self, done: TurnDone) -> list[TurnEvent]:
        self.abandon()
        self._failed = None
        return [done]

    def _lost(self, error: ResponsesError) -> ResponsesError:
        if not self._answer.has_words or error.recovery is Recovery.PERMANENT:
            return error
        return MidResponseLossError(
            f"The answer broke off and could not be resumed: {error.message}",
            failure=error.failure,
            code=error.code,
            type=error.type,
            param=error.param,
            status=error.status,
            request_id=error.request_id,
            response_id=error.response_id,
            retry_after=error.retry_after,
            transport=error.transport,
        )


NEVER = float("inf")

_BROKE_OFF = (Failure.CONNECTION, Failure.TIMEOUT)


def _timeout(message: str) -> ResponsesError:
    return ResponsesError(message, failure=Failure.TIMEOUT)
