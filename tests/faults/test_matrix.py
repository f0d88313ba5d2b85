"""Each fault at each moment on both transports: answered, or reported once; then the next turn."""

from __future__ import annotations

import pytest

from pipecat_responses.core.errors import MidResponseLossError, ResponsesError
from pipecat_responses.core.retry import Backoff
from pipecat_responses.sandbox import Fault, Sandbox
from tests.faults.support import Heard, Talk, counted, our_tasks, short_probe, talking, until
from tests.faults.table import SERVER_ACTS, STREAMING, Cell, End, Moment, cells

WORDS = counted(30)
AFTER = {Moment.TEXT: 5, Moment.CALL: 2}
NAMES = {
    Moment.CONNECTING: "handshake",
    Moment.RECONNECTING: "handshake",
    Moment.IDLE: "idle",
    Moment.REQUEST: "request",
    Moment.CREATED: "created",
    Moment.TEXT: "text",
    Moment.CALL: "call",
    Moment.TERMINAL: "terminal",
}
CELLS = cells()


def fault_of(cell: Cell) -> Fault:
    return Fault(
        cell.row.kind,
        NAMES[cell.moment],
        times=None if cell.row.lasting else 1,
        after=AFTER.get(cell.moment, 0),
        params=dict(cell.row.params),
    )


async def prepare(cell: Cell, sandbox: Sandbox, talk: Talk) -> None:
    """Makes the fault happen, or makes it wait for its moment."""
    if cell.row.kind in SERVER_ACTS:
        if cell.moment is Moment.IDLE:
            await act(cell, sandbox)
        return
    sandbox.faults.add(fault_of(cell))
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
    if cell.row.kind not in SERVER_ACTS or cell.moment is not Moment.TEXT:
        return await talk.turn("count to 30")
    sandbox.config.tokens_per_second = 400

    async def meanwhile() -> None:
        await talk.text_arrives(2)
        await act(cell, sandbox)
        sandbox.config.tokens_per_second = None

    return await talk.turn("count to 30", meanwhile=meanwhile)


def check(cell: Cell, heard: Heard, talk: Talk, runs: int) -> None:
    expected = 'note says "note done".' if cell.moment is Moment.CALL else WORDS
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
        assert talk.spoken.strip() == heard.text.strip()
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
    flat = cell.transport == "http" and cell.moment in STREAMING and cell.row.kind == "error"
    for name, value in cell.row.facts.items():
        if flat and name not in ("code", "param"):
            # All that the flat shape has room for.
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


@pytest.mark.parametrize("cell", CELLS, ids=[cell.name for cell in CELLS])
async def test_fault(cell: Cell, sandbox: Sandbox) -> None:
    options = dict(cell.row.options)
    if cell.row.kind == "restart":
        options["limits"] = {"backoff": Backoff(first=0.1, cap=0.4)}
    connecting = cell.moment is Moment.CONNECTING
    if connecting and cell.row.kind not in SERVER_ACTS:
        sandbox.faults.add(fault_of(cell))
    elif connecting:
        await sandbox.start()
        await act(cell, sandbox)
    with short_probe():
        async with talking(sandbox, cell.transport, tools=True, **options) as talk:
            # The first turn of a conversation, and one that continues it.
            for start in ("first", "later"):
                if start == "later" and (connecting or cell.transport == "http"):
                    break
                if cell.moment in (Moment.IDLE, Moment.RECONNECTING):
                    assert (await talk.turn("count to 3")).text == counted(3)
                if not connecting:
                    await prepare(cell, sandbox, talk)
                runs = len(talk.toolbox.runs)
                heard = await ask(cell, sandbox, talk)
                check(cell, heard, talk, runs)
                broken = cell.row.permanent and cell.end in (End.REPORTED, End.CUT)
                assert talk.llm.is_usable is not broken
                sandbox.faults.clear()
                await sandbox.start()
                await talk.llm.set_usable(True)
                following = await talk.turn("count to 5")
                assert following.text == counted(5)
                assert following.errors == []
                assert talk.llm.is_usable
    assert our_tasks() == []
    if cell.row.kind == "stall":
        # The sandbox does not read from what it has stalled, so it cannot see the end of it.
        sandbox.cut()
    await until(lambda: sandbox.connections == 0)
