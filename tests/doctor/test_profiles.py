"""The doctor finds the truth about each server that the sandbox imitates."""

from __future__ import annotations

from typing import Any

import pytest

from pipecat_responses.doctor import diagnose
from pipecat_responses.doctor.fields import OPTIONAL
from pipecat_responses.sandbox import PROFILES, Sandbox, SandboxConfig
from pipecat_responses.sandbox.config import RequiredQuery

from .support import KEY, examine, known, seen, verdicts

MODELS = {
    "azure": "thinker",
    "xai": "grok-4",
    "openrouter": "openai/gpt-5",
    "vllm": "openai/gpt-oss-20b",
    "ollama": "gpt-oss:20b",
    "lmstudio": "openai/gpt-oss-20b",
}
"""A model of each that reasons."""

PARENT = "previous_response_id"


def truth(config: SandboxConfig) -> dict[str, bool | None]:
    """What a sandbox can do, as its configuration says."""
    websocket = config.websocket_status is None
    lanes = config.lanes == "supported"
    takes_parent = PARENT not in (*config.refused_fields, *config.dropped_fields)
    remembers = config.memory_after_failure == "remembers_new"
    over_websocket = {
        "lanes": lanes,
        "forks": config.forks == "supported" if lanes else None,
        "warm_up": config.generate_false == "supported",
        "cancel": config.cancel != "rejected",
        "cancel_stops": config.cancel == "honoured",
        "continuation": takes_parent and config.lane_memory,
        "instructions_when_continuing": config.instructions_when_continuing == "supported",
        "remembers_incomplete": remembers,
        "remembers_interrupted": remembers if config.cancel == "honoured" else None,
    }
    return {
        **(over_websocket if websocket else dict.fromkeys(over_websocket)),
        "websocket": websocket,
        # Of models of the gpt-6 family only.
        "steering": None,
        "stored_continuation": takes_parent and config.storage == "supported",
        "encrypted_reasoning": config.encrypted_reasoning == "supported",
    }


@pytest.mark.parametrize("name", PROFILES)
async def test_the_truth_about_each(name: str) -> None:
    config = SandboxConfig.profile(name)
    model = MODELS.get(name, "gpt-5-mini")
    async with Sandbox(config) as sandbox:
        extra = {"ws_url": f"{sandbox.ws_url}?model={model}"} if config.required_query else {}
        diagnosis = await examine(sandbox, model=model, stored=True, **extra)
    assert diagnosis.usable
    assert f"{model} answers." in seen(diagnosis, "model")
    assert known(diagnosis) == truth(config)
    settled = {key for key, value in known(diagnosis).items() if value is not None}
    assert settled <= set(diagnosis.capabilities["why"])
    limits = config.model_limits == "enforced" and name != "azure"
    expected = {"temperature", "top_p"} if limits else set(config.refused_fields) & set(OPTIONAL)
    assert set(diagnosis.capabilities["refused_fields"]) >= expected
    assert "failed" not in verdicts(diagnosis).values()


DIALECTS = ("openai", "words", "detail", "validator", "xai", "openrouter", "litellm")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_refused_fields_in_the_words_of_each(dialect: Any) -> None:
    refused = ("prompt_cache_key", "store", "stream_options.include_obfuscation", "text.verbosity")
    config = SandboxConfig(
        dialect=dialect,
        refused_fields=refused,
        storage="ignored",
        lanes="rejected",
        cancel="rejected",
        generate_false="rejected",
        instructions_when_continuing="rejected",
        encrypted_reasoning="rejected",
        model_limits="ignored",
    )
    async with Sandbox(config) as sandbox:
        diagnosis = await examine(sandbox, model="gpt-5-mini")
    found = known(diagnosis)
    assert diagnosis.capabilities["refused_fields"] == sorted(refused)
    for name in ("lanes", "warm_up", "instructions_when_continuing", "encrypted_reasoning"):
        assert found[name] is False, name
    assert found["continuation"] is True
    assert diagnosis.usable


async def test_a_query_that_is_wanted() -> None:
    wanted = (RequiredQuery("api-version", 404, "Resource not found"),)
    async with Sandbox(SandboxConfig(required_query=wanted)) as sandbox:
        without = await examine(sandbox)
        assert not without.usable
        assert "Check the address" in seen(without, "HTTP")
        diagnosis = await diagnose(f"{sandbox.base_url}?api-version=2026-01-01", KEY)
    assert known(diagnosis)["websocket"] is True
    assert "failed" not in verdicts(diagnosis).values()


@pytest.mark.parametrize("name", ["openai", "azure", "xai", "ollama"])
async def test_a_server_played_by_what_was_written_is_found_to_be_the_same(name: str) -> None:
    model = MODELS.get(name, "gpt-5-mini")
    async with Sandbox(SandboxConfig.profile(name)) as sandbox:
        first = await examine(sandbox, model=model, stored=True)
    async with Sandbox(SandboxConfig.from_capabilities(first.capabilities)) as sandbox:
        second = await examine(sandbox, model=model, stored=True)
    told = {key: value for key, value in known(first).items() if value is not None}
    if name in MODELS:
        # The file does not say that a model of that name reasons.
        del told["encrypted_reasoning"]
    assert told.items() <= known(second).items()
    refused = [each.capabilities["refused_fields"] for each in (first, second)]
    assert refused[0] == refused[1]
