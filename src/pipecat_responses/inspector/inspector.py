"""The inspector: watches services, shows what happens in them, and writes it down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from pipecat_responses.inspector.files import FileSession, SessionWriter
from pipecat_responses.inspector.redaction import Redaction
from pipecat_responses.inspector.server import InspectorServer
from pipecat_responses.inspector.store import (
    InspectorLimits,
    Ring,
    SessionView,
    WatchedSession,
)
from pipecat_responses.transport.trace import Trace

WRITE_EVERY = 0.5
"""Seconds between two writes to the files."""


class Watchable(Protocol):
    """A service that tells what happens in it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def trace(self) -> Trace:
        """What tells."""


class Inspector:
    """Shows what happens in services, turn by turn, on a page on this machine.

    The address has a random token in it, and nobody else may look. What happens is kept in bounded
    memory, and nothing is done about it before somebody looks, or it is recorded.

    Example::

        llm = OpenAIResponsesLLMService(...)
        async with Inspector(llm) as inspector:
            print(inspector.url)
            await runner.run()
    """

    def __init__(
        self,
        *services: Watchable,
        record: str | Path | None = None,
        words: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: InspectorLimits | None = None,
    ) -> None:
        """Watches services from now on; the page is there once it is started.

        Args:
            services: The services; ``watch`` takes more of them.
            record: A folder in which each service's calls are written down, a file for each.
            words: Whether what was said is shown and written. If not, texts are replaced by
                their lengths. Keys never are.
            host: The address to listen on. On another than loopback the page has no encryption,
                and its token is all that keeps others out.
            port: The port; 0 takes a free one.
            limits: How much is kept in memory.

        Raises:
            RuntimeError: If a service is being watched by another inspector.
        """
        self._record = None if record is None else Path(record)
        self._words = words
        self._limits = limits or InspectorLimits()
        self._marks = Ring(self._limits.marks)
        self._wire = Ring(self._limits.wire_bytes)
        self._keys = count(1)
        self._watched: list[tuple[WatchedSession, Trace, SessionWriter | None]] = []
        self._files: list[FileSession] = []
        self._server = InspectorServer(self._sessions, host=host, port=port)
        self._stopping = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        for service in services:
            self.watch(service)

    @property
    def url(self) -> str:
        """The address of the page, once it is started. Whoever has it may look."""
        return self._server.url

    def watch(self, service: Watchable) -> None:
        """Watches one more service from now on.

        Args:
            service: The service.

        Raises:
            RuntimeError: If it is being watched already.
        """
        trace = service.trace
        writer = None if self._record is None else SessionWriter(self._record, service.name)
        session = WatchedSession(
            str(next(self._keys)),
            service.name,
            trace.mask,
            self._marks,
            self._wire,
            None if writer is None else writer.add,
            words=self._words,
        )
        trace.attach(session.tell)
        self._watched.append((session, trace, writer))
        self._forget_surplus()

    def open(self, path: str | Path) -> None:
        """Shows a session that was recorded, as well.

        Args:
            path: The session file.

        Raises:
            ValueError: If it is no session file.
            OSError: If it cannot be read.
        """
        self._files.append(FileSession.read(Path(path), key=f"file-{next(self._keys)}"))

    async def start(self) -> None:
        """Starts the page, and to write.

        Raises:
            OSError: When the port is taken.
        """
        await self._server.start()
        if self._record is not None:
            self._stopping.clear()
            self._writing = asyncio.create_task(
                self._write(self._stopping), name="pipecat-responses inspector"
            )

    async def stop(self) -> None:
        """Stops watching, writes what is left to be written, and ends the page."""
        for _, trace, _ in self._watched:
            trace.detach()
        writing, self._writing = self._writing, None
        if writing is not None:
            self._stopping.set()
            await writing
        self._watched.clear()
        await self._server.stop()

    async def __aenter__(self) -> Self:
        """Starts the inspector."""
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops the inspector."""
        await self.stop()

    def _sessions(self) -> Sequence[SessionView]:
        return [*(session for session, _, _ in reversed(self._watched)), *self._files]

    def _forget_surplus(self) -> None:
        """Forgets the oldest sessions that have ended, where there are too many."""
        surplus = len(self._watched) - self._limits.sessions
        for watched in [each for each in self._watched if each[0].ended][: max(0, surplus)]:
            session, trace, writer = watched
            if writer is not None and writer.waits:
                continue
            trace.detach()
            session.drop()
            self._watched.remove(watched)

    async def _write(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WRITE_EVERY):
                    await stopping.wait()
            work: list[Callable[[], None]] = []
            for session, trace, writer in self._watched:
                if writer is not None and (entries := writer.take()):
                    redaction = Redaction(trace.mask, words=self._words)
                    work.append(partial(writer.write, entries, session, redaction))
            if work:
                await asyncio.to_thread(_do, work)


def _do(work: Sequence[Callable[[], None]]) -> None:
    for each in work:
        each()
