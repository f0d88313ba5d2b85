"""Each fault at each moment on both transports: answered, or reported once; then the next turn."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from pipecat.frames.frames import ErrorFrame

from pipecat_responses.protocol.errors import MidResponseLossError, ResponsesError
from pipecat_responses.protocol.retry import Backoff
from pipecat_responses.sandbox import Fault, Sandbox, SandboxConfig
from pipecat_responses.sandbox.faults import Moment as FaultMoment
from tests.faults.support import (
    BOOKED,
    BOOKING,
    Heard,
    Talk,
    answer_of_a_booker,
    counted,
    limits_for,
    short_probe,
    talking,
    until,
)
from tests.faults.table import SECTIONS, SERVER_ACTS, STREAMING, Cell, End, Moment, cells
from tests.support.portions import covering

WORDS = counted(30)
LONG = counted(150)
NAMES: dict[Moment, FaultMoment] = {
    Moment.CONNECTING: "handshake",
    Moment.RECONNECTING: "handshake",
    Moment.IDLE: "idle",
    Moment.REQUEST: "request",
    Moment.CREATED: "created",
    Moment.TOOL: "tool",
    Moment.TEXT: "text",
    Moment.CALL: "call",
    Moment.TERMINAL: "terminal",
}
EVERY = cells()
# Each row on each transport, and each kind of row at each moment with each end.
CELLS = list(
    {
        cell.name: cell
        for cell in (
            *covering(
                EVERY,
                lambda cell: (cell.row.kind, cell.row.lasting, cell.row.permanent),
                lambda cell: cell.moment,
                lambda cell: cell.transport,
                lambda cell: cell.end,
            ),
            *covering(EVERY, lambda cell: cell.row.what, lambda cell: cell.transport),
        )
    }.values()
)
OF_CONNECTIONS = [
    cell
    for cell in cells(row for _, rows in SECTIONS[:2] for row in rows)
    # A reset takes with it what has not been read: over TLS that is most of a text. Over
    # WebSocket the sandbox waits for that; HTTP has no way to ask.
    if not (
        cell.transport == "http"
        and cell.row.kind == "reset"
        and cell.row.lasting
        and cell.moment is Moment.TERMINAL
    )
]
"""What happens to connections, and may be otherwise with TLS in between."""
OVER_TLS = list(
    covering(
        OF_CONNECTIONS,
        lambda cell: cell.row.kind,
        lambda cell: cell.moment,
        lambda cell: cell.transport,
    )
)
ALONE = bool(os.environ.get("FAULTS_ALONE"))
"""Give each cell a service of its own, at its first turn and at a later one (slower)."""


def after_of(cell: Cell) -> int:
    if cell.moment is Moment.CALL:
        return 2
    if cell.moment is Moment.TEXT:
        # What breaks off each time goes a word further each time.
        return 1 if cell.row.lasting else 5
    return 0


def words_of(cell: Cell) -> str:
    return LONG if cell.row.lasting and cell.moment is Moment.TEXT else WORDS


def fault_of(cell: Cell) -> Fault | None:
    """What the sandbox is to do; None for what a test does to it."""
    kind = cell.row.kind
    if kind == "cut" or kind == "restart" or kind == "down":
        return None
    return Fault(
        kind,
        NAMES[cell.moment],
        times=None if cell.row.lasting else 1,
        after=after_of(cell),
        params=dict(cell.row.params),
    )


async def prepare(cell: Cell, sandbox: Sandbox, talk: Talk) -> None:
    """Makes the fault happen, or makes it wait for its moment."""
    fault = fault_of(cell)
    if fault is None:
        if cell.moment is Moment.IDLE:
            await act(cell, sandbox)
        return
    sandbox.faults.add(fault)
    if cell.moment is Moment.RECONNECTING:
        sandbox.cut()
    elif cell.moment is Moment.IDLE:
        await until(lambda: len(sandbox.faults) == 0)


async def act(cell: Cell, sandbox: Sandbox) -> None:
    if cell.row.kind == "cut":
        sandbox.cut()
        return
    await sandbox.stop()
    if cell.row.kind == "restart":
        await sandbox.start()


async def ask(cell: Cell, sandbox: Sandbox, talk: Talk) -> Heard:
    if cell.moment is Moment.CALL:
        ends = 2 if cell.end is End.ANSWERED else 1
        return await talk.turn("Please call note.", ends=ends)
    if cell.moment is Moment.TOOL:
        return await talk.turn(BOOKING)
    if cell.row.kind not in SERVER_ACTS or cell.moment is not Moment.TEXT:
        return await talk.turn("count to 150" if words_of(cell) is LONG else "count to 30")
    sandbox.config.tokens_per_second = 400

    async def meanwhile() -> None:
        await talk.text_arrives(2)
        await act(cell, sandbox)
        sandbox.config.tokens_per_second = None

    return await talk.turn("count to 30", meanwhile=meanwhile)


def check(cell: Cell, heard: Heard, talk: Talk, runs: int) -> None:
    expected = {Moment.CALL: 'note says "note done".', Moment.TOOL: BOOKED}.get(
        cell.moment, words_of(cell)
    )
    assert talk.bookings == (cell.moment is Moment.TOOL)
    assert len(heard.errors) == (1 if cell.end in (End.REPORTED, End.CUT) else 0), heard.errors
    if cell.end is End.ANSWERED:
        if cell.row.kind == "delta_before_created":
            # The stray delta is on the response's own lane: said or not, the answer is whole.
            heard.text = heard.text.removeprefix("too early")
        assert heard.text == expected
        assert talk.toolbox.runs[runs:] == (
            [("note", {"words": "Please call note."})] if cell.moment is Moment.CALL else []
        )
    else:
        assert talk.toolbox.runs[runs:] == []
        assert expected.startswith(heard.text)
        assert bool(heard.text) == (cell.end is not End.REPORTED)
        if cell.moment is Moment.TEXT:
            assert len(heard.text) < len(expected)
        if cell.moment is Moment.TERMINAL and not cell.row.lasting:
            assert heard.text == expected
    if heard.text and cell.row.kind != "delta_before_created":
        assert talk.written.strip() == heard.text.strip()
    if heard.errors:
        check_report(cell, heard, talk)


def check_report(cell: Cell, heard: Heard, talk: Talk) -> None:
    frame = heard.errors[0]
    error = frame.exception
    assert frame.processor is talk.llm
    assert frame.category is cell.row.category
    assert isinstance(error, ResponsesError)
    assert str(error)
    if cell.end is End.CUT and not cell.row.permanent:
        assert isinstance(error, MidResponseLossError)
    in_stream = cell.transport == "http" and cell.moment in STREAMING and cell.row.kind == "error"
    for name, value in cell.row.facts.items():
        if in_stream and name == "status":
            # Among server-sent events there is none.
            continue
        if cell.transport == "http" and name == "request_id":
            # The answer's own header says it.
            assert error.request_id
            continue
        assert getattr(error, name) == value, name
    if cell.moment in STREAMING and cell.row.kind not in SERVER_ACTS:
        assert error.response_id, "the response that failed has an id"
        if cell.transport == "http":
            assert error.request_id, "the HTTP answer had a request id"


class Stage:
    """A conversation that goes on from one cell to the next, for cells in the middle of one."""

    def __init__(self, *, tls: bool = False) -> None:
        self._tls = tls
        self._open: dict[object, tuple[AsyncExitStack, Sandbox, Talk]] = {}

    async def conversation(self, cell: Cell) -> tuple[Sandbox, Talk]:
        """The conversation of a cell's transport and options; begun if there is none."""
        key = self._key(cell)
        if key not in self._open:
            stack = AsyncExitStack()
            sandbox = await stack.enter_async_context(new_sandbox(tls=self._tls))
            talk = await stack.enter_async_context(
                talking(sandbox, cell.transport, tools=True, **options_of(cell))
            )
            self._open[key] = stack, sandbox, talk
        _, sandbox, talk = self._open[key]
        return sandbox, talk

    async def close(self, cell: Cell | None = None) -> None:
        """Ends a cell's conversation, or all."""
        for key in [self._key(cell)] if cell is not None else list(self._open):
            stack, _, _ = self._open.pop(key)
            await stack.aclose()

    @staticmethod
    def _key(cell: Cell) -> object:
        return cell.transport, str(options_of(cell))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tls_stage() -> AsyncIterator[Stage]:
    """The same over TLS."""
    stage = Stage(tls=True)
    yield stage
    await stage.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    await stage.close()


def options_of(cell: Cell) -> dict[str, Any]:
    limits = limits_for(cell.row.kind)
    silent = bool(limits)
    connections = {"open_secs": 0.3} if silent else {}
    if cell.row.kind == "restart":
        limits["backoff"] = Backoff(first=0.1, cap=0.4)
    elif cell.row.lasting or cell.row.kind == "down":
        # Time alone may end the attempts to reach a server.
        limits.update(total_secs=0.3, attempts=2 if silent else 3)
    return {**cell.row.options, "limits": limits, "connections": connections, "metrics": False}


def _is_of_a_handshake(error: ErrorFrame) -> bool:
    return isinstance(error.exception, ResponsesError) and (
        error.exception.transport == "handshake"
    )


async def go_through(cell: Cell, sandbox: Sandbox, talk: Talk) -> None:
    """The turn with the fault, the verdict, and the next turn."""
    if cell.moment in (Moment.IDLE, Moment.RECONNECTING):
        # A fresh connection: on an old one, a response of an earlier cell may hang for ever.
        sandbox.cut()
        assert (await talk.turn("count to 3")).text == counted(3)
    if cell.moment is not Moment.CONNECTING:
        await prepare(cell, sandbox, talk)
    runs, asked = len(talk.toolbox.runs), len(sandbox.requests)
    heard = await ask(cell, sandbox, talk)
    if cell.moment is Moment.TOOL:
        for request in sandbox.requests[asked + 1 :]:
            kinds = [item.get("type") for item in request.history]
            assert kinds.count("mcp_call") == 1, "the tool runs again"
    check(cell, heard, talk, runs)
    broken = cell.row.permanent and cell.end in (End.REPORTED, End.CUT)
    out_of_reach = any(_is_of_a_handshake(error) for error in heard.errors)
    assert talk.llm.is_usable is not (broken or out_of_reach)
    sandbox.faults.clear()
    await sandbox.start()
    if broken:
        await talk.llm.set_usable(True)
    following = await talk.turn("count to 5")
    assert following.text == counted(5)
    assert following.errors == []
    assert talk.llm.is_usable
    talk.check_frames()


def new_sandbox(*, tls: bool) -> Sandbox:
    return Sandbox(SandboxConfig(responder=answer_of_a_booker), tls=tls)


async def on_its_own(cell: Cell, *, again: bool, tls: bool) -> None:
    """A fresh service: the fault comes at its first turn, and then, perhaps, at a later one."""
    async with new_sandbox(tls=tls) as sandbox:
        if cell.moment is Moment.CONNECTING:
            fault = fault_of(cell)
            if fault is None:
                await act(cell, sandbox)
            else:
                sandbox.faults.add(fault)
        async with talking(sandbox, cell.transport, tools=True, **options_of(cell)) as talk:
            await go_through(cell, sandbox, talk)
            if again:
                await go_through(cell, sandbox, talk)
        if cell.row.kind == "stall":
            # The sandbox does not read from what it has stalled, so it cannot see the end of it.
            sandbox.cut()
        await until(lambda: sandbox.connections == 0)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("cell", CELLS, ids=[cell.name for cell in CELLS])
async def test_fault(cell: Cell, stage: Stage) -> None:
    await judge(cell, stage)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("cell", OVER_TLS, ids=[cell.name for cell in OVER_TLS])
async def test_fault_over_tls(cell: Cell, tls_stage: Stage) -> None:
    await judge(cell, tls_stage, tls=True)


async def judge(cell: Cell, stage: Stage, *, tls: bool = False) -> None:
    connecting = cell.moment is Moment.CONNECTING
    # At the very first request a WebSocket does not know yet what the server can do.
    first = cell.moment is Moment.REQUEST and cell.transport == "websocket"
    with short_probe():
        if ALONE or connecting or first:
            await on_its_own(cell, again=ALONE and not connecting, tls=tls)
        if ALONE or connecting:
            return
        sandbox, talk = await stage.conversation(cell)
        try:
            await go_through(cell, sandbox, talk)
        except BaseException:
            await stage.close(cell)
            raise
        if talk.llm.stats.last_turn.transport != cell.transport:
            # It will be a while until it is back on the WebSocket.
            await stage.close(cell)
            return
        talk.forget()
        sandbox.requests.clear()
