"""Servers that say anything: the service survives them, and the next turn is answered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.retry import Backoff
from tests.faults.support import Talk, new_service, our_objects, our_tasks, short_probe

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "25"))
LIMITS = {
    "quiet_secs": 0.01,
    "begin_secs": 0.02,
    "stall_secs": 0.02,
    "terminal_secs": 0.02,
    "total_secs": 2.0,
    "attempts": 3,
    "backoff": Backoff(first=0.001, cap=0.002),
}
PROPER = "All is well that ends well."


# -- what servers say -----------------------------------------------------------------------------


def proper_events(number: int, text: str = PROPER) -> list[dict[str, Any]]:
    """A response as it should be."""
    response = {"id": f"resp_{number}", "object": "response", "model": "gpt-4.1", "output": []}
    message_id = f"msg_{number}"
    message = {
        "type": "message",
        "id": message_id,
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }
    at = {"item_id": message_id, "output_index": 0, "content_index": 0}
    middle = len(text) // 2
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    return [
        {"type": "response.created", "response": {**response, "status": "in_progress"}},
        {"type": "response.in_progress", "response": {**response, "status": "in_progress"}},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**message, "status": "in_progress", "content": []},
        },
        {"type": "response.output_text.delta", **at, "delta": text[:middle]},
        {"type": "response.output_text.delta", **at, "delta": text[middle:]},
        {"type": "response.output_text.done", **at, "text": text},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {
            "type": "response.completed",
            "response": {**response, "status": "completed", "output": [message], "usage": usage},
        },
    ]


CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "note",
    "arguments": '{"words": "x"}',
    "status": "completed",
}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "AAAA"}
OTHER_EVENTS: list[dict[str, Any]] = [
    {"type": "response.output_item.added", "output_index": 1, "item": {**CALL, "arguments": ""}},
    {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "delta": '{"wo'},
    {
        "type": "response.function_call_arguments.done",
        "item_id": "fc_1",
        "arguments": CALL["arguments"],
    },
    {"type": "response.output_item.done", "output_index": 1, "item": CALL},
    {"type": "response.output_item.added", "output_index": 0, "item": REASONING},
    {"type": "response.reasoning_summary_text.delta", "item_id": "rs_1", "delta": "Hm."},
    {"type": "response.output_item.done", "output_index": 0, "item": REASONING},
    {"type": "response.refusal.delta", "item_id": "msg_1", "delta": "No."},
    {"type": "response.refusal.done", "item_id": "msg_1", "refusal": "No."},
    {"type": "response.queued", "response": {"id": "resp_q"}},
    {"type": "response.compaction.done", "item": {"type": "compaction", "id": "cmp_1"}},
    {"type": "response.web_search_call.searching", "item_id": "ws_1"},
    {
        "type": "response.failed",
        "response": {"id": "resp_f", "error": {"code": "server_error", "message": "Oh."}},
    },
    {
        "type": "response.incomplete",
        "response": {"id": "resp_i", "incomplete_details": {"reason": "max_output_tokens"}},
    },
    {"type": "error", "status": 500, "error": {"type": "server_error", "message": "Oh."}},
    {"type": "error", "code": "server_error", "message": "Oh.", "param": None},
    {"type": "error", "status": 400, "error": {"code": "previous_response_not_found"}},
    {"type": "error", "status": 400, "error": {"code": "websocket_connection_limit_reached"}},
    {"type": "error", "status": 400, "error": {"code": "websocket_stream_limit_reached"}},
    {"type": "error", "status": 400, "error": {"param": "input", "message": "An image."}},
    {"type": "error", "status": 429, "error": {"headers": {"retry-after": "0.001"}}},
    {"type": "keepalive"},
    {"error": {"message": "no type"}},
]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(["completed", "message", "function_call", "resp_1", "msg_1", "\x00", "\ud800"]),
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, each in inner:
        found.append((*path, key))
        if isinstance(each, (dict, list)):
            found += _places(each, (*path, key))
    return found


@st.composite
def events(draw: Any) -> dict[str, Any]:
    """A valid event, or one with a field missing, wrong, or one too many."""
    chosen = draw(st.sampled_from(proper_events(1) + OTHER_EVENTS))
    event: dict[str, Any] = json.loads(json.dumps(chosen))
    for _ in range(draw(st.integers(0, 2))):
        places = _places(event)
        if not places:
            break
        *path, last = draw(st.sampled_from(places))
        place = event
        for key in path:
            place = place[key]
        if draw(st.booleans()):
            del place[last]
        else:
            place[last] = draw(anything)
    if draw(st.integers(0, 5)) == 0:
        event["stream_id"] = draw(st.sampled_from(["", "lane-1", "lane-2", "nobody", None, 5]))
    return event


@dataclass
class Message:
    """Something a server sends: an event, or bytes."""

    event: dict[str, Any] | None = None
    data: bytes = b""
    binary: bool = False


garbage = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")),
    anything.map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"", b"{", b"[" * 2000, b'{"type":', b"\xff\xfe", b"data: x", b"null", b"0"]),
    events().flatmap(
        lambda event: st.integers(0, 60).map(lambda cut: json.dumps(event).encode()[: -cut or None])
    ),
)
messages = st.one_of(
    events().map(lambda event: Message(event)),
    events().map(lambda event: Message(event)),
    st.builds(Message, data=garbage, binary=st.booleans()),
)
ENDS = ["stay", "close", "abort", "go on"]


@dataclass
class Plan:
    """What one request is answered with.

    Attributes:
        messages: What is sent.
        end: What comes then: nothing, a close, a reset, or a proper answer.
        status: The HTTP status.
        content_type: The HTTP answer's type.
    """

    messages: list[Message] = field(default_factory=list)
    end: str = "go on"
    status: int = 200
    content_type: str = "text/event-stream"


@st.composite
def plans(draw: Any) -> Plan:
    proper = [Message(event) for event in proper_events(1)]
    kind = draw(st.integers(0, 2))
    if kind == 0:
        chosen = draw(st.lists(messages, max_size=10))
    elif kind == 1:
        # A proper answer with something in it, or missing from it.
        chosen = proper
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, len(chosen)))
            chosen = chosen[:at] + draw(st.lists(messages, max_size=2)) + chosen[at:]
            drop = draw(st.integers(0, 2 * len(chosen)))
            chosen = chosen[:drop] + chosen[drop + 1 :]
    else:
        chosen = draw(st.permutations(proper))
    return Plan(
        chosen,
        draw(st.sampled_from(ENDS)),
        draw(st.sampled_from([200] * 8 + [204, 302, 400, 418, 429, 500, 502, 599])),
        draw(st.sampled_from(["text/event-stream"] * 8 + ["text/html", "application/json", ""])),
    )


# -- the servers ----------------------------------------------------------------------------------


class Wild:
    """A server that follows plans, and answers properly when there are none.

    Attributes:
        plans: What the next requests are answered with.
        requests: How many there have been.
    """

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.requests = 0
        self.base_url = self.ws_url = ""

    def next_plan(self) -> tuple[Plan, int]:
        self.requests += 1
        return (self.plans.pop(0) if self.plans else Plan()), self.requests


class WildWebSocket(Wild):
    """Over WebSocket, with lanes."""

    async def start(self) -> None:
        self._server: Server = await serve(self._connected, "127.0.0.1", 0, compression=None)
        port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.ws_url = f"ws://127.0.0.1:{port}/v1/responses"

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _connected(self, websocket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for data in websocket:
                body = json.loads(data)
                if body.get("type") == "response.create":
                    await self._answer(websocket, body.get("stream_id"))

    async def _answer(self, websocket: ServerConnection, lane: str | None) -> None:
        plan, number = self.next_plan()
        for message in plan.messages:
            if message.event is not None:
                own = {"stream_id": lane} if lane is not None else {}
                await websocket.send(json.dumps({**own, **message.event}))
            elif message.binary:
                await websocket.send(message.data)
            else:
                await websocket.send(message.data, text=True)
        if plan.end == "close":
            await websocket.close()
        elif plan.end == "abort":
            websocket.transport.abort()
        elif plan.end == "go on":
            for event in proper_events(1000 + number):
                own = {"stream_id": lane} if lane is not None else {}
                await websocket.send(json.dumps({**event, **own}))


class WildHttp(Wild):
    """Over HTTP, with server-sent events."""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.ws_url = f"ws://127.0.0.1:{port}/v1/responses"

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            await reader.readexactly(length)
            await self._answer(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plan, number = self.next_plan()
        writer.write(
            f"HTTP/1.1 {plan.status} X\r\ncontent-type: {plan.content_type}\r\n"
            "x-request-id: req_1\r\nconnection: close\r\n\r\n".encode()
        )
        for message in plan.messages:
            if message.event is not None:
                name = str(message.event.get("type")).encode("utf-8", "replace")
                data = json.dumps(message.event).encode()
                writer.write(b"event: " + name.replace(b"\n", b"") + b"\ndata: " + data + b"\n\n")
            else:
                writer.write(message.data if message.binary else b"data: " + message.data + b"\n\n")
        if plan.end == "go on":
            for event in proper_events(1000 + number):
                writer.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        await writer.drain()
        if plan.end == "stay":
            await reader.read()
        elif plan.end == "abort":
            writer.transport.abort()


# -- the property ---------------------------------------------------------------------------------


class Range:
    """One service and one wild server, for many examples."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.runner = asyncio.Runner()
        self.complaints: list[Any] = []
        self.runner.run(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.server = WildHttp() if self.transport == "http" else WildWebSocket()
        await self.server.start()
        self.talk = Talk(
            new_service(self.server, self.transport, limits=LIMITS, max_message_bytes=100_000),
            tools=True,
        )
        await self.talk.__aenter__()

    def close(self) -> None:
        self.runner.run(self._close())
        self.runner.close()

    async def _close(self) -> None:
        await self.talk.end()
        assert our_tasks() == []
        await self.server.stop()

    async def example(self, planned: list[Plan]) -> None:
        """A turn with a server out of its mind, and one with a server in its right mind."""
        talk = self.talk
        self.server.plans = list(planned)
        await self._turn("first", reports=1)
        self.server.plans.clear()
        await talk.llm.set_usable(True)
        heard = await self._turn("second", reports=0)
        assert heard == PROPER
        assert self.complaints == []
        talk.forget()

    async def _turn(self, text: str, *, reports: int) -> str:
        talk = self.talk
        before, calls = talk.ends, len(talk.toolbox.runs)
        heard = await talk.round(text)
        talk.check_frames()
        if len(talk.toolbox.runs) > calls:
            # Each answer to a result is a turn of its own.
            reports *= talk.ends - before
        assert len(heard.errors) <= reports
        for error in heard.errors:
            assert isinstance(error.exception, ResponsesError), repr(error.exception)
        return heard.text


@pytest.fixture
def ranges() -> Iterator[list[Range]]:
    opened: list[Range] = []
    with short_probe(0.02):
        yield opened
        for each in opened:
            each.close()


@pytest.mark.parametrize("transport", ["websocket", "http"])
@pytest.mark.timeout(0 if EXAMPLES > 1000 else 120)
def test_a_server_that_says_anything(transport: str, ranges: list[Range]) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    )
    @given(st.lists(plans(), min_size=1, max_size=2))
    def anything_goes(planned: list[Plan]) -> None:
        if not ranges:
            ranges.append(Range(transport))
        try:
            ranges[0].runner.run(ranges[0].example(planned))
        except BaseException:
            broken = ranges.pop()
            with contextlib.suppress(BaseException):
                broken.close()
            raise

    before = our_objects()
    anything_goes()
    # Bounded: neither what a server sends nor how often it does so adds up.
    assert our_objects() - before < 1000
