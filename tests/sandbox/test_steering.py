"""``response.steer``: input while a response is running."""

from typing import Any

from pipecat_responses.sandbox import Answer, Call, Fault, Sandbox

from .wire import (
    WEBSOCKET_EVENT,
    Event,
    Wire,
    connected,
    function_tool,
    needs_todays_sdk,
    text_of,
    user,
)

MODEL = {"model": "gpt-6-sol"}

pytestmark = needs_todays_sdk


async def begin(wire: Wire, text: str = "count to 5000", **fields: Any) -> str:
    """Ask for something, and wait until it is running."""
    await wire.create(text, **{**MODEL, **fields})
    while (event := await wire.event())["type"] != "response.in_progress":
        pass
    response_id: str = event["response"]["id"]
    return response_id


async def steer(wire: Wire, response_id: str, text: object = "wait", **fields: Any) -> None:
    message = {"type": "response.steer", "previous_response_id": response_id, "input": text}
    await wire.send({**message, **fields})


async def kind(wire: Wire, *kinds: str) -> Event:
    while (event := await wire.event())["type"] not in kinds:
        pass
    if event.get("error", {}).get("code") != "invalid_input":  # that repeats the invalid input
        WEBSOCKET_EVENT.validate_python(event)
    return event


async def test_a_successor_continues_with_the_input(sandbox: Sandbox) -> None:
    sandbox.config.tokens_per_second = 200
    sandbox.script(Answer(("This is said to its end.", "This is not said any more.")))
    async with connected(sandbox) as wire:
        first = await begin(wire, stream_id="a")
        await steer(wire, first, [{**user("hello?"), "type": "message"}])
        accepted = await kind(wire, "response.steer.accepted")
        assert accepted["steer"]["previous_response_id"] == first
        assert accepted["stream_id"] == "a"
        ended = await kind(wire, "response.incomplete")
        assert ended["response"]["incomplete_details"] == {"reason": "steered"}
        # Nothing was cut in two.
        (said,) = ended["response"]["output"]
        assert said["content"][0]["text"] == "This is said to its end."
        created = await kind(wire, "response.created")
        assert created["response"]["previous_response_id"] == first
        done = await kind(wire, "response.completed")
        assert done["stream_id"] == "a"
        assert text_of(done["response"]).startswith('You said: "hello?".')
    history = sandbox.requests[1].history
    assert [item["role"] for item in history] == ["user", "assistant", "user"]


async def test_a_response_with_calls_completes_and_the_input_waits(sandbox: Sandbox) -> None:
    tools = [function_tool("f")]
    call = Call("f", {"text": "one two three " * 20}, "call_1")
    sandbox.script(Answer((call,), tokens_per_second=200))
    async with connected(sandbox) as wire:
        first = await begin(wire, tools=tools)
        await kind(wire, "response.function_call_arguments.delta")
        await steer(wire, first, "and be quick")
        await kind(wire, "response.steer.accepted")
        await kind(wire, "response.completed")
        pending = await kind(wire, "response.steer.pending")
        (stub,) = pending["required_input"]
        assert stub == {"type": "function_call_output", "call_id": "call_1", "name": "f"}
        await wire.respond([{**stub, "output": "4"}], previous_response_id=first, **MODEL)
    history = sandbox.requests[1].history
    assert [item.get("content") for item in history if item.get("role") == "user"] == [
        "count to 5000",
        "and be quick",
    ]


async def test_input_that_comes_in_the_last_item(sandbox: Sandbox) -> None:
    """The response completes, and has a successor all the same."""
    sandbox.script(Answer(("This is said to its end.",), tokens_per_second=100))
    async with connected(sandbox) as wire:
        first = await begin(wire)
        await kind(wire, "response.output_text.delta")
        await steer(wire, first)
        await kind(wire, "response.steer.accepted")
        ended = await kind(wire, "response.completed", "response.incomplete")
        assert ended["type"] == "response.completed"
        created = await kind(wire, "response.created")
        assert created["response"]["previous_response_id"] == first


async def test_a_successor_that_cannot_be(sandbox: Sandbox) -> None:
    sandbox.script(Answer(("This is said to its end.",), tokens_per_second=100))
    async with connected(sandbox) as wire:
        first = await begin(wire)
        await kind(wire, "response.output_text.delta")
        await steer(wire, first)
        accepted = await kind(wire, "response.steer.accepted")
        sandbox.faults.add(Fault("error", "request"))
        failed = await kind(wire, "response.steer.failed")
    assert failed["error"]["code"] == "successor_creation_failed"
    assert failed["steer"]["id"] == accepted["steer"]["id"]
    assert failed["steer"]["previous_response_id"] == first
    assert failed["steer"]["input"][0]["content"] == "wait"


async def test_failures(sandbox: Sandbox) -> None:
    sandbox.config.tokens_per_second = 200
    async with connected(sandbox) as wire:
        old = await begin(wire, model="gpt-4.1", stream_id="a")
        new = await begin(wire, stream_id="b")
        for target, text, fields, code in [
            (old, "x", {}, "steering_not_supported"),
            ("resp_none", "x", {}, "response_not_active"),
            (new, "", {}, "invalid_input"),
            (new, [{"role": "assistant", "content": "x"}], {}, "invalid_input"),
            (new, "x", {"stream_id": "b"}, "invalid_input"),
        ]:
            await steer(wire, target, text, **fields)
            failed = await kind(wire, "response.steer.failed")
            assert failed["error"]["code"] == code


async def test_a_server_that_does_not_know_it(sandbox: Sandbox) -> None:
    sandbox.config.steering = False
    async with connected(sandbox) as wire:
        await steer(wire, "resp_x")
        event = await wire.event()
    assert event["error"]["code"] == "invalid_value"
