"""The settings are Pipecat's, and a request says what they say."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from openai import NOT_GIVEN as OPENAI_NOT_GIVEN
from openai import Omit
from pipecat.services.openai.base_llm import OPENAI_MODEL_WITHOUT_RESPONSE_SCHEMA
from pipecat.services.openai.responses import llm as pipecat_llm
from pipecat.utils.types import NOT_GIVEN

from pipecat_responses.service.settings import (
    ENCRYPTED_REASONING,
    LOGPROBS,
    LOWEST_EFFORTS,
    OURS,
    SESSION_KEYS,
    OpenAIResponsesLLMSettings,
    OpenAIResponsesReasoningConfig,
    default_settings,
    lowest_effort,
    merged,
    request_values,
    supports_reasoning,
    supports_response_schema,
)

MODELS = [
    *LOWEST_EFFORTS,
    "gpt-3.5-turbo",
    "gpt-4",
    "gpt-4-turbo",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4o-2024-05-13",
    "gpt-4o-2024-08-06",
    "chatgpt-4o-latest",
    "o1-mini",
    "o1-preview",
    "gpt-5-chat-latest",
    "gpt-5-2025-08-07",
    "GPT-5.1-2025-11-13",
    "o3-2025-04-16",
    "gpt-7",
    "gpt-oss-120b",
    "llama-4",
    "ft:gpt-4o:acme",
]


def values_of(
    settings: OpenAIResponsesLLMSettings, service_tier: str | None = None
) -> tuple[dict[str, Any], list[str]]:
    warnings: list[str] = []
    values = request_values(settings, service_tier=service_tier, warn=warnings.append)
    return values, warnings


def settings_with(**changes: Any) -> OpenAIResponsesLLMSettings:
    settings = default_settings()
    settings.apply_update(OpenAIResponsesLLMSettings(**changes))
    return settings


def default_of(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def test_fields_are_those_of_pipecat() -> None:
    def described(cls: Any) -> list[tuple[str, Any]]:
        return [(field.name, default_of(field)) for field in dataclasses.fields(cls)]

    ours = described(OpenAIResponsesLLMSettings)
    theirs = described(pipecat_llm.OpenAIResponsesLLMSettings)
    assert ours[: len(theirs)] == theirs
    assert {name for name, _ in ours[len(theirs) :]} == set(OURS)


def test_reasoning_config_is_that_of_pipecat() -> None:
    def described(cls: Any) -> dict[str, Any]:
        return {name: (field.annotation, field.default) for name, field in cls.model_fields.items()}

    ours = described(OpenAIResponsesReasoningConfig)
    assert ours == described(pipecat_llm.OpenAIResponsesReasoningConfig)


async def test_defaults_are_those_of_pipecats_service() -> None:
    service = pipecat_llm.OpenAIResponsesHttpLLMService(api_key="none")
    settings: Any = service._settings
    ours, theirs = default_settings().given_fields(), settings.given_fields()
    assert {**ours, "use_provider_thinking_default": None} == {
        **theirs,
        "use_provider_thinking_default": None,
        **dict.fromkeys(OURS),
    }
    # No field is left without a value.
    assert set(ours) == {field.name for field in dataclasses.fields(OpenAIResponsesLLMSettings)} - {
        "extra"
    }


@pytest.mark.parametrize("model", MODELS)
def test_models_are_known_as_pipecat_knows_them(model: str) -> None:
    known = pipecat_llm._THINKING_DEFAULTS.get(pipecat_llm._model_name(model))
    assert lowest_effort(model) == known
    assert supports_reasoning(model) == pipecat_llm._model_supports_reasoning(model)
    assert supports_response_schema(model) == (
        not OPENAI_MODEL_WITHOUT_RESPONSE_SCHEMA.match(model)
    )


def test_every_model_of_pipecat_is_listed() -> None:
    assert dict(LOWEST_EFFORTS) == pipecat_llm._THINKING_DEFAULTS


def test_defaults_ask_for_nothing_but_the_model() -> None:
    assert values_of(default_settings()) == ({"model": "gpt-4.1", "store": False}, [])


@pytest.mark.parametrize("unset", [None, NOT_GIVEN, OPENAI_NOT_GIVEN, Omit()])
def test_what_has_no_value_is_left_out(unset: Any) -> None:
    settings = default_settings()
    for name in ("temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "top_k"):
        setattr(settings, name, unset)
    assert values_of(settings) == ({"model": "gpt-4.1", "store": False}, [])


def test_scalars() -> None:
    settings = settings_with(
        model="gpt-4o", temperature=0, top_p=0.5, max_completion_tokens=100, max_tokens=7
    )
    values, warnings = values_of(settings, "priority")
    assert values == {
        "model": "gpt-4o",
        "store": False,
        "temperature": 0,
        "top_p": 0.5,
        "max_output_tokens": 100,
        "service_tier": "priority",
    }
    assert warnings == []


def test_max_tokens_limits_the_output_too() -> None:
    assert values_of(settings_with(max_tokens=7))[0]["max_output_tokens"] == 7


ENCRYPTED = ["reasoning.encrypted_content"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            {"model": "gpt-5", "reasoning": OpenAIResponsesReasoningConfig(effort="high")},
            {"reasoning": {"effort": "high"}, "include": ENCRYPTED},
            id="as given",
        ),
        pytest.param(
            {"model": "gpt-5", "reasoning": {"effort": "low", "summary": None}},
            {"reasoning": {"effort": "low"}, "include": ENCRYPTED},
            id="given as a dict",
        ),
        pytest.param(
            {"model": "gpt-5"},
            {"reasoning": {"effort": "minimal"}, "include": ENCRYPTED},
            id="the lowest effort",
        ),
        pytest.param(
            {"model": "gpt-5", "reasoning": OpenAIResponsesReasoningConfig()},
            {"reasoning": {"effort": "minimal"}, "include": ENCRYPTED},
            id="nothing asked for",
        ),
        pytest.param(
            {"model": "gpt-5.1-2025-11-13"}, {"reasoning": {"effort": "none"}}, id="no reasoning"
        ),
        pytest.param(
            {"model": "gpt-5", "use_provider_thinking_default": True}, {}, id="OpenAI's default"
        ),
        pytest.param(
            {"model": "gpt-5", "extra": {"reasoning": {"effort": "high"}}},
            {"reasoning": {"effort": "high"}},
            id="in extra",
        ),
        pytest.param({"model": "gpt-7"}, {}, id="a model that is not listed"),
        pytest.param(
            {"extra": {"model": "o3"}},
            {"model": "o3", "reasoning": {"effort": "low"}, "include": ENCRYPTED},
            id="a model in extra",
        ),
    ],
)
def test_reasoning(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    values, warnings = values_of(settings_with(**changes))
    base = {"model": changes.get("model", "gpt-4.1"), "store": False}
    assert values == {**base, **expected}
    assert warnings == []


@pytest.mark.parametrize(
    "changes",
    [
        {"reasoning": OpenAIResponsesReasoningConfig(effort="low")},
        {"extra": {"reasoning": {"effort": "low"}}},
    ],
)
def test_reasoning_on_a_model_without_it_warns(changes: dict[str, Any]) -> None:
    _, warnings = values_of(settings_with(**changes))
    assert len(warnings) == 1
    assert "gpt-4.1" in warnings[0]
    assert "remove the setting" in warnings[0]
    assert values_of(settings_with(model="my-own-model", **changes))[1] == []


def test_extra_comes_last() -> None:
    settings = settings_with(
        temperature=1.0, extra={"temperature": 0.1, "store": True, "metadata": {"a": "b"}}
    )
    values, warnings = values_of(settings)
    assert values == {
        "model": "gpt-4.1",
        "store": True,
        "temperature": 0.1,
        "metadata": {"a": "b"},
    }
    assert warnings == []


def test_what_the_session_owns_is_not_for_extra() -> None:
    settings = settings_with(extra=dict.fromkeys(SESSION_KEYS, "mine"))
    values, warnings = values_of(settings)
    assert values == {"model": "gpt-4.1", "store": False}
    assert len(warnings) == len(SESSION_KEYS)
    assert all(any(f"`{key}`" in warning for warning in warnings) for key in SESSION_KEYS)


@pytest.mark.parametrize("name", ["top_k", "frequency_penalty", "presence_penalty", "seed"])
def test_settings_without_a_field_warn(name: str) -> None:
    values, warnings = values_of(settings_with(**{name: 1}))
    assert values == {"model": "gpt-4.1", "store": False}
    assert len(warnings) == 1
    assert f"`{name}`" in warnings[0]


def test_settings_are_left_as_they_are() -> None:
    settings = settings_with(model="gpt-5", extra={"input": 1, "metadata": {}})
    before = settings.copy()
    values_of(settings)
    assert repr(settings) == repr(before)


MORE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
    ({"text_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}),
    (
        {"verbosity": "low", "extra": {"text": {"format": {"type": "text"}}}},
        {"text": {"verbosity": "low", "format": {"type": "text"}}},
    ),
    ({"service_tier": "flex"}, {"service_tier": "flex"}),
    ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
    ({"max_tool_calls": 3}, {"max_tool_calls": 3}),
    ({"include": ["a"]}, {"include": ["a"]}),
    ({"include": ["a"], "extra": {"include": ["b", "a"]}}, {"include": ["a", "b"]}),
    ({"top_logprobs": 2}, {"top_logprobs": 2, "include": [LOGPROBS]}),
    ({"truncation": "auto"}, {"truncation": "auto"}),
    (
        {"compact_threshold": 9},
        {"context_management": [{"type": "compaction", "compact_threshold": 9}]},
    ),
    ({"prompt_cache_key": "k"}, {"prompt_cache_key": "k"}),
    ({"prompt_cache_options": {"ttl": "1h"}}, {"prompt_cache_options": {"ttl": "1h"}}),
    ({"safety_identifier": "u"}, {"safety_identifier": "u"}),
    (
        {"metadata": {"a": "1"}, "extra": {"metadata": {"b": "2"}}},
        {"metadata": {"a": "1", "b": "2"}},
    ),
    # What is None in extra is taken back, and storing is not switched on by it.
    ({"temperature": 0.5, "extra": {"temperature": None}}, {}),
    ({"extra": {"store": None, "user": None}}, {}),
    # A choice is one, and not the sum of two.
    ({"extra": {"tool_choice": {"type": "mcp"}}}, {"tool_choice": {"type": "mcp"}}),
]


@pytest.mark.parametrize(("changes", "expected"), MORE)
def test_more_settings(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    settings = settings_with(**changes)
    assert values_of(settings) == ({"model": "gpt-4.1", "store": False, **expected}, [])
    # None takes each of them back.
    nothing: dict[str, Any] = dict.fromkeys((*OURS, "temperature"))
    settings.apply_update(OpenAIResponsesLLMSettings(**nothing))
    settings.extra.clear()
    assert values_of(settings) == ({"model": "gpt-4.1", "store": False}, [])


def test_what_is_included_is_added_to_ours() -> None:
    settings = settings_with(model="gpt-5.2", include=["a"])
    settings.reasoning = OpenAIResponsesReasoningConfig(effort="low")
    values, _ = values_of(settings)
    assert values["include"] == ["a", ENCRYPTED_REASONING]


def test_the_tier_of_the_settings_is_the_one_that_counts() -> None:
    values, _ = values_of(settings_with(service_tier="flex"), "priority")
    assert values["service_tier"] == "flex"


def test_tools_of_extra_are_added_to_those_of_the_context() -> None:
    ours = {"type": "function", "name": "f"}
    search = {"type": "web_search"}
    assert merged({"tools": [ours], "a": 1}, {"tools": [search, ours]}) == {
        "tools": [ours, search],
        "a": 1,
    }


def test_extra_has_the_last_word_on_the_conversations_fields() -> None:
    settings = settings_with(extra={"tools": None, "instructions": "Mine."})
    values = request_values(
        settings,
        service_tier=None,
        warn=lambda _: None,
        of_conversation={"instructions": "Yours.", "tools": [{"type": "web_search"}]},
    )
    assert values == {"instructions": "Mine.", "model": "gpt-4.1", "store": False}
