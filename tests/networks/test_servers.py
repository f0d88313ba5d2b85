"""Servers by name: addresses, keys, and what is known of each before it was asked."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from openai import AsyncOpenAI

from pipecat_responses import (
    OpenAIResponsesHttpLLMService,
    OpenAIResponsesLLMService,
    ServerCapabilities,
)
from pipecat_responses.sandbox import Sandbox
from pipecat_responses.sandbox.config import RequiredQuery
from pipecat_responses.service.servers import SERVERS, ServerName, find_server
from pipecat_responses.session.capabilities import KNOWN
from pipecat_responses.testing import Conversation
from tests.support.services import KEY, SERVICES

VARIABLES = [
    *{each.key_variable for each in SERVERS.values()},
    "AZURE_OPENAI_ENDPOINT",
    "OPENAI_BASE_URL",
]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_every_name_is_a_server() -> None:
    assert list(SERVERS) == list(get_args(ServerName))


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://me.openai.azure.com/openai/v1", "azure"),
        ("https://ME.services.ai.azure.com/openai/v1/", "azure"),
        ("https://api.x.ai/v1", "xai"),
        ("https://us-east-1.api.x.ai/v1", "xai"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://openrouter.ai.example.com/v1", "openai"),
        ("https://notopenrouter.ai/v1", "openai"),
        ("http://localhost:11434/v1", "openai"),
        (None, "openai"),
    ],
)
def test_a_host_tells_where_that_is_certain(base_url: str | None, name: str) -> None:
    assert find_server(None, base_url).name == name
    assert find_server("vllm", base_url).name == "vllm"


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(ValueError, match="'lmstudio', not 'lm-studio'"):
        OpenAIResponsesLLMService(api_key=KEY, server="lm-studio")


@pytest.mark.parametrize(
    ("name", "http", "websocket"),
    [
        ("xai", "https://api.x.ai/v1/", "wss://api.x.ai/v1/responses"),
        ("openrouter", "https://openrouter.ai/api/v1/", "wss://openrouter.ai/api/v1/responses"),
        ("ollama", "http://localhost:11434/v1/", "ws://localhost:11434/v1/responses"),
    ],
)
def test_addresses(name: Any, http: str, websocket: str) -> None:
    llm = OpenAIResponsesLLMService(api_key=KEY, server=name)
    assert (str(llm._client.base_url), llm._ws_url) == (http, websocket)


def test_azure_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="AZURE_OPENAI_ENDPOINT"):
        OpenAIResponsesLLMService(api_key=KEY, server="azure")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://me.openai.azure.com/")
    with pytest.raises(ValueError, match=r"azure API key: .*AZURE_OPENAI_API_KEY"):
        OpenAIResponsesLLMService(server="azure")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "azure-key-1")
    llm = OpenAIResponsesLLMService(server="azure", default_query={"api-version": "2026-01-01"})
    assert str(llm._client.base_url) == "https://me.openai.azure.com/openai/v1/"
    assert llm._ws_url == ("wss://me.openai.azure.com/openai/v1/responses?api-version=2026-01-01")


def test_the_key_of_one_is_not_shown_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openais")
    with pytest.raises(ValueError, match=r"xai API key: .*XAI_API_KEY"):
        OpenAIResponsesHttpLLMService(base_url="https://api.x.ai/v1")
    assert OpenAIResponsesHttpLLMService(server="ollama")._client.api_key != "sk-openais"


@pytest.mark.parametrize("name", ["litellm", "vllm", "ollama", "lmstudio"])
def test_a_server_of_ones_own_wants_no_key(name: Any) -> None:
    for kind in (OpenAIResponsesLLMService, OpenAIResponsesHttpLLMService):
        kind(server=name)


def test_what_is_known_before_it_was_asked() -> None:
    known = OpenAIResponsesLLMService(api_key=KEY, server="openrouter").capabilities
    assert (known.websocket, known.continuation, known.lanes) == (False, False, None)
    assert known.why["websocket"] == "What is published about openrouter"
    given = ServerCapabilities(lanes=False)
    llm = OpenAIResponsesLLMService(api_key=KEY, server="openrouter", capabilities=given)
    assert llm.capabilities is given


@pytest.mark.parametrize("transport", SERVICES)
async def test_what_one_learns_others_know(sandbox: Sandbox, transport: Any) -> None:
    one = SERVICES["websocket"](sandbox)
    other = SERVICES[transport](sandbox)
    assert one.capabilities is other.capabilities is KNOWN[sandbox.ws_url]


@pytest.mark.parametrize("transport", SERVICES)
async def test_a_key_of_azure_and_a_token(sandbox: Sandbox, transport: Any) -> None:
    sandbox.config.api_key_header = True
    sandbox.config.required_query = (RequiredQuery("api-version"),)
    query = {"api-version": "2026-01-01"}
    more = {"server": "azure", "default_query": query}
    async with Conversation(SERVICES[transport](sandbox, api_key="azure-key-1", **more)) as talk:
        assert await talk.say("hello")
        assert not talk.errors

    async def token() -> str:
        return "entra-token-1"

    async with Conversation(SERVICES[transport](sandbox, api_key=token, **more)) as talk:
        assert await talk.say("hello")
        assert not talk.errors
    with_key, with_token = (lowered(each.headers) for each in sandbox.requests)
    assert with_key["api-key"]
    assert "authorization" not in with_key
    assert with_token["authorization"]
    assert "api-key" not in with_token


def lowered(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize("transport", SERVICES)
async def test_what_is_added_to_addresses(sandbox: Sandbox, transport: Any) -> None:
    more = {"server": "litellm", "default_query": {"tenant": "blue room"}}
    llm = SERVICES[transport](sandbox, **more)
    assert llm._client.default_query == {"tenant": "blue room"}
    async with Conversation(llm) as talk:
        assert await talk.say("hello")
        assert not talk.errors
    if transport == "websocket":
        assert sandbox.handshakes[0].query == {"tenant": "blue room", "model": "gpt-4.1"}


def test_a_client_has_its_own_query() -> None:
    client = AsyncOpenAI(api_key=KEY, default_query={"tenant": "blue"})
    with pytest.raises(ValueError, match="default_query"):
        OpenAIResponsesLLMService(client=client, default_query={"a": "b"})
    llm = OpenAIResponsesLLMService(client=client)
    assert llm._ws_url == "wss://api.openai.com/v1/responses?tenant=blue"


@pytest.mark.parametrize("transport", SERVICES)
async def test_the_model_behind_a_deployments_name(sandbox: Sandbox, transport: Any) -> None:
    sandbox.config.models = {"our-voice"}
    settings = OpenAIResponsesLLMService.Settings(model="our-voice")
    llm = SERVICES[transport](sandbox, model_family="gpt-5-mini", settings=settings)
    async with Conversation(llm) as talk:
        await talk.say("hello")
    body = sandbox.requests[0].body
    assert body["model"] == "our-voice"
    assert body["reasoning"] == {"effort": "minimal"}


async def test_no_websocket_is_tried_where_there_are_none(sandbox: Sandbox) -> None:
    llm = SERVICES["websocket"](sandbox, server="vllm")
    async with Conversation(llm) as talk:
        assert await talk.say("hello")
        assert await talk.say("count to 3")
        assert not talk.errors
    assert sandbox.handshakes == []
    assert [each.transport for each in sandbox.requests] == ["http", "http"]
    assert llm.stats.last_turn is not None
    assert llm.stats.last_turn.transport == "http"


async def test_it_is_tried_where_it_is_wanted(sandbox: Sandbox) -> None:
    llm = SERVICES["websocket"](sandbox, server="vllm", transport="websocket")
    async with Conversation(llm) as talk:
        assert await talk.say("hello")
    assert [each.transport for each in sandbox.requests] == ["websocket"]
