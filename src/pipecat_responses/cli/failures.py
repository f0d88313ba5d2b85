"""Failures in one sentence each, which says what to do."""

from __future__ import annotations

import sys

from pipecat_responses.protocol.errors import MidResponseLossError, ResponsesError
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.names import hint, noted_name


class UnusableError(Exception):
    """A command cannot go on; the message is a sentence for the user.

    Attributes:
        name: The error's name, for ``pipecat-responses explain``, if it has one.
    """

    def __init__(self, message: str, name: str | None = None) -> None:
        """Creates the error.

        Args:
            message: A sentence for the user.
            name: The error's name, if it has one.
        """
        super().__init__(message)
        self.name = name


def complain(message: object, name: str | None = None) -> None:
    """Says on stderr what went wrong, and who knows more.

    Args:
        message: A sentence.
        name: The error's name, if it has one.
    """
    print(message, file=sys.stderr)
    if name is not None:
        print(hint(name), file=sys.stderr)


def name_of(error: BaseException | str) -> str | None:
    """An error's name, if it has one.

    Args:
        error: What went wrong.
    """
    match error:
        case ResponsesError():
            return error.name
        case BaseException():
            return noted_name(error)
        case _:
            return None


def sentence(error: BaseException | str, *, where: str, model: str, has_key: bool) -> str:
    """Says what went wrong and what to do.

    Args:
        error: What went wrong.
        where: The server's address.
        model: The model that was asked for.
        has_key: Whether the user gave an API key.
    """
    if not isinstance(error, ResponsesError):
        return f"{_stop(str(error))} Run again with --verbose to see more."
    said = error.message.rstrip(".")
    if isinstance(error, MidResponseLossError):
        return f"{where} broke off and did not come back in time: ask again once it is running."
    match error.failure:
        case Failure.AUTHENTICATION if has_key:
            return f"{where} refuses the API key: set OPENAI_API_KEY to one that is valid."
        case Failure.AUTHENTICATION:
            return f"{where} asks for an API key: set OPENAI_API_KEY."
        case Failure.PERMISSION:
            return f"{where} does not allow this ({said}): use another key, project or --model."
        case Failure.QUOTA:
            return f"The account has no credit left ({said}): check its plan and billing."
        case Failure.RATE_LIMIT:
            return f"{where} takes no more requests at the moment ({said}): wait, then try again."
        case Failure.MODEL:
            return f"{where} does not know the model {model!r}: choose another one with --model."
        case Failure.ENDPOINT:
            return f"There is no Responses API at {where}: check the address given with --url."
        case Failure.CONNECTION | Failure.TIMEOUT:
            return unreachable(where, said)
        case _:
            return f"{where} could not answer ({said}): run again with --verbose to see more."


def unreachable(where: str, reason: str) -> str:
    """Says that a server does not answer.

    Args:
        where: Its address.
        reason: What is known, perhaps with advice of its own.
    """
    why = reason.partition(": check")[0].rstrip(".")
    known = "" if where in why else f" ({why})"
    return f"{where} cannot be reached{known}: check the address, and that the server is running."


def _stop(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
