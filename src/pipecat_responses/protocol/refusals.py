"""What the refusal of a request says about the server, beside the request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from pipecat_responses.protocol.capabilities import Capability, ServerCapabilities
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.options import (
    RefusedOption,
    may_refuse_option,
    names,
    refused_option,
    says_unknown,
)
from pipecat_responses.protocol.requests import Request
from pipecat_responses.protocol.updates import REFUSED, refuses_updates

BEGAN_ANEW = "The server begins anew where it is to continue from a response"
"""It drops ``previous_response_id``: the model sees the last words only."""

Lesson: TypeAlias = Capability | RefusedOption
"""What the server has shown not to have, or not to take."""

_OF_A_REQUEST = (Failure.REQUEST, Failure.CONTENT, Failure.ENDPOINT, Failure.SERVER)

_NOT_FOUND = re.compile(
    r"\b(not found|(can ?not|could not|can't|couldn't) (be )?f(i|ou)nd|does not exist|doesn't exist"
    r"|no (such )?response|no longer|expired|unknown response)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Understood:
    """A refusal, and what there is to be learned of it.

    Attributes:
        error: The refusal; what it teaches decides what is done about it.
        lesson: What it teaches, if anything.
    """

    error: ResponsesError
    lesson: Lesson | None = None


def understand(
    error: ResponsesError,
    request: Request,
    known: ServerCapabilities,
    *,
    continued: bool,
    stored: bool = False,
) -> Understood:
    """Reads the refusal of a request.

    Args:
        error: The refusal.
        request: The request as it was sent.
        known: What is known of the server.
        continued: Whether it named a response to continue from.
        stored: Whether the server was to know that one because it had stored it.
    """
    if continued and _is_of_request(error):
        if request.fields.has("instructions") and _names_both(error):
            return _learned(error, Capability.INSTRUCTIONS_WHEN_CONTINUING)
        if names(error, "previous_response_id"):
            shown = known.stored_continuation if stored else known.continuation
            unknown = says_unknown(error) or shown is not True
            if unknown and not _NOT_FOUND.search(error.message):
                return _learned(error, continuation(stored=stored))
            # Not every server has the code for it.
            return Understood(error.rewritten(failure=Failure.MEMORY_LOST))
    if not request.generate and _is_of_request(error) and names(error, "generate"):
        return Understood(error.rewritten(failure=Failure.NO_WARM_UP))
    if may_refuse_option(error) and refuses_updates(error.message, request):
        return _learned(error, RefusedOption(REFUSED, error.message, model=request.fields.model))
    empty = not request.generate and not request.items
    if empty and _is_of_request(error) and names(error, "input"):
        return _learned(error, Capability.EMPTY_WARM_UP)
    option = refused_option(error, request.fields.values)
    return Understood(error) if option is None else _learned(error, option)


def continuation(*, stored: bool) -> Capability:
    """What a server shows by continuing from a response, or by not doing so.

    Args:
        stored: Whether it was to know the response because it had stored it.
    """
    return Capability.STORED_CONTINUATION if stored else Capability.CONTINUATION


def _learned(error: ResponsesError, lesson: Lesson) -> Understood:
    return Understood(error.rewritten(failure=Failure.OPTION_REFUSED), lesson)


def _is_of_request(error: ResponsesError) -> bool:
    if error.failure is Failure.SERVER and error.status is not None:
        return False
    return error.failure in _OF_A_REQUEST and error.status in (None, 400, 404, 422)


def _names_both(error: ResponsesError) -> bool:
    if error.param == "instructions":
        return True
    return "instructions" in error.message and "previous_response_id" in error.message
