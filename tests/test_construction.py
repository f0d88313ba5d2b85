"""What the services are made of, and what they refuse to be made of."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from pipecat.services.llm_service import LLMService, WebsocketLLMService
from pipecat.services.openai.responses import llm as pipecats

import pipecat_responses
import pipecat_responses.llm
from pipecat_responses import (
    OpenAIResponsesHttpLLMService,
    OpenAIResponsesLLMService,
    OpenAIResponsesLLMSettings,
)
from pipecat_responses.sandbox import Sandbox
from pipecat_responses.service.base import _BaseOpenAIResponsesLLMService
from pipecat_responses.testing import Conversation
from tests.support.services import KEY, SERVICES

NAMES = (
    "OpenAIResponsesLLMService",
    "OpenAIResponsesHttpLLMService",
    "OpenAIResponsesLLMSettings",
    "OpenAIResponsesReasoningConfig",
)
BOTH: list[type[OpenAIResponsesLLMService | OpenAIResponsesHttpLLMService]] = [
    OpenAIResponsesLLMService,
    OpenAIResponsesHttpLLMService,
]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_pipecats(name: str) -> None:
    ours = getattr(pipecat_responses, name)
    assert ours is getattr(pipecat_responses.llm, name)
    assert ours.__name__ == getattr(pipecats, name).__name__
    assert name in pipecat_responses.__all__
    assert name in pipecat_responses.llm.__all__


def parameters(service: type) -> dict[str, inspect.Parameter]:
    found: dict[str, inspect.Parameter] = {}
    for each in reversed(service.__mro__):
        if "__init__" in vars(each) and each is not object:
            found.update(inspect.signature(vars(each)["__init__"]).parameters)
    return {
        name: parameter
        for name, parameter in found.items()
        if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    }


@pytest.mark.parametrize("name", NAMES[:2])
def test_every_parameter_of_pipecats_is_taken(name: str) -> None:
    theirs = parameters(getattr(pipecats, name))
    ours = parameters(getattr(pipecat_responses, name))
    for parameter in theirs.values():
        assert ours[parameter.name].default == parameter.default, parameter.name
        assert ours[parameter.name].kind == parameter.kind, parameter.name


@pytest.mark.parametrize("name", NAMES[:2])
def test_every_public_method_of_pipecats_is_there(name: str) -> None:
    theirs, ours = getattr(pipecats, name), getattr(pipecat_responses, name)
    for method, value in inspect.getmembers(theirs, inspect.isfunction):
        if not method.startswith("_"):
            wanted = list(inspect.signature(value).parameters)
            assert list(inspect.signature(getattr(ours, method)).parameters) == wanted, method


def test_bases() -> None:
    assert issubclass(OpenAIResponsesLLMService, WebsocketLLMService)
    assert issubclass(OpenAIResponsesLLMService, _BaseOpenAIResponsesLLMService)
    assert issubclass(OpenAIResponsesHttpLLMService, _BaseOpenAIResponsesLLMService)
    assert not issubclass(OpenAIResponsesHttpLLMService, WebsocketLLMService)
    assert issubclass(OpenAIResponsesHttpLLMService, LLMService)
    for service in BOTH:
        assert service.Settings is OpenAIResponsesLLMSettings
        assert service.supports_response_schema is True


@pytest.mark.parametrize("service", BOTH)
class TestArguments:
    def test_a_key_is_needed(self, service: Any) -> None:
        with pytest.raises(ValueError, match="OPENAI_API_KEY"):
            service()

    def test_the_key_comes_from_the_environment(
        self, service: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assert service()

    def test_a_key_never_travels_in_clear_text(self, service: Any) -> None:
        with pytest.raises(ValueError, match="clear text"):
            service(api_key=KEY, base_url="http://example.com/v1")
        assert service(api_key=KEY, base_url="http://example.com/v1", allow_insecure_transport=True)
        for host in ("localhost", "127.0.0.1", "127.1.2.3", "[::1]", "me.localhost"):
            assert service(api_key=KEY, base_url=f"http://{host}:1234/v1")

    def test_an_address_that_is_none(self, service: Any) -> None:
        with pytest.raises(ValueError, match="address"):
            service(api_key=KEY, base_url="ftp://example.com/v1")

    def test_unknown_arguments(self, service: Any) -> None:
        with pytest.raises(TypeError, match="did you mean 'organization'"):
            service(api_key=KEY, organisation="x")
        with pytest.raises(TypeError, match=r"Settings\(model="):
            service(api_key=KEY, model="gpt-4.1")

    def test_values_that_make_no_sense(self, service: Any) -> None:
        for wrong in (
            {"on_mid_response_loss": "pray"},
            {"retry_timeout_secs": 0},
            {"max_message_bytes": 0},
        ):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                service(api_key=KEY, **wrong)

    def test_settings_are_merged_into_the_defaults(self, service: Any) -> None:
        llm = service(api_key=KEY, settings=service.Settings(temperature=0.5))
        assert (llm.settings.model, llm.settings.temperature) == ("gpt-4.1", 0.5)

    def test_the_key_is_not_shown(self, service: Any) -> None:
        llm = service(api_key=KEY)
        assert KEY not in repr(llm)
        assert KEY not in str(llm)


_WRONG: tuple[dict[str, Any], ...] = (
    {"anchor_threshold_bytes": -1},
    {"connection_max_age_secs": 0},
)


def test_websocket_arguments() -> None:
    for wrong in _WRONG:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            OpenAIResponsesLLMService(api_key=KEY, **wrong)
    with pytest.raises(ValueError, match="clear text"):
        OpenAIResponsesLLMService(api_key=KEY, ws_url="ws://example.com/v1/responses")
    llm = OpenAIResponsesLLMService(api_key=KEY, reconnect_on_error=False, ws_close_timeout=0.5)
    assert llm._session._pool._options.reconnect is False
    assert llm._session._pool._options.socket.close_timeout == 0.5


@pytest.mark.parametrize(
    ("arguments", "ws_url", "base_url"),
    [
        ({}, "wss://api.openai.com/v1/responses", "https://api.openai.com/v1/"),
        (
            {"base_url": "https://eu.example.com/openai/v1/"},
            "wss://eu.example.com/openai/v1/responses",
            "https://eu.example.com/openai/v1/",
        ),
        (
            {"base_url": "http://localhost:99/v1"},
            "ws://localhost:99/v1/responses",
            "http://localhost:99/v1/",
        ),
        (
            {"base_url": "https://a.example/v1", "ws_url": "wss://b.example/v1/responses"},
            "wss://b.example/v1/responses",
            "https://a.example/v1/",
        ),
        # Nothing of a conversation goes to another server than the one that was named.
        (
            {"ws_url": "wss://b.example/v1/responses"},
            "wss://b.example/v1/responses",
            "https://b.example/v1/",
        ),
    ],
)
def test_addresses(arguments: dict[str, Any], ws_url: str, base_url: str) -> None:
    llm = OpenAIResponsesLLMService(api_key=KEY, **arguments)
    assert llm._session._pool._address.url == ws_url
    assert str(llm._client.base_url) == base_url


@pytest.mark.parametrize("transport", SERVICES)
async def test_headers_reach_the_server(sandbox: Sandbox, transport: str) -> None:
    sandbox.config.api_keys = {"sk-rotating-2"}
    asked = []

    async def key() -> str:
        asked.append(1)
        return "sk-rotating-2"

    llm = SERVICES[transport](
        sandbox,
        api_key=key,
        organization="org-1",
        project="proj-1",
        default_headers={"X-Tenant": "blue"},
    )
    async with Conversation(llm) as talk:
        assert await talk.say("hello")
        assert not talk.errors
    headers = {name.lower(): value for name, value in sandbox.requests[0].headers.items()}
    assert headers["openai-organization"] == "org-1"
    assert headers["openai-project"] == "proj-1"
    assert headers["x-tenant"] == "blue"
    assert asked
