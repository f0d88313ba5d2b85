"""What the user says while a turn runs: it joins the answer, or waits for the next turn."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from pipecat.frames.frames import Frame, LLMMessagesAppendFrame

from pipecat_responses.protocol.encoding import mended
from pipecat_responses.protocol.items import make_item
from pipecat_responses.session.parked import ParkedResponse
from pipecat_responses.session.turn import Turn


class Conversing(Protocol):
    """What is needed of a service."""

    async def push_frame(self, frame: Frame) -> None:
        """Pushes a frame downstream."""


class Steering:
    """The turn of a service that runs, and what is said meanwhile."""

    def __init__(self, service: Conversing, *, parks: bool = False) -> None:
        """Begins without a turn.

        Args:
            service: The service.
            parks: Whether an interrupted response may be the next turn's answer.
        """
        self._service = service
        self._parks = parks
        self._turn: Turn | None = None
        self._parked: ParkedResponse | None = None
        self._one_at_a_time = asyncio.Lock()

    async def steer(self, text: str) -> bool:
        """Adds to what the user has said, while a turn runs or not.

        Args:
            text: What is added.

        Returns:
            Whether the answer that is under way takes it up.
        """
        message: Any = {"role": "user", "content": mended(text)}
        async with self._one_at_a_time:
            frame = LLMMessagesAppendFrame([message], run_llm=False)
            # Whatever becomes of the turn, it has been said.
            frame.interruptible = False
            await self._service.push_frame(frame)
            turn = self._turn
            return turn is not None and await turn.steer([make_item(message)])

    def take_parked(self) -> ParkedResponse | None:
        """The response that was interrupted last, if it may be the next turn's answer."""
        parked, self._parked = self._parked, None
        return parked

    def begin(self, turn: Turn) -> None:
        """A turn begins."""
        self._turn = turn

    def interrupt(self, turn: Turn) -> None:
        """The user speaks while a turn runs."""
        self.close()
        if self._parks:
            self._parked = turn.park()

    def end(self) -> None:
        """The turn is over."""
        self._turn = None

    def close(self) -> None:
        """Nothing goes on that was interrupted."""
        parked = self.take_parked()
        if parked is not None:
            parked.abandon()
