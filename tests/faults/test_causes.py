"""Why a turn was slow: causes that are brought about are named, over real connections."""

from __future__ import annotations

import asyncio
import io
import time
from types import SimpleNamespace
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema

from pipecat_responses import Cause, TurnMetricsData, TurnReport
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.sandbox import Answer, Fault, HostedCall, Reasoning, Sandbox
from pipecat_responses.session import watch
from pipecat_responses.session.watch import LATE
from tests.faults.support import Talk, new_service, talking, until
from tests.support.events import told
from tests.support.hurry import Transport
from tests.support.tcp_proxy import TcpProxy

BOTH = pytest.mark.parametrize("transport", ["websocket", "http"])

PATIENT = {
    "begin_secs": 5.0,
    "stall_secs": 5.0,
    "quiet_secs": 3.0,
    "terminal_secs": 5.0,
    "total_secs": 10.0,
}


@pytest.fixture(autouse=True)
def good_servers_are_quick(nothing_else_runs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that slow ones need not take long here."""
    monkeypatch.setattr("pipecat_responses.session.causes.USUAL", 0.2)
    monkeypatch.setattr("pipecat_responses.session.causes.USUAL_TO_CREATED", 0.1)


LONG = "word " * 2000
"""A conversation that is worth to be kept in a prompt cache."""


async def report_of(talk: Talk, text: str = "count to 3") -> TurnReport:
    """What becomes of a turn that is answered."""
    reports = told(talk.llm, "on_turn_ended")
    await talk.turn(text)
    report: TurnReport = await reports.get()
    assert report.times is not None
    assert report.outcome == "answered"
    return report


@BOTH
async def test_a_turn_without_any(sandbox: Sandbox, transport: Transport) -> None:
    async with talking(sandbox, transport, limits=PATIENT) as talk:
        # The first opens a connection, and takes what is made once.
        await talk.turn("count to 2")
        report = await report_of(talk)
    # On a machine that is busy this process is slow, and that is said then.
    assert report.cause in (Cause.NOTHING, Cause.OUR_SIDE)
    times = report.times
    assert times is not None
    assert (report.attempts, report.failures, report.resumed) == (1, (), False)
    assert times.created is not None
    assert times.first_output is not None
    assert times.first_text is not None
    assert times.first_call is None
    order = [times.preparing, times.sent, times.created, times.first_output, times.first_text]
    assert order == sorted(order)
    assert times.first_text <= times.end
    assert (times.leaving is None) == (transport == "http")


@BOTH
@pytest.mark.parametrize(("status", "failure"), [(429, "rate_limit"), (500, "server")])
async def test_a_server_that_has_no_time(
    sandbox: Sandbox, transport: Transport, status: int, failure: str
) -> None:
    params = {"status": status, "headers": {"retry-after": "0.3"}}
    sandbox.faults.add(Fault("error", params=params))
    async with talking(sandbox, transport, limits=PATIENT) as talk:
        report = await report_of(talk)
    assert report.cause is Cause.SERVER_BUSY
    assert f"{failure}, status {status}" in report.why_slow
    assert report.attempts == 2
    [failed] = report.failures
    assert (failed.failure, failed.status, failed.sent) == (Failure(failure), status, True)
    assert failed.paused >= 0.3


@BOTH
async def test_a_lost_attempt(sandbox: Sandbox, transport: Transport) -> None:
    sandbox.faults.add(Fault("silence", "created"))
    async with talking(
        sandbox, transport, limits=PATIENT, retry_on_timeout=True, retry_timeout_secs=0.3
    ) as talk:
        report = await report_of(talk)
    assert report.cause is Cause.LOST_ATTEMPT
    assert "timeout" in report.why_slow
    assert [each.failure for each in report.failures] == [Failure.TIMEOUT]


async def test_a_connection_that_has_to_be_opened_again(sandbox: Sandbox) -> None:
    connections = {"open_secs": 5.0}
    async with talking(sandbox, "websocket", limits=PATIENT, connections=connections) as talk:
        await talk.turn("count to 2")
        sandbox.faults.add(Fault("delay", "handshake", times=None, params={"seconds": 0.6}))
        # All connections end, as when the server is restarted.
        sandbox.faults.add(Fault("close", "idle"))
        await until(lambda: sandbox.connections == 0)
        report = await report_of(talk)
    assert report.cause is Cause.CONNECTING
    assert "for a connection" in report.why_slow


@BOTH
async def test_a_server_that_is_slow_to_begin(sandbox: Sandbox, transport: Transport) -> None:
    sandbox.config.time_to_first_token = 1.2
    async with talking(sandbox, transport, limits=PATIENT) as talk:
        report = await report_of(talk)
    assert report.cause is Cause.SERVER_SLOW
    assert "to begin" in report.why_slow


async def test_a_server_where_requests_queue(sandbox: Sandbox) -> None:
    sandbox.config.time_to_created = 0.5
    async with talking(sandbox, "websocket", limits=PATIENT) as talk:
        report = await report_of(talk)
    assert report.cause is Cause.SERVER_SLOW
    assert report.times is not None
    assert report.times.created is not None
    assert report.times.created >= 0.5


@BOTH
async def test_a_model_that_reasons(sandbox: Sandbox, transport: Transport) -> None:
    sandbox.config.model_limits = "ignored"
    sandbox.config.reasoning_text = True
    thought = Reasoning("let me think about this " * 2)
    sandbox.script(Answer([thought, "Yes."], tokens_per_second=25))
    async with talking(sandbox, transport, limits=PATIENT) as talk:
        report = await report_of(talk)
    assert report.cause is Cause.REASONING
    assert "reasoned for" in report.why_slow
    assert report.response is not None
    assert report.response.usage is not None
    assert f"{report.response.usage.reasoning} tokens" in report.why_slow


@BOTH
async def test_a_tool_of_the_servers(sandbox: Sandbox, transport: Transport) -> None:
    search = HostedCall({"type": "web_search_call", "action": {"type": "search"}}, seconds=0.4)
    sandbox.script(Answer([search, "It rains."]))
    async with talking(sandbox, transport, limits=PATIENT) as talk:
        report = await report_of(talk)
    assert report.cause is Cause.HOSTED_TOOL
    assert report.times is not None
    assert report.times.tools >= 0.3


@BOTH
async def test_a_full_request_on_a_slow_line(sandbox: Sandbox, transport: Transport) -> None:
    async with TcpProxy("127.0.0.1", sandbox.port) as line:
        address = SimpleNamespace(
            base_url=line.url_for("http", "/v1"), ws_url=line.url_for("ws", "/v1/responses")
        )
        async with Talk(new_service(address, transport, limits=PATIENT)) as talk:
            await talk.turn(f"count to 2. {LONG * 30}")
            line.bandwidth_up = 400_000
            messages: list[Any] = talk.context.get_messages()
            messages[0]["content"] = f"Dear. {messages[0]['content']}"
            talk.context.set_messages(messages)
            report = await report_of(talk)
    assert report.cause is Cause.FULL_REQUEST
    assert f"{report.size // 1000} kB" in report.why_slow
    assert report.why_full in report.why_slow


async def test_a_large_message_on_a_slow_line(sandbox: Sandbox) -> None:
    async with TcpProxy("127.0.0.1", sandbox.port) as line:
        address = SimpleNamespace(
            base_url=line.url_for("http", "/v1"), ws_url=line.url_for("ws", "/v1/responses")
        )
        async with Talk(new_service(address, "websocket", limits=PATIENT)) as talk:
            await talk.turn("count to 2")
            line.bandwidth_up = 400_000
            report = await report_of(talk, f"count to 3. {LONG * 30}")
    assert report.incremental
    assert report.cause is Cause.LARGE_REQUEST


def tools(*names: str) -> ToolsSchema:
    return ToolsSchema(standard_tools=[FunctionSchema(name, "", {}, []) for name in names])


@BOTH
async def test_a_cache_that_was_lost(sandbox: Sandbox, transport: Transport) -> None:
    async with talking(sandbox, transport, limits=PATIENT) as talk:
        talk.context.set_tools(tools("look_up"))
        await talk.turn(f"count to 2. {LONG}")
        assert (await report_of(talk)).changed == ()
        talk.context.set_tools(tools("look_up", "book"))
        sandbox.config.time_to_first_token = 0.5
        report = await report_of(talk)
        assert report.changed == ("tools",)
        assert report.cause is Cause.CACHE_MISSED
        assert "(tools changed)" in report.why_slow
        # Now they are known.
        assert (await report_of(talk)).cause is Cause.SERVER_SLOW


async def test_an_event_loop_that_is_kept(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LATE", LATE)
    sandbox.config.time_to_first_token = 0.1

    async def keep_it() -> None:
        await until(lambda: len(sandbox.requests) > before)
        time.sleep(0.6)  # noqa: ASYNC251 - this is what is wrong

    async with talking(sandbox, "websocket", limits=PATIENT) as talk:
        await talk.turn("count to 2")
        before = len(sandbox.requests)
        busy = asyncio.create_task(keep_it())
        report = await report_of(talk)
        await busy
    assert report.cause is Cause.OUR_SIDE
    assert "event loop was blocked" in report.why_slow


async def test_a_turn_that_takes_long_is_logged(
    sandbox: Sandbox, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with talking(sandbox, "websocket", limits=PATIENT) as talk:
        await talk.turn("count to 2")
        quick = [line for line in log.getvalue().splitlines() if "Turn answered" in line]
        assert [line.split("|")[1].strip() for line in quick] == ["DEBUG"]
        monkeypatch.setattr("pipecat_responses.service.turn_reports.SLOW", 0.0)
        report = await report_of(talk)
        slow = [line for line in log.getvalue().splitlines() if "Turn answered" in line]
        assert [line.split("|")[1].strip() for line in slow] == ["DEBUG", "INFO"]
        assert report.why_slow in slow[1]


@pytest.mark.parametrize(
    ("transport", "metrics"), [("websocket", True), ("websocket", False), ("http", True)]
)
async def test_metrics(sandbox: Sandbox, transport: Transport, metrics: bool) -> None:
    async with talking(sandbox, transport, limits=PATIENT, metrics=metrics) as talk:
        report = await report_of(talk)
        found = [each for each in talk.metrics if isinstance(each, TurnMetricsData)]
        assert len(found) == metrics
        for data in found:
            assert data.processor == talk.llm.name
            assert data.times["end"] is not None
            assert (data.cause, data.why_slow) == (report.cause, report.why_slow)
            assert (data.transport, data.outcome) == (transport, "answered")
            assert (data.incremental, data.why_full) == (False, report.why_full)
            assert (data.items, data.size, data.attempts) == (report.items, report.size, 1)
            assert report.response is not None
            assert report.response.usage is not None
            assert data.input_tokens == report.response.usage.input
            assert data.cached_tokens == report.response.usage.cached
            assert data.service_tier == report.response.service_tier
            assert data.model_dump_json()


@BOTH
async def test_a_turn_that_is_taken_up_again(sandbox: Sandbox, transport: Transport) -> None:
    sandbox.faults.add(Fault("close", "text", after=5))
    async with talking(sandbox, transport, limits=PATIENT) as talk:
        report = await report_of(talk, "count to 20")
    assert report.resumed
    assert report.attempts == 2
    assert len(report.failures) == 1


async def test_a_function_is_called(sandbox: Sandbox) -> None:
    async with talking(sandbox, "websocket", limits=PATIENT, tools=True) as talk:
        reports = told(talk.llm, "on_turn_ended")
        await talk.round("Please call note.")
        report = await reports.get()
    assert report.times.first_call is not None
    assert report.times.answer == report.times.first_call


async def test_a_websocket_that_does_not_come_through(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("stall", "handshake", times=None))
    connections = {"open_secs": 0.4}
    async with talking(
        sandbox, "websocket", limits=PATIENT, connections=connections, transport="auto"
    ) as talk:
        report = await report_of(talk)
    assert report.transport == "http"
    assert report.cause is Cause.CONNECTING


@BOTH
async def test_a_turn_that_fails(sandbox: Sandbox, transport: Transport) -> None:
    params = {"status": 429, "headers": {"retry-after": "0.15"}}
    sandbox.faults.add(Fault("error", times=None, params=params))
    limits = {**PATIENT, "attempts": 3}
    async with talking(sandbox, transport, limits=limits) as talk:
        reports = told(talk.llm, "on_turn_ended")
        assert (await talk.turn("count to 3")).errors
        report = await reports.get()
    assert (report.outcome, report.cause) == ("failed", Cause.SERVER_BUSY)
    assert report.attempts == len(report.failures) == 3
    assert report.failures[-1].paused == 0.0


async def test_a_turn_that_is_interrupted_before_an_answer(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("silence", "created"))
    async with talking(sandbox, "websocket", limits=PATIENT) as talk:
        reports = told(talk.llm, "on_turn_ended")
        await talk.start("count to 3")
        await until(lambda: len(sandbox.requests) == 1)
        await asyncio.sleep(0.5)  # The patience of the user.
        await talk.interrupt()
        report = await reports.get()
    assert (report.outcome, report.cause) == ("interrupted", Cause.SERVER_SLOW)
    assert report.times.first_output is None
