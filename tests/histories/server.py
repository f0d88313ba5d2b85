"""A server whose every byte is scripted: WebSocket and server-sent events on one port.

It shares no code with the client nor with the package's own sandbox. Each request is answered by
the next script; when there are none left, by a proper answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine
from typing import Any, Self

from tests.histories.meaning import Wire, said
from tests.histories.memory import Memory
from tests.histories.steps import (
    Answer,
    Asked,
    Body,
    Close,
    Cut,
    Elapse,
    Head,
    KeepAlive,
    Raw,
    Reset,
    Script,
    Send,
    Silence,
    Step,
    Wait,
    error,
    proper,
)
from tests.histories.wires import AnyWire, HttpWire, WebSocketWire, read_head

PROPER = "All is well that ends well."


class ScriptedServer:
    """Use it as an async context manager.

    Attributes:
        answers: What the next requests are answered with.
        fallback: What those are answered with for which there is no answer.
        judge: Looks at every request first; an answer from it takes the script's place.
        on_cancel: What is sent when the client asks for a response to be stopped.
        handshakes: Bytes that the next connections are answered with instead of a handshake, and
            then ended; an empty one ends them at once. After the last comes proper service.
        admission: A gate at which handshakes wait, if any.
        greeting: Steps that every accepted WebSocket begins with.
        pongs: Whether pings are answered.
        lanes: Whether it knows ``stream_id``. If not, it ignores it, and answers one request after
            the other.
        requests: What has been asked (``generate: false`` included).
        failures: What went wrong with scripts: a fault of the test.
        cancels: How often it was asked to stop a response.
        steers: What it was given while it answered; each opens the gate ``steered``.
        refused: How many requests named a parent that it does not know.
        opened: Connections so far.
        open: Connections now.
    """

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.fallback: Answer = proper(said(PROPER))
        self.judge: Callable[[Asked], Answer | None] = lambda _: None
        self.on_cancel: list[Step] = []
        self.on_request: Callable[[Asked], None] = lambda _: None
        self.failures: list[str] = []
        self.handshakes: deque[bytes] = deque()
        self.admission: str | None = None
        self.greeting: list[Step] = []
        self.pongs = self.lanes = True
        self.requests: list[Asked] = []
        self.steers: list[Wire] = []
        self.cancels = self.refused = self.opened = self.open = 0
        self._gates: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/responses"

    @property
    def asked(self) -> list[Asked]:
        """The requests that were to be answered."""
        return [each for each in self.requests if each.body.get("generate") is not False]

    def opens(self, gate: str) -> None:
        """Opens a gate that steps wait at."""
        self._gates[gate].set()

    def cut(self) -> None:
        """Ends all connections without a word."""
        for writer in self._writers:
            writer.transport.abort()

    def forget(self) -> None:
        """Starts the records and scripts afresh; connections and memory stay."""
        self.answers.clear()
        self.requests.clear()
        self._gates.clear()
        self.cancels = self.refused = self.opened = 0

    async def until(self, condition: Callable[[], bool], within: float = 3.0) -> None:
        """Waits until something is so of this server.

        Raises:
            TimeoutError: If it does not become so in time.
        """
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(condition)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # -- connections --------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.opened += 1
        self.open += 1
        try:
            await self._tell()
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._serve(reader, writer, self.opened)
        except asyncio.CancelledError:
            # Asyncio would log it as an error of this callback.
            pass
        finally:
            self.open -= 1
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()
        await self._tell()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        while True:
            head = await read_head(reader)
            if "upgrade" not in head.headers.get("connection", "").lower():
                if not await self._serve_http(reader, writer, head.headers, number):
                    return
                continue
            if self.handshakes:
                writer.write(self.handshakes.popleft())
                await writer.drain()
                # A refusal leaves the connection to the client.
                await reader.read()
                return
            await self._serve_websocket(WebSocketWire(reader, writer, head, self.pongs), number)
            return

    async def _serve_websocket(self, wire: WebSocketWire, number: int) -> None:
        memory, turn = Memory(), asyncio.Lock()
        playing: set[asyncio.Task[None]] = set()
        if self.admission is not None:
            await self._gates[self.admission].wait()
        wire.accept()
        try:
            await self._play(self.greeting, wire, None)
            async for text in wire.messages():
                body = json.loads(text)
                if body.get("type") == "response.cancel":
                    self.cancels += 1
                    await self._play(self.on_cancel, wire, None)
                    await self._tell()
                    continue
                if body.get("type") == "response.steer":
                    self.steers.append(body)
                    self.opens("steered")
                    continue
                asked = self._note("websocket", number, body, wire.headers)
                answer = self._answer(asked, wire, memory)
                task = asyncio.create_task(answer if self.lanes else _in_line(turn, answer))
                playing.add(task)
                task.add_done_callback(playing.discard)
        finally:
            for task in playing:
                task.cancel()
            await asyncio.gather(*playing, return_exceptions=True)

    async def _serve_http(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        headers: dict[str, str],
        number: int,
    ) -> bool:
        """Answers a request; tells whether the connection can be used for another."""
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        asked = self._note("http", number, body, headers)
        wire = HttpWire(writer)
        playing = asyncio.create_task(self._answer(asked, wire, Memory()))
        # Between the request and the end of its answer a client says nothing: it can only leave.
        leaving = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait({playing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return False
        finally:
            playing.cancel()
            leaving.cancel()
            await asyncio.gather(playing, leaving, return_exceptions=True)

    def _note(self, transport: str, number: int, body: Wire, headers: dict[str, str]) -> Asked:
        if not self.lanes:
            body.pop("stream_id", None)
        asked = Asked(len(self.requests) + 1, transport, number, body, headers)
        self.requests.append(asked)
        self.on_request(asked)
        return asked

    # -- answers ------------------------------------------------------------------------------

    async def _answer(self, asked: Asked, wire: AnyWire, memory: Memory) -> None:
        asked.told = memory.tell(asked)
        await self._tell()
        try:
            script = self._script(asked)
        except Exception as error:
            self.failures.append(repr(error))
            raise
        with contextlib.suppress(OSError):
            for step in script.steps:
                await self._step(step, wire, asked)
                if isinstance(step, Send):
                    _remember(step.event, asked, memory, script)
                if wire.ended:
                    return
            await wire.finish()

    def _script(self, asked: Asked) -> Script:
        if asked.told is None:
            self.refused += 1
            message = f"Previous response with id '{asked.parent}' not found."
            code = "previous_response_not_found"
            return Script([error(400, message, code=code, param="previous_response_id")])
        answer = self.judge(asked)
        if answer is not None:
            return answer(asked)
        if asked.body.get("generate") is False:
            return proper(())(asked)
        return (self.answers.popleft() if self.answers else self.fallback)(asked)

    async def _play(self, steps: list[Step], wire: WebSocketWire, asked: Asked | None) -> None:
        for step in steps:
            await self._step(step, wire, asked)

    async def _step(self, step: Step, wire: AnyWire, asked: Asked | None) -> None:
        match step:
            case Send():
                await wire.send(_on_lane(step, asked))
            case Raw():
                await wire.send_text(step.text)
            case Body():
                await wire.send_bytes(step.data)
            case Head():
                await wire.begin(step.status, step.headers)
            case KeepAlive():
                await wire.keep_alive(step.kind)
            case Wait():
                await self._gates[step.gate].wait()
            case Elapse():
                await asyncio.sleep(step.seconds)
            case Close():
                await wire.close(step.code)
            case Reset():
                wire.reset()
            case Cut():
                await wire.cut(_on_lane(Send(step.event), asked), step.at)
            case Silence():
                await asyncio.Event().wait()


async def _in_line(turn: asyncio.Lock, answer: Coroutine[Any, Any, None]) -> None:
    async with turn:
        await answer


def _on_lane(step: Send, asked: Asked | None) -> Wire:
    if not step.lane or asked is None or asked.lane is None or "stream_id" in step.event:
        return step.event
    return {**step.event, "stream_id": asked.lane}


def _remember(event: Wire, asked: Asked, memory: Memory, script: Script) -> None:
    kind = event.get("type")
    if kind == "response.completed":
        response = event.get("response") or {}
        output = script.output if script.output is not None else response.get("output") or []
        memory.complete(asked, str(response.get("id")), output)
    elif kind in ("error", "response.failed"):
        memory.refuse(asked)
