"""A diagnosis of a server, and servers that the sandbox does not play."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from pipecat_responses.doctor import Diagnosis, Verdict, diagnose
from pipecat_responses.sandbox import Answer, Sandbox
from pipecat_responses.sandbox.answers import ModelInput
from pipecat_responses.sandbox.rules import answer_by_rules

KEY = "sk-of-the-doctor-0001"


def unhurried(given: ModelInput) -> Answer:
    """Counts so slowly that it can be stopped; all else is said at once."""
    answer = answer_by_rules(given)
    counts = "count" in (given.last_user_text or "")
    return replace(answer, tokens_per_second=200.0) if counts else answer


async def examine(sandbox: Sandbox, **kwargs: Any) -> Diagnosis:
    """Examines a sandbox; nothing may be left of it."""
    sandbox.config.responder = unhurried
    options = {"ssl_context": sandbox.ssl_context, "timeout_secs": 5.0, **kwargs}
    before = asyncio.all_tasks()
    diagnosis = await diagnose(sandbox.base_url, options.pop("api_key", KEY), **options)
    assert our(asyncio.all_tasks() - before) == set()
    return diagnosis


def our(tasks: set[asyncio.Task[Any]]) -> set[str]:
    return {each.get_name() for each in tasks if each.get_name().startswith("pipecat-responses")}


def verdicts(diagnosis: Diagnosis, *but: str) -> dict[str, str]:
    """What came of each check, without those that simply work.

    Most models cannot be steered, so that this is skipped goes without saying.
    """
    return {
        each.name: each.verdict.value
        for each in diagnosis.checks
        if each.verdict is not Verdict.OK
        and each.name not in but
        and (each.name, each.verdict) != ("steering", Verdict.SKIPPED)
    }


def known(diagnosis: Diagnosis) -> dict[str, bool | None]:
    """The capabilities that are yes, no or not known."""
    return {
        name: value
        for name, value in diagnosis.capabilities.items()
        if value is None or isinstance(value, bool)
    }


def seen(diagnosis: Diagnosis, name: str) -> str:
    """What a check has seen, and its advice."""
    (found,) = [each for each in diagnosis.checks if each.name == name]
    return f"{found.seen} {found.advice}"


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def tcp_server(handle: Handler) -> AsyncIterator[str]:
    """A raw server; gives its base URL."""
    writers: list[asyncio.StreamWriter] = []

    async def kept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await handle(reader, writer)

    server = await asyncio.start_server(kept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


async def silent(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Accepts, and says nothing."""


def answering(head: str, body: str) -> Handler:
    """Answers every request in the same way."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        length = len(body.encode())
        writer.write(f"HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    return handle


@dataclass
class OddServer:
    """A server of WebSockets that behaves in ways the sandbox does not.

    Attributes:
        base_url: Its address; over HTTP there is nothing.
        drops_parent: ``previous_response_id`` is taken and not looked at.
        forgets_in_substance: It is taken, and the model has forgotten the words all the same.
        answers_anyway: ``generate`` is not looked at.
        prepares_nothing: What ``generate: false`` has prepared cannot be continued from.
        fork_moves: A fork takes the response from the lane that remembered it.
        connections: How many may be open at a time.
        usage: Whether tokens are told.
        cancel: ``stops`` ends the response, ``vanishes`` without a last event, ``drops`` the
            connection; ``late`` answers at once, so that nothing is left to be stopped, and
            ``objects`` says so.
        vague: Errors are words only.
        refuses: Fields that are refused.
        mute: Refusals of fields do not say of which.
    """

    base_url: str = ""
    drops_parent: bool = False
    forgets_in_substance: bool = False
    answers_anyway: bool = False
    prepares_nothing: bool = False
    fork_moves: bool = False
    connections: int = 100
    usage: bool = True
    cancel: str = "stops"
    vague: bool = False
    refuses: tuple[str, ...] = ()
    mute: bool = False
    open: int = 0
    sent: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def admit(self, connection: ServerConnection, _: Request) -> Response | None:
        if self.open >= self.connections:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "One at a time.\n")
        return None

    async def serve(self, connection: ServerConnection) -> None:
        self.open += 1
        memory: dict[str | None, tuple[str, list[str]]] = {}
        running: dict[str | None, asyncio.Task[None]] = {}
        try:
            async for message in connection:
                body = json.loads(message)
                if body["type"] == "response.cancel":
                    if self.cancel == "drops":
                        return
                    running[body.get("stream_id")].cancel()
                    if self.cancel == "objects":
                        objection = {"message": "It has ended.", "code": "not_running"}
                        await connection.send(json.dumps({"type": "error", "error": objection}))
                    continue
                lane = body.get("stream_id")
                self.bodies.append(body)
                running[lane] = asyncio.create_task(self._respond(connection, body, memory))
        finally:
            self.open -= 1
            for task in running.values():
                task.cancel()

    async def _respond(
        self,
        connection: ServerConnection,
        body: dict[str, Any],
        memory: dict[str | None, tuple[str, list[str]]],
    ) -> None:
        lane = body.get("stream_id")
        named = {} if lane is None else {"stream_id": lane}

        async def send(kind: str, **fields: Any) -> None:
            await connection.send(json.dumps({"type": kind, **fields, **named}))

        for name in self.refuses:
            if name in body:
                said: dict[str, Any] = {"message": f"Extra inputs are not permitted: {name}"}
                if self.mute:
                    said = {"message": "Bad request.", "status": 400}
                await send("error", error=said)
                return
        history: list[str] = []
        parent = body.get("previous_response_id")
        if parent is not None and not self.drops_parent:
            found = [each for each, latest in memory.items() if latest[0] == parent]
            if not found:
                error = {"message": f"Unknown previous_response_id {parent}."}
                if not self.vague:
                    error["code"] = "previous_response_not_found"
                await send("error", error=error)
                return
            history = memory[found[0]][1]
            if self.fork_moves and found[0] != lane:
                del memory[found[0]]
        text = body["input"][0]["content"]
        history = [*history, text]
        self.sent += 1
        response_id = f"resp_{self.sent}"
        await send("response.created", response={"id": response_id})
        usage = {"input_tokens": 10 * len(" ".join(history)), "output_tokens": 1, "total_tokens": 1}
        terminal = {"id": response_id, "usage": usage if self.usage else None}
        generates = body.get("generate") is not False or self.answers_anyway
        if generates and "count" in text:
            limit = min(body.get("max_output_tokens", 100), 100)
            for number in range(1, limit + 1):
                await send("response.output_text.delta", delta=f"{number} ")
                if limit == 100 and number == 3 and self.cancel not in ("late", "objects"):
                    try:
                        await asyncio.get_running_loop().create_future()
                    except asyncio.CancelledError:
                        if self.cancel == "vanishes":
                            return
                        memory[lane] = (response_id, history)
                        await send("response.completed", response=terminal)
                        return
            memory[lane] = (response_id, history)
            await send(
                "response.incomplete",
                response={**terminal, "incomplete_details": {"reason": "max_output_tokens"}},
            )
            return
        if generates:
            words = re.findall(r"word is (\w+)", " ".join(history))
            knows = "Which" in text and words and not self.forgets_in_substance
            await send("response.output_text.delta", delta=words[-1] if knows else "ok")
        if generates or not self.prepares_nothing:
            memory[lane] = (response_id, history)
        await send("response.completed", response=terminal)


@asynccontextmanager
async def odd_server(**switches: Any) -> AsyncIterator[OddServer]:
    """Runs such a server."""
    odd = OddServer(**switches)
    async with serve(odd.serve, "127.0.0.1", 0, process_request=odd.admit) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        odd.base_url = f"http://127.0.0.1:{port}/v1"
        yield odd


async def examine_odd(timeout_secs: float = 5.0, **switches: Any) -> Diagnosis:
    """Examines such a server."""
    async with odd_server(**switches) as odd:
        return await diagnose(odd.base_url, None, timeout_secs=timeout_secs)
