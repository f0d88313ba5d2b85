"""A loop in a thread of its own: nobody waits for it in vain."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, Future
from typing import Any, NoReturn

import pytest

from pipecat_responses.sandbox import BackgroundSandbox
from pipecat_responses.sandbox.threaded import LoopThread

LIMIT = 20.0
"""Seconds after which something is taken to hang."""


def test_it_cannot_wait_for_itself() -> None:
    with LoopThread() as thread:

        async def waits() -> None:
            thread.wait_for(asyncio.sleep(0))

        async def ends_it() -> None:
            thread.__exit__()

        for work in (waits, ends_it):
            with pytest.raises(RuntimeError, match="wait for itself"):
                thread.submit(work()).result(LIMIT)


def test_a_loop_that_cannot_begin_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_left(*_: object, **__: object) -> NoReturn:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio.DefaultEventLoopPolicy, "new_event_loop", nothing_left)
    with pytest.raises(OSError, match="Too many open files"):
        LoopThread().__enter__()


def test_what_the_end_overtakes_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that comes between the last step of the loop and its end."""
    late: list[Future[None]] = []

    async def nothing() -> None:
        pass

    with LoopThread() as thread:

        async def is_cancelled() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                loop = asyncio.get_running_loop()
                close = loop.close

                def ask_and_close() -> None:
                    late.append(thread.submit(nothing()))
                    close()

                # All that the loop still does comes before it is closed.
                monkeypatch.setattr(loop, "close", ask_and_close)

        thread.submit(is_cancelled())
        thread.wait_for(asyncio.sleep(0))
    with pytest.raises(CancelledError):
        late[0].result(LIMIT)
    with pytest.raises(RuntimeError, match="closed"):
        thread.wait_for(nothing())


def test_many_threads_use_one_while_it_ends() -> None:
    """Each use of a sandbox that is being stopped comes to an end, in one way or another."""
    for _ in range(20):
        found: list[Any] = []

        def use(sandbox: BackgroundSandbox, found: list[Any] = found) -> None:
            try:
                while sandbox._thread is not None:
                    sandbox.cut()
                    sandbox.reset()
            except (RuntimeError, CancelledError) as error:
                found.append(error)

        with BackgroundSandbox() as sandbox:
            threads = [threading.Thread(target=use, args=(sandbox,), daemon=True) for _ in "abc"]
            for thread in threads:
                thread.start()
            sandbox.cut()
        for thread in threads:
            thread.join(LIMIT)
            assert not thread.is_alive(), "it waits for a loop that has ended"
