"""What a session has done, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pipecat_responses.protocol.events import Usage
from pipecat_responses.protocol.planning import FullReason
from pipecat_responses.session.timing import Cause, FailedAttempt, TurnTimes
from pipecat_responses.session.turn_events import TurnDone


@dataclass(frozen=True, slots=True)
class ResponseReport:
    """What a server has said of a response, beside what the response says.

    Attributes:
        response_id: Its id.
        model: The model that answered.
        status: ``"completed"`` or ``"incomplete"``.
        reason: Why it is incomplete, or None.
        usage: Its tokens.
        service_tier: The tier that it was granted.
        moderation: What moderation has found in what went in and came out, as the API gives it
            (``input``, ``output``).
        cache_diagnostics: Why the prompt cache was hit or missed, as the API gives it (``type``,
            ``reason``, ...), if the setting ``prompt_cache_options`` asks for it.
        logprobs: The tokens of its text with their log probabilities, if ``top_logprobs`` or
            ``include`` ask for them.
    """

    response_id: str | None
    model: str | None
    status: str
    reason: str | None = None
    usage: Usage | None = None
    service_tier: str | None = None
    moderation: Mapping[str, Any] | None = None
    cache_diagnostics: Mapping[str, Any] | None = None
    logprobs: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def of(cls, done: TurnDone) -> ResponseReport:
        """The report of a response that has ended."""
        details = done.details
        tier = details.get("service_tier")
        moderation = details.get("moderation")
        diagnostics = details.get("prompt_cache_diagnostics")
        return cls(
            done.response_id,
            done.model,
            done.status.value,
            done.reason,
            done.usage,
            tier if isinstance(tier, str) else None,
            moderation if isinstance(moderation, Mapping) else None,
            diagnostics if isinstance(diagnostics, Mapping) else None,
            done.logprobs,
        )


Outcome: TypeAlias = Literal["answered", "failed", "interrupted"]
"""How a turn ended."""


@dataclass(frozen=True, slots=True)
class TurnReport:
    """How a turn's latest request went out, and what came of the turn.

    Attributes:
        transport: ``"websocket"`` or ``"http"``.
        incremental: Whether it carried only what was new.
        full_reason: Why it carried everything, or None.
        items: Items sent.
        size: Bytes sent.
        fork: Whether it continued another lane's response.
        changed_at: Index of the context's first message that differs from what the model has
            seen, if that is why it carried everything.
        messages: Messages in the context.
        prepared: Whether it continued from a checkpoint that was laid for it, because the answers
            before it could not be continued from: an anchor, or a warm-up.
        hedged: Whether the request went out once more since its answer was late, and then whether
            that came first: ``"won"``, or ``"lost"`` where it did not.
        hedge_usage: The tokens of the one that came to nothing, if the server has said so by the
            end of the turn; ``SessionStats.abandoned_tokens`` counts them later, too.
        endpoint: Whether the second server of the hedge policy is the one that answers.
        previous_response_id: The response it continued from, or None.
        connection: The number of the connection it went out on, in the order in which the service
            tried to open them, from 1. None over HTTP, which shares connections.
        lane: The name of its lane there (``stream_id``), or None for the default one.
        response_id: The id of its response as soon as the server has said it, also where the turn
            was interrupted or failed.
        outcome: How the turn ended, or None while it runs.
        response: What the server has said of its response, once the turn is answered.
        attempts: How many attempts the turn took.
        failures: The attempts that came to nothing, in order.
        resumed: Whether an answer that had broken off was taken up again.
        steered: Whether the server took up what the user said while it answered.
        changed: The fields of the request, such as ``tools``, that differ from the turn before.
        cache_expected: Whether the server ought to have had the beginning in its prompt cache: it
            has used it in this conversation before.
        times: Where the time went, once the turn has ended.
        cause: What the largest avoidable part of it went into, once the turn has ended.
        why_slow: The same as a sentence.
    """

    transport: str
    incremental: bool
    full_reason: FullReason | None
    items: int
    size: int
    fork: bool = False
    changed_at: int | None = None
    messages: int = 0
    prepared: bool = False
    hedged: Literal["no", "lost", "won"] = "no"
    hedge_usage: Usage | None = None
    endpoint: bool = False
    previous_response_id: str | None = None
    connection: int | None = None
    lane: str | None = None
    response_id: str | None = None
    outcome: Outcome | None = None
    response: ResponseReport | None = None
    attempts: int = 1
    failures: tuple[FailedAttempt, ...] = ()
    resumed: bool = False
    steered: bool = False
    changed: tuple[str, ...] = ()
    cache_expected: bool = False
    times: TurnTimes | None = None
    cause: Cause | None = None
    why_slow: str = ""

    def __str__(self) -> str:
        """One line for people."""
        how = "incremental" if self.incremental else f"full ({self.why_full})"
        return f"{self.transport}, {how}, {self.items} items, {self.size} bytes"

    @property
    def why_full(self) -> str:
        """Why it carried everything, with the place where the context has changed."""
        if self.changed_at is None:
            return str(self.full_reason)
        return f"{self.full_reason} at message {self.changed_at + 1} of {self.messages}"


@dataclass(slots=True)
class SessionStats:
    """Counters of a session, from its start.

    Attributes:
        turns: Turns that were asked for.
        requests: Requests sent for them, repetitions included.
        incremental: Requests that carried only what was new.
        full: Requests that carried everything.
        full_reasons: Why they did.
        items_sent: Items in all requests, warm-ups and anchors included.
        bytes_sent: Bytes of all messages to the server.
        forks: Requests that continued another lane's response.
        retries: Attempts after the first, for whatever reason.
        resumed: Answers that were taken up again after they had broken off.
        steered: Turns whose answer took up what the user said meanwhile.
        hedges: Requests that went out once more since their answer was late.
        hedges_won: How many of those were the answer.
        warm_ups: Warm-ups sent.
        anchors: Anchors sent.
        side_requests: Requests beside the conversation (``run_inference``).
        abandoned: Responses nobody waited for any more.
        abandoned_tokens: Tokens that those responses used, as far as the server said.
        connections_opened: ConnectionPool opened.
        connecting_secs: Seconds that turns have waited for one over WebSocket.
        last_turn: How the latest request of a turn went out, and what came of it.
    """

    turns: int = 0
    requests: int = 0
    incremental: int = 0
    full: int = 0
    full_reasons: Counter[str] = field(default_factory=Counter)
    items_sent: int = 0
    bytes_sent: int = 0
    forks: int = 0
    retries: int = 0
    resumed: int = 0
    steered: int = 0
    hedges: int = 0
    hedges_won: int = 0
    warm_ups: int = 0
    anchors: int = 0
    side_requests: int = 0
    abandoned: int = 0
    abandoned_tokens: int = 0
    connections_opened: int = 0
    connecting_secs: float = 0.0
    last_turn: TurnReport | None = None

    def sent(self, report: TurnReport) -> None:
        """Counts a request of a turn."""
        self.requests += 1
        self.items_sent += report.items
        self.bytes_sent += report.size
        self.forks += report.fork
        if report.incremental:
            self.incremental += 1
        else:
            self.full += 1
            self.full_reasons[str(report.full_reason)] += 1
        self.last_turn = report

    def turn_begun(self) -> int:
        """Counts a turn.

        Returns:
            Its number, from 1.
        """
        self.turns += 1
        return self.turns

    def turn_ended(self, report: TurnReport) -> None:
        """Keeps what came of a turn."""
        self.steered += report.steered
        self.last_turn = report

    def sent_aside(self, report: TurnReport) -> None:
        """Counts a request beside the turns: a warm-up, an anchor, an inference."""
        self.items_sent += report.items
        self.bytes_sent += report.size

    def count_bytes(self, size: int) -> None:
        """Counts the bytes of a message that is no request."""
        self.bytes_sent += size

    def count_retry(self) -> None:
        """Counts an attempt after the first."""
        self.retries += 1

    def count_resume(self) -> None:
        """Counts an answer that is taken up again."""
        self.resumed += 1

    def count_hedge(self) -> None:
        """Counts a request that goes out once more."""
        self.hedges += 1

    def count_hedge_won(self) -> None:
        """Counts one of those that was the answer."""
        self.hedges_won += 1

    def count_warm_up(self) -> None:
        """Counts a warm-up."""
        self.warm_ups += 1

    def count_anchor(self) -> None:
        """Counts an anchor."""
        self.anchors += 1

    def count_side_request(self) -> None:
        """Counts an inference beside the conversation."""
        self.side_requests += 1

    def count_abandoned(self) -> None:
        """Counts a response that nobody waits for any more."""
        self.abandoned += 1

    def count_abandoned_tokens(self, tokens: int) -> None:
        """Counts the tokens of such responses."""
        self.abandoned_tokens += tokens

    def connection_opened(self) -> None:
        """Counts a connection."""
        self.connections_opened += 1

    def count_connecting(self, seconds: float) -> None:
        """Counts how long a turn has waited for a connection."""
        self.connecting_secs += seconds
