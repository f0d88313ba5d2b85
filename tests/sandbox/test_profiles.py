"""The sandbox as a server other than OpenAI's: each switch, and each profile."""

import json
from typing import Any, get_args

import aiohttp
import openai
import pytest
import websockets
from openai import AsyncAzureOpenAI, AsyncOpenAI
from typer.testing import CliRunner

from pipecat_responses.cli.commands import Profile, app
from pipecat_responses.cli.serve import usage
from pipecat_responses.sandbox import (
    PROFILES,
    Answer,
    HostedCall,
    Reasoning,
    RequiredQuery,
    Sandbox,
    SandboxConfig,
)
from pipecat_responses.sandbox.config import Dialect

from .wire import (
    HTTP_EVENT,
    MODEL,
    WEBSOCKET_EVENT,
    connected,
    function_tool,
    needs_todays_sdk,
    post,
    stream,
    text_of,
    user,
)

KEY = {"authorization": "Bearer sk-test-1234"}
ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"
SEARCH = HostedCall({"type": "web_search_call", "action": {"type": "search", "query": "news"}})


def of_the_sdk(sandbox: Sandbox) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=sandbox.base_url, api_key="x", max_retries=0)


async def request(
    sandbox: Sandbox, path: str = "/responses", headers: Any = KEY, **fields: Any
) -> tuple[int, str]:
    """POST as it is; returns the status and the text of the answer."""
    body = {"model": MODEL, "store": False, "input": "x", **fields}
    async with (
        aiohttp.ClientSession() as session,
        session.post(sandbox.base_url + path, json=body, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


async def handshake(sandbox: Sandbox, query: str = "", headers: Any = KEY) -> int:
    """The status with which a WebSocket's handshake is answered."""
    try:
        async with websockets.connect(sandbox.ws_url + query, additional_headers=headers):
            return 101
    except websockets.InvalidStatus as refused:
        return refused.response.status_code


class TestRefusedFields:
    FIELDS: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("prompt_cache_key", {"prompt_cache_key": "k"}, "prompt_cache_key"),
        ("store", {}, "store"),
        ("previous_response_id", {"previous_response_id": "resp_1"}, "previous_response_id"),
        ("text.verbosity", {"text": {"verbosity": "low"}}, "text.verbosity"),
        ("tools.strict", {"tools": [function_tool("f", strict=False)]}, "tools[0].strict"),
        ("input.phase", {"input": [user("x"), {**user("y"), "phase": None}]}, "input[1].phase"),
        (
            "stream_options.include_obfuscation",
            {"stream_options": {"include_obfuscation": False}},
            "stream_options.include_obfuscation",
        ),
        ("include", {"include": [LOGPROBS]}, "include"),
    )

    @pytest.mark.parametrize(("field", "sent", "param"), FIELDS, ids=[row[0] for row in FIELDS])
    async def test_in_openais_words(self, field: str, sent: dict[str, Any], param: str) -> None:
        config = SandboxConfig(refused_fields=(field,))
        async with Sandbox(config) as sandbox, connected(sandbox) as wire:
            fields = {"input": "x", **sent}
            event = await wire.refusal(**fields)
            assert event["error"]["message"] == f"Unknown parameter: '{param}'."
            assert event["error"]["code"] == "unknown_parameter"
            assert (event["error"]["param"], event["status"]) == (param, 400)
            status, body = await post(sandbox, **fields)
            assert (status, body["error"]["param"]) == (400, param)
            assert sandbox.requests[1].outcome == "refused:unknown_parameter"
            config.refused_fields = ()
            if field != "previous_response_id":
                await wire.respond(**fields)

    async def test_fields_of_websockets(self) -> None:
        config = SandboxConfig(refused_fields=("stream_id", "generate"))
        async with Sandbox(config) as sandbox, connected(sandbox) as wire:
            await wire.create("x", stream_id="a")
            refused = await wire.event()
            assert refused["error"]["param"] == "stream_id"
            assert "stream_id" not in refused
            assert (await wire.refusal("x", generate=False))["error"]["param"] == "generate"
            await wire.respond("x")

    async def test_entries_of_include(self) -> None:
        config = SandboxConfig(refused_fields=(f"include.{LOGPROBS}",))
        async with Sandbox(config) as sandbox:
            fields = {"include": ["web_search_call.results", LOGPROBS]}
            status, body = await post(sandbox, "x", **fields)
            assert (status, body["error"]["code"]) == (400, "invalid_value")
            assert body["error"]["param"] == "include[1]"
            assert f"Invalid value: '{LOGPROBS}'" in body["error"]["message"]
            config.dialect = "validator"
            status, body = await post(sandbox, "x", **fields)
            (problem,) = body["detail"]
            assert (status, problem["type"]) == (422, "literal_error")
            assert problem["loc"] == ["body", "include", 1]
            assert (await post(sandbox, "x", include=["web_search_call.results"]))[0] == 200


class TestDialects:
    @pytest.mark.parametrize("dialect", get_args(Dialect))
    async def test_every_refusal_is_an_error_on_both_transports(self, dialect: Dialect) -> None:
        config = SandboxConfig(
            dialect=dialect,
            refused_fields=("prompt_cache_key",),
            storage="rejected",
            instructions_when_continuing="rejected",
            encrypted_reasoning="rejected",
        )
        fields: tuple[dict[str, Any], ...] = (
            {"prompt_cache_key": "k"},
            {"store": True},
            {"include": [ENCRYPTED], "model": "gpt-5"},
            {"instructions": "Be brief.", "previous_response_id": "resp_1"},
        )
        async with Sandbox(config) as sandbox, connected(sandbox) as wire:
            for each in fields:
                status, text = await request(sandbox, **each)
                assert status == (422 if dialect == "validator" else 400)
                assert set(json.loads(text)) & {"error", "detail"}
                await wire.create("x", **each)
                event = await wire.event()
                assert "error" in event
                assert event.get("type") == (None if dialect == "xai" else "error")
            assert all(record.response_id is None for record in sandbox.requests)

    async def test_words(self) -> None:
        async with refusing("words") as sandbox:
            error = {
                "message": "Unknown parameter: 'prompt_cache_key'.",
                "type": "invalid_request_error",
            }
            assert await refusals(sandbox) == (
                (400, {"error": error}),
                {"type": "error", "status": 400, "error": error},
            )

    async def test_detail(self) -> None:
        async with refusing("detail") as sandbox:
            detail = {"detail": "Unsupported parameter: prompt_cache_key"}
            assert await refusals(sandbox) == (
                (400, detail),
                {"type": "error", "status": 400, "error": detail},
            )

    async def test_validator(self) -> None:
        async with refusing("validator") as sandbox:
            (status, body), event = await refusals(sandbox)
            problem = {
                "type": "extra_forbidden",
                "loc": ["body", "prompt_cache_key"],
                "msg": "Extra inputs are not permitted",
                "input": "k",
            }
            assert (status, body) == (422, {"detail": [problem]})
            assert event["error"]["message"].startswith(
                "1 validation error for ResponsesRequest\nprompt_cache_key\n  Extra inputs are not "
                "permitted [type=extra_forbidden, input_value='k', input_type=str]\n"
            )

    async def test_openrouter(self) -> None:
        config = SandboxConfig(dialect="openrouter", storage="rejected")
        async with Sandbox(config) as sandbox:
            status, text = await request(sandbox, store=True)
        # As reported in github.com/BerriAI/litellm/issues/30851.
        assert status == 400
        assert json.loads(text) == {
            "error": {"code": "invalid_prompt", "message": "Invalid Responses API request"},
            "metadata": {
                "raw": [
                    {
                        "code": "invalid_value",
                        "values": [False],
                        "path": ["store"],
                        "message": "Invalid input: expected false",
                    }
                ]
            },
        }

    async def test_litellm(self) -> None:
        async with refusing("litellm") as sandbox:
            (status, body), event = await refusals(sandbox)
            assert (status, body["error"]["code"]) == (400, "400")
            assert body["error"]["message"].endswith("Unknown parameter: 'prompt_cache_key'.")
            assert event == {"type": "error", **body}


def refusing(dialect: Dialect) -> Sandbox:
    return Sandbox(SandboxConfig(dialect=dialect, refused_fields=("prompt_cache_key",)))


async def refusals(sandbox: Sandbox) -> tuple[tuple[int, Any], dict[str, Any]]:
    """A field's refusal over HTTP, and over a WebSocket."""
    status, text = await request(sandbox, prompt_cache_key="k")
    async with connected(sandbox) as wire:
        await wire.create("x", prompt_cache_key="k")
        return (status, json.loads(text)), await wire.event()


class TestSwitches:
    async def test_dropped_fields(self) -> None:
        config = SandboxConfig(
            dropped_fields=("generate", "stream_id", "text.verbosity", "max_tool_calls")
        )
        async with Sandbox(config) as sandbox, connected(sandbox) as wire:
            await wire.create(
                "x", generate=False, stream_id="a", text={"verbosity": 3}, max_tool_calls="many"
            )
            events = await wire.until_terminal()
            assert text_of(events[-1]["response"])
            assert events[-1]["response"]["text"]["verbosity"] == "medium"
            assert sandbox.requests[0].body["generate"] is False
            config.dropped_fields = ("previous_response_id",)
            parent = events[-1]["response"]["id"]
            again = await wire.respond("y", previous_response_id=parent)
            assert text_of(again) == 'You said: "y". I remember 1 item.'

    async def test_websockets_refused(self) -> None:
        for status in (200, 403, 404, 405, 426):
            async with Sandbox(SandboxConfig(websocket_status=status)) as sandbox:
                assert await handshake(sandbox) == status
                assert sandbox.handshakes[0].connection is None
                assert (await post(sandbox, "x"))[0] == 200

    async def test_storage(self) -> None:
        config = SandboxConfig(storage="ignored")
        async with Sandbox(config) as sandbox:
            for fields in ({"store": True}, {"store": None}):
                status, body = await post(sandbox, "x", **fields)
                assert (status, body["store"]) == (200, False)
                status, lost = await post(sandbox, "y", previous_response_id=body["id"])
                assert (status, lost["error"]["code"]) == (400, "previous_response_not_found")
            config.storage = "rejected"
            assert (await post(sandbox, "x", store=True))[0] == 400
            assert (await post(sandbox, "x", store=False))[0] == 200

    async def test_instructions_when_continuing(self) -> None:
        config = SandboxConfig(instructions_when_continuing="rejected")
        async with Sandbox(config) as sandbox, connected(sandbox) as wire:
            first = await wire.respond("x", instructions="Be brief.")
            refused = await wire.refusal(
                "y", instructions="Be brief.", previous_response_id=first["id"]
            )
            assert refused["error"]["param"] == "instructions"
            first = await wire.respond("x")
            await wire.respond("y", previous_response_id=first["id"])

    async def test_lanes_without_memory(self) -> None:
        config = SandboxConfig(lane_memory=False)
        async with Sandbox(config) as sandbox, connected(sandbox) as wire:
            first = await wire.respond("x")
            refused = await wire.refusal("y", previous_response_id=first["id"])
            assert refused["error"]["code"] == "previous_response_not_found"
            first = await wire.respond("x", store=True)
            await wire.respond("y", previous_response_id=first["id"])

    async def test_memory_after_a_cancelled_response(self) -> None:
        config = SandboxConfig(
            cancel="honoured", memory_after_cancel="remembers_new", tokens_per_second=20
        )
        async with Sandbox(config) as sandbox, connected(sandbox) as wire:
            await wire.create("count to 100")
            created = await wire.event()
            await wire.send({"type": "response.cancel"})
            assert (await wire.until_terminal())[-1]["type"] == "response.incomplete"
            config.tokens_per_second = None
            await wire.respond("y", previous_response_id=created["response"]["id"])
            short = (await wire.ask("count to 100", max_output_tokens=16))[-1]
            assert short["type"] == "response.incomplete"
            refused = await wire.refusal("y", previous_response_id=short["response"]["id"])
            assert refused["error"]["code"] == "previous_response_not_found"

    async def test_encrypted_reasoning_that_is_not_given(self) -> None:
        config = SandboxConfig(encrypted_reasoning="ignored")
        async with Sandbox(config) as sandbox:
            fields = {"model": "gpt-5", "include": [ENCRYPTED]}
            _, first = await post(sandbox, "x", **fields)
            reasoning, message = first["output"]
            assert "encrypted_content" not in reasoning
            history = [user("x"), reasoning, message, user("y")]
            assert (await post(sandbox, history, **fields))[0] == 200
            config.encrypted_reasoning = "supported"
            assert (await post(sandbox, history, **fields))[0] == 404
            config.encrypted_reasoning = "rejected"
            status, body = await post(sandbox, "x", **fields)
            assert (status, body["error"]["param"]) == (400, "include[0]")

    @needs_todays_sdk
    async def test_reasoning_as_text(self) -> None:
        config = SandboxConfig(reasoning_text=True, obfuscation=False)
        async with Sandbox(config) as sandbox, connected(sandbox) as wire:
            sandbox.script(*[Answer((Reasoning(("Well, well.", "So.")), "Done."))] * 2)
            events = await wire.ask("x", model="gpt-5")
            for event in events:
                WEBSOCKET_EVENT.validate_python(event)
            for event in await stream(sandbox, "x", model="gpt-5"):
                HTTP_EVENT.validate_python(event)
        kind = "response.reasoning_text.delta"
        said = "".join(event["delta"] for event in events if event["type"] == kind)
        reasoning = events[-1]["response"]["output"][0]
        assert reasoning["content"] == [{"type": "reasoning_text", "text": said}]
        assert said == "Well, well.\n\nSo."
        assert reasoning["summary"] == []

    @needs_todays_sdk
    async def test_searches_as_custom_calls(self) -> None:
        config = SandboxConfig(searches_as_custom_calls=True)
        async with Sandbox(config) as sandbox, connected(sandbox) as wire:
            sandbox.script(Answer((SEARCH, "Nothing new.")))
            events = await wire.ask("Any news?")
            for event in events:
                WEBSOCKET_EVENT.validate_python(event)
            first = events[-1]["response"]
            call = first["output"][0]
            assert (call["type"], call["name"]) == ("custom_tool_call", "web_search")
            assert json.loads(call["input"])["query"] == "news"
            await wire.respond("And now?", previous_response_id=first["id"])
            await wire.respond([user("Any news?"), *first["output"], user("And now?")])
            config.searches_as_custom_calls = False
            sandbox.script(Answer((SEARCH, "Nothing new.")))
            assert (await wire.respond("x"))["output"][0]["type"] == "web_search_call"

    async def test_comments_keep_a_stream_alive(self) -> None:
        config = SandboxConfig(
            keepalive="comments",
            keepalive_secs=0.02,
            time_to_created=0.05,
            time_to_first_token=0.05,
        )
        async with Sandbox(config) as sandbox:
            _, text = await request(sandbox, stream=True)
            before, _, after = text.partition("event: response.created")
            assert before.startswith(": OPENROUTER PROCESSING\n\n")
            assert ": OPENROUTER PROCESSING\n\n" in after.partition("output_item.added")[0]
            status, plain = await request(sandbox)
            assert (status, json.loads(plain)["status"]) == (200, "completed")
            async with of_the_sdk(sandbox) as client:
                events = await client.responses.create(model=MODEL, input="x", stream=True)
                kinds = [event.type async for event in events]
            assert kinds[0] == "response.created"
            async with connected(sandbox) as wire:
                assert (await wire.ask("x"))[0]["type"] == "response.created"

    async def test_events_keep_a_response_alive(self) -> None:
        config = SandboxConfig(keepalive="events", keepalive_secs=0.02, time_to_created=0.05)
        async with Sandbox(config) as sandbox, connected(sandbox) as wire:
            for events in (
                await wire.ask("x", stream_id="a"),
                await stream(sandbox, "x"),
            ):
                kinds = [event["type"] for event in events]
                assert kinds[0] == "keepalive"
                numbers = [event["sequence_number"] for event in events]
                assert numbers == list(range(len(events)))
                assert kinds[-1] == "response.completed"

    async def test_a_request_is_refused_before_anything_keeps_it_alive(self) -> None:
        config = SandboxConfig(
            keepalive="events", keepalive_secs=0.02, refused_fields=("prompt_cache_key",)
        )
        async with Sandbox(config) as sandbox:
            assert (await request(sandbox, stream=True, prompt_cache_key="k"))[0] == 400

    async def test_keys_in_their_own_header(self) -> None:
        header = {"api-key": "secret-9876"}
        config = SandboxConfig(api_keys={"secret-9876"})
        async with Sandbox(config) as sandbox:
            assert (await request(sandbox, headers=header))[0] == 401
            assert await handshake(sandbox, headers=header) == 401
            config.api_key_header = True
            assert (await request(sandbox, headers=header))[0] == 200
            assert await handshake(sandbox, headers=header) == 101
            assert (await request(sandbox, headers={"api-key": "other"}))[0] == 401
            assert (await request(sandbox, headers={"authorization": "Bearer secret-9876"}))[0]
            assert "secret-9876" not in str(sandbox.requests[0].headers)

    async def test_query_parameters(self) -> None:
        config = SandboxConfig(
            required_query=(
                RequiredQuery("api-version", 404, "Resource not found"),
                RequiredQuery("model", 403, None, "websocket"),
            )
        )
        async with Sandbox(config) as sandbox:
            status, text = await request(sandbox)
            assert (status, json.loads(text)["error"]["message"]) == (404, "Resource not found")
            assert (await request(sandbox, "/responses?api-version=v1"))[0] == 200
            assert await handshake(sandbox) == 404
            assert await handshake(sandbox, "?api-version=v1") == 403
            assert await handshake(sandbox, "?api-version=v1&model=") == 403
            assert await handshake(sandbox, "?api-version=v1&model=x") == 101
            assert [each.key_ok for each in sandbox.handshakes] == [True] * 4

    async def test_names_of_models(self) -> None:
        config = SandboxConfig(deployments={"thinker": "gpt-5"})
        async with Sandbox(config) as sandbox:
            _, body = await post(sandbox, "x", model="thinker")
            assert (body["model"], body["output"][0]["type"]) == ("thinker", "reasoning")
            assert (await post(sandbox, "x", model="thinker", temperature=0.5))[0] == 400
            assert (await post(sandbox, "x", model="talker"))[0] == 404
            config.any_model = True
            status, body = await post(sandbox, "x", model="talker")
            assert (status, len(body["output"])) == (200, 1)
            assert (await post(sandbox, "x", model="talker", reasoning={"effort": "low"}))[0] == 400
            config.model_limits = "ignored"
            assert (await post(sandbox, "x", model="thinker", temperature=0.5))[0] == 200
            assert (await post(sandbox, "x", model="talker", reasoning={"effort": "low"}))[0] == 200

    async def test_the_filter(self) -> None:
        config = SandboxConfig(filtered_words=("Bomb",))
        async with Sandbox(config) as sandbox, connected(sandbox) as wire:
            first = await wire.respond("x")
            refused = await wire.refusal("a bomb", previous_response_id=first["id"])
            assert refused["error"]["code"] == "content_filter"
            status, body = await post(sandbox, [user("a bomb")])
            assert (status, body["error"]["param"], body["error"]["type"]) == (400, "prompt", None)
            assert (await post(sandbox, [user("a bomb"), user("a balm")]))[0] == 200

    async def test_over_the_control_endpoint(self) -> None:
        changes = {
            "dialect": "xai",
            "refused_fields": ["prompt_cache_key"],
            "websocket_status": 404,
            "required_query": [{"name": "api-version"}],
            "deployments": {"a": "gpt-5"},
        }
        async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
            url = sandbox.base_url.removesuffix("/v1") + "/_sandbox/config"
            async with session.patch(url, json=changes) as answer:
                state = await answer.json()
                assert answer.status == 200
            assert state["required_query"][0]["status"] == 400
            assert state["deployments"] == {"a": "gpt-5"}
            assert sandbox.config.refused_fields == ("prompt_cache_key",)
            assert sandbox.config.required_query == (RequiredQuery("api-version"),)
            bad: tuple[Any, ...] = (
                {"dialect": "latin"},
                {"refused_fields": "x"},
                {"keepalive_secs": "long"},
            )
            for wrong in bad:
                async with session.patch(url, json=wrong) as answer:
                    assert answer.status == 400


class TestProfiles:
    def test_names(self) -> None:
        assert list(PROFILES) == [profile.value for profile in Profile]
        assert SandboxConfig.profile("openai") == SandboxConfig()
        first = SandboxConfig.profile("azure")
        first.deployments["x"] = "gpt-5"
        assert "x" not in SandboxConfig.profile("azure").deployments
        with pytest.raises(ValueError, match="no profile 'bedrock'; there are openai, azure, xai"):
            SandboxConfig.profile("bedrock")

    @pytest.mark.parametrize("name", PROFILES)
    async def test_a_call(self, name: str) -> None:
        """What every server does: it answers, calls tools, and takes the whole conversation."""
        tool = function_tool("get_current_time", description="Tells the time")
        async with Sandbox(SandboxConfig.profile(name)) as sandbox:
            history: list[dict[str, Any]] = [user("What time is it?")]
            _, first = await post(sandbox, history, tools=[tool])
            call = first["output"][-1]
            assert call["type"] == "function_call"
            output = {"type": "function_call_output", "call_id": call["call_id"], "output": "noon"}
            _, second = await post(sandbox, [*history, *first["output"], output], tools=[tool])
            assert text_of(second) == "get_current_time says noon."
            async with of_the_sdk(sandbox) as client:
                events = await client.responses.create(
                    model=MODEL, input="hello", store=False, stream=True
                )
                assert [event.type async for event in events][-1] == "response.completed"

    @pytest.mark.parametrize("name", PROFILES)
    async def test_an_open_models_reasoning_comes_back(self, name: str) -> None:
        """Reasoning is taken back as it was given, by the model that has it."""
        config = SandboxConfig.profile(name)
        reasoners = [each for each in config.deployments if config.family(each) != "gpt-4.1"]
        model = reasoners[-1] if reasoners else "gpt-5"
        async with Sandbox(config) as sandbox:
            fields = {"model": model, "include": [ENCRYPTED]}
            _, first = await post(sandbox, "x", **fields)
            kinds = [item["type"] for item in first["output"]]
            assert kinds == ["reasoning", "message"]
            shown = bool(first["output"][0].get("content"))
            assert shown == (name in ("vllm", "lmstudio"))
            given = "encrypted_content" in first["output"][0]
            assert given == (name not in ("vllm", "lmstudio", "ollama"))
            status, _ = await post(sandbox, [user("x"), *first["output"], user("y")], **fields)
            assert status == 200

    @pytest.mark.parametrize(
        ("name", "status"),
        [
            ("openai", 101),
            ("azure", 101),
            ("xai", 101),
            ("openrouter", 404),
            ("litellm", 403),
            ("vllm", 403),
            ("ollama", 404),
            ("lmstudio", 200),
        ],
    )
    async def test_websockets(self, name: str, status: int) -> None:
        async with Sandbox(SandboxConfig.profile(name)) as sandbox:
            assert await handshake(sandbox) == status

    async def test_azure(self) -> None:
        async with Sandbox(SandboxConfig.profile("azure")) as sandbox:
            client = AsyncAzureOpenAI(
                base_url=sandbox.base_url, api_key="k", api_version="v1", max_retries=0
            )
            answer = await client.responses.create(model="voice", input="hello")
            assert answer.output_text
            with pytest.raises(openai.BadRequestError) as filtered:
                await client.responses.create(model="voice", input="Trigger the content filter!")
            assert (filtered.value.code, filtered.value.param) == ("content_filter", "prompt")
            async with connected(sandbox) as wire:
                await wire.create("x", stream_id="a")
                assert (await wire.event())["error"]["param"] == "stream_id"
                first = await wire.respond("x", generate=False)
                await wire.respond("x", previous_response_id=first["id"], instructions="Hm.")

    async def test_xai(self) -> None:
        async with Sandbox(SandboxConfig.profile("xai")) as sandbox, connected(sandbox) as wire:
            first = await wire.respond("x", instructions="Be brief.", model="grok-4")
            fields = {"instructions": "Be brief.", "previous_response_id": first["id"]}
            await wire.create("y", **fields)
            said = "Argument not supported: instructions and previous_response_id together"
            body = {"code": "400", "error": said}
            text = json.dumps(body, separators=(",", ":"))
            # As in the tests of other clients, which have recorded it.
            assert await wire.event() == {
                "error": {"message": f"Request validation error: {text}", "type": "api_error"}
            }
            status, refused = await request(sandbox, **fields)
            assert (status, json.loads(refused)) == (400, body)
            # Lanes are dropped without a word.
            await wire.create("z", stream_id="a")
            assert (await wire.until_terminal())[-1]["type"] == "response.completed"

    async def test_openrouter(self) -> None:
        config = SandboxConfig.profile("openrouter")
        async with Sandbox(config) as sandbox, of_the_sdk(sandbox) as client:
            for fields in ({"store": True}, {"previous_response_id": "resp_1"}):
                with pytest.raises(openai.BadRequestError) as refused:
                    await client.responses.create(
                        model="openai/gpt-4.1", input="x", extra_body=fields
                    )
                assert refused.value.code == "invalid_prompt"
            answer = await client.responses.create(model="openai/gpt-4.1", input="x")
            assert answer.output_text

    async def test_litellm(self) -> None:
        async with Sandbox(SandboxConfig.profile("litellm")) as sandbox:
            assert await handshake(sandbox, "?model=gpt-4.1") == 101
            assert (await post(sandbox, "x"))[0] == 200

    async def test_vllm(self) -> None:
        async with Sandbox(SandboxConfig.profile("vllm")) as sandbox:
            status, body = await post(sandbox, "x", store=True, model="Qwen/Qwen3-8B")
            assert (status, body["store"]) == (200, False)
            assert "input_tokens_details" not in body["usage"]
            status, body = await post(sandbox, "x", include=["web_search_call.results"])
            assert (status, body["detail"][0]["loc"]) == (422, ["body", "include", 0])

    async def test_ollama(self) -> None:
        async with Sandbox(SandboxConfig.profile("ollama")) as sandbox:
            _, first = await post(sandbox, "x", store=True)
            _, body = await post(sandbox, "y", previous_response_id=first["id"])
            assert text_of(body) == 'You said: "y". I remember 1 item.'

    async def test_lmstudio(self) -> None:
        async with Sandbox(SandboxConfig.profile("lmstudio")) as sandbox:
            _, first = await post(sandbox, "x", store=True)
            _, body = await post(sandbox, "y", previous_response_id=first["id"])
            assert text_of(body) == 'You said: "y". I remember 3 items.'

    async def test_serve_tells_the_line_of_the_client(self) -> None:
        async with Sandbox(SandboxConfig.profile("xai")) as sandbox:
            shown = usage(sandbox, "xai")
            assert f'api_key="any", base_url="{sandbox.base_url}", server="xai")' in shown
            assert "It plays a server of xai." in shown
            assert "server=" not in usage(sandbox, "openai")

    def test_serve_knows_no_other_names(self) -> None:
        refused = CliRunner().invoke(app, ["serve", "--profile", "bedrock"])
        assert refused.exit_code == 2
        assert "lmstudio" in refused.output
