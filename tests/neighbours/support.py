"""Calls in real pipelines, and what must hold after each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pipecat
import pytest
from pipecat.frames.frames import (
    Frame,
    LLMContextFrame,
    ProposedUserStartedSpeakingFrame,
    ProposedUserStoppedSpeakingFrame,
    TranscriptionFrame,
)
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMAssistantAggregatorParams,
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.services.openai.responses.llm import (
    OpenAIResponsesHttpLLMService as PipecatsHttp,
)
from pipecat.services.openai.responses.llm import OpenAIResponsesLLMService as Pipecats

import pipecat_responses
from pipecat_responses.sandbox import Sandbox
from pipecat_responses.sandbox.records import RecordedRequest
from pipecat_responses.testing import Conversation, Tap, VoiceKind, conversation
from tests.neighbours.oracle import says, told
from tests.support.portions import portion
from tests.support.services import KEY, http_service, websocket_service

Maker = Callable[..., Any]

ASIDE = "SUMMARISE"
"""What the instructions of requests beside the conversation begin with here."""


def pipecats(sandbox: Sandbox, **kwargs: Any) -> Pipecats:
    """Pipecat's own service over a WebSocket."""
    return Pipecats(api_key=KEY, ws_url=sandbox.ws_url, base_url=sandbox.base_url, **kwargs)


def pipecats_http(sandbox: Sandbox, **kwargs: Any) -> PipecatsHttp:
    """Pipecat's own service over HTTP."""
    return PipecatsHttp(api_key=KEY, base_url=sandbox.base_url, **kwargs)


OURS: dict[str, Maker] = {"websocket": websocket_service, "http": http_service}
ALL: dict[str, Maker] = {**OURS, "pipecat": pipecats, "pipecat-http": pipecats_http}
VOICES: list[VoiceKind] = ["sentence", "word"]
SERVICES = pytest.mark.parametrize("name", ALL)
SPOKEN = pytest.mark.parametrize("tts", VOICES)
SPOKEN_SERVICES = pytest.mark.parametrize(
    ("name", "tts"),
    [
        (name, tts)
        for number, name in enumerate(ALL)
        for tts in (VOICES if name in OURS else portion(VOICES, number, 2))
    ],
)
"""Ours with each voice, Pipecat's with one of them."""


@asynccontextmanager
async def calling(
    llm: Any,
    context: LLMContext | None = None,
    *,
    tts: Any = "sentence",
    paced: bool = False,
    extra: Any = (),
    pair: Any = None,
    aggregators: bool = True,
    user: LLMUserAggregatorParams | None = None,
    assistant: LLMAssistantAggregatorParams | None = None,
    errors: int = 0,
    withheld: int = 0,
    **worker: Any,
) -> AsyncIterator[Conversation]:
    """A conversation whose aggregators and worker are set up as a test wants them.

    Args:
        llm: The service, or a switcher of services.
        context: The conversation's context.
        tts: The voice.
        paced: Whether its audio waits to be played.
        extra: Processors behind the service.
        pair: Stands in for the pair of aggregators.
        aggregators: Whether there are any.
        user: The user's aggregator's parameters.
        assistant: The assistant's aggregator's parameters.
        errors: Errors that the scenario is there to cause.
        withheld: Answers that a speculation discards, with their start and end.
        **worker: More for the ``PipelineWorker``.
    """
    paired = mock.patch.object(
        conversation,
        "LLMContextAggregatorPair",
        lambda context, **_: (
            pair or LLMContextAggregatorPair(context, user_params=user, assistant_params=assistant)
        ),
    )
    settled = mock.patch.object(
        conversation,
        "PipelineWorker",
        lambda pipeline, **given: PipelineWorker(pipeline, **{**given, **worker}),
    )
    with paired, settled:
        talk = Conversation(
            llm, context, tts=tts, paced=paced, aggregators=aggregators, extra=extra
        )
    async with talk:
        await talk.ready()
        yield talk
    assert [e.error for e in talk.errors[errors:]] == []
    assert len(talk.errors) == errors
    answered = len(contexts_seen(talk)) - withheld
    assert (talk.starts, talk.ends) == (answered, answered)
    assert left_running() == []


def contexts_seen(talk: Conversation) -> list[LLMContextFrame]:
    """The contexts that came to the service, from the user's side and from the assistant's."""
    seen = [*talk.before.frames, *talk.said.upstream]
    return [frame for frame in seen if isinstance(frame, LLMContextFrame)]


def left_running() -> list[str]:
    """The tasks that are at work in a package of the client's side, now that it has ended."""
    here = [str(Path(p.__file__ or "").parent) for p in (pipecat, pipecat_responses)]
    found = []
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)
        file = code.co_filename if code is not None else ""
        if "/sandbox/" not in file and (file.startswith(tuple(here)) or "websockets" in file):
            found.append(f"{task.get_name()}: {file}")
    return found


def turns(sandbox: Sandbox) -> list[RecordedRequest]:
    """The requests of turns: neither anchors, nor what was asked beside the conversation."""
    return [
        request
        for request in sandbox.requests
        if request.generate and not str(request.body.get("instructions")).startswith(ASIDE)
    ]


def agree(request: RecordedRequest, context: LLMContext) -> None:
    """What the server was told is what the context says, up to the answer that came of it."""
    given, written = told(request.history), says(context)
    assert written[: len(given)] == given
    assert {each[0] for each in written[len(given) :]} <= {"assistant"}


@dataclass
class Sent:
    """How each request of a turn went out.

    Attributes:
        reports: By service: ``"+"`` for what carried only the new, or why it carried everything.
    """

    reports: dict[int, list[str]]

    def by(self, llm: Any) -> list[str]:
        """The requests of one of our services, in order."""
        return self.reports.get(id(llm.stats), [])

    def of(self, llm: Any, sandbox: Sandbox) -> list[str]:
        """The same of any service; of Pipecat's without the reasons."""
        return self.by(llm) if hasattr(llm, "stats") else flags(sandbox)


def rows(table: dict[str, list[str]], name: str) -> list[str]:
    """What a table expects of a service in ``ALL``; over HTTP every request is a full one."""
    whole = {"http": "http", "pipecat-http": "full"}
    return [whole[name]] * len(table["websocket"]) if name in whole else table[name]


def flags(sandbox: Sandbox) -> list[str]:
    """The requests of turns as the server saw them: it does not know the reasons."""
    return ["+" if request.incremental else "full" for request in turns(sandbox)]


async def user_says(talk: Conversation, *texts: str) -> None:
    """The user begins to speak, says so much, and stops: a turn as a transport reports it."""
    await talk.worker.queue_frames(
        [
            ProposedUserStartedSpeakingFrame(),
            *[transcribed(text) for text in texts],
            ProposedUserStoppedSpeakingFrame(),
        ]
    )


def transcribed(text: str) -> TranscriptionFrame:
    """A transcript of the user's words."""
    return TranscriptionFrame(text, "user", "2026-01-01T00:00:00Z", finalized=True)


async def seen(tap: Tap, kind: type[Frame], count: int = 1) -> None:
    """Waits until a tap has seen so many frames of a kind, from its start."""
    await tap.until(lambda: sum(isinstance(f, kind) for f in [*tap.frames, *tap.upstream]) >= count)


async def answered(talk: Conversation, asking: Awaitable[Any], ends: int = 1) -> None:
    """Does something that has answers come about, and waits until they have been heard."""
    wanted = talk.ends + ends
    await asking
    await talk.said.until(lambda: talk.ends >= wanted)
    await talk.play_all()
