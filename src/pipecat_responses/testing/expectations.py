"""What a conversation ought to have been like; what it was like instead is in the message."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pprint import pformat
from typing import Any

from pipecat_responses.service.turn_reports import TurnMetricsData
from pipecat_responses.testing.conversation import Conversation

_ANY = object()


def expect(talk: Conversation) -> Expectation:
    """Begins a sentence about a conversation: ``expect(talk).called_once("get_time")``."""
    return Expectation(talk)


class Expectation:
    """What can be expected of a conversation so far.

    Every method raises ``AssertionError`` where it is otherwise, and returns the expectation, so
    that one can follow the other.
    """

    def __init__(self, talk: Conversation) -> None:
        """Judges a conversation."""
        self._talk = talk

    def history(self, expected: Sequence[tuple[Any, ...]]) -> Expectation:
        """Expects the context to say this, in the form of ``Conversation.history``."""
        __tracebackhide__ = True
        found, expected = self._talk.history, list(expected)
        if found != expected:
            lines = difflib.ndiff(_lines(expected), _lines(found))
            shown = "\n".join(line for line in lines if not line.startswith("?"))
            raise AssertionError(f"The history is another one (- expected, + found):\n{shown}")
        return self

    def called(self, name: str, /, times: int | None = None, **arguments: Any) -> Expectation:
        """Expects a function to have been called.

        Args:
            name: The function.
            times: How often; None for at least once.
            **arguments: Arguments that a call must have to be counted; it may have more.
        """
        __tracebackhide__ = True
        count = sum(
            called == name
            and all(given.get(each, _ANY) == value for each, value in arguments.items())
            for called, given in self._calls()
        )
        if count == times or (times is None and count):
            return self
        wanted = "at all" if times is None else _times(times)
        asked = _call(name, arguments) if arguments else name
        raise AssertionError(
            f"{asked} was to be called {wanted}, and was called {_times(count)}.\n"
            f"{self._calls_shown()}"
        )

    def called_once(self, name: str, /, **arguments: Any) -> Expectation:
        """Expects a function to have been called once, and with these arguments.

        Args:
            name: The function.
            **arguments: Arguments that the call must have; it may have more.
        """
        __tracebackhide__ = True
        return self.called(name, 1).called(name, 1, **arguments)

    def not_called(self, name: str, /) -> Expectation:
        """Expects a function not to have been called."""
        __tracebackhide__ = True
        return self.called(name, 0)

    def no_full_turns(self, *, after: int = 1) -> Expectation:
        """Expects all turns but the first ones to have sent only what was new.

        Args:
            after: How many turns may have sent everything, since nothing was known before them.
                There has to be one more than that, or there would be nothing to judge.
        """
        __tracebackhide__ = True
        reports = self._reports()
        if len(reports) <= after:
            raise AssertionError(
                f"There is no turn to judge: of {len(reports)}, the first {after} may be full."
            )
        if any(not report.incremental for report in reports[after:]):
            raise AssertionError(f"A turn has sent everything.\n{_turns(reports, _sent)}")
        return self

    def answers_within(self, ms: float, *, after: int = 0) -> Expectation:
        """Expects every turn to have had something to say or to run in time.

        Args:
            ms: Milliseconds from the arrival of the context at the service to the first text or
                complete function call; for a turn with neither, to its end.
            after: How many turns at the beginning do not count.
        """
        __tracebackhide__ = True
        reports = self._reports()
        if any(report.value * 1000 > ms for report in reports[after:]):
            raise AssertionError(
                f"A turn took more than {ms:g} ms to answer.\n{_turns(reports, _took)}"
            )
        return self

    def no_errors(self) -> Expectation:
        """Expects nothing to have been reported as an error."""
        __tracebackhide__ = True
        if self._talk.errors:
            shown = "\n".join(f"  {frame.error}" for frame in self._talk.errors)
            raise AssertionError(f"Errors were reported:\n{shown}")
        return self

    def _reports(self) -> list[TurnMetricsData]:
        __tracebackhide__ = True
        if not self._talk.reports:
            raise AssertionError(
                "No turn was reported. That takes a turn of one of this package's services, and a "
                "Conversation with metrics=True and record=True."
            )
        return self._talk.reports

    def _calls(self) -> list[tuple[str, dict[str, Any]]]:
        return [
            (entry[1], entry[2] if isinstance(entry[2], dict) else {"": entry[2]})
            for entry in self._talk.history
            if entry[0] == "call"
        ]

    def _calls_shown(self) -> str:
        calls = self._calls()
        if not calls:
            return "No function was called."
        return "Called were:\n" + "\n".join(f"  {_call(*each)}" for each in calls)


def _lines(history: Sequence[tuple[Any, ...]]) -> list[str]:
    return [line for entry in history for line in pformat(entry, width=96).splitlines()]


def _call(name: str, arguments: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{each}={value!r}' for each, value in arguments.items())})"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _turns(reports: Sequence[TurnMetricsData], tell: Any) -> str:
    return "\n".join(f"  turn {number}: {tell(each)}" for number, each in enumerate(reports, 1))


def _sent(report: TurnMetricsData) -> str:
    how = "only what was new" if report.incremental else f"everything ({report.why_full})"
    return f"sent {how}, {report.items} items"


def _took(report: TurnMetricsData) -> str:
    return f"{report.value * 1000:.0f} ms. {report.why_slow}"
