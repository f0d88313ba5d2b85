"""What a check has found, and what all of them together say of a server. Plain values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What came of a check.

    Attributes:
        OK: It works.
        NO: The server cannot do this.
        FAILED: Something is wrong, on the way or with the server.
        UNCLEAR: What was seen proves neither.
        SKIPPED: There was nothing to check, or it needs another check that has failed.
    """

    OK = "ok"
    NO = "no"
    FAILED = "failed"
    UNCLEAR = "unclear"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found.

    Attributes:
        verdict: What came of it.
        seen: What the server said or did, in a sentence.
        advice: What to do, in a sentence; empty where nothing is to be done.
        learned: Which capabilities it settles.
        cause: For a check that was skipped, the one that it would have needed.
        error: For a check that has failed, the error's name; else empty.
    """

    verdict: Verdict
    seen: str
    advice: str = ""
    learned: Mapping[str, bool] = field(default_factory=dict)
    cause: str | None = None
    error: str = ""

    @property
    def blocks(self) -> bool:
        """Whether a check that needs this one makes no sense any more."""
        if self.verdict is Verdict.SKIPPED:
            return self.cause is not None
        return self.verdict in (Verdict.NO, Verdict.FAILED)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A check, what came of it, and how long it took.

    Attributes:
        name: The check.
        verdict: What came of it.
        seconds: How long it took.
        seen: What the server said or did, in a sentence.
        advice: What to do, in a sentence; empty where nothing is to be done.
        learned: Which capabilities it settles.
        error: For a check that has failed, the error's name, for ``pipecat-responses explain``.
    """

    name: str
    verdict: Verdict
    seconds: float
    seen: str
    advice: str
    learned: Mapping[str, bool]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What all checks together say of a server.

    Attributes:
        address: The WebSocket's address.
        model: The model that was asked.
        checks: The results, in the order of the list of checks.
        capabilities: What the server can do, as it is written into a capabilities file; None is
            what is not known.
        usable: Whether a call can be held, over one transport or the other.
        tokens: Tokens that the checks have cost, as far as the server says.
        seconds: How long it took.
    """

    address: str
    model: str
    checks: tuple[CheckResult, ...]
    capabilities: Mapping[str, Any]
    usable: bool
    tokens: int
    seconds: float

    def verdict_of(self, name: str) -> Verdict:
        """What came of a check."""
        return next(each.verdict for each in self.checks if each.name == name)
