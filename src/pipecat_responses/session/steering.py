"""What is said while a turn is answered, and what the server makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from pipecat_responses.protocol.events import (
    Event,
    SteerAccepted,
    SteerFailed,
    SteerPending,
    Succeeded,
)
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.items import Item
from pipecat_responses.session.attempt import Attempt
from pipecat_responses.session.parked import is_unheard

OF_STEERING = frozenset({SteerAccepted, SteerPending, SteerFailed, Succeeded})
"""The events that tell of it."""


class TurnSteering:
    """What is said while one turn is answered.

    Attributes:
        said: The messages that were given to the server, and that another attempt has to carry.
        taken: Whether the server has taken any.
    """

    def __init__(self) -> None:
        """Begins with nothing said."""
        self.said: list[Item] = []
        self.taken = False
        self._word: asyncio.Future[bool] | None = None
        self._parked = False
        self._held: list[Event] | None = None

    def give(self, items: Sequence[Item]) -> Awaitable[bool]:
        """Messages have gone out.

        Returns:
            The server's word: whether the answer takes them up.
        """
        self.said += items
        self._word = asyncio.get_running_loop().create_future()
        return self._word

    def take_up(self) -> None:
        """A response that was parked goes on with what the request of the turn has anyway.

        Nothing of it is heard before the server has taken that.
        """
        self._parked, self._held = True, []

    def ask_anew(self) -> None:
        """A request goes out that carries all that was said."""
        self._parked, self._held = False, None
        self.settle(taken=True)

    def settle(self, *, taken: bool) -> None:
        """The server has given its word, or will not any more."""
        word, self._word = self._word, None
        if word is not None and not word.done():
            word.set_result(taken)

    def hold_back(self, events: Sequence[Event]) -> Sequence[Event]:
        """Leaves those events for later that would be heard too early.

        Args:
            events: What has come.

        Returns:
            What may be taken in now.
        """
        held = self._held
        if held is None:
            return events
        passed: list[Event] = []
        for number, event in enumerate(events):
            if type(event) in OF_STEERING:
                self._held = None
                return [*passed, event, *held, *events[number + 1 :]]
            (held if held or not is_unheard((event,)) else passed).append(event)
        return passed

    def hear(self, event: Event, attempt: Attempt) -> None:
        """The server says what becomes of it.

        Args:
            event: One of ``OF_STEERING``.
            attempt: The attempt whose response it is about.

        Raises:
            ResponsesError: If the response is of no use without it.
        """
        match event:
            case SteerAccepted():
                attempt.goes_on(True)
                self.taken = True
                self.settle(taken=True)
            case SteerPending():
                attempt.goes_on(False)
                self.settle(taken=False)
            case SteerFailed():
                attempt.goes_on(False)
                self.settle(taken=False)
                if self._parked:
                    # It answers what is no longer asked.
                    raise event.error.rewritten(failure=Failure.NOT_STEERED)
            case Succeeded():
                attempt.succeed()
            case _:
                pass
