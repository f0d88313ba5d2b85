"""Servers other than OpenAI's, as far as their documentation and the reports of users tell.

None of them has been tried. Each profile names its sources, and what in it is a guess: where nobody
says what a server does, it is the case that is worst for a client. Names of models are only
examples; ``deployments`` takes others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipecat_responses.sandbox.config import RequiredQuery, SandboxConfig


def _openai() -> SandboxConfig:
    """OpenAI: the defaults."""
    return SandboxConfig()


def _azure() -> SandboxConfig:
    """Azure OpenAI, its v1 API.

    Sources: https://learn.microsoft.com/azure/foundry/openai/how-to/websockets and
    ``.../how-to/responses`` (WebSocket mode; key as ``api-key`` or bearer; 60 minutes; models are
    deployments; no ``api-version``); https://github.com/compl-ai/compl-ai/issues/20 (the filter's
    refusal). Older endpoints want a dated ``api-version``:
    ``required_query=(RequiredQuery("api-version", 404, "Resource not found"),)``.

    Guesses: that ``stream_id`` and ``response.cancel`` are refused. The words for which the filter
    refuses are the sandbox's.
    """
    return SandboxConfig(
        any_model=True,
        deployments={"voice": "gpt-4.1", "voice-mini": "gpt-4.1-mini", "thinker": "gpt-5"},
        api_key_header=True,
        filtered_words=("trigger the content filter",),
        lanes="rejected",
        cancel="rejected",
    )


def _xai() -> SandboxConfig:
    """The API of xAI.

    Sources: https://docs.x.ai/developers/advanced-api-usage/websocket-mode (WebSocket mode);
    https://github.com/holon-run/holon/issues/2158 (``instructions`` refused beside
    ``previous_response_id``; over a WebSocket in an envelope without a type, as several clients'
    tests have it); https://github.com/vercel/ai/issues/10607 (searches as ``custom_tool_call``);
    https://reference.langchain.com/javascript/langchain-xai/XAIResponsesCreateParams
    (``service_tier`` has no effect).

    Guesses: that ``stream_id`` is dropped, and that ``generate`` and ``response.cancel`` are
    refused. Tools of xAI's own, such as ``x_search``, are not known here.
    """
    return SandboxConfig(
        dialect="xai",
        any_model=True,
        deployments={"grok-4": "o4-mini"},
        model_limits="ignored",
        instructions_when_continuing="rejected",
        searches_as_custom_calls=True,
        dropped_fields=("service_tier",),
        lanes="ignored",
        generate_false="rejected",
        cancel="rejected",
        obfuscation=False,
    )


def _openrouter() -> SandboxConfig:
    """OpenRouter.

    Sources: https://openrouter.ai/docs/api_reference/responses/error-handling (stateless: a true
    ``store`` and any ``previous_response_id`` get a 400);
    https://github.com/BerriAI/litellm/issues/30851 (the words of the refusal);
    https://openrouter.ai/docs/api_reference/streaming (comments to keep connections alive).

    Guesses: that a WebSocket's handshake gets a 404, and how often comments come.
    """
    return SandboxConfig(
        dialect="openrouter",
        websocket_status=404,
        any_model=True,
        deployments={"openai/gpt-4.1": "gpt-4.1", "openai/gpt-5": "gpt-5"},
        model_limits="ignored",
        storage="rejected",
        refused_fields=("previous_response_id",),
        keepalive="comments",
        keepalive_secs=1.0,
        obfuscation=False,
    )


def _litellm() -> SandboxConfig:
    """The proxy of LiteLLM, in front of models that it translates for.

    Sources: ``litellm/proxy/response_api_endpoints/endpoints.py`` of
    https://github.com/BerriAI/litellm (the handshake needs ``?model=``; FastAPI answers one without
    it by a bare 403); https://github.com/BerriAI/litellm/pull/24959 (``generate: false`` does not
    prepare); its issues (the words of errors).

    Guesses: that ``stream_id`` is dropped, and that ``generate`` and ``response.cancel`` are
    refused. In front of OpenAI it may pass on more.
    """
    return SandboxConfig(
        dialect="litellm",
        any_model=True,
        required_query=(RequiredQuery("model", 403, None, "websocket"),),
        lanes="ignored",
        generate_false="rejected",
        cancel="rejected",
        obfuscation=False,
    )


def _vllm() -> SandboxConfig:
    """A server of vLLM.

    Sources: ``vllm/entrypoints/openai/responses`` of https://github.com/vllm-project/vllm
    (``store`` is ignored unless it was switched on; fields that are unknown are, too; entries of
    ``include`` are checked; reasoning is ``reasoning_text``). Starlette answers a WebSocket that it
    has no route for by a 403.

    Guesses: usage without details, which newer versions have; encrypted reasoning is taken in
    ``include`` and not given. The body of a 422 is that of FastAPI, where vLLM may write its own.
    """
    return SandboxConfig(
        dialect="validator",
        websocket_status=403,
        any_model=True,
        deployments={"openai/gpt-oss-20b": "o4-mini"},
        model_limits="ignored",
        storage="ignored",
        refused_fields=(
            "include.web_search_call.results",
            "include.web_search_call.action.sources",
        ),
        dropped_fields=("prompt_cache_key", "prompt_cache_options", "safety_identifier"),
        encrypted_reasoning="ignored",
        reasoning_text=True,
        usage_details=False,
        obfuscation=False,
    )


def _ollama() -> SandboxConfig:
    """Ollama.

    Sources: https://docs.ollama.com/api/openai-compatibility (stateless);
    ``openai/responses.go`` of https://github.com/ollama/ollama (which fields there are: others are
    dropped, ``previous_response_id`` and ``tool_choice`` among them; ``include`` is ignored).

    Guesses: that a WebSocket's handshake gets a 404. It gives its thoughts as they are in
    ``encrypted_content``, which the sandbox does not.
    """
    return SandboxConfig(
        dialect="words",
        websocket_status=404,
        any_model=True,
        deployments={"gpt-oss:20b": "o4-mini"},
        model_limits="ignored",
        storage="ignored",
        dropped_fields=(
            "include",
            "max_tool_calls",
            "metadata",
            "parallel_tool_calls",
            "previous_response_id",
            "prompt_cache_key",
            "prompt_cache_options",
            "safety_identifier",
            "service_tier",
            "text.verbosity",
            "tool_choice",
            "top_logprobs",
            "user",
        ),
        encrypted_reasoning="ignored",
        obfuscation=False,
    )


def _lmstudio() -> SandboxConfig:
    """LM Studio.

    Sources: https://lmstudio.ai/blog/lmstudio-v0.3.29 (``previous_response_id`` of what it has
    stored); https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/1576 (the form of errors)
    and ``.../1188`` (``reasoning_text``, and the code ``previous_response_not_found``). Users
    report that it answers what it does not know by 200, with an error in the body.

    Guesses: that a WebSocket's handshake is answered like that, and that
    ``reasoning.encrypted_content`` is taken and not given. It refuses a ``text`` without
    ``format``, which the sandbox does not.
    """
    return SandboxConfig(
        websocket_status=200,
        any_model=True,
        deployments={"openai/gpt-oss-20b": "o4-mini"},
        model_limits="ignored",
        encrypted_reasoning="ignored",
        reasoning_text=True,
        obfuscation=False,
    )


_MAKERS: Mapping[str, Callable[[], SandboxConfig]] = {
    "openai": _openai,
    "azure": _azure,
    "xai": _xai,
    "openrouter": _openrouter,
    "litellm": _litellm,
    "vllm": _vllm,
    "ollama": _ollama,
    "lmstudio": _lmstudio,
}

PROFILES: tuple[str, ...] = tuple(_MAKERS)
"""The servers that ``SandboxConfig.profile`` knows."""


def make_profile(name: str) -> SandboxConfig:
    """A fresh configuration for one of ``PROFILES``.

    Raises:
        ValueError: When there is no such profile.
    """
    if name not in _MAKERS:
        raise ValueError(f"There is no profile {name!r}; there are {', '.join(PROFILES)}")
    return _MAKERS[name]()
