"""The API's own tools, as the built-in answers run them: every item and event fits the types."""

import base64
import json
from typing import Any

import pytest
from openai.types.responses import Response

from pipecat_responses.sandbox import Answer, HostedCall, Sandbox, SandboxConfig
from pipecat_responses.sandbox.arithmetic import result_of
from pipecat_responses.sandbox.composer import Composer, InputUsage

from .test_rules import answer, model_input
from .wire import (
    HTTP_EVENT,
    WEBSOCKET_EVENT,
    Event,
    connected,
    function_tool,
    needs_todays_sdk,
    post,
    stream,
    text_of,
    user,
)

MCP = {
    "type": "mcp",
    "server_label": "deepwiki",
    "server_url": "https://example.com/mcp",
    "allowed_tools": ["ask_question", "read_wiki"],
    "require_approval": "never",
}
GUARDED = {**MCP, "require_approval": {"never": {"tool_names": ["read_wiki"]}}}
PATIENCE_FREE = ("shell_call", "local_shell_call", "apply_patch_call", "computer_call")
TOOLS: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "web_search": (
        {"type": "web_search"},
        "Search the web for lighthouses.",
        ["web_search_call", "message"],
    ),
    "web_search_preview": (
        {"type": "web_search_preview"},
        "What's the latest about bells?",
        ["web_search_call", "message"],
    ),
    "file_search": (
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        "What do my documents say about fog?",
        ["file_search_call", "message"],
    ),
    "code_interpreter": (
        {"type": "code_interpreter", "container": {"type": "auto"}},
        "What is 12 * (3) + 4?",
        ["code_interpreter_call", "message"],
    ),
    "image_generation": (
        {"type": "image_generation", "size": "64x32", "partial_images": 2},
        "Draw a lighthouse.",
        ["image_generation_call", "message"],
    ),
    "mcp": (
        MCP,
        "Ask deepwiki a question about lamps.",
        ["mcp_list_tools", "mcp_call", "message"],
    ),
    "mcp with approval": (
        GUARDED,
        "Ask deepwiki a question about lamps.",
        ["mcp_list_tools", "mcp_approval_request"],
    ),
    "shell": (
        {"type": "shell", "environment": {"type": "local"}},
        "Run `ls -la` and `pwd` for me.",
        ["shell_call"],
    ),
    "local_shell": ({"type": "local_shell"}, "List the files, please.", ["local_shell_call"]),
    "apply_patch": (
        {"type": "apply_patch"},
        "Fix the bug in lib/fib.py.",
        ["apply_patch_call"],
    ),
    "computer": ({"type": "computer"}, "Look at the screen.", ["computer_call"]),
}
INCLUDE = [
    "web_search_call.action.sources",
    "file_search_call.results",
    "code_interpreter_call.outputs",
]


def items_of(events: list[Event]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = events[-1]["response"]["output"]
    return items


@pytest.mark.parametrize("name", TOOLS)
@needs_todays_sdk
async def test_tools_run_when_they_are_asked_for(sandbox: Sandbox, name: str) -> None:
    tool, prompt, expected = TOOLS[name]
    fields = {"tools": [tool], "include": INCLUDE}
    events = await stream(sandbox, prompt, **fields)
    for event in events:
        HTTP_EVENT.validate_python(event)
    assert [item["type"] for item in items_of(events)] == expected
    async with connected(sandbox) as wire:
        for event in await wire.ask(prompt, **fields):
            WEBSOCKET_EVENT.validate_python(event)
        # What was put out can be sent back; a call that the client runs, with its output.
        back = [item for item in items_of(events) if item["type"] not in PATIENCE_FREE]
        await wire.respond([user(prompt), *back, user("Thanks.")], tools=[tool])
        plain = await wire.respond("How are you?", tools=[tool])
        assert text_of(plain).startswith("You said")
        none = await wire.respond(prompt, tools=[tool], tool_choice="none")
        assert [item["type"] for item in none["output"]] == ["message"]
    status, body = await post(sandbox, prompt, **fields)
    assert status == 200
    Response.model_validate(body)


@pytest.mark.parametrize("name", TOOLS)
async def test_tools_run_when_they_are_demanded(sandbox: Sandbox, name: str) -> None:
    tool, _, expected = TOOLS[name]
    entry = {"type": tool["type"]}
    if tool["type"] == "mcp":
        entry["server_label"] = "deepwiki"
    tools = [function_tool("get_time"), tool]
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [entry]}
    async with connected(sandbox) as wire:
        for choice in (entry, allowed):
            response = await wire.respond("hello", tools=tools, tool_choice=choice)
            assert [item["type"] for item in response["output"]] == expected
        required = await wire.respond("hello", tools=[tool], tool_choice="required")
        assert [item["type"] for item in required["output"]] == expected
        choice = {**allowed, "mode": "auto"}
        auto = await wire.respond("hello", tools=tools, tool_choice=choice)
        left = [item["type"] for item in auto["output"] if item["type"] != "mcp_list_tools"]
        assert left == ["message"]


async def test_a_search_cites_what_it_found(sandbox: Sandbox) -> None:
    _, body = await post(
        sandbox, "Search the web for lighthouses.", tools=[{"type": "web_search"}], include=INCLUDE
    )
    search, message = body["output"]
    assert search["action"]["query"] == "lighthouses"
    (part,) = message["content"]
    urls = [note["url"] for note in part["annotations"]]
    assert urls == [source["url"] for source in search["action"]["sources"]]
    for note in part["annotations"]:
        cited = part["text"][note["start_index"] : note["end_index"]]
        assert note["url"] in cited


async def test_results_only_when_they_are_included(sandbox: Sandbox) -> None:
    for name, field in (("file_search", "results"), ("code_interpreter", "outputs")):
        tool, prompt, _ = TOOLS[name]
        _, without = await post(sandbox, prompt, tools=[tool])
        _, with_it = await post(sandbox, prompt, tools=[tool], include=INCLUDE)
        assert without["output"][0][field] is None
        assert with_it["output"][0][field]


async def test_code_gives_the_right_result(sandbox: Sandbox) -> None:
    tool, prompt, _ = TOOLS["code_interpreter"]
    events = await stream(sandbox, prompt, tools=[tool], include=INCLUDE)
    call = items_of(events)[0]
    kind = "response.code_interpreter_call_code"
    code = "".join(event["delta"] for event in events if event["type"] == f"{kind}.delta")
    assert code == call["code"] == "print(12 * (3) + 4)"
    assert call["outputs"] == [{"type": "logs", "logs": "40\n"}]
    assert "40" in text_of(events[-1]["response"])


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("1 + 2", "3"),
        ("7 / 2", "3.5"),
        ("2 ^ 10", "1024"),
        ("1 / 0", "undefined"),
        ("9 ^ 9 ^ 9", "undefined"),
        ("(1", "undefined"),
    ],
)
def test_results_of_calculations(expression: str, result: str) -> None:
    assert result_of(expression) == result


async def test_a_picture_is_one(sandbox: Sandbox) -> None:
    tool, prompt, _ = TOOLS["image_generation"]
    events = await stream(sandbox, prompt, tools=[tool])
    partial = [event for event in events if event["type"].endswith("partial_image")]
    assert [event["partial_image_index"] for event in partial] == [0, 1]
    picture = base64.b64decode(items_of(events)[0]["result"])
    assert picture.startswith(b"\x89PNG")
    assert (int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])) == (64, 32)


@pytest.mark.parametrize("approve", [True, False])
async def test_approvals(sandbox: Sandbox, approve: bool) -> None:
    prompt = TOOLS["mcp with approval"][1]
    async with connected(sandbox) as wire:
        first = await wire.respond(prompt, tools=[GUARDED], store=True)
        request = first["output"][-1]
        reply = {"type": "mcp_approval_response", "approval_request_id": request["id"]}
        second = await wire.respond(
            [{**reply, "approve": approve}], previous_response_id=first["id"], tools=[GUARDED]
        )
    Response.model_validate(second)
    if approve:
        call, message = second["output"]
        assert call["approval_request_id"] == request["id"]
        assert call["arguments"] == request["arguments"]
        assert call["output"] in message["content"][0]["text"]
    else:
        assert text_of(second) == "I did not call ask_question, as it was not allowed."


async def test_what_was_allowed_is_called_once_when_the_answer_breaks_off(sandbox: Sandbox) -> None:
    prompt = TOOLS["mcp with approval"][1]
    first = (await post(sandbox, prompt, tools=[GUARDED]))[1]["output"]
    allowed = {
        "type": "mcp_approval_response",
        "approval_request_id": first[-1]["id"],
        "approve": True,
    }
    asked = [{"role": "user", "content": prompt}, *first, allowed]
    call, message = (await post(sandbox, asked, tools=[GUARDED]))[1]["output"]
    text = message["content"][0]["text"]
    begun = [
        {"role": "assistant", "content": text[:20]},
        {"role": "developer", "content": "Continue."},
    ]
    _, body = await post(sandbox, [*asked, call, *begun], tools=[GUARDED])
    assert [item["type"] for item in body["output"]] == ["message"]
    assert text_of(body) == text[20:]


async def test_the_tool_of_a_server_can_be_demanded(sandbox: Sandbox) -> None:
    choice = {"type": "mcp", "server_label": "deepwiki", "name": "read_wiki"}
    _, body = await post(sandbox, "hello", tools=[GUARDED], tool_choice=choice)
    assert [item.get("name") for item in body["output"]] == [None, "read_wiki", None]


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            {
                "type": "shell_call_output",
                "output": [
                    {
                        "stdout": "a.txt\n",
                        "stderr": "",
                        "outcome": {"type": "exit", "exit_code": 0},
                    }
                ],
            },
            "The shell says a.txt.",
        ),
        (
            {"type": "apply_patch_call_output", "status": "completed", "output": "Done"},
            "The apply patch says Done.",
        ),
        (
            {"type": "computer_call_output", "output": {"type": "computer_screenshot"}},
            "The computer says here is the screen.",
        ),
    ],
)
def test_outputs_of_what_clients_run(output: dict[str, Any], said: str) -> None:
    kind = output["type"].removesuffix("_output")
    tools = [{"type": kind.removesuffix("_call")}]
    items = [user("Run it."), {"type": kind, "call_id": "1"}, {"call_id": "1", **output}]
    assert answer(items, tools=tools).text == said


async def test_what_is_found_in_the_form_that_was_asked_for(sandbox: Sandbox) -> None:
    schema = {
        "type": "object",
        "properties": {"result": {"type": "integer"}},
        "required": ["result"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "name": "n", "schema": schema, "strict": True}
    tool, prompt, _ = TOOLS["code_interpreter"]
    _, body = await post(sandbox, prompt, tools=[tool], text={"format": form})
    assert json.loads(text_of(body)) == {"result": 40}


def test_tools_take_their_time() -> None:
    def pauses(part: HostedCall) -> list[tuple[str, float]]:
        config = SandboxConfig(hosted_seconds=2.5)
        composer = Composer(model_input([user("x")]), InputUsage(1, 0), config)
        steps = composer.body(Answer((part,)))
        return [(step.event["type"], step.pause) for step in steps if step.pause]

    search = {"type": "web_search_call", "action": {"type": "search", "query": "bells"}}
    assert pauses(HostedCall(search)) == [("response.web_search_call.completed", 2.5)]
    assert pauses(HostedCall(search, seconds=0.5)) == [("response.web_search_call.completed", 0.5)]
    assert pauses(HostedCall(search, seconds=0.0)) == []
    unknown = {"type": "program", "code": "1"}
    assert pauses(HostedCall(unknown)) == [("response.output_item.done", 2.5)]


async def test_a_failed_call_says_so(sandbox: Sandbox) -> None:
    failed = {
        "type": "mcp_call",
        "server_label": "deepwiki",
        "name": "ask",
        "arguments": "{}",
        "status": "failed",
        "error": {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "no"}]},
    }
    sandbox.script(HostedCall(failed))
    kinds = [event["type"] for event in await stream(sandbox, "x")]
    assert "response.mcp_call.failed" in kinds
    assert "response.mcp_call.completed" not in kinds


@pytest.mark.parametrize(
    "tool",
    [
        *({"type": tool["type"]} for tool, _, _ in TOOLS.values()),
        {"type": "image_generation", "size": "big", "output_format": 3, "partial_images": "2"},
        {"type": "mcp", "allowed_tools": 3, "require_approval": 4},
        {"type": "code_interpreter", "container": 5},
        {"type": "tool_search"},
        {"type": "namespace", "name": "crm", "tools": 7},
        function_tool("odd", {"type": "object", "properties": {"a": True}, "required": ["a", "b"]}),
    ],
)
async def test_declarations_that_nobody_has_checked(sandbox: Sandbox, tool: dict[str, Any]) -> None:
    for choice in ("auto", "required"):
        status, _ = await post(sandbox, "Search, draw, run", tools=[tool], tool_choice=choice)
        assert status == 200
