"""How servers word that they do not take something: the same refusal in the words of each.

The forms of other servers are those that their users have reported; ``profiles`` names the reports.
A client that reads a refusal by ``code`` and ``param`` finds them in OpenAI's form only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from pipecat_responses.sandbox.config import Dialect
from pipecat_responses.sandbox.errors import ApiError, ErrorShape, json_type, quoted_list


@dataclass(frozen=True, slots=True)
class Objection:
    """What a server does not take of a request.

    Attributes:
        path: The way to it: names of fields, and indices into lists.
        value: What was sent there.
        expected: The values that it would take there; None when it does not know the field.
        beside: The field next to which it does not take this one; None when it never does.
    """

    path: tuple[str | int, ...]
    value: Any
    expected: tuple[Any, ...] | None = None
    beside: str | None = None

    @property
    def param(self) -> str:
        """The path as OpenAI writes it: ``include[0]``, ``text.verbosity``."""
        text = ""
        for step in self.path:
            text += f"[{step}]" if isinstance(step, int) else f".{step}"
        return text.removeprefix(".")

    @property
    def code(self) -> str:
        """OpenAI's code for it."""
        if self.beside is not None:
            return "unsupported_parameter"
        return "unknown_parameter" if self.expected is None else "invalid_value"

    @property
    def sentence(self) -> str:
        """OpenAI's words for it."""
        if self.beside is not None:
            return (
                f"Unsupported parameter: '{self.param}' is not supported together with "
                f"'{self.beside}'."
            )
        if self.expected is None:
            return f"Unknown parameter: '{self.param}'."
        return (
            f"Invalid value: '{_plain(self.value)}'. "
            f"Supported values are: {quoted_list(map(_plain, self.expected))}."
        )


class ForeignError(ApiError):
    """A refusal in the form of another server.

    Its code is OpenAI's, so that records say what was refused, and is not sent.
    """

    def __init__(
        self, objection: Objection, status: int, body: Mapping[str, Any], event: Mapping[str, Any]
    ) -> None:
        """Describes a refusal.

        Args:
            objection: What it is about.
            status: The HTTP status.
            body: The HTTP body.
            event: What is sent over a WebSocket.
        """
        super().__init__(objection.sentence, status=status, code=objection.code)
        self._body = dict(body)
        self._event = dict(event)

    def body(self) -> dict[str, Any]:
        """The HTTP body."""
        return dict(self._body)

    def event(
        self, default_shape: ErrorShape, sequence_number: int | None = None
    ) -> dict[str, Any]:
        """What is sent over a WebSocket; not every server gives it a type."""
        return dict(self._event)


def refuse(dialect: Dialect, objection: Objection) -> ApiError:
    """The refusal of something, in the words of a kind of server.

    Args:
        dialect: The kind.
        objection: What it does not take.
    """
    match dialect:
        case "openai":
            return ApiError(objection.sentence, code=objection.code, param=objection.param)
        case "words":
            words = {"message": objection.sentence, "type": "invalid_request_error"}
            return _nested(objection, words, status=400)
        case "detail":
            detail = {"detail": _detail(objection)}
            event = {"type": "error", "status": 400, "error": detail}
            return ForeignError(objection, 400, detail, event)
        case "validator":
            return _validator(objection)
        case "xai":
            return _xai(objection)
        case "openrouter":
            prompt = {"code": "invalid_prompt", "message": "Invalid Responses API request"}
            raw = {"metadata": {"raw": [_issue(objection)]}}
            return _nested(objection, prompt, status=400, **raw)
        case "litellm":
            message = f"litellm.BadRequestError: OpenAIException - {objection.sentence}"
            numbered = {"message": message, "type": None, "param": None, "code": "400"}
            return _nested(objection, numbered)
    assert_never(dialect)


def _nested(objection: Objection, error: Mapping[str, Any], **beside: Any) -> ApiError:
    """An error in OpenAI's places, with other fields.

    Args:
        objection: What it is about.
        error: The error.
        **beside: What stands beside it; ``status`` over a WebSocket only.
    """
    event = {"type": "error", **beside, "error": error}
    beside.pop("status", None)
    return ForeignError(objection, 400, {"error": error, **beside}, event)


def _detail(objection: Objection) -> str:
    if objection.beside is not None or objection.expected is None:
        together = f" together with {objection.beside}" if objection.beside else ""
        return f"Unsupported parameter: {objection.param}{together}"
    if len(objection.expected) == 1:
        return f"{objection.param} must be set to {_plain(objection.expected[0])}"
    return f"Unsupported value for {objection.param}: {_plain(objection.value)}"


def _xai(objection: Objection) -> ApiError:
    what = objection.param
    if objection.beside is not None:
        what = f"{objection.param} and {objection.beside} together"
    elif objection.expected is not None:
        what = f"{objection.param}={_plain(objection.value)}"
    body = {"code": "400", "error": f"Argument not supported: {what}"}
    said = json.dumps(body, separators=(",", ":"))
    # Over a WebSocket it comes in an envelope without the type of an event.
    envelope = {"error": {"message": f"Request validation error: {said}", "type": "api_error"}}
    return ForeignError(objection, 400, body, envelope)


def _validator(objection: Objection) -> ApiError:
    """As a server with pydantic's models does that forbid what they do not have."""
    value, loc = objection.value, list(objection.path)
    if objection.beside is not None:
        kind, loc = "value_error", []
        said = f"Value error, {objection.param} cannot be set together with {objection.beside}"
    elif objection.expected is None:
        kind, said = "extra_forbidden", "Extra inputs are not permitted"
    else:
        *most, last = map(repr, objection.expected)
        wanted = f"{', '.join(most)} or {last}" if most else last
        kind, said = "literal_error", f"Input should be {wanted}"
    problem = {"type": kind, "loc": ["body", *loc], "msg": said, "input": value}
    where = "".join(f"{'.'.join(map(str, loc))}\n" if loc else "")
    text = (
        f"1 validation error for ResponsesRequest\n{where}  {said} [type={kind}, "
        f"input_value={value!r:.50}, input_type={type(value).__name__}]\n"
        f"    For further information visit https://errors.pydantic.dev/2.12/v/{kind}"
    )
    event = {"type": "error", "error": {"type": "invalid_request_error", "message": text}}
    return ForeignError(objection, 422, {"detail": [problem]}, event)


def _issue(objection: Objection) -> dict[str, Any]:
    """What zod, a validator for TypeScript, says of it."""
    path = list(objection.path)
    if objection.beside is not None:
        said = f"{objection.param} cannot be used together with {objection.beside}"
        return {"code": "custom", "path": path, "message": f"Invalid input: {said}"}
    if objection.expected is None:
        return {
            "code": "invalid_type",
            "expected": "null",
            "path": path,
            "message": f"Invalid input: expected null, received {_bare_type(objection.value)}",
        }
    wanted = "|".join(json.dumps(each) for each in objection.expected)
    expected = f"expected {wanted}" if len(objection.expected) == 1 else f"one of {wanted}"
    return {
        "code": "invalid_value",
        "values": list(objection.expected),
        "path": path,
        "message": f"Invalid input: {expected}",
    }


def _bare_type(value: object) -> str:
    return json_type(value).rpartition(" ")[2]


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
