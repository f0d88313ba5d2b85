"""What a server remembers outlives rotations, reconnects and interruptions without lanes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage
from pipecat.services.llm_service import FunctionCallParams

from pipecat_responses import (
    Backoff,
    ConnectionLimits,
    OpenAIResponsesLLMSettings,
    dump,
    load,
)
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.sandbox import Answer, Call, Fault, Reasoning, Sandbox, Text
from pipecat_responses.session.stats import TurnReport
from pipecat_responses.testing import Conversation
from tests.support.contexts import kept_items, messages_of
from tests.support.history import of_context, of_items
from tests.support.services import SERVICES, websocket_service
from tests.support.waiting import eventually

LONG = "count to 60"
BRIEFING = "The house rules, in full: " + "be kind to guests; " * 400
QUICK = ConnectionLimits(backoff=Backoff(first=0.01, cap=0.05))


async def at_rest(llm: Any, *, anchors: int | None = None) -> None:
    """Waits until anchors were laid: so many, or as many as there are to be."""

    def resting() -> bool:
        anchor, pool = llm._session._anchor, llm._session._pool
        spare = llm._session._state.capabilities.lanes is not False or len(pool.usable) > 1
        return spare and not llm._session._state.notices and (anchor is None or anchor.done())

    await eventually(lambda: llm.stats.anchors >= (anchors or 0) and resting())
    if anchors is not None:
        assert llm.stats.anchors == anchors


async def brief(talk: Conversation, sandbox: Sandbox) -> None:
    """The conversation begins with much to be remembered."""
    sandbox.script("Understood.")
    await talk.say(BRIEFING)


def last_turn(llm: Any) -> TurnReport:
    report: TurnReport | None = llm.stats.last_turn
    assert report is not None
    return report


def same_as_context(sandbox: Sandbox, talk: Conversation) -> None:
    """The model has been told what the context says, up to the answer to it."""
    assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]


def anchors(sandbox: Sandbox) -> list[Any]:
    return [request for request in sandbox.requests if not request.generate]


# -- after a reconnect, after a rotation ----------------------------------------------------------


async def restarted(sandbox: Sandbox, llm: Any) -> None:
    await sandbox.stop()
    await sandbox.start()


async def cut(sandbox: Sandbox, llm: Any) -> None:
    sandbox.cut()


async def rotated(sandbox: Sandbox, llm: Any) -> None:
    """The connection has come of age."""
    pool = llm._session._pool
    for member in pool.usable:
        member.live.opened -= 3600
    llm._session._state.changed()


@pytest.mark.parametrize("how", [cut, restarted, rotated])
async def test_a_fresh_connection_is_given_the_conversation(
    sandbox: Sandbox, how: Callable[..., Any]
) -> None:
    llm = websocket_service(sandbox, connection_limits=QUICK)
    async with Conversation(llm, tts=None) as talk:
        await brief(talk, sandbox)
        for number in range(2):
            await how(sandbox, llm)
            await eventually(lambda: llm.stats.connections_opened == number + 2)  # noqa: B023
            await at_rest(llm, anchors=number + 1)
            await talk.say(f"hello {number}")
            assert last_turn(llm).incremental
            assert last_turn(llm).prepared
            same_as_context(sandbox, talk)
        await talk.say("and on")
        assert not last_turn(llm).prepared
        same_as_context(sandbox, talk)
        assert not talk.errors
    assert dict(llm.stats.full_reasons) == {"first": 1}
    assert len(anchors(sandbox)) == 2


@pytest.mark.parametrize(
    ("said", "options"), [("hello", {}), (BRIEFING, {"anchor_threshold_bytes": None})]
)
async def test_small_conversations_are_not_worth_it(
    sandbox: Sandbox, said: str, options: dict[str, Any]
) -> None:
    llm = websocket_service(sandbox, connection_limits=QUICK, **options)
    async with Conversation(llm, tts=None) as talk:
        sandbox.script("Understood.")
        await talk.say(said)
        sandbox.cut()
        await eventually(lambda: llm.stats.connections_opened == 2)
        await at_rest(llm)
        await talk.say("hello")
        same_as_context(sandbox, talk)
    assert not anchors(sandbox)
    assert dict(llm.stats.full_reasons) == {"first": 1, "reconnected": 1}


async def test_a_warm_up_is_given_again(sandbox: Sandbox) -> None:
    """The user has not spoken yet when the connection is lost."""
    # Whether the server has lanes is known from another call.
    async with Conversation(websocket_service(sandbox), tts=None) as talk:
        await talk.say("hello")
    llm = websocket_service(sandbox, connection_limits=QUICK)
    context = LLMContext([{"role": "developer", "content": BRIEFING}])
    async with Conversation(llm, context, tts=None) as talk:
        assert await llm.warm_up(context)
        sandbox.cut()
        await at_rest(llm, anchors=1)
        await talk.say("hello")
        same_as_context(sandbox, talk)
    assert (llm.stats.incremental, llm.stats.full) == (1, 0)


async def test_a_turn_waits_for_no_checkpoint(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox, connection_limits=QUICK)
    async with Conversation(llm, tts=None) as talk:
        await brief(talk, sandbox)
        sandbox.faults.add(Fault("silence", "request"))
        sandbox.cut()
        await eventually(lambda: len(anchors(sandbox)) == 1)
        assert await talk.say("are you there?")
        same_as_context(sandbox, talk)
        assert not talk.errors
        # It goes on elsewhere on the same connection.
        assert sandbox.connections_opened == 2
        await talk.say("good")
        assert last_turn(llm).incremental
    assert dict(llm.stats.full_reasons) == {"first": 1, "reconnected": 1}


async def test_a_fresh_connection_that_is_lost_again(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox, connection_limits=QUICK)
    async with Conversation(llm, tts=None) as talk:
        await brief(talk, sandbox)
        sandbox.faults.add(Fault("reset", "request", times=3))
        sandbox.cut()
        await at_rest(llm, anchors=4)
        await talk.say("hello")
        assert last_turn(llm).prepared
        same_as_context(sandbox, talk)
        assert not talk.errors
    connections = [request.connection for request in anchors(sandbox)]
    assert len(set(connections)) == len(connections) == 4


async def test_what_fails_is_not_tried_again_before_the_next_turn(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox, connection_limits=QUICK)
    async with Conversation(llm, tts=None) as talk:
        await brief(talk, sandbox)
        sandbox.faults.add(Fault("error", "request", params={"status": 500}))
        sandbox.cut()
        await at_rest(llm, anchors=1)
        for _ in range(3):
            await talk.interrupt()
            await at_rest(llm, anchors=1)
        await talk.say("hello")
        same_as_context(sandbox, talk)
        assert not talk.errors
    assert llm.stats.full == 2


@pytest.mark.parametrize("lanes", ["supported", "rejected"])
async def test_a_server_that_prepares_nothing_is_asked_once(sandbox: Sandbox, lanes: Any) -> None:
    sandbox.config.lanes = lanes
    sandbox.config.generate_false = "rejected"
    llm = websocket_service(sandbox, connection_limits=QUICK)
    async with Conversation(llm, tts=None) as talk:
        await brief(talk, sandbox)
        for number in range(3):
            await at_rest(llm)
            opened = llm.stats.connections_opened
            sandbox.cut()
            await eventually(lambda: llm.stats.connections_opened > opened)  # noqa: B023
            await at_rest(llm)
            await talk.say(f"hello {number}")
            same_as_context(sandbox, talk)
        assert not talk.errors
    assert len(anchors(sandbox)) == llm.stats.anchors == 1


async def test_a_call_that_still_runs_is_left_out(sandbox: Sandbox) -> None:
    release = asyncio.Event()

    async def look_up(params: FunctionCallParams) -> None:
        """Looks something up."""
        await release.wait()
        await params.result_callback("42")

    context = LLMContext(tools=[look_up])
    llm = websocket_service(sandbox, connection_limits=QUICK)
    async with Conversation(llm, context, tts=None) as talk:
        await brief(talk, sandbox)
        sandbox.script(Answer([Call("look_up")]), "It is 42.")
        await talk.say("what is it?")
        sandbox.cut()
        await at_rest(llm, anchors=1)
        assert not [item for item in anchors(sandbox)[0].input if "call_id" in item]
        ends = talk.ends
        release.set()
        await talk.said.until(lambda: talk.ends > ends)
        await talk.settle()
        assert last_turn(llm).prepared
        same_as_context(sandbox, talk)
        assert not talk.errors


async def test_the_latest_of_several_contexts(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox, connection_limits=QUICK)
    async with Conversation(llm, tts=None) as talk:
        await talk.say("hello")
        sandbox.script("So it is.")
        other = LLMContext([{"role": "user", "content": BRIEFING}])
        await talk.answer(other)
        sandbox.cut()
        await at_rest(llm, anchors=1)
        assert BRIEFING in str(anchors(sandbox)[0].input)
        await talk.say("and here?")
        assert not last_turn(llm).incremental
        assert BRIEFING not in str(sandbox.requests[-1].history)
        assert not talk.errors


async def test_closing_while_a_checkpoint_is_laid(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox, connection_limits=QUICK)
    async with Conversation(llm, tts=None) as talk:
        await brief(talk, sandbox)
        sandbox.faults.add(Fault("silence", "request"))
        sandbox.cut()
        await eventually(lambda: len(anchors(sandbox)) == 1)
    ours = [each.get_name() for each in asyncio.all_tasks()]
    assert not [name for name in ours if name.startswith("pipecat-responses")]


async def test_a_server_that_refuses_forks(sandbox: Sandbox) -> None:
    sandbox.config.forks = "fail"
    llm = websocket_service(sandbox, connection_limits=QUICK)
    async with Conversation(llm, tts=None) as talk:
        await brief(talk, sandbox)
        for number in range(8):
            await talk.say(f"hello {number}")
        assert last_turn(llm).incremental
        sandbox.cut()
        await at_rest(llm, anchors=1)
        for number in range(3):
            await talk.say(f"hello again {number}")
            assert last_turn(llm).incremental
            same_as_context(sandbox, talk)
        assert not talk.errors


# -- servers without lanes ------------------------------------------------------------------------


async def interrupted(talk: Conversation, sandbox: Sandbox) -> None:
    sandbox.config.tokens_per_second = 20
    await talk.start(LONG)
    await talk.text_arrives()
    await talk.interrupt()
    await talk.settle()
    sandbox.config.tokens_per_second = None


@pytest.mark.parametrize("cancel", ["ignored", "honoured"])
@pytest.mark.parametrize("lanes", ["rejected", "ignored"])
async def test_the_turn_after_an_interruption_is_incremental(
    sandbox: Sandbox, lanes: Any, cancel: Any
) -> None:
    sandbox.config.lanes = lanes
    sandbox.config.cancel = cancel
    llm = websocket_service(sandbox)
    async with Conversation(llm, tts=None) as talk:
        await brief(talk, sandbox)
        for number in range(3):
            await at_rest(llm)
            await interrupted(talk, sandbox)
            await at_rest(llm)
            await talk.say(f"next {number}")
            assert last_turn(llm).incremental
            same_as_context(sandbox, talk)
        assert not talk.errors
    # The first one, which is sent once more where `stream_id` is refused.
    assert llm.stats.full == (2 if lanes == "rejected" else 1)


async def test_an_interruption_of_the_very_first_answer(sandbox: Sandbox) -> None:
    sandbox.config.lanes = "rejected"
    llm = websocket_service(sandbox)
    async with Conversation(llm, tts=None) as talk:
        sandbox.script(Answer("one two three four five six", tokens_per_second=20))
        await talk.start(BRIEFING)
        await talk.text_arrives()
        await at_rest(llm, anchors=1)
        await talk.interrupt()
        await talk.settle()
        await talk.say("next")
        assert last_turn(llm).prepared
        same_as_context(sandbox, talk)


async def test_answers_that_are_cut_after_they_have_ended(sandbox: Sandbox) -> None:
    """As with most voices: the server has long ended the response that the user interrupts."""
    sandbox.config.lanes = "rejected"
    llm = websocket_service(sandbox)
    async with Conversation(llm, tts="word", paced=True) as talk:
        sandbox.script("So it is.")
        await talk.start(BRIEFING)
        await talk.answer_ends()
        await talk.play_all()
        for number in range(3):
            await at_rest(llm)
            await talk.start(f"{LONG}, {number}")
            await talk.answer_ends()
            await talk.play(0.5)
            await talk.interrupt()
            await at_rest(llm)
            await talk.start(f"next {number}")
            await talk.answer_ends()
            await talk.play_all()
            assert last_turn(llm).incremental
            same_as_context(sandbox, talk)
        assert not talk.errors
    assert llm.stats.full == 2
    # What connections are given again is all that their checkpoints were of no use for.
    assert llm.stats.anchors <= 8


async def test_a_spare_is_brought_up_to_date_from_itself(sandbox: Sandbox) -> None:
    sandbox.config.lanes = "rejected"
    llm = websocket_service(sandbox)
    async with Conversation(llm, tts=None) as talk:
        await brief(talk, sandbox)
        await at_rest(llm, anchors=1)
        for number in range(3):
            await talk.say("tell me " + "more and " * 250)
            await at_rest(llm)
            newest = anchors(sandbox)[-1]
            if number:
                assert newest.incremental
                assert BRIEFING not in str(newest.input)
        # The threshold is 4096 bytes: not with each turn.
        assert 1 < llm.stats.anchors <= 4
        await interrupted(talk, sandbox)
        await talk.say("next")
        assert last_turn(llm).incremental
        assert sandbox.requests[-1].size < 8192
        same_as_context(sandbox, talk)


@pytest.mark.parametrize("how", [cut, rotated])
async def test_without_lanes_a_fresh_pair_is_given_the_conversation(
    sandbox: Sandbox, how: Callable[..., Any]
) -> None:
    sandbox.config.lanes = "ignored"
    llm = websocket_service(sandbox, connection_limits=QUICK)
    async with Conversation(llm, tts=None) as talk:
        await brief(talk, sandbox)
        await at_rest(llm, anchors=1)
        await how(sandbox, llm)
        await at_rest(llm, anchors=3)
        assert llm.stats.connections_opened == 4
        await talk.say("hello")
        assert last_turn(llm).prepared
        same_as_context(sandbox, talk)
        await interrupted(talk, sandbox)
        await talk.say("next")
        assert last_turn(llm).incremental
        same_as_context(sandbox, talk)
        assert not talk.errors


# -- stored responses -----------------------------------------------------------------------------


STORE: dict[str, Any] = {"extra": {"store": True}}
TRANSPORTS = ["websocket", "http"]


def storing(sandbox: Sandbox, transport: str, **more: Any) -> Any:
    service = SERVICES[transport]
    settings = OpenAIResponsesLLMSettings(**{**STORE, **more})
    return service(sandbox, settings=settings, connection_limits=QUICK)


def unmarked(context: LLMContext) -> LLMContext:
    """The context without what it keeps of stored responses."""
    kept = [
        message
        for message in context.get_messages()
        if not isinstance(message, LLMSpecificMessage)
        or message.message["type"] != "stored_response"
    ]
    return LLMContext(kept)


def knows_the_context(sandbox: Sandbox, talk: Conversation) -> None:
    """The model has been told what the context says, and its answer has come behind it."""
    newest = sandbox.requests[-1]
    assert of_items(newest.history) == of_context(unmarked(talk.context))[:-1]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_stored_responses_are_continued(sandbox: Sandbox, transport: str) -> None:
    llm = storing(sandbox, transport)
    async with Conversation(llm, tts=None) as talk:
        for number in range(4):
            await talk.say(f"hello {number}")
            knows_the_context(sandbox, talk)
        assert not talk.errors
    assert dict(llm.stats.full_reasons) == {"first": 1}
    assert [len(request.input) for request in sandbox.requests] == [1, 1, 1, 1]
    ids = [request.response_id for request in sandbox.requests]
    parents = [request.body.get("previous_response_id") for request in sandbox.requests]
    assert parents == [None, *ids[:-1]]
    assert {request.transport for request in sandbox.requests} == {transport}


async def test_over_http_nothing_is_continued_without_being_stored(sandbox: Sandbox) -> None:
    llm = SERVICES["http"](sandbox)
    async with Conversation(llm, tts=None) as talk:
        for number in range(3):
            await talk.say(f"hello {number}")
        assert not [m for m in talk.context.get_messages() if isinstance(m, LLMSpecificMessage)]
    assert dict(llm.stats.full_reasons) == {"http": 3}
    assert not [r for r in sandbox.requests if "previous_response_id" in r.body]


@pytest.mark.parametrize("how", [cut, restarted, rotated])
async def test_stored_responses_are_continued_on_another_connection(
    sandbox: Sandbox, how: Callable[..., Any]
) -> None:
    llm = storing(sandbox, "websocket")
    async with Conversation(llm, tts=None) as talk:
        await brief(talk, sandbox)
        for number in range(2):
            await how(sandbox, llm)
            await eventually(lambda: llm.stats.connections_opened == number + 2)  # noqa: B023
            await at_rest(llm, anchors=0)
            await talk.say(f"hello {number}")
            assert len(sandbox.requests[-1].input) == 1
            knows_the_context(sandbox, talk)
        assert not talk.errors
    assert dict(llm.stats.full_reasons) == {"first": 1}
    assert llm.stats.retries == 0


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_interruptions_of_stored_responses(sandbox: Sandbox, transport: str) -> None:
    llm = storing(sandbox, transport)
    async with Conversation(llm, tts=None) as talk:
        await talk.say("hello")
        for number in range(3):
            await interrupted(talk, sandbox)
            if transport == "websocket":
                sandbox.cut()
                await eventually(lambda: llm.stats.connections_opened == number + 2)  # noqa: B023
            await talk.say(f"next {number}")
            assert last_turn(llm).incremental
            knows_the_context(sandbox, talk)
        assert not talk.errors
    assert dict(llm.stats.full_reasons) == {"first": 1}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_tools_and_stored_responses(sandbox: Sandbox, transport: str) -> None:
    async def look_up(params: FunctionCallParams, what: str) -> None:
        """Look something up.

        Args:
            what: What to look up.
        """
        await params.result_callback(f"{what} is 42")

    llm = storing(sandbox, transport, model="gpt-5")
    async with Conversation(llm, LLMContext(tools=[look_up]), tts=None) as talk:
        for number in range(2):
            calls = [Call("look_up", {"what": each}) for each in ("it", "that")]
            sandbox.script(Answer([Reasoning(["Hm."]), Text("One moment."), *calls]), "It is 42.")
            await talk.say(f"what is it? {number}", ends=2)
            assert {item["type"] for item in sandbox.requests[-1].input} == {"function_call_output"}
        there = load(dump(talk.context))
        assert not talk.errors
    assert dict(llm.stats.full_reasons) == {"first": 1}
    other = storing(sandbox, transport, model="gpt-5")
    async with Conversation(other, there, tts=None) as talk:
        there.set_tools(ToolsSchema([]))
        await talk.say("and now?")
        assert last_turn(other).incremental
        assert len(sandbox.requests[-1].input) == 1
        assert not talk.errors


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_server_forgets_what_it_had_stored(sandbox: Sandbox, transport: str) -> None:
    llm = storing(sandbox, transport)
    async with Conversation(llm, tts=None) as talk:
        for number in range(3):
            await talk.say(f"hello {number}")
        sandbox._engine.store.clear()
        sandbox.cut()
        if transport == "websocket":
            await eventually(lambda: llm.stats.connections_opened == 2)
        requests = len(sandbox.requests)
        assert await talk.say("still there?")
        knows_the_context(sandbox, talk)
        # Refused once, and sent in full at once.
        assert len(sandbox.requests) == requests + 2
        assert last_turn(llm).full_reason == "memory lost"
        await talk.say("good")
        assert last_turn(llm).incremental
        knows_the_context(sandbox, talk)
        assert not talk.errors
    assert llm.stats.full == 2


@pytest.mark.parametrize(("transport", "there"), [(a, b) for a in TRANSPORTS for b in TRANSPORTS])
async def test_another_process_goes_on(sandbox: Sandbox, transport: str, there: str) -> None:
    llm = storing(sandbox, transport)
    async with Conversation(llm, tts=None) as talk:
        await brief(talk, sandbox)
        await talk.say("hello")
        await interrupted(talk, sandbox)
        saved = dump(talk.context)
    other = storing(sandbox, there)
    async with Conversation(other, load(saved), tts=None) as talk:
        await talk.say("where were we?")
        newest = sandbox.requests[-1]
        assert newest.transport == there
        # The answer that was cut, the question to it, and what is new.
        assert [each["role"] for each in newest.input] == ["user", "assistant", "user"]
        knows_the_context(sandbox, talk)
        await talk.say("good")
        knows_the_context(sandbox, talk)
        assert not talk.errors
    assert other.stats.full == 0


async def test_another_process_behind_a_voice(sandbox: Sandbox) -> None:
    """The context says it in the voice's words, and a cut answer counts for nothing."""
    llm = storing(sandbox, "websocket")
    async with Conversation(llm, tts="word", paced=True) as talk:
        sandbox.script("It costs **$5**. That is all.", "One, two, three, four, five, six, seven.")
        await talk.start("How much?")
        await talk.answer_ends()
        await talk.play_all()
        await talk.start("And now count.")
        await talk.answer_ends()
        await talk.play(0.4)
        await talk.interrupt()
        saved = dump(talk.context)
    other = storing(sandbox, "http")
    async with Conversation(other, load(saved), tts=None) as talk:
        await talk.say("where were we?")
        newest = sandbox.requests[-1]
        assert [each["role"] for each in newest.input] == ["user", "assistant", "user"]
        assert newest.body["previous_response_id"] == sandbox.requests[0].response_id


def edited(context: LLMContext) -> None:
    messages_of(context)[0]["content"] = "something else"


def shortened(context: LLMContext) -> None:
    del messages_of(context)[0]


def with_more(context: LLMContext) -> None:
    messages_of(context).insert(0, {"role": "developer", "content": "Be brief."})


def answered_otherwise(context: LLMContext) -> None:
    for message in messages_of(context):
        if isinstance(message, dict) and message["role"] == "assistant":
            message["content"] = "No."


def of_another_model(context: LLMContext) -> None:
    for item in kept_items(context):
        item["model"] = "gpt-5"


def broken(context: LLMContext) -> None:
    for number, item in enumerate(kept_items(context)):
        if number % 2:
            item["texts"] = "no list"
        else:
            item["seen"] = 99


@pytest.mark.parametrize(
    "change", [edited, shortened, with_more, answered_otherwise, of_another_model, broken]
)
async def test_a_context_that_was_changed_is_sent_in_full(
    sandbox: Sandbox, change: Callable[[LLMContext], None]
) -> None:
    llm = storing(sandbox, "http")
    async with Conversation(llm, tts=None) as talk:
        await talk.say("hello")
        await talk.say("hello again")
        context = load(dump(talk.context))
    change(context)
    other = storing(sandbox, "http")
    async with Conversation(other, context, tts=None) as talk:
        await talk.say("where were we?")
        assert "previous_response_id" not in sandbox.requests[-1].body
        knows_the_context(sandbox, talk)
        assert not talk.errors


async def test_marks_are_of_no_use_where_nothing_is_to_be_stored(sandbox: Sandbox) -> None:
    llm = storing(sandbox, "websocket")
    async with Conversation(llm, tts=None) as talk:
        await talk.say("hello")
        context = load(dump(talk.context))
    other = websocket_service(sandbox)
    async with Conversation(other, context, tts=None) as talk:
        await talk.say("where were we?")
        assert "previous_response_id" not in sandbox.requests[-1].body
        assert not [item for item in sandbox.requests[-1].input if "fingerprint" in item]
        knows_the_context(sandbox, talk)


async def test_where_no_websocket_comes_through_stored_responses_are_continued(
    sandbox: Sandbox,
) -> None:
    llm = storing(sandbox, "websocket")
    async with Conversation(llm, tts=None) as talk:
        await talk.say("hello")
        llm._session._state.block(ResponsesError("refused"))
        await talk.say("over HTTP")
        assert (last_turn(llm).transport, last_turn(llm).incremental) == ("http", True)
        knows_the_context(sandbox, talk)
        llm._session._state.unblock()
        await talk.say("and back")
        assert (last_turn(llm).transport, last_turn(llm).incremental) == ("websocket", True)
        knows_the_context(sandbox, talk)
        assert not talk.errors


async def test_without_lanes_a_stored_response_is_enough(sandbox: Sandbox) -> None:
    sandbox.config.lanes = "ignored"
    llm = storing(sandbox, "websocket")
    async with Conversation(llm, tts=None) as talk:
        await brief(talk, sandbox)
        for number in range(3):
            await interrupted(talk, sandbox)
            await talk.say(f"next {number}")
            assert last_turn(llm).incremental
            knows_the_context(sandbox, talk)
        assert not talk.errors
    assert llm.stats.full == 1


@pytest.mark.parametrize(
    ("server", "refused", "full"),
    [
        # The response says that it is not stored.
        ({"storage": "ignored"}, 0, 4),
        ({"storage": "rejected"}, 1, 5),
        ({"refused_fields": ("previous_response_id",)}, 1, 4),
        # The response says that it continues from nothing.
        ({"dropped_fields": ("previous_response_id",)}, 1, 4),
    ],
)
async def test_servers_that_do_not_continue_over_http(
    sandbox: Sandbox, server: dict[str, Any], refused: int, full: int
) -> None:
    for name, value in server.items():
        setattr(sandbox.config, name, value)
    llm = storing(sandbox, "http")
    async with Conversation(llm, tts=None) as talk:
        for number in range(4):
            heard = await talk.say(f"hello {number}")
            assert heard.count("I remember") == 1
            knows_the_context(sandbox, talk)
        assert not talk.errors
    # It costs one request, once.
    assert len(sandbox.requests) == 4 + refused
    assert llm.stats.full == full


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_instructions_that_may_not_stand_beside_a_stored_response(
    sandbox: Sandbox, transport: str
) -> None:
    sandbox.config.instructions_when_continuing = "rejected"
    llm = storing(sandbox, transport, system_instruction="Be brief.")
    async with Conversation(llm, tts=None) as talk:
        for number in range(4):
            await talk.say(f"hello {number}")
        assert last_turn(llm).incremental
        saved = dump(talk.context)
        assert not talk.errors
    other = storing(sandbox, transport, system_instruction="Be brief.")
    async with Conversation(other, load(saved), tts=None) as talk:
        await talk.say("where were we?")
        newest = sandbox.requests[-1]
        assert len(newest.input) == 1
        told, *rest = of_items(newest.history)
        assert told == ("developer", "Be brief.")
        assert rest == of_context(unmarked(talk.context))[:-1]
    assert other.stats.full == 0


async def test_a_server_whose_stored_responses_stay_on_their_connection(sandbox: Sandbox) -> None:
    """What it refuses elsewhere says nothing for what the connection remembers."""
    llm = storing(sandbox, "websocket")
    async with Conversation(llm, tts=None) as talk:
        await talk.say("hello")
        sandbox.cut()
        await eventually(lambda: llm.stats.connections_opened == 2)
        await at_rest(llm)
        words = "previous_response_id is not supported"
        sandbox.faults.add(Fault("error", "request", params={"status": 400, "message": words}))
        assert await talk.say("still there?")
        knows_the_context(sandbox, talk)
        await talk.say("good")
        assert last_turn(llm).incremental
        knows_the_context(sandbox, talk)
        assert not talk.errors
    assert llm.capabilities.stored_continuation is False
    assert llm.capabilities.continuation is not False
