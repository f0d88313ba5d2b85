"""Failures in one sentence each, which says what to do."""

from __future__ import annotations

from pipecat_responses.core.errors import Failure, ResponsesError


class UnusableError(Exception):
    """The chat cannot go on; the message is a sentence for the user."""


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
            return f"{where} is not a Responses API ({said}): check the address given with --url."
        case Failure.CONNECTION | Failure.TIMEOUT:
            return unreachable(where, said)
        case _:
            return f"{where} could not answer ({said}): run again with --verbose to see more."


def unreachable(where: str, reason: str) -> str:
    """Says that a server does not answer."""
    return (
        f"{where} cannot be reached ({reason.rstrip('.')}): check the address, and that the server "
        "is running."
    )


def _stop(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
