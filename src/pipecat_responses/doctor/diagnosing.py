"""All checks, and what comes of them."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

from pipecat_responses.doctor import (
    endings,
    fields,
    lanes,
    network,
    over_http,
    over_websocket,
)
from pipecat_responses.doctor.checks import Check, run_checks
from pipecat_responses.doctor.findings import CheckResult, Diagnosis, Verdict
from pipecat_responses.doctor.server import Server

CAPABILITIES = (
    "websocket",
    "lanes",
    "forks",
    "warm_up",
    "cancel",
    "cancel_stops",
    "continuation",
    "instructions_when_continuing",
    "stored_continuation",
    "encrypted_reasoning",
    "remembers_incomplete",
    "remembers_interrupted",
    "steering",
)
"""What a capabilities file says yes or no to."""

_ANSWER = "WebSocket answer"

_EITHER = ("HTTP", _ANSWER)

CHECKS = (
    Check("proxy", network.proxy),
    Check("name", network.name, needs=("proxy",)),
    Check("TCP", network.tcp, needs=("name",)),
    Check("TLS", network.tls, needs=("TCP",)),
    Check("key", over_http.key, needs=("TLS",)),
    Check("model", over_http.model, needs=("key",)),
    Check("HTTP", over_http.http, needs=("model",)),
    Check("WebSocket", over_websocket.upgrade, needs=("TLS",)),
    Check(_ANSWER, over_websocket.answer, needs=("WebSocket", "model")),
    Check("continuation", over_websocket.continuation, needs=(_ANSWER,)),
    Check("instructions", over_websocket.instructions, needs=("continuation",)),
    Check("generate: false", over_websocket.warm_up, needs=("continuation",)),
    Check("lanes", lanes.lanes, needs=(_ANSWER,)),
    Check("forks", lanes.forks, needs=("lanes", "continuation")),
    Check("cancel", endings.cancel, needs=(_ANSWER,)),
    Check("memory, cancelled", endings.interrupted, needs=("cancel", "continuation")),
    Check("steering", endings.steering, needs=(_ANSWER,)),
    Check("memory, incomplete", endings.incomplete, needs=("continuation",)),
    Check("rotation", over_websocket.rotation, needs=(_ANSWER,)),
    Check("optional fields", fields.optional_fields, one_of=_EITHER),
    Check("encrypted reasoning", fields.encrypted_reasoning, one_of=_EITHER),
)
"""What is found out of every server."""

STORED = Check("store: true", fields.stored, one_of=_EITHER)
"""What is found out only where it is asked for: it stores something on the server."""


async def diagnose(
    base_url: str,
    api_key: str | None,
    *,
    model: str = "gpt-4.1",
    ws_url: str | None = None,
    stored: bool = False,
    timeout_secs: float = 10.0,
    ssl_context: ssl.SSLContext | None = None,
    on_result: Callable[[CheckResult], None] = lambda _: None,
) -> Diagnosis:
    """Finds out whether a call can be held with a server, and what the server can do.

    It takes seconds and some hundreds of tokens. Nothing is stored on the server unless that is
    asked for.

    Args:
        base_url: The API's address, such as ``https://api.openai.com/v1``; a query in it is sent
            with every request.
        api_key: The key, or None for a server that wants none.
        model: The model to ask.
        ws_url: The WebSocket's address; by default it follows the base URL.
        stored: Whether to find out about ``store: true`` as well.
        timeout_secs: Seconds that each step may take.
        ssl_context: TLS of your own: a private authority, a client's certificate.
        on_result: Is called with each result, in the order of the checks.

    Returns:
        What was found.

    Raises:
        ValueError: If an address or the key cannot be used.
    """
    server = Server(base_url, ws_url, api_key, model, within=timeout_secs, ssl_context=ssl_context)
    began = time.monotonic()
    try:
        checks = (*CHECKS, STORED) if stored else CHECKS
        results = await run_checks(checks, server, on_result)
    finally:
        await server.close()
    usable = any(each.name in _EITHER and each.verdict is Verdict.OK for each in results)
    return Diagnosis(
        address=server.address,
        model=model,
        checks=results,
        capabilities=_capabilities(results, server),
        usable=usable,
        tokens=server.tokens,
        seconds=time.monotonic() - began,
    )


def _capabilities(results: Iterable[CheckResult], server: Server) -> dict[str, Any]:
    """What the results say, in the form of a capabilities file."""
    known: dict[str, bool | None] = dict.fromkeys(CAPABILITIES)
    why: dict[str, str] = {}
    tried_fields = False
    for each in results:
        known |= each.learned
        why |= dict.fromkeys(each.learned, each.seen)
        tried_fields = tried_fields or (
            each.name == "optional fields" and each.verdict in (Verdict.OK, Verdict.NO)
        )
    refused = sorted(server.refused) if tried_fields or server.refused else None
    why |= {name: server.mask(server.refused[name]) for name in refused or ()}
    return {
        "format": 1,
        "address": server.address,
        "model": server.model,
        **known,
        "refused_fields": refused,
        "why": why,
    }
