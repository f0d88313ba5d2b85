"""What a server's own tool has done is done once, is kept, and is told again with every retry."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.services.openai.responses.llm import OpenAIResponsesHttpLLMService as TheirHttp
from pipecat.services.openai.responses.llm import OpenAIResponsesLLMService as TheirWebSocket

from tests.histories import oracles
from tests.histories.meaning import Wire, completed, created, item_events, numbered, said
from tests.histories.rows import BOTH
from tests.histories.server import ScriptedServer
from tests.histories.stage import Stage, close, stage
from tests.histories.steps import Answer, Asked, Reset, Script, Step, Wait, error, sends
from tests.support.hurry import Transport

KINDS = (
    "mcp_call",
    "mcp_list_tools",
    "web_search_call",
    "shell_call",
    "image_generation_call",
    "compaction",
    "custom_tool_call",
    "of_next_month",
)
SCENES = ("clean", "only the item", "cut", "before a word", "lost", "500")
STORY = "Your table is booked for eight."


def item_of(kind: str) -> Wire:
    """What the model puts out, with fields that nobody here knows."""
    own = {"type": kind, "id": "item_1", "status": "completed", "output": "booked", "more": [1]}
    if kind == "custom_tool_call":
        own |= {"call_id": "call_x", "name": "book", "input": "for eight"}
    return own


class Booking:
    """A model that books a table with a tool of the server's, unless it knows that it has.

    Attributes:
        booked: How often it has.
    """

    def __init__(self, server: ScriptedServer, kind: str, scene: str) -> None:
        self.booked = 0
        self._item = item_of(kind)
        self._scene = scene
        server.judge = self.answer

    def answer(self, asked: Asked) -> Answer:
        told = asked.told or []
        if any(item.get("id") == "item_1" for item in told):
            return lambda asked: self._script(asked, [])
        self.booked += 1
        return lambda asked: self._script(asked, [self._item])

    def _script(self, asked: Asked, items: list[Wire]) -> Script:
        own = asked.response_id
        events = [created(own)]
        for index, item in enumerate(items):
            at = {"output_index": index}
            begun = {**item, "status": "in_progress"}
            events.append({"type": "response.output_item.added", **at, "item": begun})
            events.append({"type": "response.output_item.done", **at, "item": item})
        first = len(events)
        (message,) = said(STORY)
        output = list(items)
        if not items or self._scene != "only the item":
            events += item_events(message, own, len(items))
            output.append(events[-1]["item"])
        steps = sends(numbered([*events, completed(own, output)]))
        return Script(self._hurt(steps, first) if items else steps, output)

    def _hurt(self, steps: list[Step], first: int) -> list[Step]:
        match self._scene:
            case "cut":
                # Behind the item, the part and a few words.
                return [*steps[: first + 4], Wait("interrupted"), *steps[first + 4 :]]
            case "before a word":
                return [*steps[:first], Wait("interrupted"), *steps[first:]]
            case "lost":
                return [*steps[:first], Reset()]
            case "500":
                return [*steps[:first], error(500, "Oops.", type="server_error")]
            case _:
                return steps


async def _first_turn(talk: Stage, scene: str) -> None:
    if scene not in ("cut", "before a word"):
        heard = await talk.turn("Book a table.")
        assert heard.text == STORY
        assert not heard.errors
        return
    await talk.start("Book a table.")
    if scene == "cut":
        await talk.text_arrives()
    else:
        await talk.server.until(lambda: bool(talk.server.asked))
        # It goes into the context as soon as it is complete.
        await talk.last.until(lambda: len(talk.context.get_messages()) > 1)
    await talk.interrupt()
    talk.server.opens("interrupted")
    await talk.quiet()
    assert not talk.errors


@pytest.mark.parametrize("scene", ["clean", "cut"])
@pytest.mark.parametrize("theirs", [TheirHttp, TheirWebSocket])
async def test_pipecats_services_have_it_run_again(theirs: Any, scene: str) -> None:
    """What the guide says of them. When this fails, they have learned, and it has to say so."""
    async with ScriptedServer() as server:
        addresses = {"base_url": server.base_url}
        if theirs is TheirWebSocket:
            addresses["ws_url"] = server.ws_url
        talk = Stage(server, theirs(api_key="x", **addresses), tts=None)
        try:
            await talk.__aenter__()
            booking = Booking(server, "mcp_call", scene)
            await talk.start("Book a table.")
            await talk.text_arrives()
            if scene == "cut":
                await talk.interrupt()
                server.opens("interrupted")
            await talk.quiet()
            await talk.turn("Is it booked?")
            assert booking.booked == 2
        finally:
            await close(talk)


@BOTH
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("kind", KINDS)
async def test_what_has_run_has_run_once(kind: str, scene: str, transport: Transport) -> None:
    async with stage(transport) as talk:
        booking = Booking(talk.server, kind, scene)
        await _first_turn(talk, scene)
        heard = await talk.turn("Is it booked?")
        assert heard.text == STORY
        assert not heard.errors
        assert booking.booked == 1, "it has run twice"
        (asked,) = heard.asked
        assert asked.told is not None
        assert [item for item in asked.told if item.get("id") == "item_1"] == [item_of(kind)]
        if transport == "websocket" and scene == "clean":
            assert asked.parent is not None
        said_items = oracles.of_context(talk.context.get_messages())[:-1]
        # A compaction stands for what is before it.
        if kind != "compaction":
            assert oracles.segments(asked.told) == oracles.segments(said_items)
