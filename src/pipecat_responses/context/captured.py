"""A message taken as it is at one moment, to be converted after that.

A message may change while others are converted. So all that have to be converted are captured
before the first of them is, and everything after that works with what was captured.
"""

from __future__ import annotations

from typing import Any

from pipecat.processors.aggregators.llm_context import LLMSpecificMessage

from pipecat_responses.context.errors import ContextMessageError, problem_of
from pipecat_responses.context.snapshots import SpecificSnapshot, snapshot
from pipecat_responses.protocol.encoding import mended


class CapturedMessage:
    """A message to be converted, as it was when it was captured.

    Attributes:
        key: The message's ``id()``.
        snapshot: What to compare the message with from now on.
    """

    __slots__ = ("_content", "_index", "_problem", "_role", "key", "snapshot")

    def __init__(self, message: Any, index: int) -> None:
        """Takes a message as it is at this moment; what is wrong with it shows later.

        Args:
            message: A message of a context.
            index: Its index in the context.
        """
        self.key = id(message)
        self.snapshot: Any = None
        self._index = index
        self._role: str | None = None
        self._problem: Exception | None = None
        self._content: Any = None
        try:
            if isinstance(message, LLMSpecificMessage):
                self._role = f"specific to {message.llm}"
                payload, payload_snapshot = snapshot(message.message)
                self._content = LLMSpecificMessage(message.llm, payload)
                self.snapshot = SpecificSnapshot(message.llm, payload_snapshot)
            elif isinstance(message, dict):
                role = message.get("role")
                self._role = role if isinstance(role, str) else None
                self._content, self.snapshot = snapshot(message)
            else:
                raise ValueError(f"a message must be a dict, not {type(message).__name__}")
        except (ValueError, RecursionError) as error:
            self._problem = error

    def content(self) -> Any:
        """A copy of the message, to convert from.

        Raises:
            ValueError: If it is no message.
            RecursionError: If it is nested too deeply to be copied.
        """
        if self._problem is not None:
            raise self._problem
        return self._content

    def error(self, error: Exception) -> ContextMessageError:
        """The error that tells which message it is that cannot be sent.

        Args:
            error: What was raised while it was converted, one of ``errors.REFUSALS``.
        """
        return ContextMessageError(self._index, self._role, problem_of(error))


def mended_message(content: Any) -> Any:
    """A message whose text is valid Unicode (see ``protocol.encoding.mended``)."""
    if isinstance(content, LLMSpecificMessage):
        return LLMSpecificMessage(content.llm, mended(content.message))
    return mended(content)
