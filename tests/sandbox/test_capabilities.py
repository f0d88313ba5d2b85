"""The sandbox behaves as a capabilities file says."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import websockets
from typer.testing import CliRunner

from pipecat_responses.cli.commands import app
from pipecat_responses.sandbox import Sandbox, SandboxConfig

from .wire import Wire, connected, post, stream


def told(**capabilities: Any) -> Sandbox:
    return Sandbox(SandboxConfig.from_capabilities({"format": 1, **capabilities}))


async def interrupted(wire: Wire, sandbox: Sandbox) -> tuple[str, str]:
    """The id of a response that was cancelled in the middle, and how it ended."""
    sandbox.config.tokens_per_second = 50
    await wire.create("count to 12")
    created = await wire.event()
    await wire.send({"type": "response.cancel"})
    while (event := await wire.event())["type"] == "error":
        pass
    while not event["type"].startswith(("response.completed", "response.incomplete")):
        event = await wire.event()
    sandbox.config.tokens_per_second = None
    return created["response"]["id"], event["type"]


def test_what_is_not_known_is_as_the_defaults_have_it() -> None:
    config = SandboxConfig.from_capabilities(
        {"format": 1, "address": "wss://x/v1/responses", "lanes": None, "why": {}, "new": [1]}
    )
    changed = {
        each.name
        for each in fields(config)
        if getattr(config, each.name) != getattr(SandboxConfig(), each.name)
    }
    # It says the same as the default of None.
    assert changed == {"memory_after_cancel"}


async def test_a_server_that_can_do_nothing() -> None:
    sandbox = told(
        lanes=False,
        warm_up=False,
        cancel=False,
        continuation=False,
        stored_continuation=False,
        encrypted_reasoning=False,
        refused_fields=["prompt_cache_key"],
    )
    async with sandbox, connected(sandbox) as wire:
        await wire.create("x", stream_id="a")
        assert (await wire.event())["error"]["param"] == "stream_id"
        for name, value in (
            ("generate", False),
            ("previous_response_id", "resp_1"),
            ("prompt_cache_key", "k"),
        ):
            assert (await wire.refusal("x", **{name: value}))["error"]["param"] == name
        await wire.send({"type": "response.cancel"})
        assert (await wire.event())["type"] == "error"
        answer = await wire.respond("x", store=True)
        assert answer["store"] is False
        reasoning = {"model": "gpt-5", "include": ["reasoning.encrypted_content"]}
        answer = await wire.respond("x", **reasoning)
        assert "encrypted_content" not in answer["output"][0]


async def test_a_warm_up_that_wants_an_item() -> None:
    sandbox = told(warm_up=True, empty_warm_up=False)
    async with sandbox, connected(sandbox) as wire:
        assert (await wire.refusal([], generate=False))["error"]["param"] == "input"
        assert await wire.respond("x", generate=False)


async def test_a_server_that_can_do_everything() -> None:
    sandbox = told(
        websocket=True,
        lanes=True,
        forks=True,
        warm_up=True,
        cancel=True,
        cancel_stops=True,
        continuation=True,
        instructions_when_continuing=True,
        stored_continuation=True,
        encrypted_reasoning=True,
        remembers_incomplete=True,
        remembers_interrupted=True,
        refused_fields=[],
    )
    async with sandbox, connected(sandbox) as wire:
        first = await wire.respond("x", generate=False)
        await wire.respond("y", previous_response_id=first["id"], stream_id="a", instructions="Hm.")
        cut, kind = await interrupted(wire, sandbox)
        assert kind == "response.incomplete"
        await wire.respond("y", previous_response_id=cut)
        short = (await wire.ask("count to 100", max_output_tokens=16))[-1]["response"]
        assert short["status"] == "incomplete"
        await wire.respond("y", previous_response_id=short["id"])


async def test_no_websocket() -> None:
    async with told(websocket=False) as sandbox:
        with pytest.raises(websockets.InvalidStatus):
            async with connected(sandbox):
                pass
        assert (await stream(sandbox, "x"))[-1]["type"] == "response.completed"


async def test_no_forks_and_no_instructions() -> None:
    sandbox = told(forks=False, instructions_when_continuing=False)
    async with sandbox, connected(sandbox) as wire:
        first = await wire.respond("x")
        parent = {"previous_response_id": first["id"]}
        refused = await wire.refusal("y", stream_id="a", **parent)
        assert refused["error"]["code"] == "previous_response_not_found"
        await wire.respond("y", **parent)


async def test_cancel_that_is_taken_and_stops_nothing() -> None:
    async with told(cancel=True, cancel_stops=False) as sandbox, connected(sandbox) as wire:
        assert (await interrupted(wire, sandbox))[1] == "response.completed"


@pytest.mark.parametrize("kept", [False, True])
async def test_what_a_lane_remembers(kept: bool) -> None:
    sandbox = told(cancel_stops=True, remembers_incomplete=not kept, remembers_interrupted=kept)
    async with sandbox, connected(sandbox) as wire:
        cut, _ = await interrupted(wire, sandbox)
        assert (await wire.ask("y", previous_response_id=cut))[-1]["type"] == (
            "response.completed" if kept else "error"
        )
        short = (await wire.ask("count to 100", max_output_tokens=16))[-1]["response"]
        assert (await wire.ask("y", previous_response_id=short["id"]))[-1]["type"] == (
            "error" if kept else "response.completed"
        )


async def test_only_stored_responses_can_be_continued() -> None:
    sandbox = told(continuation=False, stored_continuation=True)
    async with sandbox, connected(sandbox) as wire:
        first = await wire.respond("x")
        refused = await wire.refusal("y", previous_response_id=first["id"])
        assert refused["error"]["code"] == "previous_response_not_found"
        first = await wire.respond("x", store=True)
        await wire.respond("y", previous_response_id=first["id"])


async def test_the_model_that_was_asked() -> None:
    async with told(model="qwen3") as sandbox:
        for name, status in (("qwen3", 200), ("gpt-4.1", 200), ("gpt-17", 404)):
            assert (await post(sandbox, "x", model=name))[0] == status


class TestFiles:
    def test_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "server.json"
        file.write_text(json.dumps({"format": 1, "lanes": False}))
        for path in (file, str(file)):
            assert SandboxConfig.from_capabilities(path).lanes == "rejected"

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("{}", "missing required field `format`"),
            ("hello", "is no capabilities file, as pipecat-responses doctor --write makes one"),
            ("[]", "Expected `object`"),
            (
                '{"format": 1, "lanes": "yes"}',
                r"Expected `bool \| null`, got `str` - at `\$.lanes`",
            ),
            ('{"format": 2}', "has the format 2, and this version reads format 1"),
        ],
    )
    def test_what_is_none(self, text: str, complaint: str, tmp_path: Path) -> None:
        file = tmp_path / "server.json"
        file.write_text(text)
        with pytest.raises(ValueError, match=complaint) as wrong:
            SandboxConfig.from_capabilities(file)
        assert str(file) in str(wrong.value)

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"server.json cannot be read: No such file"):
            SandboxConfig.from_capabilities(tmp_path / "server.json")

    def test_serve_complains_in_a_sentence(self, tmp_path: Path) -> None:
        shown = CliRunner().invoke(app, ["serve", "--capabilities", str(tmp_path / "x.json")])
        assert shown.exit_code == 1
        (sentence,) = shown.output.splitlines()
        assert sentence.endswith("x.json cannot be read: No such file or directory")
        shown = CliRunner().invoke(app, ["serve", "--capabilities", "x", "--profile", "xai"])
        # A wrong use, other than a file that is not there.
        assert shown.exit_code == 2
