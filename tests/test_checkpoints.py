"""What turns cost on the wire, and that the model always sees what the context says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.frames.frames import (
    EagerEndOfTurnCancelFrame,
    Frame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    LLMUpdateSettingsFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import ProcessingMetricsData
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from pipecat_responses import AbandonedUsageMetricsData
from pipecat_responses.sandbox import Answer, Call, Fault, Sandbox
from pipecat_responses.testing import Conversation
from tests.support.contexts import context_of, messages_of
from tests.support.history import of_context, of_items
from tests.support.services import websocket_service

LONG = "count to 60"


def turns_of(sandbox: Sandbox) -> list[Any]:
    return [r for r in sandbox.requests if r.generate]


async def until_settled(llm: Any) -> None:
    """Waits for an anchor or warm-up that is under way."""
    anchor = llm._session._anchor
    if anchor is not None:
        await asyncio.wait({anchor})


async def started(talk: Conversation, count: int) -> None:
    await talk.said.until(lambda: talk.starts == count)


async def ended(talk: Conversation, count: int) -> None:
    await talk.said.until(lambda: talk.ends == count)


async def test_clean_turns_are_incremental_after_the_first(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        for number in range(12):
            before = of_context(talk.context)
            await talk.say(f"hello {number}")
            assert of_items(sandbox.requests[-1].history) == [*before, ("user", f"hello {number}")]
    assert (llm.stats.incremental, llm.stats.full) == (11, 1)
    assert dict(llm.stats.full_reasons) == {"first": 1}
    assert all(len(r.input) == 1 for r in sandbox.requests)
    assert sandbox.connections_opened == 1
    assert sum(r.size for r in sandbox.requests) == llm.stats.bytes_sent
    assert all(r.body["store"] is False for r in sandbox.requests)


async def test_with_a_warm_up_every_turn_is_incremental(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox)
    context = LLMContext([{"role": "developer", "content": "The user is called Ada."}])
    async with Conversation(llm, context) as talk:
        assert await llm.warm_up(context)
        for number in range(12):
            await talk.say(f"hello {number}")
            assert of_items(sandbox.requests[-1].history) == of_context(context)[:-1]
    assert (llm.stats.incremental, llm.stats.full, llm.stats.warm_ups) == (12, 0, 1)
    assert sandbox.requests[0].body["generate"] is False


async def test_a_server_that_refuses_warm_ups_is_not_asked_again(sandbox: Sandbox) -> None:
    sandbox.config.generate_false = "rejected"
    llm = websocket_service(sandbox)
    context = LLMContext([{"role": "developer", "content": "The user is called Ada."}])
    async with Conversation(llm, context) as talk:
        assert not await llm.warm_up(context)
        assert not await llm.warm_up(context)
        assert await talk.say("hello")
        assert not talk.errors
    assert len([r for r in sandbox.requests if not r.generate]) == 1


@pytest.mark.parametrize("cancel", ["ignored", "rejected", "honoured"])
async def test_turns_after_an_interruption_are_incremental(sandbox: Sandbox, cancel: Any) -> None:
    sandbox.config.cancel = cancel
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        await talk.say("hello")
        for number in range(4):
            sandbox.config.tokens_per_second = 20
            await talk.start(LONG)
            await talk.text_arrives()
            await talk.interrupt()
            await talk.settle()
            sandbox.config.tokens_per_second = None
            heard = await talk.say(f"next {number}")
            assert heard.startswith(f'You said: "next {number}"')
            assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]
        assert not talk.errors
        assert talk.starts == talk.ends == 9
    assert (llm.stats.incremental, llm.stats.full) == (8, 1)
    assert llm.stats.abandoned == 4
    asked = [m for m in sandbox.messages if m.get("type") == "response.cancel"]
    assert len(asked) == (1 if cancel == "rejected" else 4)


async def test_nothing_of_an_abandoned_response_is_heard(sandbox: Sandbox) -> None:
    sandbox.config.tokens_per_second = 200
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        await talk.say("hello")
        await talk.start(LONG)
        await talk.text_arrives()
        await talk.interrupt()
        heard = len(talk.texts)
        # Both run side by side now, and their events interleave.
        answer = await talk.say("count to 40")
        assert answer == "".join(talk.texts[heard:])
        assert answer.startswith("1, 2, 3")
        assert answer.rstrip(".").endswith("40")
        assert answer.count("7,") == len([n for n in range(1, 41) if str(n).endswith("7")])


@pytest.mark.parametrize("lanes", ["rejected", "ignored"])
async def test_a_server_without_lanes(sandbox: Sandbox, lanes: Any) -> None:
    sandbox.config.lanes = lanes
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        for number in range(4):
            await talk.say(f"hello {number}")
        assert llm.stats.incremental == 3
        for number in range(3):
            sandbox.config.tokens_per_second = 20
            await talk.start(LONG)
            await talk.text_arrives()
            await talk.interrupt()
            await talk.settle()
            sandbox.config.tokens_per_second = None
            heard = await talk.say(f"next {number}")
            assert heard.startswith(f'You said: "next {number}"')
            assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]
        assert not talk.errors
    assert "no lanes" in llm.stats.full_reasons


async def test_cut_speech_needs_no_anchor_while_turns_are_small(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        for number in range(12):
            await talk.say(f"turn {number}: " + "tell me something " * 4)
            assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]
            if number % 3 == 2:
                cut_last_reply(talk.context, 0.4)
                await talk.interrupt()
    assert (llm.stats.incremental, llm.stats.anchors) == (11, 0)
    assert llm.stats.bytes_sent <= 10_000


async def test_cut_replies_over_a_long_context(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox)
    context = context_of(
        *(
            {"role": ("user", "assistant")[i % 2], "content": f"message {i} " + "x" * 980}
            for i in range(100)
        )
    )
    async with Conversation(llm, context) as talk:
        for number in range(40):
            await talk.say(f"turn {number}: " + "tell me something " * 10)
            assert of_items(sandbox.requests[-1].history) == of_context(context)[:-1]
            cut_last_reply(context, 0.5)
            await talk.interrupt()
            await until_settled(llm)
        assert not talk.errors
    assert (llm.stats.incremental, llm.stats.full) == (39, 1)
    assert sum(r.size for r in sandbox.requests) == llm.stats.bytes_sent
    assert llm.stats.bytes_sent <= 350_000


async def test_anchors_can_be_turned_off(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox, anchor_threshold_bytes=None)
    async with Conversation(llm) as talk:
        await talk.say("x" * 9000)
        cut_last_reply(talk.context, 0.1)
        await talk.interrupt()
        await talk.say("hello")
    assert llm.stats.anchors == 0
    assert all(r.generate for r in sandbox.requests)


def cut_last_reply(context: LLMContext, share: float) -> None:
    message = messages_of(context)[-1]
    assert message["role"] == "assistant"
    message["content"] = message["content"][: int(len(message["content"]) * share)]


# -- tools --------------------------------------------------------------------------------------


def schema(name: str, handler: Any) -> FunctionSchema:
    return FunctionSchema(name, f"Runs {name}.", {"what": {"type": "string"}}, [], handler)


class Gate:
    """Handlers that finish when they are told to."""

    def __init__(self) -> None:
        self.doors = {"first": asyncio.Event(), "second": asyncio.Event()}

    async def first(self, params: FunctionCallParams) -> None:
        await self.doors["first"].wait()
        await params.result_callback({"said": "one"})

    async def second(self, params: FunctionCallParams) -> None:
        await self.doors["second"].wait()
        await params.result_callback({"said": "two"})

    def open(self, name: str) -> None:
        self.doors[name].set()

    def close(self) -> None:
        for door in self.doors.values():
            door.clear()


async def seen(talk: Conversation, kind: type[Frame], count: int) -> None:
    await talk.said.until(lambda: sum(isinstance(f, kind) for f in talk.said.frames) >= count)


async def results(talk: Conversation, count: int) -> None:
    await seen(talk, FunctionCallResultFrame, count)


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
async def test_parallel_tools(sandbox: Sandbox, order: tuple[str, str]) -> None:
    gate = Gate()
    context = LLMContext(tools=[schema("first", gate.first), schema("second", gate.second)])
    llm = websocket_service(sandbox)
    async with Conversation(llm, context) as talk:
        for number in range(3):
            gate.close()
            sandbox.script(
                Answer([Call("first", {"what": "a"}), Call("second", {"what": "b"})]),
                f"answer {number}",
            )
            ends = talk.ends
            await talk.start(f"question {number}")
            await ended(talk, ends + 1)
            # A result that comes before the other call has begun is answered by itself.
            await seen(talk, FunctionCallInProgressFrame, 2 * number + 2)
            for done, name in enumerate(order):
                gate.open(name)
                await results(talk, number * 2 + done + 1)
            await ended(talk, ends + 2)
            await talk.settle()
            assert of_items(sandbox.requests[-1].history) == of_context(context)[:-1]
        await talk.say("thanks")
        assert of_items(sandbox.requests[-1].history) == of_context(context)[:-1]
        assert not talk.errors
    assert (llm.stats.incremental, llm.stats.full) == (6, 1)
    # After the calls, their outputs are all there is to send.
    assert [len(r.input) for r in sandbox.requests] == [1, 2, 1, 2, 1, 2, 1]


async def test_a_tool_cancelled_by_an_interruption(sandbox: Sandbox) -> None:
    gate = Gate()
    context = LLMContext(tools=[schema("first", gate.first), schema("second", gate.second)])
    llm = websocket_service(sandbox)
    async with Conversation(llm, context) as talk:
        await talk.say("hello")
        sandbox.script(Answer([Call("first"), Call("second")]))
        await talk.start("question")
        await talk.answer_ends()
        await talk.settle()  # the call is in the context, behind the voice
        gate.open("first")
        await results(talk, 1)
        await talk.interrupt()
        await talk.settle()
        assert await talk.say("and now?")
        assert of_items(sandbox.requests[-1].history) == of_context(context)[:-1]
        outputs = {i["call_id"]: i["output"] for i in sandbox.requests[-1].input if "output" in i}
        assert sorted(outputs.values()) == ["CANCELLED", '{"said": "one"}']
        assert not talk.errors
    assert llm.stats.full == 1


async def test_a_placeholder_changed_after_it_was_sent(sandbox: Sandbox) -> None:
    gate = Gate()
    context = LLMContext(tools=[schema("first", gate.first)])
    llm = websocket_service(sandbox)
    async with Conversation(llm, context) as talk:
        await talk.say("hello")
        sandbox.script(Answer([Call("first")]))
        await talk.start("question")
        await talk.answer_ends()
        await talk.settle()  # the call is in the context, behind the voice
        # Another turn goes out while the tool still runs: the model sees the placeholder.
        await talk.say("are you there?")
        assert of_items(sandbox.requests[-1].history) == of_context(context)[:-1]
        assert any(i.get("output") == "IN_PROGRESS" for i in sandbox.requests[-1].input)
        ends = talk.ends
        gate.open("first")
        await ended(talk, ends + 1)
        await talk.settle()
        assert of_items(sandbox.requests[-1].history) == of_context(context)[:-1]
        assert not talk.errors
    # The checkpoint before the placeholder still covers: not even this turn is full.
    assert llm.stats.full == 1


# -- memory, forks, models ------------------------------------------------------------------------


async def test_lost_memory_costs_one_full_request(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        await talk.say("hello")
        sandbox.faults.add(Fault("forget", "request"))
        assert (await talk.say("still there?")).endswith("I remember 3 items.")
        assert await talk.say("good")
        assert not talk.errors
    assert dict(llm.stats.full_reasons) == {"first": 1, "memory lost": 1}
    assert llm.stats.incremental == 2  # the refused one, and the last


async def test_forks_that_keep_failing_are_given_up(sandbox: Sandbox) -> None:
    sandbox.config.forks = "fail"
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        for number in range(12):
            await talk.say(f"hello {number}")
            assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]
        assert not talk.errors
    # A few forks are refused; from then on the lane continues itself.
    last = sandbox.requests[-5:]
    assert all(r.incremental and r.outcome == "completed" for r in last)
    assert len({r.stream_id for r in last}) == 1
    assert llm.stats.full <= 4


async def test_another_model_starts_afresh_and_instructions_do_not(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        await talk.say("hello")
        await talk.worker.queue_frame(
            LLMUpdateSettingsFrame(delta=llm.Settings(system_instruction="Be brief."))
        )
        await talk.say("hello again")
        assert sandbox.requests[-1].incremental
        assert sandbox.requests[-1].body["instructions"] == "Be brief."
        await talk.worker.queue_frame(LLMUpdateSettingsFrame(delta=llm.Settings(model="gpt-4o")))
        await talk.say("and again")
        assert not sandbox.requests[-1].incremental
        assert not talk.errors
    assert dict(llm.stats.full_reasons) == {"first": 1, "model changed": 1}


async def test_a_trimmed_context_falls_back(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        for number in range(3):
            await talk.say(f"hello {number}")
        del talk.context.messages[4:]  # the third exchange never happened
        await talk.say("where were we?")
        assert sandbox.requests[-1].incremental
        assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]
        talk.context.set_messages([{"role": "user", "content": "A summary of it all."}])
        await talk.say("go on")
        assert not sandbox.requests[-1].incremental
        assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]
    assert dict(llm.stats.full_reasons) == {"first": 1, "context changed": 1}


async def test_abandoned_responses_pile_up(sandbox: Sandbox) -> None:
    sandbox.config.tokens_per_second = 2
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        for number in range(20):
            await talk.start(f"{LONG} {number}")
            await talk.text_arrives()
            await talk.interrupt()
        sandbox.config.tokens_per_second = None
        assert (await talk.say("still there?")).startswith('You said: "still there?"')
        assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]
        assert not talk.errors
    assert sandbox.connections_opened == 2
    assert llm.stats.abandoned == 20


async def test_an_interruption_before_the_response_is_created(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        await talk.say("hello")
        for number in range(3):
            sandbox.faults.add(Fault("silence", "request"))
            await talk.start(f"nobody answers {number}")
            await started(talk, 2 + 2 * number)
            await talk.interrupt()
            assert (await talk.say(f"next {number}")).startswith(f'You said: "next {number}"')
            assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]
        assert talk.starts == talk.ends == 7
        assert not talk.errors


# -- speculation, inference beside, usage ---------------------------------------------------------


async def processed(talk: Conversation, count: int) -> None:
    await talk.said.until(
        lambda: sum(isinstance(data, ProcessingMetricsData) for data in talk.metrics) == count
    )


async def test_speculative_turns(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        await talk.say("hello")
        # A guess that is withdrawn, and one that is confirmed. Their frames are held meanwhile, so
        # the metrics tell when they are complete.
        guess = LLMContext([*talk.context.messages, {"role": "user", "content": "what is the ti"}])
        await talk.push_context(guess, speculation=True)
        await processed(talk, 2)
        await talk.worker.queue_frame(EagerEndOfTurnCancelFrame())
        guess = LLMContext([*talk.context.messages, {"role": "user", "content": "what is it?"}])
        await talk.push_context(guess, speculation=True)
        await processed(talk, 3)
        assert talk.ends == 1
        talk.context.add_message({"role": "user", "content": "what is it?"})
        await talk.worker.queue_frame(UserStoppedSpeakingFrame())
        await ended(talk, 2)
        await talk.settle()
        await talk.say("thanks")
        assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]
        assert len(talk.context.messages) == 6
        assert [len(r.input) for r in sandbox.requests] == [1, 1, 1, 1]
    assert llm.stats.full == 1


async def test_a_speculative_turn_runs_no_tools(sandbox: Sandbox) -> None:
    ran = []

    async def handler(params: FunctionCallParams) -> None:
        ran.append(params.function_name)
        await params.result_callback("done")

    context = LLMContext(tools=[schema("first", handler)])
    llm = websocket_service(sandbox)
    async with Conversation(llm, context) as talk:
        await talk.say("hello")
        sandbox.script(Answer([Call("first")]), Answer([Call("first", "not json")]))
        for count in (2, 3):
            guess = LLMContext(
                [*context.messages, {"role": "user", "content": "run it"}], tools=context.tools
            )
            await talk.push_context(guess, speculation=True)
            await processed(talk, count)
        assert await talk.say("run nothing")
    assert ran == []


async def test_inference_beside_a_turn_uses_the_same_connection(sandbox: Sandbox) -> None:
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        await talk.say("hello")
        sandbox.config.tokens_per_second = 50
        await talk.start(LONG)
        await talk.text_arrives()
        other = LLMContext([{"role": "user", "content": "aside"}])
        answer = await llm.run_inference(other, max_tokens=100, system_instruction="Be brief.")
        assert answer is not None
        assert answer == 'You said: "aside". I remember 1 items.' or answer.startswith("You said")
        await talk.answer_ends()
        sandbox.config.tokens_per_second = None
        await talk.settle()
        await talk.say("next")
        assert of_items(sandbox.requests[-1].history) == of_context(talk.context)[:-1]
    assert {r.transport for r in sandbox.requests} == {"websocket"}
    assert sandbox.connections_opened == 1
    assert (llm.stats.full, llm.stats.side_requests) == (1, 1)


async def test_tokens_of_abandoned_responses_are_counted(sandbox: Sandbox) -> None:
    sandbox.config.tokens_per_second = 100
    llm = websocket_service(sandbox)
    async with Conversation(llm) as talk:
        await talk.start("count to 20")
        await talk.text_arrives()
        await talk.interrupt()
        await talk.said.until(
            lambda: any(isinstance(d, AbandonedUsageMetricsData) for d in talk.metrics)
        )
        [data] = [d for d in talk.metrics if isinstance(d, AbandonedUsageMetricsData)]
        assert data.turn == 1
        assert data.response_id == sandbox.requests[0].response_id
        assert data.value.total_tokens == llm.stats.abandoned_tokens > 0
