"""What the server's own tools do is heard and seen: frames for tools, sources and images."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image
from pipecat.frames.frames import LLMTextFrame, OutputImageRawFrame

from pipecat_responses import (
    Citation,
    CitationsFrame,
    HostedToolEndedFrame,
    HostedToolStartedFrame,
)
from pipecat_responses.service.hosted import query_of
from tests.histories.meaning import Say, Search, Wire, words_of
from tests.histories.rows import BOTH
from tests.histories.stage import Stage, stage
from tests.histories.steps import Reset, Silence, Step, changed
from tests.support.hurry import Transport

TEXT = "It is sunny in Paris."
MEANING = (Search("weather in Paris"), Say(words_of(TEXT)))
HOSTED = (HostedToolStartedFrame, HostedToolEndedFrame)


def seen(talk: Stage, *kinds: type[Any]) -> list[Any]:
    return [frame for frame in talk.said.frames if isinstance(frame, kinds)]


def names(frames: list[Any]) -> list[str]:
    return [type(frame).__name__ for frame in frames]


@BOTH
async def test_a_tool_is_seen_to_start_and_to_end(transport: Transport) -> None:
    async with stage(transport, changed(MEANING, list)) as talk:
        assert (await talk.turn()).text == TEXT
        started, ended, *texts = seen(talk, *HOSTED, LLMTextFrame)
        assert started.kind == ended.kind == "web_search_call"
        assert started.item_id == ended.item_id == ended.item["id"]
        assert ended.query == "weather in Paris"
        assert set(names(texts)) == {"LLMTextFrame"}


@BOTH
@pytest.mark.parametrize("left_out", ["added", "done"])
async def test_each_start_has_its_end_whatever_is_left_out(
    transport: Transport, left_out: str
) -> None:
    def without(events: list[Wire]) -> list[Wire | Step]:
        return [
            event
            for event in events
            if not (
                event["type"] == f"response.output_item.{left_out}"
                and event["item"]["type"] == "web_search_call"
            )
        ]

    async with stage(transport, changed(MEANING, without)) as talk:
        assert (await talk.turn()).text == TEXT
        assert names(seen(talk, *HOSTED)) == ["HostedToolStartedFrame", "HostedToolEndedFrame"]


@BOTH
@pytest.mark.parametrize("end", [Reset(), Silence()], ids=["lost", "silent"])
async def test_a_tool_whose_response_is_lost_ends(transport: Transport, end: Step) -> None:
    def stop(events: list[Wire]) -> list[Wire | Step]:
        return [*events[:3], end]

    async with stage(transport, *[changed(MEANING, stop)] * 9, limits={"total_secs": 0.5}) as talk:
        talk.server.fallback = changed(MEANING, stop)
        heard = await talk.turn()
        assert len(heard.errors) == 1
        found = names(seen(talk, *HOSTED))
        assert found.count("HostedToolStartedFrame") == found.count("HostedToolEndedFrame") >= 1


@BOTH
async def test_sources_are_named_once_a_message_is_complete(transport: Transport) -> None:
    cited: list[Any] = [
        {
            "type": "url_citation",
            "url": "https://example.com",
            "title": "Weather",
            "start_index": 6,
            "end_index": 11,
        },
        {"type": "file_citation", "file_id": "file_1", "filename": "paris.md", "index": 3},
        {"type": "of_next_month", "url": 7},
        "nonsense",
    ]

    def cite(events: list[Wire]) -> list[Wire | Step]:
        for event in events:
            items = [event.get("item"), *event.get("response", {}).get("output", [])]
            for item in filter(None, items):
                for part in item.get("content") or []:
                    part["annotations"] = cited
        return [*events]

    async with stage(transport, changed((Say(words_of(TEXT)),), cite)) as talk:
        assert (await talk.turn()).text == TEXT
        (frame,) = seen(talk, CitationsFrame)
        assert frame.text == TEXT
        assert frame.citations == [
            Citation("url_citation", "https://example.com", "Weather", None, 6, 11),
            Citation("file_citation", None, "paris.md", "file_1"),
            Citation("of_next_month"),
        ]


def _image(mode: str) -> str:
    data = io.BytesIO()
    Image.new(mode, (3, 2)).save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


@BOTH
@pytest.mark.parametrize(
    ("result", "shown"),
    [(_image("RGB"), "RGB"), (_image("RGBA"), "RGBA"), (_image("L"), "RGB"), ("bm8=", None)],
)
async def test_a_generated_image_is_shown(
    transport: Transport, result: str, shown: str | None
) -> None:
    def paint(events: list[Wire]) -> list[Wire | Step]:
        for event in events:
            items = [event.get("item"), *event.get("response", {}).get("output", [])]
            for item in filter(None, items):
                if item["type"] == "web_search_call":
                    item |= {"type": "image_generation_call", "result": result}
        return [*events]

    async with stage(transport, changed(MEANING, paint)) as talk:
        assert (await talk.turn()).text == TEXT
        images = seen(talk, OutputImageRawFrame)
        assert [(each.size, each.format) for each in images] == ([((3, 2), shown)] if shown else [])
        assert names(seen(talk, *HOSTED)) == ["HostedToolStartedFrame", "HostedToolEndedFrame"]


@pytest.mark.parametrize(
    ("item", "query"),
    [
        ({"action": {"type": "search", "query": "a"}}, "a"),
        ({"action": {"type": "open_page", "url": "https://a"}}, "https://a"),
        ({"queries": ["a", "b"]}, "a"),
        ({"code": "1 + 1"}, "1 + 1"),
        ({"name": "book", "arguments": "{}"}, "book"),
        ({"action": 7, "query": None, "queries": [7]}, None),
        ({}, None),
    ],
)
def test_what_was_asked(item: Wire, query: str | None) -> None:
    assert query_of(item) == query
