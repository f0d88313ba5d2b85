"""A conversation of one shape after the other, held against the oracle."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMSpecificMessage

from pipecat_responses import OpenAIResponsesLLMService
from pipecat_responses.sandbox import Sandbox
from pipecat_responses.testing import Conversation
from tests.support.services import websocket_service
from tests.voice_between.oracle import Exchange, exchanges, letters
from tests.voice_between.shapes import NOT_RECOGNISED, SHAPES
from tests.voice_between.ways import WAYS, Way


def service(sandbox: Sandbox, **kwargs: Any) -> OpenAIResponsesLLMService:
    """A service without anchors, so that what is not recognised cannot hide behind one."""
    return websocket_service(sandbox, **{"anchor_threshold_bytes": None, **kwargs})


def recognised(way: str) -> Iterator[tuple[str, str]]:
    """Names and texts of the shapes that are recognised on a way."""
    for name, shape in SHAPES.items():
        if way not in NOT_RECOGNISED.get(name, ((), ""))[0]:
            yield name, shape.text


def context_of(talk: Conversation, dropped: tuple[str, ...] = ()) -> list[Exchange]:
    """What the context says."""
    messages: list[Any] = talk.context.get_messages()
    # What is kept beside the text for the model is nothing that was said.
    said = [message for message in messages if not isinstance(message, LLMSpecificMessage)]
    return exchanges(said, dropped)


def dropped(way: Way) -> tuple[str, ...]:
    """What is gone from the context on a way, markup apart."""
    if not way.strips:
        return ()
    return tuple(stretch for shape in SHAPES.values() for stretch in shape.dropped)


def heard(talk: Conversation, way: Way) -> str:
    """What the context holds of the answer to the user's last words."""
    return context_of(talk, dropped(way))[-1].answered


def model_knows_what_was_said(sandbox: Sandbox, talk: Conversation, way: Way, last: str) -> None:
    """Asserts that the model has seen what the context says, up to its own last answer.

    Args:
        sandbox: The server.
        talk: The conversation, behind a turn that was heard to its end.
        way: Its way.
        last: The text of that last answer, which came after the request.
    """
    out = dropped(way)
    seen = exchanges(sandbox.requests[-1].history, out)
    said = context_of(talk, out)
    answer = letters(last, out)
    assert said[-1].answered.endswith(answer), said[-2:]
    said[-1].answered = said[-1].answered.removesuffix(answer)
    assert seen == said


async def anchor_is_laid(llm: OpenAIResponsesLLMService) -> None:
    """Waits for an anchor that is under way: a turn would not."""
    anchor = llm._session._anchor
    if anchor is not None:
        await asyncio.wait({anchor})


def ways(*kinds: str | None, strips: bool | None = None) -> list[str]:
    """Names of the ways with voices of some kinds."""
    return [
        name
        for name, way in WAYS.items()
        if (not kinds or way.kind in kinds) and strips in (None, way.strips)
    ]
