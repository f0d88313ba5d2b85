"""Errors: what went wrong, and what to do about it.

Every failure becomes one ``ResponsesError`` that carries all the server said. A table tells,
from the transport, the code, the type and the status, which ``Failure`` it is; a second table
(``failures``) tells what a client does about each. Nothing else in the package decides by error
codes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipecat_responses.protocol.failures import (
    RECOVERIES,
    Failure,
    Recovery,
)
from pipecat_responses.protocol.names import ErrorName


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table. A field left None matches anything.

    Attributes:
        failure: What a match means.
        code: The error's code.
        type: The error's type.
        status: The HTTP status, or a range of them.
        param: A pattern for the start of the error's param.
        message: A pattern to be found in the message.
        handshake: Whether it happened while a connection was opened.
    """

    failure: Failure
    code: str | None = None
    type: str | None = None
    status: int | range | None = None
    param: str | None = None
    message: str | None = None
    handshake: bool | None = None

    def matches(self, error: ResponsesError) -> bool:
        """Whether the row fits an error."""
        if self.code is not None and self.code != error.code:
            return False
        if self.type is not None and self.type != error.type:
            return False
        if self.status is not None:
            statuses = (
                range(self.status, self.status + 1) if isinstance(self.status, int) else self.status
            )
            if error.status not in statuses:
                return False
        if self.param is not None and not re.match(self.param, error.param or ""):
            return False
        if self.message is not None and not re.search(self.message, error.message, re.IGNORECASE):
            return False
        return self.handshake is None or self.handshake == (error.transport == "handshake")


_CONTENT_CODES = (
    "bio_policy",
    "context_length_exceeded",
    "empty_image_file",
    "failed_to_download_image",
    "image_content_policy_violation",
    "image_file_not_found",
    "image_file_too_large",
    "image_parse_error",
    "image_too_large",
    "image_too_small",
    "invalid_base64_image",
    "invalid_image",
    "invalid_image_format",
    "invalid_image_mode",
    "invalid_image_url",
    "invalid_prompt",
    "misalignment_policy_violation",
    "string_above_max_length",
    "unsupported_file",
    "unsupported_image_media_type",
)

RULES: tuple[Rule, ...] = (
    # What a connection remembers (documented, WebSocket mode guide).
    Rule(Failure.MEMORY_LOST, code="previous_response_not_found"),
    Rule(Failure.CONNECTION_EXPIRED, code="websocket_connection_limit_reached"),
    Rule(Failure.LANES_USED_UP, code="websocket_stream_limit_reached"),
    # Servers without lanes, or without generate: false (observed with gateways).
    Rule(Failure.NO_LANES, param=r"stream_id$"),
    Rule(Failure.NO_LANES, code="invalid_stream_id"),
    Rule(Failure.NO_LANES, message=r"\bstream_id\b"),
    Rule(Failure.NO_WARM_UP, param=r"generate$"),
    Rule(Failure.NO_WARM_UP, code="unknown_parameter", message=r"\bgenerate\b"),
    # Money and credentials.
    Rule(Failure.QUOTA, code="insufficient_quota"),
    Rule(Failure.QUOTA, type="insufficient_quota"),
    Rule(Failure.QUOTA, code="billing_hard_limit_reached"),
    Rule(Failure.QUOTA, status=402),
    Rule(Failure.AUTHENTICATION, code="invalid_api_key"),
    Rule(Failure.AUTHENTICATION, status=401),
    Rule(Failure.PERMISSION, status=403),
    Rule(Failure.MODEL, code="model_not_found"),
    # Wait, then try again.
    Rule(Failure.RATE_LIMIT, code="rate_limit_exceeded"),
    Rule(Failure.RATE_LIMIT, type="rate_limit_error"),
    Rule(Failure.RATE_LIMIT, status=429),
    # Reasoning of another provider or account (documented code).
    Rule(Failure.REASONING, code="invalid_encrypted_content"),
    Rule(Failure.REASONING, message=r"encrypted.content.*(verified|decrypted|parsed)"),
    # This context is not to be processed; another one may be.
    *(Rule(Failure.CONTENT, code=code) for code in _CONTENT_CODES),
    Rule(Failure.CONTENT, status=413),
    Rule(Failure.CONTENT, status=range(400, 401), param=r"input\b"),
    Rule(Failure.CONTENT, status=range(400, 401), message=r"no tool (output|call) found"),
    Rule(Failure.CONTENT, status=range(400, 401), message=r"\b(image|file|audio)\b"),
    Rule(Failure.CONTENT, status=404, param=r"input\b"),
    Rule(Failure.CONTENT, status=422),
    # Passing troubles.
    Rule(Failure.SERVER, code="server_error"),
    Rule(Failure.SERVER, code="overloaded"),
    Rule(Failure.SERVER, code="slow_down"),
    Rule(Failure.SERVER, code="vector_store_timeout"),
    Rule(Failure.SERVER, type="server_error"),
    Rule(Failure.SERVER, type="overloaded_error"),
    Rule(Failure.SERVER, status=range(408, 410)),
    Rule(Failure.SERVER, status=range(500, 600)),
    # A request or an address that will never be right.
    Rule(Failure.ENDPOINT, status=range(404, 406)),
    Rule(Failure.ENDPOINT, status=range(300, 400)),
    Rule(Failure.ENDPOINT, status=426),
    Rule(Failure.REQUEST, status=range(400, 500)),
    Rule(Failure.REQUEST, type="invalid_request_error"),
)
"""The table, read from the top; the first row that fits decides."""


# An OpenAI key, or a token as RFC 6750 writes it.
_CREDENTIALS = re.compile(r"(\bsk-|\bBearer\s+)[\w.\-~+/*=]{4,}", re.IGNORECASE)


def redact(text: str) -> str:
    """Takes anything that looks like a credential out of a text.

    Keys may look like anything. Those in use are known to the service, which masks them where
    errors leave it.
    """
    return _CREDENTIALS.sub(r"\1***", text)


def _redacted(text: str | None) -> str | None:
    return None if text is None else redact(text)


class ResponsesError(Exception):
    """A failure of a request, a response or a connection.

    Attributes:
        message: What went wrong, in a sentence, without secrets.
        failure: What kind of failure it is.
        code: The server's error code, if it gave one.
        type: The server's error type, if it gave one.
        param: The request's field the server objected to, if it named one.
        status: The HTTP status, if there was one.
        request_id: The server's id of the request, if known.
        response_id: The id of the response that failed, if it had begun.
        retry_after: Seconds the server asked to wait, if it did.
        transport: Where it happened: ``"websocket"``, ``"http"`` or ``"handshake"``.
    """

    def __init__(
        self,
        message: str,
        *,
        failure: Failure | None = None,
        code: str | None = None,
        type: str | None = None,  # noqa: A002 - the API's own name for it
        param: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        response_id: str | None = None,
        retry_after: float | None = None,
        transport: str = "websocket",
    ) -> None:
        """Creates an error; without a failure given, the table decides."""
        self.message = redact(message)
        super().__init__(self.message)
        self.code = _redacted(code)
        self.type = _redacted(type)
        self.param = _redacted(param)
        self.status = status
        self.request_id = _redacted(request_id)
        self.response_id = _redacted(response_id)
        self.retry_after = retry_after
        self.transport = transport
        self.failure = failure if failure is not None else classify(self)

    @property
    def name(self) -> str:
        """Its name, for ``pipecat-responses explain``: the failure's."""
        return str(self.failure)

    @property
    def recovery(self) -> Recovery:
        """What to do about it."""
        return RECOVERIES[self.failure]

    def locate(self, *, response_id: str | None, request_id: str | None) -> None:
        """Fills in which response and which request it is about, where that is not known yet."""
        self.response_id = self.response_id or response_id
        self.request_id = self.request_id or request_id

    def rewritten(
        self,
        message: str | None = None,
        *,
        kind: type[ResponsesError] | None = None,
        failure: Failure | None = None,
        mask: Callable[[str], str] = str,
    ) -> ResponsesError:
        """The same failure in other words.

        Args:
            message: The new message; by default the same.
            kind: The class of the new error; by default the same.
            failure: What kind of failure it turns out to be; by default the same.
            mask: Applied to every text in it.
        """

        def masked(text: str | None) -> str | None:
            return None if text is None else mask(text)

        return (kind or type(self))(
            mask(self.message if message is None else message),
            failure=failure or self.failure,
            code=masked(self.code),
            type=masked(self.type),
            param=masked(self.param),
            status=self.status,
            request_id=masked(self.request_id),
            response_id=masked(self.response_id),
            retry_after=self.retry_after,
            transport=self.transport,
        )

    def __str__(self) -> str:
        """The message with what is known about it, for logs and reports."""
        facts = [
            f"{name}={value}"
            for name, value in (
                ("code", self.code),
                ("type", self.type),
                ("param", self.param),
                ("status", self.status),
                ("request", self.request_id),
                ("response", self.response_id),
            )
            if value is not None
        ]
        return f"{self.message} ({', '.join(facts)})" if facts else self.message

    def __repr__(self) -> str:
        """Shows what kind of failure it is and its text."""
        return f"<ResponsesError {self.failure.value}: {self}>"


class MidResponseLossError(ResponsesError):
    """A response was lost after part of it had been said, and could not be resumed."""

    @property
    def name(self) -> str:
        """Its name; ``failure`` is what the last attempt failed of."""
        return str(ErrorName.MID_RESPONSE_LOSS)


class ConnectionLostError(ResponsesError):
    """A connection could not be opened, or closed, or fell silent."""

    def __init__(
        self, message: str, *, failure: Failure = Failure.CONNECTION, **facts: Any
    ) -> None:
        """Creates the error; takes the same facts as ``ResponsesError``."""
        super().__init__(message, failure=failure, **facts)


def classify(error: ResponsesError) -> Failure:
    """Looks an error up in the table.

    Returns:
        The failure of the first row that fits. An error that no row knows is taken for a passing
        trouble of the server's: new codes appear without notice, and giving up is for good.
    """
    for rule in RULES:
        if rule.matches(error):
            return rule.failure
    return Failure.SERVER


def read_error(
    wire: Any,
    *,
    status: int | None = None,
    transport: str = "websocket",
    headers: Mapping[str, str] | None = None,
    response_id: str | None = None,
) -> ResponsesError:
    """Reads an error as a server sends it, in either shape and however incomplete.

    Args:
        wire: The decoded JSON: an ``error`` event (nested over WebSocket, flat over SSE), the body
            of an HTTP error, or the ``error`` of a failed response.
        status: The HTTP status, where it is known from elsewhere.
        transport: Where it happened.
        headers: The HTTP response's headers, where there are any.
        response_id: The response that failed.
    """
    outer: Mapping[str, Any] = wire if isinstance(wire, Mapping) else {}
    nested = outer.get("error")
    inner: Mapping[str, Any] = nested if isinstance(nested, Mapping) else outer
    named = inner.get("headers") or outer.get("headers")
    all_headers = {
        **_lower(headers),
        **(_lower(named) if isinstance(named, Mapping) else {}),
    }
    kind = _text(inner.get("type"))
    place, objections = _objections(inner, outer)
    said = [_text(inner.get("message")) or _text(nested), objections]
    code = _text(inner.get("code")) or _text(outer.get("code"))
    message = ": ".join(filter(None, said)) or "The server reported an error"
    return ResponsesError(
        message,
        code=code,
        type=None if kind == "error" else kind,
        param=_text(inner.get("param")) or place,
        status=_status(outer.get("status"))
        or _status(inner.get("status"))
        or status
        or _numbered(code),
        request_id=_text(outer.get("request_id")) or all_headers.get("x-request-id"),
        response_id=response_id,
        retry_after=_retry_after(inner, all_headers),
        transport=transport,
    )


def _objections(*parts: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """What a validator objects to: the first place, and all it says.

    FastAPI has it under ``detail``, gateways under ``metadata.raw``.
    """
    for part in parts:
        metadata = part.get("metadata")
        raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
        for found in (part.get("detail"), raw):
            if isinstance(found, str) and found:
                return None, found
            if isinstance(found, list):
                return _issues([each for each in found if isinstance(each, Mapping)])
    return None, None


def _issues(issues: Sequence[Mapping[str, Any]]) -> tuple[str | None, str | None]:
    """The same of a list of pydantic's (``loc``, ``msg``) or zod's (``path``, ``message``)."""
    places: list[str] = []
    for each in issues:
        steps = [step for name in ("loc", "path", "keys") for step in _list(each.get(name))]
        places.append(".".join(str(step) for step in steps if step != "body"))
    said = [
        f"{place}: {_text(each.get('msg')) or _text(each.get('message'))}"
        for place, each in zip(places, issues, strict=True)
    ]
    return next(iter(places), None) or None, "; ".join(said) or None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _lower(headers: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in (headers or {}).items()}


def _text(value: Any) -> str | None:
    if isinstance(value, str) and value:
        return value
    # Some gateways number their codes.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _status(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _numbered(code: str | None) -> int | None:
    """The status, where a gateway gives it for the code."""
    return int(code) if code is not None and re.fullmatch(r"[45]\d\d", code) else None


_TRY_AGAIN_IN = re.compile(r"try again in ((?:[0-9.]+\s*(?:ms|s|m|h))+)\b", re.IGNORECASE)
_DURATION = re.compile(r"([0-9.]+)\s*(ms|s|m|h)", re.IGNORECASE)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _retry_after(inner: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = _seconds(headers.get(name), scale)
        if seconds is not None:
            return seconds
    seconds = _seconds(inner.get("retry_after"), 1.0)
    if seconds is not None:
        return seconds
    said = _TRY_AGAIN_IN.search(str(inner.get("message") or ""))
    if said is None:
        return None
    # Such as "6m0s" or "1m12.5s".
    parts = [_seconds(n, _UNITS[unit.lower()]) for n, unit in _DURATION.findall(said.group(1))]
    return sum(part for part in parts if part is not None)


def _seconds(value: Any, scale: float) -> float | None:
    try:
        seconds = float(value) * scale
    except (TypeError, ValueError):
        return None
    return seconds if 0 <= seconds < float("inf") else None
