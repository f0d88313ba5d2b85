"""Why a turn was slow: the largest part of its time that could have been avoided.

Each rule says how many seconds of a turn its cause has taken, of those that need not be, and the
one that says most is the cause. What a server takes at its best is nobody's fault, so waiting
counts from ``USUAL`` on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from pipecat_responses.protocol.events import Usage
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.session.stats import TurnReport
from pipecat_responses.session.timing import Cause, FailedAttempt, TurnTimes

WORTH = 0.1
"""Seconds from which a part of a turn is worth a word."""

USUAL = 0.5
"""Seconds that a good server takes from a request to its first output."""

USUAL_TO_CREATED = 0.2
"""Seconds of them until it has said that it has the request."""

LARGE = 64 * 1024
"""Bytes from which a request takes time to be sent."""

CACHED_FROM = 1024
"""Input tokens from which OpenAI's prompt cache holds anything."""

Seconds: TypeAlias = Callable[[TurnReport, TurnTimes], float]
Sentence: TypeAlias = Callable[[TurnReport, TurnTimes, float], str]


class Rule(NamedTuple):
    """One cause.

    Attributes:
        cause: The cause.
        seconds: How many seconds of a turn it has taken.
        sentence: Says so, for people.
    """

    cause: Cause
    seconds: Seconds
    sentence: Sentence


def cause_of(report: TurnReport) -> Cause:
    """What the largest avoidable part of a turn's time went into.

    Args:
        report: The turn, once it has ended.
    """
    return explain(report)[0]


def explain(report: TurnReport) -> tuple[Cause, str]:
    """What the largest avoidable part of a turn's time went into, and a sentence about it.

    Args:
        report: The turn, once it has ended.
    """
    times = report.times
    if times is not None:
        taken = [(rule.seconds(report, times), rule) for rule in RULES]
        seconds, rule = max(taken, key=lambda each: each[0])
        if seconds >= WORTH:
            return rule.cause, rule.sentence(report, times, seconds)
    return Cause.NOTHING, Cause.NOTHING.explanation


# -- what is known of a turn ----------------------------------------------------------------------

_BUSY = (Failure.RATE_LIMIT, Failure.SERVER)
_BEFORE_THE_ITEMS = ("model", "instructions", "tools", "reasoning", "text")
"""Fields that the model reads before the conversation, so a change makes its cache useless."""


def _usage(report: TurnReport) -> Usage:
    usage = report.response.usage if report.response is not None else None
    return usage or Usage()


def _busy(report: TurnReport) -> list[FailedAttempt]:
    return [each for each in report.failures if each.failure in _BUSY]


def _lost(report: TurnReport) -> list[FailedAttempt]:
    return [each for each in report.failures if each.sent and each.failure not in _BUSY]


def _spent(failures: list[FailedAttempt]) -> float:
    return sum(each.seconds + each.paused for each in failures)


def _is_large(report: TurnReport) -> bool:
    return report.size >= LARGE


def _diagnosis(report: TurnReport) -> str:
    """Why the server says that its cache was missed, or nothing."""
    said = report.response.cache_diagnostics if report.response is not None else None
    if said is None or said.get("type") != "cache_miss":
        return ""
    reason = said.get("reason")
    return reason if isinstance(reason, str) and reason else "it does not say why"


def _missed_cache(report: TurnReport) -> bool:
    usage = _usage(report)
    if usage.input < CACHED_FROM or usage.cached * 2 >= usage.input:
        return False
    return report.cache_expected or bool(_diagnosis(report))


def _unseen_reasoning(report: TurnReport, times: TurnTimes) -> bool:
    """Whether the model reasoned without a word of it in the events."""
    return _usage(report).reasoning > 0 and not times.thinking


# -- how long each took ---------------------------------------------------------------------------


def _connecting(report: TurnReport, times: TurnTimes) -> float:
    pauses = sum(
        each.paused for each in report.failures if not each.sent and each.failure not in _BUSY
    )
    return times.connecting + pauses - times.blocked


def _server_busy(report: TurnReport, times: TurnTimes) -> float:
    return _spent(_busy(report))


def _lost_attempt(report: TurnReport, times: TurnTimes) -> float:
    return _spent(_lost(report)) - times.blocked


def _sending(report: TurnReport, times: TurnTimes) -> float:
    if not _is_large(report):
        return 0.0
    taken = max(times.begun - times.sent - USUAL_TO_CREATED, times.leaving or 0.0)
    return taken - times.blocked


def _full_request(report: TurnReport, times: TurnTimes) -> float:
    return 0.0 if report.incremental else _sending(report, times)


def _large_request(report: TurnReport, times: TurnTimes) -> float:
    return _sending(report, times) if report.incremental else 0.0


def _usual(report: TurnReport) -> float:
    """Seconds that a good server takes to begin; a large request's count from when it is there."""
    return USUAL - USUAL_TO_CREATED if _is_large(report) else USUAL


def _waited(report: TurnReport, times: TurnTimes) -> float:
    """How much longer than usual it took the server to begin."""
    end = times.end if times.first_output is None else times.first_output
    if _unseen_reasoning(report, times):
        end = times.begun
    begun = times.begun if _is_large(report) else times.sent
    return end - begun - _usual(report) - times.blocked


def _server_slow(report: TurnReport, times: TurnTimes) -> float:
    return 0.0 if _missed_cache(report) else _waited(report, times)


def _cache_missed(report: TurnReport, times: TurnTimes) -> float:
    return _waited(report, times) if _missed_cache(report) else 0.0


def _reasoning(report: TurnReport, times: TurnTimes) -> float:
    if not _unseen_reasoning(report, times):
        return times.thinking - times.blocked
    return times.answer - max(times.begun, times.sent) - times.tools - times.blocked


def _hosted_tool(report: TurnReport, times: TurnTimes) -> float:
    return times.tools - times.blocked


def _our_side(report: TurnReport, times: TurnTimes) -> float:
    return times.preparing + times.blocked


# -- how it is said -------------------------------------------------------------------------------


def _span(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _beginning(report: TurnReport, seconds: float) -> str:
    """How long it took the server to begin, beside what is usual."""
    usual = _usual(report)
    return f"took {_span(seconds + usual)} to begin, where {_span(usual)} or less is usual."


def _kinds(failures: list[FailedAttempt]) -> str:
    return "; ".join(dict.fromkeys(map(str, failures)))


def _of_connecting(report: TurnReport, times: TurnTimes, seconds: float) -> str:
    failed = [each for each in report.failures if not each.sent]
    why = f", after {len(failed)} that failed ({_kinds(failed)})" if failed else ""
    return f"It waited {_span(seconds)} for a connection to the server{why}."


def _of_busy(report: TurnReport, times: TurnTimes, seconds: float) -> str:
    busy = _busy(report)
    tries = f"{len(busy)} times" if len(busy) > 1 else "once"
    return f"The server refused for the moment, {tries} ({_kinds(busy)}): {_span(seconds)} in all."


def _of_lost(report: TurnReport, times: TurnTimes, seconds: float) -> str:
    lost = _lost(report)
    what = f"{len(lost)} attempts" if len(lost) > 1 else "An attempt"
    return f"{what} broke off ({_kinds(lost)}), which took {_span(seconds)}."


def _of_full(report: TurnReport, times: TurnTimes, seconds: float) -> str:
    return (
        f"The whole conversation was sent, {report.size // 1000} kB ({report.why_full}), and that "
        f"took {_span(seconds)}."
    )


def _of_large(report: TurnReport, times: TurnTimes, seconds: float) -> str:
    return f"What was new has {report.size // 1000} kB, and to send it took {_span(seconds)}."


def _of_cache(report: TurnReport, times: TurnTimes, seconds: float) -> str:
    usage = _usage(report)
    changed = [name for name in report.changed if name in _BEFORE_THE_ITEMS]
    why = f"{' and '.join(changed)} changed" if changed else _diagnosis(report)
    because = f" ({why})" if why else ""
    return (
        f"The server had {usage.cached} of {usage.input} input tokens in its cache{because}, and "
        f"{_beginning(report, seconds)}"
    )


def _of_reasoning(report: TurnReport, times: TurnTimes, seconds: float) -> str:
    tokens = _usage(report).reasoning
    how_much = f", {tokens} tokens" if tokens else ""
    return f"The model reasoned for {_span(seconds)}{how_much}."


def _of_tool(report: TurnReport, times: TurnTimes, seconds: float) -> str:
    return f"Tools that the server runs took {_span(seconds)}."


def _of_server(report: TurnReport, times: TurnTimes, seconds: float) -> str:
    return f"The server {_beginning(report, seconds)}"


def _of_us(report: TurnReport, times: TurnTimes, seconds: float) -> str:
    if times.blocked > times.preparing:
        return f"The event loop was blocked: something here kept it for {_span(seconds)}."
    return f"The request took {_span(seconds)} to be made before it could leave."


RULES = (
    Rule(Cause.SERVER_BUSY, _server_busy, _of_busy),
    Rule(Cause.LOST_ATTEMPT, _lost_attempt, _of_lost),
    Rule(Cause.CONNECTING, _connecting, _of_connecting),
    Rule(Cause.FULL_REQUEST, _full_request, _of_full),
    Rule(Cause.LARGE_REQUEST, _large_request, _of_large),
    Rule(Cause.CACHE_MISSED, _cache_missed, _of_cache),
    Rule(Cause.HOSTED_TOOL, _hosted_tool, _of_tool),
    Rule(Cause.REASONING, _reasoning, _of_reasoning),
    Rule(Cause.OUR_SIDE, _our_side, _of_us),
    Rule(Cause.SERVER_SLOW, _server_slow, _of_server),
)
"""Of causes that have taken as long, the first is named."""
