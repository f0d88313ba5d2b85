"""Inputs that once failed: errors, their owners, their time, and the turn they end."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
from loguru import logger
from openai import AsyncOpenAI
from pipecat.frames.frames import (
    EndFrame,
    LLMThoughtEndFrame,
    LLMThoughtStartFrame,
    LLMThoughtTextFrame,
)
from pipecat.metrics.metrics import TTFBMetricsData

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.requests import Fields, http_payload
from pipecat_responses.transport.http import HttpOptions, stream
from tests.histories.meaning import (
    Call,
    Say,
    Think,
    Wire,
    created,
    events_of,
    item_events,
    output_of,
    said,
    words_of,
)
from tests.histories.rows import BOTH
from tests.histories.server import PROPER, ScriptedServer
from tests.histories.stage import KEY, stage
from tests.histories.steps import (
    Answer,
    Asked,
    Body,
    Close,
    Elapse,
    Head,
    KeepAlive,
    Reset,
    Script,
    Send,
    Silence,
    Step,
    Wait,
    changed,
    error,
    only,
    proper,
    sends,
)
from tests.support.hurry import Transport

WEATHER = "It is sunny in Paris."
STORY = "Once upon a time there was a king."


def beginning(*end: Step, words: int = 3) -> Answer:
    """An answer that comes as far as a few words, and then goes on as is said."""

    def stop(events: list[Wire]) -> list[Wire | Step]:
        deltas = [n for n, event in enumerate(events) if event["type"].endswith("text.delta")]
        return [*events[: deltas[words - 1] + 1], *end]

    return changed(said(STORY), stop)


# -- errors and whose they are ----------------------------------------------------------------


async def test_row_3_an_error_that_answers_a_cancel_costs_the_next_turn_nothing() -> None:
    refusal = error(400, "Unsupported message.", lane=False, type="invalid_request_error")

    async with stage("websocket", proper(said("Hello.")), beginning(Silence())) as talk:
        await talk.turn("Hello.")
        await talk.start("Tell me a story.")
        await talk.text_arrives()

        def answer(asked: Asked) -> Script:
            return Script([refusal, *proper(said(WEATHER))(asked).steps])

        talk.server.answers.append(answer)
        await talk.interrupt()
        heard = await talk.turn("Enough.")
        assert talk.server.cancels == 1
        assert heard.text.endswith((WEATHER, PROPER)), "the answer was lost"
        assert len(heard.asked) <= 2
        assert heard.errors == []
        assert talk.llm.is_usable
        assert (await talk.turn("And now?")).text == PROPER


REFUSALS: dict[str, dict[str, Any]] = {
    "content_filter": {"message": "The prompt was filtered.", "code": "content_filter"},
    "policy": {"message": "This violates our usage policy.", "code": "content_policy_violation"},
    "tools": {
        "message": "Invalid schema for function 'note'.",
        "code": "invalid_function_parameters",
        "param": "tools[0].parameters",
    },
    "tool_choice": {"message": "Tool choice 'x' not found in 'tools'.", "param": "tool_choice"},
    "arguments": {"message": "Invalid arguments for function call 'call_1'."},
    "encrypted": {
        "message": "The encrypted content could not be verified.",
        "code": "invalid_encrypted_content",
    },
}


@pytest.mark.parametrize("refusal", REFUSALS)
@BOTH
async def test_row_4_a_400_about_what_a_turn_says_ends_that_turn(
    transport: Transport, refusal: str
) -> None:
    step = error(400, type="invalid_request_error", **REFUSALS[refusal])

    async with stage(transport, only(step), only(step)) as talk:
        heard = await talk.turn()
        assert heard.text == ""
        assert len(heard.errors) == 1
        talk.server.answers.clear()
        assert talk.llm.is_usable
        heard = await talk.turn("And now?")
        assert heard.text == PROPER
        assert heard.errors == []


@pytest.mark.parametrize("kind", ["error", "failed"])
async def test_row_14_memory_lost_after_created_is_forgotten_at_once(kind: str) -> None:
    code, message = "previous_response_not_found", "Previous response not found."

    def answer(asked: Asked) -> Script:
        begun = created(asked.response_id)
        if kind == "error":
            return Script([Send(begun), error(400, message, code=code)])
        response = {
            **begun["response"],
            "status": "failed",
            "error": {"code": code, "message": message},
        }
        return Script([Send(begun), Send({"type": "response.failed", "response": response})])

    def judge(asked: Asked) -> Answer | None:
        return answer if asked.parent is not None else None

    async with stage("websocket") as talk:
        await talk.turn("Hello.")
        talk.server.judge = judge
        heard = await talk.turn("And now?")
        assert [asked.parent is None for asked in heard.asked] == [False, True]
        assert heard.text == PROPER
        assert heard.errors == []


@pytest.mark.parametrize("nested", [True, False], ids=["nested", "flat"])
async def test_row_15_an_error_without_a_lane_is_the_running_responses(nested: bool) -> None:
    broken = error(500, "Something broke.", nested=nested, lane=False, code="server_error")
    limits = {"stall_secs": 30.0, "terminal_secs": 30.0}

    async with stage("websocket", proper(said("Hello.")), limits=limits) as talk:
        await talk.turn("Hello.")
        rest = proper(said("there was a king."))
        talk.server.answers.extend([beginning(broken, Silence(), words=4), rest])
        talk.patience = 2.0
        heard = await talk.turn("Tell me a story.")
        assert heard.text == STORY or len(heard.errors) == 1


# -- time -------------------------------------------------------------------------------------


@BOTH
async def test_row_13_an_answer_that_breaks_off_late_is_resumed(transport: Transport) -> None:
    late = beginning(Elapse(0.4), KeepAlive(), Elapse(0.4), Wait("heard"), Reset(), words=4)
    limits = {"total_secs": 0.6, "stall_secs": 2.0}

    async with stage(transport, late, proper(said("there was a king.")), limits=limits) as talk:
        await talk.start("Tell me a story.")
        await talk.said.until(lambda: talk.said.text == "Once upon a time")
        talk.server.opens("heard")
        heard = await talk.finish()
        assert heard.text == STORY
        assert heard.errors == []


SIGNS = [("websocket", "event"), ("websocket", "ping"), ("http", "event"), ("http", "comment")]


@pytest.mark.parametrize("begun", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("transport", "sign"), SIGNS)
async def test_row_16_any_sign_of_life_counts(transport: Transport, sign: str, begun: bool) -> None:
    alive: list[Step] = [KeepAlive(sign), Elapse(0.06)] * 12

    def answer(asked: Asked) -> Script:
        events = sends(events_of(said(WEATHER), asked.response_id))
        first = 1 if begun else 0
        return Script([*events[:first], *alive, *events[first:]])

    # The server shows twelve times that it is there, in more time than any limit allows.
    limits = {"quiet_secs": 0.2, "probe_secs": 0.2, "begin_secs": 0.3, "stall_secs": 0.3}
    async with stage(transport, answer, limits=limits) as talk:
        heard = await talk.turn()
        assert heard.text == WEATHER
        assert len(heard.asked) == 1
        assert heard.errors == []


@BOTH
async def test_row_43_a_stream_that_stalls_in_a_sentence_is_resumed_soon(
    transport: Transport,
) -> None:
    rest = proper(said("there was a king."))
    # The limit of a stall is left as it is by default: a response may think for long.
    limits = {"stall_secs": 60.0, "total_secs": 12.0}
    async with stage(transport, beginning(Silence(), words=4), rest, limits=limits) as talk:
        talk.patience = 3.0
        heard = await talk.turn("Tell me a story.")
        assert heard.text == STORY
        assert heard.errors == []


# -- ends -------------------------------------------------------------------------------------


@BOTH
async def test_row_21_a_turn_in_flight_at_the_end_is_no_error(transport: Transport) -> None:
    async with stage(transport, beginning(Silence())) as talk:
        await talk.start("Tell me a story.")
        await talk.text_arrives()
        await talk.end()
        assert talk.errors == []


@BOTH
async def test_row_21_a_result_that_comes_after_the_end_is_no_error(transport: Transport) -> None:
    running, ended = asyncio.Event(), asyncio.Event()

    async def handle(params: Any) -> None:
        running.set()
        await ended.wait()
        await params.result_callback("at last")

    call = (Call("note", {"words": "milk"}, "call_1"),)
    async with stage(transport, proper(call)) as talk:
        talk.llm.register_function("note", handle)
        await talk.start("Hello.")
        await running.wait()
        ending = asyncio.create_task(talk.end())
        await talk.said.until(lambda: any(isinstance(f, EndFrame) for f in talk.said.frames))
        ended.set()
        await ending
        assert talk.errors == []


@BOTH
async def test_row_37_a_failed_turn_stops_its_metrics(transport: Transport) -> None:
    refused = error(400, "No tool output found for function call call_1.")

    async with stage(transport, only(refused)) as talk:
        heard = await talk.turn()
        assert len(heard.errors) == 1
        measured = len(_ttfb(talk.metrics))
        # Whatever runs on is told when the call is over.
        await talk.end()
        assert len(_ttfb(talk.metrics)) == measured


def _ttfb(metrics: list[Any]) -> list[Any]:
    return [each for each in metrics if isinstance(each, TTFBMetricsData) and each.value > 0]


@BOTH
async def test_row_46_a_turn_that_is_lost_before_a_word_is_told(transport: Transport) -> None:
    lost: list[object] = []
    told = asyncio.Event()

    async def on_turn_lost(*args: object) -> None:
        lost.append(args)
        told.set()

    failing = [only(error(500, "The model failed.", type="server_error"))] * 9
    async with stage(transport, *failing) as talk:
        talk.llm.add_event_handler("on_turn_lost", on_turn_lost)
        heard = await talk.turn()
        assert heard.text == ""
        assert len(heard.errors) == 1
        async with asyncio.timeout(0.5):
            await told.wait()
        assert len(lost) == 1


# -- what is sent -----------------------------------------------------------------------------


@BOTH
async def test_row_9_half_a_surrogate_pair_is_replaced(transport: Transport) -> None:
    warnings: list[str] = []
    async with stage(transport) as talk:
        sink = logger.add(lambda message: warnings.append(str(message)), level="WARNING")
        try:
            for text in ("Hi \ud83d there.", "And now?"):
                heard = await talk.turn(text)
                assert heard.text == PROPER
                assert heard.errors == []
        finally:
            logger.remove(sink)
        told = json.dumps(heard.asked[-1].told)
        assert "\\ufffd" in told
        assert "\\ud83d" not in told
        assert len(warnings) <= 1


@BOTH
async def test_row_9_half_a_surrogate_pair_in_a_tools_result(transport: Transport) -> None:
    async def handle(params: Any) -> None:
        await params.result_callback("half \ud83d of it")

    call = (Call("note", {"words": "milk"}, "call_1"),)
    async with stage(transport, proper(call), proper(said(WEATHER))) as talk:
        talk.llm.register_function("note", handle)
        heard = await talk.turn()
        assert heard.text == WEATHER
        assert heard.errors == []
        assert "\\ufffd" in json.dumps(heard.asked[-1].told)
        assert (await talk.turn("And now?")).text == PROPER


async def test_row_20_an_anchor_that_was_answered_is_no_anchor() -> None:
    call = (Call("note", {"words": "milk"}, "call_1"),)
    prepared: list[bool] = []

    def judge(asked: Asked) -> Answer | None:
        if asked.body.get("generate") is not False:
            return None

        def answer(asked: Asked) -> Script:
            prepared.append(True)
            return Script(sends(events_of(call, asked.response_id)))

        return answer

    def prepare(server: ScriptedServer) -> None:
        server.judge = judge

    async with stage("websocket", prepare=prepare) as talk:
        await talk.ready()
        talk.context.set_messages([{"role": "user", "content": "My name is Ann."}])
        await talk.llm.warm_up(talk.context)
        heard = await talk.turn("Hello.")
        assert prepared == [True]
        assert heard.text == PROPER
        (asked,) = heard.asked
        kinds = [item.get("type", "message") for item in asked.told or []]
        assert "function_call" not in kinds, "a call without an output"
        assert len(kinds) == 2


@pytest.mark.parametrize("where", ["item", "response"])
async def test_events_of_two_messages_may_come_side_by_side(where: str) -> None:
    # Texts of two messages whose events come side by side are both said, whole.
    first, second = Say(("One ", "moment.")), Say(words_of(WEATHER))

    def answer(asked: Asked) -> Script:
        own = asked.response_id
        events = [item_events(item, own, n) for n, item in enumerate((first, second))]
        output = output_of((first, second), own)
        body = [*events[0][:-1], *events[1], events[0][-1]]
        return Script(sends([created(own), *body, events_of((first, second), own)[-1]]), output)

    async with stage("websocket" if where == "item" else "http", answer) as talk:
        heard = await talk.turn()
        assert heard.text == f"One moment. {WEATHER}"
        assert heard.errors == []


@BOTH
async def test_the_reasoning_of_an_open_model_is_a_thought(transport: Transport) -> None:
    def shown(events: list[Wire]) -> list[Wire | Step]:
        named = json.dumps(events).replace("reasoning_summary_text", "reasoning_text")
        return list(json.loads(named))

    meaning = (Think(("Let me", " see.")), *said(STORY))
    async with stage(transport, changed(meaning, shown)) as talk:
        heard = await talk.turn()
        assert heard.text == STORY
        thoughts = [f.text for f in talk.said.frames if isinstance(f, LLMThoughtTextFrame)]
        assert "".join(thoughts) == "Let me see."
        kinds = [type(f) for f in talk.said.frames]
        assert kinds.count(LLMThoughtStartFrame) == kinds.count(LLMThoughtEndFrame) == 1


# -- more than there is to say ------------------------------------------------------------------


PACKED = {"content-type": "text/event-stream", "content-encoding": "gzip"}


async def test_row_34_what_unpacks_to_far_too_much_leaves_room_for_others() -> None:
    limit = 4 * 1024 * 1024
    bomb = only(Head(200, PACKED), Body(gzip.compress(b"\n" * 40_000_000)), Close())
    async with stage("http", bomb, max_message_bytes=limit) as talk:
        heard = await talk.turn()
        assert heard.text == PROPER or len(heard.errors) == 1
        assert (await talk.turn("And now?")).text == PROPER


async def test_row_34_it_is_read_in_small_steps() -> None:
    limit, step = 4 * 1024 * 1024, 16 * 1024
    bomb = only(Head(200, PACKED), Body(gzip.compress(b"\n" * 40_000_000)), Close())
    steps = 0
    heard_at: list[int] = []

    async def others() -> None:
        nonlocal steps
        while True:
            await asyncio.sleep(0)
            steps += 1

    async with ScriptedServer() as server:
        server.answers.append(bomb)
        client = AsyncOpenAI(api_key=KEY, base_url=server.base_url)
        working = asyncio.create_task(others())
        with pytest.raises(ResponsesError, match="max_message_bytes"):
            await stream(
                client,
                http_payload(Fields({"model": "gpt-4.1"}), []),
                lambda _: heard_at.append(steps),
                lambda: None,
                lambda _: None,
                HttpOptions(max_event_bytes=limit),
            )
        working.cancel()
        await client.close()
    # Somebody else had a turn after each step, and nothing was read beyond the limit.
    assert limit // step - 1 <= len(set(heard_at)) == len(heard_at) <= limit // step


async def test_an_answer_that_a_proxy_has_packed_is_read() -> None:
    events = "".join(f"data: {json.dumps(each)}\n\n" for each in events_of(said(STORY), "resp_1"))
    answer = only(Head(200, PACKED), Body(gzip.compress(events.encode())), Close())
    async with stage("http", answer) as talk:
        assert (await talk.turn()).text == STORY
