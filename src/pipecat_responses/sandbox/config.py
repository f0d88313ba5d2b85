"""What the sandbox lets people set, and what it knows about models."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pipecat_responses.sandbox.answers import Answer, ModelInput

_MODEL_NAMES = """
gpt-4o gpt-4o-2024-05-13 gpt-4o-2024-08-06 gpt-4o-2024-11-20
gpt-4o-mini gpt-4o-mini-2024-07-18
gpt-4.1 gpt-4.1-2025-04-14 gpt-4.1-mini gpt-4.1-mini-2025-04-14
gpt-4.1-nano gpt-4.1-nano-2025-04-14
gpt-5 gpt-5-2025-08-07 gpt-5-mini gpt-5-mini-2025-08-07 gpt-5-nano gpt-5-nano-2025-08-07
gpt-5-chat-latest gpt-5-pro gpt-5-pro-2025-10-06
gpt-5.1 gpt-5.1-2025-11-13 gpt-5.1-chat-latest
gpt-5.2 gpt-5.2-2025-12-11 gpt-5.2-chat-latest gpt-5.2-pro gpt-5.2-pro-2025-12-11
gpt-5.4 gpt-5.4-mini gpt-5.4-mini-2026-03-17 gpt-5.4-nano gpt-5.4-nano-2026-03-17
gpt-5.5 gpt-5.5-2026-04-23 gpt-5.5-pro gpt-5.5-pro-2026-04-23
gpt-5.6-luna gpt-5.6-sol gpt-5.6-terra
gpt-6-astra gpt-6-luna gpt-6-sol gpt-6.1-sol gpt-6.1-terra gpt-6.2-astra gpt-6.2-sol
o1 o1-2024-12-17 o3 o3-2025-04-16 o3-mini o3-mini-2025-01-31 o4-mini o4-mini-2025-04-16
"""
KNOWN_MODELS: frozenset[str] = frozenset(_MODEL_NAMES.split())
"""Names from the official SDK's model list that answer over the Responses API."""

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_SERIES = re.compile(r"gpt-(\d+)(?:\.(\d+))?")


def base_model(model: str) -> str:
    """The model a dated snapshot belongs to: ``gpt-5-2025-08-07`` gives ``gpt-5``."""
    return _SNAPSHOT.sub("", model)


def is_reasoning_model(model: str) -> bool:
    """Whether a model reasons: the o series, and gpt-5 onward except the chat variants."""
    if re.match(r"o\d", model):
        return True
    series = _SERIES.match(model)
    return series is not None and int(series[1]) >= 5 and "chat" not in model


def is_steerable_model(model: str) -> bool:
    """Whether ``response.steer`` works: the gpt-6 family (steering guide)."""
    return model.startswith("gpt-6")


def supported_efforts(model: str) -> tuple[str, ...]:
    """The reasoning efforts a reasoning model takes, lowest first (reasoning guide)."""
    name = base_model(model)
    if re.match(r"o\d", name):
        return ("low", "medium", "high")
    if name == "gpt-5-pro":
        return ("high",)
    if name.endswith("-pro"):
        return ("medium", "high", "xhigh")
    if name in ("gpt-5", "gpt-5-mini", "gpt-5-nano"):
        return ("minimal", "low", "medium", "high")
    if name == "gpt-5.1":
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


@dataclass
class SandboxConfig:
    """Everything about the sandbox that can be set; all of it may change while it runs.

    The defaults follow the documentation, and where nobody says how the real server behaves, the
    case that is worst for a client.

    Attributes:
        api_keys: Accepted bearer tokens; None accepts any that is not empty.
        models: Accepted model names; None accepts ``KNOWN_MODELS``.
        responder: Computes the answer to a request instead of the built-in rules; scripted
            answers come before it.
        time_to_first_token: Seconds from the start of a response to its first token.
        tokens_per_second: Pace of the tokens after that; None or infinity sends them at once.
        lanes: What becomes of ``stream_id``: ``supported``; ``rejected`` refuses it as an unknown
            parameter; ``ignored`` drops it, so that everything runs on the default lane.
        lane_advances_at: When a lane lets go of the response that it remembers: as soon as its
            next response has begun (``start``), or once that one has ended (``end``).
        cancel: What ``response.cancel`` does over a WebSocket, which no document defines:
            ``ignored``, ``rejected`` with an error event, or ``honoured``: the response ends as
            ``response.incomplete`` with the reason ``cancelled``.
        steering: Whether ``response.steer`` is known at all.
        generate_false: Whether ``generate`` is known.
        forks: ``fail`` refuses to continue from another lane's response.
        memory_after_failure: What a lane remembers after a response that failed, was incomplete
            or broke off: nothing (``forgets``), the response before it (``keeps_previous``), or
            what there is of it (``remembers_new``).
        max_in_flight: Responses that run at the same time on one connection; more are queued.
            Read when a connection opens.
        max_streams: Distinct lane names per connection, the default lane not counted.
        max_connection_age: Seconds a WebSocket lives. Its timer is set when a connection opens.
        max_body: Largest request in bytes. Read when a connection opens.
        usage_details: False leaves out the detail objects of ``usage``, as other servers do.
        obfuscation: Whether delta events carry the ``obfuscation`` padding of the real API.
        verify_encrypted_content: Whether encrypted reasoning that this sandbox did not issue is
            refused.
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
    generate_false: Literal["supported", "rejected"] = "supported"
    forks: Literal["supported", "fail"] = "supported"
    memory_after_failure: Literal["forgets", "keeps_previous", "remembers_new"] = "forgets"
    max_in_flight: int = 16
    max_streams: int = 32
    max_connection_age: float = 3600.0
    max_body: int = 32 * 1024 * 1024
    usage_details: bool = True
    obfuscation: bool = True
    verify_encrypted_content: bool = True
