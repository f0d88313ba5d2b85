"""Switchers: two of our services, ours and Pipecat's, back and forth, and after a failure."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.frames.frames import (
    FunctionCallResultFrame,
    LLMUpdateSettingsFrame,
    ManuallySwitchServiceFrame,
)
from pipecat.pipeline.llm_switcher import LLMSwitcher
from pipecat.pipeline.service_switcher import (
    ServiceSwitcherStrategyFailover,
    ServiceSwitcherStrategyManual,
)
from pipecat.services.settings import LLMSettings
from pipecat.utils.errors import ErrorCategory

from pipecat_responses.sandbox import Sandbox
from pipecat_responses.testing import Conversation, VoiceKind
from tests.neighbours.support import (
    ALL,
    VOICES,
    Sent,
    agree,
    calling,
    flags,
    pipecats,
    turns,
    websocket_service,
)


async def switch(talk: Conversation, llm: Any) -> None:
    await talk.worker.queue_frame(ManuallySwitchServiceFrame(service=llm))
    await talk.settle()


@pytest.mark.parametrize("tts", VOICES)
async def test_back_and_forth(sandbox: Sandbox, sent: Sent, tts: VoiceKind) -> None:
    one, two = websocket_service(sandbox), websocket_service(sandbox)
    async with calling(LLMSwitcher([one, two]), tts=tts) as talk:
        for n, llm in enumerate((one, two, one, two, two)):
            await switch(talk, llm)
            await talk.say(f"Say {n}")
            agree(turns(sandbox)[-1], talk.context)
    # What the other has said in between is new to each of them, and no more.
    assert sent.by(one) == ["first", "+"]
    assert sent.by(two) == ["first", "+", "+"]


@pytest.mark.parametrize("other", ["http", "pipecat", "pipecat-http"])
async def test_with_another_kind_of_service(sandbox: Sandbox, sent: Sent, other: str) -> None:
    ours, theirs = websocket_service(sandbox), ALL[other](sandbox)
    async with calling(LLMSwitcher([ours, theirs]), tts="word") as talk:
        for n, llm in enumerate((ours, theirs, ours, theirs, ours)):
            await switch(talk, llm)
            await talk.say(f"Say {n}")
            agree(turns(sandbox)[-1], talk.context)
    assert sent.by(ours) == ["first", "+", "+"]
    # Pipecat's takes what another has said for a change of what it had been answered.
    back = {"http": "full", "pipecat": "+", "pipecat-http": "full"}[other]
    assert flags(sandbox) == ["full", "full", "+", back, "+"]
