"""Snapshots: messages as they were, to compare with messages as they are.

Pipecat changes messages in place (a tool's ``IN_PROGRESS`` becomes its result), so neither a
message's identity nor a copy of its reference says that it is the same as last time. A snapshot
copies a message's containers and shares its strings. Comparing the two is a comparison of lists
and dicts that ends at shared strings, at the speed of C.
"""

from __future__ import annotations

from typing import Any

from pipecat.processors.aggregators.llm_context import LLMSpecificMessage


def snapshot(value: Any) -> tuple[Any, Any]:
    """A copy to convert from, and one to compare with (the same, if strings are all it holds).

    Args:
        value: A message, or what it holds.

    Returns:
        The copy and the snapshot.
    """
    odd: list[Any] = []
    copy = copied(value, odd)
    return copy, _with_leaves(copy) if odd else copy


def unchanged(known: Any, message: Any) -> bool:
    """Whether a message is as it was when its snapshot was taken.

    Args:
        known: The snapshot, or a list of snapshots.
        message: The message, or a list of messages.
    """
    try:
        return bool(known == message)
    except (TypeError, ValueError, RecursionError):
        # Some objects refuse to be compared, arrays for one.
        return False


def copied(value: Any, odd: list[Any] | None = None) -> Any:
    """A copy of a value's containers, with the values in them shared.

    Args:
        value: Any value.
        odd: Gets each value in it that is neither a container nor text, bytes or None.
    """
    if value is None or isinstance(value, (str, bytes)):
        return value
    if isinstance(value, dict):
        return {key: copied(entry, odd) for key, entry in value.items()}
    if isinstance(value, list):
        return [copied(entry, odd) for entry in value]
    if isinstance(value, tuple):
        return tuple([copied(entry, odd) for entry in value])
    if odd is not None:
        odd.append(value)
    return value


class SpecificSnapshot:
    """The snapshot of an ``LLMSpecificMessage``."""

    __slots__ = ("llm", "payload")

    def __init__(self, llm: str, payload: Any) -> None:
        """Creates the snapshot.

        Args:
            llm: The LLM that the message is for.
            payload: The snapshot of what it holds.
        """
        self.llm = llm
        self.payload = payload

    def __eq__(self, other: object) -> bool:
        """Whether a message is for the same LLM and holds the same."""
        return (
            other.__class__ is LLMSpecificMessage
            and self.llm == other.llm
            and self.payload == other.message
        )

    __hash__ = None  # type: ignore[assignment]


class _Leaf:
    """A value in a snapshot whose own equality does not do.

    To Python 1, 1.0 and True are equal, but to JSON they differ. Objects that JSON does not know
    may compare in any way; they are the same only if they are identical.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        value = self.value
        return other is value or (
            isinstance(value, (int, float))
            and type(other) is type(value)
            and repr(other) == repr(value)
        )

    __hash__ = None  # type: ignore[assignment]


def _with_leaves(value: Any) -> Any:
    if value is None or isinstance(value, (str, bytes)):
        return value
    if isinstance(value, dict):
        return {key: _with_leaves(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_with_leaves(entry) for entry in value]
    if isinstance(value, tuple):
        return tuple([_with_leaves(entry) for entry in value])
    return _Leaf(value)
