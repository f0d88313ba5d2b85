"""What the Open Responses specification, version 2026-04-24, wants to be there, by name."""

from typing import Any

RESPONSE = {
    "background",
    "created_at",
    "frequency_penalty",
    "id",
    "metadata",
    "model",
    "object",
    "output",
    "parallel_tool_calls",
    "presence_penalty",
    "service_tier",
    "status",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
}
"""Fields of a response that are there and not null."""

NULLABLE = {
    "completed_at",
    "error",
    "incomplete_details",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "usage",
}
"""Fields of a response that are there, be it null."""

INSIDE = {
    "error": {"code", "message"},
    "incomplete_details": {"reason"},
    "reasoning": {"effort", "summary"},
    "text": {"format"},
    "usage": {
        "input_tokens",
        "input_tokens_details",
        "output_tokens",
        "output_tokens_details",
        "total_tokens",
    },
}
TYPED = {
    "compaction": {"id", "encrypted_content"},
    "function": {"description", "name", "parameters", "strict"},
    "function_call": {"arguments", "call_id", "id", "name", "status"},
    "json_schema": {"description", "name", "schema", "strict"},
    "message": {"content", "id", "role", "status"},
    "output_text": {"annotations", "text"},
    "reasoning": {"id", "summary"},
    "refusal": {"refusal"},
    "summary_text": {"text"},
    "url_citation": {"end_index", "start_index", "title", "url"},
}
"""Fields of items, parts, annotations, tools and formats, by their type."""

_PLACE = {"item_id", "output_index", "content_index"}
_SUMMARY = {"item_id", "output_index", "summary_index"}
EVENTS = {
    "error": {"error"},
    "response.completed": {"response"},
    "response.content_part.added": {*_PLACE, "part"},
    "response.content_part.done": {*_PLACE, "part"},
    "response.created": {"response"},
    "response.failed": {"response"},
    "response.function_call_arguments.delta": {"delta", "item_id", "output_index"},
    "response.function_call_arguments.done": {"arguments", "item_id", "output_index"},
    "response.in_progress": {"response"},
    "response.incomplete": {"response"},
    "response.output_item.added": {"item", "output_index"},
    "response.output_item.done": {"item", "output_index"},
    "response.output_text.annotation.added": {*_PLACE, "annotation", "annotation_index"},
    "response.output_text.delta": {*_PLACE, "delta"},
    "response.output_text.done": {*_PLACE, "text"},
    "response.queued": {"response"},
    "response.reasoning_summary_part.added": {*_SUMMARY, "part"},
    "response.reasoning_summary_part.done": {*_SUMMARY, "part"},
    "response.reasoning_summary_text.delta": {*_SUMMARY, "delta"},
    "response.reasoning_summary_text.done": {*_SUMMARY, "text"},
    "response.refusal.delta": {*_PLACE, "delta"},
    "response.refusal.done": {*_PLACE, "refusal"},
}
"""Fields of an event besides its type and number."""


def check_event(event: dict[str, Any]) -> None:
    """Holds an event of a stream against the specification."""
    missing = {"type", "sequence_number", *EVENTS.get(event["type"], ())} - set(event)
    assert not missing, event["type"]
    if "response" in event:
        check_response(event["response"])
    else:
        _check_typed(event)


def check_response(response: dict[str, Any]) -> None:
    """Holds a response against the specification."""
    assert set(response) >= RESPONSE | NULLABLE
    assert {name for name in RESPONSE if response[name] is None} == set()
    for name, fields in INSIDE.items():
        assert response[name] is None or set(response[name]) >= fields, name
    _check_typed(response)


def _check_typed(value: object) -> None:
    if isinstance(value, dict):
        kind = value.get("type")
        if isinstance(kind, str):
            assert set(value) >= TYPED.get(kind, set()), kind
        # A schema is the client's own, and may have properties of any name.
        for inside in (
            each for name, each in value.items() if name not in ("schema", "parameters")
        ):
            _check_typed(inside)
    elif isinstance(value, list):
        for inside in value:
            _check_typed(inside)
