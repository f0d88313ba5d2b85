"""``response.steer``: input that arrives while a response is running (steering guide).

Accepted input ends a response behind the item that is under way, as ``response.incomplete`` with
the reason ``steered`` (or as completed, if that was its last), and the server continues by itself
with a successor. A response that has called tools is left to complete; the input then waits for the
client's request with the tools' outputs.
"""

from __future__ import annotations

import time
from typing import Any

from pipecat_responses.sandbox.composer import Event, new_id
from pipecat_responses.sandbox.config import is_steerable_model
from pipecat_responses.sandbox.engine import Run, Steer
from pipecat_responses.sandbox.errors import ApiError
from pipecat_responses.sandbox.items import as_items, check_item
from pipecat_responses.sandbox.records import RecordedRequest
from pipecat_responses.sandbox.transcript import Item

_FIELDS = {"type", "previous_response_id", "input"}
_OUTPUTS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
}


def receive(body: dict[str, Any], run: Run | None) -> Event:
    """Takes a steering message.

    Args:
        body: The message.
        run: The running response that it names; None when there is none.

    Returns:
        The event that answers it: ``response.steer.accepted``, the input then being among the
        run's, or ``response.steer.failed``.
    """
    target = body.get("previous_response_id")
    try:
        items = _items(body)
    except ApiError as error:
        return _failed(body, "invalid_input", error.message)
    if run is None:
        return _failed(body, "response_not_active", f"Response '{target}' is not running.")
    if not is_steerable_model(run.given.model) or run.given.settings.get("context_management"):
        return _failed(body, "steering_not_supported", "This response cannot be steered.")
    steer = Steer(new_id("steer"), items)
    run.steer(steer)
    return run.composer.event(
        "response.steer.accepted",
        steer={"id": steer.steer_id, "previous_response_id": run.response_id},
    )


def _items(body: dict[str, Any]) -> list[Item]:
    unknown = set(body) - _FIELDS
    if unknown:
        raise ApiError(f"Unknown parameter: '{min(unknown)}'.")
    value = body.get("input")
    if not isinstance(value, str | list) or not value:
        raise ApiError("The input must be a string or user messages.")
    items = as_items(value)
    for index, item in enumerate(items):
        check_item(item, f"input[{index}]")
        if item.get("role") != "user":
            raise ApiError("Only user messages can steer a response.")
    return items


def _failed(body: dict[str, Any], code: str, message: str) -> Event:
    return {
        "type": "response.steer.failed",
        "sequence_number": 0,
        "error": {"type": "invalid_request_error", "code": code, "message": message},
        "steer": {
            "input": body.get("input") or "",
            "previous_response_id": str(body.get("previous_response_id") or ""),
        },
    }


def pending(run: Run) -> list[Event]:
    """The events that say which outputs a steered response with calls is waiting for."""
    required = [
        {"type": _OUTPUTS[item["type"]], "call_id": item["call_id"]}
        | ({"name": item["name"]} if item["type"] == "function_call" else {})
        for item in run.composer.output
        if item["type"] in _OUTPUTS
    ]
    return [
        run.composer.event(
            "response.steer.pending",
            reason="waiting_for_required_input",
            required_input=required,
            steer={"id": steer.steer_id, "previous_response_id": run.response_id},
        )
        for steer in run.steers
    ]


def lost(run: Run, error: ApiError) -> list[Event]:
    """The events that give input back that the server cannot go on with."""
    return [
        run.composer.event(
            "response.steer.failed",
            error={
                "type": "invalid_request_error",
                "code": "successor_creation_failed",
                "message": error.message,
            },
            steer={
                "id": steer.steer_id,
                "input": steer.items,
                "previous_response_id": run.response_id,
            },
        )
        for steer in run.steers
    ]


def successor(run: Run) -> RecordedRequest:
    """The request that the server makes of itself to continue a steered response."""
    return RecordedRequest(
        transport=run.record.transport,
        body={
            **run.record.body,
            "previous_response_id": run.response_id,
            "input": [item for steer in run.steers for item in steer.items],
        },
        size=0,
        connection=run.record.connection,
        headers=run.record.headers,
        received_at=time.monotonic(),
    )
