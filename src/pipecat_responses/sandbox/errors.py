"""Refusals of the Responses API, and the three shapes in which they travel.

The wording, codes and parameters follow what the public API answers, because clients (and the
people who read their logs) tell errors apart by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

ErrorShape: TypeAlias = Literal["nested", "recorded", "flat"]
"""How an ``error`` event looks: its error in an object of its own, with a status or without, or
everything side by side."""


class ApiError(Exception):
    """A request that the server refuses, or a stream that it breaks off with an error.

    Attributes:
        status: HTTP status code.
        code: Machine-readable code such as ``previous_response_not_found``, or None.
        message: Human-readable text.
        param: The request field the error is about, such as ``input[0].content``, or None.
        type: The error's family, ``invalid_request_error`` for most 4xx; None for a server that
            names none.
        headers: Extra HTTP headers, e.g. ``retry-after``; over a WebSocket they travel inside
            the error object.
        shape: ``nested`` or ``flat`` for an error event of that shape; None for the transport's
            own.
        omit: Names of fields that the error event leaves out.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        param: str | None = None,
        type: str | None = "invalid_request_error",  # noqa: A002 - the field's name on the wire
        headers: Mapping[str, str] | None = None,
        shape: Literal["nested", "flat"] | None = None,
        omit: Iterable[str] = (),
    ) -> None:
        """Describes a refusal; see the class for the meaning of each field."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.type = type
        self.headers = dict(headers or {})
        self.shape = shape
        self.omit = frozenset(omit)

    @property
    def label(self) -> str:
        """The code, or the type when there is no code: what a log line wants."""
        return self.code or self.type or str(self.status)

    def body(self) -> dict[str, Any]:
        """The HTTP body: ``{"error": {"message", "type", "param", "code"}}``."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }

    def failure(self) -> dict[str, str]:
        """The ``error`` of a response that has failed: a code it always has."""
        return {"code": self.code or "server_error", "message": self.message}

    def event(
        self, default_shape: ErrorShape, sequence_number: int | None = None
    ) -> dict[str, Any]:
        """The ``error`` event, without ``stream_id``.

        Args:
            default_shape: The transport's own shape: ``nested`` over a WebSocket; among server-sent
                events ``recorded``, which has no status, or ``flat``.
            sequence_number: The event's number, when it comes in a response's stream.
        """
        if (self.shape or default_shape) == "flat":
            event: dict[str, Any] = {
                "type": "error",
                "code": self.code,
                "message": self.message,
                "param": self.param,
            }
        else:
            error = self.body()["error"]
            if self.headers:
                error["headers"] = self.headers
            event = {"type": "error", "status": self.status, "error": _without(error, self.omit)}
            if (self.shape or default_shape) == "recorded":
                del event["status"]
        if sequence_number is not None:
            event["sequence_number"] = sequence_number
        return _without(event, self.omit)


def _without(value: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: element for name, element in value.items() if name not in names}


def json_type(value: object) -> str:
    """Names a JSON value's type the way the API's messages do."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def quoted_list(values: Iterable[str]) -> str:
    """Joins values as ``'a', 'b', and 'c'``."""
    items = [f"'{value}'" for value in values]
    if len(items) <= 2:
        return " and ".join(items)
    return ", ".join(items[:-1]) + f", and {items[-1]}"


def invalid_type(param: str, expected: str, value: object) -> ApiError:
    """A field of the wrong JSON type."""
    got = json_type(value)
    tail = f"got {got} instead" if value is not None else "got null instead"
    return ApiError(
        f"Invalid type for '{param}': expected {expected}, but {tail}.",
        code="invalid_type",
        param=param,
    )


def invalid_value(param: str, value: object, supported: Iterable[str]) -> ApiError:
    """A value outside an enumeration."""
    return ApiError(
        f"Invalid value: '{value}'. Supported values are: {quoted_list(supported)}.",
        code="invalid_value",
        param=param,
    )


def missing_parameter(param: str) -> ApiError:
    """A required field that is absent."""
    return ApiError(
        f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
    )


def unknown_parameter(param: str) -> ApiError:
    """A field that the API does not have."""
    return ApiError(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def unsupported_parameter(param: str) -> ApiError:
    """A field that this model or this transport does not take."""
    return ApiError(
        f"Unsupported parameter: '{param}' is not supported with this model.",
        code="unsupported_parameter",
        param=param,
    )


def previous_response_not_found(response_id: str) -> ApiError:
    """The parent is in no memory (WebSocket mode guide)."""
    return ApiError(
        f"Previous response with id '{response_id}' not found.",
        code="previous_response_not_found",
        param="previous_response_id",
    )


def connection_limit_reached(max_age: float) -> ApiError:
    """The connection is as old as connections get (WebSocket mode guide: 60 minutes)."""
    return ApiError(
        f"Responses websocket connection limit reached ({max_age / 60:g} minutes). "
        "Create a new websocket connection to continue.",
        code="websocket_connection_limit_reached",
    )


def stream_limit_reached(limit: int) -> ApiError:
    """All distinct lane names of the connection are used up (WebSocket mode guide: 32)."""
    return ApiError(
        f"Responses websocket stream limit reached ({limit} streams). "
        "Reuse a stream_id or create a new websocket connection.",
        code="websocket_stream_limit_reached",
        param="stream_id",
    )


def invalid_stream_id() -> ApiError:
    """A malformed lane name."""
    return ApiError(
        "Invalid 'stream_id': expected 1 to 256 characters of letters, digits, '_', '.' and '-'.",
        code="invalid_stream_id",
        param="stream_id",
    )


def model_not_found(model: str) -> ApiError:
    """No such model for this key."""
    return ApiError(
        f"The model `{model}` does not exist or you do not have access to it.",
        status=404,
        code="model_not_found",
        param="model",
    )


def missing_api_key() -> ApiError:
    """No bearer token at all."""
    return ApiError(
        "You didn't provide an API key. You need to provide your API key in an Authorization "
        "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        status=401,
    )


def invalid_api_key(key: str) -> ApiError:
    """A bearer token that is not accepted; only its last four characters are repeated."""
    return ApiError(
        f"Incorrect API key provided: ***{key[-4:]}. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        status=401,
        code="invalid_api_key",
    )


def content_filtered() -> ApiError:
    """A filter before the model refuses the prompt (Azure)."""
    return ApiError(
        "The response was filtered due to the prompt triggering Azure OpenAI's content management "
        "policy. Please modify your prompt and retry.",
        code="content_filter",
        param="prompt",
        type=None,
    )
