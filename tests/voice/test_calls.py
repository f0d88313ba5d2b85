"""Calls with sound: what is heard is what the context and the server's memory say.

Nothing is put in anybody's place but the model: the caller's speech is synthesised, and goes
through voice activity and turn detection, a recogniser, the service, a voice, and Pipecat's output.
What the bot has said is recognised again. Time jumps where nobody has anything to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from benchmarks.phone import Phone
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.services.llm_service import FunctionCallParams

from pipecat_responses import OpenAIResponsesHttpLLMService, OpenAIResponsesLLMService
from pipecat_responses.sandbox import Fault, Sandbox, SandboxConfig
from pipecat_responses.sandbox.story import CHAPTERS
from pipecat_responses.testing import AutojumpEventLoop, plain
from pipecat_responses.tools import tools, web_search

from .support import likeness, understood, words

KINDS = {"websocket": OpenAIResponsesLLMService, "http": OpenAIResponsesHttpLLMService}
COUNTED = "One, two, three, four, five, six, seven, eight, nine, ten."
Call = Callable[[Sandbox, str], Coroutine[Any, Any, None]]
ALIKE = 0.6
"""What the recogniser understands of the voice, at least; mostly it is all."""

long = pytest.mark.long_calls


def hold(call: Call, transport: str) -> None:
    """Holds a call with somebody to talk to, who thinks as fast as a model does."""

    async def with_server() -> None:
        config = SandboxConfig(persona=True, time_to_first_token=0.1, tokens_per_second=40)
        async with Sandbox(config) as server:
            await call(server, transport)

    with asyncio.Runner(loop_factory=AutojumpEventLoop) as runner:
        runner.run(with_server())


def phone_to(server: Sandbox, transport: str, tools: ToolsSchema | None = None) -> Phone:
    return Phone(KINDS[transport](api_key="x", base_url=server.base_url), tools)


def check_memory(phone: Phone, server: Sandbox) -> None:
    """The server remembers what the context says, word by word."""
    newest = server.requests[-1]
    known = [
        (item["role"], words(_text(item["content"])))
        for item in [*newest.history, *newest.output]
        if item.get("type", "message") == "message"
    ]
    context = [
        (role, words(text))
        for role, text, *more in plain(phone.context)
        if role in ("user", "assistant") and not more
    ]
    assert _joined(known) == _joined(context)


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _joined(messages: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """Messages of one side that follow each other, as one."""
    joined: list[tuple[str, list[str]]] = []
    for role, said in messages:
        if joined and joined[-1][0] == role:
            joined[-1][1].extend(said)
        else:
            joined.append((role, list(said)))
    return joined


async def check_answer(phone: Phone, question: str, answer: str) -> None:
    """Asks, and hears the answer, which the context has."""
    await phone.tells(question)
    heard = await phone.hears()
    assert likeness(await understood(heard.pcm), answer) >= ALIKE
    assert plain(phone.context)[-1] == ("assistant", answer)


# -- calls ----------------------------------------------------------------------------------------


async def answers(server: Sandbox, transport: str) -> None:
    """What is heard is what the context says, and the second request has only what is new."""
    phone = phone_to(server, transport)
    async with phone.call():
        await check_answer(phone, "What is seven times eight?", "Seven times eight is fifty-six.")
        await check_answer(phone, "Count to three.", "One, two, three.")
    check_memory(phone, server)
    requests = [request for request in server.requests if request.generate]
    assert [request.incremental for request in requests] == [False, transport == "websocket"]


async def talking_over_the_bot(server: Sandbox, transport: str) -> None:
    """It falls silent, the context has what was heard, and the answer is to what was said."""
    phone = phone_to(server, transport)
    async with phone.call():
        await phone.tells("Count to twenty.")
        begin = await phone.hears_beginning()
        await phone.waits(1.5)
        said = await phone.tells("What is seven times eight?")
        fell_silent = await phone.hears_end(pause=0.4, since=said.begin)
        answer = await phone.hears()
    assert begin < fell_silent < said.end < answer.begin
    assert likeness(await understood(answer.pcm), "seven times eight is fifty six") >= ALIKE
    [counted, answered] = [text for role, text in plain(phone.context) if role == "assistant"]
    assert answered == "Seven times eight is fifty-six."
    kept = words(counted)
    assert kept == words(COUNTED)[: len(kept)]
    heard = words(await understood(phone.heard(begin, fell_silent)))
    # A word counts once it has begun, so the last one may be a half.
    assert abs(len(heard) - len(kept)) <= 2
    check_memory(phone, server)


async def a_lost_connection(server: Sandbox, transport: str) -> None:
    """In the middle of the second sentence; no word of it is heard twice, and none is left out."""
    text = "One, two, three, four. Five, six, seven, eight. Nine, ten."
    server.when("count").say(text).fault(Fault("reset", "text", after=6))
    phone = phone_to(server, transport)
    async with phone.call():
        await phone.tells("Count to ten.")
        heard = await phone.hears(pause=1.5)
    assert words(await understood(heard.pcm)) == words(text)
    assert plain(phone.context)[-1] == ("assistant", text)
    outcomes = [request.outcome for request in server.requests if request.generate]
    assert outcomes == ["fault:reset", "completed"]


async def a_search_with_a_commentary(server: Sandbox, transport: str) -> None:
    """The commentary is heard to its end while the search goes on."""
    server.config.hosted_seconds = 2.5
    phone = phone_to(server, transport, tools(web_search()))
    async with phone.call():
        await phone.tells("Search for the moon.")
        commentary = await phone.hears(pause=0.5)
        searching = server.requests[-1]
        assert searching.outcome is None
        answer = await phone.hears()
    assert searching.outcome == "completed"
    assert commentary.end < answer.begin
    assert len(server.requests) == 1
    assert likeness(await understood(commentary.pcm), "let me look that up") >= ALIKE


async def get_time(params: FunctionCallParams) -> None:
    """Tell the time of day."""
    await params.result_callback("half past seven")


async def a_function(server: Sandbox, transport: str) -> None:
    """What it returns is heard."""
    phone = phone_to(server, transport, tools(get_time))
    async with phone.call():
        await check_answer(phone, "What time is it?", "Half past seven.")
    assert plain(phone.context)[1] == ("call", "get_time", {})
    assert plain(phone.context)[2] == ("result", "get_time", "half past seven")
    check_memory(phone, server)


CALLS: tuple[Call, ...] = (
    talking_over_the_bot,
    a_lost_connection,
    a_search_with_a_commentary,
)
QUIET: tuple[Call, ...] = (answers, a_function)


@pytest.mark.parametrize("call", CALLS)
def test_a_call(call: Call) -> None:
    hold(call, "websocket")


@long
@pytest.mark.parametrize("call", QUIET)
def test_a_quiet_call(call: Call) -> None:
    hold(call, "websocket")


@long
@pytest.mark.parametrize("call", [*QUIET, *CALLS])
def test_a_call_over_http(call: Call) -> None:
    hold(call, "http")


# -- long ones ------------------------------------------------------------------------------------


async def a_long_call(server: Sandbox, transport: str) -> None:
    """Eight turns: answers, a function, a story that is cut and goes on, and lost connections."""
    phone = phone_to(server, transport, tools(get_time, web_search()))
    async with phone.call():
        await check_answer(phone, "What is seven times eight?", "Seven times eight is fifty-six.")
        await check_answer(phone, "What time is it?", "Half past seven.")
        await phone.tells("Tell me a story.")
        await phone.hears_beginning()
        await phone.waits(7.0)
        over = await phone.tells("Please stop.")
        await phone.hears_end(pause=0.4, since=over.begin)
        stopped = await phone.hears()
        assert likeness(await understood(stopped.pcm), "all right") >= ALIKE
        told = next(
            text for role, text, *_ in plain(phone.context) if str(text).startswith("Once upon")
        )
        heard_whole = [sentence for sentence in CHAPTERS[0] if sentence in told]
        assert heard_whole
        await phone.tells("Please continue.")
        await phone.hears_beginning()
        await phone.waits(3.0)
        lost = len(server.requests)
        server.cut()
        over = await phone.tells("What is nine minus four?")
        await phone.hears_end(pause=0.4, since=over.begin)
        answer = await phone.hears()
        assert likeness(await understood(answer.pcm), "nine minus four is five") >= ALIKE
        went_on = plain(phone.context)[-3][1]
        assert CHAPTERS[0][len(heard_whole)].startswith(went_on[:20])
        server.faults.add(Fault("reset", "text", after=3))
        await check_answer(phone, "Count to ten.", COUNTED)
        await check_answer(phone, "What time is it?", "Half past seven.")
    check_memory(phone, server)
    # A connection that is lost takes the server's memory with it; until then only news are sent.
    undisturbed = [request for request in server.requests[1:lost] if request.generate]
    assert {request.incremental for request in undisturbed} == {transport == "websocket"}


@long
@pytest.mark.parametrize("transport", ["websocket", "http"])
def test_a_long_call(transport: str) -> None:
    hold(a_long_call, transport)
