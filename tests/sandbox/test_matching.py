"""Answers by what is asked, the journal, and beginning anew."""

from __future__ import annotations

import re

import aiohttp

from pipecat_responses.sandbox import Fault, Sandbox

from .wire import connected, function_tool, post, text_of


async def said(sandbox: Sandbox, text: str, **fields: object) -> str:
    status, response = await post(sandbox, text, **fields)
    assert status == 200
    return text_of(response)


async def test_what_fits_is_answered(sandbox: Sandbox) -> None:
    sandbox.when("weather").answer("It is sunny.", "Still sunny.")
    sandbox.when(re.compile(r"\b\d+ apples")).answer("That is a lot.")
    sandbox.when(lambda given: given.instructions == "Shout.").answer("HELLO!")
    sandbox.script("From the queue.")
    assert await said(sandbox, "How is the Weather?") == "It is sunny."
    assert await said(sandbox, "I have 12 apples.") == "That is a lot."
    assert await said(sandbox, "hello", instructions="Shout.") == "HELLO!"
    assert await said(sandbox, "And the weather now?") == "Still sunny."
    assert await said(sandbox, "And the weather then?") == "Still sunny."
    # What fits nothing has the queue, and then the rules of the model.
    assert await said(sandbox, "hello") == "From the queue."
    assert (await said(sandbox, "hello")).startswith("You said:")


async def test_by_model_and_tool_and_so_often(sandbox: Sandbox) -> None:
    rule = sandbox.when(model="gpt-4o", times=1).answer("Once.")
    sandbox.when(tool="get_time").answer("I could look.")
    tools = [function_tool("get_time")]
    assert await said(sandbox, "hello", model="gpt-4o", tools=tools) == "Once."
    assert await said(sandbox, "hello", model="gpt-4o", tools=tools) == "I could look."
    assert rule.used == 1


async def test_a_rule_without_an_answer_answers_nothing(sandbox: Sandbox) -> None:
    sandbox.when("hello")
    assert (await said(sandbox, "hello")).startswith("You said:")


async def test_the_journal_and_a_reset(sandbox: Sandbox) -> None:
    sandbox.when("weather").answer("It is sunny.")
    sandbox.script("left over")
    sandbox.faults.add(Fault("error", "text", skip=9))
    base = sandbox.base_url.removesuffix("/v1")
    async with connected(sandbox) as wire:
        await wire.respond("How is the weather?", instructions="Be brief.")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{base}/_sandbox/requests") as answer:
                [entry] = await answer.json()
            assert entry["body"]["instructions"] == "Be brief."
            assert entry["history"][-1]["content"] == "How is the weather?"
            assert "Bearer ***" in entry["headers"]["authorization"]
            async with session.post(f"{base}/_sandbox/reset") as answer:
                assert answer.status == 200
        assert (sandbox.requests, sandbox.messages, sandbox.scripted) == ([], [], 0)
        # Open connections go on.
        assert text_of(await wire.respond("How is the weather?")).startswith("You said:")
