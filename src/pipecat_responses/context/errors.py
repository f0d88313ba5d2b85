"""The error of a message that cannot be sent."""

from __future__ import annotations

from pipecat.adapters.llm.base_llm_adapter import LLMContextConversionError

from pipecat_responses.protocol.names import ErrorName, named

REFUSALS = (
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What is raised by converting and encoding a message that cannot be sent."""


class ContextMessageError(LLMContextConversionError):
    """A message of the context cannot be sent.

    Attributes:
        name: The error's name, for ``pipecat-responses explain``.
        index: The message's index in the context.
        role: Its role, or None if it has none.
    """

    name = str(ErrorName.CONTEXT_MESSAGE)

    def __init__(self, index: int, role: str | None, problem: object) -> None:
        """Creates the error.

        Args:
            index: The message's index in the context.
            role: Its role, or None if it has none.
            problem: What is wrong with it, without a word of its content.
        """
        self.index = index
        self.role = role
        super().__init__(
            ValueError(
                f"message {index} of the context (role {role!r}) cannot be sent: {problem}. "
                "Correct the message or remove it; until then every turn fails."
            )
        )
        named(self, ErrorName.CONTEXT_MESSAGE)


def problem_of(error: Exception) -> str:
    """What is wrong with a message, in words that go on from its name.

    Args:
        error: What was raised while it was converted, one of ``REFUSALS``.
    """
    if isinstance(error, UnicodeError):
        # Its own words would show the text.
        return "it holds text that is not valid Unicode"
    if isinstance(error, ValueError):
        return str(error)
    return f"it is malformed ({type(error).__name__}: {error})"
