"""Answers by kind of request, and what was asked, in Python and over HTTP."""

import re
from typing import Any

import aiohttp
import pytest

from pipecat_responses.sandbox import Answer, Call, Fault, Sandbox, Text
from pipecat_responses.sandbox.bounds import Bounds
from pipecat_responses.sandbox.journal import Journal

from .wire import connected, function_tool, post, stream, text_of, user


async def said(sandbox: Sandbox, input: object, **fields: Any) -> str:  # noqa: A002
    status, body = await post(sandbox, input, **fields)
    assert status == 200, body
    return text_of(body)


def with_result(text: str, name: str = "get_weather") -> list[dict[str, Any]]:
    return [
        user(text),
        {"type": "function_call", "call_id": "c1", "name": name, "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
    ]


class Control:
    def __init__(self, origin: str) -> None:
        self.origin = origin

    async def __call__(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.origin + path, json=body, headers=headers) as answer,
        ):
            return answer.status, await answer.json()


@pytest.fixture
def control(sandbox: Sandbox) -> Control:
    return Control(sandbox.origin)


async def test_by_text(sandbox: Sandbox) -> None:
    weather = sandbox.when("weather").say("Sunny.")
    sandbox.when(re.compile(r"\btime\b")).say("Noon.")
    sandbox.when(lambda given: given.count == 2).say("Two items.")
    sandbox.script("From the queue.")
    assert await said(sandbox, "How is the WEATHER?") == "Sunny."
    assert await said(sandbox, [user("weather"), user("What time is it?")]) == "Noon."
    assert await said(sandbox, [user("a"), user("b")]) == "Two items."
    assert await said(sandbox, "Sometimes") == "From the queue."
    assert await said(sandbox, "Sometimes") == 'You said: "Sometimes". I remember 1 item.'
    assert await said(sandbox, "weather") == "Sunny."
    assert weather.used == 2


async def test_by_everything_else(sandbox: Sandbox) -> None:
    sandbox.when(model="gpt-5").say("five")
    sandbox.when(tool="get_weather", instructions="brief").say("tool, brief")
    sandbox.when(tool="get_weather").say("tool")
    tools = [function_tool("get_weather")]
    assert await said(sandbox, "x", model="gpt-5") == "five"
    assert await said(sandbox, "x", tools=tools, instructions="Be brief.") == "tool, brief"
    assert await said(sandbox, "x", tools=tools) == "tool"
    assert "You said" in await said(sandbox, "x")


async def test_a_tool_and_its_result(sandbox: Sandbox) -> None:
    sandbox.when("weather").call("get_weather", city="Paris")
    sandbox.when(result="get_weather").say("It is sunny.")
    _, body = await post(sandbox, "The weather?")
    (call,) = body["output"]
    assert (call["name"], call["arguments"]) == ("get_weather", '{"city": "Paris"}')
    # The user's words are still the newest, but it is not they that are to be answered.
    assert await said(sandbox, with_result("The weather?")) == "It is sunny."
    assert "get_time says" in await said(sandbox, with_result("The weather?", "get_time"))
    assert await said(sandbox, [*with_result("x"), user("weather")]) == ""


async def test_one_answer_after_the_other(sandbox: Sandbox) -> None:
    stub = sandbox.when("x", times=3).say("one", "two")
    sandbox.when("x").say("after them")
    answers = [await said(sandbox, "x") for _ in range(4)]
    assert answers == ["one", "two", "two", "after them"]
    assert (stub.used, stub.open) == (3, False)


async def test_a_stub_without_an_answer_answers_nothing(sandbox: Sandbox) -> None:
    stub = sandbox.when("x")
    assert "You said" in await said(sandbox, "x")
    with pytest.raises(ValueError, match="say something first"):
        stub.fault(Fault("reset", "text"))


async def test_a_refusal(sandbox: Sandbox) -> None:
    sandbox.when("x", times=1).fail(429, code="rate_limit_exceeded", headers={"retry-after": "1"})
    status, body = await post(sandbox, "x")
    assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")
    assert sandbox.requests[0].outcome == "refused:rate_limit_exceeded"
    assert "You said" in await said(sandbox, "x")


async def test_a_page_instead_of_an_answer(sandbox: Sandbox) -> None:
    sandbox.when("x").answer(Answer("Hello.", faults=[Fault("http_html")]))
    headers = {"authorization": "Bearer k"}
    body = {"model": "gpt-4.1", "input": "x"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sandbox.base_url}/responses", json=body, headers=headers) as answer,
    ):
        assert (answer.status, answer.content_type) == (502, "text/html")
    # An open WebSocket has no pages.
    async with connected(sandbox) as wire:
        assert text_of(await wire.respond("x")) == "Hello."


async def test_a_fault_of_an_answer(sandbox: Sandbox) -> None:
    stub = sandbox.when("weather").say("It is sunny today.").fault(Fault("no_terminal", "terminal"))
    sandbox.script(Answer("Other.", faults=[Fault("incomplete", "text", after=1)]))
    assert [e["type"] for e in await stream(sandbox, "weather")][-1] != "response.completed"
    assert (await stream(sandbox, "other"))[-1]["type"] == "response.incomplete"
    # It belongs to the answer, which is given again.
    assert [e["type"] for e in await stream(sandbox, "weather")][-1] != "response.completed"
    assert stub.used == 2
    with pytest.raises(ValueError, match="before any answer"):
        Answer("x", faults=[Fault("reset", "request")])


async def test_what_broke_off_goes_on(sandbox: Sandbox) -> None:
    sandbox.when("weather").say("It is sunny in Paris today.").fault(
        Fault("reset", "text", after=3)
    )
    broken = [
        user("The weather?"),
        {"role": "assistant", "content": "It is sunny"},
        {"role": "developer", "content": "Continue where you were interrupted."},
    ]
    with pytest.raises(aiohttp.ClientError):
        await stream(sandbox, "The weather?")
    assert await said(sandbox, broken) == " in Paris today."


async def test_over_a_websocket(sandbox: Sandbox) -> None:
    stub = sandbox.when("a").say("A.")
    async with connected(sandbox) as wire:
        first = await wire.respond("a")
        second = await wire.respond("b", previous_response_id=first["id"])
        assert text_of(await wire.respond("a", previous_response_id=second["id"])) == "A."
    assert stub.used == 2


async def test_stubs_over_http(sandbox: Sandbox, control: Control) -> None:
    stub = {
        "pattern": "weather|rain",
        "tool": "get_weather",
        "times": 1,
        "answers": {"parts": [{"type": "call", "name": "get_weather"}]},
    }
    status, stubs = await control("POST", "/_sandbox/when", stub)
    assert (status, stubs) == (
        200,
        [{"when": "text 'weather|rain', tool 'get_weather'", "times": 1, "used": 0}],
    )
    tools = [function_tool("get_weather")]
    _, body = await post(sandbox, "Rain?", tools=tools)
    assert body["output"][0]["type"] == "function_call"
    assert (await control("GET", "/_sandbox/when"))[1][0]["used"] == 1
    assert await control("DELETE", "/_sandbox/when") == (200, [])


@pytest.mark.parametrize(
    "stub",
    [
        1,
        {},
        {"text": "x"},
        {"text": 1, "answers": "x"},
        {"colour": "x", "answers": "x"},
        {"text": "x", "pattern": "y", "answers": "x"},
        {"pattern": "(", "answers": "x"},
        {"text": "x", "times": 0, "answers": "x"},
        {"text": "x", "answers": [1]},
        {"text": "x", "answers": {"parts": [{"type": "call"}]}},
        {"text": "x", "answers": {"parts": "x", "faults": [{"kind": []}]}},
        {"text": "x", "answers": {"faults": [{"kind": ["reset"]}]}},
    ],
)
async def test_what_is_no_stub(control: Control, stub: object) -> None:
    status, body = await control("POST", "/_sandbox/when", stub)
    assert status == 400
    assert body["error"]["message"]


async def test_the_journal_over_http(sandbox: Sandbox, control: Control) -> None:
    await post(sandbox, "one", instructions="Be brief.")
    await post(sandbox, "two")
    _, told = await control("GET", "/_sandbox/requests?since=1&history=1")
    (record,) = told["requests"]
    assert (told["dropped"], record["number"], record["body"]["input"]) == (0, 1, "two")
    assert record["headers"]["authorization"] == "Bearer ***1234"
    assert record["output"][0]["content"][0]["text"].startswith("You said")
    assert [item["content"] for item in record["history"]] == ["two"]
    _, newest = await control("GET", "/_sandbox/requests?since=-1")
    assert [each["number"] for each in newest["requests"]] == [1]
    assert (await control("GET", "/_sandbox/requests?since=x"))[0] == 400


async def test_reset(sandbox: Sandbox, control: Control) -> None:
    sandbox.when("x").say("stub")
    sandbox.script("queue")
    sandbox.faults.add(Fault("close"))
    sandbox.config.lanes = "rejected"
    sandbox.config.deployments["mine"] = "gpt-5"
    await control("POST", "/_sandbox/script", "more")
    for _ in range(2):
        assert await control("POST", "/_sandbox/reset") == (200, {"reset": True})
        assert (sandbox.requests, sandbox.scripted, len(sandbox.faults)) == ([], 0, 0)
        assert (sandbox.config.lanes, sandbox.config.deployments) == ("supported", {})
        assert "You said" in await said(sandbox, "x")


async def test_what_is_kept_is_bounded(sandbox: Sandbox) -> None:
    sandbox.config.max_recorded = 3
    sandbox.config.max_stored = 2
    bodies = [(await post(sandbox, f"number {number}", store=True))[1] for number in range(5)]
    ids = [body["id"] for body in bodies]
    assert [record.body["input"] for record in sandbox.requests] == [
        "number 2",
        "number 3",
        "number 4",
    ]
    assert sandbox.requests.dropped == 2
    assert (await post(sandbox, "x", previous_response_id=ids[2]))[0] == 400
    assert (await post(sandbox, "x", previous_response_id=ids[4]))[0] == 200


def test_a_journal_by_bytes(sandbox: Sandbox) -> None:
    sandbox.config.max_recorded_bytes = 10
    journal: Journal[str] = Journal(sandbox.config, Bounds(sandbox.config).recorded, len)
    journal.extend(["aaaa", "bbbb"])
    journal.append("cccc")
    assert (journal, journal.dropped) == (["bbbb", "cccc"], 1)
    journal.append("d" * 20)
    assert (journal, journal.dropped) == (["d" * 20], 3)
    del journal[0]
    journal.append("eeee")
    assert journal == ["eeee"]
    sandbox.messages.extend([{"invalid": "x" * 20}, {"type": "y"}])
    assert sandbox.messages == [{"type": "y"}]
    journal.clear()
    assert (journal, journal.dropped) == ([], 0)


async def test_parts_that_are_no_parts(sandbox: Sandbox) -> None:
    """What cannot be said ends the request, and not the server."""
    sandbox.when("x", times=1).answer(Answer([Text(5)]))  # type: ignore[arg-type]
    sandbox.when("x").answer(Call("f"))
    async with aiohttp.ClientSession() as session:
        body = {"model": "gpt-4.1", "input": "x"}
        headers = {"authorization": "Bearer k"}
        url = f"{sandbox.base_url}/responses"
        statuses = []
        for _ in range(2):
            async with session.post(url, json=body, headers=headers) as answer:
                statuses.append(answer.status)
    assert statuses == [500, 200]
