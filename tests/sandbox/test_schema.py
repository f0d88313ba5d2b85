"""Every event, on both transports, is one that the official SDK's types accept."""

from typing import Any, get_args

import pytest
from openai.types.responses import Response

from pipecat_responses.sandbox import (
    Answer,
    Call,
    Fault,
    Reasoning,
    Refusal,
    Sandbox,
    SandboxConfig,
    Text,
)

from .specification import check_event, check_response
from .wire import (
    HTTP_EVENT,
    WEBSOCKET_EVENT,
    connected,
    function_tool,
    needs_todays_sdk,
    post,
    stream,
)

TOOLS = [
    function_tool("get_time", description="The time"),
    {"type": "custom", "name": "run_sql", "description": "SQL"},
]
SETTINGS = {
    "tools": TOOLS,
    "instructions": "Be brief.",
    "temperature": 0.5,
    "max_output_tokens": 500,
    "metadata": {"call": "1"},
    "tool_choice": "auto",
    "top_p": 0.9,
    "user": "someone",
}
REASONING = {
    "model": "gpt-5",
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["reasoning.encrypted_content"],
}
SCRIPTS: dict[str, tuple[Answer, dict[str, Any]]] = {
    "text": (Answer((Text("Hello there, you."),)), {}),
    "tokens": (Answer((Text("Hello", tokens=["Hel", "lo"]),)), SETTINGS),
    "refusal": (Answer((Refusal("I would rather not."),)), {}),
    "parallel calls": (
        Answer((Call("get_time", {}), Call("get_time", {"zone": "Europe/Madrid"}, "call_mine"))),
        SETTINGS,
    ),
    "text and call": (Answer(("One moment.", Call("get_time", "{}"))), SETTINGS),
    "custom tool": (Answer((Call("run_sql", "select 1"),)), SETTINGS),
    "reasoning": (Answer((Reasoning(("Hm, well.", "Second part.")), "Done.")), REASONING),
    "implied reasoning": (Answer(("Done.",)), REASONING),
    "incomplete": (Answer(("Half of", " it"), incomplete_reason="content_filter"), {}),
    "failed": (Answer(("Half",), failed={"code": "server_error", "message": "Oh no."}), {}),
    "empty": (Answer(), {}),
    "truncated": (Answer((" ".join(["word"] * 40),)), {"max_output_tokens": 16}),
    "truncated call": (
        Answer((Call("get_time", {"zone": "x" * 300}),)),
        {"tools": TOOLS, "max_output_tokens": 16},
    ),
}


def check_order(events: list[dict[str, Any]]) -> None:
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    terminal = events[-1]["response"]
    assert terminal["output"][: len(done)] == done
    assert all(event.get("response", terminal)["id"] == terminal["id"] for event in events)
    for item in done:
        deltas = "".join(
            event["delta"]
            for event in events
            if event["type"].endswith(".delta") and event["item_id"] == item["id"]
        )
        match item["type"]:
            case "message":
                (part,) = item["content"]
                assert deltas == part.get("text", part.get("refusal"))
            case "function_call":
                assert deltas == item["arguments"]
            case "custom_tool_call":
                assert deltas == item["input"]
            case "reasoning":
                assert deltas == "".join(part["text"] for part in item["summary"])


@pytest.mark.parametrize("lane", [None, "lane-1"])
@pytest.mark.parametrize("name", SCRIPTS)
@needs_todays_sdk
async def test_websocket_events_fit_the_types(
    sandbox: Sandbox, name: str, lane: str | None
) -> None:
    answer, fields = SCRIPTS[name]
    sandbox.script(answer)
    if lane:
        fields = {**fields, "stream_id": lane}
    async with connected(sandbox) as wire:
        events = await wire.ask("hello", **fields)
    for event in events:
        WEBSOCKET_EVENT.validate_python(event)
        check_event(event)
        assert event.get("stream_id") == lane
    check_order(events)


@pytest.mark.parametrize("name", SCRIPTS)
@needs_todays_sdk
async def test_http_events_fit_the_types(sandbox: Sandbox, name: str) -> None:
    answer, fields = SCRIPTS[name]
    sandbox.script(answer)
    events = await stream(sandbox, "hello", **fields)
    for event in events:
        HTTP_EVENT.validate_python(event)
        check_event(event)
    check_order(events)


@pytest.mark.parametrize("name", SCRIPTS)
async def test_the_json_answer_fits_the_type(sandbox: Sandbox, name: str) -> None:
    answer, fields = SCRIPTS[name]
    sandbox.script(answer)
    status, body = await post(sandbox, "hello", **fields)
    assert status == 200
    Response.model_validate(body)
    check_response(body)


async def test_warm_up_has_no_output(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        events = await wire.ask("hello", generate=False)
    for event in events:
        WEBSOCKET_EVENT.validate_python(event)
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]
    assert events[-1]["response"]["output"] == []
    assert events[-1]["response"]["usage"]["output_tokens"] == 0
    assert not sandbox.requests[0].generate


@needs_todays_sdk
async def test_errors_fit_the_types(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        WEBSOCKET_EVENT.validate_python(await wire.refusal("x", stream_id="a", model="nope"))
        WEBSOCKET_EVENT.validate_python(await wire.refusal("x", tools=3))


async def test_the_response_repeats_the_settings(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        response = await wire.respond("hello", **SETTINGS)
    for name in ("instructions", "temperature", "max_output_tokens", "metadata", "top_p", "user"):
        assert response[name] == SETTINGS[name]
    assert response["tools"][0]["name"] == "get_time"
    assert response["store"] is False
    assert response["previous_response_id"] is None


async def test_a_truncated_answer_says_why_and_keeps_what_was_said(sandbox: Sandbox) -> None:
    sandbox.script(" ".join(["word"] * 40))
    async with connected(sandbox) as wire:
        events = await wire.ask("hello", max_output_tokens=16)
    response = events[-1]["response"]
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"
    assert response["output"][0]["content"][0]["text"] == " ".join(["word"] * 16)
    assert response["usage"]["output_tokens"] == 16


async def test_encrypted_content_only_when_included(sandbox: Sandbox) -> None:
    plain = {"model": "gpt-5", "reasoning": {"effort": "high"}}
    async with connected(sandbox) as wire:
        without = await wire.respond("hello", **plain)
        with_it = await wire.respond("hello", **plain, include=["reasoning.encrypted_content"])
        minimal = await wire.respond("hello", model="gpt-5", reasoning={"effort": "minimal"})
    assert "encrypted_content" not in without["output"][0]
    assert with_it["output"][0]["encrypted_content"].startswith("gAAAA")
    assert with_it["output"][0]["summary"] == []
    assert with_it["usage"]["output_tokens_details"]["reasoning_tokens"] > 0
    assert [item["type"] for item in minimal["output"]] == ["message"]


async def test_usage_details_can_be_left_out() -> None:
    async with Sandbox(SandboxConfig(usage_details=False)) as sandbox:
        _, body = await post(sandbox, "hello")
    assert set(body["usage"]) == {"input_tokens", "output_tokens", "total_tokens"}


async def test_obfuscation_is_there_unless_declined(sandbox: Sandbox) -> None:
    asked = {"stream_options": {"include_obfuscation": False}}
    with_padding = await stream(sandbox, "hello")
    without = await stream(sandbox, "hello", **asked)
    assert any("obfuscation" in event for event in with_padding)
    assert not any("obfuscation" in event for event in without)


async def test_a_long_answer_at_a_high_pace_is_complete(sandbox: Sandbox) -> None:
    sandbox.config.tokens_per_second = 20_000
    sandbox.config.time_to_first_token = 0.01
    async with connected(sandbox) as wire:
        events = await wire.ask("count to 2000")
    deltas = [event["delta"] for event in events if event["type"].endswith("text.delta")]
    assert "".join(deltas) == ", ".join(map(str, range(1, 2001))) + "."


WHERE_ASKED_FOR = {
    "access_programs",
    "context",
    "generate_summary",
    "image",
    "input_transformations",
    "mode",
    "moderation",
    "prompt_cache_diagnostics",
    "prompt_cache_options",
    "tool_usage",
}
"""What the SDK's type knows besides, and the API has only where something asks for it."""


@needs_todays_sdk
async def test_a_response_has_every_field(sandbox: Sandbox) -> None:
    events = await stream(sandbox, "hello")
    for event in (events[0], events[-1]):
        missing = set(Response.model_fields) - set(event["response"])
        assert missing <= WHERE_ASKED_FOR, "the SDK knows fields that the sandbox does not have"
    for part in ("usage", "reasoning"):
        kind = next(each for each in get_args(Response.model_fields[part].annotation) if each)
        missing = set(kind.model_fields) - set(events[-1]["response"][part])
        assert missing <= WHERE_ASKED_FOR, part


async def test_what_is_repeated_is_whole(sandbox: Sandbox) -> None:
    form = {"type": "json_schema", "name": "x", "schema": {"type": "object"}}
    reasoning = {"effort": "low", "context": "all_turns", "mode": "standard"}
    fields = {"text": {"format": form}, "tools": TOOLS, "model": "gpt-5", "reasoning": reasoning}
    _, body = await post(sandbox, "hello", **fields)
    check_response(body)
    assert body["text"]["format"] == {**form, "description": None, "strict": False}
    assert body["reasoning"] == {**reasoning, "summary": None}
    sandbox.faults.add(Fault("error", "text", after=1, params={"code": "server_error"}))
    for event in await stream(sandbox, "hello", **fields):
        check_event(event)
