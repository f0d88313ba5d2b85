"""What the sandbox saw, for tests to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipecat_responses.sandbox.redaction import key_of_protocols
from pipecat_responses.sandbox.transcript import Item, Transcript


@dataclass
class RecordedRequest:
    """One request for a response.

    Attributes:
        transport: ``websocket`` or ``http``.
        body: The request as sent; over a WebSocket without ``type``.
        size: Bytes of the JSON on the wire.
        connection: Index of the WebSocket among all that were opened; -1 over HTTP.
        headers: The headers of the HTTP request, or of the WebSocket's handshake, with lower-case
            names and the key redacted.
        received_at: When it arrived, in seconds of ``time.monotonic``.
        response_id: The response's id; None for a request that was refused.
        outcome: ``completed``, ``incomplete``, ``failed``, ``cancelled``, ``error:<code>``,
            ``refused:<code>``, ``dropped`` when the connection ended first, ``fault:<kind>`` when
            a fault ended it; None while it is queued or running.
        usage: What is billed for it, as a response's ``usage`` has it, also where nobody waited for
            its end: what was generated until then. None while it runs, and for a refused request.
        transcript: The items the model sees; None for a refused request.
        output: The items of the response, once it has ended.
    """

    transport: str
    body: dict[str, Any]
    size: int
    connection: int
    headers: Mapping[str, str] = field(repr=False)
    received_at: float
    response_id: str | None = None
    outcome: str | None = None
    usage: dict[str, Any] | None = None
    transcript: Transcript | None = field(default=None, repr=False)
    output: list[Item] = field(default_factory=list, repr=False)

    @property
    def stream_id(self) -> str | None:
        """The lane as sent."""
        return self.body.get("stream_id")

    @property
    def previous_response_id(self) -> str | None:
        """The parent as sent."""
        return self.body.get("previous_response_id")

    @property
    def incremental(self) -> bool:
        """Whether it continued from a response instead of sending everything."""
        return self.previous_response_id is not None

    @property
    def generate(self) -> bool:
        """Whether output was asked for."""
        return self.body.get("generate") is not False

    @property
    def input(self) -> list[Item]:
        """The items as sent; a string becomes one user message."""
        value = self.body.get("input")
        if isinstance(value, str):
            return [{"type": "message", "role": "user", "content": value}]
        return list(value) if isinstance(value, list) else []

    @property
    def history(self) -> list[Item]:
        """Every item the model sees: the parent's, its output, and this input."""
        return self.transcript.items() if self.transcript is not None else []


@dataclass(frozen=True)
class RecordedHandshake:
    """One attempt to open a WebSocket.

    Attributes:
        headers: Headers with lower-case names; the key is redacted to its last four characters.
        query: The query parameters.
        key_ok: Whether the API key was accepted.
        connection: Index among the WebSockets that were opened; None when refused.
    """

    headers: Mapping[str, str]
    query: Mapping[str, str]
    key_ok: bool
    connection: int | None


_LONG = 7
"""Of a shorter key, the last characters would tell too much."""


def redact(headers: Mapping[str, str]) -> dict[str, str]:
    """Copies headers with lower-case names, leaving only the last four characters of keys."""
    safe = {name.lower(): value for name, value in headers.items()}
    for name in ("authorization", "api-key"):
        if name in safe:
            scheme, _, key = safe[name].rpartition(" ")
            safe[name] = f"{scheme} {masked(key)}".strip()
    protocols = safe.get("sec-websocket-protocol", "")
    if key := key_of_protocols(protocols):
        safe["sec-websocket-protocol"] = protocols.replace(key, masked(key))
    return safe


def masked(key: str) -> str:
    """A key of which no more can be read than tells it from others."""
    return f"***{key[-4:]}" if len(key) >= _LONG else "***"
