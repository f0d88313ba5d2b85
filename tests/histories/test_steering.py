"""What servers may do with ``response.steer``, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from openai.types.responses import ResponsesServerEvent
from pydantic import TypeAdapter

from pipecat_responses import HostedToolStartedFrame, OpenAIResponsesLLMSettings
from tests.histories.meaning import (
    Call,
    Meaning,
    Say,
    Search,
    Wire,
    completed,
    created,
    events_of,
    item_events,
    output_of,
    response_of,
    said,
    words_of,
)
from tests.histories.stage import Stage, stage
from tests.histories.steps import Answer, Asked, Elapse, Script, Send, Step, Wait, error, proper
from tests.sandbox.wire import needs_todays_sdk

TOOL = (Search("weather in Paris"),)
COLD = Say(words_of("It is cold in Paris."))
WARM = Say(words_of("It is warm in Lyon."))
SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(ResponsesServerEvent)


def about(response_id: str, **fields: Any) -> Wire:
    steer = {"id": "steer_1", "previous_response_id": response_id, **fields}
    return {"sequence_number": 9, "steer": steer}


def accepted(response_id: str) -> Wire:
    return {"type": "response.steer.accepted", **about(response_id)}


def pending(response_id: str, call_id: str) -> Wire:
    stub = {"type": "function_call_output", "call_id": call_id, "name": "note"}
    return {
        "type": "response.steer.pending",
        "reason": "waiting_for_required_input",
        "required_input": [stub],
        **about(response_id),
    }


def failed(response_id: str, code: str = "successor_creation_failed") -> Wire:
    return {
        "type": "response.steer.failed",
        "error": {"type": "invalid_request_error", "code": code, "message": "It cannot be."},
        **about(response_id, input="In Lyon."),
    }


def steered(response_id: str, output: list[Wire]) -> Wire:
    response = {
        **response_of(response_id, "incomplete"),
        "output": output,
        "incomplete_details": {"reason": "steered"},
    }
    return {"type": "response.incomplete", "sequence_number": 9, "response": response}


def successor(meaning: Meaning, response_id: str = "resp_next") -> list[Wire]:
    return events_of(meaning, response_id)


def begins(meaning: Meaning, then: Callable[[str, list[Wire]], list[Wire | Step]]) -> Answer:
    """A response that begins, is steered, and then goes on as a test says."""

    def answer(asked: Asked) -> Script:
        own = asked.response_id
        steps: list[Wire | Step] = [created(own)]
        for index, item in enumerate(meaning):
            steps += item_events(item, own, index)
        steps += [Wait("steered"), *then(own, output_of(meaning, own))]
        return Script([Send(each) if isinstance(each, dict) else each for each in steps], [])

    return answer


def steering_stage(*answers: Answer, **kwargs: Any) -> Any:
    settings = OpenAIResponsesLLMSettings(model="gpt-6-sol")
    return stage("websocket", *answers, **{"settings": settings, **kwargs})


async def tool_runs(talk: Stage) -> None:
    await talk.said.until(
        lambda: any(isinstance(each, HostedToolStartedFrame) for each in talk.said.frames)
    )


async def steer(talk: Stage) -> bool:
    await tool_runs(talk)
    taken: bool = await talk.llm.steer("In Lyon.")
    return taken


@needs_todays_sdk
def test_the_events_are_those_of_the_sdk() -> None:
    for event in (
        accepted("resp_1"),
        pending("resp_1", "call_1"),
        failed("resp_1"),
        steered("resp_1", output_of((COLD,), "resp_1")),
    ):
        SERVER_EVENT.validate_python(event)


@pytest.mark.parametrize("lanes", [True, False])
@pytest.mark.parametrize("end", ["incomplete", "completed"])
async def test_a_successor_is_the_same_answer(end: str, lanes: bool) -> None:
    def then(own: str, output: list[Wire]) -> list[Wire | Step]:
        over = steered(own, output) if end == "incomplete" else completed(own, output)
        return [accepted(own), over, *successor((WARM,))]

    def prepare(server: Any) -> None:
        server.lanes = lanes

    async with steering_stage(begins(TOOL, then), prepare=prepare) as talk:
        await talk.start("Weather in Paris?")
        assert await steer(talk)
        heard = await talk.finish()
        assert (heard.text, heard.errors) == ("It is warm in Lyon.", [])
        assert len(heard.asked) == 1
        [sent] = talk.server.steers
        assert sent["previous_response_id"] == heard.asked[0].response_id
        assert set(sent) == {"type", "previous_response_id", "input"}
        assert sent["input"] == [{"role": "user", "content": "In Lyon."}]
        again = await talk.turn("Good?")
        assert len(again.asked[0].body["input"]) == 1
        assert again.asked[0].parent == "resp_next"


async def test_an_answer_that_was_complete_stands_if_no_successor_comes() -> None:
    def then(own: str, output: list[Wire]) -> list[Wire | Step]:
        return [
            accepted(own),
            *item_events(COLD, own, 1),
            completed(own, output_of((*TOOL, COLD), own)),
            failed(own),
        ]

    async with steering_stage(begins(TOOL, then), proper(said("Warm."))) as talk:
        await talk.start("Weather in Paris?")
        await steer(talk)
        heard = await talk.finish()
        assert (heard.text, len(heard.asked), heard.errors) == ("It is cold in Paris.", 1, [])
        # What was said meanwhile is in the context, and goes out with the next turn.
        told = (await talk.turn("Well?")).asked[0].told or []
        assert sum("In Lyon." in str(each) for each in told) == 1


async def test_one_that_was_cut_is_asked_again_if_no_successor_comes() -> None:
    def then(own: str, output: list[Wire]) -> list[Wire | Step]:
        return [accepted(own), steered(own, output), failed(own)]

    async with steering_stage(begins(TOOL, then), proper((WARM,))) as talk:
        await talk.start("Weather in Paris?")
        assert await steer(talk)
        heard = await talk.finish()
        assert (heard.text, heard.errors) == ("It is warm in Lyon.", [])
        told = heard.asked[-1].told or []
        assert [each.get("type", "message") for each in told] == [
            "message",
            "web_search_call",
            "message",
        ]


@pytest.mark.parametrize("end", ["incomplete", "completed"])
async def test_an_error_in_place_of_the_successor(end: str) -> None:
    def then(own: str, output: list[Wire]) -> list[Wire | Step]:
        over = steered(own, output) if end == "incomplete" else completed(own, output)
        return [accepted(own), over, error(500, "No successor.")]

    async with steering_stage(begins(TOOL, then), proper((WARM,))) as talk:
        await talk.start("Weather in Paris?")
        assert await steer(talk)
        heard = await talk.finish()
        assert (heard.text, heard.errors) == ("It is warm in Lyon.", [])


async def test_a_server_that_says_nothing_to_it_is_asked_once() -> None:
    def then(own: str, output: list[Wire]) -> list[Wire | Step]:
        return [*item_events(COLD, own, 1), completed(own, output_of((*TOOL, COLD), own))]

    async with steering_stage(begins(TOOL, then), begins(TOOL, then)) as talk:
        await talk.start("Weather in Paris?")
        assert not await steer(talk)
        heard = await talk.finish()
        assert (heard.text, heard.errors) == ("It is cold in Paris.", [])
        assert talk.llm.capabilities.steering is False
        assert not await talk.llm.steer("In Nice.")
        assert (await talk.turn("Well?")).errors == []
        assert len(talk.server.steers) == 1


@pytest.mark.parametrize("says", [True, False])
async def test_functions_run_whether_the_server_says_that_it_waits(says: bool) -> None:
    call = Call("note", {"words": "weather"}, "call_1")

    def then(own: str, output: list[Wire]) -> list[Wire | Step]:
        over = completed(own, output_of((*TOOL, call), own))
        waits: list[Wire | Step] = [pending(own, "call_1")] if says else []
        return [accepted(own), *item_events(call, own, 1), over, *waits]

    async with steering_stage(begins(TOOL, then), proper((WARM,))) as talk:
        await talk.start("Weather in Paris?")
        assert await steer(talk)
        await talk.said.until(lambda: talk.ends == 2, talk.patience)
        heard = await talk.finish()
        assert (heard.text, heard.errors) == ("It is warm in Lyon.", [])
        assert len(talk.runs) == 1
        # The request with the result has all of it, and continues from no response that waits.
        assert heard.asked[-1].parent is None
        told = [str(each) for each in heard.asked[-1].told or []]
        assert sum("In Lyon." in each for each in told) == 1


@pytest.mark.parametrize("code", ["response_already_completed", "some_new_code"])
async def test_a_refusal_leaves_the_answer_as_it_is(code: str) -> None:
    def then(own: str, output: list[Wire]) -> list[Wire | Step]:
        over = completed(own, output_of((*TOOL, COLD), own))
        return [failed(own, code), *item_events(COLD, own, 1), over]

    async with steering_stage(begins(TOOL, then)) as talk:
        await talk.start("Weather in Paris?")
        assert not await steer(talk)
        heard = await talk.finish()
        assert (heard.text, len(heard.asked), heard.errors) == ("It is cold in Paris.", 1, [])
        assert talk.llm.capabilities.steering is None


async def test_nothing_old_is_heard_before_the_server_has_taken_what_is_new() -> None:
    """Parked, and the old answer begins while ``response.steer`` is on its way."""

    def then(own: str, output: list[Wire]) -> list[Wire | Step]:
        return [*item_events(COLD, own, 1), failed(own, "response_not_active")]

    answers = begins(TOOL, then), proper((WARM,))
    async with steering_stage(*answers, steering="auto") as talk:
        await talk.start("Weather in Paris?")
        await tool_runs(talk)
        await talk.interrupt()
        heard = await talk.turn("In Lyon.")
        assert (heard.text, heard.errors) == ("It is warm in Lyon.", [])
        assert len(talk.server.steers) == 1


async def test_steering_that_strays_is_nobodys() -> None:
    stray: list[Wire] = [accepted("resp_x"), failed("resp_x"), pending("resp_x", "c")]

    def answer(asked: Asked) -> Script:
        events = [*stray, *events_of((COLD,), asked.response_id), *stray]
        return Script([Send(each) for each in events], output_of((COLD,), asked.response_id))

    async with steering_stage(answer, answer) as talk:
        for _ in range(2):
            heard = await talk.turn("Hello.")
            assert (heard.text, heard.errors) == ("It is cold in Paris.", [])
        assert talk.llm.stats.incremental == 1


async def test_cancelled_while_it_waits_for_the_servers_word() -> None:
    def then(own: str, output: list[Wire]) -> list[Wire | Step]:
        return [Elapse(0.05), accepted(own), steered(own, output), *successor((WARM,))]

    async with steering_stage(begins(TOOL, then)) as talk:
        await talk.start("Weather in Paris?")
        await tool_runs(talk)
        task = asyncio.create_task(talk.llm.steer("In Lyon."))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        heard = await talk.finish()
        assert heard.errors == []
        assert not await talk.llm.steer("In Nice.")
        assert (await talk.turn("Good?")).errors == []
