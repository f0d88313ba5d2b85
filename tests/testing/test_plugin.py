"""The fixtures that pytest finds by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import openai
import pytest
from openai import OpenAI
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams

from pipecat_responses import OpenAIResponsesLLMService
from pipecat_responses.sandbox import Answer, BackgroundSandbox, Call, Fault
from pipecat_responses.testing import Bots, Conversation, expect, plugin


async def current_time(params: FunctionCallParams, zone: str = "UTC") -> None:
    """Tell the time of day."""
    await params.result_callback("12:30")


def test_the_plugin_is_installed() -> None:
    (plugin,) = entry_points(group="pytest11", name="pipecat_responses")
    assert plugin.value == "pipecat_responses.testing.plugin"


def test_the_plugin_imports_nothing_heavy() -> None:
    program = (
        "import sys, pipecat_responses.testing.plugin;"
        "print({'pipecat', 'aiohttp', 'openai', 'pydantic', 'msgspec'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_client_that_blocks(responses_sandbox: BackgroundSandbox) -> None:
    responses_sandbox.script("Hello there.")
    assert os.environ["OPENAI_BASE_URL"] == responses_sandbox.base_url
    with OpenAI() as client:
        response = client.responses.create(model="gpt-4.1", input="Hello.")
    assert response.output_text == "Hello there."
    assert len(responses_sandbox.requests) == 1


async def test_a_service_finds_it_by_the_environment(responses_sandbox: BackgroundSandbox) -> None:
    responses_sandbox.script("Hello there.")
    async with Conversation(OpenAIResponsesLLMService()) as talk:
        assert await talk.say("Hello.") == "Hello there."
    assert responses_sandbox.requests[0].transport == "websocket"


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose way out is a proxy, which is not there."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "intranet.example")


async def test_past_the_proxy(proxied: None, responses_bot: Bots) -> None:
    assert os.environ["no_proxy"] == "intranet.example,127.0.0.1,localhost"
    with OpenAI() as client:
        assert client.responses.create(model="gpt-4.1", input="Hello.").output_text
    async with responses_bot(tts=None) as talk:
        assert "hello" in await talk.say("hello")


async def test_a_bot_with_tools(responses_sandbox: BackgroundSandbox, responses_bot: Bots) -> None:
    responses_sandbox.script(Answer([Call("current_time")]), "Half past twelve.", "Goodbye.")
    async with responses_bot(tools=[current_time], system_instruction="Be brief.") as talk:
        assert await talk.say("What time is it?", ends=2) == "Half past twelve."
        await talk.say("Thanks.")
        expect(talk).called_once("current_time").no_full_turns().no_errors()
    assert responses_sandbox.requests[0].body["instructions"] == "Be brief."


async def test_a_bot_over_http(responses_sandbox: BackgroundSandbox, responses_bot: Bots) -> None:
    async with responses_bot(transport="http", tts=None) as talk:
        assert "hello" in await talk.say("hello")
    assert responses_sandbox.requests[0].transport == "http"


def test_tools_beside_a_context(responses_bot: Bots) -> None:
    with pytest.raises(ValueError, match="tools to the context"):
        responses_bot(context=LLMContext(), tools=[current_time])


@pytest.mark.responses_sandbox(profile="vllm")
@pytest.mark.responses_sandbox(any_model=True)
def test_the_marker_says_how_it_behaves(responses_sandbox: BackgroundSandbox) -> None:
    assert responses_sandbox.config.websocket_status is not None
    assert responses_sandbox.config.any_model


@pytest.mark.parametrize(
    "marker",
    [pytest.mark.responses_sandbox("vllm"), pytest.mark.responses_sandbox(no_such_field=1)],
)
def test_a_marker_that_makes_no_sense(
    marker: pytest.MarkDecorator, request: pytest.FixtureRequest
) -> None:
    request.node.add_marker(marker)
    with pytest.raises(pytest.UsageError):
        request.getfixturevalue("responses_sandbox")


@pytest.mark.parametrize("failed", [True, False])
def test_a_test_that_fails_tells_what_was_asked(
    responses_sandbox: BackgroundSandbox, request: pytest.FixtureRequest, failed: bool
) -> None:
    with OpenAI() as client:
        client.responses.create(model="gpt-4.1", input="Hello.")
    report = SimpleNamespace(failed=failed, sections=[])
    hook = plugin.pytest_runtest_makereport(request.node)
    next(hook)
    with pytest.raises(StopIteration):
        hook.send(SimpleNamespace(get_result=lambda: report))
    told = "http, full, completed: {'type': 'message', 'role': 'user', 'content': 'Hello.'}"
    assert report.sections == ([("responses_sandbox was asked", told)] if failed else [])


class TestCassettes:
    @pytest.fixture
    def file(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        path = tmp_path / "cassettes" / "call.json"
        request.node.add_marker(pytest.mark.responses_cassette(path))
        return path

    def play(self, request: pytest.FixtureRequest, patch: pytest.MonkeyPatch, *asked: str) -> str:
        """Runs the fixture as pytest does, with a test that asks."""
        fixture = plugin.responses_cassette.__wrapped__(request, patch)  # type: ignore[attr-defined]
        next(fixture)
        said = ""
        with OpenAI(max_retries=0) as client:
            for text in asked:
                try:
                    said += client.responses.create(model="gpt-4.1", input=text).output_text
                except openai.BadRequestError as error:
                    said += str(error.code)
        with contextlib.suppress(StopIteration):
            next(fixture)
        return said

    def test_recorded_and_replayed(
        self,
        file: Path,
        request: pytest.FixtureRequest,
        responses_sandbox: BackgroundSandbox,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with pytest.raises(pytest.fail.Exception, match="record it with pytest --responses-record"):
            self.play(request, monkeypatch, "Hi.")
        responses_sandbox.script("Hello.")
        monkeypatch.setattr(request.config.option, "responses_record", True)
        with monkeypatch.context() as patch:
            assert self.play(request, patch, "Hi.") == "Hello."
        monkeypatch.setattr(request.config.option, "responses_record", False)
        assert self.play(request, monkeypatch, "Hi.") == "Hello."
        assert len(responses_sandbox.requests) == 1
        with pytest.raises(AssertionError, match=r"not recorded was asked:\n.* differs in input"):
            self.play(request, monkeypatch, "Bye.")
        assert file.exists()

    def test_without_its_marker(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(pytest.UsageError, match="needs its marker"):
            self.play(request, monkeypatch)


class TestBackground:
    async def test_it_is_used_from_another_thread(self) -> None:
        async with (
            BackgroundSandbox() as sandbox,
            Conversation(OpenAIResponsesLLMService(api_key="k", base_url=sandbox.base_url)) as talk,
        ):
            lost: asyncio.Queue[None] = asyncio.Queue()
            talk.llm.add_event_handler("on_disconnected", lambda _: lost.put_nowait(None))
            await talk.say("one")
            assert sandbox.cut() == 1
            await lost.get()
            await talk.say("two")
            sandbox.faults.add(Fault("reset", "idle"))
            await lost.get()
            await talk.say("three")
            expect(talk).no_errors()
        assert not [each for each in threading.enumerate() if each.name == "responses-sandbox"]

    async def test_restart(self) -> None:
        with BackgroundSandbox() as sandbox:
            port = sandbox.port
            await sandbox.stop()
            await sandbox.start()
            assert sandbox.port == port
            client = openai.AsyncOpenAI(base_url=sandbox.base_url, api_key="any")
            assert (await client.models.list()).data
            await client.close()

    def test_a_port_that_is_taken(self) -> None:
        with (
            BackgroundSandbox() as sandbox,
            pytest.raises(OSError, match=r"."),
            BackgroundSandbox(port=sandbox.port),
        ):
            pass

    async def test_without_its_thread(self) -> None:
        with pytest.raises(RuntimeError, match="context manager"):
            await BackgroundSandbox().start()


class TestExpectations:
    """Each says what was there instead."""

    async def test_of_a_conversation(
        self, responses_sandbox: BackgroundSandbox, responses_bot: Bots
    ) -> None:
        responses_sandbox.script(Answer([Call("current_time", {"zone": "UTC"})]), "Half past.", "A")
        async with responses_bot(tools=[current_time]) as talk:
            await talk.say("What time is it?", ends=2)
            talk.context.get_messages()[0]["content"] = "What is it?"  # type: ignore[index]
            await talk.say("And now?")
        history = [
            ("user", "What is it?"),
            ("call", "current_time", {"zone": "UTC"}),
            ("result", "current_time", "12:30"),
            ("assistant", "Half past."),
            ("user", "And now?"),
            ("assistant", "A"),
        ]
        expect(talk).history(history).called("current_time").called_once("current_time", zone="UTC")
        expect(talk).not_called("get_weather").no_errors().answers_within(60_000)
        with pytest.raises(AssertionError, match="no turn to judge: of 3, the first 3 may be full"):
            expect(talk).no_full_turns(after=3)
        with pytest.raises(AssertionError, match="another one") as raised:
            expect(talk).history([*history[:-1], ("assistant", "B")])
        assert "- ('assistant', 'B')\n+ ('assistant', 'A')" in str(raised.value)
        assert "  ('user', 'And now?')" in str(raised.value)
        with pytest.raises(AssertionError, match="was to be called once, and was called never"):
            expect(talk).called_once("get_weather")
        with pytest.raises(AssertionError, match="to be called never, and was called once"):
            expect(talk).not_called("current_time")
        with pytest.raises(AssertionError, match="get_weather was to be called at all"):
            expect(talk).called("get_weather")
        with pytest.raises(AssertionError) as raised:
            expect(talk).called_once("current_time", zone="CET")
        assert "current_time(zone='CET') was to be called once" in str(raised.value)
        assert "  current_time(zone='UTC')" in str(raised.value)
        with pytest.raises(AssertionError, match="A turn has sent everything") as raised:
            expect(talk).no_full_turns()
        assert "turn 2: sent only what was new, 1 items" in str(raised.value)
        assert "turn 3: sent everything (context changed at message 1 of 5)" in str(raised.value)
        with pytest.raises(AssertionError, match="more than 0 ms to answer") as raised:
            expect(talk).answers_within(0)
        assert "turn 1: " in str(raised.value)

    async def test_of_one_that_failed(
        self, responses_sandbox: BackgroundSandbox, responses_bot: Bots
    ) -> None:
        responses_sandbox.config.models = set()
        async with responses_bot() as talk:
            await talk.say("Hello.")
        with pytest.raises(AssertionError, match=r"Errors were reported:\n.*gpt-4\.1"):
            expect(talk).no_errors()

    async def test_of_one_without_turns(self, responses_bot: Bots) -> None:
        talk = responses_bot()
        with pytest.raises(AssertionError, match="No turn was reported"):
            expect(talk).no_full_turns()
        with pytest.raises(AssertionError, match="No function was called"):
            expect(talk).called("current_time")


@pytest.fixture
def scenario(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A scenario that the marker of this test names."""
    path = tmp_path / "hello.yaml"
    path.write_text("answers: [{when: hello, say: Hello there.}]")
    request.node.add_marker(pytest.mark.responses_sandbox(scenario=path))
    return path


@pytest.mark.usefixtures("scenario")
async def test_a_scenario(responses_bot: Bots) -> None:
    async with responses_bot(tts=None) as talk:
        assert await talk.say("Hello!") == "Hello there."


@pytest.mark.usefixtures("scenario")
def test_a_scenario_that_went_otherwise(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As pytest does with it, but for the end.
    fixture = plugin.responses_sandbox.__wrapped__(request, monkeypatch)  # type: ignore[attr-defined]
    next(fixture)
    with pytest.raises(AssertionError, match="text 'hello'"):
        next(fixture)
