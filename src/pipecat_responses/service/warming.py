"""Warming by itself: when the server is given what is known, and of which context.

The session decides whether there is anything to give (``WebSocketSession.lay_anchor``); here it
is decided when it is asked. Changes come in company: new instructions, new tools, messages, and
often a frame that has the model answer at once, which gives the server all of it anyway. So a
change is looked at a little later, and not at all if a turn comes before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from pipecat.frames.frames import (
    ClientConnectedFrame,
    Frame,
    LLMSetToolsFrame,
    LLMUpdateSettingsFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor

PAUSE = 0.1
"""Seconds from the last change to the look at what has changed."""

CHANGES: tuple[type[Frame], ...] = (
    ClientConnectedFrame,
    LLMSetToolsFrame,
    LLMUpdateSettingsFrame,
)
"""Frames after which the server may lack what the next turn begins with."""


class Warming:
    """Looks for something to give the server ahead of the next turn. See the module's head."""

    def __init__(self, look: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Does nothing yet.

        Args:
            look: Gives the server what it lacks.
        """
        self._look = look
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def soon(self) -> None:
        """Something has changed: looks at it once nothing more changes."""
        self.put_off()
        self._timer = asyncio.get_running_loop().call_later(PAUSE, self._begin)

    def put_off(self) -> None:
        """A turn begins, which gives the server everything itself."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Looks no more. May be called more than once."""
        self.put_off()
        if self._task is not None:
            await asyncio.wait({self._task})

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._look(), name="pipecat-responses warming")


def context_around(service: FrameProcessor) -> LLMContext | None:
    """The context that a service is going to answer, as far as its pipeline shows.

    Pipecat's aggregators hold it from the beginning, and the service is shown it with the first
    turn only.

    Args:
        service: The service, in a pipeline that has been set up.

    Returns:
        The context of the aggregator before the service, or else the only one that there is.
    """
    before = service.previous
    while before is not None:
        context = _context_of(before)
        if context is not None:
            return context
        before = before.previous
    found = {
        id(context): context
        for context in map(_context_of, _inside(service.pipeline_worker.pipeline))
        if context is not None
    }
    return next(iter(found.values())) if len(found) == 1 else None


def _context_of(processor: FrameProcessor) -> LLMContext | None:
    # Aggregators of an application's own may hold one as well.
    context = getattr(processor, "context", None)
    return context if isinstance(context, LLMContext) else None


def _inside(processor: FrameProcessor) -> Iterator[FrameProcessor]:
    for each in processor.processors:
        yield each
        yield from _inside(each)
