"""What a connection and its lanes remember, and what they forget."""

import asyncio
from itertools import pairwise
from typing import Any, Literal

import pytest

from pipecat_responses.sandbox import Answer, Fault, RecordedRequest, Sandbox

from .wire import Wire, connected, post, text_of, user

Policy = Literal["forgets", "keeps_previous", "remembers_new"]


def roles(record: RecordedRequest) -> list[str]:
    return [item["role"] for item in record.history]


async def not_found(wire: Wire, response_id: str, **fields: Any) -> None:
    event = await wire.refusal([user("more")], previous_response_id=response_id, **fields)
    assert event["status"] == 400
    assert event["error"] == {
        "type": "invalid_request_error",
        "code": "previous_response_not_found",
        "param": "previous_response_id",
        "message": f"Previous response with id '{response_id}' not found.",
    }


async def test_a_lane_continues_from_its_latest_response(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        first = await wire.respond([user("one")])
        second = await wire.respond([user("two")], previous_response_id=first["id"])
        assert text_of(second) == 'You said: "two". I remember 3 items.'
        assert second["previous_response_id"] == first["id"]
        await not_found(wire, first["id"])
    assert roles(sandbox.requests[1]) == ["user", "assistant", "user"]
    assert [request.incremental for request in sandbox.requests] == [False, True, True]
    assert sandbox.requests[1].input == [user("two")]
    assert sandbox.requests[1].previous_response_id == first["id"]


async def test_a_refused_request_evicts_the_parent_of_its_own_lane(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        first = await wire.respond("one")
        await wire.refusal("two", previous_response_id=first["id"], temperature=9)
        await not_found(wire, first["id"])


async def test_a_refused_fork_leaves_the_other_lane_alone(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        first = await wire.respond("one", stream_id="a")
        for lane in ("b", "c"):
            await wire.refusal("x", stream_id=lane, previous_response_id=first["id"], temperature=9)
        await wire.respond("two", stream_id="a", previous_response_id=first["id"])


async def test_forks_from_and_to_the_default_lane(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        first = await wire.respond("one")
        fork = await wire.respond("two", stream_id="a", previous_response_id=first["id"])
        again = await wire.respond("three", stream_id="b", previous_response_id=first["id"])
        back = await wire.respond("four", previous_response_id=again["id"])
        await wire.respond("five", stream_id="a", previous_response_id=fork["id"])
    assert text_of(back).endswith("I remember 5 items.")


async def test_advancing_a_lane_drops_what_it_remembered(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        first = await wire.respond("one", stream_id="a")
        await wire.respond("other", stream_id="a")
        await not_found(wire, first["id"], stream_id="b")
        await not_found(wire, first["id"], stream_id="a")


async def test_a_fork_that_has_begun_survives_its_origin(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        first = await wire.respond("one", stream_id="a")
        sandbox.config.tokens_per_second = 200
        await wire.create("count to 20", stream_id="b", previous_response_id=first["id"])
        while (await wire.event())["type"] != "response.in_progress":
            pass
        sandbox.config.tokens_per_second = None
        await wire.create("two", stream_id="a", previous_response_id=first["id"])
        done = [await wire.until_terminal("a"), await wire.until_terminal("b")]
    assert [events[-1]["type"] for events in done] == ["response.completed"] * 2


async def test_a_fork_that_waits_while_its_origin_advances_fails(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        first = await wire.respond("one", stream_id="a")
        sandbox.config.tokens_per_second = 100
        await wire.create("count to 10", stream_id="b")
        await wire.event()
        sandbox.config.tokens_per_second = None
        await wire.create("fork", stream_id="b", previous_response_id=first["id"])
        await wire.respond("two", stream_id="a", previous_response_id=first["id"])
        assert (await wire.until_terminal("b"))[-1]["type"] == "response.completed"
        (error,) = await wire.until_terminal("b")
    assert error["error"]["code"] == "previous_response_not_found"
    assert error["stream_id"] == "b"


async def test_a_lane_may_let_go_only_at_the_end(sandbox: Sandbox) -> None:
    sandbox.config.lane_advances_at = "end"
    async with connected(sandbox) as wire:
        first = await wire.respond("one", stream_id="a")
        sandbox.faults.add(Fault("silence", "created", stream_id="a"))
        await wire.create("two", stream_id="a", previous_response_id=first["id"])
        await wire.event()
        await wire.respond("fork", stream_id="b", previous_response_id=first["id"])


async def test_forks_can_be_made_to_fail(sandbox: Sandbox) -> None:
    sandbox.config.forks = "fail"
    async with connected(sandbox) as wire:
        first = await wire.respond("one", stream_id="a")
        await not_found(wire, first["id"], stream_id="b")
        await wire.respond("two", stream_id="a", previous_response_id=first["id"])


async def test_warm_up_makes_something_to_continue_from(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        warm = await wire.respond([{"role": "developer", "content": "x"}], generate=False)
        reply = await wire.respond("hello", previous_response_id=warm["id"])
    assert text_of(reply).endswith("I remember 2 items.")


async def test_a_warm_up_without_any_item(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        warm = await wire.respond([], generate=False, instructions="Be brief.")
        assert warm["output"] == []
        await wire.respond(
            "hello", previous_response_id=warm["id"], stream_id="a", instructions="Be brief."
        )
        # Everything else needs one.
        assert (await wire.refusal([]))["error"]["param"] == "input"
        event = await wire.refusal([], generate=False, previous_response_id=warm["id"])
        assert event["error"]["code"] == "empty_array"
    assert sandbox.requests[1].history == sandbox.requests[1].input


async def test_a_warm_up_can_want_an_item(sandbox: Sandbox) -> None:
    sandbox.config.generate_false = "with_input"
    async with connected(sandbox) as wire:
        assert (await wire.refusal([], generate=False))["error"]["param"] == "input"
        assert await wire.respond("x", generate=False)


async def test_generate_can_be_unknown(sandbox: Sandbox) -> None:
    sandbox.config.generate_false = "rejected"
    async with connected(sandbox) as wire:
        event = await wire.refusal("x", generate=False)
    assert (event["error"]["code"], event["error"]["param"]) == ("unknown_parameter", "generate")


async def test_connections_share_nothing(sandbox: Sandbox) -> None:
    async with connected(sandbox) as one, connected(sandbox) as two:
        first = await one.respond("one")
        await not_found(two, first["id"])
        await one.respond("two", previous_response_id=first["id"])
    assert [request.connection for request in sandbox.requests] == [0, 1, 0]
    assert sandbox.connections_opened == 2


async def test_stored_responses_outlive_lane_and_connection(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        first = await wire.respond("one", store=True)
        await wire.respond("two", store=True)
        await wire.respond("three", previous_response_id=first["id"])
    status, body = await post(sandbox, "four", previous_response_id=first["id"])
    assert status == 200
    assert text_of(body).endswith("I remember 3 items.")
    status, body = await post(sandbox, "five", previous_response_id=body["id"])
    assert body["error"]["code"] == "previous_response_not_found"


async def test_references_to_stored_items(sandbox: Sandbox) -> None:
    _, first = await post(sandbox, "one", store=True)
    reference = {"type": "item_reference", "id": first["output"][0]["id"]}
    status, _ = await post(sandbox, [user("one"), reference, user("two")])
    assert status == 200
    assert roles(sandbox.requests[1]) == ["user", "assistant", "user"]
    status, _ = await post(sandbox, [{"type": "item_reference", "id": "msg_none"}])
    assert status == 404


@pytest.mark.parametrize(
    "end",
    [
        Answer(("Half",), incomplete_reason="content_filter"),
        Answer(("Half",), failed={"code": "server_error", "message": "x"}),
        Fault("error", "text", after=1),
        Fault("failed", "created"),
    ],
    ids=["incomplete", "failed", "error event", "failed by a fault"],
)
@pytest.mark.parametrize("policy", ["forgets", "keeps_previous", "remembers_new"])
async def test_memory_after_failure(sandbox: Sandbox, policy: Policy, end: Answer | Fault) -> None:
    sandbox.config.memory_after_failure = policy
    async with connected(sandbox) as wire:
        first = await wire.respond("one")
        if isinstance(end, Answer):
            sandbox.script(end)
        else:
            sandbox.faults.add(end)
        await wire.ask("two", previous_response_id=first["id"])
        second = sandbox.requests[-1].response_id
        assert second is not None
        if policy == "forgets":
            await not_found(wire, first["id"])
            await not_found(wire, second)
        elif policy == "keeps_previous":
            await not_found(wire, second, stream_id="b")
            await wire.respond("x", previous_response_id=first["id"])
        else:
            await not_found(wire, first["id"], stream_id="b")
            await wire.respond("x", previous_response_id=second)


def cached(response: dict[str, Any]) -> int:
    tokens: int = response["usage"]["input_tokens_details"]["cached_tokens"]
    return tokens


async def test_cached_tokens_follow_the_prefix(sandbox: Sandbox) -> None:
    sandbox.config.cache_minimum_tokens = 0
    sandbox.config.cache_step_tokens = 1
    words = "some words to count " * 20
    async with connected(sandbox) as wire:
        first = await wire.respond([user(words)], instructions="Be brief.")
        assert cached(first) == 0
        second = await wire.respond(
            [user("more")], instructions="Be brief.", previous_response_id=first["id"]
        )
        assert cached(second) >= first["usage"]["input_tokens"]
        items = [user(words), {"role": "assistant", "content": text_of(first)}, user("more")]
        again = await wire.respond(items, instructions="Be brief.", stream_id="b")
        assert cached(again) == again["usage"]["input_tokens"]
        changed = await wire.respond(items, instructions="Be verbose.", stream_id="b")
        assert cached(changed) == 0
    async with connected(sandbox) as wire:
        assert cached(await wire.respond(items, instructions="Be brief.")) == 0


async def test_a_record_says_what_was_billed(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        response = await wire.respond([user("some words to count")])
        assert sandbox.requests[0].usage == response["usage"]
        await wire.refusal([user("x")], previous_response_id="resp_unknown")
        sandbox.config.tokens_per_second = 50
        await wire.create("count to 5000")
        while (await wire.event())["type"] != "response.output_text.delta":
            assert sandbox.requests[2].usage is None
    await sandbox.stop()
    assert sandbox.requests[1].usage is None
    left = sandbox.requests[2].usage
    assert left is not None
    assert 0 < left["output_tokens"] < 100


async def test_cached_tokens_have_a_minimum_and_come_in_steps(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        short = [user("word " * 800)]
        await wire.respond(short)
        assert cached(await wire.respond(short)) == 0
        long = [user("word " * 1000)]
        first = await wire.respond(long)
        assert first["usage"]["input_tokens"] == 1250
        assert cached(await wire.respond(long)) == 1152


async def test_text_at_the_end_of_the_instructions_keeps_what_is_before_it(
    sandbox: Sandbox,
) -> None:
    async with connected(sandbox) as wire:
        rules = "A rule to follow. " * 300
        await wire.respond([user("hello")], instructions=rules)
        longer = await wire.respond([user("hello")], instructions=f"{rules}And be brief.")
        assert cached(longer) == 1280
        other = await wire.respond([user("hello")], instructions=f"Be brief. {rules}")
        assert cached(other) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"tools": [{"type": "function", "name": "look_up"}]},
        {"reasoning": {"effort": "high"}},
        {"text": {"format": {"type": "json_schema", "name": "x", "schema": {}}}},
        {"model": "gpt-5.2"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_what_loses_the_cache(sandbox: Sandbox, change: dict[str, Any]) -> None:
    said = [user("word " * 1000)]
    async with connected(sandbox) as wire:
        asked = {"model": "gpt-6-sol", "reasoning": {"effort": "low"}}
        await wire.respond(said, **asked)
        assert cached(await wire.respond(said, **asked)) > 0
        assert cached(await wire.respond(said, **{**asked, **change})) == 0
        update = {"type": "configuration_update", "reasoning": {"effort": "high"}}
        assert cached(await wire.respond([*said, update], **asked)) > 0


async def test_an_item_changes_the_effort(sandbox: Sandbox) -> None:
    update = {"type": "configuration_update", "reasoning": {"effort": "high"}}
    async with connected(sandbox) as wire:
        asked = {"model": "gpt-6-sol", "reasoning": {"effort": "none"}}
        first = await wire.respond([user("hello")], **asked)
        assert [each["type"] for each in first["output"]] == ["message"]
        second = await wire.respond([update], previous_response_id=first["id"], **asked)
        assert [each["type"] for each in second["output"]] == ["reasoning", "message"]
        assert second["reasoning"]["effort"] == "none"


async def test_lanes_run_at_the_same_time_and_each_in_order(sandbox: Sandbox) -> None:
    sandbox.config.tokens_per_second = 500
    async with connected(sandbox) as wire:
        for lane in ("a", "b", None):
            fields = {"stream_id": lane} if lane else {}
            await wire.create("count to 30", **fields)
            await wire.create("count to 3", **fields)
        seen: list[str | None] = []
        ended: dict[str | None, list[str]] = {}
        while sum(len(texts) for texts in ended.values()) < 6:
            event = await wire.event()
            lane = event.get("stream_id")
            if event["type"] == "response.completed":
                ended.setdefault(lane, []).append(text_of(event["response"]))
            seen.append(lane)
    switches = sum(1 for one, two in pairwise(seen) if one != two)
    assert switches > 20
    assert all(texts[1] == "1, 2, 3." for texts in ended.values())


async def test_more_than_the_limit_in_flight_wait(sandbox: Sandbox) -> None:
    sandbox.config.max_in_flight = 2
    async with connected(sandbox) as wire:
        sandbox.faults.add(*(Fault("silence", "created", stream_id=lane) for lane in "ab"))
        await wire.create("x", stream_id="a")
        await wire.create("x", stream_id="b")
        await wire.create("x", stream_id="c")
        for _ in range(4):
            assert (await wire.event())["stream_id"] in "ab"
        pong = await wire.socket.ping()
        await asyncio.wait_for(pong, 5)
        assert sandbox.requests[2].response_id is None
        assert sandbox.requests[2].outcome is None


async def test_too_many_lanes(sandbox: Sandbox) -> None:
    sandbox.config.max_streams = 2
    async with connected(sandbox) as wire:
        await wire.respond("x", stream_id="a")
        await wire.respond("x", stream_id="b")
        event = await wire.refusal("x", stream_id="c")
        assert event["error"]["code"] == "websocket_stream_limit_reached"
        await wire.respond("x", stream_id="a")
        await wire.respond("x")


async def test_a_connection_that_is_too_old(sandbox: Sandbox) -> None:
    sandbox.config.max_connection_age = 0.05
    async with connected(sandbox) as wire:
        event = await wire.event()
        assert event["status"] == 400
        assert event["error"]["code"] == "websocket_connection_limit_reached"
        await asyncio.wait_for(wire.socket.wait_closed(), 5)


async def test_a_server_that_refuses_lanes(sandbox: Sandbox) -> None:
    sandbox.config.lanes = "rejected"
    async with connected(sandbox) as wire:
        await wire.create("x", stream_id="a")
        event = await wire.event()
        assert (event["error"]["code"], event["error"]["param"]) == (
            "unknown_parameter",
            "stream_id",
        )
        assert "stream_id" not in event
        await wire.respond("x")


async def test_a_server_that_does_not_see_lanes(sandbox: Sandbox) -> None:
    sandbox.config.lanes = "ignored"
    async with connected(sandbox) as wire:
        await wire.create("one", stream_id="a")
        first = (await wire.until_terminal(None))[-1]["response"]
        await wire.create("two", stream_id="b", previous_response_id=first["id"])
        second = (await wire.until_terminal(None))[-1]["response"]
        await not_found(wire, first["id"])
    assert text_of(second).endswith("I remember 3 items.")
    assert sandbox.requests[0].stream_id == "a"


def written(response: dict[str, Any]) -> int:
    tokens: int = response["usage"]["input_tokens_details"]["cache_write_tokens"]
    return tokens


def marked(text: str) -> dict[str, Any]:
    part = {"type": "input_text", "text": text, "prompt_cache_breakpoint": {"mode": "explicit"}}
    return {"role": "developer", "content": [part]}


class TestCachesAtBreakpoints:
    """From gpt-5.6 on; before that in steps."""

    RULES = "A rule to follow. " * 300

    async def ask(self, wire: Wire, *said: Any, **fields: Any) -> dict[str, Any]:
        items = [user(each) if isinstance(each, str) else each for each in said]
        return await wire.respond(items, model="gpt-5.6-sol", **fields)

    async def test_a_conversation_goes_on_from_its_newest_item(self, sandbox: Sandbox) -> None:
        async with connected(sandbox) as wire:
            first = await self.ask(wire, self.RULES)
            assert (cached(first), written(first)) == (0, first["usage"]["input_tokens"])
            second = await self.ask(wire, "more", previous_response_id=first["id"])
            assert cached(second) == first["usage"]["input_tokens"]
            assert written(second) == second["usage"]["input_tokens"] - cached(second)
            again = await self.ask(wire, self.RULES, stream_id="b")
            assert (cached(again), written(again)) == (first["usage"]["input_tokens"], 0)

    async def test_what_is_not_marked_is_lost_with_the_end(self, sandbox: Sandbox) -> None:
        rules = {"role": "developer", "content": self.RULES}
        async with connected(sandbox) as wire:
            await self.ask(wire, rules, "one question")
            assert cached(await self.ask(wire, rules, "another")) == 0
            first = await self.ask(wire, marked(self.RULES), "one question")
            second = await self.ask(wire, marked(self.RULES), "a third")
            assert 0 < cached(second) < second["usage"]["input_tokens"]
            assert cached(first) == first["usage"]["input_tokens"]
            # The same words without a mark, and with others before them.
            assert cached(await self.ask(wire, rules, "a fourth")) == cached(second)
            assert cached(await self.ask(wire, "well,", marked(self.RULES))) == 0

    async def test_explicit_only(self, sandbox: Sandbox) -> None:
        only: dict[str, Any] = {"prompt_cache_options": {"mode": "explicit"}}
        async with connected(sandbox) as wire:
            for _ in range(2):
                response = await self.ask(wire, self.RULES, **only)
                assert (cached(response), written(response)) == (0, 0)
            await self.ask(wire, marked(self.RULES), "one", **only)
            response = await self.ask(wire, marked(self.RULES), "two", **only)
        assert cached(response) > 0
        assert response["prompt_cache_options"] == {"mode": "explicit", "ttl": "30m"}

    async def test_a_part_in_the_middle(self, sandbox: Sandbox) -> None:
        def said(more: str) -> dict[str, Any]:
            content = marked(self.RULES)["content"]
            return {"role": "user", "content": [*content, {"type": "input_text", "text": more}]}

        async with connected(sandbox) as wire:
            await self.ask(wire, said("one"))
            assert cached(await self.ask(wire, said("another"))) > 1024

    async def test_only_the_newest_marks_are_written(self, sandbox: Sandbox) -> None:
        rules = [marked(f"{number} {self.RULES}") for number in range(4)]
        async with connected(sandbox) as wire:
            await self.ask(wire, *rules, "one")
            assert cached(await self.ask(wire, rules[0], "two")) == 0
            assert cached(await self.ask(wire, *rules[:2], "two")) > 0

    async def test_short_prefixes_are_not_written(self, sandbox: Sandbox) -> None:
        async with connected(sandbox) as wire:
            for _ in range(2):
                response = await self.ask(wire, "hello")
                assert (cached(response), written(response)) == (0, 0)

    async def test_prewarming(self, sandbox: Sandbox) -> None:
        async with connected(sandbox) as wire:
            options = {"prompt_cache_options": {"prewarm": True}}
            response = await self.ask(wire, self.RULES, **options)
            assert response["output"] == []
            assert written(response) > 0
            assert cached(await self.ask(wire, self.RULES)) == written(response)

    async def test_by_choice(self, sandbox: Sandbox) -> None:
        sandbox.config.cache_matching = "steps"
        async with connected(sandbox) as wire:
            first = await self.ask(wire, self.RULES)
            assert written(first) == 0
            assert cached(await self.ask(wire, self.RULES)) == 1280
        sandbox.config.cache_matching = "breakpoints"
        async with connected(sandbox) as wire:
            assert written(await wire.respond([user(self.RULES)])) > 0
