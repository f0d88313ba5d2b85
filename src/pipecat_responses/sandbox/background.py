"""Responses that run in the background: they go on when nobody listens, and can be asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pipecat_responses.sandbox.composer import Event
from pipecat_responses.sandbox.engine import Engine, Halt, Place, Run, Sink
from pipecat_responses.sandbox.faults import Transport
from pipecat_responses.sandbox.memory import PrefixCache
from pipecat_responses.sandbox.records import RecordedRequest
from pipecat_responses.sandbox.transcript import Transcript

RUNNING = ("queued", "in_progress")
_NO_ANSWER = {"code": "server_error", "message": "The model failed to answer."}


class EventLog:
    """The events of a response, for any number of listeners, now and later.

    As the sink of a response it does to all who listen what is done to its connection, once they
    have been sent what came before.

    Attributes:
        events: The events so far.
    """

    transport: Transport = "http"

    def __init__(self) -> None:
        """Begins with no events."""
        self.events: list[Event] = []
        self._cuts: dict[Sink, _Cut | None] = {}
        self._news = asyncio.Event()
        self._ended = False

    def join(self, listener: Sink) -> None:
        """Takes a listener, which is cut off from now on when a fault says so."""
        self._cuts[listener] = None

    def leave(self, listener: Sink) -> _Cut | None:
        """Lets a listener go.

        Returns:
            How it is cut off, if it is.
        """
        return self._cuts.pop(listener, None)

    async def follow(self, listener: Sink, after: int) -> AsyncGenerator[Event, None]:
        """The events behind a sequence number, those that are to come as well.

        Args:
            listener: Who listens, and has joined; once it is cut off, there are no more.
            after: The sequence number of the last event that it has; -1 for all events.
        """
        index = 0
        try:
            while True:
                cut = self._cuts[listener]
                if cut is not None and index >= cut.behind:
                    await cut.happens(listener)
                    return
                if index < len(self.events):
                    event = self.events[index]
                    index += 1
                    if event.get("sequence_number", after) > after:
                        yield event
                elif self._ended:
                    return
                else:
                    await self._news.wait()
        finally:
            self.leave(listener)

    def end(self) -> None:
        """There will be no more events."""
        self._ended = True
        self._wake()

    async def send(self, event: Event) -> None:
        """Keeps an event."""
        self.events.append(event)
        self._wake()

    async def send_raw(self, data: bytes, *, binary: bool) -> None:
        """Sends bytes to those who listen now; nobody sees them again."""
        for listener in self._present():
            with suppress(ConnectionError):
                await listener.send_raw(data, binary=binary)

    async def comment(self, text: str) -> None:
        """Sends a comment to those who listen now."""
        for listener in self._present():
            with suppress(ConnectionError):
                await listener.comment(text)

    async def close(self, code: int, reason: str) -> None:
        """Cuts off those who listen now, properly."""
        self._cut(lambda listener: listener.close(code, reason))

    async def reset(self) -> None:
        """Cuts off those who listen now, with a reset."""
        self._cut(lambda listener: listener.reset())

    def stall(self) -> None:
        """Says nothing more; a parked response does that already."""

    def _present(self) -> list[Sink]:
        return [listener for listener, cut in self._cuts.items() if cut is None]

    def _cut(self, happens: Callable[[Sink], Awaitable[None]]) -> None:
        for listener, cut in self._cuts.items():
            self._cuts[listener] = cut or _Cut(len(self.events), happens)
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


@dataclass(frozen=True)
class _Cut:
    """How a listener is cut off, and behind how many events."""

    behind: int
    happens: Callable[[Sink], Awaitable[None]]


class Job:
    """One response in the background.

    Attributes:
        log: Its events.
        streamed: Whether it was created as a stream; only then can it be streamed again.
        task: Runs it.
        started_at: When it began, in seconds of ``time.monotonic``.
        queued: The response object before anything has happened.
    """

    def __init__(
        self, run: Run, log: EventLog, task: asyncio.Task[None], *, streamed: bool
    ) -> None:
        """Takes a response that was accepted a moment ago."""
        self.log = log
        self.task = task
        self.streamed = streamed
        self.started_at = time.monotonic()
        self._run = run
        self._ended: dict[str, Any] | None = None
        self.queued = run.composer.response("queued")

    @property
    def given(self) -> Transcript:
        """What the model sees."""
        return self._run.given.transcript

    @property
    def response(self) -> dict[str, Any]:
        """The response object as of now."""
        if self._ended is not None:
            return self._ended
        for event in reversed(self.log.events):
            if "response" in event:
                response: dict[str, Any] = event["response"]
                return response
        return self.queued

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.response["status"] in RUNNING

    async def cancel(self, *, with_event: bool) -> None:
        """Ends it as cancelled, wherever it is.

        Args:
            with_event: Whether those who listen are told by ``response.incomplete``.
        """
        self.task.cancel()
        await asyncio.wait({self.task})
        if not self.running:
            return
        self._ended = {**self.response, "status": "cancelled"}
        self._run.record.outcome = "cancelled"
        if with_event:
            await self.log.send(
                self._run.composer.event("response.incomplete", response=self._ended)
            )
        self.log.end()

    def fail(self, message: str, code: str = "server_error") -> None:
        """Ends it as failed, if it has not ended."""
        if self.running:
            error = {"code": code, "message": message}
            self._ended = {**self.response, "status": "failed", "error": error}
        self.log.end()

    def forget_events(self) -> int:
        """Drops the events of a response that has ended; returns how many there were."""
        self._ended = self.response
        count = len(self.log.events)
        self.log = EventLog()
        self.log.end()
        return count


class Background:
    """All responses in the background; beyond a maximum, the oldest are dropped."""

    def __init__(self, engine: Engine, cache: PrefixCache) -> None:
        """Shares the engine and HTTP's prompt cache."""
        self._engine = engine
        self._cache = cache
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, response_id: str) -> Job | None:
        """The response of that id, if it runs or ran in the background."""
        return self._jobs.get(response_id)

    def replayable(self, job: Job) -> bool:
        """Whether a response can still be streamed from where one likes."""
        age = time.monotonic() - job.started_at
        return bool(job.log.events or job.running) and age <= self._engine.config.replay_secs

    def drop(self, response_id: str) -> bool:
        """Forgets a response; False when there is none of that id."""
        return self._jobs.pop(response_id, None) is not None

    async def start(self, record: RecordedRequest, listener: Sink, *, streamed: bool) -> Job:
        """Begins a response.

        Args:
            record: The request.
            listener: Who asked, and is cut off if a fault says so.
            streamed: Whether that follows the events.

        Returns:
            The response, as soon as it is accepted.

        Raises:
            ApiError: When the request is refused.
            Halt: When a fault ended it before it was accepted.
            HtmlAnswer: When a proxy answers instead.
        """
        accepted: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        log = EventLog()
        log.join(listener)
        place = Place(log, self._cache, background=True)

        def take(run: Run) -> None:
            job = Job(run, log, task, streamed=streamed)
            self._keep(run.response_id, job)
            accepted.set_result(job)

        async def work() -> None:
            try:
                await self._engine.run(record, place, on_accepted=take)
            except asyncio.CancelledError:
                record.outcome = record.outcome or "dropped"
                raise
            except Halt as halt:
                if not accepted.done():
                    raise
                if not halt.parked:
                    failure = halt.error.failure() if halt.error is not None else _NO_ANSWER
                    accepted.result().fail(failure["message"], failure["code"])
                return
            accepted.result().log.end()
            self._bound_events()

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            error = None if task.cancelled() else task.exception()
            # A refusal belongs to who asked, and may have nobody left to go to.
            if error is not None and accepted.done():
                accepted.result().fail("The server had an error while processing your request.")
                told = "A response in the background broke off"
                task.get_loop().call_exception_handler({"message": told, "exception": error})

        task = asyncio.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(done)
        either: set[asyncio.Future[Any]] = {task, accepted}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            log.leave(listener)
            raise
        if not accepted.done():
            await task
        if not streamed:
            cut = log.leave(listener)
            if cut is not None and cut.behind == 0:
                await cut.happens(listener)
        return accepted.result()

    async def stop(self) -> None:
        """Ends all that is running, as failed."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for job in self._jobs.values():
            job.fail("The server was stopped.")

    def _keep(self, response_id: str, job: Job) -> None:
        self._jobs[response_id] = job
        while len(self._jobs) > self._engine.config.max_stored:
            del self._jobs[next(iter(self._jobs))]

    def _bound_events(self) -> None:
        """Drops the oldest events that are too many; who listens to them still gets the rest."""
        total = sum(len(job.log.events) for job in self._jobs.values())
        for job in self._jobs.values():
            if total <= self._engine.config.max_stored_events:
                return
            if not job.running:
                total -= job.forget_events()
