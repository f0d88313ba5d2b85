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

The guide is ``docs/testing.md``.
"""

from pipecat_responses.testing.assertions import (
    assert_answered_within,
    assert_called_once,
    assert_history,
    assert_no_full_turns,
)
from pipecat_responses.testing.conversation import Conversation
from pipecat_responses.testing.history import plain
from pipecat_responses.testing.taps import Tap
from pipecat_responses.testing.voice import Voice, VoiceKind

__all__ = [
    "Conversation",
    "Tap",
    "Voice",
    "VoiceKind",
    "assert_answered_within",
    "assert_called_once",
    "assert_history",
    "assert_no_full_turns",
    "plain",
]
