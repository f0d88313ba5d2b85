"""What a turn's report says of time: when what happened, which attempts failed, what was slow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pipecat_responses.protocol.failures import Failure


class Cause(StrEnum):
    """What the largest avoidable part of a turn's time went into. ``explanation`` says more."""

    CONNECTING = "connecting"
    SERVER_BUSY = "server busy"
    LOST_ATTEMPT = "lost attempt"
    FULL_REQUEST = "full request"
    LARGE_REQUEST = "large request"
    CACHE_MISSED = "cache missed"
    REASONING = "reasoning"
    HOSTED_TOOL = "hosted tool"
    SERVER_SLOW = "server slow"
    OUR_SIDE = "our side"
    NOTHING = "nothing"

    @property
    def explanation(self) -> str:
        """What it means, in a sentence."""
        return EXPLANATIONS[self]


EXPLANATIONS: dict[Cause, str] = {
    Cause.CONNECTING: "A connection to the server had to be opened first.",
    Cause.SERVER_BUSY: "The server turned the request away for the moment, and was waited for.",
    Cause.LOST_ATTEMPT: "An attempt broke off, and another one was made.",
    Cause.FULL_REQUEST: "The whole conversation was sent, and that took its time.",
    Cause.LARGE_REQUEST: "What was new was large, and to send it took its time.",
    Cause.CACHE_MISSED: "The server had to read again what its prompt cache could have held.",
    Cause.REASONING: "The model reasoned before it answered.",
    Cause.HOSTED_TOOL: "A tool ran that the server runs by itself.",
    Cause.SERVER_SLOW: "The server took long to begin.",
    Cause.OUR_SIDE: "This process took long: to make the request, or to get round to it.",
    Cause.NOTHING: "Nothing that can be avoided took long.",
}
"""Every cause has its sentence (a test holds that)."""


class Milestones(NamedTuple):
    """When a request got how far, in the monotonic clock.

    Attributes:
        connected: When there was a connection for it, or None if there has been none.
        written: When all of it was handed to the operating system, if that is known.
        created: When the server said that it has accepted it (``response.created``).
    """

    connected: float | None = None
    written: float | None = None
    created: float | None = None


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An attempt of a turn that came to nothing.

    Attributes:
        failure: What kind of failure it was.
        status: The HTTP status, if there was one.
        seconds: How long the attempt took.
        paused: Seconds that were waited before the next one.
        sent: Whether there was a connection that its request could leave by.
    """

    failure: Failure
    status: int | None = None
    seconds: float = 0.0
    paused: float = 0.0
    sent: bool = True

    def __str__(self) -> str:
        """What failed, for people."""
        return f"{self.failure}" if self.status is None else f"{self.failure}, status {self.status}"


@dataclass(frozen=True, slots=True)
class TurnTimes:
    """Where the time of a turn went, in seconds.

    The ones above the line are spans, the others count from the arrival of the context frame; what
    has not happened is None.

    Attributes:
        preparing: The request was being made, of the context and of what the server remembers.
        connecting: It waited for a connection.
        leaving: Its bytes were being written. None over HTTP, where nobody tells.
        thinking: The model reasoned, as far as its events tell.
        tools: Tools that the server runs ran.
        blocked: The event loop was late, from when the request was ready until there was an
            answer.
        sent: The latest request was ready to be written, and there was a connection for it.
        created: The server said that it has accepted that.
        first_output: The response showed anything: text, a thought, an item that was begun.
        first_text: Text to be spoken was there.
        first_call: A function call was complete.
        end: The turn ended.
    """

    preparing: float = 0.0
    connecting: float = 0.0
    leaving: float | None = None
    thinking: float = 0.0
    tools: float = 0.0
    blocked: float = 0.0
    # -----
    sent: float = 0.0
    created: float | None = None
    first_output: float | None = None
    first_text: float | None = None
    first_call: float | None = None
    end: float = 0.0

    @property
    def answer(self) -> float:
        """When there was something to say or to run; without any, the end."""
        first = [each for each in (self.first_text, self.first_call) if each is not None]
        return min(first, default=self.end)

    @property
    def begun(self) -> float:
        """When the server first said anything of the latest request; without that, the end."""
        said = (self.created, self.first_output)
        return min((each for each in said if each is not None), default=self.end)
