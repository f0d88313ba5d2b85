"""A late answer is asked for once more: the first to come is heard, and nothing happens twice."""

from __future__ import annotations

import io
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pipecat.processors.aggregators.llm_context import LLMSpecificMessage

from pipecat_responses import (
    AbandonedUsageMetricsData,
    Cause,
    Endpoint,
    HedgePolicy,
    OpenAIResponsesLLMSettings,
    OpenAIResponsesReasoningConfig,
    TurnReport,
)
from pipecat_responses.protocol.requests import Fields, Request
from pipecat_responses.sandbox import Answer, Call, Fault, Reasoning, Sandbox, SandboxConfig
from pipecat_responses.session.hedge_policy import HedgeTiming
from pipecat_responses.session.log import SessionLog
from pipecat_responses.session.stats import SessionStats
from tests.faults.support import Talk, counted, new_service, our_tasks, talking, until
from tests.support.hurry import Transport

BOTH = pytest.mark.parametrize("transport", ["websocket", "http"])
PATIENT = {"quiet_secs": 5.0, "begin_secs": 5.0, "stall_secs": 5.0}
SOON_SECS = 0.15
"""Longer than an ordinary answer takes on a machine that is busy, or that were hedged as well."""
SOON = HedgePolicy(after_secs=SOON_SECS)
NEVER = 60.0
LATER = 0.6
OTHER_KEY = "sk-other-0123456789abcdef-secret"


def hedged(sandbox: Sandbox, transport: Transport, hedge: HedgePolicy = SOON, **kwargs: Any) -> Any:
    limits = {**PATIENT, **kwargs.pop("limits", {})}
    return talking(sandbox, transport, hedge=hedge, limits=limits, **kwargs)


def late(part: Any, seconds: float = NEVER) -> Answer:
    return Answer([part], time_to_first_token=seconds)


def report_of(talk: Talk) -> TurnReport:
    report = talk.llm.stats.last_turn
    assert isinstance(report, TurnReport)
    return report


def hedges(talk: Talk) -> tuple[int, int]:
    return talk.llm.stats.hedges, talk.llm.stats.hedges_won


async def racing(sandbox: Sandbox, requests: int = 2) -> None:
    await until(lambda: sum(r.response_id is not None for r in sandbox.requests) >= requests)


async def is_over() -> None:
    """Nothing of an interrupted turn runs here any more."""
    await until(lambda: "pipecat-responses hedge" not in our_tasks())


@pytest_asyncio.fixture
async def second() -> AsyncIterator[Sandbox]:
    async with Sandbox(SandboxConfig(api_keys={OTHER_KEY})) as server:
        yield server


def there(second: Sandbox, **kwargs: Any) -> Endpoint:
    return Endpoint(base_url=second.base_url, api_key=OTHER_KEY, **kwargs)


class TestTheRace:
    @BOTH
    async def test_the_hedge_is_first(self, sandbox: Sandbox, transport: Transport) -> None:
        async with hedged(sandbox, transport) as talk:
            await talk.turn("count to 2")
            sandbox.script(late("one"), "two")
            heard = await talk.turn("Which is it?")
            assert (heard.text, heard.errors) == ("two", [])
            assert report_of(talk).hedged == "won"
            assert hedges(talk) == (1, 1)
            first, hedge = sandbox.requests[-2:]
            assert first.body["input"] == hedge.body["input"]
            assert first.previous_response_id == hedge.previous_response_id
            assert talk.llm.stats.retries == 0
            assert (await talk.turn("count to 3")).text == counted(3)
            if transport == "websocket":
                # Both were forks of one checkpoint, and the next turn goes on from the hedge.
                assert first.stream_id != hedge.stream_id
                assert first.incremental
                assert sandbox.connections_opened == 1
                assert sandbox.requests[-1].previous_response_id == hedge.response_id

    @BOTH
    async def test_the_first_request_is_first(self, sandbox: Sandbox, transport: Transport) -> None:
        async with hedged(sandbox, transport) as talk:
            sandbox.script(late("one", LATER), late("two"))
            assert (await talk.turn("Which is it?")).text == "one"
            assert report_of(talk).hedged == "lost"
            assert hedges(talk) == (1, 0)
            assert talk.llm.stats.abandoned == 1
            assert (await talk.turn("count to 3")).text == counted(3)
            if transport == "websocket":
                parent = sandbox.requests[-1].previous_response_id
                assert parent == sandbox.requests[0].response_id

    @BOTH
    async def test_nothing_goes_out_twice_where_the_answer_is_in_time(
        self, sandbox: Sandbox, transport: Transport
    ) -> None:
        async with hedged(sandbox, transport, HedgePolicy(after_secs=5.0)) as talk:
            assert (await talk.turn("count to 3")).text == counted(3)
            assert report_of(talk).hedged == "no"
        assert len(sandbox.requests) == 1

    async def test_a_message_that_has_been_begun_is_no_answer(self, sandbox: Sandbox) -> None:
        sandbox.faults.add(Fault("silence", "text", after=0))
        async with hedged(sandbox, "websocket") as talk:
            heard = await talk.turn("count to 3")
            assert (heard.text, heard.errors) == (counted(3), [])
            assert report_of(talk).hedged == "won"

    @BOTH
    async def test_both_say_nothing(self, sandbox: Sandbox, transport: Transport) -> None:
        sandbox.faults.add(Fault("silence", "request", times=2))
        async with hedged(sandbox, transport, limits={"begin_secs": 0.4}) as talk:
            heard = await talk.turn("count to 3")
            assert (heard.text, heard.errors) == (counted(3), [])
            # Never twice in a turn.
            assert hedges(talk) == (1, 0)
        assert len(sandbox.requests) == 3

    @BOTH
    async def test_what_was_begun_in_time_may_take_its_time(
        self, sandbox: Sandbox, transport: Transport
    ) -> None:
        sandbox.config.time_to_created = LATER / 3
        async with hedged(sandbox, transport, limits={"begin_secs": LATER}) as talk:
            sandbox.script(late("one", 2 * LATER), late("two", 2 * LATER))
            assert (await talk.turn("Which is it?")).text in ("one", "two")
        assert len(sandbox.requests) == 2

    @BOTH
    async def test_a_server_that_shows_life_may_take_its_time(
        self, sandbox: Sandbox, transport: Transport
    ) -> None:
        config = sandbox.config
        config.keepalive, config.keepalive_secs = "events", LATER / 6
        config.time_to_created = 1.5 * LATER
        async with hedged(sandbox, transport, limits={"begin_secs": LATER}) as talk:
            assert (await talk.turn("count to 3")).text == counted(3)
        assert len(sandbox.requests) == 2

    async def test_a_server_without_lanes_is_asked_on_a_second_connection(
        self, sandbox: Sandbox
    ) -> None:
        sandbox.config.lanes = "rejected"
        async with hedged(sandbox, "websocket", connections={"open_secs": 2.0}) as talk:
            await talk.turn("count to 2")
            sandbox.script(late("one"), "two")
            assert (await talk.turn("Which is it?")).text == "two"
            first, hedge = sandbox.requests[-2:]
            assert first.connection != hedge.connection
            assert (await talk.turn("count to 3")).text == counted(3)

    @BOTH
    async def test_calls_run_once(self, sandbox: Sandbox, transport: Transport) -> None:
        async with hedged(sandbox, transport, tools=True) as talk:
            sandbox.script(
                late(Call("note", {"words": "one"}), LATER),
                late(Call("note", {"words": "two"}), LATER),
                "Noted.",
            )
            heard = await talk.round("Write it down.")
            assert heard.text == "Noted."
            assert len(talk.toolbox.runs) == 1
            # On a machine that is busy, the answer to the result is late as well.
            assert len(sandbox.requests) in (3, 4)

    async def test_the_report_names_the_slow_server_and_no_connection(
        self, sandbox: Sandbox, nothing_else_runs: None
    ) -> None:
        async with hedged(sandbox, "websocket", HedgePolicy(after_secs=3 * LATER)) as talk:
            await talk.turn("count to 2")
            sandbox.script(late("one"), "two")
            assert (await talk.turn("Which is it?")).text == "two"
            assert (report_of(talk).hedged, report_of(talk).cause) == ("won", Cause.SERVER_SLOW)

    async def test_tokens_of_the_loser_are_counted(self, sandbox: Sandbox) -> None:
        sandbox.config.cancel = "honoured"
        async with hedged(sandbox, "websocket") as talk:
            sandbox.script(late("one"), Answer(["one two three"], tokens_per_second=20))
            await talk.turn("Which is it?")
            usage = report_of(talk).hedge_usage
            assert usage is not None
            assert usage.total == talk.llm.stats.abandoned_tokens > 0
            await talk.said.until(
                lambda: any(isinstance(d, AbandonedUsageMetricsData) for d in talk.metrics)
            )
            [data] = [d for d in talk.metrics if isinstance(d, AbandonedUsageMetricsData)]
            assert data.turn == 1
            assert data.response_id == sandbox.requests[0].response_id


class TestALegFails:
    @BOTH
    async def test_the_first_request(self, sandbox: Sandbox, transport: Transport) -> None:
        # The first is created behind the hedge, which gets the answer.
        sandbox.faults.add(
            Fault("delay", "request", params={"seconds": LATER}),
            Fault("failed", "created", skip=1, params={}),
        )
        async with hedged(sandbox, transport) as talk:
            sandbox.script(late("two", 2 * LATER))
            heard = await talk.turn("Which is it?")
            assert (heard.text, heard.errors) == ("two", [])
            assert report_of(talk).hedged == "won"
            # The hedge was the attempt.
            assert talk.llm.stats.retries == 0
        assert len(sandbox.requests) == 2

    @BOTH
    async def test_the_hedge(self, sandbox: Sandbox, transport: Transport) -> None:
        sandbox.faults.add(Fault("error", "request", skip=1, params={"status": 400}))
        async with hedged(sandbox, transport) as talk:
            sandbox.script(late("one", LATER))
            heard = await talk.turn("Which is it?")
            assert (heard.text, heard.errors) == ("one", [])
            assert report_of(talk).hedged == "lost"
            assert talk.llm.stats.retries == 0

    @BOTH
    async def test_both(self, sandbox: Sandbox, transport: Transport) -> None:
        sandbox.faults.add(
            Fault("delay", "request", params={"seconds": LATER}),
            Fault("failed", "created", times=2, params={}),
        )
        async with hedged(sandbox, transport) as talk:
            sandbox.script("one", "two", "three")
            heard = await talk.turn("Which is it?")
            assert (heard.text, heard.errors) == ("three", [])
            assert talk.llm.stats.retries == 1
        assert len(sandbox.requests) == 3

    @BOTH
    async def test_the_connection_of_both(self, sandbox: Sandbox, transport: Transport) -> None:
        async with hedged(sandbox, transport) as talk:
            sandbox.script(late("one"), late("two"), "three")
            meanwhile = lambda: _cut_when_racing(sandbox)  # noqa: E731
            heard = await talk.turn("Which is it?", meanwhile=meanwhile)
            assert (heard.text, heard.errors) == ("three", [])

    @BOTH
    async def test_the_answer_breaks_off_and_is_resumed_without_another_hedge(
        self, sandbox: Sandbox, transport: Transport
    ) -> None:
        sandbox.faults.add(Fault("silence", "request"), Fault("failed", "text", after=4, params={}))
        async with hedged(sandbox, transport) as talk:
            heard = await talk.turn("count to 20")
            assert (heard.text, heard.errors) == (counted(20), [])
            assert hedges(talk) == (1, 1)
        assert len(sandbox.requests) == 3

    async def test_the_server_does_not_even_answer_pings(self, sandbox: Sandbox) -> None:
        limits = {"quiet_secs": 0.2, "probe_secs": 0.05}
        async with hedged(sandbox, "websocket", limits=limits) as talk:
            await talk.turn("count to 2")
            before = talk.llm.stats.hedges
            sandbox.faults.add(Fault("stall", "request"))
            heard = await talk.turn("count to 3")
            assert (heard.text, heard.errors) == (counted(3), [])
            assert talk.llm.stats.hedges == before + 1
            assert talk.llm.stats.retries == 1
        assert sandbox.connections_opened == 2


async def _cut_when_racing(sandbox: Sandbox) -> None:
    await racing(sandbox)
    sandbox.cut()


class TestInterruptions:
    @BOTH
    @pytest.mark.parametrize("phase", ["alone", "racing", "answering"])
    async def test_all_is_let_go_of(
        self, sandbox: Sandbox, transport: Transport, phase: str
    ) -> None:
        policy = HedgePolicy(after_secs=30.0) if phase == "alone" else SOON
        sandbox.config.cancel = "honoured"
        async with hedged(sandbox, transport, policy) as talk:
            await talk.turn("count to 2")
            slow = Answer(["one two three four"], tokens_per_second=5)
            sandbox.script(late("one"))
            if phase != "alone":
                sandbox.script(slow if phase == "answering" else late("two"))
            await talk.start("Which is it?")
            if phase == "answering":
                await talk.text_arrives()
            else:
                await racing(sandbox, 2 if phase == "alone" else 3)
            await talk.interrupt()
            await is_over()
            assert report_of(talk).outcome == "interrupted"
            assert report_of(talk).hedged == ("won" if phase == "answering" else _lost(phase))
            assert talk.llm.stats.abandoned == (1 if phase == "alone" else 2)
            await until(lambda: all(r.outcome for r in sandbox.requests))
            assert (await talk.turn("count to 3")).text == counted(3)
            if transport == "websocket":
                assert sandbox.requests[-1].incremental
                assert sandbox.connections_opened == 1

    @BOTH
    async def test_while_no_server_is_there(
        self, sandbox: Sandbox, second: Sandbox, transport: Transport
    ) -> None:
        sandbox.faults.add(Fault("stall", "handshake", times=None))
        sandbox.config.time_to_created = NEVER
        policy = HedgePolicy(after_secs=0.05, endpoint=there(second))
        second.config.time_to_created = NEVER
        async with hedged(sandbox, transport, policy, connections={"open_secs": 5.0}) as talk:
            await talk.start("Which is it?")
            await until(lambda: len(second.requests) == 1)
            await talk.interrupt()
            await is_over()
            await until(lambda: second.requests[0].outcome == "dropped")
            sandbox.faults.clear()
            sandbox.config.time_to_created = 0.0
            second.config.time_to_created = 0.0
            assert (await talk.turn("count to 3")).text == counted(3)


def _lost(phase: str) -> str:
    return "no" if phase == "alone" else "lost"


class TestWhenNot:
    async def test_the_budget_is_kept(self, sandbox: Sandbox) -> None:
        async with hedged(sandbox, "websocket") as talk:
            for number in range(4):
                sandbox.script(*[late(str(number), LATER / 2)] * (2 if number < 2 else 1))
                assert (await talk.turn("And now?")).text == str(number)
            assert talk.llm.stats.hedges == 2
        assert len(sandbox.requests) == 6

    @pytest.mark.parametrize(
        ("values", "allowed"),
        [
            ({}, True),
            ({"tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}]}, True),
            ({"tools": [{"type": "web_search"}]}, True),
            ({"tools": [{"type": "mcp", "server_label": "cal"}]}, False),
            ({"tools": [{"type": "namespace", "tools": [{"type": "function"}]}]}, True),
            ({"tools": [{"type": "namespace", "tools": [{"type": "mcp"}]}]}, False),
            ({"conversation": "conv_1"}, False),
            ({"prompt": {"id": "pmpt_1"}}, False),
        ],
    )
    def test_what_may_act_twice_is_not_hedged(self, values: Any, allowed: bool) -> None:
        policy = HedgePolicy(repeatable_tools=("web_search",))
        request = Request(Fields({"model": "m", **values}), [])
        assert policy.allows(request) is allowed

    async def test_hosted_tools_run_once(self, sandbox: Sandbox) -> None:
        extra = {"tools": [{"type": "mcp", "server_label": "cal", "server_url": "https://x.test"}]}
        settings = OpenAIResponsesLLMSettings(extra=extra)
        async with hedged(sandbox, "websocket", settings=settings) as talk:
            sandbox.script(late("one", LATER))
            assert (await talk.turn("Which is it?")).text == "one"
        assert len(sandbox.requests) == 1

    @pytest.mark.parametrize(
        "wrong",
        [
            {"after_secs": 0},
            {"floor_secs": -1.0},
            {"min_turns": 0},
            {"initial_secs": 0.0},
            {"quantile": 1.0},
            {"budget": 0.0},
            {"repeatable_tools": "mcp"},
        ],
    )
    def test_what_makes_no_sense_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            HedgePolicy(**wrong)


class TestTheDelay:
    def timing(self, policy: HedgePolicy) -> HedgeTiming:
        return HedgeTiming(policy, SessionStats(), SessionLog(), time.monotonic)

    def test_it_follows_the_conversation(self) -> None:
        timing = self.timing(HedgePolicy(quantile=0.9, floor_secs=0.1, min_turns=10))
        for seconds in range(1, 10):
            timing.first_output(float(seconds), accepted=None, hedge=False)
        assert timing.delay(sent=True) == 2.0
        assert timing.delay(sent=False) == 0.1
        timing.first_output(10.0, accepted=None, hedge=True)
        assert timing.delay(sent=True) == 10.0
        for _ in range(90):
            timing.first_output(0.01, accepted=None, hedge=False)
        assert timing.delay(sent=True) == 1.0
        for _ in range(200):
            timing.first_output(0.01, accepted=None, hedge=False)
        assert timing.delay(sent=True) == 0.1
        assert timing.stats.hedges_won == 1

    def test_the_way_there_does_not_count(self) -> None:
        timing = self.timing(HedgePolicy(floor_secs=0.1, min_turns=10))
        for upload in range(10):
            # It takes longer each time, and the server does not.
            timing.first_output(upload + 0.5, accepted=0.5, hedge=False)
            late = timing.delay_once_accepted()
            assert late == (None if upload < 9 else 0.5)
        # Some servers accept a request with the first output: then that says nothing.
        assert timing.delay(sent=True) == 9.5

    async def test_a_calls_first_answer_may_be_late_as_well(self, sandbox: Sandbox) -> None:
        async with hedged(sandbox, "websocket", HedgePolicy(initial_secs=0.02)) as talk:
            sandbox.script(late("one"), "two")
            assert (await talk.turn("Which is it?")).text == "two"

    async def test_it_is_learned_from_turns(self, sandbox: Sandbox) -> None:
        policy = HedgePolicy(floor_secs=0.02, min_turns=2)
        async with hedged(sandbox, "websocket", policy) as talk:
            await talk.turn("count to 2")
            await talk.turn("count to 2")
            assert talk.llm.stats.hedges == 0
            sandbox.script(late("one"), "two")
            assert (await talk.turn("Which is it?")).text == "two"


class TestASecondServer:
    @BOTH
    async def test_it_is_where_the_hedge_goes(
        self, sandbox: Sandbox, second: Sandbox, transport: Transport
    ) -> None:
        policy = HedgePolicy(
            after_secs=SOON_SECS,
            endpoint=there(second, model="gpt-4o", fields={"temperature": 0.5}),
        )
        async with hedged(sandbox, transport, policy) as talk:
            await talk.turn("count to 2")
            sandbox.script(late("one"))
            second.script("two")
            assert (await talk.turn("Which is it?")).text == "two"
            report = report_of(talk)
            assert (report.hedged, report.endpoint, report.transport) == ("won", True, "http")
            [there_] = second.requests
            assert there_.body["model"] == "gpt-4o"
            assert there_.body["temperature"] == 0.5
            assert not there_.incremental
            assert len(there_.input) == 3
            # The next turn is at the own server again, which learns what was said.
            assert (await talk.turn("count to 3")).text == counted(3)
            assert len(second.requests) == 1
            assert len(sandbox.requests[-1].history) == 5
            if transport == "websocket":
                assert sandbox.requests[-1].incremental

    @BOTH
    async def test_it_is_a_refuge_before_a_word(
        self, sandbox: Sandbox, second: Sandbox, transport: Transport
    ) -> None:
        policy = HedgePolicy(after_secs=30.0, endpoint=there(second))
        sandbox.faults.add(Fault("error", "request", times=None, params={"status": 500}))
        async with hedged(sandbox, transport, policy, limits={"attempts": 2}) as talk:
            heard = await talk.turn("count to 3")
            assert (heard.text, heard.errors) == (counted(3), [])
            assert report_of(talk).endpoint
            assert report_of(talk).hedged == "no"
            sandbox.faults.clear()
            assert (await talk.turn("count to 4")).text == counted(4)
            assert not report_of(talk).endpoint

    @BOTH
    async def test_it_says_the_rest_of_what_was_said(
        self, sandbox: Sandbox, second: Sandbox, transport: Transport
    ) -> None:
        policy = HedgePolicy(after_secs=30.0, endpoint=there(second))
        sandbox.faults.add(
            Fault("failed", "text", after=6, params={}),
            Fault("error", "request", skip=1, times=None, params={"status": 500}),
        )
        async with hedged(sandbox, transport, policy, limits={"attempts": 2}) as talk:
            heard = await talk.turn("count to 20")
            assert (heard.text, heard.errors) == (counted(20), [])
            assert talk.written == counted(20)
            [request] = second.requests
            assert request.input[-1]["role"] == "developer"
            assert request.previous_response_id is None

    async def test_an_answer_that_is_not_to_be_resumed_is_not(
        self, sandbox: Sandbox, second: Sandbox
    ) -> None:
        policy = HedgePolicy(after_secs=30.0, endpoint=there(second))
        sandbox.faults.add(Fault("failed", "text", after=6, params={}))
        service = {"on_mid_response_loss": "stop"}
        async with hedged(sandbox, "websocket", policy, **service) as talk:
            heard = await talk.turn("count to 20")
            assert len(heard.errors) == 1
        assert second.requests == []

    async def test_what_the_request_says_is_wrong_is_not_tried_elsewhere(
        self, sandbox: Sandbox, second: Sandbox
    ) -> None:
        policy = HedgePolicy(after_secs=30.0, endpoint=there(second))
        sandbox.faults.add(Fault("error", "request", params={"status": 400, "param": "input"}))
        async with hedged(sandbox, "http", policy) as talk:
            assert len((await talk.turn("count to 20")).errors) == 1
        assert second.requests == []

    @BOTH
    async def test_a_server_that_is_away_is_not_waited_for(
        self, sandbox: Sandbox, second: Sandbox, transport: Transport
    ) -> None:
        policy = HedgePolicy(after_secs=0.05, endpoint=there(second))
        async with hedged(sandbox, transport, policy) as talk:
            await talk.turn("count to 2")
            await sandbox.stop()
            # More often than the budget has it: nothing is paid twice.
            for number in range(3, 7):
                heard = await talk.turn(f"count to {number}")
                assert (heard.text, heard.errors) == (counted(number), [])
            await sandbox.start()
        assert len(second.requests) == 4

    @BOTH
    async def test_a_server_that_was_never_there_is_not_waited_for(
        self, sandbox: Sandbox, second: Sandbox, transport: Transport
    ) -> None:
        await sandbox.stop()
        policy = HedgePolicy(floor_secs=0.02, endpoint=there(second))
        # Were it not for the hedge, there would be no end to the attempts.
        limits = {"attempts": 1000, "total_secs": 60.0}
        async with hedged(sandbox, transport, policy, limits=limits) as talk:
            heard = await talk.turn("count to 3")
            assert (heard.text, heard.errors) == (counted(3), [])
        await sandbox.start()

    async def test_a_lost_race_there_is_no_loss(self, sandbox: Sandbox, second: Sandbox) -> None:
        wrong = Endpoint(base_url=second.base_url, api_key="sk-wrong-0123456789")
        policy = HedgePolicy(after_secs=SOON_SECS, endpoint=wrong)
        async with hedged(sandbox, "websocket", policy) as talk:
            sandbox.script(late("one", LATER))
            heard = await talk.turn("Which is it?")
            assert (heard.text, heard.errors) == ("one", [])
            assert report_of(talk).hedged == "lost"

    async def test_reasoning_stays_where_it_can_be_read(
        self, sandbox: Sandbox, second: Sandbox
    ) -> None:
        settings = OpenAIResponsesLLMSettings(
            model="gpt-5", reasoning=OpenAIResponsesReasoningConfig(effort="low")
        )
        policy = HedgePolicy(after_secs=SOON_SECS, endpoint=there(second))
        async with hedged(sandbox, "websocket", policy, settings=settings) as talk:
            sandbox.script(Answer([Reasoning("Hm."), "zero"]), late("one"))
            second.script(Answer([Reasoning("Well."), "two"]))
            assert (await talk.turn("Think.")).text == "zero"
            assert (await talk.turn("Think again.")).text == "two"
            assert [item["role"] for item in second.requests[0].input] == [
                "user",
                "assistant",
                "user",
            ]
            kept = [m for m in talk.context.get_messages() if isinstance(m, LLMSpecificMessage)]
            assert len(kept) == 1
            heard = await talk.turn("count to 3")
            assert (heard.text, heard.errors) == (counted(3), [])
            types = [item.get("type") for item in sandbox.requests[-1].history]
            assert types.count("reasoning") == 1

    async def test_nothing_of_it_is_left_running(self, sandbox: Sandbox, second: Sandbox) -> None:
        policy = HedgePolicy(after_secs=SOON_SECS, endpoint=there(second))
        async with hedged(sandbox, "websocket", policy) as talk:
            sandbox.script(late("one"))
            second.script(late("two"))
            await talk.start("Which is it?")
            await until(lambda: len(second.requests) == 1)
            await talk.interrupt()
        assert our_tasks() == []
        await until(lambda: second.requests[0].outcome is not None)

    async def test_its_key_is_shown_nowhere(
        self, sandbox: Sandbox, second: Sandbox, log: io.StringIO
    ) -> None:
        endpoint = there(second)
        assert OTHER_KEY not in repr(HedgePolicy(endpoint=endpoint))
        second.faults.add(
            Fault("error", "request", params={"status": 401, "message": f"Not {OTHER_KEY}."})
        )
        policy = HedgePolicy(after_secs=SOON_SECS, endpoint=endpoint)
        async with hedged(sandbox, "websocket", policy) as talk:
            sandbox.script(late("one", LATER))
            await talk.turn("Which is it?")
        assert "has failed" in log.getvalue()
        assert OTHER_KEY not in log.getvalue()

    def test_it_needs_an_address_and_a_key(
        self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        endpoint = Endpoint(base_url="http://127.0.0.1:1/v1")
        with pytest.raises(ValueError, match="no OpenAI API key"):
            new_service(sandbox, "http", hedge=HedgePolicy(endpoint=endpoint))
        endpoint = Endpoint(base_url="http://example.com/v1", api_key=OTHER_KEY)
        with pytest.raises(ValueError, match="clear text"):
            new_service(sandbox, "http", hedge=HedgePolicy(endpoint=endpoint))
