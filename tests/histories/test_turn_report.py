"""What a server says of its response reaches whoever asks: in the report of the turn."""

from __future__ import annotations

from typing import Any

import pytest

from pipecat_responses import ResponseReport
from tests.histories.meaning import Wire, said
from tests.histories.rows import BOTH
from tests.histories.stage import stage
from tests.histories.steps import Answer, Asked, Script, Wait, changed, error, only
from tests.support.events import told
from tests.support.hurry import Transport

STORY = "All is well."
LOGPROBS = [{"token": "All", "logprob": -0.1, "bytes": [65], "top_logprobs": []}]
MODERATION = {"input": {"type": "moderation_result", "flagged": False}, "output": None}
MISS = {"type": "cache_miss", "reason": "tools_changed", "comparison_reusable_tokens": 7}


def with_details(**details: Any) -> Answer:
    """An answer whose terminal event says more."""

    def change(events: list[Wire]) -> list[Wire]:
        for event in events:
            item = event.get("item")
            if event["type"] == "response.output_item.done" and isinstance(item, dict):
                item["content"][0]["logprobs"] = LOGPROBS
        events[-1]["response"].update(details)
        return events

    return changed(said(STORY), change)


@BOTH
async def test_what_the_server_says(transport: Transport) -> None:
    details = {
        "service_tier": "priority",
        "moderation": MODERATION,
        "prompt_cache_diagnostics": MISS,
    }
    async with stage(transport, with_details(**details)) as talk:
        reports = told(talk.llm, "on_turn_ended")
        heard = await talk.turn()
        assert heard.text == STORY
        report = await reports.get()
        assert report == talk.llm.stats.last_turn
        assert report.outcome == "answered"
        response = report.response
        assert response is not None
        assert (response.status, response.reason) == ("completed", None)
        assert response.response_id
        assert response.model
        assert response.service_tier == "priority"
        assert response.moderation == MODERATION
        assert response.cache_diagnostics == MISS
        assert response.logprobs == LOGPROBS
        assert response.usage is not None
        assert response.usage.total == 10


@BOTH
@pytest.mark.parametrize("nonsense", [None, [], 7, "x"])
async def test_nonsense_reads_as_nothing(nonsense: Any, transport: Transport) -> None:
    details = {"moderation": nonsense, "prompt_cache_diagnostics": nonsense}
    async with stage(transport, with_details(service_tier=[1], **details)) as talk:
        reports = told(talk.llm, "on_turn_ended")
        assert (await talk.turn()).text == STORY
        response = (await reports.get()).response
        assert isinstance(response, ResponseReport)
        assert (response.service_tier, response.moderation) == (None, None)
        assert response.cache_diagnostics is None


@BOTH
async def test_a_turn_that_fails(transport: Transport) -> None:
    refusal = only(error(400, "Too long.", code="context_length_exceeded"))
    async with stage(transport, refusal) as talk:
        reports = told(talk.llm, "on_turn_ended")
        assert (await talk.turn()).errors
        report = await reports.get()
        assert (report.outcome, report.response) == ("failed", None)


@BOTH
async def test_a_turn_that_is_interrupted(transport: Transport) -> None:
    def answer(asked: Asked) -> Script:
        script = changed(said(STORY), lambda events: events)(asked)
        return Script([*script.steps[:5], Wait("never")])

    async with stage(transport, answer) as talk:
        reports = told(talk.llm, "on_turn_ended")
        await talk.start("Hello.")
        await talk.text_arrives()
        await talk.interrupt()
        report = await reports.get()
        assert (report.outcome, report.response) == ("interrupted", None)
        assert report.transport == transport
        assert (await talk.turn()).text
        assert (await reports.get()).outcome == "answered"
