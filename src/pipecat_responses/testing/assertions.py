"""What tests of a bot assert most, with messages that show what was there instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipecat_responses.testing.conversation import Conversation

ANY: Any = object()
"""Stands for arguments that a test does not care about."""


def assert_history(talk: Conversation, wanted: Sequence[tuple[Any, ...]]) -> None:
    """The conversation is this one, message by message (see ``plain``).

    Args:
        talk: The conversation.
        wanted: What it should be.
    """
    found = talk.history
    lines = []
    for number in range(max(len(found), len(wanted))):
        was = found[number] if number < len(found) else "nothing"
        should = wanted[number] if number < len(wanted) else "nothing"
        lines.append(f"{'  ' if was == should else '! '}{was!r}")
        if was != should:
            lines.append(f"    should be {should!r}")
    assert list(found) == list(wanted), "The conversation is another one:\n" + "\n".join(lines)


def assert_called_once(
    talk: Conversation, name: str, arguments: Mapping[str, Any] | None = ANY
) -> None:
    """A function was called once, whatever else was.

    Args:
        talk: The conversation.
        name: The function's name.
        arguments: The arguments; left out, any will do.
    """
    calls = [entry[1:] for entry in talk.history if entry[0] == "call"]
    found = [given for called, given in calls if called == name]
    told = ", ".join(f"{called}({given!r})" for called, given in calls) or "nothing"
    assert len(found) == 1, f"{name} was called {len(found)} times; what was called: {told}"
    if arguments is not ANY:
        assert found[0] == arguments, f"{name} was called with {found[0]!r}, not {arguments!r}"


def assert_no_full_turns(talk: Conversation, *, after: int = 1) -> None:
    """Turns have sent what is new, and not the whole conversation.

    Args:
        talk: The conversation, with a service of this package.
        after: How many requests may carry everything: the first one, as a rule.
    """
    stats = talk.llm.stats
    reasons = ", ".join(f"{name} ({count})" for name, count in stats.full_reasons.items())
    assert stats.full <= after, (
        f"{stats.full} of {stats.requests} requests carried the whole conversation: {reasons}"
    )


def assert_answered_within(talk: Conversation, seconds: float) -> None:
    """The latest turn had something to say, or to run, within a time.

    Args:
        talk: The conversation, with a service of this package.
        seconds: The time, from the context frame on.
    """
    report = talk.llm.stats.last_turn
    assert report is not None and report.times is not None, "No turn has ended yet"  # noqa: PT018
    took = report.times.answer
    assert took <= seconds, f"The turn took {took:.3f} s, not {seconds:g}: {report.why_slow}"
