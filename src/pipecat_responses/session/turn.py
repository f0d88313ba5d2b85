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
    stalls in a sentence   -                           resumed elsewhere
    no terminal event      -                           the turn ends once its last message is done
    unreadable reasoning   sent again without it       the same
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, assert_never

from pipecat_responses.protocol.errors import MidResponseLossError, ResponsesError
from pipecat_responses.protocol.events import ACTIVITY, Event, Status
from pipecat_responses.protocol.failures import Failure, Recovery
from pipecat_responses.protocol.items import Item, Reasoning, make_item
from pipecat_responses.protocol.progress import ResponseProgress
from pipecat_responses.protocol.requests import Request, no_message
from pipecat_responses.protocol.retry import Budget
from pipecat_responses.protocol.wording import PutOut
from pipecat_responses.session.answer import Answer
from pipecat_responses.session.attempt import Attempt, Quiet
from pipecat_responses.session.exchange import Exchange
from pipecat_responses.session.limits import TurnLimits
from pipecat_responses.session.log import SessionLog
from pipecat_responses.session.parked import ParkedResponse, is_unheard
from pipecat_responses.session.records import AttemptFailed, Parked, Retrying, TakenUp
from pipecat_responses.session.stats import SessionStats, TurnReport
from pipecat_responses.session.steering import OF_STEERING, TurnSteering
from pipecat_responses.session.turn_events import (
    AttemptUsage,
    Text,
    TurnDone,
    TurnEvent,
    UnreadableReasoning,
)
from pipecat_responses.session.watch import TurnWatch
from pipecat_responses.transport.trace import Trace

RESUME_INSTRUCTION = (
    "A technical fault cut your last message off. The user has heard it up to its last character, "
    "which may be in the middle of a word. Continue it from there: begin with its last word, "
    "written in full, and go on behind it. No other repetition, no apology, no comment, as if "
    "nothing had happened."
)
"""Asked for the last word, the model shows where it goes on, and whether that word was whole."""


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """What a turn does when something goes wrong.

    Attributes:
        on_mid_response_loss: Whether an answer that breaks off is resumed, or ends there.
        output_timeout: Seconds for the first attempt to put something out before it is made once
            more, or None to wait.
        limits: How patient it is.
    """

    on_mid_response_loss: Literal["resume", "stop"] = "resume"
    output_timeout: float | None = None
    limits: TurnLimits = field(default_factory=TurnLimits)


class Backend(Protocol):
    """A way to make an attempt."""

    @property
    def stats(self) -> SessionStats:
        """Counters."""

    @property
    def reached(self) -> bool:
        """Whether the server has been there at all."""

    @property
    def turns_off(self) -> bool:
        """Whether the next request goes another way than the last one, and need not wait."""

    async def respond(self, request: Request) -> Exchange:
        """Sends a request.

        Raises:
            ResponsesError: If there is no way to send it now.
        """


class Refuge(Backend, Protocol):
    """Another server, for a turn whose own is lost."""

    def takes(self, request: Request) -> bool:
        """Whether a conversation can go there."""


class Turn:
    """One turn. Call ``next`` until it gives ``TurnDone``; ``abandon`` at any time."""

    def __init__(
        self,
        backend: Backend,
        request: Request,
        policy: TurnPolicy,
        *,
        refuge: Refuge | None = None,
        parked: ParkedResponse | None = None,
        log: SessionLog | None = None,
        trace: Trace | None = None,
        watch: TurnWatch | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Prepares a turn; nothing is sent before the first ``next``.

        Args:
            backend: The way to its server.
            request: What is asked.
            policy: What it does when something goes wrong.
            refuge: Another server, should its own be lost.
            parked: A response that was interrupted and may be the answer all the same.
            log: Where lines go.
            trace: Is told what becomes of it.
            watch: Notes where its time goes.
            clock: Seconds, from anywhere.
            rng: Where jitter comes from.
        """
        self._backend = backend
        self._request = request
        self._policy = policy
        self._limits = policy.limits
        self._refuge = refuge
        self._parked = parked
        self._log = log or SessionLog()
        self._trace = trace or Trace()
        self._number = backend.stats.turns
        self._watch = watch or TurnWatch(clock)
        self._clock = clock
        self._rng = rng or _RNG
        self._budget = self._new_budget()
        self._answer = Answer()
        self._attempt: Attempt | None = None
        self._attempts = 0
        self._failed: ResponsesError | None = None
        self._last = ResponseProgress()
        self._response_id: str | None = None
        self._latest: Exchange | None = None
        self._broke_off_at_end = False
        self._steering = TurnSteering()

    async def next(self) -> list[TurnEvent]:
        """Goes on with the turn.

        Returns:
            What came of it, in order; the last of all is ``TurnDone``.

        Raises:
            ResponsesError: If the turn is lost. Words that were said before stay said.
        """
        while True:
            try:
                if self._parked is not None:
                    outputs = self._take_up(self._parked)
                elif self._failed is not None:
                    outputs = await self._recover(self._failed)
                else:
                    outputs = await self._read(self._attempt or await self._start())
            except ResponsesError as error:
                if error is self._failed:
                    raise
                outputs = self._fail(error)
            if outputs:
                return outputs

    @property
    def report(self) -> TurnReport | None:
        """How its latest request went out, once one has."""
        report = None if self._latest is None else self._latest.report
        if report is None:
            return None
        return replace(report, steered=self._steering.taken, response_id=self._response_id)

    @property
    def messages(self) -> list[PutOut]:
        """The messages that it has put out to be spoken, the last perhaps in part."""
        return self._answer.messages

    @property
    def said(self) -> str:
        """What it has put out to be spoken."""
        return self._answer.said

    def abandon(self) -> None:
        """Stops listening. Costs nothing and waits for nothing."""
        self._watch.stop()
        self._steering.settle(taken=False)
        parked, self._parked = self._parked, None
        if parked is not None:
            parked.abandon()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            self._response_id = attempt.stream.response_id or self._response_id
            attempt.exchange.abandon()

    # -- what the user says meanwhile ---------------------------------------------------------

    async def steer(self, items: Sequence[Item]) -> bool:
        """Gives the server what the user has said while it answers, and waits for its word.

        Args:
            items: What was said, user messages.

        Returns:
            Whether this turn's answer takes it up. If not, it is for another turn.
        """
        attempt = self._attempt
        if attempt is None or self._failed is not None or self._answer.called:
            return False
        return attempt.exchange.steer(items) and await self._steering.give(items)

    def park(self) -> ParkedResponse | None:
        """Leaves the turn, and its response as it is, if that may still be the next turn's answer.

        That is one that thinks, or runs tools at the server, and that nobody has heard anything of.

        Returns:
            The response, or None if there is no such one; then ``abandon`` the turn.
        """
        attempt, answer = self._attempt, self._answer
        if attempt is None or self._failed is not None or self._steering.said:
            return None
        unheard = not (answer.said or answer.called or answer.waits)
        if not (unheard and attempt.stream.output and attempt.exchange.steerable):
            return None
        self._watch.stop()
        self._attempt = None
        if (tell := self._trace.tell) is not None:
            tell(Parked(self._number, attempt.exchange.number))
        return ParkedResponse(attempt.exchange, attempt.stream, answer, self._request)

    def _take_up(self, parked: ParkedResponse) -> list[TurnEvent]:
        """Goes on with a response that was parked, if it has not come to an answer meanwhile."""
        self._parked = None
        exchange = parked.exchange
        events = exchange.waiting()
        said = parked.said_meanwhile(self._request)
        if said is None or not is_unheard(events) or not exchange.steer(said):
            parked.abandon()
            return []
        self._attempts += 1
        self._steering.take_up()
        self._answer = parked.answer
        self._answer.taken_over()
        stats = self._backend.stats
        self._watch.asks(stats)
        self._watch.sent(exchange, stats)
        self._latest = exchange
        self._attempt = Attempt(
            exchange,
            self._clock(),
            output_timeout=None,
            custom_tools=self._request.fields.custom_tools,
            stream=parked.stream,
        )
        if (tell := self._trace.tell) is not None:
            tell(TakenUp(self._number, exchange.number))
        self._log.debug("The response that was interrupted is given what the user has said")
        return self._take(self._attempt, events, self._clock())

    async def _start(self) -> Attempt:
        self._attempts += 1
        self._answer.begin_attempt()
        if self._attempts > 1:
            self._backend.stats.count_retry()
        request = self._next_request()
        self._watch.asks(self._backend.stats)
        exchange = await self._backend.respond(request)
        self._steering.ask_anew()
        self._watch.sent(exchange, self._backend.stats)
        if self._answer.has_words:
            self._backend.stats.count_resume()
        self._attempt = Attempt(
            exchange,
            self._clock(),
            output_timeout=self._policy.output_timeout if self._attempts == 1 else None,
            custom_tools=self._request.fields.custom_tools,
        )
        self._latest = exchange
        self._log.debug("Turn sent: {}", exchange.report or "it is on its way")
        return self._attempt

    def _new_budget(self) -> Budget:
        limits = self._limits
        return Budget(
            deadline=self._clock() + limits.total_secs,
            attempts=limits.attempts,
            backoff=limits.backoff,
            rng=self._rng,
        )

    def _next_request(self) -> Request:
        answer = self._answer
        if not answer.has_words and not answer.kept and not self._steering.said:
            return self._request
        # What the server's own tools did has been done, and is not to be asked for again.
        items = [*self._request.items, *answer.kept, *self._steering.said]
        if answer.has_words:
            answer.resume()
            items += [make_item(message.wire()) for message in answer.messages]
            items.append(make_item({"role": "developer", "content": RESUME_INSTRUCTION}))
        return replace(self._request, items=items, resumes=answer.has_words, message_of=no_message)

    async def _read(self, attempt: Attempt) -> list[TurnEvent]:
        within = max(0.0, attempt.due(self._limits) - self._clock())
        events = await attempt.exchange.next(within)
        now = self._clock()
        if not events:
            return await self._quiet(attempt, now)
        # Signs of life in a row are one in the inbox.
        if len(events) == 1 and events[0] is ACTIVITY:
            attempt.lives(now)
            return []
        attempt.heard(events, now)
        return self._take(attempt, events, now)

    def _take(self, attempt: Attempt, events: Sequence[Event], now: float) -> list[TurnEvent]:
        """Takes events in, until the turn is over."""
        outputs: list[TurnEvent] = []
        for event in self._steering.hold_back(events):
            try:
                self._answer.take(event, attempt.stream, outputs)
                if type(event) in OF_STEERING:
                    self._steering.hear(event, attempt)
            except ResponsesError as error:
                # What came before the failure is said first.
                self._watch.put_out(outputs, now)
                return outputs + self._fail(error)
        # Most of the time it is more of a text, which is no news.
        if outputs and (
            type(outputs[-1]) is not Text or len(outputs) > 1 or not self._watch.at_rest
        ):
            self._watch.put_out(outputs, now)
            if isinstance(outputs[-1], TurnDone):
                self.abandon()
        return outputs

    async def _quiet(self, attempt: Attempt, now: float) -> list[TurnEvent]:
        limits = self._limits
        quiet = attempt.check(now, limits)
        match quiet:
            case Quiet.STILL_LEAVING:
                attempt.still_leaving(now)
            case Quiet.NO_OUTPUT:
                timeout = self._policy.output_timeout
                raise _timeout(f"The response put nothing out within {timeout:g} s")
            case Quiet.NO_TERMINAL:
                self._log.warning("The server put everything out but did not end the response")
                return self._end(TurnDone(Status.COMPLETED, response_id=self._response_id))
            case Quiet.STALLED:
                silent = attempt.silent(now)
                raise _timeout(
                    f"The response fell silent {attempt.where}: nothing came for {silent:.1f} s"
                )
            case Quiet.NOT_BEGUN:
                raise _timeout(f"The response did not begin within {limits.begin_secs:g} s")
            case Quiet.PROBE:
                attempt.probe()
                await attempt.exchange.probe(limits.probe_secs)
            case Quiet.EARLY:
                pass
            case _:
                assert_never(quiet)
        return []

    # -- recovery -----------------------------------------------------------------------------

    def _fail(self, error: ResponsesError) -> list[TurnEvent]:
        """The attempt has failed: what is known of it is kept, and it is let go of."""
        self._failed = error
        self._watch.fails(error)
        attempt = self._attempt
        if (tell := self._trace.tell) is not None:
            number = None if attempt is None else attempt.exchange.number
            tell(AttemptFailed(self._number, number, error))
        if attempt is None:
            self._last = ResponseProgress()
            return []
        self._last = attempt.stream
        self._response_id = attempt.stream.response_id or self._response_id
        error.locate(response_id=self._response_id, request_id=attempt.exchange.request_id)
        if attempt.stream.output and self._answer.has_words:
            # The user has been hearing the answer until now, so the waiting begins now.
            self._budget.extend(self._clock() + self._limits.total_secs)
        unanswered = error.failure is Failure.TIMEOUT and not attempt.begun
        self._attempt = None
        attempt.exchange.abandon(unanswered=unanswered)
        usage = attempt.stream.usage
        return [AttemptUsage(usage)] if usage is not None else []

    async def _recover(self, error: ResponsesError) -> list[TurnEvent]:
        """Makes ready for another attempt, or ends the turn.

        Raises:
            ResponsesError: If there is nothing more to try.
        """
        if self._answer.has_words and self._said_it_all(error):
            # Only the terminal event is missing, and it says nothing that is to be heard.
            self._log.warning("The response broke off after everything had been put out: {}", error)
            return self._end(TurnDone(Status.COMPLETED, response_id=self._response_id))
        if error.failure is Failure.REASONING:
            unreadable = self._leave_reasoning_out()
            if unreadable:
                self._retries(error, 0.0)
                self._failed = None
                return [UnreadableReasoning(unreadable)]
        if self._answer.called or self._answer.waits:
            # Asking again could call again, and what has been called is going to run.
            self._log.warning("The response broke off after its calls were complete: {}", error)
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
        if delay is None and not stop and self._take_refuge(error):
            return []
        if delay is None or stop:
            self._failed = self._lost(error)
            raise self._failed from None
        again = self._policy.output_timeout is not None and error.failure is Failure.TIMEOUT
        if again or self._backend.turns_off:
            delay = 0.0
        self._log.warning("Trying again in {:.2f} s: {}", delay, error)
        self._retries(error, delay)
        if delay:
            await asyncio.sleep(delay)
        self._failed = None
        return []

    def _retries(self, error: ResponsesError, seconds: float, *, elsewhere: bool = False) -> None:
        """Tells that there is another attempt."""
        if (tell := self._trace.tell) is not None:
            tell(Retrying(self._number, seconds, self._answer.has_words, elsewhere, error))

    def _take_refuge(self, error: ResponsesError) -> bool:
        """Goes on at another server, if there is one and its own is lost."""
        refuge, self._refuge = self._refuge, None
        if refuge is None or error.failure not in _LOST or not refuge.takes(self._request):
            return False
        self._log.warning("The turn goes on at the second server: {}", error)
        self._retries(error, 0.0, elsewhere=True)
        self._backend = refuge
        self._budget = self._new_budget()
        self._failed = None
        return True

    def _leave_reasoning_out(self) -> frozenset[str]:
        """Takes reasoning out of the request that the server cannot read.

        Returns:
            The ids of what was taken out.
        """
        items = self._request.items
        kept = [item for item in items if not isinstance(item, Reasoning)]
        self._request = replace(self._request, items=kept, message_of=no_message)
        return frozenset(str(item.id) for item in items if isinstance(item, Reasoning))

    def _said_it_all(self, error: ResponsesError) -> bool:
        """Whether a response that broke off had put everything out.

        After a complete message more may have been on its way: what it was to announce. That can
        be told if the message says that it is the final one, if the server ended the stream by
        itself, or if the model, asked to go on, has come to an end again.
        """
        if not self._last.is_answered:
            return False
        if error.failure is Failure.UNENDED or self._last.is_final:
            return True
        broke_off = error.failure in _BROKE_OFF
        again, self._broke_off_at_end = self._broke_off_at_end, broke_off
        return broke_off and again

    def _end(self, done: TurnDone) -> list[TurnEvent]:
        self.abandon()
        self._failed = None
        return [done]

    def _lost(self, error: ResponsesError) -> ResponsesError:
        if not self._answer.has_words or error.recovery is Recovery.PERMANENT:
            return error
        return error.rewritten(
            f"The answer broke off and could not be resumed: {error.message}",
            kind=MidResponseLossError,
        )


_RNG = random.Random()
"""One for all turns: to seed one costs more than to use it."""

_BROKE_OFF = (Failure.CONNECTION, Failure.TIMEOUT)

_LOST = frozenset(
    {
        *_BROKE_OFF,
        Failure.AUTHENTICATION,
        Failure.ENDPOINT,
        Failure.MODEL,
        Failure.NO_KEY,
        Failure.PERMISSION,
        Failure.PROTOCOL,
        Failure.QUOTA,
        Failure.RATE_LIMIT,
        Failure.SERVER,
        Failure.UNENDED,
    }
)
"""Failures that say something of the server, and nothing of what it was asked."""


def _timeout(message: str) -> ResponsesError:
    return ResponsesError(message, failure=Failure.TIMEOUT)
