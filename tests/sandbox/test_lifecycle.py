"""Starting, stopping, and the controls over HTTP."""

import asyncio
import gc
from typing import Any

import aiohttp
import pytest
import websockets

from pipecat_responses.sandbox import Answer, Fault, ModelInput, Sandbox, SandboxConfig

from .wire import connected, post, stream, text_of


async def test_restart_on_the_same_port(sandbox: Sandbox) -> None:
    port = sandbox.port
    async with connected(sandbox) as wire:
        await wire.respond("x")
        await sandbox.stop()
        with pytest.raises(websockets.ConnectionClosed):
            await wire.event()
        with pytest.raises(OSError, match=r"."):
            async with connected(sandbox):
                pass
    await sandbox.start()
    assert sandbox.port == port
    async with connected(sandbox) as wire:
        await wire.respond("y")
    assert sandbox.connections_opened == 2


async def test_nothing_is_left_running() -> None:
    before = asyncio.all_tasks()
    sandbox = Sandbox()
    await sandbox.start()
    sandbox.faults.add(
        Fault("silence", "text", after=1, times=None, stream_id="a"),
        Fault("stall", "created", stream_id="b", skip=1),
    )
    held = asyncio.create_task(stream(sandbox, "count to 5000", stream=True))
    sandbox.config.tokens_per_second = 50
    async with connected(sandbox) as one, connected(sandbox) as two, connected(sandbox) as three:
        await one.create("x", stream_id="a")
        await one.create("queued", stream_id="a")
        await two.create("x", stream_id="b")
        await three.create("x", stream_id="b")
        await one.event()
        await three.event()
        assert sandbox.connections == 3
        await asyncio.wait_for(sandbox.stop(), 2)
        assert sandbox.connections == 0
    with pytest.raises(aiohttp.ClientError):
        await held
    assert all(record.outcome is not None for record in sandbox.requests)
    gc.collect()
    for task in asyncio.all_tasks() - before:
        await asyncio.wait([task], timeout=1)
    assert asyncio.all_tasks() - before == set()


async def test_start_and_stop_twice() -> None:
    sandbox = Sandbox()
    await sandbox.stop()
    await sandbox.start()
    await sandbox.start()
    await sandbox.stop()
    await sandbox.stop()


async def test_a_port_that_is_taken(sandbox: Sandbox) -> None:
    with pytest.raises(OSError, match=r"."):
        await Sandbox(port=sandbox.port).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "example.org", "::"])
def test_only_loopback(host: str) -> None:
    with pytest.raises(ValueError, match="only listens on loopback"):
        Sandbox(host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_loopback(host: str) -> None:
    Sandbox(host=host)


async def test_a_client_that_leaves(sandbox: Sandbox) -> None:
    sandbox.config.tokens_per_second = 50
    async with connected(sandbox) as wire:
        await wire.create("count to 5000")
        await wire.event()
        wire.socket.transport.abort()
    async with asyncio.timeout(5):
        while sandbox.connections:
            await post(sandbox, "anything else")
    assert sandbox.requests[0].outcome == "dropped"


async def test_handshakes_are_recorded(sandbox: Sandbox) -> None:
    async with connected(sandbox, **{"OpenAI-Organization": "org-1"}) as wire:
        await wire.respond("x")
    (handshake,) = sandbox.handshakes
    assert handshake.headers["openai-organization"] == "org-1"
    assert handshake.headers["authorization"] == "Bearer ***1234"
    assert handshake.key_ok
    assert handshake.connection == 0
    assert sandbox.requests[0].headers["authorization"] == "Bearer ***1234"
    assert "sk-test" not in repr(sandbox.requests) + repr(sandbox.handshakes)


async def test_records(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        response = await wire.respond("x", stream_id="a", generate=True)
    (record,) = sandbox.requests
    assert record.transport == "websocket"
    assert record.stream_id == "a"
    assert record.response_id == response["id"]
    assert record.outcome == "completed"
    assert record.size > 60
    assert record.body["input"] == "x"
    assert "type" not in record.body
    await stream(sandbox, "y")
    assert sandbox.requests[1].transport == "http"
    assert sandbox.requests[1].connection == -1


class Http:
    def __init__(self, sandbox: Sandbox) -> None:
        self.base = sandbox.base_url.removesuffix("/v1")

    async def __call__(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.base + path, json=body) as answer,
        ):
            return answer.status, await answer.json()


async def test_control_state(sandbox: Sandbox) -> None:
    control = Http(sandbox)
    async with connected(sandbox) as wire:
        await wire.respond("x", stream_id="a")
        status, state = await control("GET", "/_sandbox")
    assert status == 200
    assert state["base_url"] == sandbox.base_url
    assert state["connections"] == state["connections_opened"] == 1
    assert state["config"]["lanes"] == "supported"
    assert state["requests"][0]["stream_id"] == "a"
    assert state["requests"][0]["outcome"] == "completed"


async def test_control_faults(sandbox: Sandbox) -> None:
    control = Http(sandbox)
    status, faults = await control("POST", "/_sandbox/faults", {"kind": "error", "times": 2})
    assert status == 200
    assert faults[0]["moment"] == "request"
    await control("POST", "/_sandbox/faults", [{"kind": "close"}, {"kind": "empty"}])
    assert len(sandbox.faults) == 3
    assert (await post(sandbox, "x"))[0] == 500
    assert await control("DELETE", "/_sandbox/faults") == (200, [])
    assert (await post(sandbox, "x"))[0] == 200
    for bad in (
        {"kind": "nope"},
        {"moment": "idle"},
        {"kind": "close", "when": 1},
        {"kind": "error", "params": {"status": "x"}},
        {"kind": "error", "params": {"status": 99}},
        {"kind": "delay", "moment": "text", "params": {"seconds": "x"}},
        3,
    ):
        status, body = await control("POST", "/_sandbox/faults", bad)
        assert status == 400
        assert body["error"]["message"]
    assert len(sandbox.faults) == 0


async def test_control_config(sandbox: Sandbox) -> None:
    control = Http(sandbox)
    changes = {"lanes": "rejected", "tokens_per_second": 900, "models": ["m"], "forks": "fail"}
    status, config = await control("PATCH", "/_sandbox/config", changes)
    assert status == 200
    assert sandbox.config.models == {"m"}
    assert (config["lanes"], config["tokens_per_second"]) == ("rejected", 900)
    wrong: tuple[object, ...] = (
        {"lanes": "some"},
        {"colour": "red"},
        {"responder": "x"},
        {"usage_details": 1},
        {"max_streams": "many"},
        {"models": "m"},
        {"time_to_first_token": -5},
        {"cache_step_tokens": 0},
        {"max_in_flight": 0},
        {"max_connection_age": -1},
        {"max_body": -1},
        {"websocket_status": 9999},
        {"lanes": "supported", "max_stored": -5},
        [],
    )
    for bad in wrong:
        assert (await control("PATCH", "/_sandbox/config", bad))[0] == 400
    assert sandbox.config.lanes == "rejected"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "config", b'{"time_to_first_token": NaN}'),
        ("POST", "script", b'"\\ud800"'),
        ("POST", "when", b'{"answers": ["\\ud800"]}'),
        ("POST", "script", b"[" * 100_000),
        ("POST", "scenario", b'{"answers": [{"say": "x", "pace": {"first": 1e400}}]}'),
    ],
)
async def test_controls_take_no_more_than_json(
    sandbox: Sandbox, method: str, path: str, body: bytes
) -> None:
    url = f"{sandbox.base_url.removesuffix('/v1')}/_sandbox/{path}"
    async with aiohttp.ClientSession() as session, session.request(method, url, data=body) as told:
        assert told.status == 400
    assert (await post(sandbox, "x"))[0] == 200


async def test_a_pace_of_0_is_none(sandbox: Sandbox) -> None:
    assert (await Http(sandbox)("PATCH", "/_sandbox/config", {"tokens_per_second": 0}))[0] == 200
    assert (await post(sandbox, "x"))[0] == 200


async def test_control_script(sandbox: Sandbox) -> None:
    control = Http(sandbox)
    answers = ["Hi.", {"parts": ["Yo.", {"type": "call", "name": "f", "arguments": {"a": 1}}]}]
    assert await control("POST", "/_sandbox/script", answers) == (200, {"scripted": 2})
    assert text_of((await post(sandbox, "x"))[1]) == "Hi."
    _, second = await post(sandbox, "x")
    assert second["output"][1]["arguments"] == '{"a": 1}'
    for bad in (4, {"parts": "x"}, {"speed": 1}, {"parts": [{"type": "song"}]}, {"parts": [1]}):
        assert (await control("POST", "/_sandbox/script", bad))[0] == 400


async def test_control_cut(sandbox: Sandbox) -> None:
    control = Http(sandbox)
    async with connected(sandbox) as one, connected(sandbox) as two:
        assert await control("POST", "/_sandbox/cut") == (200, {"cut": 2})
        for wire in (one, two):
            with pytest.raises(websockets.ConnectionClosed):
                await wire.event()


async def test_api_keys_do_not_show() -> None:
    async with Sandbox(SandboxConfig(api_keys={"sk-secret-9876"})) as sandbox:
        _, state = await Http(sandbox)("GET", "/_sandbox")
    assert state["config"]["api_keys"] == ["***9876"]


async def test_answers_of_one_part_and_paces_of_their_own(sandbox: Sandbox) -> None:
    sandbox.config.time_to_first_token = 60
    sandbox.script(Answer("Quick.", time_to_first_token=0, tokens_per_second=1e6))
    assert text_of((await post(sandbox, "x"))[1]) == "Quick."


async def test_a_responder_that_raises_does_not_leave_the_client_waiting(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(given: ModelInput) -> str:
        raise RuntimeError("a bug in a test")

    sandbox.config.responder = fail
    async with connected(sandbox) as wire:
        await wire.create("x")
        with pytest.raises(websockets.ConnectionClosed):
            await wire.event()
        assert wire.socket.close_code == 1011
    caplog.clear()


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("script", {"parts": [{"type": "text", "text": 5}]}, "text: Expected `str`"),
        ("script", {"parts": [{"type": "text"}]}, "A part of type 'text' needs its text"),
        ("script", {"parts": [{"type": ["text"]}]}, "Unknown part"),
        ("script", {"parts": "x"}, "The parts of an answer"),
        ("script", {"parts": ["x"], "failed": "no"}, "failed: Expected `object | null`"),
        ("script", {"parts": ["x"], "pace": 1}, "An answer has no 'pace'"),
        ("script", {"parts": ["x"], "tokens_per_second": -1}, "tokens_per_second: Expected"),
        ("script", {"parts": [{"type": "call", "name": "f", "arguments": 5}]}, "arguments: "),
        ("script", {"parts": [{"text": "x", "annotations": [{"index": "1"}]}]}, "The index of an"),
        ("script", {"parts": [{"text": "x", "annotations": [{"quote": "x"}]}]}, "needs its url"),
        ("script", {"parts": [{"type": "hosted", "item": {"type": "shell_call"}}]}, "Not a shell_"),
        ("script", {"parts": [{"type": "hosted", "item": {"type": "message"}}]}, "A message is no"),
        (
            "scenario",
            {"answers": [{"call": {"f": ["x"]}}]},
            "The arguments of a Call",
        ),
        ("when", {"text": "x", "answers": {"parts": [{"text": None}]}}, "text: Expected `str`"),
        ("faults", {"kind": "reset", "moment": "text", "after": "3"}, "after: Expected `int`"),
        ("faults", {"kind": "close", "params": {"code": 70_000}}, "code: Expected `int` <= 4999"),
        ("faults", {"kind": "error", "params": {"headers": {"a": "b\r\nc"}}}, "headers: Expected"),
        ("faults", {"kind": "garbage", "params": {"size": 10**12}}, "size: Expected `int`"),
        ("faults", {"kind": "garbage", "params": {"base64": "x"}}, "base64"),
    ],
)
async def test_what_cannot_be_given_is_refused_at_once(
    sandbox: Sandbox, path: str, body: Any, message: str
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sandbox.origin}/_sandbox/{path}", json=body) as answer,
    ):
        assert (answer.status, message in (await answer.json())["error"]["message"]) == (400, True)
    assert (await post(sandbox, "x"))[0] == 200


async def test_a_body_that_is_not_encoded_as_it_says(sandbox: Sandbox) -> None:
    headers = {"authorization": "Bearer k", "content-encoding": "gzip"}
    for path in ("/v1/responses", "/v1/responses/compact", "/_sandbox/when"):
        async with (
            aiohttp.ClientSession() as session,
            session.post(sandbox.origin + path, data=b"{}", headers=headers) as answer,
        ):
            assert answer.status == 400
            assert "not encoded" in (await answer.json())["error"]["message"]
