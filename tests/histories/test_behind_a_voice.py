"""What is kept of an answer when the user speaks while a voice still says its beginning.

Everything that the model has put out has come by then; behind a voice, it waits for the speech.
"""

from __future__ import annotations

import pytest

from pipecat_responses.testing import VoiceKind
from tests.histories.meaning import Say, completed, created, item_events, numbered, words_of
from tests.histories.rows import BOTH
from tests.histories.stage import Stage, stage
from tests.histories.steps import Asked, Script, sends
from tests.histories.test_what_has_run import item_of
from tests.support.hurry import Transport

COMMENTARY = "Let me book a table for you at once. It may take a while."
ANSWER = "Your table is booked for eight."
VOICES: tuple[VoiceKind, ...] = ("sentence", "word", "token")


def booked(kind: str) -> Script:
    """A commentary, a tool of the server's, and an answer."""
    own = "resp_booked"
    say = [Say(words_of(COMMENTARY), "commentary"), Say(words_of(ANSWER), "final_answer")]
    item = item_of(kind)
    first, last = item_events(say[0], own, 0), item_events(say[1], own, 2)
    begun = {"type": "response.output_item.added", "output_index": 1, "item": item}
    done = {"type": "response.output_item.done", "output_index": 1, "item": item}
    output = [first[-1]["item"], item, last[-1]["item"]]
    events = [created(own), *first, begun, done, *last, completed(own, output)]
    return Script(sends(numbered(events)), output)


async def cut_while_it_comments(talk: Stage, seconds: float) -> None:
    """The user speaks after so many seconds of what the bot says."""
    await talk.start("Book a table.")
    await talk.answer_ends()
    await talk.settle()
    await talk.play(seconds)
    await talk.interrupt()
    # What was kept of the answer comes right behind the interruption.
    await talk.play_all()


@BOTH
@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("kind", ["mcp_call", "web_search_call", "of_next_month"])
async def test_an_item_behind_the_speech_is_kept(
    kind: str, voice: VoiceKind, transport: Transport
) -> None:
    def answer(asked: Asked) -> Script:
        return booked(kind)

    async with stage(transport, answer, tts=voice, paced=True) as talk:
        await cut_while_it_comments(talk, 2.6)
        heard = await talk.say("Is it booked?")
        (asked,) = talk.server.asked[1:]
        assert asked.told is not None
        assert [item for item in asked.told if item.get("id") == "item_1"] == [item_of(kind)]
        roles = [item.get("role", item.get("type")) for item in asked.told]
        assert roles == ["user", "assistant", kind, "user"]
        assert heard
        assert not talk.errors


@BOTH
@pytest.mark.parametrize("voice", [None, *VOICES])
async def test_the_phases_of_messages_survive(
    voice: VoiceKind | None, transport: Transport
) -> None:
    async with stage(transport, lambda _: booked("mcp_call"), tts=voice) as talk:
        await talk.say("Book a table.")
        talk.server.cut()
        await talk.say("Is it booked?")
        (asked,) = talk.server.asked[1:]
        assert asked.told is not None
        assert [item for item in asked.told if item.get("role") == "assistant"] == [
            {"role": "assistant", "content": COMMENTARY, "phase": "commentary"},
            {"role": "assistant", "content": ANSWER, "phase": "final_answer"},
        ]
        assert not talk.errors


@BOTH
@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("seconds", [2.6, 4.5], ids=["in the first", "in the second"])
async def test_they_survive_when_speech_is_cut(
    seconds: float, voice: VoiceKind, transport: Transport
) -> None:
    async with stage(transport, lambda _: booked("mcp_call"), tts=voice, paced=True) as talk:
        await cut_while_it_comments(talk, seconds)
        await talk.say("Is it booked?")
        (asked,) = talk.server.asked[1:]
        assert asked.told is not None
        said = [item for item in asked.told if item.get("role") == "assistant"]
        phases = [item["phase"] for item in said]
        texts = [item["content"] for item in said]
        assert all(map(str.startswith, (COMMENTARY, ANSWER), texts))
        assert phases == ["commentary", "final_answer"][: len(said)]
        if seconds > 4:
            assert texts[0] == COMMENTARY
