"""What the sandbox lets people set, and what it knows about models."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

from pipecat_responses.sandbox.answers import Answer, ModelInput

Dialect: TypeAlias = Literal[
    "openai", "words", "validator", "detail", "xai", "openrouter", "litellm"
]
"""How a server words that it does not take something; see ``dialects``."""
Kept: TypeAlias = Literal["forgets", "keeps_previous", "remembers_new"]
"""What a lane remembers after a response that was not completed."""

_MODEL_NAMES = """
gpt-4 gpt-4-turbo gpt-4-turbo-2024-04-09 gpt-3.5-turbo
gpt-4o gpt-4o-2024-05-13 gpt-4o-2024-08-06 gpt-4o-2024-11-20 chatgpt-4o-latest
gpt-4o-mini gpt-4o-mini-2024-07-18
gpt-4.1 gpt-4.1-2025-04-14 gpt-4.1-mini gpt-4.1-mini-2025-04-14
gpt-4.1-nano gpt-4.1-nano-2025-04-14
gpt-5 gpt-5-2025-08-07 gpt-5-mini gpt-5-mini-2025-08-07 gpt-5-nano gpt-5-nano-2025-08-07
gpt-5-chat-latest gpt-5-codex gpt-5-pro gpt-5-pro-2025-10-06
gpt-5.1 gpt-5.1-2025-11-13 gpt-5.1-chat-latest gpt-5.1-mini
gpt-5.1-codex gpt-5.1-codex-mini gpt-5.1-codex-max
gpt-5.2 gpt-5.2-2025-12-11 gpt-5.2-chat-latest gpt-5.2-codex
gpt-5.2-pro gpt-5.2-pro-2025-12-11
gpt-5.3-chat-latest gpt-5.3-codex
gpt-5.4 gpt-5.4-mini gpt-5.4-mini-2026-03-17 gpt-5.4-nano gpt-5.4-nano-2026-03-17
gpt-5.5 gpt-5.5-2026-04-23 gpt-5.5-pro gpt-5.5-pro-2026-04-23
gpt-5.6 gpt-5.6-luna gpt-5.6-sol gpt-5.6-terra gpt-5.6-cyber
gpt-6-astra gpt-6-luna gpt-6-sol gpt-6-cyber gpt-6-rosalind
gpt-6.1-sol gpt-6.1-terra gpt-6.2-astra gpt-6.2-sol gpt-6.2-astra-law
o1 o1-2024-12-17 o1-pro o1-pro-2025-03-19 o3 o3-2025-04-16 o3-mini o3-mini-2025-01-31
o3-pro o3-pro-2025-06-10 o3-deep-research o3-deep-research-2025-06-26
o4-mini o4-mini-2025-04-16 o4-mini-deep-research o4-mini-deep-research-2025-06-26
codex-mini-latest
"""
KNOWN_MODELS: frozenset[str] = frozenset(_MODEL_NAMES.split())
"""Models that answer over the Responses API; dated snapshots of them are accepted as well."""

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_SERIES = re.compile(r"gpt-(\d+)(?:\.(\d+))?")


def base_model(model: str) -> str:
    """The model a dated snapshot belongs to: ``gpt-5-2025-08-07`` gives ``gpt-5``."""
    return _SNAPSHOT.sub("", model)


def is_reasoning_model(model: str) -> bool:
    """Whether a model reasons: the o series, and gpt-5 onward except the chat variants."""
    if re.match(r"o\d|codex-mini", model):
        return True
    series = _SERIES.match(model)
    return series is not None and int(series[1]) >= 5 and "chat" not in model


def is_steerable_model(model: str) -> bool:
    """Whether ``response.steer`` works: the gpt-6 family (steering guide)."""
    return model.startswith("gpt-6")


def takes_configuration_updates(model: str) -> bool:
    """Whether an item among the input may change the effort: the gpt-6 family."""
    return model.startswith("gpt-6")


def caches_at_breakpoints(model: str) -> bool:
    """Whether a prompt is cached at breakpoints, from gpt-5.6 on, and not in steps."""
    series = _SERIES.match(model)
    return series is not None and (int(series[1]), int(series[2] or 0)) >= (5, 6)


def supported_efforts(model: str) -> tuple[str, ...]:
    """The reasoning efforts a reasoning model takes, lowest first (reasoning guide)."""
    name = base_model(model)
    if re.match(r"o\d|codex-mini|gpt-5(\.1)?-codex(-mini)?$", name):
        return ("low", "medium", "high")
    if "-codex" in name:
        return ("low", "medium", "high", "xhigh")
    if name == "gpt-5-pro":
        return ("high",)
    if name.endswith("-pro"):
        return ("medium", "high", "xhigh")
    if name in ("gpt-5", "gpt-5-mini", "gpt-5-nano"):
        return ("minimal", "low", "medium", "high")
    if name in ("gpt-5.1", "gpt-5.1-mini"):
        return ("none", "low", "medium", "high")
    if name in ("gpt-6-astra", "gpt-6.1-sol"):
        return ("low", "medium", "high", "xhigh", "max")
    if name.startswith("gpt-5.6") or is_steerable_model(name):
        return ("none", "low", "medium", "high", "xhigh", "max")
    return ("none", "low", "medium", "high", "xhigh")


def default_effort(model: str) -> str:
    """The effort of a reasoning model that was asked for none in particular."""
    efforts = supported_efforts(model)
    if efforts[0] == "none":
        return "none"
    return "medium" if "medium" in efforts else efforts[0]


@dataclass(frozen=True, slots=True)
class RequiredQuery:
    """A query parameter without which the server does not answer.

    Attributes:
        name: The parameter.
        status: The HTTP status of the refusal.
        message: What it says; None for no body at all.
        transport: Only for this transport, the WebSocket's handshake or HTTP; None for both.
    """

    name: str
    status: int = 400
    message: str | None = "Missing required query parameter"
    transport: Literal["websocket", "http"] | None = None


@dataclass
class SandboxConfig:
    """Everything about the sandbox that can be set; all of it may change while it runs.

    The defaults follow the documentation, and where nobody says how the real server behaves, the
    case that is worst for a client. Other servers differ in what the switches from ``dialect`` on
    say; ``profile`` has them as some servers are.

    Attributes:
        api_keys: Accepted bearer tokens; None accepts any that is not empty.
        models: Accepted model names; None accepts ``KNOWN_MODELS`` and their dated snapshots.
        responder: Computes the answer to a request instead of the built-in rules; scripted
            answers come before it.
        time_to_first_token: Seconds from the start of a response to its first token.
        tokens_per_second: Pace of the tokens after that; None, 0 or infinity sends them at once.
        lanes: What becomes of ``stream_id``: ``supported``; ``rejected`` refuses it as an unknown
            parameter; ``ignored`` drops it, so that everything runs on the default lane.
        lane_advances_at: When a lane lets go of the response that it remembers: as soon as its
            next response has begun (``start``), or once that one has ended (``end``).
        cancel: What ``response.cancel`` does over a WebSocket, which no document defines:
            ``ignored``, ``rejected`` with an error event, or ``honoured``: the response ends as
            ``response.incomplete`` with the reason ``cancelled``.
        steering: Whether ``response.steer`` is known at all.
        sse_errors: How an error in the middle of a stream over HTTP looks: as in streams that were
            recorded in 2026, nested and followed by ``response.failed`` (``recorded``), or as the
            API reference has it (``flat``).
        generate_false: What becomes of ``generate: false`` over a WebSocket: ``supported``, also
            without any item, as clients in the field send it; ``with_input`` wants an item, as
            every other request; ``rejected`` does not know the field.
        forks: ``fail`` refuses to continue from another lane's response.
        memory_after_failure: What a lane remembers after a response that failed, was incomplete
            or broke off: nothing (``forgets``), the response before it (``keeps_previous``), or
            what there is of it (``remembers_new``).
        memory_after_cancel: The same after a response that was cancelled; None for what
            ``memory_after_failure`` says.
        lane_memory: Whether a connection remembers its lanes' latest responses; without that, only
            stored responses can be continued.
        max_in_flight: Responses that run at the same time on one connection; more are queued.
            Read when a connection opens.
        max_streams: Distinct lane names per connection, the default lane not counted.
        max_connection_age: Seconds a WebSocket lives. Its timer is set when a connection opens.
        max_recorded: Requests, handshakes and other messages that are kept, each; older ones are
            dropped.
        max_recorded_bytes: Bytes of all requests that are kept, of all other messages and of the
            headers of handshakes, all sessions together.
        max_body: Largest request in bytes. Read when a connection opens.
        max_message: The same for a message of a WebSocket, if it is less.
        names_parents: Whether a response names the one that it continues from, as the API's type
            has it; some servers have null there always.
        usage_details: False leaves out the detail objects of ``usage``, as other servers do.
        cache_minimum_tokens: A shorter prefix of a prompt is not cached.
        cache_step_tokens: A cached prefix counts in multiples of so many tokens.
        cache_matching: Where a cached prefix may end: in steps of tokens (``steps``), or only where
            a request had a breakpoint (``breakpoints``), which is after its newest item or where a
            part says so; ``by_model`` has breakpoints from gpt-5.6 on, and steps before.
        obfuscation: Whether delta events carry the ``obfuscation`` padding of the real API.
        verify_encrypted_content: Whether encrypted reasoning that this sandbox did not issue is
            refused.
        dialect: How refusals of the fields below are worded: as OpenAI does (``openai``); the same
            without ``code`` and ``param`` (``words``); as pydantic and FastAPI do, with status 422
            (``validator``); as one sentence under ``detail``; or as ``xai``, ``openrouter`` and
            ``litellm`` do.
        websocket_status: The HTTP status with which WebSockets are refused; None accepts them. 200
            is a server that takes the handshake for a request that it does not know.
        refused_fields: Fields that are refused as unknown, as dotted paths: ``prompt_cache_key``,
            ``text.verbosity``, ``tools.strict`` for that of any tool, and
            ``include.message.output_text.logprobs`` for an entry of a list.
        dropped_fields: Fields that are dropped without a word, written in the same way.
        storage: What becomes of ``store: true``: ``supported``; ``rejected`` refuses it;
            ``ignored`` takes it and stores nothing. Except for ``supported``, nothing is stored by
            default either.
        instructions_when_continuing: Whether ``instructions`` may stand beside
            ``previous_response_id``.
        encrypted_reasoning: What becomes of ``reasoning.encrypted_content`` in ``include``:
            ``supported``; ``rejected`` refuses it; ``ignored`` gives none. Except for
            ``supported``, reasoning may be sent back without it.
        reasoning_text: Whether reasoning is shown as text in its item's content, as open models
            do, instead of as a summary.
        searches_as_custom_calls: Whether a ``web_search_call`` is given as ``custom_tool_call`` of
            a tool that the request did not declare.
        keepalive: What is sent while a response has nothing to say: ``none``; ``comments`` among
            server-sent events; ``events`` of the type ``keepalive``, on both transports.
        keepalive_secs: Seconds of silence before each of them.
        time_to_created: Seconds from a request's acceptance to ``response.created``; the first
            token comes as much later.
        nulls: What becomes of a null where the SDK's type has none, such as ``text`` or a call's
            ``status``: ``refused``, or ``taken`` for a field that is not there.
        any_model: Whether any model name is accepted.
        deployments: Names that are accepted besides, and the known models behind them.
        model_limits: Whether what a model does not take (reasoning of one that does not reason,
            ``temperature`` of one that does) is refused (``enforced``) or not looked at.
        api_key_header: Whether the key may come in the header ``api-key`` as well.
        required_query: Query parameters that have to be there.
        filtered_words: Words for which a filter refuses a request, if the newest user message has
            one of them.
        max_stored: Responses that are stored at the same time, and as many conversations and files;
            beyond that the oldest are dropped.
        max_stored_events: Events of background responses that are kept to be streamed again; beyond
            that those of the oldest responses are dropped.
        max_stored_bytes: Bytes of all files, and of the requests whose responses are stored, all
            sessions together; beyond that the oldest of the session that has most are dropped.
        replay_secs: Seconds during which a background response can be streamed again (five minutes
            by the words of the API's own refusal).
        cancel_finished: What becomes of the cancelling of a background response that has ended
            otherwise: ``returned`` answers with the response, as OpenAI's guide to background mode
            has it for a second cancelling; ``rejected`` refuses it, as Azure's hosting library
            does.
        cancelled_stream: How the events of a background response end that is cancelled, for which
            there is no event: they just end (``ends``), or with ``response.incomplete``
            (``incomplete``). A guess.
        listed_input: Which input items of a response are listed: all that the model saw (``all``),
            or without those that it continued from (``own``). No document says.
        seed: Which values the built-in answers take where there is a choice, such as those of a
            structured output: the same seed, the same values. 0 takes the plainest.
        persona: Whether the built-in answers are those of somebody to talk to, written for the ear:
            counts, calculates, tells the time and stories, says that it looks something up.
        hosted_seconds: How long a tool runs that the server runs by itself, such as a search on the
            web; a scripted ``HostedCall`` may say so itself.
    """

    api_keys: set[str] | None = None
    models: set[str] | None = None
    responder: Callable[[ModelInput], Answer | str] | None = None
    time_to_first_token: float = 0.0
    tokens_per_second: float | None = None
    lanes: Literal["supported", "rejected", "ignored"] = "supported"
    lane_advances_at: Literal["start", "end"] = "start"
    cancel: Literal["ignored", "rejected", "honoured"] = "ignored"
    steering: bool = True
    sse_errors: Literal["recorded", "flat"] = "recorded"
    generate_false: Literal["supported", "with_input", "rejected"] = "supported"
    forks: Literal["supported", "fail"] = "supported"
    memory_after_failure: Kept = "forgets"
    memory_after_cancel: Kept | None = None
    lane_memory: bool = True
    max_in_flight: int = 16
    max_streams: int = 32
    max_connection_age: float = 3600.0
    max_recorded: int = 10_000
    max_recorded_bytes: int = 256 * 1024 * 1024
    max_body: int = 32 * 1024 * 1024
    max_message: int = 16 * 1024 * 1024
    names_parents: bool = True
    usage_details: bool = True
    cache_minimum_tokens: int = 1024
    cache_step_tokens: int = 128
    cache_matching: Literal["by_model", "steps", "breakpoints"] = "by_model"
    obfuscation: bool = True
    verify_encrypted_content: bool = True
    dialect: Dialect = "openai"
    websocket_status: int | None = None
    refused_fields: tuple[str, ...] = ()
    dropped_fields: tuple[str, ...] = ()
    storage: Literal["supported", "rejected", "ignored"] = "supported"
    instructions_when_continuing: Literal["supported", "rejected"] = "supported"
    encrypted_reasoning: Literal["supported", "rejected", "ignored"] = "supported"
    reasoning_text: bool = False
    searches_as_custom_calls: bool = False
    keepalive: Literal["none", "comments", "events"] = "none"
    keepalive_secs: float = 15.0
    time_to_created: float = 0.0
    nulls: Literal["refused", "taken"] = "refused"
    any_model: bool = False
    deployments: dict[str, str] = field(default_factory=dict)
    model_limits: Literal["enforced", "ignored"] = "enforced"
    api_key_header: bool = False
    required_query: tuple[RequiredQuery, ...] = ()
    filtered_words: tuple[str, ...] = ()
    max_stored: int = 1000
    max_stored_events: int = 100_000
    max_stored_bytes: int = 64 * 1024 * 1024
    replay_secs: float = 300.0
    cancel_finished: Literal["returned", "rejected"] = "returned"
    cancelled_stream: Literal["ends", "incomplete"] = "ends"
    listed_input: Literal["all", "own"] = "all"
    seed: int = 0
    persona: bool = False
    hosted_seconds: float = 0.0

    @classmethod
    def profile(cls, name: str) -> SandboxConfig:
        """How another server behaves, as far as its documentation and its users tell.

        Args:
            name: One of ``PROFILES``.

        Returns:
            A fresh configuration.

        Raises:
            ValueError: When there is no such profile.
        """
        from pipecat_responses.sandbox.profiles import make_profile

        return make_profile(name)

    @classmethod
    def from_capabilities(cls, source: str | os.PathLike[str] | Mapping[str, Any]) -> SandboxConfig:
        """A server as a capabilities file says that it is.

        Args:
            source: The file that ``pipecat-responses doctor --write`` has made, or what it says.

        Returns:
            A fresh configuration. What the file does not tell is as the defaults have it.

        Raises:
            ValueError: When it is no such file.
        """
        from pipecat_responses.sandbox.capabilities import config_of

        return config_of(source)

    def accepts_model(self, name: str) -> bool:
        """Whether there is a model of that name."""
        known = KNOWN_MODELS if self.models is None else self.models
        named = name in known or name in self.deployments
        return self.any_model or named or (self.models is None and base_model(name) in known)

    def model_names(self) -> list[str]:
        """The names of the models that there are to choose from."""
        known = KNOWN_MODELS if self.models is None else self.models
        return sorted({*known, *self.deployments})

    def family(self, name: str) -> str:
        """The model that decides what a model of that name can do."""
        return self.deployments.get(name, name)


def copied(config: SandboxConfig) -> SandboxConfig:
    """A configuration that can be changed without changing the original."""
    containers = (set, dict, list)
    own: dict[str, Any] = {
        item.name: value.copy()
        for item in fields(config)
        if isinstance(value := getattr(config, item.name), containers)
    }
    return replace(config, **own)
