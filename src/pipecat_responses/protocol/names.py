"""Names of errors that people meet, by which ``pipecat-responses explain`` tells more of them.

A failure of a request goes by the value of its ``Failure``, and what is raised at once by a name
from here. It stands in a note of the exception, which a traceback shows, so messages stay as they
are. Every name has its section in ``cli/errors.md`` (a test holds that).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from pipecat_responses.protocol.failures import Failure

ErrorT = TypeVar("ErrorT", bound=BaseException)


class ErrorName(StrEnum):
    """What goes wrong besides the failures of requests."""

    MID_RESPONSE_LOSS = "mid_response_loss"
    CONTEXT_MESSAGE = "context_message"
    ARGUMENT = "argument"
    API_KEY = "api_key"
    ADDRESS = "address"
    INSECURE_ADDRESS = "insecure_address"
    PROXY = "proxy"
    SOCKS = "socks"
    CAPABILITIES_FILE = "capabilities_file"
    SAVED_CONVERSATION = "saved_conversation"
    COMPACTION = "compaction"
    INSPECTED = "inspected"
    SUMMARY = "summary"
    DOCTOR = "doctor"
    PORT = "port"
    FILE = "file"
    SCENARIO = "scenario"
    CASSETTE = "cassette"
    SESSION_FILE = "session_file"


NAMES: tuple[str, ...] = (*Failure, *ErrorName)
"""All of them."""

_NOTE = "More: pipecat-responses explain "


def hint(name: str) -> str:
    """Where people read more.

    Args:
        name: An error's name.
    """
    return f"{_NOTE}{name}"


def named(error: ErrorT, name: ErrorName) -> ErrorT:
    """Gives an error a name.

    Args:
        error: The error, about to be raised.
        name: Its name.

    Returns:
        The same error.
    """
    error.add_note(hint(name))
    return error


def noted_name(error: BaseException) -> str | None:
    """The name that ``named`` has given.

    Args:
        error: Any exception.
    """
    notes: list[str] = getattr(error, "__notes__", [])
    return next((each.removeprefix(_NOTE) for each in notes if each.startswith(_NOTE)), None)
