"""Errors: which are the server's answer to what a request holds, and which field they name."""

from __future__ import annotations

from typing import Any

import pytest

from pipecat_responses.doctor.answers import is_refusal, named_field
from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError

FIELDS = ("store", "text.verbosity", "text.format", "stream_options.include_obfuscation", "top_p")
PYDANTIC = "1 validation error for Request\ntop_p\n  Extra inputs are not permitted"


@pytest.mark.parametrize(
    ("message", "param", "named"),
    [
        ("Unknown parameter: 'store'.", "store", "store"),
        ("No.", "text.verbosity", "text.verbosity"),
        ("No.", "text.format.type", "text.format"),
        ("No.", "stream_options", "stream_options.include_obfuscation"),
        ("No.", "tools[0].name", None),
        (PYDANTIC, None, "top_p"),
        ("This model does not take verbosity.", None, "text.verbosity"),
        ("Nothing can be restored.", None, None),
    ],
)
def test_the_field_that_is_named(message: str, param: str | None, named: str | None) -> None:
    assert named_field(ResponsesError(message, param=param, status=400), FIELDS) == named


@pytest.mark.parametrize(
    ("facts", "refused"),
    [
        ({"status": 400}, True),
        ({"status": 422}, True),
        ({"code": "previous_response_not_found"}, True),
        ({"status": 401}, False),
        ({"status": 429}, False),
        ({"status": 503}, False),
        ({}, True),
        ({"status": 500}, False),
    ],
)
def test_refusals(facts: dict[str, Any], refused: bool) -> None:
    assert is_refusal(ResponsesError("We do not take top_p.", **facts), "top_p") is refused
    if not facts:
        assert not is_refusal(ResponsesError("Out of luck."), "top_p")
    assert not is_refusal(ConnectionLostError("Gone: top_p"), "top_p")
