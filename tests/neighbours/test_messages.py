"""Messages that an application adds, changes or takes away, at any moment of a call."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.frames.frames import (
    LLMMessagesAppendFrame,
    LLMMessagesTransformFrame,
    LLMMessagesUpdateFrame,
    LLMRunFrame,
)

from pipecat_responses.sandbox import Answer, Sandbox
from pipecat_responses.testing import Conversation, VoiceKind
from tests.neighbours.support import (
    VOICES,
    Sent,
    agree,
    answered,
    calling,
    pipecats,
    turns,
)
from tests.support.portions import portion
from tests.support.services import websocket_service


def note(text: str) -> Any:
    return {"role": "developer", "content": text}


def shout(messages: list[Any]) -> list[Any]:
    """Writes the user's words in capitals: what the server knows is not so any more."""
    return [{**m, "content": m["content"].upper()} if m["role"] == "user" else m for m in messages]


def keep_last(messages: list[Any]) -> list[Any]:
    return messages[-2:]


def as_it_is(messages: list[Any]) -> list[Any]:
    """The same words in other objects: nothing has changed."""
    return [{**m} for m in messages]


def and_a_note(messages: list[Any]) -> list[Any]:
    return [*messages, note("Be short.")]


FRAMES: dict[str, Any] = {
    "append": lambda: LLMMessagesAppendFrame([note("Be short.")], run_llm=True),
    "update": lambda: LLMMessagesUpdateFrame([note("Begin afresh.")], run_llm=True),
    "shout": lambda: LLMMessagesTransformFrame(shout, run_llm=True),
    "keep last": lambda: LLMMessagesTransformFrame(keep_last, run_llm=True),
    "as it is": lambda: LLMMessagesTransformFrame(as_it_is, run_llm=True),
    "and a note": lambda: LLMMessagesTransformFrame(and_a_note, run_llm=True),
    "run": LLMRunFrame,
}

CHANGES = {"update", "shout", "keep last"}
"""The frames after which the context no longer says what the server knows."""

SENT = {
    "idle": ["context changed", "+"],
    "speaking": ["context changed", "context changed"],
    "mid_turn": ["context changed", "context changed"],
    "interrupted": ["context changed", "+"],
}
"""How the request goes out that such a frame asks for, and the one of the turn after it. An answer
that is still being spoken is written into the changed context later, before the one that was given
to it: that changes it once more."""


async def idle(talk: Conversation) -> None:
    """The bot has answered, and has been heard to the end."""
    await talk.say("Two")


async def speaking(talk: Conversation) -> None:
    """The answer is complete, and half of it has been heard."""
    await talk.start("Two")
    await talk.answer_ends()
    await talk.play(0.5)


async def mid_turn(talk: Conversation) -> None:
    """The answer has begun to come."""
    await talk.start("Two")
    await talk.text_arrives()


async def interrupted(talk: Conversation) -> None:
    """The user has begun to speak."""
    await mid_turn(talk)
    await talk.interrupt()


MOMENTS = [idle, speaking, mid_turn, interrupted]
BESIDE_PIPECATS = [
    (what, moment)
    for number, moment in enumerate(MOMENTS)
    for what in portion(FRAMES, number, 2)
    # Those two its service does not survive; see below.
    if moment is not idle or what not in ("run", "as it is")
]
"""Where Pipecat's own service is to have written the same history."""


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("what", FRAMES)
async def test_at_any_moment(sandbox: Sandbox, sent: Sent, what: str, moment: Any) -> None:
    llm = websocket_service(sandbox)
    history = await around(llm, sandbox, what, moment)
    then = SENT[moment.__name__] if what in CHANGES else ["+", "+"]
    assert sent.by(llm) == ["first", "+", *then]
    if (what, moment) in BESIDE_PIPECATS:
        assert history == await around(pipecats(sandbox), sandbox, what, moment)


async def around(llm: Any, sandbox: Sandbox, what: str, moment: Any) -> list[Any]:
    """Two turns, the frame at a moment of the second, and one turn more."""
    slowly = Answer("This is what I have to say about that.", tokens_per_second=300)
    sandbox.script("First of all, hello.", slowly, "So be it.", "That was that.")
    async with calling(llm, tts="word", paced=True) as talk:
        await talk.say("One")
        await moment(talk)
        await talk.worker.queue_frame(FRAMES[what]())
        await talk.said.until(lambda: talk.ends == 3)
        await talk.play_all()
        await talk.say("Three")
        agree(turns(sandbox)[-1], talk.context)
    return talk.history


@pytest.mark.parametrize("tts", VOICES)
async def test_to_go_on_with_nothing_new(sandbox: Sandbox, sent: Sent, tts: VoiceKind) -> None:
    """The API takes no empty input: what it knows is sent again, as little of it as will do."""
    llm = websocket_service(sandbox)
    async with calling(llm, tts=tts) as talk:
        await talk.say("One")
        for _ in range(2):
            await answered(talk, talk.worker.queue_frame(LLMRunFrame()))
            agree(turns(sandbox)[-1], talk.context)
    assert sent.by(llm) == ["first", "nothing new to send", "+"]


async def test_pipecats_service_has_nothing_to_send(sandbox: Sandbox) -> None:
    """Pipecat's sends an empty input, and the turn fails."""
    async with calling(pipecats(sandbox), errors=1) as talk:
        await talk.say("One")
        await answered(talk, talk.worker.queue_frame(LLMRunFrame()))
    assert turns(sandbox)[-1].outcome == "refused:empty_array"
