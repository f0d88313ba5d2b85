"""Calls of remote MCP tools that need somebody's approval."""

from __future__ import annotations

from typing import Any

import pytest

from pipecat_responses import McpApprovalFrame, McpApprovalRequest
from tests.histories.meaning import Wire, completed, created, item_events, numbered, said
from tests.histories.rows import BOTH
from tests.histories.server import ScriptedServer
from tests.histories.stage import Stage, service, stage
from tests.histories.steps import Answer, Asked, Reset, Script, sends
from tests.support.events import told
from tests.support.hurry import Transport

BOOKED = "Your table is booked."
DECLINED = "Then I do not book it."


def request_of(number: int) -> Wire:
    return {
        "type": "mcp_approval_request",
        "id": f"mcpr_{number}",
        "server_label": "tables",
        "name": f"book_{number}",
        "arguments": '{"at":"eight"}',
    }


class Model:
    """Books tables by tools that need approval, and says what came of it.

    Attributes:
        booked: How many it has booked.
    """

    def __init__(self, server: ScriptedServer, count: int = 1, *, lost: bool = False) -> None:
        self.booked = 0
        self._requests = [request_of(number) for number in range(count)]
        self._lost = lost
        server.judge = self.answer

    def answer(self, asked: Asked) -> Answer:
        verdicts = {
            item["approval_request_id"]: item["approve"]
            for item in asked.told or []
            if item.get("type") == "mcp_approval_response"
        }
        if not verdicts:
            return lambda asked: self._script(asked, self._requests, None)
        assert len(verdicts) == len(self._requests), f"only {verdicts} are answered"
        self.booked += sum(verdicts.values())
        text = BOOKED if any(verdicts.values()) else DECLINED
        return lambda asked: self._script(asked, [], text)

    def _script(self, asked: Asked, items: list[Wire], text: str | None) -> Script:
        own = asked.response_id
        events = [created(own)]
        for index, item in enumerate(items):
            at = {"output_index": index}
            events.append({"type": "response.output_item.added", **at, "item": item})
            events.append({"type": "response.output_item.done", **at, "item": item})
        output = list(items)
        for message in said(text) if text is not None else ():
            events += item_events(message, own, len(output))
            output.append(events[-1]["item"])
        if items and self._lost:
            return Script([*sends(numbered(events)), Reset()])
        return Script(sends(numbered([*events, completed(own, output)])), output)


def approvals(asked: Asked) -> list[Wire]:
    kinds = ("mcp_approval_request", "mcp_approval_response")
    return [item for item in asked.told or [] if item.get("type") in kinds]


async def approve(talk: Stage, request_id: str, verdict: bool) -> None:
    ends = talk.ends
    await talk.worker.queue_frame(McpApprovalFrame(request_id=request_id, approve=verdict))
    await talk.said.until(lambda: talk.ends > ends, talk.patience)
    await talk.quiet()


@BOTH
@pytest.mark.parametrize("verdict", [True, False])
async def test_the_application_is_asked_and_answers_later(
    transport: Transport, verdict: bool
) -> None:
    async with stage(transport) as talk:
        model = Model(talk.server)
        asked = told(talk.llm, "on_mcp_approval_request")
        heard = await talk.turn("Book a table.")
        assert heard.text == ""
        assert not heard.errors
        assert len(heard.asked) == 1
        request = await asked.get()
        assert request == McpApprovalRequest("mcpr_0", "tables", "book_0", '{"at":"eight"}')
        await approve(talk, request.id, verdict)
        assert "".join(talk.texts) == (BOOKED if verdict else DECLINED)
        assert model.booked == verdict
        answered = talk.server.asked[-1]
        assert (answered.parent is not None) == (transport == "websocket")
        assert approvals(answered) == [
            request_of(0),
            {
                "type": "mcp_approval_response",
                "approval_request_id": "mcpr_0",
                "approve": verdict,
            },
        ]
        assert not talk.errors
        # Once is enough.
        await talk.worker.queue_frame(McpApprovalFrame(request_id=request.id, approve=True))
        await talk.quiet()
        assert len(talk.server.asked) == 2


async def _later(_: McpApprovalRequest) -> bool | None:
    return None


async def _yes(request: McpApprovalRequest) -> bool | None:
    return request.server_label == "tables"


@BOTH
@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ("always", BOOKED),
        ("never", DECLINED),
        ({"book_0": "always"}, BOOKED),
        ({"book_0": "never", "book_1": "always"}, DECLINED),
        ({"book_1": "always"}, ""),
        (_yes, BOOKED),
        (_later, ""),
    ],
)
async def test_a_policy_answers(transport: Transport, policy: Any, text: str) -> None:
    async with stage(transport, mcp_approval=policy) as talk:
        model = Model(talk.server)
        asked = told(talk.llm, "on_mcp_approval_request")
        heard = await talk.turn("Book a table.")
        assert heard.text == text
        assert not heard.errors
        assert model.booked == (text == BOOKED)
        if not text:
            assert (await asked.get()).name == "book_0"


@BOTH
async def test_two_requests_go_on_once_when_both_are_answered(transport: Transport) -> None:
    async with stage(transport, mcp_approval={"book_1": "always"}) as talk:
        model = Model(talk.server, 2)
        asked = told(talk.llm, "on_mcp_approval_request")
        assert (await talk.turn("Book two tables.")).text == ""
        await approve(talk, (await asked.get()).id, True)
        assert "".join(talk.texts) == BOOKED
        assert model.booked == 2
        assert len(talk.server.asked) == 2
        assert not talk.errors


@BOTH
async def test_what_nobody_answers_is_declined_when_the_user_goes_on(transport: Transport) -> None:
    async with stage(transport) as talk:
        model = Model(talk.server)
        told(talk.llm, "on_mcp_approval_request")
        await talk.turn("Book a table.")
        heard = await talk.turn("Never mind.")
        assert heard.text == DECLINED
        assert not heard.errors
        assert model.booked == 0
        (_, response) = approvals(heard.asked[-1])
        assert response["approve"] is False


@BOTH
async def test_an_answer_after_an_interruption_and_a_reconnect(transport: Transport) -> None:
    async with stage(transport) as talk:
        model = Model(talk.server)
        asked = told(talk.llm, "on_mcp_approval_request")
        await talk.turn("Book a table.")
        request = await asked.get()
        await talk.interrupt()
        talk.server.cut()
        await approve(talk, request.id, True)
        assert "".join(talk.texts) == BOOKED
        assert model.booked == 1
        assert not talk.errors


@BOTH
async def test_a_request_is_not_made_twice_though_the_connection_is_lost_behind_it(
    transport: Transport,
) -> None:
    async with stage(transport) as talk:
        model = Model(talk.server, lost=True)
        asked = told(talk.llm, "on_mcp_approval_request")
        heard = await talk.turn("Book a table.")
        assert len(heard.asked) == 1
        assert not heard.errors
        await approve(talk, (await asked.get()).id, True)
        assert "".join(talk.texts) == BOOKED
        assert model.booked == 1


@pytest.mark.parametrize("policy", ["sometimes", {"book": "perhaps"}, None, 7])
def test_a_policy_that_makes_no_sense_is_refused(policy: Any) -> None:
    class Nowhere:
        base_url = "http://127.0.0.1:1/v1"
        ws_url = "ws://127.0.0.1:1/v1/responses"

    with pytest.raises(ValueError, match="mcp_approval must be"):
        service("http", Nowhere(), mcp_approval=policy)
