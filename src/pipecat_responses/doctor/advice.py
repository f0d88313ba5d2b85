"""What is wrong, and what to do about it, in a sentence each."""

from __future__ import annotations

from pipecat_responses.doctor.findings import Finding, Verdict
from pipecat_responses.doctor.server import Server
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.names import ErrorName


def ok(seen: str, advice: str = "", /, **learned: bool) -> Finding:
    """It works."""
    return Finding(Verdict.OK, seen, advice, learned)


def no(seen: str, advice: str, /, **learned: bool) -> Finding:
    """The server cannot do this."""
    return Finding(Verdict.NO, seen, advice, learned)


def failed(seen: str, advice: str, error: str = ErrorName.DOCTOR) -> Finding:
    """Something is wrong."""
    return Finding(Verdict.FAILED, seen, advice, error=str(error))


def unclear(seen: str, advice: str = "", /, **learned: bool) -> Finding:
    """What was seen proves neither."""
    return Finding(Verdict.UNCLEAR, seen, advice, learned)


def nothing_to_check(seen: str, advice: str = "") -> Finding:
    """There was nothing to check; what needs this check goes on."""
    return Finding(Verdict.SKIPPED, seen, advice)


def trouble(error: ResponsesError, server: Server) -> Finding:
    """Something went wrong that says nothing of what the server can do."""
    seen, _, hint = error.message.partition(": check ")
    return failed(sentence(seen), _advice(error, server) or sentence(f"Check {hint}"), error.name)


def said(error: ResponsesError) -> str:
    """The server's words, to stand in brackets or after a colon."""
    words = " ".join(error.message.split())
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 3]}..."


_LONGEST = 160
"""Characters of a server's words that are repeated."""


def sentence(text: str) -> str:
    """A text that ends like a sentence."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _advice(error: ResponsesError, server: Server) -> str | None:
    match error.failure:
        case Failure.AUTHENTICATION if server.has_key:
            return "Use a key that is valid for this server, and for its project."
        case Failure.AUTHENTICATION:
            return "Give it a key: the server wants one."
        case Failure.PERMISSION:
            return "Use a key, an organization and a project that may do this."
        case Failure.QUOTA:
            return "Check the account's plan and billing: it has no credit left."
        case Failure.RATE_LIMIT:
            return "Wait a moment, then run this again: too many requests for now."
        case Failure.MODEL:
            return f"Choose another model: {server.model!r} is not there for this key."
        case Failure.ENDPOINT:
            return "Check the address: it ends with /v1 at most servers."
        case Failure.PROTOCOL:
            return "Check the address, and any proxy on the way: that is no API's answer."
        case Failure.TIMEOUT:
            return "Look at the server, or give it more time with --timeout."
        case Failure.SERVER | Failure.UNENDED:
            return "Look at the server's log, or run this again later."
        case Failure.CONNECTION if ": check " in error.message:
            return None
        case Failure.CONNECTION:
            return f"Check the network, and any proxy between here and {server.host}."
        case _:
            return "Look at what the server says: it takes no plain request."
