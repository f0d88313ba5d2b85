"""Everything that can be made to go wrong goes wrong, at its moment, and only then."""

import asyncio
import base64
import json
from typing import Any, Literal

import aiohttp
import pytest
import websockets

from pipecat_responses.sandbox import Answer, Call, Fault, Sandbox
from pipecat_responses.sandbox.faults import Kind, Moment

from .wire import MODEL, TERMINAL, Event, Wire, connected, function_tool, post, stream, text_of

HEADERS = {"authorization": "Bearer x"}


async def closed(wire: Wire) -> list[Event]:
    """Read until the connection ends; returns what came before as parsed events."""
    events = []
    try:
        while True:
            events.append(await wire.event())
    except websockets.ConnectionClosed:
        return events


async def answers_pings(wire: Wire) -> bool:
    try:
        await asyncio.wait_for(await wire.socket.ping(), 0.2)
    except TimeoutError:
        return False
    return True


def deltas(events: list[Event]) -> list[str]:
    return [event["delta"] for event in events if event["type"].endswith("text.delta")]


class TestConnectionEnds:
    @pytest.mark.parametrize(
        ("moment", "after", "count"),
        [("request", 0, 0), ("created", 0, 2), ("text", 0, 2), ("text", 2, 6), ("terminal", 0, 10)],
    )
    @pytest.mark.parametrize("kind", ["close", "reset"])
    async def test_at_every_moment(
        self, sandbox: Sandbox, kind: Kind, moment: Moment, after: int, count: int
    ) -> None:
        sandbox.script("one two three")
        params = {"code": 1012, "reason": "restart"} if kind == "close" else {}
        sandbox.faults.add(Fault(kind, moment, after=after, params=params))
        async with connected(sandbox) as wire:
            await wire.create("x")
            events = await closed(wire)
            assert len(events) == count
            if kind == "close":
                assert (wire.socket.close_code, wire.socket.close_reason) == (1012, "restart")
            else:
                assert wire.socket.close_code == 1006
        assert sandbox.requests[0].outcome == f"fault:{kind}"
        assert len(sandbox.faults) == 0
        async with connected(sandbox) as wire:
            await wire.respond("works again")

    async def test_in_a_call(self, sandbox: Sandbox) -> None:
        sandbox.script(Answer((Call("f", {"a": "x" * 40}),)))
        sandbox.faults.add(Fault("close", "call", after=2))
        async with connected(sandbox) as wire:
            await wire.create("x")
            events = await closed(wire)
        assert [event["type"] for event in events][2:] == [
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.delta",
        ]

    @pytest.mark.parametrize("kind", ["close", "reset"])
    async def test_when_idle(self, sandbox: Sandbox, kind: Kind) -> None:
        async with connected(sandbox) as wire:
            await wire.respond("x")
            sandbox.faults.add(Fault(kind, "idle"))
            assert await closed(wire) == []

    async def test_when_it_becomes_idle(self, sandbox: Sandbox) -> None:
        async with connected(sandbox) as wire:
            await wire.create("x")
            await wire.event()
            sandbox.faults.add(Fault("close", "idle", params={"code": 1001}))
            assert (await closed(wire))[-1]["type"] == "response.completed"
            assert wire.socket.close_code == 1001

    async def test_http_streams_end_without_terminal_event(self, sandbox: Sandbox) -> None:
        sandbox.script("one two three", "one two three")
        sandbox.faults.add(Fault("close", "text", after=2))
        assert [event["type"] for event in await stream(sandbox, "x")][-1].endswith("text.delta")
        sandbox.faults.add(Fault("reset", "text", after=2))
        with pytest.raises(aiohttp.ClientError):
            await stream(sandbox, "x")

    @pytest.mark.parametrize("kind", ["close", "reset"])
    async def test_http_requests_without_answer(self, sandbox: Sandbox, kind: Kind) -> None:
        sandbox.faults.add(Fault(kind, "request"))
        with pytest.raises(aiohttp.ClientError):
            await post(sandbox, "x")


class TestSilence:
    async def test_a_stalled_connection_answers_no_pings(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("stall", "text", after=1))
        async with connected(sandbox) as wire:
            assert await answers_pings(wire)
            await wire.create("x")
            for _ in range(5):
                await wire.event()
            assert not await answers_pings(wire)
            wire.socket.transport.abort()

    async def test_a_silent_response_leaves_the_connection_alive(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("silence", "request", stream_id="a"))
        async with connected(sandbox) as wire:
            await wire.create("x", stream_id="a")
            await wire.respond("y", stream_id="b")
            assert await answers_pings(wire)
            assert sandbox.requests[0].outcome == "fault:silence"

    async def test_an_idle_connection_can_stall(self, sandbox: Sandbox) -> None:
        async with connected(sandbox) as wire:
            await wire.respond("x")
            sandbox.faults.add(Fault("stall", "idle"))
            assert not await answers_pings(wire)
            wire.socket.transport.abort()

    async def test_a_delay_passes(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("delay", "created", params={"seconds": 0.01}))
        sandbox.faults.add(Fault("delay", "request", params={"seconds": 0.01}))
        async with connected(sandbox) as wire:
            await wire.respond("x")

    async def test_silence_over_http_ends_with_the_client(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("silence", "created"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream(sandbox, "x"), 0.1)
        assert (await post(sandbox, "x"))[0] == 200


class TestErrors:
    LIMIT = {  # noqa: RUF012
        "status": 429,
        "type": "rate_limit_error",
        "code": "rate_limit_exceeded",
        "message": "Slow down.",
        "headers": {"retry-after": "2"},
    }

    async def test_over_websocket(self, sandbox: Sandbox) -> None:
        async with connected(sandbox) as wire:
            first = await wire.respond("x", stream_id="a")
            sandbox.faults.add(Fault("error", params=self.LIMIT))
            event = await wire.refusal("y", stream_id="a", previous_response_id=first["id"])
            assert event == {
                "type": "error",
                "status": 429,
                "error": {
                    "type": "rate_limit_error",
                    "code": "rate_limit_exceeded",
                    "message": "Slow down.",
                    "param": None,
                    "headers": {"retry-after": "2"},
                },
                "stream_id": "a",
            }
            event = await wire.refusal("y", stream_id="a", previous_response_id=first["id"])
            assert event["error"]["code"] == "previous_response_not_found"

    async def test_over_http(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("error", params=self.LIMIT))
        async with (
            aiohttp.ClientSession(headers=HEADERS) as session,
            session.post(f"{sandbox.base_url}/responses", json={}) as answer,
        ):
            assert answer.status == 429
            assert answer.headers["retry-after"] == "2"
            assert (await answer.json())["error"]["code"] == "rate_limit_exceeded"

    async def test_in_the_middle_of_a_stream(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(
            Fault("error", "text", after=2, times=2, params={"code": "server_error"})
        )
        recorded, failed = (await stream(sandbox, "x"))[-2:]
        async with connected(sandbox) as wire:
            nested = (await wire.ask("x"))[-1]
        assert recorded["type"] == nested["type"] == "error"
        assert recorded["error"] == nested["error"]
        assert nested["error"]["code"] == "server_error"
        assert recorded["sequence_number"] == nested["sequence_number"] == 6
        assert "status" not in recorded
        assert failed["type"] == "response.failed"
        assert failed["response"]["error"]["code"] == "server_error"
        assert nested["status"] == 500
        assert sandbox.requests[0].outcome == "error:server_error"

    async def test_in_the_middle_of_a_stream_as_documented(self, sandbox: Sandbox) -> None:
        sandbox.config.sse_errors = "flat"
        sandbox.faults.add(Fault("error", "text", after=2, params={"code": "server_error"}))
        flat = (await stream(sandbox, "x"))[-1]
        assert (flat["type"], flat["code"], flat["sequence_number"]) == ("error", "server_error", 6)

    async def test_in_the_middle_of_an_answer_without_a_stream(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("error", "text", after=2, params=self.LIMIT))
        body = {"model": MODEL, "input": "x"}
        async with (
            aiohttp.ClientSession(headers=HEADERS) as session,
            session.post(f"{sandbox.base_url}/responses", json=body) as answer,
        ):
            assert answer.status == 429
            assert answer.headers["retry-after"] == "2"
            error = (await answer.json())["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
        assert set(error) == {"message", "type", "param", "code"}

    async def test_a_failed_response_has_a_code_even_if_the_error_has_none(
        self, sandbox: Sandbox
    ) -> None:
        headers = {"retry-after": "2"}
        sandbox.faults.add(Fault("error", "text", params={"status": 400, "headers": headers}))
        recorded, failed = (await stream(sandbox, "x"))[-2:]
        assert (recorded["error"]["type"], recorded["error"]["code"]) == (
            "invalid_request_error",
            None,
        )
        assert recorded["error"]["headers"] == headers
        assert failed["response"]["error"] == {
            "code": "server_error",
            "message": recorded["error"]["message"],
        }

    async def test_shapes_and_omissions(self, sandbox: Sandbox) -> None:
        omit = ["code", "status", "sequence_number"]
        sandbox.faults.add(
            Fault("error", params={"shape": "flat", "message": "m"}),
            Fault("error", params={"omit": omit}),
            Fault("error", "text", params={"omit": omit, "shape": "flat", "param": "p"}),
        )
        async with connected(sandbox) as wire:
            assert await wire.refusal("x") == {
                "type": "error",
                "code": None,
                "message": "m",
                "param": None,
            }
            event = await wire.refusal("x")
            assert set(event) == {"type", "error"}
            assert set(event["error"]) == {"type", "message", "param"}
            assert set((await wire.ask("x"))[-1]) == {"type", "message", "param"}

    async def test_failed_incomplete_and_empty(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(
            Fault("failed", "text", after=2, params={"code": "server_error", "message": "Oh."}),
            Fault("incomplete", "text", after=2, params={"reason": "content_filter"}),
            Fault("empty", skip=2),
        )
        async with connected(sandbox) as wire:
            failed = (await wire.ask("x"))[-1]["response"]
            incomplete = (await wire.ask("x"))[-1]["response"]
            empty = (await wire.ask("x"))[-1]["response"]
        assert failed["error"] == {"code": "server_error", "message": "Oh."}
        assert failed["status"] == "failed"
        assert text_of(failed) == text_of(incomplete) == "You said:"
        assert incomplete["incomplete_details"] == {"reason": "content_filter"}
        assert (empty["status"], empty["output"]) == ("completed", [])

    @pytest.mark.parametrize("moment", ["request", "idle", "terminal"])
    async def test_forget(self, sandbox: Sandbox, moment: Moment) -> None:
        async with connected(sandbox) as wire:
            if moment == "terminal":
                sandbox.faults.add(Fault("forget", moment))
            first = await wire.respond("x")
            if moment != "terminal":
                sandbox.faults.add(Fault("forget", moment))
            event = await wire.refusal("y", previous_response_id=first["id"])
            assert event["error"]["code"] == "previous_response_not_found"


class TestOddities:
    @pytest.mark.parametrize(
        ("params", "expected"),
        [
            ({}, '{"type":"response.output_text.delta","del'),
            ({"data": '{"type": 7}'}, '{"type": 7}'),
            ({"base64": base64.b64encode(b"\x00\xff").decode(), "binary": True}, b"\x00\xff"),
        ],
    )
    async def test_garbage(self, sandbox: Sandbox, params: dict[str, Any], expected: Any) -> None:
        sandbox.faults.add(Fault("garbage", "request", params=params))
        async with connected(sandbox) as wire:
            await wire.create("x")
            assert await wire.socket.recv() == expected
            assert (await wire.until_terminal())[-1]["type"] == "response.completed"

    async def test_a_huge_frame(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("garbage", "idle", params={"size": 3_000_000}))
        async with connected(sandbox) as wire:
            await wire.create("x")
            await wire.until_terminal()
            frame = await wire.socket.recv()
        assert len(frame) == 3_000_000
        json.loads(frame)

    async def test_garbage_among_server_sent_events(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("garbage", "text", after=1))
        async with (
            aiohttp.ClientSession(headers=HEADERS) as session,
            session.post(
                f"{sandbox.base_url}/responses",
                json={"model": "gpt-4.1", "input": "x", "stream": True},
            ) as answer,
        ):
            text = await answer.text()
        assert 'data: {"type":"response.output_text.delta","del\n\n' in text
        assert "response.completed" in text

    async def test_unknown_and_misdirected_events(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("unknown_events", "text", after=1))
        sandbox.faults.add(Fault("wrong_stream_id", "text", after=1, params={"stream_id": "z"}))
        async with connected(sandbox) as wire:
            await wire.create("x", stream_id="a")
            events = [await wire.event() for _ in range(8)]
        assert [event["type"] for event in events[5:7]] == ["response.mood.changed", "keepalive"]
        assert events[7]["stream_id"] == "z"

    async def test_terminal_events(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(
            Fault("double_terminal", "terminal"), Fault("null_output", "terminal", skip=1)
        )
        async with connected(sandbox) as wire:
            events = [*await wire.ask("x"), await wire.event()]
            assert events[-1] == events[-2]
            last = (await wire.ask("x"))[-1]
            assert last["response"]["output"] is None
            sandbox.faults.add(Fault("no_terminal", "terminal"))
            await wire.create("x")
            await wire.create("y")
            kinds: list[str] = []
            while kinds.count("response.created") < 2:
                kinds.append((await wire.event())["type"])
        assert not set(kinds) & set(TERMINAL)

    async def test_a_delta_before_created(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("delta_before_created"))
        async with connected(sandbox) as wire:
            events = await wire.ask("x")
        assert [event["type"] for event in events][:2] == [
            "response.output_text.delta",
            "response.created",
        ]

    async def test_missing_fields(self, sandbox: Sandbox) -> None:
        names = ["usage", "sequence_number", "item_id", "tools"]
        sandbox.faults.add(Fault("missing_fields", params={"fields": names}))
        async with connected(sandbox) as wire:
            events = await wire.ask("x")
        assert not any(f'"{name}"' in json.dumps(events) for name in names)

    async def test_html_instead_of_json(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("http_html", params={"status": 502}))
        async with (
            aiohttp.ClientSession(headers=HEADERS) as session,
            session.post(f"{sandbox.base_url}/responses", json={}) as answer,
        ):
            assert (answer.status, answer.content_type) == (502, "text/html")
            assert "<h1>502</h1>" in await answer.text()


class TestHandshake:
    @pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
    async def test_status(self, sandbox: Sandbox, status: int) -> None:
        params = {"status": status, "headers": {"retry-after": "1"}}
        sandbox.faults.add(Fault("handshake_status", "handshake", params=params))
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with connected(sandbox):
                pass
        assert refused.value.response.status_code == status
        assert refused.value.response.headers["retry-after"] == "1"
        assert sandbox.handshakes[0].connection is None
        async with connected(sandbox) as wire:
            await wire.respond("x")

    async def test_html(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("http_html", "handshake", params={"status": 403}))
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with connected(sandbox):
                pass
        assert b"<html>" in refused.value.response.body

    async def test_reset(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("reset", "handshake"))
        with pytest.raises((websockets.InvalidMessage, OSError)):
            async with connected(sandbox):
                pass

    async def test_stall_and_delay(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("stall", "handshake"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), connected(sandbox):
                pass
        sandbox.faults.add(Fault("delay", "handshake", params={"seconds": 0.01}))
        async with connected(sandbox) as wire:
            await wire.respond("x")

    async def test_close_after_accept(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("close_after_accept", "handshake", params={"code": 1013}))
        async with connected(sandbox) as wire:
            assert await closed(wire) == []
            assert wire.socket.close_code == 1013


class TestMatching:
    async def test_times_skip_and_transport(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(
            Fault("error", transport="http", times=None),
            Fault("error", transport="websocket", skip=1, times=2),
        )
        async with connected(sandbox) as wire:
            kinds = [(await wire.ask("x"))[-1]["type"] for _ in range(4)]
        assert kinds == ["response.completed", "error", "error", "response.completed"]
        assert [(await post(sandbox, "x"))[0] for _ in range(2)] == [500, 500]
        sandbox.faults.clear()
        assert (await post(sandbox, "x"))[0] == 200

    async def test_two_that_end_a_response_need_two_responses(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("error"), Fault("error", params={"code": "second"}))
        async with connected(sandbox) as wire:
            assert (await wire.refusal("x"))["error"]["code"] is None
            assert (await wire.refusal("x"))["error"]["code"] == "second"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"kind": "explode"}, "Unknown kind"),
            ({"kind": "close", "moment": "noon"}, "Unknown moment"),
            ({"kind": "failed", "moment": "handshake"}, "cannot happen at 'handshake'"),
            ({"kind": "double_terminal", "moment": "text"}, "it can at: terminal"),
            ({"kind": "close", "after": 3}, "counts deltas"),
            ({"kind": "close", "params": {"seconds": 1}}, "takes no seconds"),
            ({"kind": "wrong_stream_id", "transport": "http"}, "needs a WebSocket"),
            ({"kind": "close", "moment": "idle", "transport": "http"}, "needs a WebSocket"),
            ({"kind": "http_html", "transport": "websocket"}, "use the moment 'handshake'"),
            ({"kind": "close", "transport": "carrier pigeon"}, "Unknown transport"),
        ],
    )
    def test_nonsense_is_refused(self, arguments: dict[str, Any], message: Any) -> None:
        with pytest.raises(ValueError, match=message):
            Fault(**arguments)


@pytest.mark.parametrize("policy", ["ignored", "rejected", "honoured"])
async def test_cancel(sandbox: Sandbox, policy: Literal["ignored", "rejected", "honoured"]) -> None:
    sandbox.config.cancel = policy
    sandbox.config.tokens_per_second = 100 if policy != "honoured" else 1
    async with connected(sandbox) as wire:
        await wire.create("count to 5", stream_id="a")
        created = await wire.event()
        message = {"type": "response.cancel", "response_id": created["response"]["id"]}
        await wire.send(message)
        events = [await wire.event()]
        while events[-1]["type"] not in TERMINAL[:3]:
            events.append(await wire.event())
    errors = [event for event in events if event["type"] == "error"]
    assert sandbox.messages == [message]
    assert len(errors) == (1 if policy == "rejected" else 0)
    if policy == "honoured":
        assert events[-1]["type"] == "response.incomplete"
        assert events[-1]["response"]["incomplete_details"] == {"reason": "cancelled"}
        assert sandbox.requests[0].outcome == "cancelled"
    else:
        assert events[-1]["type"] == "response.completed"


async def test_wrongly_typed_tools_do_not_disturb_other_lanes(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        await wire.create("x", stream_id="a", tools=[function_tool("f"), 3])
        await wire.respond("y", stream_id="b")
