"""A sandbox in a thread of its own, for tests without an event loop or with any."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

from pipecat_responses.sandbox.server import Sandbox

T = TypeVar("T")


class BackgroundSandbox(Sandbox):
    """A sandbox that runs beside its user, who may block, or have an event loop of any kind.

    All that a ``Sandbox`` has may be used from the thread that holds it.

    Example::

        with BackgroundSandbox() as sandbox:
            sandbox.script("Hello there.")
            client = OpenAI(base_url=sandbox.base_url, api_key="any")
    """

    _thread: threading.Thread | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _over: asyncio.Event

    def __enter__(self) -> BackgroundSandbox:
        """Starts the server.

        Raises:
            OSError: When the port is taken.
        """
        started: Future[None] = Future()
        thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(started)),
            name="responses-sandbox",
            daemon=True,
        )
        self._thread = thread
        thread.start()
        try:
            started.result()
        except BaseException:
            thread.join()
            self._thread = self._loop = None
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops the server, and waits for that."""
        thread, loop = self._thread, self._loop
        if thread is None or loop is None:
            return
        loop.call_soon_threadsafe(self._over.set)
        thread.join()
        self._thread = self._loop = None

    async def __aenter__(self) -> BackgroundSandbox:
        """Starts the server; blocks for the milliseconds that it takes."""
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops the server."""
        self.__exit__(exc_type, exc, trace)

    async def start(self) -> None:
        """Starts listening again, after ``stop``.

        Raises:
            RuntimeError: Outside of the sandbox's ``with``.
        """
        await self._there(super().start())

    async def stop(self) -> None:
        """Drops all connections at once and stops listening."""
        await self._there(super().stop())

    async def _serve(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        try:
            await super().start()
        except OSError as error:
            started.set_exception(error)
            return
        started.set_result(None)
        await self._over.wait()
        await super().stop()

    def _call(self, function: Callable[[], T]) -> T:
        """Calls a function in the thread of the server: what it holds is not to be shared."""
        if self._loop is None or threading.current_thread() is self._thread:
            return function()

        async def call() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        """Awaits in the event loop of the server."""
        if self._loop is None:
            work.close()
            raise RuntimeError("The sandbox has no thread: use it as a context manager")
        if asyncio.get_running_loop() is self._loop:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
