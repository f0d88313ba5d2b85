"""Servers in a thread of their own, for tests without an event loop or with any."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

from pipecat_responses.sandbox.listening import Listener
from pipecat_responses.sandbox.server import Sandbox

T = TypeVar("T")
L = TypeVar("L", bound=Listener)


class LoopThread:
    """An event loop in a thread of its own, as a context manager.

    Nobody waits for it in vain: a loop that could not begin says why, and what was asked of one
    that ends before it has begun with that is cancelled.
    """

    def __init__(self) -> None:
        """Prepares the thread."""
        self._thread = threading.Thread(target=self._main, name="responses-sandbox", daemon=True)
        self._ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._asked: dict[Future[Any], Coroutine[Any, Any, Any]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Starts the loop.

        Raises:
            OSError: When there can be no loop, as of too many open files.
        """
        self._thread.start()
        self._ready.result()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the loop, and what still runs in it.

        Raises:
            RuntimeError: In the loop's own thread, which cannot wait for its own end.
        """
        self._check_thread()
        loop, over = self._ready.result()
        loop.call_soon_threadsafe(over.set)
        self._thread.join()

    @property
    def is_this_one(self) -> bool:
        """Whether it is the thread that asks."""
        return threading.current_thread() is self._thread

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Has the loop do something.

        Raises:
            RuntimeError: When the loop has ended.
        """
        with self._lock:
            try:
                future = asyncio.run_coroutine_threadsafe(work, self._ready.result()[0])
            except RuntimeError:
                work.close()
                raise
            self._asked[future] = work
        future.add_done_callback(self._forget)
        return future

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Has the loop do something, and blocks until it is done.

        Raises:
            RuntimeError: When the loop has ended, and in its own thread, which it would block.
            concurrent.futures.CancelledError: When the loop ends before it has begun with it.
        """
        try:
            self._check_thread()
        except RuntimeError:
            work.close()
            raise
        return self.submit(work).result()

    def _check_thread(self) -> None:
        if self.is_this_one:
            raise RuntimeError("The sandbox's own thread would wait for itself for ever")

    def _forget(self, future: Future[Any]) -> None:
        self._asked.pop(future, None)

    def _main(self) -> None:
        work = self._until_over()
        try:
            asyncio.run(work)
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)
        finally:
            work.close()
            with self._lock:
                left = tuple(self._asked.items())
            for future, asked in left:
                asked.close()
                future.cancel()

    async def _until_over(self) -> None:
        over = asyncio.Event()
        self._ready.set_result((asyncio.get_running_loop(), over))
        await over.wait()


@contextmanager
def in_background(server: L) -> Iterator[L]:
    """Runs a recorder or a replay in a thread of its own.

    Args:
        server: The server, which is not running.

    Yields:
        The same, running.

    Raises:
        OSError: When the port is taken.
    """
    with LoopThread() as thread:
        thread.wait_for(server.start())
        try:
            yield server
        finally:
            thread.wait_for(server.stop())


class BackgroundSandbox(Sandbox):
    """A sandbox that runs beside its user, who may block, or have an event loop of any kind.

    All that a ``Sandbox`` has may be used from the thread that holds it.

    Example::

        with BackgroundSandbox() as sandbox:
            sandbox.script("Hello there.")
            client = OpenAI(base_url=sandbox.base_url, api_key="any")
    """

    _thread: LoopThread | None = None

    def __enter__(self) -> BackgroundSandbox:
        """Starts the server.

        Raises:
            OSError: When the port is taken.
        """
        thread = LoopThread().__enter__()
        try:
            thread.wait_for(super().start())
        except BaseException:
            thread.__exit__()
            raise
        self._thread = thread
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops the server, and waits for that."""
        thread, self._thread = self._thread, None
        if thread is not None:
            try:
                thread.wait_for(super().stop())
            finally:
                thread.__exit__()

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

    def _call(self, function: Callable[[], T]) -> T:
        """Calls a function in the thread of the server: what it holds is not to be shared."""
        if self._thread is None or self._thread.is_this_one:
            return function()

        async def call() -> T:
            return function()

        return self._thread.wait_for(call())

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        """Awaits in the event loop of the server."""
        if self._thread is None:
            work.close()
            raise RuntimeError("The sandbox has no thread: use it as a context manager")
        return await asyncio.wrap_future(self._thread.submit(work))
