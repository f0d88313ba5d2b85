"""A plain client for the sandbox: what goes over the wire, and nothing clever."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import openai
import pytest
import websockets
from openai.types.responses import ResponsesServerEvent, ResponseStreamEvent
from pydantic import TypeAdapter
from websockets.asyncio.client import ClientConnection

from pipecat_responses.sandbox import Sandbox

WEBSOCKET_EVENT: TypeAdapter[ResponsesServerEvent] = TypeAdapter(ResponsesServerEvent)
HTTP_EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
TERMINAL = ("response.completed", "response.failed", "response.incomplete", "error")
MODEL = "gpt-4.1"
PATIENCE = 5.0

Event = dict[str, Any]

needs_todays_sdk = pytest.mark.skipif(
    tuple(map(int, openai.VERSION.split(".")[:2])) < (3, 16),
    reason="the SDK's types are older than the API that the sandbox plays",
)


class Wire:
    """One WebSocket to the sandbox."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, message: Any) -> None:
        await self.socket.send(message if isinstance(message, str) else json.dumps(message))

    async def create(self, input: object, **fields: Any) -> None:  # noqa: A002
        body = {"type": "response.create", "model": MODEL, "store": False, "input": input}
        await self.send({**body, **fields})

    async def event(self) -> Event:
        event: Event = json.loads(await asyncio.wait_for(self.socket.recv(), PATIENCE))
        return event

    async def until_terminal(self, stream_id: str | None = None) -> list[Event]:
        """Events of a lane up to its terminal event or error; those of others are left out."""
        events = []
        while True:
            event = await self.event()
            if event.get("stream_id") != stream_id:
                continue
            events.append(event)
            if event["type"] in TERMINAL:
                return events

    async def ask(self, input: object, **fields: Any) -> list[Event]:  # noqa: A002
        await self.create(input, **fields)
        return await self.until_terminal(fields.get("stream_id"))

    async def respond(self, input: object, **fields: Any) -> dict[str, Any]:  # noqa: A002
        """Ask, and return the response of an answer that must be completed."""
        last = (await self.ask(input, **fields))[-1]
        assert last["type"] == "response.completed", last
        response: dict[str, Any] = last["response"]
        return response

    async def refusal(self, input: object, **fields: Any) -> Event:  # noqa: A002
        """Ask, and return the error event of a request that must be refused."""
        events = await self.ask(input, **fields)
        assert [event["type"] for event in events] == ["error"], events
        return events[0]


@asynccontextmanager
async def connected(sandbox: Sandbox, **headers: str) -> AsyncIterator[Wire]:
    headers = {"authorization": "Bearer sk-test-1234", **headers}
    async with websockets.connect(
        sandbox.ws_url, additional_headers=headers, max_size=None, close_timeout=1
    ) as socket:
        yield Wire(socket)


async def post(sandbox: Sandbox, input: object, **fields: Any) -> tuple[int, Any]:  # noqa: A002
    """POST without streaming; returns the status and the body."""
    body = {"model": MODEL, "store": False, "input": input, **fields}
    headers = {"authorization": "Bearer sk-test-1234"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sandbox.base_url}/responses", json=body, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def stream(sandbox: Sandbox, input: object, **fields: Any) -> list[Event]:  # noqa: A002
    """POST with streaming; returns the events, each checked against its SSE name."""
    body = {"model": MODEL, "store": False, "stream": True, "input": input, **fields}
    headers = {"authorization": "Bearer sk-test-1234"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sandbox.base_url}/responses", json=body, headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        text = await answer.text()
    events = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n", 1)
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def text_of(response: dict[str, Any]) -> str:
    return "".join(
        part["text"]
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
        if part["type"] == "output_text"
    )


def user(text: object) -> dict[str, Any]:
    return {"role": "user", "content": text}


def function_tool(
    name: str, parameters: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    schema = parameters or {"type": "object", "properties": {}, "required": []}
    return {"type": "function", "name": name, "parameters": schema, **fields}
