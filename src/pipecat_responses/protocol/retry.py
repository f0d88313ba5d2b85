"""How often and how long a turn tries again.

A caller waits at the other end, so a turn has a budget: so many attempts, so many seconds. Time
comes in as an argument.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure, Recovery

RECONNECT_CAP = 1.0
"""Seconds between two attempts to reach a server that somebody waits for."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with jitter and a cap.

    Attributes:
        first: Seconds to wait before the first repetition, at most.
        cap: Seconds to wait at most, ever.
    """

    first: float = 0.2
    cap: float = 4.0

    def delay(self, attempt: int, rng: random.Random) -> float:
        """Seconds to wait after a failed attempt.

        Args:
            attempt: How many attempts have failed so far, from 1.
            rng: Where the jitter comes from. Half of the delay is certain, half by rng, so
                that many clients of one server do not come back together.
        """
        full = min(self.cap, self.first * 2.0 ** min(attempt - 1, 16))
        return full / 2 + full / 2 * rng.random()


@dataclass(slots=True)
class Budget:
    """What is left of a turn's patience.

    Attributes:
        deadline: When to stop trying, in the caller's clock.
        attempts: Attempts that the server may refuse in passing, the first included.
        at_once: Repetitions left that need no waiting (memory lost, another lane, …).
        backoff: How long to wait between attempts.
        rng: Where the jitter comes from.
    """

    deadline: float
    attempts: int = 4
    at_once: int = 4
    backoff: Backoff = field(default_factory=Backoff)
    rng: random.Random = field(default_factory=random.Random)
    _failed: int = 0
    _once: bool = False

    def extend(self, deadline: float) -> None:
        """Gives more time, if that is later than what was given before."""
        self.deadline = max(self.deadline, deadline)

    def spend(
        self, error: ResponsesError, now: float, *, coming_back: bool = False
    ) -> float | None:
        """Decides whether to try again after a failure.

        Args:
            error: The failure.
            now: The time, in the clock of ``deadline``.
            coming_back: Whether a server that was there before is waited for, and nothing was
                billed meanwhile.

        Returns:
            Seconds to wait before the next attempt, or None to give up.
        """
        match error.recovery:
            case Recovery.REPORT | Recovery.PERMANENT:
                return None
            case Recovery.ONCE_MORE:
                if self._once or now >= self.deadline:
                    return None
                self._once = True
                return 0.0
            case Recovery.RETRY:
                self._failed += 1
                delay = self.backoff.delay(self._failed, self.rng)
                if error.failure is Failure.CONNECTION:
                    # A connection opens in no time, so the first repetition is made at once.
                    delay = 0.0 if self._failed == 1 else min(delay, RECONNECT_CAP)
                if self._failed >= self.attempts and not coming_back:
                    return None
                if error.retry_after is not None:
                    delay = max(error.retry_after, 0.0)
                return delay if now + delay < self.deadline else None
            case Recovery.WITHOUT_OPTION:
                # Each time the request gets smaller, so there is an end to it.
                return 0.0 if now < self.deadline else None
            case _:
                if self.at_once <= 0:
                    return None
                self.at_once -= 1
                return 0.0 if now < self.deadline else None
