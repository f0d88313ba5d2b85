"""Compaction, by the server's own account and on demand."""

from openai import AsyncOpenAI

from pipecat_responses.sandbox import Sandbox

from .wire import WEBSOCKET_EVENT, connected, needs_todays_sdk, text_of, user

SETTINGS = {"context_management": [{"type": "compaction", "compact_threshold": 50}]}


@needs_todays_sdk
async def test_beyond_the_threshold_an_item_stands_for_the_rest(sandbox: Sandbox) -> None:
    async with connected(sandbox) as wire:
        small = await wire.respond("hello", **SETTINGS)
        assert [item["type"] for item in small["output"]] == ["message"]
        events = await wire.ask("word " * 60, previous_response_id=small["id"], **SETTINGS)
        for event in events:
            WEBSOCKET_EVENT.validate_python(event)
        large = events[-1]["response"]
        assert [item["type"] for item in large["output"]] == ["compaction", "message"]
        after = await wire.respond("more", previous_response_id=large["id"])
        assert text_of(after).endswith("I remember 3 items.")
        assert after["usage"]["input_tokens"] < large["usage"]["input_tokens"] + 100
        again = await wire.respond([*large["output"], user("more")], stream_id="b")
        assert text_of(again) == text_of(after)


async def test_on_demand(sandbox: Sandbox) -> None:
    async with AsyncOpenAI(base_url=sandbox.base_url, api_key="x") as client:
        window = await client.responses.compact(
            model="gpt-5.2",
            input=[
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": "two"},
            ],
        )
    items = [item.model_dump(exclude_none=True) for item in window.output]
    assert [item["type"] for item in items] == ["message", "compaction"]
    async with connected(sandbox) as wire:
        response = await wire.respond([*items, user("three")])
    assert text_of(response).endswith("I remember 3 items.")
