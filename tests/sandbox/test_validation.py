"""What the real API refuses is refused, in the same words."""

import json
from typing import Any

import aiohttp
import pytest

from pipecat_responses.sandbox import Answer, Call, Sandbox, SandboxConfig

from .wire import MODEL, connected, function_tool, post, user

PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="
CALL = {"type": "function_call", "call_id": "call_1", "name": "get_time", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "12:30"}
SCHEMA_FORMAT = {"type": "json_schema", "name": "x y", "schema": {}}

FIELDS = [
    ({"stream": False}, "unsupported_parameter", "stream"),
    ({"background": True}, "unsupported_parameter", "background"),
    ({"max_tokens": 5}, "unknown_parameter", "max_tokens"),
    ({"messages": []}, "unknown_parameter", "messages"),
    ({"temperature": "hot"}, "invalid_type", "temperature"),
    ({"temperature": 2.5}, "decimal_above_max_value", "temperature"),
    ({"top_p": -1}, "decimal_below_min_value", "top_p"),
    ({"max_output_tokens": 5}, "integer_below_min_value", "max_output_tokens"),
    ({"max_output_tokens": 20.5}, "invalid_type", "max_output_tokens"),
    ({"store": "yes"}, "invalid_type", "store"),
    ({"instructions": []}, "invalid_type", "instructions"),
    ({"include": ["thoughts"]}, "invalid_value", "include[0]"),
    ({"metadata": {"a": 1}}, "invalid_type", "metadata.a"),
    ({"metadata": {str(n): "x" for n in range(17)}}, "object_above_max_properties", "metadata"),
    ({"metadata": {"k" * 65: "x"}}, "string_above_max_length", f"metadata.{'k' * 65}"),
    ({"metadata": {"k": "x" * 513}}, "string_above_max_length", "metadata.k"),
    ({"prompt_cache_key": "k" * 65}, "string_above_max_length", "prompt_cache_key"),
    ({"safety_identifier": "k" * 129}, "string_above_max_length", "safety_identifier"),
    ({"prompt_cache_options": {"ttl": "1h"}}, "invalid_value", "prompt_cache_options.ttl"),
    ({"stream_options": {"x": 1}}, "unknown_parameter", "stream_options.x"),
    ({"previous_response_id": "1"}, "invalid_value", "previous_response_id"),
    ({"text": {"format": None}}, "invalid_type", "text.format"),
    (
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
        "empty_array",
        "tool_choice.tools",
    ),
    ({"truncation": "some"}, "invalid_value", "truncation"),
    ({"service_tier": "gold"}, "invalid_value", "service_tier"),
    ({"tools": {}}, "invalid_type", "tools"),
    ({"tools": [{"name": "x"}]}, "missing_required_parameter", "tools[0].type"),
    ({"tools": [{"type": "hammer"}]}, "invalid_value", "tools[0].type"),
    (
        {"tools": [{"type": "function", "function": {"name": "x"}}]},
        "missing_required_parameter",
        "tools[0].name",
    ),
    ({"tools": [function_tool("two words")]}, "invalid_value", "tools[0].name"),
    ({"tools": [function_tool("n" * 65)]}, "string_above_max_length", "tools[0].name"),
    (
        {"tools": [function_tool("x", {"type": "string"})]},
        "invalid_function_parameters",
        "tools[0].parameters",
    ),
    (
        {"tools": [function_tool("x", strict=True)]},
        "invalid_function_parameters",
        "tools[0].parameters",
    ),
    ({"tool_choice": "maybe"}, "invalid_value", "tool_choice"),
    ({"tool_choice": "required"}, None, "tool_choice"),
    ({"tool_choice": {"type": "function", "name": "x"}}, None, "tool_choice"),
    ({"text": {"format": SCHEMA_FORMAT}}, "invalid_value", "text.format.name"),
    ({"text": {"verbosity": "max"}}, "invalid_value", "text.verbosity"),
    ({"reasoning": {"effort": "low"}}, "unsupported_parameter", "reasoning.effort"),
    ({"include": ["reasoning.encrypted_content"]}, None, "include"),
    ({"model": "gpt-5", "temperature": 0.3}, "unsupported_parameter", "temperature"),
    ({"model": "gpt-5", "reasoning": {"effort": "none"}}, "unsupported_value", "reasoning.effort"),
    ({"model": "gpt-5", "reasoning": {"effort": "much"}}, "invalid_value", "reasoning.effort"),
    ({"model": "gpt-17"}, "model_not_found", "model"),
    ({"model": None}, "missing_required_parameter", "model"),
    ({"model": 4}, "invalid_type", "model"),
    ({"generate": "no"}, "invalid_type", "generate"),
    ({"stream_id": ""}, "invalid_stream_id", "stream_id"),
    ({"stream_id": "a b"}, "invalid_stream_id", "stream_id"),
    ({"stream_id": "a" * 257}, "invalid_stream_id", "stream_id"),
    ({"stream_id": 7}, "invalid_type", "stream_id"),
    ({"conversation": "conv_1"}, None, None),
    ({"conversation": "x_1"}, "invalid_value", "conversation"),
    (
        {"conversation": "conv_1", "previous_response_id": "resp_1"},
        "mutually_exclusive_parameters",
        None,
    ),
]


def ids(table: Any) -> list[str]:
    return [json.dumps(row[0])[:60] for row in table]


@pytest.mark.parametrize(("fields", "code", "param"), FIELDS, ids=ids(FIELDS))
async def test_fields(sandbox: Sandbox, fields: Any, code: str, param: str | None) -> None:
    async with connected(sandbox) as wire:
        event = await wire.refusal("hello", **fields) if "stream_id" not in fields else None
        if event is None:
            await wire.create("hello", **fields)
            event = await wire.event()
    assert event["error"]["code"] == code
    assert event["error"]["param"] == param
    assert event["error"]["type"] == "invalid_request_error"
    assert event["status"] == (404 if code == "model_not_found" or code == param else 400)
    assert "stream_id" not in event
    assert sandbox.requests[0].outcome == f"refused:{code or 'invalid_request_error'}"
    assert sandbox.requests[0].history == []


INPUTS = [
    ([], "missing_required_parameter", "input"),
    ("", "missing_required_parameter", "input"),
    (None, "missing_required_parameter", "input"),
    (5, "invalid_type", "input"),
    (["hello"], "invalid_type", "input[0]"),
    ([{"role": "user"}], "missing_required_parameter", "input[0].content"),
    ([{"role": "user", "content": None}], "invalid_type", "input[0].content"),
    ([{"content": "x"}], "missing_required_parameter", "input[0].role"),
    ([{"role": "tool", "content": "x"}], "invalid_value", "input[0].role"),
    ([{"role": "user", "content": "x", "name": "Bo"}], "unknown_parameter", "input[0].name"),
    ([{"type": "tool_result"}], "invalid_value", "input[0]"),
    ([{"role": "user", "content": ["x"]}], "invalid_type", "input[0].content[0]"),
    (
        [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
        "invalid_value",
        "input[0].content[0]",
    ),
    (
        [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}],
        "invalid_value",
        "input[0].content[0]",
    ),
    (
        [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}],
        "invalid_value",
        "input[0].content[0]",
    ),
    (
        [{"role": "user", "content": [{"type": "input_text"}]}],
        "missing_required_parameter",
        "input[0].content[0].text",
    ),
    (
        [{"role": "user", "content": [{"type": "input_image"}]}],
        "missing_required_parameter",
        "input[0].content[0].image_url",
    ),
    (
        [{"role": "user", "content": [{"type": "input_image", "image_url": "picture.png"}]}],
        "invalid_image_url",
        "input[0].content[0].image_url",
    ),
    (
        [
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": "data:image/png;base64,@@"}],
            }
        ],
        "invalid_base64_image",
        "input[0].content[0].image_url",
    ),
    (
        [
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": "data:image/png;base64,aGk="}],
            }
        ],
        "invalid_image",
        "input[0].content[0].image_url",
    ),
    ([{**CALL, "id": "call_1"}, OUTPUT], "invalid_value", "input[0].id"),
    ([{**CALL, "arguments": {}}, OUTPUT], "invalid_type", "input[0].arguments"),
    ([{"type": "function_call", "call_id": "c"}], "missing_required_parameter", "input[0].name"),
    ([{**CALL, "call_id": ""}], "empty_string", "input[0].call_id"),
    ([{**CALL, "call_id": "c" * 65}], "string_above_max_length", "input[0].call_id"),
    ([{**CALL, "id": "fc_" + "1" * 62}], "string_above_max_length", "input[0].id"),
    ([{**CALL, "status": None}], "invalid_type", "input[0].status"),
    ([user("x" * 10_485_761)], "string_above_max_length", "input[0].content"),
    ([CALL, {**OUTPUT, "output": 12}], "invalid_type", "input[1].output"),
    ([CALL, {**OUTPUT, "content": "12"}], "unknown_parameter", "input[1].content"),
    (
        [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "made up"}],
        "invalid_encrypted_content",
        "input[0].encrypted_content",
    ),
]


@pytest.mark.parametrize(("items", "code", "param"), INPUTS, ids=ids(INPUTS))
async def test_inputs(sandbox: Sandbox, items: Any, code: str, param: str | None) -> None:
    fields = {"model": "gpt-5"} if code == "invalid_encrypted_content" else {}
    async with connected(sandbox) as wire:
        event = await wire.refusal(items, **fields)
    assert (event["error"]["code"], event["error"]["param"]) == (code, param)
    status, body = await post(sandbox, items, **fields)
    assert status == event["status"] == 400
    assert body["error"]["code"] == code
    assert body["error"]["message"] == event["error"]["message"]


ORDERS = [
    ([user("x"), CALL], "No tool output found for function call call_1."),
    ([user("x"), OUTPUT], "No tool call found for function call output with call_id call_1."),
    ([OUTPUT, CALL], "No tool call found for function call output with call_id call_1."),
    (
        [{**CALL, "id": "fc_1"}, {**CALL, "id": "fc_1"}, OUTPUT],
        "Duplicate item found with id fc_1. Remove duplicate items from your input and try again.",
    ),
    ([CALL, OUTPUT, OUTPUT], "Duplicate function call output with call_id call_1."),
    (
        [{"type": "custom_tool_call", "call_id": "call_2", "name": "sql", "input": "select 1"}],
        "No tool output found for custom tool call call_2.",
    ),
]


@pytest.mark.parametrize(("items", "message"), ORDERS, ids=[row[1] for row in ORDERS])
async def test_orders(sandbox: Sandbox, items: Any, message: Any) -> None:
    async with connected(sandbox) as wire:
        event = await wire.refusal(items)
    assert event["error"]["message"] == message
    assert event["error"]["param"] == "input"
    assert event["error"]["code"] is None


async def test_calls_are_bound_over_the_whole_history(sandbox: Sandbox) -> None:
    tools = [function_tool("get_time")]
    async with connected(sandbox) as wire:
        first = await wire.respond("what time is it?", tools=tools)
        call = first["output"][0]
        event = await wire.refusal(
            [user("well?")], tools=tools, stream_id="b", previous_response_id=first["id"]
        )
        assert event["error"]["message"] == (
            f"No tool output found for function call {call['call_id']}."
        )
        output = {**OUTPUT, "call_id": call["call_id"]}
        second = await wire.respond([output], tools=tools, previous_response_id=first["id"])
        again = await wire.refusal([output], tools=tools, previous_response_id=second["id"])
        assert again["error"]["message"].startswith("Duplicate function call output")


VALID = [
    [user("hi"), CALL, OUTPUT],
    [user("hi"), CALL, {**CALL, "call_id": "call_2"}, OUTPUT, {**OUTPUT, "call_id": "call_2"}],
    [{"role": "developer", "content": "x"}, {"role": "system", "content": "y"}, user("hi")],
    [
        user("hi"),
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "yes", "annotations": []}],
        },
        user("and?"),
    ],
    [{"role": "user", "content": [{"type": "input_image", "image_url": PNG, "detail": "auto"}]}],
    [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x.org/y.png"}]}],
    [
        {
            "role": "user",
            "content": [{"type": "input_file", "filename": "a.pdf", "file_data": "data:..."}],
        }
    ],
    [CALL, {**OUTPUT, "output": [{"type": "input_text", "text": "12:30"}]}],
]


@pytest.mark.parametrize("items", VALID, ids=lambda items: json.dumps(items)[:60])
async def test_valid_inputs(sandbox: Sandbox, items: Any) -> None:
    async with connected(sandbox) as wire:
        await wire.respond(items)
    assert sandbox.requests[0].history == items


class TestReasoningItems:
    FIELDS = {  # noqa: RUF012
        "model": "gpt-5",
        "reasoning": {"effort": "low"},
        "include": ["reasoning.encrypted_content"],
    }

    async def test_come_back_with_their_encrypted_content(self, sandbox: Sandbox) -> None:
        async with connected(sandbox) as wire:
            first = await wire.respond("hello", **self.FIELDS)
            again = [user("hello"), *first["output"], user("more")]
            second = await wire.respond(again, **self.FIELDS)
        assert second["status"] == "completed"

    async def test_without_it_they_are_not_found(self, sandbox: Sandbox) -> None:
        async with connected(sandbox) as wire:
            first = await wire.respond("hello", **self.FIELDS)
            reasoning, message = first["output"]
            del reasoning["encrypted_content"]
            event = await wire.refusal([user("hello"), reasoning, message], **self.FIELDS)
        assert event["status"] == 404
        assert event["error"]["message"].startswith(
            f"Item with id '{reasoning['id']}' not found. Items are not persisted when `store`"
        )

    async def test_need_the_item_that_they_led_to(self, sandbox: Sandbox) -> None:
        async with connected(sandbox) as wire:
            first = await wire.respond("hello", **self.FIELDS)
            reasoning = first["output"][0]
            for after in ([], [user("more")]):
                event = await wire.refusal([user("hello"), reasoning, *after], **self.FIELDS)
                assert event["error"]["message"] == (
                    f"Item '{reasoning['id']}' of type 'reasoning' was provided without its "
                    "required following item."
                )

    async def test_made_up_content_passes_when_it_is_not_verified(self, sandbox: Sandbox) -> None:
        sandbox.config.verify_encrypted_content = False
        item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
        async with connected(sandbox) as wire:
            await wire.respond(
                [user("a"), item, {"role": "assistant", "content": "b"}, user("c")], model="gpt-5"
            )


async def test_empty_input_with_a_parent_is_refused_too(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        first = await wire.respond("hello")
        event = await wire.refusal([], previous_response_id=first["id"])
    assert event["error"]["code"] == "empty_array"


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ("{not json", "invalid_json", None),
        ("[1, 2]", "invalid_type", "message"),
        ("{}", "missing_required_parameter", "type"),
        ('{"type": "session.update"}', "invalid_value", "type"),
    ],
)
async def test_messages_that_are_no_requests(
    sandbox: Sandbox, message: Any, code: str, param: str | None
) -> None:
    async with connected(sandbox) as wire:
        await wire.send(message)
        event = await wire.event()
        assert (event["error"]["code"], event["error"]["param"]) == (code, param)
        assert "stream_id" not in event
        await wire.respond("still works")
    assert len(sandbox.messages) == 1


async def test_errors_of_a_named_lane_carry_its_name(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        event = await wire.refusal("x", stream_id="lane.1", model="gpt-17")
    assert event["stream_id"] == "lane.1"


@pytest.mark.parametrize(
    ("headers", "code"),
    [({}, None), ({"authorization": "Bearer "}, None), ({"authorization": "Bearer no"}, "key")],
)
async def test_keys(headers: dict[str, str], code: str) -> None:
    async with (
        Sandbox(SandboxConfig(api_keys={"sk-good"})) as sandbox,
        aiohttp.ClientSession(headers=headers) as session,
    ):
        async with session.post(f"{sandbox.base_url}/responses", json={}) as answer:
            body = await answer.json()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(sandbox.ws_url)
        assert refused.value.status == answer.status == 401
        assert body["error"]["code"] == ("invalid_api_key" if code else None)
        assert answer.headers["x-request-id"].startswith("req_")
        assert refused.value.headers is not None
        assert refused.value.headers["x-request-id"].startswith("req_")
        assert not sandbox.handshakes[0].key_ok
        headers = {"authorization": "Bearer sk-good"}
        async with session.ws_connect(sandbox.ws_url, headers=headers):
            assert sandbox.handshakes[1].key_ok
            assert sandbox.handshakes[1].headers["authorization"] == "Bearer ***good"


async def test_http_paths(sandbox: Sandbox) -> None:
    headers = {"authorization": "Bearer x"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for method, path, status in [
            ("GET", "/nothing", 404),
            ("GET", "/responses", 405),
            ("PUT", "/responses", 405),
            ("GET", "/responses/resp_x", 404),
            ("DELETE", "/responses/resp_x", 404),
            ("GET", "/models", 200),
        ]:
            async with session.request(method, sandbox.base_url + path) as answer:
                body = await answer.json()
            assert answer.status == status, path
            assert "error" in body or status == 200
        async with session.post(f"{sandbox.base_url}/responses", data="{") as answer:
            assert (await answer.json())["error"]["code"] == "invalid_json"


async def test_requests_beyond_the_limit_of_size() -> None:
    async with Sandbox(SandboxConfig(max_body=4000, max_message=2000)) as sandbox:
        assert (await post(sandbox, "x" * 5000))[0] == 413
        assert (await post(sandbox, "x" * 3000))[0] == 200
        async with connected(sandbox) as wire:
            await wire.create("x" * 3000)
            await wire.socket.wait_closed()
            assert wire.socket.close_code == 1009


async def test_other_models_can_be_named() -> None:
    async with Sandbox(SandboxConfig(models={"local-llama"})) as sandbox:
        assert (await post(sandbox, "hi", model="local-llama"))[0] == 200
        assert (await post(sandbox, "hi", model=MODEL))[0] == 404


async def test_what_clients_in_the_field_send_over_websocket(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        body = {"stream": True, "background": False, "client_metadata": {"origin": "codex"}}
        first = await wire.respond("hello", **body)
        # A call that the server has put out may come back with its output, without its id.
        assert first["status"] == "completed"
        sandbox.script(Answer((Call("get_time", {}, "call_1"),)))
        called = await wire.respond("What time is it?", tools=[function_tool("get_time")])
        again = [CALL, OUTPUT]
        answered = await wire.respond(again, previous_response_id=called["id"])
        assert answered["status"] == "completed"


STRICT_CASES = [
    (
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        "In context=(), 'additionalProperties' is required to be supplied and to be false.",
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "required": ["a"],
            "additionalProperties": False,
        },
        "In context=(), 'required' is required to be supplied and to be an array including every "
        "key in properties. Missing 'b'.",
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "array", "items": {"type": "object"}}},
            "required": ["a"],
            "additionalProperties": False,
        },
        "In context=('properties', 'a', 'items'), 'additionalProperties' is required to be "
        "supplied and to be false.",
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
        "In context=(), 'required' is required to be supplied and to be an array including every "
        "key in properties. Extra required key 'b' supplied.",
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"oneOf": [{"type": "string"}]}},
            "required": ["a"],
            "additionalProperties": False,
        },
        "In context=('properties', 'a'), 'oneOf' is not permitted.",
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "string", "format": "uri"}},
            "required": ["a"],
            "additionalProperties": False,
        },
        "In context=('properties', 'a'), 'uri' is not a valid format.",
    ),
]


async def test_a_strict_form_is_an_object(sandbox: Sandbox) -> None:
    form = {"type": "json_schema", "name": "x", "schema": {"anyOf": []}, "strict": True}
    async with connected(sandbox) as wire:
        refused = (await wire.refusal("hi", text={"format": form}))["error"]
    assert refused["message"].endswith("of 'type: \"object\"', got 'type: \"None\"'.")


@pytest.mark.parametrize(("schema", "problem"), STRICT_CASES)
async def test_strict_schemas(sandbox: Sandbox, schema: Any, problem: str) -> None:
    tool = {"type": "function", "name": "f", "parameters": schema, "strict": True}
    form = {"type": "json_schema", "name": "x", "schema": schema, "strict": True}
    async with connected(sandbox) as wire:
        refused = (await wire.refusal("hi", tools=[tool]))["error"]
        assert refused["message"] == f"Invalid schema for function 'f': {problem}"
        assert refused["code"] == "invalid_function_parameters"
        assert refused["param"] == "tools[0].parameters"
        refused = (await wire.refusal("hi", text={"format": form}))["error"]
        assert refused["message"] == f"Invalid schema for response_format 'x': {problem}"
        assert (refused["code"], refused["param"]) == ("invalid_json_schema", "text.format.schema")
        # Without that wish, anything goes.
        await wire.respond("hi", tools=[{**tool, "strict": False}])
        await wire.respond("hi", text={"format": {**form, "strict": False}})


async def test_json_has_to_be_asked_for(sandbox: Sandbox) -> None:
    text = {"format": {"type": "json_object"}}
    async with connected(sandbox) as wire:
        refused = (await wire.refusal("hi", text=text))["error"]
        assert "must contain the word 'json'" in refused["message"]
        await wire.respond("hi, in JSON", text=text)
        await wire.respond("hi", text=text, instructions="Answer in JSON.")
