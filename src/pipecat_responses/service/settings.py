"""Settings of the two services, and what a model needs to be asked for.

The settings are Pipecat's: the same names, order and defaults, in store mode inside a service and
in delta mode in an update frame. ``request_values`` turns them into the fields of a request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from pipecat.services.settings import LLMSettings
from pipecat.utils.types import NOT_GIVEN, NotGiven
from pydantic import BaseModel

if TYPE_CHECKING:
    from openai import NotGiven as OpenAINotGiven

ENCRYPTED_REASONING = "reasoning.encrypted_content"
"""The ``include`` entry that makes reasoning items fit to be sent back without storage."""

LOGPROBS = "message.output_text.logprobs"
"""The ``include`` entry without which ``top_logprobs`` has no effect."""

SESSION_KEYS = frozenset(
    {
        "background",
        "conversation",
        "generate",
        "input",
        "previous_response_id",
        "stream",
        "stream_id",
        "type",
    }
)
"""Request fields that belong to the session; ``extra`` may not set them."""

NO_FIELD = ("top_k", "frequency_penalty", "presence_penalty", "seed")
"""Settings that every Pipecat LLM service has and the Responses API has no field for."""

LOWEST_EFFORTS: Mapping[str, str] = {
    "gpt-5": "minimal",
    "gpt-5-mini": "minimal",
    "gpt-5-nano": "minimal",
    "gpt-5-pro": "high",
    "gpt-5.1": "none",
    "gpt-5.2": "none",
    "gpt-5.2-pro": "medium",
    "gpt-5.4": "none",
    "gpt-5.4-mini": "none",
    "gpt-5.4-nano": "none",
    "gpt-5.4-pro": "medium",
    "gpt-5.5": "none",
    "gpt-5.5-pro": "medium",
    "gpt-5.6-luna": "none",
    "gpt-5.6-sol": "none",
    "gpt-5.6-terra": "none",
    "gpt-6-astra": "low",
    "gpt-6-luna": "none",
    "gpt-6-sol": "none",
    "gpt-6.1-sol": "low",
    "o1": "low",
    "o1-pro": "low",
    "o3": "low",
    "o3-mini": "low",
    "o3-pro": "low",
    "o4-mini": "low",
}
"""The lowest reasoning effort that OpenAI documents for each model."""

_SNAPSHOT_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_O_SERIES = re.compile(r"o\d")
_GPT = re.compile(r"gpt-(\d+)")
_WITHOUT_SCHEMA = ("gpt-3.5", "gpt-4-", "gpt-4o-2024-05-13", "chatgpt-4o", "o1-mini", "o1-preview")


class OpenAIResponsesReasoningConfig(BaseModel):
    """How much a reasoning model thinks, and what it shows of it.

    A field that is None is not sent, so the model's own default applies. Any string is taken, so
    that a value which OpenAI adds later can be used at once.

    Parameters:
        effort: How hard the model thinks, from ``"none"`` (answers at once) to ``"max"``. Which of
            them a model takes is in OpenAI's model list.
        summary: Whether a readable summary of the thinking is wanted (``"auto"``, ``"concise"``,
            ``"detailed"``). It arrives in thought frames.
        mode: ``"standard"``, or the slower and more thorough ``"pro"``, where a model offers it.
    """

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | str | None = None
    summary: Literal["auto", "concise", "detailed"] | str | None = None
    mode: Literal["standard", "pro"] | str | None = None


@dataclass
class OpenAIResponsesLLMSettings(LLMSettings):
    """Settings of the OpenAI Responses services, changeable while a pipeline runs.

    Parameters:
        temperature: Sampling temperature.
        top_p: Nucleus sampling probability.
        max_completion_tokens: The most tokens a response may have, its reasoning included.
        reasoning: How a reasoning model is to think. If it is None, the model is asked for the
            least thinking it offers, which is what a conversation by voice needs; set
            ``use_provider_thinking_default`` to leave that to OpenAI.
        verbosity: How much the model says: ``"low"``, ``"medium"`` or ``"high"``.
        text_format: The form of its text, such as a JSON schema (``text.format`` of a request).
        service_tier: The processing tier; without it, the one given to the service's constructor.
        parallel_tool_calls: Whether the model may call several functions at once.
        max_tool_calls: The most uses of the server's own tools in a response.
        include: What answers are to carry besides. What this package needs is added to it.
        top_logprobs: For so many of the likeliest tokens at each place, how likely they are.
        truncation: ``"auto"`` lets the server leave out what no longer fits.
        compact_threshold: Tokens beyond which the server compacts the conversation.
        prompt_cache_key: Ties requests together that begin in the same way.
        prompt_cache_options: How prompts are cached.
        safety_identifier: Who the user is, in a form that names nobody.
        metadata: Up to 16 pairs of text that are kept with the response.
    """

    # The SDK's own sentinel is taken too, for code that passes it on.
    temperature: float | NotGiven | OpenAINotGiven | None = field(  # type: ignore[assignment]
        default_factory=lambda: NOT_GIVEN
    )
    top_p: float | NotGiven | OpenAINotGiven | None = field(  # type: ignore[assignment]
        default_factory=lambda: NOT_GIVEN
    )
    max_completion_tokens: int | NotGiven | OpenAINotGiven = field(
        default_factory=lambda: NOT_GIVEN
    )
    reasoning: OpenAIResponsesReasoningConfig | NotGiven | None = field(
        default_factory=lambda: NOT_GIVEN
    )
    # Beyond Pipecat's own. None takes a field back.
    verbosity: str | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    text_format: Mapping[str, Any] | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    service_tier: str | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    parallel_tool_calls: bool | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    max_tool_calls: int | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    include: Sequence[str] | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    top_logprobs: int | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    truncation: str | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    compact_threshold: int | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    prompt_cache_key: str | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    prompt_cache_options: Mapping[str, Any] | NotGiven | None = field(
        default_factory=lambda: NOT_GIVEN
    )
    safety_identifier: str | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)
    metadata: Mapping[str, str] | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)


UNDER_THEIR_NAMES = (
    "service_tier",
    "parallel_tool_calls",
    "max_tool_calls",
    "top_logprobs",
    "truncation",
    "prompt_cache_key",
    "prompt_cache_options",
    "safety_identifier",
    "metadata",
)
"""Settings that are a request's field of the same name."""

OURS = (*UNDER_THEIR_NAMES, "verbosity", "text_format", "include", "compact_threshold")
"""Settings that Pipecat's own service does not have."""

MERGED = (
    "context_management",
    "include",
    "metadata",
    "prompt_cache_options",
    "stream_options",
    "text",
    "tools",
)
"""Fields of which ``extra`` adds to what is there; it takes the place of any other."""


def default_settings() -> OpenAIResponsesLLMSettings:
    """The settings that a service starts from: every field has a value (store mode)."""
    from openai import NOT_GIVEN as OPENAI_NOT_GIVEN

    return OpenAIResponsesLLMSettings(
        model="gpt-4.1",
        system_instruction=None,
        temperature=OPENAI_NOT_GIVEN,
        max_tokens=None,
        top_p=OPENAI_NOT_GIVEN,
        top_k=None,
        frequency_penalty=None,
        presence_penalty=None,
        seed=None,
        filter_incomplete_user_turns=False,
        user_turn_completion_config=None,
        use_provider_thinking_default=False,
        max_completion_tokens=OPENAI_NOT_GIVEN,
        reasoning=None,
        extra={},
        **dict.fromkeys(OURS),
    )


@lru_cache
def lowest_effort(model: str) -> str | None:
    """The lowest reasoning effort a model takes, or None for a model that is not listed.

    Args:
        model: A model's name; a dated snapshot counts as the model it is of.
    """
    return LOWEST_EFFORTS.get(_SNAPSHOT_DATE.sub("", model.lower()))


@lru_cache
def supports_reasoning(model: str) -> bool | None:
    """Whether a model reasons: the o-series and the GPT series from 5 on, but for its chat models.

    Args:
        model: A model's name.

    Returns:
        True or False, or None for a model of a family that is not known.
    """
    name = model.lower()
    if _O_SERIES.match(name):
        return True
    generation = _GPT.match(name)
    if generation is None:
        return None
    return int(generation.group(1)) >= 5 and "chat" not in name


def supports_response_schema(model: str) -> bool:
    """Whether a model can be held to a JSON schema.

    Those from before ``gpt-4o-mini`` and ``gpt-4o-2024-08-06`` cannot.

    Args:
        model: A model's name.
    """
    name = model.lower()
    return name != "gpt-4" and not name.startswith(_WITHOUT_SCHEMA)


def request_values(
    settings: OpenAIResponsesLLMSettings,
    *,
    service_tier: str | None,
    warn: Callable[[str], None],
    model_family: str | None = None,
    of_conversation: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The fields of a request.

    Args:
        settings: The service's settings (store mode).
        service_tier: The service tier to ask for, or None for the account's default.
        warn: Called with a sentence for each setting that cannot have the effect it asks for; the
            same sentence comes with every request.
        model_family: The model behind the settings' name of it, if that is one's own.
        of_conversation: The fields that follow from the conversation, None without any.

    Returns:
        The fields, without those that have no value. ``extra`` is merged in last, and so has the
        last word on those of the conversation as well.
    """
    extra = {key: value for key, value in settings.extra.items() if key not in SESSION_KEYS}
    # To the API, null would be its default, which is to store.
    if extra.get("store", False) is None:
        del extra["store"]
    values: dict[str, Any] = dict(of_conversation or {})
    if _given(settings.model):
        values["model"] = settings.model
    values["store"] = False
    if _given(settings.temperature):
        values["temperature"] = settings.temperature
    if _given(settings.top_p):
        values["top_p"] = settings.top_p
    for limit in (settings.max_completion_tokens, settings.max_tokens):
        if _given(limit):
            values["max_output_tokens"] = limit
            break
    if service_tier is not None:
        values["service_tier"] = service_tier
    values.update(_more_values(settings))
    model = model_family or str(extra.get("model") or values.get("model") or "")
    values = merged(
        values, _reasoning_values(settings, model, in_extra=extra.get("reasoning") is not None)
    )
    values = merged(values, extra)
    _warn_without_effect(settings, model, values, warn)
    return values


def merged(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with others added to them.

    Args:
        values: The fields.
        others: What takes their place, or in the fields of ``MERGED`` is added to them; None
            takes a field away.
    """
    result = dict(values)
    for name, value in others.items():
        before = result.get(name)
        if value is None:
            result.pop(name, None)
        elif name not in MERGED or before is None:
            result[name] = value
        elif isinstance(before, list) and isinstance(value, (list, tuple)):
            result[name] = [*before, *(each for each in value if each not in before)]
        elif isinstance(before, Mapping) and isinstance(value, Mapping):
            result[name] = {**before, **value}
        else:
            result[name] = value
    return result


def _more_values(settings: OpenAIResponsesLLMSettings) -> dict[str, Any]:
    """The fields that follow from the settings which Pipecat's own service does not have."""
    given = {name: value for name in OURS if _given(value := getattr(settings, name))}
    values = {name: given[name] for name in UNDER_THEIR_NAMES if name in given}
    text = {"verbosity": given.get("verbosity"), "format": given.get("text_format")}
    if any(value is not None for value in text.values()):
        values["text"] = {name: value for name, value in text.items() if value is not None}
    include = list(given.get("include", ()))
    if given.get("top_logprobs") and LOGPROBS not in include:
        include.append(LOGPROBS)
    if include:
        values["include"] = include
    if "compact_threshold" in given:
        rule = {"type": "compaction", "compact_threshold": given["compact_threshold"]}
        values["context_management"] = [rule]
    return values


def _reasoning_values(
    settings: OpenAIResponsesLLMSettings, model: str, *, in_extra: bool
) -> dict[str, Any]:
    given = settings.reasoning
    asked: dict[str, Any] = {}
    if isinstance(given, BaseModel):
        asked = given.model_dump(exclude_none=True)
    elif isinstance(given, Mapping):
        asked = {key: value for key, value in given.items() if value is not None}
    if asked:
        return {"reasoning": asked, "include": [ENCRYPTED_REASONING]}
    if in_extra or (
        _given(settings.use_provider_thinking_default) and settings.use_provider_thinking_default
    ):
        return {}
    effort = lowest_effort(model)
    if effort is None:
        return {}
    if effort == "none":
        return {"reasoning": {"effort": effort}}
    return {"reasoning": {"effort": effort}, "include": [ENCRYPTED_REASONING]}


def _warn_without_effect(
    settings: OpenAIResponsesLLMSettings,
    model: str,
    values: Mapping[str, Any],
    warn: Callable[[str], None],
) -> None:
    for name in NO_FIELD:
        if _given(getattr(settings, name)):
            warn(
                f"The setting `{name}` is not sent, because the Responses API has no such field: "
                "remove it from the settings."
            )
    for name in settings.extra:
        if name in SESSION_KEYS:
            warn(
                f"`{name}` in the settings' `extra` is not sent, because the session sets it "
                "itself: remove it from `extra`."
            )
    if values.get("reasoning") and supports_reasoning(model) is False:
        warn(
            f"`reasoning` is set, but the model {model} does not reason, so OpenAI will refuse "
            "the requests: remove the setting, or choose a model that reasons (the o-series, or "
            "the GPT series from gpt-5 on)."
        )


def _given(value: Any) -> bool:
    return value is not None and not isinstance(value, _sentinels())


@cache
def _sentinels() -> tuple[type, ...]:
    """What stands for a value that is not given."""
    from openai import NotGiven as OpenAINotGiven
    from openai import Omit

    return (NotGiven, OpenAINotGiven, Omit)
