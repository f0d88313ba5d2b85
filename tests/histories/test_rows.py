"""Inputs that once failed: what the events of a response say, however they say it.

Each test is a row of the list of known faults; the others are in ``test_rows_turns`` and
``test_rows_connections``. ``rows.FAILING`` lists those that fail today.
"""

from __future__ import annotations

import json

import pytest

from tests.histories.meaning import (
    Call,
    Meaning,
    Say,
    Think,
    Wire,
    completed,
    created,
    output_of,
    said,
    words_of,
)
from tests.histories.rows import BOTH
from tests.histories.stage import Heard, stage
from tests.histories.steps import (
    Asked,
    Body,
    Head,
    Reset,
    Script,
    Send,
    Silence,
    Step,
    Wait,
    changed,
    proper,
)
from tests.support.hurry import Transport

WEATHER = "It is sunny in Paris."
NOTE = Call("note", {"words": "milk"}, "call_1")
RING = Call("ring", {"words": "bell"}, "call_2")


def without(events: list[Wire], *endings: str) -> list[Wire]:
    """The events without those whose type ends so."""
    return [event for event in events if not str(event["type"]).endswith(endings)]


def of_output(events: list[Wire]) -> list[Wire]:
    """The events with nothing listed at the end, as some servers do it."""
    last = events[-1]
    return [*events[:-1], {**last, "response": {**last["response"], "output": []}}]


# -- calls ------------------------------------------------------------------------------------


@BOTH
async def test_row_6_a_call_id_that_differs_at_the_end_runs_nothing_again(
    transport: Transport,
) -> None:
    def differ(events: list[Wire]) -> list[Wire]:
        last = json.loads(json.dumps(events[-1]))
        last["response"]["output"][0]["call_id"] = "call_other"
        return [*events[:-1], last]

    async with stage(transport, changed((NOTE,), differ)) as talk:
        heard = await talk.turn()
        assert talk.runs == [("note", {"words": "milk"})]
        assert heard.errors == []


def without_ids(events: list[Wire], *, index: bool) -> list[Wire]:
    """No ids of items anywhere, and if wished no indexes either."""
    stripped: list[Wire] = []
    for event in events:
        event = {k: v for k, v in event.items() if k != "item_id"}
        if not index:
            event.pop("output_index", None)
        if "item" in event:
            event["item"] = {k: v for k, v in event["item"].items() if k != "id"}
        if event["type"] == "response.completed":
            output = [
                {k: v for k, v in item.items() if k != "id"} for item in event["response"]["output"]
            ]
            event["response"] = {**event["response"], "output": output}
        stripped.append(event)
    return stripped


def in_lanes(events: list[Wire]) -> list[Wire]:
    """Two items side by side: both begin, then both go on, then both end."""
    return [*events[:2], *sorted(events[2:-1], key=_progress), events[-1]]


def _progress(event: Wire) -> int:
    kind = str(event["type"])
    order = ("output_item.added", "arguments.delta", "arguments.done", "output_item.done")
    return next(number for number, ending in enumerate(order) if kind.endswith(ending))


@pytest.mark.parametrize("interleaved", [True, False], ids=["interleaved", "in_order"])
@pytest.mark.parametrize("index", [True, False], ids=["index", "no_index"])
@BOTH
async def test_row_7_items_without_ids_keep_their_own_arguments(
    transport: Transport, index: bool, interleaved: bool
) -> None:
    def strip(events: list[Wire]) -> list[Wire]:
        events = in_lanes(events) if interleaved else events
        return without_ids(events, index=index)

    async with stage(transport, changed((NOTE, RING), strip)) as talk:
        heard = await talk.turn()
        assert sorted(talk.runs) == [("note", {"words": "milk"}), ("ring", {"words": "bell"})]
        assert heard.errors == []


def _with_arguments(events: list[Wire], change: str) -> list[Wire]:
    """Calls as careless servers make them: everywhere, so that nothing makes up for it."""
    altered = json.loads(json.dumps(without(events, "arguments.delta", "arguments.done")))
    items = [event["item"] for event in altered if event.get("item")]
    for item in [*items, *altered[-1]["response"]["output"]]:
        if change == "null":
            item["arguments"] = None
        elif change == "missing":
            item.pop("arguments")
        elif change == "object":
            item["arguments"] = {"words": "milk"}
        elif change == "no_call_id":
            item.pop("call_id")
    return list(altered)


@pytest.mark.parametrize("change", ["null", "missing", "no_call_id"])
@BOTH
async def test_row_19_a_careless_call_is_run_or_answered(transport: Transport, change: str) -> None:
    def careless(events: list[Wire]) -> list[Wire]:
        return _with_arguments(events, change)

    async with stage(transport, changed((NOTE,), careless)) as talk:
        heard = await talk.turn()
        # It runs, without arguments if it has none; or else the model is told why not.
        own = {"words": "milk"} if change == "no_call_id" else {}
        assert talk.runs in ([("note", own)], [])
        assert len(heard.asked) == 2, "nobody answered the call"
        told = heard.asked[1].told or []
        assert any(item.get("type") == "function_call_output" for item in told)
        assert heard.errors == []


@BOTH
async def test_row_45_arguments_that_come_only_as_deltas_are_joined(transport: Transport) -> None:
    def deltas_only(events: list[Wire]) -> list[Wire]:
        altered = json.loads(json.dumps(without(events, "arguments.done")))
        for item in [*(e["item"] for e in altered if e.get("item"))]:
            item["arguments"] = ""
        return of_output(altered)

    async with stage(transport, changed((NOTE,), deltas_only)) as talk:
        heard = await talk.turn()
        assert talk.runs == [("note", {"words": "milk"})]
        assert heard.errors == []


@BOTH
async def test_row_45_arguments_may_be_an_object(transport: Transport) -> None:
    def as_object(events: list[Wire]) -> list[Wire]:
        return _with_arguments(events, "object")

    async with stage(transport, changed((NOTE,), as_object)) as talk:
        heard = await talk.turn()
        assert talk.runs == [("note", {"words": "milk"})]
        assert heard.errors == []


# -- text -------------------------------------------------------------------------------------


@BOTH
async def test_row_8_an_emoji_split_over_two_deltas_is_one_emoji(transport: Transport) -> None:
    def answer(asked: Asked) -> Script:
        message = output_of((Say(("Great \U0001f600 day.",)),), asked.response_id)[0]
        own = asked.response_id
        added = {"type": "response.output_item.added", "output_index": 0, "item": message}
        done = {"type": "response.output_item.done", "output_index": 0, "item": message}
        steps: list[Step] = [
            Send(created(own)),
            Send({**added, "item": {**message, "content": []}}),
        ]
        place = {"item_id": message["id"], "output_index": 0, "content_index": 0}
        kind = "response.output_text.delta"
        pieces = ("Great \ud83d", "\ude00 day.")
        steps += [Send({"type": kind, **place, "delta": piece}) for piece in pieces]
        return Script([*steps, Send(done), Send(completed(own, [message]))])

    async with stage(transport, answer) as talk:
        heard = await talk.turn()
        assert heard.text == "Great \U0001f600 day."
        assert len(heard.asked) == 1
        assert heard.errors == []


TWO = (Say(("One ", "moment."), "commentary"), Say(words_of(WEATHER), "final_answer"))


def _only_in_item_done(events: list[Wire]) -> list[Wire]:
    return of_output(without(events, "text.delta", "text.done", "part.added", "part.done"))


def _only_in_completed(events: list[Wire]) -> list[Wire]:
    return [events[0], events[-1]]


def _second_only_in_completed(events: list[Wire]) -> list[Wire]:
    return [event for event in events if event.get("output_index") != 1]


def _text_done_twice(events: list[Wire]) -> list[Wire]:
    return [
        again
        for event in events
        for again in ([event] * (2 if str(event["type"]).endswith("text.done") else 1))
    ]


def _done_twice_without_deltas(events: list[Wire]) -> list[Wire]:
    return _text_done_twice(without(events, "text.delta"))


TEXTS = {
    "item_done": _only_in_item_done,
    "completed": _only_in_completed,
    "second_in_completed": _second_only_in_completed,
    "done_twice": _text_done_twice,
    "done_twice_no_deltas": _done_twice_without_deltas,
}


@pytest.mark.parametrize("meaning", [said(WEATHER), TWO], ids=["one", "two"])
@pytest.mark.parametrize("change", TEXTS)
@BOTH
async def test_row_10_what_was_not_put_out_yet_is_put_out_once(
    transport: Transport, change: str, meaning: Meaning
) -> None:
    async with stage(transport, changed(meaning, TEXTS[change])) as talk:
        heard = await talk.turn()
        assert heard.text == " ".join(item.text for item in meaning if isinstance(item, Say))
        assert len(heard.asked) == 1
        assert heard.errors == []


# -- breaking off -----------------------------------------------------------------------------


def _all_or_reported(heard: Heard, whole: str) -> None:
    """Everything is said in the end, or the beginning of it, and then that is reported."""
    if heard.errors:
        assert len(heard.errors) == 1
        assert whole.startswith(heard.text)
    else:
        assert heard.text == whole, "something is missing, and nobody was told"


@pytest.mark.parametrize("end", ["reset", "silence"])
@BOTH
async def test_row_11_an_answer_lost_between_two_items_is_not_complete(
    transport: Transport, end: str
) -> None:
    def stop(events: list[Wire]) -> list[Wire | Step]:
        first = [event for event in events if event.get("output_index", 0) == 0][:-1]
        return [*first, Reset() if end == "reset" else Silence()]

    async with stage(transport, changed(TWO, stop), proper(said(WEATHER))) as talk:
        heard = await talk.turn()
        _all_or_reported(heard, f"One moment. {WEATHER}")


@pytest.mark.parametrize("end", [Reset(), Silence()], ids=["reset", "silence"])
@BOTH
async def test_row_11_reasoning_that_led_to_nothing_is_no_answer(
    transport: Transport, end: Step
) -> None:
    def stop(events: list[Wire]) -> list[Wire | Step]:
        first = [event for event in events if event.get("output_index", 0) == 0][:-1]
        return [*first, end]

    meaning = (Think(("Hm", ".")), Say(words_of(WEATHER)))
    async with stage(transport, changed(meaning, stop), proper(said(WEATHER))) as talk:
        heard = await talk.turn()
        _all_or_reported(heard, WEATHER)


@BOTH
async def test_row_12_text_that_no_item_announced_is_lost_like_any_other(
    transport: Transport,
) -> None:
    meaning = (Think(), Say(words_of(WEATHER)))

    def stop(events: list[Wire]) -> list[Wire | Step]:
        reasoning = [event for event in events if event.get("output_index", 0) == 0][:-1]
        deltas = [event for event in events if event["type"].endswith("text.delta")][:3]
        return [*reasoning, *deltas, Wait("heard"), Reset()]

    async with stage(transport, changed(meaning, stop), proper(said("in Paris."))) as talk:
        await talk.start("Hello.")
        await talk.said.until(lambda: "sunny" in talk.said.text)
        talk.server.opens("heard")
        heard = await talk.finish()
        _all_or_reported(heard, WEATHER)


RESUMES = [
    ("I don", "'t know.", "I don't know."),
    ("The weath", "weather in Paris is fine.", "The weather in Paris is fine."),
    ("It costs 1,23", "1,234 dollars.", "It costs 1,234 dollars."),
    ("1,23", "1,234 dollars", "1,234 dollars"),
    ("Rome", " Rome, of course.", "Rome, of course."),
    (
        "The capital of France",
        "The Capital of France is Paris.",
        "The capital of France is Paris.",
    ),
    ("It is so", "so nice.", "It is so nice."),
    ("Well. It is", "It is raining.", "Well. It is raining."),
]


@pytest.mark.parametrize(("before", "after", "whole"), RESUMES)
@BOTH
async def test_row_23_a_resume_says_no_word_twice_and_none_by_halves(
    transport: Transport, before: str, after: str, whole: str
) -> None:
    def stop(events: list[Wire]) -> list[Wire | Step]:
        last = max(n for n, event in enumerate(events) if event["type"].endswith("text.delta"))
        return [*events[: last + 1], Wait("heard"), Reset()]

    async with stage(transport, changed((Say((before,)),), stop), proper(said(after))) as talk:
        await talk.start("Hello.")
        await talk.said.until(lambda: talk.said.text == before)
        talk.server.opens("heard")
        heard = await talk.finish()
        assert heard.text == whole
        assert heard.errors == []


# -- the end ----------------------------------------------------------------------------------


@BOTH
async def test_row_24_a_response_may_end_under_another_id(transport: Transport) -> None:
    def rename(events: list[Wire]) -> list[Wire]:
        last = events[-1]
        return [*events[:-1], {**last, "response": {**last["response"], "id": "resp_other"}}]

    limits = {"terminal_secs": 3.0, "stall_secs": 9.0}
    async with stage(transport, changed(said(WEATHER), rename), limits=limits) as talk:
        talk.patience = 1.5
        heard = await talk.turn()
        assert heard.text == WEATHER
        assert len(heard.asked) == 1
        assert heard.errors == []


# -- over HTTP only ---------------------------------------------------------------------------


async def test_row_18_plain_json_is_read_as_the_response_it_is() -> None:
    def answer(asked: Asked) -> Script:
        event = completed(asked.response_id, output_of(said(WEATHER), asked.response_id))
        body = json.dumps(event["response"]).encode()
        head = {"content-type": "application/json", "content-length": str(len(body))}
        return Script([Head(200, head), Body(body)])

    async with stage("http", answer) as talk:
        heard = await talk.turn()
        assert heard.text == WEATHER
        assert len(heard.asked) == 1
        assert heard.errors == []


async def test_row_22_lines_may_end_with_a_carriage_return() -> None:
    def answer(asked: Asked) -> Script:
        script = proper(said(WEATHER))(asked)
        events = [step.event for step in script.steps if isinstance(step, Send)]
        text = "".join(f"event: {e['type']}\rdata: {json.dumps(e)}\r\r" for e in events)
        return Script([Body(text.encode())])

    async with stage("http", answer) as talk:
        heard = await talk.turn()
        assert len(heard.asked) == 1
        assert (heard.text, len(heard.errors)) in ((WEATHER, 0), ("", 1))
