"""A connection without I/O: what comes in, and the effects that come out."""

from __future__ import annotations

from typing import Any

import pytest

from pipecat_responses.protocol.capabilities import Capability, ServerCapabilities
from pipecat_responses.protocol.connection import (
    _TRANSITIONS,
    Connection,
    ConnectionEvent,
    ConnectionState,
)
from pipecat_responses.protocol.effects import (
    AbandonedEnded,
    Deliver,
    Effect,
    Fail,
    ForkEnded,
    Learned,
    MemoryLost,
    Send,
    StateChanged,
)
from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError, read_error
from pipecat_responses.protocol.events import (
    ACTIVITY,
    BEGAN,
    Created,
    Refused,
    Status,
    SteerAccepted,
    SteerFailed,
    SteerPending,
    Succeeded,
    Terminal,
    TextDelta,
)
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.items import make_item
from pipecat_responses.protocol.lanes import LaneSet, LaneState
from pipecat_responses.protocol.planning import plan
from pipecat_responses.protocol.requests import Fields, Request
from pipecat_responses.protocol.response import Response

MODEL = "gpt-4.1"


class Line:
    """A connection that is open, and what is known of its server."""

    def __init__(self, lanes: bool | None = True) -> None:
        self.capabilities = ServerCapabilities(lanes=lanes)
        self.connection: Connection[str] = Connection(LaneSet(named=lanes), self.capabilities)
        self.connection.opened()
        self.turns = 0

    def ask(self, *texts: str, generate: bool = True) -> Response[str]:
        """A turn's request; the listener is the last text."""
        items = [make_item({"role": "user", "content": text}) for text in texts]
        todo = plan([self.connection.lanes], items, MODEL)
        assert todo is not None
        self.turns += 1
        request = Request(Fields({"model": MODEL}), items, generate)
        response, _ = self.connection.start(todo, request, texts[-1], turn=self.turns)
        return response

    def answer(self, response: Response[str], text: str = "Yes.") -> list[Effect[str]]:
        """The server answers a request."""
        lane, own = response.lane.name, f"resp_{response.turn}"
        self.connection.receive(lane, Created(own))
        self.connection.receive(lane, BEGAN)
        return self.connection.receive(lane, ended(own, text))


def ended(response_id: str, text: str = "", status: Status = Status.COMPLETED) -> Terminal:
    message: dict[str, Any] = {"type": "message", "role": "assistant", "content": text}
    output = (message,) if text else ()
    return Terminal(status, response_id, output, None, None, None, None)


def refused(status: int | None, message: str = "No.", **facts: Any) -> Refused:
    return Refused(read_error({"status": status, "error": {"message": message, **facts}}))


def learned(effects: list[Any]) -> list[tuple[Capability, bool]]:
    """What they say that the server has shown."""
    return [(each.capability, each.available) for each in effects if isinstance(each, Learned)]


def kinds(effects: list[Effect[str]]) -> list[str]:
    return [type(each).__name__ for each in effects if not isinstance(each, StateChanged)]


def test_the_table_is_all_there_is() -> None:
    for state in ConnectionState:
        for event in ConnectionEvent:
            if (state, event) not in _TRANSITIONS:
                assert event is not ConnectionEvent.LOSE, "a loss may come at any time"
    assert set(_TRANSITIONS.values()) == set(ConnectionState) - {ConnectionState.CONNECTING}


def test_a_turn_from_its_request_to_its_checkpoint() -> None:
    line = Line()
    response = line.ask("hello")
    lane = response.lane.name
    [delivered] = line.connection.receive(lane, Created("resp_1"))
    assert delivered == Deliver("hello", Created("resp_1"))
    assert line.connection.response_speaking(lane, TextDelta("Yes.")) is response
    assert kinds(line.connection.receive(lane, ended("resp_1", "Yes."))) == ["Deliver"]
    assert response.lane.checkpoint is not None
    assert response.lane.checkpoint.output.text == "Yes."
    assert line.connection.silent


def test_an_interruption_leaves_the_lane_alone_and_asks_the_server_to_stop() -> None:
    line = Line()
    response = line.ask("hello")
    line.connection.receive(response.lane.name, Created("resp_1"))
    assert kinds(line.connection.abandon(response, never_left=False)) == ["Send"]
    assert response.lane.state is LaneState.ABANDONED
    assert line.connection.abandoned
    # Nobody hears what still comes of it, but its tokens count.
    assert line.connection.receive(response.lane.name, TextDelta("Ye")) == []
    effects = line.connection.receive(response.lane.name, ended("resp_1", "Yes."))
    assert AbandonedEnded(1, "resp_1", None) in effects
    assert line.connection.silent


def test_a_request_that_never_left_leaves_no_trace() -> None:
    line = Line()
    line.answer(line.ask("hello"))
    before = [lane.checkpoint for lane in line.connection.lanes.lanes]
    response = line.ask("hello", "again")
    assert kinds(line.connection.abandon(response, never_left=True)) == []
    assert [lane.checkpoint for lane in line.connection.lanes.lanes][: len(before)] == before
    assert line.connection.silent


def test_a_loss_is_told_to_everybody_once() -> None:
    line = Line()
    for text in ("one", "two"):
        line.ask(text)
    effects = line.connection.lose(ConnectionLostError("Broken"))
    assert [each.listener for each in effects if isinstance(each, Fail)] == ["one", "two"]
    assert line.connection.lose(ConnectionLostError("Broken again")) == []
    assert line.connection.loss is not None
    assert line.connection.loss.waited_for
    assert line.connection.loss.silent


def test_lost_memory_is_lost_for_all_lanes() -> None:
    line = Line()
    line.answer(line.ask("hello"))
    response = line.ask("hello", "again")
    assert not response.fork  # The context lacks the answer, so all of it is sent.
    gone = refused(400, code="previous_response_not_found")
    effects = line.connection.receive(response.lane.name, gone)
    assert kinds(effects) == ["MemoryLost", "Fail"]
    assert all(lane.checkpoint is None for lane in line.connection.lanes.lanes)


@pytest.mark.parametrize("created", [False, True])
def test_lost_memory_counts_at_any_time(created: bool) -> None:
    line = Line()
    line.answer(line.ask("hello"))
    response = line.ask("other")
    if created:
        line.connection.receive(response.lane.name, Created("resp_2"))
    gone = refused(400, code="previous_response_not_found")
    assert MemoryLost() in line.connection.receive(response.lane.name, gone)


def test_forks_keep_score() -> None:
    line = Line()
    first = line.ask("hello")
    line.answer(first)
    items = [
        *first.request.items,
        make_item({"role": "assistant", "content": "Yes."}),
        make_item({"role": "user", "content": "again"}),
    ]
    todo = plan([line.connection.lanes], items, MODEL)
    assert todo is not None
    assert todo.fork
    request = Request(Fields({"model": MODEL}), items)
    response, _ = line.connection.start(todo, request, "again", turn=2)
    line.connection.receive(response.lane.name, Created("resp_2"))
    assert ForkEnded(taken=True) in line.connection.receive(response.lane.name, BEGAN)


def test_lanes_are_learned_by_an_echo_or_its_lack() -> None:
    echoed, dropped = Line(None), Line(None)
    response = echoed.ask("hello")
    effects = echoed.connection.receive(response.lane.name, Created("resp_1"))
    assert (Capability.LANES, True) in learned(effects)
    dropped.ask("hello")
    effects = dropped.connection.receive(None, Created("resp_1"))
    assert (Capability.LANES, False) in learned(effects)
    assert dropped.connection.lanes.named is False


def test_a_refusal_in_unknown_words_may_be_about_the_lane() -> None:
    line = Line(None)
    response = line.ask("hello")
    effects = line.connection.receive(None, refused(422, "Bad request"))
    assert [each.error.failure for each in effects if isinstance(each, Fail)] == [Failure.NO_LANES]
    response = line.ask("hello")
    assert response.lane.name is None
    effects = line.connection.receive(None, Created("resp_1"))
    assert (Capability.LANES, False) in learned(effects)


def test_a_refusal_of_something_else_says_nothing_of_lanes() -> None:
    line = Line(None)
    line.ask("hello")
    line.connection.receive(None, refused(422, "Bad request"))
    line.ask("hello")
    effects = line.connection.receive(None, refused(422, "Bad request"))
    assert [each.error.failure for each in effects if isinstance(each, Fail)] == [Failure.CONTENT]
    assert not any(isinstance(each, Learned) for each in effects)
    assert line.ask("hello").lane.name is not None


def test_an_error_that_may_answer_a_cancel_is_not_the_turns() -> None:
    line = Line()
    first = line.ask("hello")
    line.connection.receive(first.lane.name, Created("resp_1"))
    [cancel, *_] = line.connection.abandon(first, never_left=False)
    assert isinstance(cancel, Send)
    second = line.ask("hello", "again")
    effects = line.connection.receive(None, refused(400, "Invalid request"))
    assert (Capability.CANCEL, False) in learned(effects)
    [failed] = [each for each in effects if isinstance(each, Fail)]
    assert (failed.listener, failed.error.failure) == ("again", Failure.CANCEL_REFUSED)
    assert second.lane.state is LaneState.ABANDONED


def test_an_error_without_a_lane_is_that_of_the_only_one_who_waits() -> None:
    line = Line()
    response = line.ask("hello")
    line.connection.receive(response.lane.name, Created("resp_1"))
    effects = line.connection.receive(None, refused(500, "Oops."))
    assert [each.listener for each in effects if isinstance(each, Fail)] == ["hello"]


def test_a_sign_of_life_is_for_everybody() -> None:
    line = Line()
    for text in ("one", "two"):
        line.ask(text)
    effects = line.connection.receive(None, ACTIVITY)
    assert [each.listener for each in effects if isinstance(each, Deliver)] == ["one", "two"]


def test_a_second_terminal_event_is_nobodys() -> None:
    line = Line()
    first = line.ask("hello")
    line.answer(first)
    second = line.ask("other")
    lane = second.lane.name
    assert kinds(line.connection.receive(first.lane.name, ended("resp_1", "Yes."))) == ["Dropped"]
    # A response may have another id at its end than at its beginning.
    line.connection.receive(lane, Created("resp_2"))
    assert kinds(line.connection.receive(lane, ended("resp_2b", "No."))) == ["Deliver"]


def test_an_answer_to_a_warm_up_is_no_checkpoint() -> None:
    line = Line()
    response = line.ask("hello", generate=False)
    effects = line.answer(response, "Hello!")
    assert (Capability.WARM_UP, False) in learned(effects)
    assert response.lane.checkpoint is None


def test_nothing_new_starts_on_a_connection_that_retires() -> None:
    line = Line()
    line.connection.receive(None, refused(400, code="websocket_connection_limit_reached"))
    assert line.connection.state is ConnectionState.RETIRING
    assert not line.connection.usable


def test_garbage_costs_the_response_that_runs() -> None:
    line = Line()
    response = line.ask("hello")
    line.connection.receive(response.lane.name, Created("resp_1"))
    error = ResponsesError("That is no event", failure=Failure.PROTOCOL)
    assert kinds(line.connection.receive_undecodable(error)) == ["Fail"]
    assert line.connection.receive_undecodable(error) == []


# -- steering ---------------------------------------------------------------------------------


def steerable(line: Line, *texts: str) -> Response[str]:
    """A response that runs, and takes more input."""
    items = [make_item({"role": "user", "content": text}) for text in texts]
    todo = plan([line.connection.lanes], items, MODEL)
    assert todo is not None
    line.turns += 1
    request = Request(Fields({"model": MODEL}), items, steerable=True)
    response, _ = line.connection.start(todo, request, texts[-1], turn=line.turns)
    line.connection.receive(response.lane.name, Created(f"resp_{line.turns}"))
    return response


MEANWHILE = [make_item({"role": "user", "content": "In Lyon."})]
ACCEPTED = SteerAccepted("resp_1")
FAILED = SteerFailed("resp_1", ResponsesError("It cannot be.", failure=Failure.REQUEST))
STEERED = Terminal(Status.INCOMPLETE, "resp_1", (), None, None, "steered", None)


def test_a_successor_takes_its_place_on_the_lane() -> None:
    line = Line()
    response = steerable(line, "hello")
    lane = response.lane.name
    (sent,) = line.connection.steer(response, MEANWHILE)
    assert isinstance(sent, Send)
    assert b'"previous_response_id":"resp_1"' in sent.payload.join()
    assert b"stream_id" not in sent.payload.join()
    assert kinds(line.connection.receive(lane, ACCEPTED)) == ["Deliver", "Learned"]
    # Its end is held back: another turn must not get the lane.
    assert line.connection.receive(lane, STEERED) == []
    assert response.lane.state is LaneState.RUNNING
    effects = line.connection.receive(lane, Created("resp_next"))
    assert effects == [
        Deliver("hello", Succeeded(STEERED)),
        Deliver("hello", Created("resp_next")),
    ]
    assert line.connection.response_speaking(lane, TextDelta("Warm.")) is response.successor
    line.connection.receive(lane, ended("resp_next", "Warm."))
    checkpoint = response.lane.checkpoint
    assert checkpoint is not None
    assert checkpoint.output.given == tuple(MEANWHILE)
    assert line.connection.silent


@pytest.mark.parametrize(
    "why_not", ["ended", "not begun", "no model for it", "not the user's", "unanswered", "known"]
)
def test_where_nothing_more_is_taken(why_not: str) -> None:
    line = Line()
    items = MEANWHILE
    if why_not == "known":
        line.capabilities.steering = False
    if why_not in ("not begun", "no model for it"):
        response = line.ask("hello")
        if why_not != "not begun":
            line.connection.receive(response.lane.name, Created("resp_1"))
    else:
        response = steerable(line, "hello")
    if why_not == "ended":
        line.connection.receive(response.lane.name, ended("resp_1", "Yes."))
    if why_not == "unanswered":
        assert line.connection.steer(response, items)
    if why_not == "not the user's":
        items = [make_item({"role": "developer", "content": "Be brief."})]
    assert line.connection.steer(response, items) == []


def test_what_is_let_go_of_has_its_lane_until_its_successor_has_ended() -> None:
    line = Line()
    response = steerable(line, "hello")
    lane = response.lane
    line.connection.steer(response, MEANWHILE)
    line.connection.receive(lane.name, ACCEPTED)
    line.connection.abandon(response, never_left=False)
    assert line.connection.receive(lane.name, STEERED) == []
    effects = line.connection.receive(lane.name, Created("resp_next"))
    # The courtesy goes to what runs now.
    assert kinds(effects) == ["AbandonedEnded", "Send"]
    assert lane.state is LaneState.ABANDONED
    effects = line.connection.receive(lane.name, ended("resp_next", "Warm."))
    assert AbandonedEnded(1, "resp_next", None) in effects
    assert line.connection.silent


@pytest.mark.parametrize(
    ("end", "comes"),
    [(STEERED, ["Deliver", "Fail"]), (ended("resp_1", "Yes."), ["Deliver", "Deliver"])],
    ids=["cut", "complete"],
)
def test_no_successor_comes(end: Terminal, comes: list[str]) -> None:
    line = Line()
    response = steerable(line, "hello")
    line.connection.steer(response, MEANWHILE)
    line.connection.receive(response.lane.name, ACCEPTED)
    line.connection.receive(response.lane.name, end)
    assert kinds(line.connection.receive(response.lane.name, FAILED)) == comes
    assert response.lane.state is LaneState.IDLE
    assert (response.lane.checkpoint is not None) is (end.status is Status.COMPLETED)


def test_nothing_continues_from_what_waits_for_the_client() -> None:
    line = Line()
    response = steerable(line, "hello")
    line.connection.steer(response, MEANWHILE)
    line.connection.receive(response.lane.name, ACCEPTED)
    line.connection.receive(response.lane.name, ended("resp_1", "Yes."))
    effects = line.connection.receive(response.lane.name, SteerPending("resp_1"))
    assert kinds(effects) == ["Deliver", "Deliver"]
    assert response.lane.state is LaneState.IDLE
    assert response.lane.checkpoint is None


@pytest.mark.parametrize("named", [True, False])
def test_a_server_that_does_not_know_it(named: bool) -> None:
    line = Line(named)
    response = steerable(line, "hello")
    line.connection.steer(response, MEANWHILE)
    refusal = refused(400, "Invalid value: 'response.steer'.", param="type")
    effects = line.connection.receive(None, refusal)
    assert (Capability.STEERING, False) in learned(effects)
    # The response is not what was refused.
    assert "Fail" not in kinds(effects)
    assert kinds(line.connection.receive(response.lane.name, ended("resp_1", "Yes."))) == [
        "Deliver"
    ]


def test_a_list_of_what_else_there_is_says_nothing_of_it() -> None:
    line = Line()
    first = steerable(line, "hello")
    line.connection.abandon(first, never_left=False)
    second = steerable(line, "hello", "again")
    line.connection.steer(second, MEANWHILE)
    refusal = refused(400, "Invalid value: 'response.cancel'. There is 'response.steer'.")
    effects = line.connection.receive(None, refusal)
    assert learned(effects) == [(Capability.CANCEL, False)]
