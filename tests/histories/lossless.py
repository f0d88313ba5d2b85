"""Mutations that leave everything that was meant on the wire, said in another way."""

from __future__ import annotations

import json

from tests.histories.meaning import Wire
from tests.histories.mutations import (
    DELTA,
    HTTP,
    WEBSOCKET,
    Steps,
    altered,
    items_of,
    mutation,
    one_of,
    places,
    spot,
    without,
)
from tests.histories.steps import Body, Elapse, Head, KeepAlive, Send

EXTRA: list[Wire] = [
    {"type": "response.something.new", "output_index": 0, "delta": "not to be said"},
    {"type": "something.else", "text": "not to be said"},
    {"type": "keepalive"},
    {"type": "response.output_text.annotation.added", "item_id": "msg_x", "annotation": {}},
    {"type": "rate_limits.updated", "rate_limits": []},
    {"object": "event without a type"},
    {"type": None},
    {"type": 5},
    {"type": "response.output_text.delta", "delta": None},
    {"type": "response.output_text.delta"},
    {"type": "response.reasoning_text.delta", "item_id": "rs_x", "delta": "not to be said"},
]


@mutation()
def in_progress_left_out(steps: Steps, at: int) -> Steps:
    return without(steps, "response.in_progress")


@mutation()
def item_added_left_out(steps: Steps, at: int) -> Steps:
    return without(steps, "output_item.added")


@mutation(removes=True)
def item_done_left_out(steps: Steps, at: int) -> Steps:
    return without(steps, "output_item.done")


@mutation(removes=True)
def text_done_left_out(steps: Steps, at: int) -> Steps:
    return without(steps, "output_text.done", "content_part.done")


@mutation(removes=True)
def deltas_left_out(steps: Steps, at: int) -> Steps:
    return without(steps, ".delta")


@mutation(removes=True)
def arguments_done_left_out(steps: Steps, at: int) -> Steps:
    return without(steps, "arguments.done")


@mutation(removes=True)
def only_item_done(steps: Steps, at: int) -> Steps:
    steps = without(steps, ".delta", "text.done", "arguments.done", "part.added", "part.done")
    return nothing_listed(steps, at)


@mutation(removes=True)
def only_completed(steps: Steps, at: int) -> Steps:
    kept = {*places(steps, "response.created"), *places(steps, "response.completed")}
    return [step for n, step in enumerate(steps) if n in kept]


@mutation(removes=True)
def arguments_only_in_deltas(steps: Steps, at: int) -> Steps:
    def empty(event: Wire) -> None:
        for item in items_of(event):
            if item.get("type") == "function_call":
                item["arguments"] = ""

    steps = without(steps, "arguments.done")
    return altered(steps, empty, "item.added", "item.done", "completed")


@mutation(removes=True)
def arguments_as_object(steps: Steps, at: int) -> Steps:
    def parse(event: Wire) -> None:
        for item in items_of(event):
            if item.get("arguments"):
                item["arguments"] = json.loads(item["arguments"])

    steps = without(steps, "arguments.done", "arguments.delta")
    return altered(steps, parse, "item.done", "completed")


@mutation(removes=True)
def nothing_listed(steps: Steps, at: int) -> Steps:
    value: list[Wire | None] = [None]

    def empty(event: Wire) -> None:
        if at % 3 == 0:
            event["response"].pop("output", None)
        else:
            event["response"]["output"] = None if at % 3 == 1 else value[:0]

    return altered(steps, empty, "response.completed")


@mutation()
def field_missing(steps: Steps, at: int) -> Steps:
    names = ("sequence_number", "logprobs", "content_index", "annotations", "status", "created_at")
    return altered(steps, lambda event: _scrub(event, names[at % len(names)], False))


@mutation()
def field_null(steps: Steps, at: int) -> Steps:
    names = ("sequence_number", "logprobs", "content_index", "annotations", "usage", "model")
    return altered(steps, lambda event: _scrub(event, names[at % len(names)], True))


def _scrub(value: object, name: str, null: bool) -> None:
    if isinstance(value, dict):
        if name in value and null:
            value[name] = None
        elif name in value:
            del value[name]
        for each in value.values():
            _scrub(each, name, null)
    elif isinstance(value, list):
        for each in value:
            _scrub(each, name, null)


@mutation()
def no_item_ids(steps: Steps, at: int) -> Steps:
    def strip(event: Wire) -> None:
        event.pop("item_id", None)
        for item in items_of(event):
            item.pop("id", None)

    return altered(steps, strip)


@mutation()
def no_indexes(steps: Steps, at: int) -> Steps:
    return altered(steps, lambda event: _scrub(event, "output_index", False))


@mutation()
def other_item_ids_in_completed(steps: Steps, at: int) -> Steps:
    def rename(event: Wire) -> None:
        for item in items_of(event):
            if "id" in item:
                item["id"] = f"other_{item['id']}"

    return altered(steps, rename, "response.completed")


@mutation()
def other_call_id_in_completed(steps: Steps, at: int) -> Steps:
    def rename(event: Wire) -> None:
        for item in items_of(event):
            if "call_id" in item:
                item["call_id"] = f"other_{item['call_id']}"

    return altered(steps, rename, "response.completed")


@mutation()
def completed_under_another_id(steps: Steps, at: int) -> Steps:
    def rename(event: Wire) -> None:
        event["response"]["id"] += "_other"

    return altered(steps, rename, "response.completed")


@mutation()
def created_without_id(steps: Steps, at: int) -> Steps:
    return altered(steps, lambda event: event["response"].pop("id", None), "response.created")


@mutation()
def event_twice(steps: Steps, at: int) -> Steps:
    n = one_of(
        steps, at, "created", "in_progress", "added", "item.done", "arguments.done", "part.done"
    )
    return steps if n is None else [*steps[: n + 1], *steps[n:]]


@mutation()
def text_done_twice(steps: Steps, at: int) -> Steps:
    n = one_of(steps, at, "output_text.done")
    return steps if n is None else [*steps[: n + 1], *steps[n:]]


@mutation()
def completed_twice(steps: Steps, at: int) -> Steps:
    n = one_of(steps, at, "response.completed")
    return steps if n is None else [*steps[: n + 1], *steps[n:]]


@mutation()
def unknown_event(steps: Steps, at: int) -> Steps:
    n = spot(steps, at // len(EXTRA))
    return [*steps[:n], Send(EXTRA[at % len(EXTRA)]), *steps[n:]]


@mutation(transports=WEBSOCKET)
def event_of_another_lane(steps: Steps, at: int) -> Steps:
    stray = {"type": "response.output_text.delta", "delta": "not to be said", "stream_id": "nobody"}
    n = spot(steps, at)
    return [*steps[:n], Send(stray), *steps[n:]]


@mutation()
def delta_after_the_end(steps: Steps, at: int) -> Steps:
    stray: Wire = {"type": "response.output_text.delta", "item_id": "msg_x", "delta": "too late"}
    return [*steps, Send(stray)]


@mutation()
def ends_exchanged(steps: Steps, at: int) -> Steps:
    """Two neighbouring events that end something come the other way round."""
    ends = places(steps, ".done")
    pairs = [n for n in ends if n + 1 in ends]
    if not pairs:
        return steps
    n = pairs[at % len(pairs)]
    return [*steps[:n], steps[n + 1], steps[n], *steps[n + 2 :]]


@mutation()
def created_late(steps: Steps, at: int) -> Steps:
    found = places(steps, "response.created")
    if not found or len(steps) < 4:
        return steps
    rest = [step for n, step in enumerate(steps) if n != found[0]]
    n = 1 + at % 3
    return [*rest[:n], steps[found[0]], *rest[n:]]


@mutation()
def items_side_by_side(steps: Steps, at: int) -> Steps:
    """Two neighbouring calls stream at the same time."""
    indexes: dict[int, Steps] = {}
    for n in places(steps, "added", "done", "delta"):
        step = steps[n]
        assert isinstance(step, Send)
        kind = (step.event.get("item") or {}).get("type")
        if kind == "function_call" or "arguments" in str(step.event["type"]):
            indexes.setdefault(step.event.get("output_index", 0), []).append(step)
    if len(indexes) != 2:
        return steps
    one, two = indexes.values()
    mixed = [step for pair in zip(one, two, strict=False) for step in pair]
    first = steps.index(one[0])
    rest = [step for step in steps if step not in one and step not in two]
    return [*rest[:first], *mixed, *rest[first:]] if len(one) == len(two) else steps


@mutation()
def keep_alives(steps: Steps, at: int) -> Steps:
    n = spot(steps, at)
    return [*steps[:n], KeepAlive("event"), KeepAlive(("ping", "comment")[at % 2]), *steps[n:]]


@mutation()
def short_pause(steps: Steps, at: int) -> Steps:
    n = spot(steps, at)
    return [*steps[:n], Elapse(0.01), *steps[n:]]


@mutation()
def split_emoji(steps: Steps, at: int) -> Steps:
    """A delta is cut inside of a character, and each half sent as an escape of its own."""
    for n in places(steps, *DELTA):
        step = steps[n]
        assert isinstance(step, Send)
        text = step.event["delta"]
        if not isinstance(text, str):
            # Another mutation has been here.
            continue
        spots = [i for i, char in enumerate(text) if ord(char) > 0xFFFF]
        if spots:
            i = spots[at % len(spots)]
            high, low = json.dumps(text[i])[1:7], json.dumps(text[i])[7:13]
            halves = (
                text[:i] + json.loads(f'"{high}"'),
                json.loads(f'"{low}"') + text[i + 1 :],
            )
            sends = [Send({**step.event, "delta": half}) for half in halves]
            return [*steps[:n], *sends, *steps[n + 1 :]]
    return steps


@mutation(transports=HTTP)
def lines_end_with_crlf(steps: Steps, at: int) -> Steps:
    return _as_stream(steps, "\r\n")


@mutation(transports=HTTP)
def lines_end_with_cr(steps: Steps, at: int) -> Steps:
    return _as_stream(steps, "\r")


@mutation(transports=HTTP)
def bytes_in_pieces(steps: Steps, at: int) -> Steps:
    (body,) = _as_stream(steps, "\n")
    assert isinstance(body, Body)
    size = 1 + at % 97
    pieces = (body.data[n : n + size] for n in range(0, len(body.data), size))
    return [each for piece in pieces for each in (Body(piece), Elapse(0))]


def _as_stream(steps: Steps, newline: str) -> Steps:
    events = [step.event for step in steps if isinstance(step, Send)]
    text = "".join(
        f"event: {event.get('type')}{newline}data: {json.dumps(event)}{newline}{newline}"
        for event in events
    )
    return [Body(text.encode())]


@mutation(transports=HTTP)
def plain_json(steps: Steps, at: int) -> Steps:
    last = steps[places(steps, "response.completed")[0]]
    assert isinstance(last, Send)
    body = json.dumps(last.event["response"]).encode()
    head = {"content-type": "application/json", "content-length": str(len(body))}
    return [Head(200, head), Body(body)]
