"""Key, model and HTTP: one short streamed answer, and who is to blame if it does not come."""

from __future__ import annotations

import re

from pipecat_responses.doctor.advice import failed, ok, said, trouble, unclear
from pipecat_responses.doctor.answers import is_refusal
from pipecat_responses.doctor.findings import Finding
from pipecat_responses.doctor.server import Server
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure

_PROMPT = "Answer only: ok"

_SILENT = "There was no answer that would tell; see HTTP below."

_ABOUT_THE_MODEL = re.compile(
    r"\bmodel\b.{0,160}(not found|not exist|not be found|unknown|no access|not have access|invalid)"
    r"|\b(unknown|invalid|no such|unsupported) (deployment|model)\b",
    re.IGNORECASE | re.DOTALL,
)


async def key(server: Server) -> Finding:
    """Whether the key is accepted: has the short answer begun."""
    # Once for each optional field that may be refused, and once for the answer.
    for _ in range(4):
        server.first = server.post(server.request(_PROMPT))
        await server.first.until_begun(server.within)
        error = server.first.refusal
        if error is None or not _is_about_fields(error, server):
            break
        if not server.leave_out(error):
            server.put_back()
            break
    if error is not None and _is_about_the_key(error):
        return trouble(error, server)
    if error is None or _is_about_the_model(error) or _is_about_fields(error, server):
        return ok("The key is accepted." if server.has_key else "The server wants no key.")
    return unclear(_SILENT)


async def model(server: Server) -> Finding:
    """Whether the model is there."""
    assert server.first is not None
    error = server.first.refusal
    if error is None:
        return ok(f"{server.model} answers.")
    if _is_about_the_model(error):
        advice = f"Choose another --model: {server.model!r} is not there for this key."
        return failed(said(error), advice)
    return unclear(_SILENT)


async def http(server: Server) -> Finding:
    """Whether an answer comes over HTTP, event by event."""
    assert server.first is not None
    answer = await server.first.until_ended(server.within)
    if answer.error is not None:
        return trouble(answer.error, server)
    if not answer.deltas:
        return ok(
            "An answer came, in one piece instead of a stream.",
            "Look for what gathers it on the way: the bot would begin to speak late.",
        )
    without = [*server.refused, *server.suspected]
    if without:
        return ok(
            f"An answer came, in {answer.deltas} pieces, after it was asked for without "
            f"{', '.join(without)}."
        )
    return ok(f"An answer came, in {answer.deltas} pieces.")


def _is_about_the_key(error: ResponsesError) -> bool:
    if error.failure in (Failure.AUTHENTICATION, Failure.QUOTA):
        return True
    if _is_about_the_model(error):
        return False
    # Without the API's own words it is a proxy that refuses.
    return error.failure is Failure.PERMISSION and bool(error.code or error.type)


def _is_about_fields(error: ResponsesError, server: Server) -> bool:
    """Whether the API itself refuses something in the request, other than the model."""
    if error.failure is Failure.ENDPOINT or _is_about_the_model(error):
        return False
    return is_refusal(error, *server.usual_fields)


def _is_about_the_model(error: ResponsesError) -> bool:
    if error.failure is Failure.MODEL or error.code == "model_not_found" or error.param == "model":
        return True
    if error.param is not None or error.status not in (400, 403, 404, 422):
        return False
    return _ABOUT_THE_MODEL.search(error.message) is not None
