"""Turns that fail, and what both transports say of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure
from tests.faults.support import Talk, new_service

TRANSPORTS = ("websocket", "http")
# Enough for a machine that is busy with other things.
ONCE = {"attempts": 1, "begin_secs": 0.5}


@asynccontextmanager
async def failing(
    server: Any, transport: Any, **kwargs: Any
) -> AsyncIterator[tuple[Talk, list[Any]]]:
    """A conversation whose turns try once, and the time-outs it is told of."""
    llm = new_service(server, transport, limits=ONCE, **kwargs)
    timeouts: list[Any] = []

    async def note(*told: Any) -> None:
        timeouts.append(told)

    llm.add_event_handler("on_completion_timeout", note)
    async with Talk(llm) as talk:
        yield talk, timeouts
    talk.check_frames()


async def said(server: Any, **kwargs: Any) -> ResponsesError:
    """What both transports say of a turn that fails; it has to be the same."""
    found: list[ResponsesError] = []
    for transport in TRANSPORTS:
        async with failing(server, transport, **kwargs) as (talk, timeouts):
            heard = await talk.turn("count to 3")
            assert heard.text == ""
            error = heard.errors[-1].exception
            assert isinstance(error, ResponsesError)
            assert bool(timeouts) == (error.failure is Failure.TIMEOUT)
            found.append(error)
    one, other = found
    assert (one.message, one.failure, one.status) == (other.message, other.failure, other.status)
    return one
