"""Tests of a bot in a real pipeline of Pipecat's, without a microphone, a voice or a network.

``Conversation`` runs a service between Pipecat's aggregators, with a ``Voice`` that
synthesises silence if you like. With ``pipecat_responses.sandbox.Sandbox`` in OpenAI's place,
a test needs nothing outside its own process::

    async def test_the_bot_takes_up_what_was_heard():
        async with Sandbox() as sandbox:
            sandbox.script("Once upon a time there was a king.", "As you like.")
            llm = OpenAIResponsesLLMService(api_key="any", base_url=sandbox.base_url)
            async with Conversation(llm, tts="word", paced=True) as talk:
                await talk.start("Tell me a story.")
                await talk.play(1.0)
                await talk.interrupt()
                assert talk.history[-1] == ("assistant", "Once upon a time")
                assert await talk.say("Enough.") == "As you like."

``Caller`` calls a bot with audio, through everything that a bot has around its model.
``expect(talk)`` judges such a conversation, and ``plugin`` gives pytest the fixtures
``responses_sandbox`` and ``responses_bot``. The guide is ``docs/testing.md``.

What is exported is imported on first use: pytest imports this package for its plugin, in suites
that never use it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipecat_responses.testing.autojump import AutojumpEventLoop, LoopClock
    from pipecat_responses.testing.bots import Bots
    from pipecat_responses.testing.caller import Caller, Speech
    from pipecat_responses.testing.conversation import Conversation
    from pipecat_responses.testing.expectations import Expectation, expect
    from pipecat_responses.testing.history import plain
    from pipecat_responses.testing.taps import Tap
    from pipecat_responses.testing.voice import Voice, VoiceKind

__all__ = [
    "AutojumpEventLoop",
    "Bots",
    "Caller",
    "Conversation",
    "Expectation",
    "LoopClock",
    "Speech",
    "Tap",
    "Voice",
    "VoiceKind",
    "expect",
    "plain",
]

_HOMES = {
    "AutojumpEventLoop": "autojump",
    "Bots": "bots",
    "Caller": "caller",
    "Conversation": "conversation",
    "Expectation": "expectations",
    "LoopClock": "autojump",
    "Speech": "caller",
    "Tap": "taps",
    "Voice": "voice",
    "VoiceKind": "voice",
    "expect": "expectations",
    "plain": "history",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
