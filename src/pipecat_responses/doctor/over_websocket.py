"""The WebSocket: does it open, answer, continue, and prepare; and a second one beside it."""

from __future__ import annotations

from pipecat_responses.doctor.advice import failed, no, ok, said, trouble, unclear
from pipecat_responses.doctor.answers import is_refusal
from pipecat_responses.doctor.findings import Finding
from pipecat_responses.doctor.server import Server, Told
from pipecat_responses.doctor.words import Memory, new_word, recall_on, telling
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure

NOT_CERTAIN = "Run this again; a larger model is easier to question."

_OF_PROXIES = frozenset({407, *range(300, 400)})
"""Statuses by which something on the way refuses."""

_OF_EITHER = frozenset({403, *range(200, 300)})
"""Statuses by which something on the way refuses, or a server that knows no WebSockets."""


async def upgrade(server: Server) -> Finding:
    """Whether a WebSocket opens."""
    try:
        server.line = await server.open_line()
    except ResponsesError as error:
        return _refused(error, server)
    return ok("It opens.")


def _refused(error: ResponsesError, server: Server) -> Finding:
    spoke = bool(error.code or error.type)
    if error.failure in (Failure.AUTHENTICATION, Failure.RATE_LIMIT, Failure.QUOTA):
        return trouble(error, server)
    if error.failure is Failure.PERMISSION and spoke:
        return trouble(error, server)
    on_the_way = error.status in _OF_PROXIES or (
        error.status in _OF_EITHER and not server.on_this_machine
    )
    if on_the_way and not spoke:
        return failed(
            f"The upgrade was answered with status {error.status}, without the API's words.",
            "Have WebSockets let through, if a proxy is on the way; until then use HTTP.",
        )
    if error.status is not None and error.status < 500:
        return no(
            f"The server answers the upgrade with status {error.status}.",
            "Use HTTP, unless the WebSocket is at another address (--ws-url).",
            websocket=False,
        )
    return trouble(error, server)


async def answer(server: Server) -> Finding:
    """Whether an answer comes over it. It is told a word, for the checks after this one."""
    assert server.line is not None
    word = new_word()
    for _ in range(4):
        told = await server.ask_on(server.line, server.request(telling(word)))
        error = told.error
        if error is None:
            server.told = Told(word, told)
            return ok("An answer came.", websocket=True)
        if not is_refusal(error, *server.usual_fields) or not server.leave_out(error):
            break
    assert error is not None
    if is_refusal(error, *server.usual_fields):
        return no(
            f"A request that HTTP may take is refused: {said(error)}",
            "Use HTTP; the server's WebSocket is of another kind.",
        )
    return trouble(error, server)


async def continuation(server: Server) -> Finding:
    """Whether a response can be continued on its connection, without being stored."""
    line, told = server.line, server.told
    assert line is not None
    assert told is not None

    recalled = await recall_on(server, line, told)
    match recalled.memory:
        case Memory.THERE:
            server.told = Told(told.word, recalled.answer)
            return ok("The next request was answered from memory.", continuation=True)
        case Memory.REFUSED:
            return no(
                f"previous_response_id is refused: {said(recalled.error)}",
                "Nothing to do, but turns carry the whole conversation.",
                continuation=False,
            )
        case Memory.DROPPED:
            return no(
                "previous_response_id is taken and dropped: the model saw the question alone.",
                "Use HTTP: over this WebSocket the bot would forget what was said.",
                continuation=False,
            )
        case Memory.UNCERTAIN:
            server.told = Told(told.word, recalled.answer)
            return unclear("The model did not know, twice, what it had been told.", NOT_CERTAIN)
        case Memory.TROUBLE:
            return trouble(recalled.error, server)


async def instructions(server: Server) -> Finding:
    """Whether instructions may stand beside what is continued from."""
    line, told = server.line, server.told
    assert line is not None
    assert told is not None

    recalled = await recall_on(server, line, told, instructions="Answer in one sentence.")
    match recalled.memory:
        case Memory.THERE:
            return ok(
                "Instructions may stand beside previous_response_id.",
                instructions_when_continuing=True,
            )
        case Memory.REFUSED if recalled.error.failure is not Failure.MEMORY_LOST:
            return no(
                f"Instructions are refused beside previous_response_id: {said(recalled.error)}",
                "Give them as the first message of the context instead.",
                instructions_when_continuing=False,
            )
        case Memory.TROUBLE:
            return trouble(recalled.error, server)
        case _:
            return unclear("With them, the model did not know what it had been told.", NOT_CERTAIN)


async def warm_up(server: Server) -> Finding:
    """Whether ``generate: false`` prepares what can be continued from."""
    word = new_word()
    async with server.another_line() as line:
        prepared = await server.ask_on(line, server.request(telling(word), generate=False))
        error = prepared.error
        if error is not None and is_refusal(error, "generate"):
            return no(
                f"generate is refused: {said(error)}",
                "Nothing to do, but the first turn of a call is a little slower.",
                warm_up=False,
            )
        if error is not None:
            return trouble(error, server)
        if prepared.text:
            return no(
                "generate: false is taken, and the server answers all the same.",
                "Do not call warm_up(): it would cost an answer.",
                warm_up=False,
            )
        recalled = await recall_on(server, line, Told(word, prepared))
    match recalled.memory:
        case Memory.THERE:
            return ok("A request was prepared, and continued from.", warm_up=True)
        case Memory.REFUSED | Memory.DROPPED:
            return no(
                "generate: false is taken, but there is nothing to continue from.",
                "Do not call warm_up(): it would prepare nothing.",
                warm_up=False,
            )
        case Memory.UNCERTAIN:
            return unclear("The model did not know what it had been prepared with.", NOT_CERTAIN)
        case Memory.TROUBLE:
            return trouble(recalled.error, server)


async def rotation(server: Server) -> Finding:
    """Whether a second connection opens while the first one lives, and what is known there."""
    word = new_word()
    async with server.another_line() as first:
        told = await server.ask_on(first, server.request(telling(word)))
        if told.error is not None:
            return trouble(told.error, server)
        try:
            second = await server.open_line()
        except ResponsesError as error:
            return no(
                f"No second connection while the first one lives: {said(error)}",
                "Expect a pause when a connection has to be replaced.",
            )
        recalled = await recall_on(server, second, Told(word, told))
    opens = "A second connection opens beside the first"
    match recalled.memory:
        case Memory.THERE:
            return ok(f"{opens}, and knows its responses.")
        case Memory.REFUSED:
            return ok(f"{opens}, and does not know its responses.")
        case Memory.TROUBLE:
            return trouble(recalled.error, server)
        case _:
            return ok(f"{opens}; whether it knows its responses is not certain.")
