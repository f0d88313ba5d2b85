"""Interruptions that arrive at a given step of a service, one await after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from pipecat.frames.frames import Frame, LLMContextFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from pipecat_responses import OpenAIResponsesHttpLLMService, OpenAIResponsesLLMService


class Strike:
    """Counts the awaits at which a service waits, and does something at one of them.

    From then on the service stands still there until it is cancelled: whatever it waited for may
    have come by then, as in an interruption that comes together with data.

    Attributes:
        waits: How often it has waited since ``arm``.
        struck: Set once it has come to the one.
    """

    def __init__(self) -> None:
        self.waits = 0
        self.struck = asyncio.Event()
        self._at: int | None = None
        self._act: Callable[[], Any] = lambda: None

    def arm(self, at: int, act: Callable[[], Any]) -> None:
        """Begins to count.

        Args:
            at: The number of the wait to strike at, from 0.
            act: What to do then; it must not wait for the service.
        """
        self.waits, self._at, self._act = 0, at, act
        self.struck.clear()

    def disarm(self) -> None:
        """Lets everything go on from here."""
        self._at = None

    async def through(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine."""
        return await _Stepped(coroutine, self)

    def reached(self) -> bool:
        """Whether this wait is the one; counts it."""
        number, self.waits = self.waits, self.waits + 1
        if number != self._at:
            return False
        self.struck.set()
        self._act()
        return True


class _Stepped:
    """A coroutine whose awaits are counted."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], strike: Strike) -> None:
        self._coroutine = coroutine
        self._strike = strike

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._coroutine.__await__()
        error: BaseException | None = None
        while True:
            try:
                awaited = inner.send(None) if error is None else inner.throw(error)
            except StopIteration as done:
                return done.value
            try:
                if self._strike.reached():
                    yield from _until_cancelled(awaited)
                else:
                    yield awaited
                error = None
            except BaseException as raised:  # noqa: BLE001 - whatever it is, it is handed on
                error = raised


def _until_cancelled(awaited: Any) -> Generator[Any, Any, None]:
    """Waits for the cancellation that is to come, and passes it on as a task does."""
    try:
        yield from asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        if awaited is not None:
            # It was never given to the task, which would have taken note of it.
            awaited._asyncio_future_blocking = False
            awaited.cancel()
        raise


class _Struck(FrameProcessor):
    """A service whose turns are counted step by step."""

    def __init__(self, strike: Strike, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._strike = strike

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        processing = super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self._strike.through(processing)
        else:
            await processing


class StruckWebSocket(_Struck, OpenAIResponsesLLMService):
    """The WebSocket service."""


class StruckHttp(_Struck, OpenAIResponsesHttpLLMService):
    """The HTTP service."""
