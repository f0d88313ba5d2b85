"""Which failure an error is, what is done about it, and what is said of it."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_responses.protocol.errors import (
    RULES,
    ConnectionLostError,
    MidResponseLossError,
    ResponsesError,
    classify,
    read_error,
    redact,
)
from pipecat_responses.protocol.failures import EXPLANATIONS, RECOVERIES, Failure, Recovery
from pipecat_responses.service.errors import CATEGORIES, category_of


def nested(status: int | None = None, **error: Any) -> dict[str, Any]:
    """As over a WebSocket."""
    return {"type": "error", **({} if status is None else {"status": status}), "error": error}


def flat(**error: Any) -> dict[str, Any]:
    """As over server-sent events."""
    return {"type": "error", "sequence_number": 3, **error}


# PROTOCOL: errors worth telling apart, and a client's answer to them.
AT_ONCE = {
    "previous_response_not_found": Recovery.FULL_INPUT,
    "websocket_connection_limit_reached": Recovery.RECONNECT,
    "websocket_stream_limit_reached": Recovery.OTHER_LANE,
}


@pytest.mark.parametrize(("code", "recovery"), AT_ONCE.items())
def test_what_is_answered_at_once(code: str, recovery: Recovery) -> None:
    for error in (
        read_error(nested(400, type="invalid_request_error", code=code, message="x")),
        read_error(nested(code=code)),
        read_error(flat(code=code, message="x", param=None)),
        read_error({"code": code}, status=400, transport="http"),
    ):
        assert error.recovery is recovery
        assert error.code == code


@pytest.mark.parametrize(
    "error",
    [
        nested(400, code="unknown_parameter", message="Unknown parameter: 'stream_id'."),
        nested(400, code="unknown_parameter", message="x", param="stream_id"),
        nested(400, message="Extra inputs are not permitted", param="stream_id"),
        nested(400, message="x", code="invalid_value", param="stream_id"),
        flat(code="unknown_parameter", message="Unknown parameter: 'stream_id'."),
    ],
)
def test_a_server_without_lanes(error: dict[str, Any]) -> None:
    assert read_error(error).recovery is Recovery.WITHOUT_LANES


def test_a_lane_of_a_name_that_is_refused() -> None:
    error = read_error(nested(400, code="invalid_stream_id", message="x"))
    # Ours are well-formed, so a server that says so has no use for names; the default one is left.
    assert error.recovery in (Recovery.OTHER_LANE, Recovery.WITHOUT_LANES)


@pytest.mark.parametrize(
    "error",
    [
        nested(400, code="unknown_parameter", message="Unknown parameter: 'generate'."),
        nested(400, message="x", param="generate"),
    ],
)
def test_a_server_without_warm_up(error: dict[str, Any]) -> None:
    assert read_error(error).failure is Failure.NO_WARM_UP


TABLE: list[tuple[dict[str, Any], Failure, Recovery]] = [
    # Wait.
    (nested(429, code="rate_limit_exceeded"), Failure.RATE_LIMIT, Recovery.RETRY),
    (nested(429, type="requests", code="rate_limit_exceeded"), Failure.RATE_LIMIT, Recovery.RETRY),
    (nested(429), Failure.RATE_LIMIT, Recovery.RETRY),
    (flat(code="rate_limit_exceeded"), Failure.RATE_LIMIT, Recovery.RETRY),
    # No money left.
    (nested(429, code="insufficient_quota"), Failure.QUOTA, Recovery.PERMANENT),
    (nested(429, type="insufficient_quota"), Failure.QUOTA, Recovery.PERMANENT),
    (nested(402, message="Pay."), Failure.QUOTA, Recovery.PERMANENT),
    # Credentials.
    (nested(401, code="invalid_api_key"), Failure.AUTHENTICATION, Recovery.PERMANENT),
    (nested(401), Failure.AUTHENTICATION, Recovery.PERMANENT),
    (flat(code="invalid_api_key"), Failure.AUTHENTICATION, Recovery.PERMANENT),
    (nested(403), Failure.PERMISSION, Recovery.PERMANENT),
    # This context.
    (
        nested(400, message="No tool output found for function call call_1.", param="input"),
        Failure.CONTENT,
        Recovery.REPORT,
    ),
    (
        nested(400, message="No tool call found for function call output with call_id x."),
        Failure.CONTENT,
        Recovery.REPORT,
    ),
    (nested(400, code="invalid_image_url", param="input[3]"), Failure.CONTENT, Recovery.REPORT),
    (nested(400, message="The image could not be read."), Failure.CONTENT, Recovery.REPORT),
    (nested(400, code="context_length_exceeded"), Failure.CONTENT, Recovery.REPORT),
    (nested(413), Failure.CONTENT, Recovery.REPORT),
    (nested(400, param="input[0].content"), Failure.CONTENT, Recovery.REPORT),
    # A request that will never be right.
    (nested(404, code="model_not_found", param="model"), Failure.MODEL, Recovery.PERMANENT),
    (nested(400, code="model_not_found"), Failure.MODEL, Recovery.PERMANENT),
    (nested(404), Failure.ENDPOINT, Recovery.PERMANENT),
    (nested(400, param="temperature"), Failure.REQUEST, Recovery.REPORT),
    (nested(400, code="unknown_parameter", param="foo"), Failure.REQUEST, Recovery.REPORT),
    (nested(type="invalid_request_error"), Failure.REQUEST, Recovery.REPORT),
    # Passing.
    *(
        (nested(status), Failure.SERVER, Recovery.RETRY)
        for status in (408, 409, 500, 502, 503, 504, 529)
    ),
    (nested(code="server_error"), Failure.SERVER, Recovery.RETRY),
    (flat(code="server_error"), Failure.SERVER, Recovery.RETRY),
    (nested(type="server_error"), Failure.SERVER, Recovery.RETRY),
    (nested(code="overloaded"), Failure.SERVER, Recovery.RETRY),
    (nested(type="overloaded_error"), Failure.SERVER, Recovery.RETRY),
    # Nothing that anybody knows: giving up would be for good.
    (nested(code="never_heard_of"), Failure.SERVER, Recovery.RETRY),
    ({"type": "error"}, Failure.SERVER, Recovery.RETRY),
]


@pytest.mark.parametrize(("wire", "failure", "recovery"), TABLE, ids=lambda value: str(value)[:60])
def test_the_table(wire: dict[str, Any], failure: Failure, recovery: Recovery) -> None:
    error = read_error(wire)
    assert error.failure is failure
    assert error.recovery is recovery


def test_a_socket_that_closes_is_a_passing_failure() -> None:
    error = ConnectionLostError("gone")
    assert (error.failure, error.recovery) == (Failure.CONNECTION, Recovery.RETRY)
    assert ConnectionLostError("x", failure=Failure.TIMEOUT).recovery is Recovery.RETRY
    assert ConnectionLostError("x", transport="handshake", status=503).status == 503


@pytest.mark.parametrize("failure", list(Failure))
def test_every_failure_has_an_answer_and_a_category(failure: Failure) -> None:
    assert isinstance(RECOVERIES[failure], Recovery)
    assert category_of(ResponsesError("x", failure=failure)) is CATEGORIES[failure]


def test_the_tables_have_no_other_rows() -> None:
    assert set(RECOVERIES) == set(CATEGORIES) == set(EXPLANATIONS) == set(Failure)
    assert all(failure.explanation.endswith(".") for failure in Failure)
    assert set(RECOVERIES.values()) == set(Recovery)
    assert len(set(RULES)) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_row_is_reached(rule: Any) -> None:
    """No row stands behind another one that takes all that would fit it."""
    texts = {
        None: "x",
        r"\bstream_id\b": "stream_id",
        r"\bgenerate\b": "generate",
        r"no tool (output|call) found": "No tool output found",
        r"\b(image|file|audio)\b": "the image",
        r"encrypted.content.*(verified|decrypted|parsed)": "encrypted content was not verified",
    }
    params = {None: None, r"stream_id$": "stream_id", r"generate$": "generate", r"input\b": "input"}
    error = ResponsesError(
        texts[rule.message],
        code=rule.code,
        type=rule.type,
        param=params[rule.param],
        status=rule.status[0] if isinstance(rule.status, range) else rule.status,
        transport="handshake" if rule.handshake else "websocket",
    )
    assert rule.matches(error)
    assert next(each for each in RULES if each.matches(error)) is rule
    assert classify(error) is rule.failure


@pytest.mark.parametrize("transport", ["handshake", "http"])
def test_a_redirect_is_a_wrong_address(transport: str) -> None:
    # Following it would carry the key, and the conversation, somewhere else.
    assert read_error({}, status=301, transport=transport).failure is Failure.ENDPOINT


# -- reading --------------------------------------------------------------------------------------

FULL = {"type": "invalid_request_error", "code": "c", "message": "Boom.", "param": "p"}


def test_the_nested_shape() -> None:
    headers = {"Retry-After": "2", "X-Request-ID": "req_1"}
    error = read_error(nested(400, headers=headers, **FULL), response_id="resp_1")
    facts = (error.message, error.type, error.code, error.param, error.status)
    assert facts == ("Boom.", "invalid_request_error", "c", "p", 400)
    assert (error.retry_after, error.request_id, error.response_id) == (2.0, "req_1", "resp_1")
    assert error.transport == "websocket"


def test_the_flat_shape() -> None:
    error = read_error(flat(code="c", message="Boom.", param="p"), transport="http")
    facts = (error.message, error.type, error.code, error.param, error.status)
    assert facts == ("Boom.", None, "c", "p", None)


def test_an_http_body_with_its_status_and_headers() -> None:
    error = read_error(
        {"error": FULL}, status=429, transport="http", headers={"X-Request-Id": "req_1"}
    )
    assert (error.status, error.request_id) == (429, "req_1")
    assert read_error({"status": 503, "error": FULL}, status=200).status == 503


@pytest.mark.parametrize(
    "wire",
    [
        None,
        [],
        "text",
        7,
        {},
        {"error": None},
        {"error": []},
        {"error": {}},
        {"error": {"message": None, "code": None, "type": None, "param": None}},
        {"error": {"message": {}, "code": [], "type": 7.5, "param": True}, "status": "400"},
        {"error": {"headers": [], "message": ""}, "headers": "x", "status": True},
    ],
)
def test_an_error_that_says_nothing(wire: Any) -> None:
    error = read_error(wire)
    assert error.message
    assert (error.code, error.type, error.param, error.status) == (None,) * 4
    assert (error.request_id, error.retry_after) == (None, None)


def test_odd_shapes() -> None:
    assert read_error({"error": "Boom."}).message == "Boom."
    assert read_error({"error": {"code": 429, "message": "x"}}).code == "429"
    assert read_error({"code": "c", "error": {"message": "x"}}).code == "c"
    assert read_error({"headers": {"retry-after": 3}, "error": {"message": "x"}}).retry_after == 3.0


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after": "7"}, "", 7.0),
        ({"Retry-After": "0.5"}, "", 0.5),
        ({"retry-after": 7}, "", 7.0),
        ({"retry-after-ms": "250"}, "", 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, "", 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, "", 7.0),
        ({"retry-after": "0"}, "", 0.0),
        ({"retry-after": "-1"}, "", None),
        ({"retry-after": "inf"}, "", None),
        ({"retry-after": "nan"}, "", None),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": None}, "", None),
        ({"retry-after": "7"}, "Please try again in 20s.", 7.0),
        ({}, "Please try again in 20s.", 20.0),
        ({}, "Please try again in 1.5s.", 1.5),
        ({}, "Please try again in 860ms. Visit the site.", 0.86),
        ({}, "Please try again in 2 m.", 120.0),
        ({}, "Please try again in 6m0s.", 360.0),
        ({}, "Please try again in 1m12.5s.", 72.5),
        ({}, "Please try again in 1h2m3s.", 3723.0),
        ({}, "try again in 5 minutes", None),
        ({}, "Please try again later.", None),
        ({}, "", None),
    ],
)
def test_how_long_the_server_asks_to_wait(
    headers: dict[str, Any], message: str, seconds: float | None
) -> None:
    wire = nested(429, code="rate_limit_exceeded", message=message, headers=headers)
    assert read_error(wire).retry_after == (None if seconds is None else pytest.approx(seconds))


# -- what is said ---------------------------------------------------------------------------------

SECRETS = [
    "sk-abcdefgh12345678",
    "sk-proj-abc_DEF-123.xyz",
    "sk-svcacct-****************cdef",
    "Bearer abcdefgh12345678",
    "bearer  eyJhbGciOi.eyJzdWIi.SflKxwRJ-_x",
    "Bearer ab/cd+ef~gh==",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("place", ["message", "code", "type", "param", "request_id"])
def test_no_secret_is_told(secret: str, place: str) -> None:
    facts: dict[str, Any] = {"message": "Incorrect.", place: f"Incorrect API key: {secret}, sorry"}
    error = ResponsesError(facts.pop("message"), **facts)
    hidden = secret[8:]
    shown = [str(error), repr(error), str(error.args), error.message]
    shown += traceback.format_exception(error)
    for text in shown:
        assert hidden not in text
    assert "***" in str(error)
    assert "sorry" in str(error)


@given(st.text("abcXYZ0123456789-_.~+/=", min_size=8, max_size=60))
def test_no_token_is_told(token: str) -> None:
    for text in (f"Authorization: Bearer {token}", f"key sk-{token} is wrong"):
        assert token not in redact(text)


@pytest.mark.parametrize(
    "text", ["", "ask-me anything", "a risk-free task-list", "the bearer of news", "disk-full"]
)
def test_other_words_stay(text: str) -> None:
    assert redact(text) == text


def test_an_error_names_what_is_known() -> None:
    error = read_error(nested(400, **FULL), response_id="resp_1")
    text = str(error)
    for fact in ("Boom.", "code=c", "param=p", "status=400", "response=resp_1"):
        assert fact in text
    assert repr(error) == f"<ResponsesError request: {text}>"
    assert str(ResponsesError("Only this")) == "Only this"


def test_kinds_of_errors() -> None:
    assert issubclass(MidResponseLossError, ResponsesError)
    assert issubclass(ConnectionLostError, ResponsesError)
    lost = MidResponseLossError("x", failure=Failure.SERVER, response_id="resp_1")
    assert (lost.failure, lost.response_id) == (Failure.SERVER, "resp_1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "type",
                    "code",
                    "message",
                    "param",
                    "status",
                    "headers",
                    "retry_after",
                    "retry-after",
                    "retry-after-ms",
                    "x-request-id",
                    "request_id",
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.none() | st.integers(), st.none() | st.dictionaries(st.text(), st.text()))
def test_whatever_comes_is_read(wire: Any, status: int | None, headers: Any) -> None:
    error = read_error(wire, status=status, headers=headers)
    assert isinstance(error.failure, Failure)
    assert isinstance(error.recovery, Recovery)
    assert error.message
    assert error.retry_after is None or 0 <= error.retry_after < float("inf")
    assert str(error)
    json.dumps([error.code, error.type, error.param, error.status, error.request_id])
