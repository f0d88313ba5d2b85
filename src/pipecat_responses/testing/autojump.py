"""An event loop whose clock stands while there is work, and jumps when there is none.

A call takes as long as people talk, and nearly all of that is waiting. Here the clock stands while
callbacks run, sockets are readable or threads work, and then goes to the next timer at once. So a
call takes the time of its computing, every timer still comes in its order and at its time, and a
machine that is slow or busy changes nothing: a recogniser that needs a second answers at once.

What that is not for is measuring: computing takes no time in it.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from pipecat.clocks.base_clock import BaseClock

T = TypeVar("T")

GRACE = 0.0002
"""Real seconds that a socket has before the clock jumps: what was sent to this machine arrives."""


class AutojumpEventLoop(asyncio.SelectorEventLoop):
    """Runs what waits without waiting; for ``asyncio.Runner(loop_factory=AutojumpEventLoop)``.

    All that takes part has to run in this loop, or in its executors: with a server in another
    thread or process the clock would run away. A pipeline takes the time from it, too, by
    ``PipelineWorker(..., clock=LoopClock())``.
    """

    def __init__(self) -> None:
        """Makes a loop whose clock stands at zero."""
        self._now = 0.0
        self._working = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Tells the time, in seconds."""
        return self._now

    @property
    def working(self) -> bool:
        """Whether threads work for the loop."""
        return self._working > 0

    def jump(self, seconds: float) -> None:
        """Lets time pass."""
        self._now += seconds

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Runs a function in a thread; the clock stands until it has returned."""
        future = super().run_in_executor(executor, func, *args)
        self._working += 1
        future.add_done_callback(self._worked)
        return future

    def _worked(self, _: asyncio.Future[Any]) -> None:
        self._working -= 1


class LoopClock(BaseClock):
    """A pipeline's clock that shows the time of the event loop."""

    def get_time(self) -> int:
        """Tells the time in nanoseconds; never zero, which Pipecat takes for none."""
        return int((asyncio.get_running_loop().time() + 1) * 1e9)

    def start(self) -> None:
        """Does nothing: the loop's clock goes by itself."""


class _JumpingSelector(selectors.DefaultSelector):
    """Where a loop would wait for its next timer."""

    def __init__(self, loop: AutojumpEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if self._loop.working:
            return super().select(None)
        found = super().select(GRACE)
        if not found:
            self._loop.jump(timeout)
        return found
