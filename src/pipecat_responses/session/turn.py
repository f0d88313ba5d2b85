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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from loguru import logger

from pipecat_responses.core.encoding import encode
from pipecat_responses.core.errors import (
    Failure,
    MidResponseLossError,
    Recovery,
    ResponsesError,
)
from pipecat_responses.core.events import (
    ArgumentsDone,
    Created,
    Event,
    ItemAdded,
    ItemDone,
    Refused,
    Status,
    Terminal,
    TextDelta,
    TextDone,
    ThoughtDelta,
    Usage,
    text_of,
)
from pipecat_responses.core.items import Item, item
from pipecat_responses.core.requests import Request
from pipecat_responses.core.retry import Backoff, Budget
from pipecat_responses.core.splice import Splice
from pipecat_responses.session.exchange import Exchange
from pipecat_responses.session.stats import SessionStats

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
        attempts: Attempts that follow a passing failure, the first included.
        backoff: The waiting between them.
        silence: Time without any event after which the connection is asked for a sign of life.
        start: Time for a response to begin at all.
        stall: Time without an event after which a running response counts as lost.
        terminal: Time to wait for the terminal event once everything has been put out.
    """

    on_mid_response_loss: Literal["resume", "stop"] = "resume"
    output_timeout: float | None = None
    total: float = 20.0
    attempts: int = 4
    backoff: Backoff = field(default_factory=Backoff)
    silence: float = 1.5
    start: float = 10.0
    stall: float = 60.0
    terminal: float = 10.0


@dataclass(frozen=True, slots=True)
class Say:
    """Text to be spoken."""

    text: str


@dataclass(frozen=True, slots=True)
class Think:
    """A piece of the reasoning's summary; an empty one ends the summary."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoned:
    """A reasoning item, to be kept in the context before what it led to."""

    item: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Calling:
    """The model has begun to put something out that is not text."""

    is_call: bool


@dataclass(frozen=True, slots=True)
class Called:
    """A complete function call, to be run once."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end of the answer.

    Attributes:
        status: How it ended.
        reason: Why it is incomplete, if it is.
        usage: Its tokens, if the server said.
        model: The model that answered, if the server said.
        response_id: The response's id, if the server said.
    """

    status: Status
    reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    response_id: str | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens of an attempt that came to nothing."""

    usage: Usage


Output: TypeAlias = Say | Think | Reasoned | Calling | Called | Done | Used


class Backend(Protocol):
    """A way to make an attempt."""

    stats: SessionStats

    async def respond(self, request: Request) -> Exchange:
        """Sends a request.

        Raises:
            ResponsesError: If there is no way to send it now.
        """


class Turn:
    """One turn. Call :meth:`next` until it gives :class:`Done`; :meth:`abandon` at any time."""

    def __init__(
        self,
        backend: Backend,
        request: Request,
        policy: TurnPolicy,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        """Prepares a turn; nothing is sent before the first :meth:`next`."""
        self._backend = backend
        self._request = request
        self._original = request
        self._policy = policy
        self._clock = clock
        self._budget = Budget(
            deadline=clock() + policy.total,
            attempts=policy.attempts,
            backoff=policy.backoff,
            chance=chance or random.Random(),
        )
        self._exchange: Exchange | None = None
        self._attempt = _Attempt()
        self._attempts = 0
        self._said: list[str] = []
        self._kept: list[Item] = []
        self._called: dict[str, Called] = {}
        self._splice: Splice | None = None
        self._failed: ResponsesError | None = None
        self._response_id: str | None = None

    @property
    def said(self) -> str:
        """What has been put out to be spoken so far."""
        return "".join(self._said)

    async def next(self) -> list[Output]:
        """Goes on with the turn.

        Returns:
            What came of it, in order; the last of all is :class:`Done`.

        Raises:
            ResponsesError: If the turn is lost. Words that were said before stay said.
        """
        while True:
            try:
                if self._failed is not None:
                    error, self._failed = self._failed, None
                    raise error
                if self._exchange is None:
                    await self._start()
                outputs = await self._read()
            except ResponsesError as error:
                self._name(error)
                self.abandon()
                usage = self._attempt.usage
                outputs = [Used(usage)] if usage is not None else []
                outputs += await self._recover(error)
            if outputs:
                return outputs

    def abandon(self) -> None:
        """Stops listening. Costs nothing and waits for nothing."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()

    async def _start(self) -> None:
        self._attempts += 1
        if self._attempts > 1:
            self._backend.stats.retries += 1
        self._exchange = await self._backend.respond(self._request)
        self._attempt = _Attempt(sent=self._clock(), last=self._clock())
        logger.debug("Turn sent: {}", self._exchange.report)

    async def _read(self) -> list[Output]:
        exchange, attempt = self._exchange, self._attempt
        assert exchange is not None
        now = self._clock()
        limit = self._limit(attempt, now)
        events = await exchange.next(max(0.0, limit - now))
        now = self._clock()
        if not events:
            return await self._quiet(exchange, attempt, now)
        attempt.last = now
        attempt.begun = True
        outputs: list[Output] = []
        for event in events:
            try:
                self._handle(event, attempt, outputs)
            except ResponsesError as error:
                # What came before the failure is said first.
                self._failed = error
                break
        return outputs

    # -- time ---------------------------------------------------------------------------------

    def _limit(self, attempt: _Attempt, now: float) -> float:
        policy = self._policy
        if not attempt.begun:
            limit = attempt.sent + policy.start
            if not attempt.probed:
                limit = min(limit, attempt.sent + policy.silence)
        else:
            limit = attempt.last + (policy.terminal if attempt.all_done else policy.stall)
        if self._output_deadline(attempt) is not None:
            limit = min(limit, attempt.sent + (policy.output_timeout or 0.0))
        return limit

    def _output_deadline(self, attempt: _Attempt) -> float | None:
        timeout = self._policy.output_timeout
        if timeout is None or attempt.output or self._attempts > 1:
            return None
        return attempt.sent + timeout

    async def _quiet(self, exchange: Exchange, attempt: _Attempt, now: float) -> list[Output]:
        policy = self._policy
        if not attempt.begun and not exchange.sent:
            # A large request on a slow line: the server has nothing to answer yet.
            attempt.sent = now
            return []
        deadline = self._output_deadline(attempt)
        if deadline is not None and now >= deadline:
            raise ResponsesError(
                f"The response put nothing out within {policy.output_timeout:g} s",
                failure=Failure.TIMEOUT,
            )
        if attempt.begun:
            if attempt.all_done and now >= attempt.last + policy.terminal:
                logger.warning("The server put everything out but did not end the response")
                self.abandon()
                return self._end(Done(Status.COMPLETED, response_id=attempt.response_id))
            if now >= attempt.last + policy.stall:
                raise ResponsesError(
                    f"The response fell silent for {policy.stall:g} s", failure=Failure.TIMEOUT
                )
        elif now >= attempt.sent + policy.start:
            raise ResponsesError(
                f"The response did not begin within {policy.start:g} s", failure=Failure.TIMEOUT
            )
        elif not attempt.probed and now >= attempt.sent + policy.silence:
            attempt.probed = True
            await exchange.probe()
        return []

    # -- events -------------------------------------------------------------------------------

    def _handle(self, event: Event, attempt: _Attempt, outputs: list[Output]) -> None:
        if isinstance(event, TextDelta):
            attempt.text.append(event.text)
            self._say(event.text, attempt, outputs)
        elif isinstance(event, ThoughtDelta):
            attempt.output = True
            attempt.thinking = True
            if event.text:
                outputs.append(Think(event.text))
        elif isinstance(event, Created):
            attempt.response_id = event.response_id
            self._response_id = event.response_id or self._response_id
        elif isinstance(event, ItemAdded):
            attempt.output = True
            attempt.open[event.item_id] = event
            self._calling(event.kind, attempt, outputs)
        elif isinstance(event, ArgumentsDone):
            added = attempt.open.get(event.item_id)
            if added is not None and added.call_id and added.name:
                self._call(Called(added.call_id, added.name, event.arguments), attempt, outputs)
        elif isinstance(event, TextDone):
            self._catch_up(event.text, event.item_id, attempt, outputs)
        elif isinstance(event, ItemDone):
            attempt.output = True
            attempt.open.pop(event.item_id, None)
            attempt.finished += 1
            self._item_done(event.item, event.kind, attempt, outputs)
        elif isinstance(event, Terminal):
            self._terminal(event, attempt, outputs)
        elif isinstance(event, Refused):
            raise event.error

    def _say(self, text: str, attempt: _Attempt, outputs: list[Output]) -> None:
        attempt.output = True
        if self._splice is not None:
            text = self._splice.feed(text)
        if text:
            self._before_output(attempt, outputs)
            self._said.append(text)
            outputs.append(Say(text))

    def _catch_up(self, whole: str, item_id: str, attempt: _Attempt, outputs: list[Output]) -> None:
        # Servers that send no deltas, and deltas that went missing.
        done = attempt.text_done
        streamed = "".join(attempt.text)[done:]
        if whole != streamed and whole.startswith(streamed):
            missing = whole[len(streamed) :]
            attempt.text.append(missing)
            self._say(missing, attempt, outputs)
        attempt.text_done = len("".join(attempt.text))

    def _calling(self, kind: str, attempt: _Attempt, outputs: list[Output]) -> None:
        if kind in ("function_call", "custom_tool_call"):
            outputs.append(Calling(is_call=True))
        elif kind != "message":
            outputs.append(Calling(is_call=False))

    def _item_done(
        self, wire: Mapping[str, Any], kind: str, attempt: _Attempt, outputs: list[Output]
    ) -> None:
        if kind == "reasoning":
            self._end_thought(attempt, outputs)
            # Kept back until what it led to has begun: alone, the API would refuse it ever after.
            attempt.reasoning.append(wire)
        elif kind in ("function_call", "custom_tool_call"):
            called = _read_call(wire)
            if called is not None:
                self._call(called, attempt, outputs)

    def _call(self, called: Called, attempt: _Attempt, outputs: list[Output]) -> None:
        if called.call_id in self._called:
            return
        self._before_output(attempt, outputs)
        self._called[called.call_id] = called
        outputs.append(called)

    def _before_output(self, attempt: _Attempt, outputs: list[Output]) -> None:
        self._end_thought(attempt, outputs)
        for wire in attempt.reasoning:
            self._kept.append(item(wire))
            outputs.append(Reasoned(wire))
        attempt.reasoning.clear()

    def _end_thought(self, attempt: _Attempt, outputs: list[Output]) -> None:
        if attempt.thinking:
            attempt.thinking = False
            outputs.append(Think(""))

    def _terminal(self, event: Terminal, attempt: _Attempt, outputs: list[Output]) -> None:
        attempt.usage = event.usage
        self._end_thought(attempt, outputs)
        if event.status is Status.FAILED:
            assert event.error is not None
            raise event.error
        if not attempt.text:
            self._say(text_of(event.output), attempt, outputs)
        if event.status is Status.COMPLETED:
            for wire in event.output or ():
                called = _read_call(wire)
                if called is not None:
                    self._call(called, attempt, outputs)
        self._finish_splice(attempt, outputs)
        if not self._said_words() and not self._called:
            raise _nothing_said(event)
        attempt.usage = None
        outputs += self._end(
            Done(event.status, event.reason, event.usage, event.model, event.response_id)
        )

    def _finish_splice(self, attempt: _Attempt, outputs: list[Output]) -> None:
        if self._splice is not None:
            rest = self._splice.finish()
            self._splice = None
            if rest:
                self._say(rest, attempt, outputs)

    def _said_words(self) -> bool:
        return any(text.strip() for text in self._said)

    def _end(self, done: Done) -> list[Output]:
        self._exchange = None
        return [done]

    # -- recovery -----------------------------------------------------------------------------

    def _name(self, error: ResponsesError) -> None:
        """Tells an error which response and request it belongs to, where it does not know."""
        error.response_id = error.response_id or self._response_id
        if self._exchange is not None:
            error.request_id = error.request_id or self._exchange.request_id

    async def _recover(self, error: ResponsesError) -> list[Output]:
        """Makes ready for another attempt, or ends the turn.

        Raises:
            ResponsesError: If there is nothing more to try.
        """
        attempt = self._attempt
        if attempt.all_done and self._said_words() and error.failure in _NO_ANSWER:
            # Only the terminal event is missing, and it says nothing that is to be heard.
            logger.warning("The response broke off after everything had been put out: {}", error)
            return self._end(Done(Status.COMPLETED, response_id=attempt.response_id))
        if self._called:
            # Asking again could call again, and what has been called is going to run.
            logger.warning("The response broke off after its calls were complete: {}", error)
            return self._end(Done(Status.INCOMPLETE, "lost"))
        delay = self._budget.spend(error, self._clock())
        if delay is None:
            raise self._lost(error) from None
        if self._said_words():
            self._resume(error)
        elif self._policy.output_timeout is not None and error.failure is Failure.TIMEOUT:
            delay = 0.0
        logger.warning("Trying again in {:.2f} s: {}", delay, error)
        if delay:
            await asyncio.sleep(delay)
        return []

    def _resume(self, error: ResponsesError) -> None:
        if self._policy.on_mid_response_loss == "stop":
            raise self._lost(error) from None
        said = self.said
        self._splice = Splice(said)
        self._request = Request(
            self._original.fields,
            [
                *self._original.items,
                *self._kept,
                item({"role": "assistant", "content": said}),
                item({"role": "developer", "content": RESUME_INSTRUCTION}),
            ],
        )
        self._backend.stats.resumed += 1

    def _lost(self, error: ResponsesError) -> ResponsesError:
        if not self._said_words() or error.recovery is Recovery.PERMANENT:
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


_NO_ANSWER = (Failure.CONNECTION, Failure.TIMEOUT)


@dataclass(slots=True)
class _Attempt:
    """What is known of the attempt under way."""

    sent: float = 0.0
    last: float = 0.0
    begun: bool = False
    probed: bool = False
    output: bool = False
    thinking: bool = False
    finished: int = 0
    text_done: int = 0
    response_id: str | None = None
    usage: Usage | None = None
    text: list[str] = field(default_factory=list)
    open: dict[str, ItemAdded] = field(default_factory=dict)
    reasoning: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def all_done(self) -> bool:
        """Whether every item the model began is finished."""
        return self.finished > 0 and not self.open


def _read_call(wire: Any) -> Called | None:
    if not isinstance(wire, Mapping) or wire.get("status") == "incomplete":
        return None
    kind = wire.get("type")
    call_id, name = wire.get("call_id"), wire.get("name")
    if not isinstance(call_id, str) or not isinstance(name, str) or not call_id or not name:
        return None
    if kind == "function_call":
        arguments = wire.get("arguments")
        return Called(call_id, name, arguments) if isinstance(arguments, str) else None
    if kind == "custom_tool_call":
        text = wire.get("input")
        return (
            Called(call_id, name, encode({"input": text}).decode())
            if isinstance(text, str)
            else None
        )
    return None


def _nothing_said(event: Terminal) -> ResponsesError:
    if event.status is Status.INCOMPLETE:
        return ResponsesError(
            f"The response ended before it said anything: {event.reason or 'no reason given'}",
            failure=Failure.CONTENT,
            response_id=event.response_id,
        )
    return ResponsesError(
        "The response completed without text or function call",
        failure=Failure.EMPTY,
        response_id=event.response_id,
    )
