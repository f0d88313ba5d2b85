"""Mutations after which something is missing: answers that end early, break off or are refused."""

from __future__ import annotations

from tests.histories.meaning import Wire
from tests.histories.mutations import (
    DELTA,
    HTTP,
    WEBSOCKET,
    Effect,
    Steps,
    mutation,
    one_of,
    places,
    spot,
)
from tests.histories.steps import Body, Close, Cut, Head, Raw, Reset, Send, Silence, Step, error

# -- the answer says that it ends early -------------------------------------------------------


def _whole(steps: Steps) -> Wire:
    """The response object of the proper end."""
    step = steps[places(steps, "response.completed")[0]]
    assert isinstance(step, Send)
    return dict(step.event["response"])


@mutation(Effect.SHORT)
def incomplete(steps: Steps, at: int) -> Steps:
    n = one_of(steps, at, *DELTA)
    if n is None:
        return steps
    response = {
        **_whole(steps),
        "status": "incomplete",
        "output": [],
        "incomplete_details": {"reason": ("max_output_tokens", "content_filter")[at % 2]},
    }
    return [*steps[: n + 1], Send({"type": "response.incomplete", "response": response})]


# -- something is missing, and that can be known ----------------------------------------------


def _stops(steps: Steps, at: int, *end: Step) -> Steps:
    n = spot(steps[: places(steps, "response.completed")[0]], at)
    return [*steps[:n], *end]


@mutation(Effect.LOSS)
def reset(steps: Steps, at: int) -> Steps:
    return _stops(steps, at, Reset())


@mutation(Effect.LOSS)
def closed(steps: Steps, at: int) -> Steps:
    codes = (1000, 1001, 1002, 1011, 1012, 1013, 3000)
    return _stops(steps, at, Close(codes[at % len(codes)]))


@mutation(Effect.LOSS)
def cut(steps: Steps, at: int) -> Steps:
    n = spot(steps, at)
    step = steps[n]
    return [*steps[:n], Cut(step.event, 1 + at * 7 % 300)] if isinstance(step, Send) else steps


@mutation(Effect.LOSS)
def silence(steps: Steps, at: int) -> Steps:
    return _stops(steps, at, Silence())


@mutation(Effect.LOSS)
def terminal_left_out(steps: Steps, at: int) -> Steps:
    steps = steps[: places(steps, "response.completed")[0]]
    return [*steps, Silence()] if at % 2 else steps


PASSING: list[Send] = [
    error(500, "Something broke.", type="server_error"),
    error(500, "Something broke.", nested=False, code="server_error"),
    error(None, "Something broke.", nested=False, code="server_error", param=None),
    error(503, "Overloaded.", type="overloaded_error", code="overloaded"),
    error(429, "Too many.", code="rate_limit_exceeded", headers={"retry-after": "0.01"}),
    error(408, "Too slow."),
    error(None, "Nobody knows this.", code="never_seen"),
]
OF_CONNECTIONS: list[Send] = [
    error(400, "60 minutes.", code="websocket_connection_limit_reached"),
    error(400, "Too many lanes.", code="websocket_stream_limit_reached"),
    error(400, "Not found.", code="previous_response_not_found"),
]


@mutation(Effect.LOSS)
def refused(steps: Steps, at: int) -> Steps:
    return [PASSING[at % len(PASSING)]]


@mutation(Effect.LOSS, transports=WEBSOCKET)
def refused_for_the_connection(steps: Steps, at: int) -> Steps:
    return [OF_CONNECTIONS[at % len(OF_CONNECTIONS)]]


@mutation(Effect.LOSS, transports=WEBSOCKET)
def refused_without_lane(steps: Steps, at: int) -> Steps:
    return [Send(PASSING[at % len(PASSING)].event, lane=False)]


@mutation(Effect.LOSS)
def error_midway(steps: Steps, at: int) -> Steps:
    n = 1 + spot(steps[1 : places(steps, "response.completed")[0]], at)
    return [*steps[:n], PASSING[at % len(PASSING)]]


@mutation(Effect.LOSS, transports=WEBSOCKET)
def error_midway_without_lane(steps: Steps, at: int) -> Steps:
    n = 1 + spot(steps[1 : places(steps, "response.completed")[0]], at)
    return [*steps[:n], Send(PASSING[at % len(PASSING)].event, lane=False)]


@mutation(Effect.LOSS, transports=WEBSOCKET)
def memory_lost_midway(steps: Steps, at: int) -> Steps:
    return [*steps[: 1 + at % 2], OF_CONNECTIONS[2]]


@mutation(Effect.LOSS)
def failed(steps: Steps, at: int) -> Steps:
    why: Wire | None = {"code": "server_error", "message": "The model failed."} if at % 3 else None
    response = {**_whole(steps), "status": "failed", "output": [], "error": why}
    return _stops(steps, at, Send({"type": "response.failed", "response": response}))


@mutation(Effect.LOSS)
def undecodable(steps: Steps, at: int) -> Steps:
    garbage = ("", "{", "null", "[]", '{"type":', "\x00", "[" * 3000)
    n = spot(steps[:-1], at)
    return [*steps[:n], Raw(garbage[at % len(garbage)]), *steps[n:]]


@mutation(Effect.LOSS, transports=HTTP)
def page_of_a_proxy(steps: Steps, at: int) -> Steps:
    status = (200, 502, 503, 504)[at % 4]
    return [Head(status, {"content-type": "text/html"}), Body(b"<html>Bad gateway</html>")]


# -- something is missing, and nobody can know ------------------------------------------------


@mutation(Effect.GARBLED)
def delta_lost(steps: Steps, at: int) -> Steps:
    n = one_of(steps, at, *DELTA)
    return steps if n is None else [*steps[:n], *steps[n + 1 :]]


@mutation(Effect.GARBLED)
def delta_twice(steps: Steps, at: int) -> Steps:
    n = one_of(steps, at, *DELTA)
    return steps if n is None else [*steps[: n + 1], *steps[n:]]
