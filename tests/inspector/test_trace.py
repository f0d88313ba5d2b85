"""What a service tells of what happens in it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pipecat_responses import HedgePolicy, ResponsesError
from pipecat_responses.sandbox import Answer, Call, Fault, Sandbox
from pipecat_responses.transport.trace import Trace
from tests.faults.support import Talk, new_service, until
from tests.inspector.support import KEY, Seen
from tests.support.hurry import Transport

BOTH = pytest.mark.parametrize("transport", ["websocket", "http"])
PATIENT = {"quiet_secs": 5.0, "begin_secs": 5.0, "stall_secs": 5.0}


@contextlib.asynccontextmanager
async def watched(
    sandbox: Sandbox, transport: Transport, *, tools: bool = False, **kwargs: Any
) -> AsyncIterator[tuple[Talk, Seen]]:
    """A conversation that is watched from its beginning."""
    llm = new_service(sandbox, transport, limits=PATIENT, **kwargs)
    told = Seen(llm)
    async with Talk(llm, tools=tools) as talk:
        yield talk, told


@BOTH
async def test_a_turn_from_its_request_to_its_report(
    sandbox: Sandbox, transport: Transport
) -> None:
    async with watched(sandbox, transport) as (talk, told):
        await talk.turn("count to 3")
        (turn,) = told.lines("turn")
        (request,) = told.lines("request")
        (ended,) = told.lines("turn ended")
        assert (turn["turn"], turn["messages"], turn["items"]) == (1, 1, 1)
        assert (request["turn"], request["purpose"]) == (1, "turn")
        assert request["transport"] == transport
        assert request["bytes"] == sandbox.requests[0].size
        assert not request["incremental"]
        assert request["explanation"]
        assert ended["outcome"] == "answered"
        assert ended["report"]["usage"]["output"] > 0
        assert ended["report"]["why_slow"]
        kinds = [each["kind"] for each in told.lines("event")]
        assert kinds == ["response.created", "response.completed"]
        assert turn["seq"] < request["seq"] < ended["seq"]
        assert 0 <= turn["at"] <= request["at"] <= ended["at"]


@BOTH
async def test_the_wire_is_what_was_sent_and_what_came(
    sandbox: Sandbox, transport: Transport
) -> None:
    async with watched(sandbox, transport) as (talk, told):
        await talk.turn("count to 3")
        request, *events = told.wire()
        assert request["record"] == "request"
        assert request["message"]["input"] == sandbox.requests[0].body["input"]
        assert {each["source"] for each in events} == {request["source"]}
        assert {each["lane"] for each in events} == {request["lane"]}
        deltas = [each for each in events if each["kind"] == "response.output_text.delta"]
        assert "".join(each["message"]["delta"] for each in deltas) == "1, 2, 3."
        assert events[-1]["kind"] == "response.completed"


@BOTH
async def test_an_interrupted_turn(sandbox: Sandbox, transport: Transport) -> None:
    sandbox.config.tokens_per_second = 20
    async with watched(sandbox, transport) as (talk, told):
        await talk.start("count to 60")
        await talk.text_arrives()
        await talk.interrupt()
        await talk.settle()
        (request,) = told.lines("request")
        (abandoned,) = told.lines("abandoned")
        place = (abandoned["source"], abandoned["lane"])
        assert place == (request["source"], request["lane"])
        assert not abandoned["never_left"]
        (ended,) = told.lines("turn ended")
        assert ended["outcome"] == "interrupted"
        if transport == "websocket":
            messages = [
                each["message"]["type"] for each in told.wire() if each["record"] == "message"
            ]
            assert messages == ["response.cancel"]


@BOTH
async def test_a_refused_request_is_tried_again(sandbox: Sandbox, transport: Transport) -> None:
    async with watched(sandbox, transport) as (talk, told):
        sandbox.faults.add(Fault("error", "request"))
        await talk.turn("count to 3")
        (failed,) = told.lines("attempt failed")
        (retry,) = told.lines("retry")
        first, second = told.lines("request")
        assert failed["number"] == first["number"]
        assert failed["error"]["failure"] == retry["failure"] == "server"
        assert not retry["resumes"]
        assert retry["seconds"] > 0
        assert first["seq"] < failed["seq"] < retry["seq"] < second["seq"]
        (ended,) = told.lines("turn ended")
        assert ended["report"]["attempts"] == 2
        (failure,) = ended["report"]["failures"]
        assert failure["failure"].startswith("server")


@BOTH
async def test_a_lost_connection_is_resumed(sandbox: Sandbox, transport: Transport) -> None:
    async with watched(sandbox, transport) as (talk, told):
        sandbox.faults.add(Fault("reset", "text", after=3))
        await talk.turn("count to 20")
        (retry,) = told.lines("retry")
        assert retry["resumes"]
        assert retry["failure"] == "connection"
        assert told.lines("turn ended")[0]["report"]["resumed"]
        if transport == "websocket":
            first, second = told.lines("connection")
            (lost,) = told.lines("lost")
            assert lost["source"] == first["source"] != second["source"]
            assert lost["error"]["failure"] == "connection"
        else:
            (lost,) = told.lines("request failed")
            assert lost["number"] == told.lines("request")[0]["number"]


@BOTH
async def test_a_hedge_is_named(sandbox: Sandbox, transport: Transport) -> None:
    async with watched(sandbox, transport, hedge=HedgePolicy(after_secs=0.02)) as (talk, told):
        await talk.turn("count to 2")
        sandbox.script(Answer(["one"], time_to_first_token=60.0), "two")
        await talk.turn("Which is it?")
        _, first, second = told.lines("request")
        (hedge,) = told.lines("hedge")
        assert hedge["number"] == second["number"]
        (abandoned,) = told.lines("abandoned")
        assert (abandoned["source"], abandoned["lane"]) == (first["source"], first["lane"])
        assert told.lines("turn ended")[1]["report"]["hedged"] == "won"


async def test_a_full_turn_shows_where_the_context_differs(sandbox: Sandbox) -> None:
    async with watched(sandbox, "websocket") as (talk, told):
        await talk.turn("count to 2")
        await talk.turn("count to 3")
        first: Any = talk.context.get_messages()[0]
        first["content"] = "count to 4"
        await talk.turn("count to 5")
        request = told.lines("request")[-1]
        assert request["why_full"] == "context changed at message 1 of 5"
        assert request["changed_at"] == 0
        difference = request["difference"]
        assert difference["seen"]["content"] == "count to 2"
        assert difference["now"]["content"] == "count to 4"


async def test_an_answer_in_other_words_shows_what_the_model_said(sandbox: Sandbox) -> None:
    async with watched(sandbox, "websocket") as (talk, told):
        await talk.turn("count to 2")
        answer: Any = talk.context.get_messages()[1]
        answer["content"] = "Something else."
        await talk.turn("count to 3")
        difference = told.lines("request")[-1]["difference"]
        assert difference["seen"] == {"role": "assistant", "content": "1, 2."}
        assert difference["now"]["content"] == "Something else."


async def test_what_happens_beside_turns(sandbox: Sandbox) -> None:
    async with watched(sandbox, "websocket") as (talk, told):
        talk.context.add_message({"role": "developer", "content": "The user is called Ada."})
        assert await talk.llm.warm_up(talk.context)
        await talk.turn("count to 2")
        await talk.llm.run_inference(talk.context)
        purposes = [each["purpose"] for each in told.lines("request")]
        assert purposes == ["warm-up", "turn", "side request"]
        assert [each["turn"] for each in told.lines("request")] == [0, 1, 1]


async def test_an_anchor_is_told_from_a_turn(sandbox: Sandbox) -> None:
    sandbox.config.tokens_per_second = 200
    async with watched(sandbox, "websocket", anchor_threshold_bytes=0) as (talk, told):
        await talk.start("count to 60")
        await talk.text_arrives()
        await talk.interrupt()
        await until(lambda: any(e["purpose"] == "anchor" for e in told.lines("request")))


@BOTH
async def test_tools_that_run(sandbox: Sandbox, transport: Transport) -> None:
    sandbox.script(Call("note", {"text": "milk"}), "Noted.")
    async with watched(sandbox, transport, tools=True) as (talk, told):
        await talk.turn("Note milk.", ends=2)
        (tool,) = told.lines("tool")
        (ended,) = told.lines("tool ended")
        assert (tool["name"], tool["turn"]) == ("note", 1)
        assert "milk" in tool["arguments"]
        assert ended["call_id"] == tool["call_id"]
        assert not ended["cancelled"]


@BOTH
async def test_a_turn_that_fails_has_its_error(sandbox: Sandbox, transport: Transport) -> None:
    async with watched(sandbox, transport, api_key=KEY) as (talk, told):
        params = {"status": 401, "code": "invalid_api_key", "message": f"Bad key {KEY}"}
        sandbox.faults.add(Fault("error", "request", params=params))
        await talk.turn("hello")
        (error,) = told.lines("error")
        assert error["error"]["code"] == "invalid_api_key"
        assert told.lines("turn ended")[0]["outcome"] == "failed"
        assert KEY not in str(told.lines()) + str(told.wire())


@BOTH
async def test_a_turn_that_never_left_has_its_reason(
    sandbox: Sandbox, transport: Transport
) -> None:
    async with watched(sandbox, transport) as (talk, told):
        odd: Any = {"role": "user", "content": [{"type": "text", "text": {1, 2}}]}
        talk.context.add_message(odd)
        await talk.answer()
        turn, ended, error = told.lines()[-3:]
        assert (turn["record"], turn["turn"], turn["messages"]) == ("turn", 1, 1)
        assert (ended["record"], ended["outcome"], ended["report"]) == (
            "turn ended",
            "failed",
            None,
        )
        assert error["record"] == "error"
        assert error["error"]["message"]
        assert not sandbox.requests


@BOTH
async def test_what_was_said_stands_with_the_end_of_a_turn(
    sandbox: Sandbox, transport: Transport
) -> None:
    async with watched(sandbox, transport) as (talk, told):
        sandbox.faults.add(Fault("reset", "text", after=3))
        heard = await talk.turn("count to 20")
        (ended,) = told.lines("turn ended")
        assert "said" not in ended
        (whole,) = told.session.some([ended["seq"]])()
        assert whole["said"] == heard.text


@BOTH
async def test_a_compaction_is_a_request(sandbox: Sandbox, transport: Transport) -> None:
    async with watched(sandbox, transport) as (talk, told):
        await talk.turn("count to 2")
        await talk.llm.compact(talk.context)
        request = told.lines("request")[-1]
        assert (request["purpose"], request["turn"]) == ("compaction", 1)
        sent, came = told.wire()[-2:]
        assert sent["message"]["input"][0]["content"] == "count to 2"
        assert (came["source"], came["kind"]) == (sent["source"], "response")
        assert came["message"]["output"]
        await sandbox.stop()
        with pytest.raises(ResponsesError):
            await talk.llm.compact(talk.context)
        assert told.lines("request failed")[-1]["number"] == told.lines("request")[-1]["number"]


async def test_connections_have_the_numbers_of_reports(sandbox: Sandbox) -> None:
    async with watched(sandbox, "websocket") as (talk, told):
        reports: list[Any] = []
        talk.llm.add_event_handler("on_turn_ended", lambda _, report: reports.append(report))
        for _ in range(2):
            await talk.turn("count to 2")
            sandbox.cut()
            await until(lambda: talk.llm.stats.connections_opened > len(told.lines("lost")))
        await talk.turn("count to 2")
        opened = [each["source"] for each in told.lines("connection")]
        sources = [each["source"] for each in told.lines("request")]
        assert opened == [1, 2, 3]
        assert [each.connection for each in reports] == sources == opened


async def test_a_connection_from_its_handshake_to_its_end(sandbox: Sandbox) -> None:
    async with watched(sandbox, "websocket") as (talk, told):
        await talk.turn("count to 2")
        (opened,) = told.lines("connection")
        assert opened["seconds"] > 0
        assert opened["capabilities"]["lanes"] is True
    (lost,) = told.lines("lost")
    assert lost["source"] == opened["source"]
    assert lost["error"]["failure"] == "closed"
    assert told.kinds()[-1] == "closed"


async def test_a_connection_that_cannot_be_opened(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("handshake_status", "handshake", params={"status": 503}))
    async with watched(sandbox, "websocket") as (talk, told):
        assert (await talk.turn("count to 2")).text == "1, 2."
        (refused,) = told.lines("refused")
        assert refused["error"]["failure"] == "server"
        assert refused["seq"] < told.lines("connection")[0]["seq"]


def test_nobody_looks_twice_and_nobody_looks_any_more() -> None:
    trace = Trace()
    found: list[Any] = []
    trace.attach(found.append)
    with pytest.raises(RuntimeError, match="one inspector at a time"):
        trace.attach(found.append)
    trace.received(1, [b"{}"])
    trace.detach()
    trace.received(1, [b"{}"])
    assert [each.messages for each in found] == [(b"{}",)]
