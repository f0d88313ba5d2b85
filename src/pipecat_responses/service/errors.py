"""What fails, as Pipecat's error categories."""

from __future__ import annotations

from pipecat.utils.errors import ErrorCategory

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure

CATEGORIES: dict[Failure, ErrorCategory] = {
    Failure.MEMORY_LOST: ErrorCategory.SERVER,
    Failure.CONNECTION_EXPIRED: ErrorCategory.CONNECTIVITY,
    Failure.LANES_USED_UP: ErrorCategory.SERVER,
    Failure.NO_LANES: ErrorCategory.SERVER,
    Failure.NO_WARM_UP: ErrorCategory.SERVER,
    Failure.CANCEL_REFUSED: ErrorCategory.SERVER,
    Failure.NOT_STEERED: ErrorCategory.SERVER,
    Failure.OPTION_REFUSED: ErrorCategory.SERVER,
    Failure.RATE_LIMIT: ErrorCategory.RATE_LIMIT,
    Failure.QUOTA: ErrorCategory.QUOTA,
    Failure.NO_KEY: ErrorCategory.APPLICATION,
    Failure.AUTHENTICATION: ErrorCategory.AUTHENTICATION,
    Failure.PERMISSION: ErrorCategory.AUTHORIZATION,
    Failure.MODEL: ErrorCategory.INVALID_REQUEST,
    Failure.REASONING: ErrorCategory.APPLICATION,
    Failure.CONTENT: ErrorCategory.APPLICATION,
    Failure.REQUEST: ErrorCategory.APPLICATION,
    Failure.ENDPOINT: ErrorCategory.INVALID_REQUEST,
    Failure.SERVER: ErrorCategory.SERVER,
    Failure.TIMEOUT: ErrorCategory.CONNECTIVITY,
    Failure.CONNECTION: ErrorCategory.CONNECTIVITY,
    Failure.UNENDED: ErrorCategory.CONNECTIVITY,
    Failure.PROTOCOL: ErrorCategory.SERVER,
    Failure.EMPTY: ErrorCategory.SERVER,
    Failure.CLOSED: ErrorCategory.CONNECTIVITY,
}
"""Pipecat's category of each failure. Every failure has its row (a test holds that)."""


def category_of(error: ResponsesError) -> ErrorCategory:
    """Pipecat's category of an error."""
    return CATEGORIES[error.failure]


def is_about_a_file(error: ResponsesError) -> bool:
    """Whether the server objects to a file, an image or audio in the context."""
    said = f"{error.code} {error.message}".lower()
    return error.status == 413 or any(word in said for word in ("image", "file", "audio"))
