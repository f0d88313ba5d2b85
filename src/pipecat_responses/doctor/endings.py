"""Responses that do not end by themselves, and what is remembered of them."""

from __future__ import annotations

from typing import assert_never

from pipecat_responses.doctor.advice import no, nothing_to_check, ok, said, trouble, unclear
from pipecat_responses.doctor.answers import Answer, is_refusal
from pipecat_responses.doctor.findings import Finding
from pipecat_responses.doctor.over_websocket import NOT_CERTAIN
from pipecat_responses.doctor.server import Server, Told
from pipecat_responses.doctor.words import (
    Memory,
    Recalled,
    new_word,
    recall_on,
    telling_and_counting,
)
from pipecat_responses.protocol.errors import ConnectionLostError
from pipecat_responses.protocol.events import Status, SteerAccepted, SteerFailed, SteerPending

_TOP = 100
"""As far as the model is to count."""

_FEWEST_TOKENS = 16
"""The lowest limit that the API takes."""

_MOST_TOKENS = 160
"""What an answer that is not stopped may cost."""

_STEERABLE = "gpt-6"
"""How the names of models begin whose responses can be steered."""

_WAITS = "Nothing to do: what is said meanwhile waits for the next turn."

_FEWEST_PIECES = 8
"""Pieces of text after which a response that was to be stopped counts as one that goes on."""


async def incomplete(server: Server) -> Finding:
    """Whether a response can be continued that ended at its token limit."""
    word = new_word()
    async with server.another_line() as line:
        request = server.request(telling_and_counting(word, _TOP), max_output_tokens=_FEWEST_TOKENS)
        told = await server.ask_on(line, request)
        if told.error is not None:
            if is_refusal(told.error, "max_output_tokens"):
                return unclear(f"No answer can be cut short: {said(told.error)}")
            return trouble(told.error, server)
        if told.status is not Status.INCOMPLETE:
            return unclear("The server does not keep to max_output_tokens.")
        recalled = await recall_on(server, line, Told(word, told))
    return _remembered(recalled, server, "remembers_incomplete")


async def cancel(server: Server) -> Finding:
    """Whether ``response.cancel`` may be sent, and whether it stops a response."""
    word = new_word()
    line = await server.open_line()
    request = server.request(telling_and_counting(word, _TOP))
    if "max_output_tokens" in request:
        request["max_output_tokens"] = max(_MOST_TOKENS, request["max_output_tokens"])
    answer = server.send_on(line, request)
    await answer.until_speaking(server.within)
    if answer.error is not None:
        return trouble(answer.error, server)
    if answer.response_id is None:
        return unclear("The server gives responses no ids, so none can be named.")
    await line.stop(answer)
    ended, pieces = answer.ended.is_set(), answer.deltas
    if answer.cancel_error is None:
        await answer.until_ended(server.within)
    if answer.cancel_error is not None:
        if ended and not _is_about_the_message(answer, "response.cancel"):
            return _too_quick()
        return no(
            f"response.cancel is refused: {said(answer.cancel_error)}",
            "Nothing to do: interrupted responses run to their end unheard, and are billed.",
            cancel=False,
            cancel_stops=False,
        )
    if answer.error is not None:
        if isinstance(answer.error, ConnectionLostError):
            return unclear(f"After response.cancel: {said(answer.error)}.")
        return trouble(answer.error, server)
    if not _came_to_its_end(answer):
        server.stopped = (line, Told(word, answer))
        return ok("response.cancel stops a response.", cancel=True, cancel_stops=True)
    if ended or answer.deltas - pieces < _FEWEST_PIECES:
        return _too_quick()
    return no(
        "response.cancel is taken, and the response goes on.",
        "Nothing to do: interrupted responses run to their end unheard, and are billed.",
        cancel=True,
        cancel_stops=False,
    )


async def interrupted(server: Server) -> Finding:
    """Whether a response can be continued that was stopped."""
    if server.stopped is None:
        return nothing_to_check("Nothing was stopped, so it is not to be found out.")
    recalled = await recall_on(server, *server.stopped)
    return _remembered(recalled, server, "remembers_interrupted")


async def steering(server: Server) -> Finding:
    """Whether a response takes more input while it runs."""
    if not server.model.lower().startswith(_STEERABLE):
        return nothing_to_check("Only models of the gpt-6 family take input while they answer.")
    async with server.another_line() as line:
        request = server.request(telling_and_counting(new_word(), _TOP))
        answer = server.send_on(line, request)
        await answer.until_speaking(server.within)
        if answer.error is not None:
            return trouble(answer.error, server)
        if answer.response_id is None:
            return unclear("The server gives responses no ids, so none can be named.")
        await line.steer(answer, "That is enough. Answer only: ok")
        if answer.steer is None and answer.cancel_error is None:
            await answer.until_ended(server.within)
    match answer.steer:
        case SteerAccepted() | SteerPending():
            return ok("response.steer is taken while a response runs.", steering=True)
        case SteerFailed() as event if event.unsupported:
            return no(f"response.steer is refused: {said(event.error)}", _WAITS, steering=False)
        case SteerFailed():
            return _too_quick()
        case None if answer.cancel_error and _is_about_the_message(answer, "response.steer"):
            words = said(answer.cancel_error)
            return no(f"response.steer is refused: {words}", _WAITS, steering=False)
        case None:
            return unclear("The server said nothing about response.steer.")
        case _:
            assert_never(answer.steer)


def _remembered(recalled: Recalled, server: Server, capability: str) -> Finding:
    """What is to be said of a response that did not end by itself, once it was asked for."""
    match recalled.memory:
        case Memory.THERE:
            seen = "The lane remembers such a response, and goes on from it."
            return ok(seen, **{capability: True})
        case Memory.REFUSED | Memory.DROPPED:
            return no(
                "Such a response cannot be continued from.",
                "Nothing to do: the next turn goes on from the response before it.",
                **{capability: False},
            )
        case Memory.UNCERTAIN:
            return unclear("The model did not know what it had been told.", NOT_CERTAIN)
        case Memory.TROUBLE:
            return trouble(recalled.error, server)


def _too_quick() -> Finding:
    return unclear(
        "The answer was complete before it could be stopped.",
        "Run this again; if it stays so, nothing is lost: such answers cost no time.",
    )


def _is_about_the_message(answer: Answer, kind: str) -> bool:
    """Whether a refusal is of the message as such, and not of its coming too late."""
    error = answer.cancel_error
    return error is not None and (kind in error.message or error.param == "type")


def _came_to_its_end(answer: Answer) -> bool:
    if answer.status is Status.INCOMPLETE:
        return answer.reason == "max_output_tokens"
    return answer.status is Status.COMPLETED and str(_TOP) in answer.text
