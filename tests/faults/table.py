"""What can go wrong, when, and what comes of it: the table that the fault tests run.

``python -m tests.faults.table > docs/faults.md`` writes it down for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Literal

from pipecat.utils.errors import ErrorCategory

from pipecat_responses.sandbox.faults import Kind

Transport = Literal["websocket", "http"]
BOTH: tuple[Transport, ...] = ("websocket", "http")
WEBSOCKET: tuple[Transport, ...] = ("websocket",)
HTTP: tuple[Transport, ...] = ("http",)

ServerAct = Literal["cut", "restart", "down"]
SERVER_ACTS: tuple[ServerAct, ...] = ("cut", "restart", "down")
"""What a test does to the sandbox itself, with either transport."""


class Moment(StrEnum):
    """When it goes wrong."""

    CONNECTING = "connecting"
    RECONNECTING = "reconnecting"
    IDLE = "idle"
    REQUEST = "request sent"
    CREATED = "created"
    TOOL = "tool finished"
    TEXT = "mid-text"
    CALL = "mid-call"
    TERMINAL = "terminal"


class End(Enum):
    """What comes of the turn."""

    ANSWERED = "answered"
    REPORTED = "reported"
    CUT = "cut"
    SHORT = "short"


@dataclass(frozen=True)
class Row:
    """One fault.

    Attributes:
        what: The fault in words.
        kind: The sandbox's kind of fault; or ``cut``, ``restart`` or ``down``, which the test does
            to the sandbox itself.
        ends: What comes of it, by moment.
        params: What the sandbox's fault takes.
        transports: Where it can happen.
        http: What comes of it over HTTP, where that differs.
        lasting: Whether it happens again at every attempt of the turn.
        category: Pipecat's category of the report, where there is one.
        permanent: Whether the service is unusable afterwards, until somebody sets it right.
        facts: What the report's exception must say.
        options: Arguments of the service.
    """

    what: str
    kind: Kind | ServerAct
    ends: Mapping[Moment, End]
    params: Mapping[str, Any] = field(default_factory=dict)
    transports: tuple[Transport, ...] = BOTH
    http: Mapping[Moment, End] | None = None
    lasting: bool = False
    category: ErrorCategory | None = None
    permanent: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """A fault at a moment on a transport."""

    row: Row
    moment: Moment
    transport: Transport
    end: End

    @property
    def name(self) -> str:
        """A name for the test."""
        words = re.sub(r"[^a-z0-9]+", "-", self.row.what.lower()).strip("-")
        return f"{self.transport}-{self.moment.replace(' ', '-')}-{words}"


M, E, C = Moment, End, ErrorCategory
RUNNING = (M.REQUEST, M.CREATED, M.TOOL, M.TEXT, M.CALL, M.TERMINAL)
SOME = (M.REQUEST, M.TEXT)
STREAMING = (M.CREATED, M.TOOL, M.TEXT, M.CALL, M.TERMINAL)


def answered(*moments: Moment) -> dict[Moment, End]:
    """The user notices nothing."""
    return dict.fromkeys(moments or RUNNING, E.ANSWERED)


def reported(*moments: Moment) -> dict[Moment, End]:
    """One report, and what had been said is kept."""
    return {
        moment: E.CUT if moment in (M.TEXT, M.TERMINAL) else E.REPORTED
        for moment in moments or RUNNING
    }


IDS = {"x-request-id": "req_0123456789"}


def error(
    status: int, *, headers: Mapping[str, str] | None = None, **params: Any
) -> dict[str, Any]:
    """Params of an error as the server reports it."""
    return {"status": status, "headers": {**IDS, **(headers or {})}, **params}


def said(status: int, **facts: Any) -> dict[str, Any]:
    """What an exception must say of an error."""
    return {"status": status, "request_id": IDS["x-request-id"], **facts}


def _ends_of_connections() -> Iterator[Row]:
    yield Row("the connection is closed cleanly", "close", answered(M.IDLE, *RUNNING))
    yield Row(
        "the connection is closed for a restart (1012)",
        "close",
        answered(M.IDLE, *RUNNING),
        {"code": 1012, "reason": "service restart"},
        WEBSOCKET,
    )
    yield Row(
        "the connection is closed cleanly, at every attempt",
        "close",
        {**reported(), M.TERMINAL: E.ANSWERED},
        lasting=True,
        category=C.CONNECTIVITY,
    )
    yield Row(
        "the connection is closed for a policy (1008)",
        "close",
        reported(),
        {"code": 1008, "reason": "key revoked"},
        WEBSOCKET,
        category=C.AUTHORIZATION,
        permanent=True,
    )
    yield Row("the connection is reset", "reset", answered(M.IDLE, *RUNNING))
    yield Row(
        "the connection is reset, at every attempt",
        "reset",
        {**reported(), M.TERMINAL: E.ANSWERED},
        lasting=True,
        category=C.CONNECTIVITY,
    )
    yield Row("the socket stays open, and nothing more comes", "stall", answered(M.IDLE, *RUNNING))
    yield Row(
        "the socket stays open, and nothing more comes, at every attempt",
        "stall",
        # All that was to be said has been said, and every item is finished.
        {**reported(), M.TERMINAL: E.ANSWERED},
        lasting=True,
        category=C.CONNECTIVITY,
    )
    yield Row("the response falls silent", "silence", answered())
    yield Row(
        "the response falls silent, at every attempt",
        "silence",
        {**reported(), M.TERMINAL: E.ANSWERED},
        lasting=True,
        category=C.CONNECTIVITY,
    )
    yield Row("all connections are cut", "cut", answered(M.IDLE, M.TEXT))
    yield Row(
        "the server restarts",
        "restart",
        answered(M.IDLE, M.TEXT),
    )
    yield Row(
        "the server is gone",
        "down",
        {M.CONNECTING: E.REPORTED, M.IDLE: E.REPORTED, M.TEXT: E.CUT},
        category=C.CONNECTIVITY,
    )


def _handshakes() -> Iterator[Row]:
    connecting = (M.CONNECTING, M.RECONNECTING)
    broken: tuple[tuple[Kind, str], ...] = (
        ("reset", "the handshake is reset"),
        ("stall", "the handshake gets no answer"),
        ("close_after_accept", "the server accepts and closes at once"),
    )
    for kind, what in broken:
        yield Row(what, kind, answered(*connecting), transports=WEBSOCKET)
        yield Row(
            f"{what}, every time",
            kind,
            # Where there never was a connection, it may be a proxy that knows no WebSocket.
            {**reported(*connecting), **(answered(M.CONNECTING) if kind == "stall" else {})},
            transports=WEBSOCKET,
            lasting=True,
            category=C.CONNECTIVITY,
        )
    for status, category, permanent in (
        (401, C.AUTHENTICATION, True),
        (403, C.AUTHORIZATION, True),
        (404, C.INVALID_REQUEST, True),
        (429, C.RATE_LIMIT, False),
        (503, C.SERVER, False),
    ):
        row: dict[str, Any] = {
            "kind": "handshake_status",
            "params": {"status": status, "code": f"code_{status}", "message": "No."},
            "transports": WEBSOCKET,
        }
        if not permanent:
            yield Row(f"the handshake is refused ({status})", ends=answered(*connecting), **row)
        # By itself, what is refused for another reason than the key goes over HTTP.
        elsewhere = status == 404
        if elsewhere:
            yield Row(
                f"the handshake is refused ({status}), every time",
                ends=answered(*connecting),
                lasting=True,
                **row,
            )
        yield Row(
            f"the handshake is refused ({status}), every time"
            + (", without HTTP to go to" if elsewhere else ""),
            options={"transport": "websocket"} if elsewhere else {},
            ends=reported(*connecting),
            lasting=True,
            category=category,
            permanent=permanent,
            facts={"status": status, "code": f"code_{status}", "transport": "handshake"},
            **row,
        )
    for status in (403, 405, 407, 426, 501, 302):
        yield Row(
            f"a proxy refuses the upgrade ({status}), every time",
            "http_html",
            answered(*connecting),
            {"status": status},
            WEBSOCKET,
            lasting=True,
        )
    yield Row(
        "a proxy answers the handshake with a page (200), every time",
        "http_html",
        answered(*connecting),
        {"status": 200},
        WEBSOCKET,
        lasting=True,
    )
    yield Row(
        "a proxy answers the handshake with a page (502)",
        "http_html",
        answered(*connecting),
        {"status": 502},
        WEBSOCKET,
    )
    yield Row(
        "a proxy answers the handshake with a page (502), every time",
        "http_html",
        reported(*connecting),
        {"status": 502},
        WEBSOCKET,
        lasting=True,
        category=C.SERVER,
        facts={"status": 502},
    )
    yield Row("a proxy answers with a page (502)", "http_html", answered(M.REQUEST), {}, HTTP)
    yield Row(
        "a proxy answers with a page (502), at every attempt",
        "http_html",
        reported(M.REQUEST),
        {},
        HTTP,
        lasting=True,
        category=C.SERVER,
        facts={"status": 502},
    )
    yield Row(
        "a proxy answers with a page (200), at every attempt",
        "http_html",
        reported(M.REQUEST),
        {"status": 200},
        HTTP,
        lasting=True,
        category=C.SERVER,
        facts={"status": 200},
    )


TELLING = ("invalid_api_key", "model_not_found", "insufficient_quota", "context_length_exceeded")
"""Codes that say all without status and type, which the flat shape inside a stream has not."""


def _errors() -> Iterator[Row]:
    permanent = (
        ("credentials", 401, "invalid_request_error", "invalid_api_key", C.AUTHENTICATION),
        ("permission", 403, "invalid_request_error", None, C.AUTHORIZATION),
        ("model", 404, "invalid_request_error", "model_not_found", C.INVALID_REQUEST),
        ("quota", 429, "insufficient_quota", "insufficient_quota", C.QUOTA),
        ("a field", 400, "invalid_request_error", "unknown_parameter", C.APPLICATION),
    )
    for what, status, kind, code, category in permanent:
        yield Row(
            f"an error: {what} ({status})",
            "error",
            reported(*RUNNING if status in (401, 429) else SOME),
            error(status, type=kind, code=code, message="No.", param="field"),
            http=None if code in TELLING else reported(M.REQUEST),
            category=category,
            permanent=category is not C.APPLICATION,
            facts=said(status, type=kind, code=code, param="field"),
        )
    unreadable: tuple[tuple[str, int, dict[str, Any]], ...] = (
        (
            "the content (400)",
            400,
            {"code": "invalid_value", "param": "input[0].content", "type": "invalid_request_error"},
        ),
        ("the context is too long (400)", 400, {"code": "context_length_exceeded"}),
        ("the input is too large (413)", 413, {"code": "request_too_large"}),
        ("the content (422)", 422, {"type": "invalid_request_error", "code": "unreadable"}),
    )
    for what, status, facts in unreadable:
        yield Row(
            f"an error: {what}",
            "error",
            reported(*RUNNING if "param" in facts else SOME),
            error(status, message="This cannot be read.", **facts),
            http=None if facts.get("code") in TELLING else reported(M.REQUEST),
            category=C.APPLICATION,
            facts=said(status, **facts),
        )
    passing: tuple[tuple[str, int, dict[str, Any], ErrorCategory], ...] = (
        ("timeout (408)", 408, {}, C.SERVER),
        ("conflict (409)", 409, {}, C.SERVER),
        ("internal (500)", 500, {}, C.SERVER),
        ("unavailable (503)", 503, {}, C.SERVER),
        ("server_error", 500, {"code": "server_error", "type": "server_error"}, C.SERVER),
        ("overloaded", 529, {"code": "overloaded", "type": "overloaded_error"}, C.SERVER),
        (
            "rate limit (429)",
            429,
            {"code": "rate_limit_exceeded", "type": "rate_limit_error"},
            C.RATE_LIMIT,
        ),
    )
    for what, status, facts, category in passing:
        headers = {"retry-after": "0.03"} if status == 429 else None
        params = error(status, headers=headers, message="Not now.", **facts)
        all_moments = what in ("server_error", "rate limit (429)")
        moments = (M.IDLE, *RUNNING) if all_moments else SOME
        yield Row(f"an error: {what}", "error", answered(*moments), params)
        yield Row(
            f"an error: {what}, at every attempt",
            "error",
            reported(*RUNNING if all_moments else (M.REQUEST,)),
            params,
            lasting=True,
            category=category,
            facts=said(status, **facts, **({"retry_after": 0.03} if headers else {})),
        )
    yield Row(
        "an error: rate limit, for longer than anybody waits",
        "error",
        reported(),
        error(
            429,
            headers={"retry-after": "3600"},
            code="rate_limit_exceeded",
            message="Please try again in 3600s.",
        ),
        category=C.RATE_LIMIT,
        facts=said(429, code="rate_limit_exceeded", retry_after=3600.0),
    )
    yield Row(
        "an error in the flat shape, without status and code",
        "error",
        answered(),
        {"shape": "flat", "omit": ["status", "code", "sequence_number"], "message": "Oh."},
    )
    yield Row(
        "an error without status and code, at every attempt",
        "error",
        reported(*STREAMING),
        {"omit": ["status", "code", "sequence_number"], "message": "Oh."},
        lasting=True,
        category=C.SERVER,
    )


def _failed() -> Iterator[Row]:
    for code in ("server_error", "rate_limit_exceeded", "vector_store_timeout", "never_heard_of"):
        params = {"code": code, "message": "It went wrong."}
        moments = STREAMING if code == "server_error" else (M.TEXT,)
        yield Row(f"response.failed: {code}", "failed", answered(*moments), params)
        yield Row(
            f"response.failed: {code}, at every attempt",
            "failed",
            reported(*moments),
            params,
            lasting=True,
            category=C.RATE_LIMIT if code == "rate_limit_exceeded" else C.SERVER,
            facts={"code": code},
        )
    yield Row(
        "response.failed: invalid_prompt",
        "failed",
        reported(*STREAMING),
        {"code": "invalid_prompt", "message": "No."},
        category=C.APPLICATION,
        facts={"code": "invalid_prompt"},
    )
    yield Row(
        "response.failed: insufficient_quota",
        "failed",
        reported(*STREAMING),
        {"code": "insufficient_quota", "message": "No."},
        category=C.QUOTA,
        permanent=True,
        facts={"code": "insufficient_quota"},
    )
    for reason in ("max_output_tokens", "content_filter"):
        yield Row(
            f"response.incomplete: {reason}",
            "incomplete",
            {
                M.CREATED: E.REPORTED,
                M.TOOL: E.REPORTED,
                M.TEXT: E.SHORT,
                M.CALL: E.REPORTED,
                M.TERMINAL: E.ANSWERED,
            },
            {"reason": reason},
            category=C.APPLICATION,
        )
    yield Row("the response is completed and empty", "empty", answered(M.REQUEST))
    yield Row(
        "the response is completed and empty, at every attempt",
        "empty",
        reported(M.REQUEST),
        lasting=True,
        category=C.SERVER,
    )


def _memory_and_limits() -> Iterator[Row]:
    yield Row(
        "the server forgets the conversation",
        "forget",
        answered(M.IDLE, *RUNNING),
        transports=WEBSOCKET,
    )
    yield Row(
        "the server forgets the conversation, at every attempt",
        "forget",
        answered(),
        transports=WEBSOCKET,
        lasting=True,
    )
    limits = (
        ("the connection's age limit", "websocket_connection_limit_reached", C.CONNECTIVITY),
        ("the limit of lanes", "websocket_stream_limit_reached", C.SERVER),
    )
    for what, code, category in limits:
        params = error(400, code=code, type="invalid_request_error", message="A limit is reached.")
        moments = (M.IDLE, M.REQUEST) if category is C.CONNECTIVITY else (M.REQUEST,)
        yield Row(f"{what} is reached", "error", answered(*moments), params, WEBSOCKET)
        yield Row(
            f"{what} is reached, at every attempt",
            "error",
            reported(M.REQUEST),
            params,
            WEBSOCKET,
            lasting=True,
            category=category,
            facts=said(400, code=code),
        )


WRONG_TYPES = (
    '{"type":7}',
    "{}",
    '{"type":"response.output_text.delta","delta":{"a":1}}',
    '{"type":"response.output_text.done","text":5,"item_id":[]}',
    '{"type":"response.output_item.added","item":[]}',
    '{"type":"response.output_item.done","item":"x"}',
    '{"type":"response.function_call_arguments.done","arguments":{},"item_id":3}',
    '{"type":"response.in_progress","response":5}',
)


def _nonsense() -> Iterator[Row]:
    truncated = {"data": '{"type":"response.output_text.delta","del'}
    yield Row("JSON that breaks off", "garbage", answered(M.IDLE, *RUNNING), truncated)
    yield Row(
        "JSON that breaks off, at every attempt",
        "garbage",
        {**reported(), M.CALL: E.REPORTED},
        truncated,
        lasting=True,
        category=C.SERVER,
    )
    for data in ("[1, 2]", "null", "[" * 100_000):
        yield Row(
            f"JSON that is no object (`{data[:6]}{'…' if len(data) > 6 else ''}`)",
            "garbage",
            answered(M.IDLE, *RUNNING),
            {"data": data},
        )
    for number, data in enumerate(WRONG_TYPES, 1):
        moments = (M.IDLE, *RUNNING) if number in (1, 3) else (M.TEXT, M.CALL)
        yield Row(f"wrong types (`{data}`)", "garbage", answered(*moments), {"data": data})
    yield Row(
        "a binary frame",
        "garbage",
        answered(M.IDLE, *RUNNING),
        {"base64": "AP8AAQIDBA==", "binary": True},
        WEBSOCKET,
    )
    yield Row(
        "a message over the size limit",
        "garbage",
        answered(M.IDLE, *RUNNING),
        {"size": 100_000},
        options={"max_message_bytes": 65_536},
    )
    yield Row(
        "a message over the size limit, at every attempt",
        "garbage",
        reported(),
        {"size": 100_000},
        lasting=True,
        category=C.SERVER,
        options={"max_message_bytes": 65_536},
    )
    yield Row("events of unknown types", "unknown_events", answered(M.IDLE, *RUNNING))
    yield Row(
        "events of a lane that does not exist",
        "wrong_stream_id",
        answered(M.IDLE, *RUNNING),
        transports=WEBSOCKET,
    )
    yield Row("two terminal events", "double_terminal", answered(M.TERMINAL))
    yield Row("no terminal event", "no_terminal", answered(M.TERMINAL), lasting=True)
    yield Row("a delta before response.created", "delta_before_created", answered(M.REQUEST))
    yield Row("a terminal event without output", "null_output", answered(M.TERMINAL))
    for fields in (
        ["usage"],
        ["input_tokens_details", "output_tokens_details"],
        ["id", "item_id", "sequence_number", "output_index", "content_index"],
        ["output"],
        ["response"],
        ["item"],
        ["delta"],
        ["text"],
        ["model", "status", "object"],
    ):
        yield Row(
            f"events without `{'`, `'.join(fields)}`",
            "missing_fields",
            answered(M.REQUEST, M.TEXT, M.CALL),
            {"fields": fields},
        )


SECTIONS: tuple[tuple[str, tuple[Row, ...]], ...] = (
    ("The connection ends, or falls silent", tuple(_ends_of_connections())),
    ("No connection comes about", tuple(_handshakes())),
    ("The server reports an error", tuple(_errors())),
    ("The response ends badly", tuple(_failed())),
    ("The server forgets, or a limit is reached", tuple(_memory_and_limits())),
    ("What the server says makes no sense", tuple(_nonsense())),
)
ROWS: tuple[Row, ...] = tuple(row for _, rows in SECTIONS for row in rows)


def ends_of(row: Row, transport: Transport) -> dict[Moment, End]:
    """What comes of a fault on a transport, by moment."""
    ends = row.http if transport == "http" and row.http is not None else row.ends
    # Between turns there is no HTTP connection that a server could do something to.
    no_idle = transport == "http" and row.kind not in SERVER_ACTS
    without = {
        *({Moment.IDLE} if no_idle else ()),
        # It does not run again, so nothing can happen behind it at every attempt.
        *({Moment.TOOL} if row.lasting else ()),
    }
    return {moment: end for moment, end in ends.items() if moment not in without}


def cells(rows: Iterable[Row] = ROWS) -> list[Cell]:
    """Every fault at every moment on every transport."""
    return [
        Cell(row, moment, transport, end)
        for row in rows
        for transport in row.transports
        for moment, end in ends_of(row, transport).items()
    ]


HEAD = """\
# What can go wrong, and what the user hears

A voice bot may not fall silent, say things twice, or lose the thread because something between it
and the model breaks. This is what happens instead. Each entry of the tables is a test
(`tests/faults/test_matrix.py`); the tables are written from what those tests run
(`python -m tests.faults.table > docs/faults.md`).

What the user hears:

- **answer**: the whole answer, each word once, and a function runs once. Nothing is reported.
- **part**: what was said until then. It stays in the context; a warning is logged.
- **part, report**: what was said until then. It stays in the context, and one `ErrorFrame` tells.
- **report**: nothing. One `ErrorFrame` tells.

Where no WebSocket comes through, the answer comes over HTTP. In each case the response has one
start and one end frame, and the next turn is answered once the fault is gone. A report's
`category` is named in the last column; its `exception` is a `ResponsesError` with what the server
gave of code, type, param, status, request id, response id and time to wait. **Unusable** means
that nothing will work until something is changed (the key, the model, the account): the service
says so through `is_usable`, and works again after new settings or `await llm.set_usable(True)`. A
turn for which no connection could be opened makes the service unusable as well, so that a switcher
fails over to another; such a service goes on trying, and is usable again by itself once it is
connected.

When it happens:

- **connecting**, **reconnecting**: while the WebSocket is being opened, for the first time or
  after the connection was lost.
- **idle**: between two turns.
- **request sent**: before anything has come back.
- **created**: the response has begun and has said nothing.
- **tool finished**: a tool that the server runs (a search, an MCP call) has done its work, and
  nothing has been said yet. Whatever the fault, the tool does not run again.
- **mid-text**: after some words. **mid-call**: in the arguments of a function call.
- **terminal**: everything has been said, and the last event has not come.
"""

_WORDS = {
    End.ANSWERED: "answer",
    End.REPORTED: "report",
    End.CUT: "part, report",
    End.SHORT: "part",
}
_TRANSPORTS = {"websocket": "WebSocket", "http": "HTTP"}


def document() -> str:
    """The table for people."""
    parts = [HEAD]
    for title, rows in SECTIONS:
        moments = [m for m in Moment if any(m in row.ends for row in rows)]
        parts.append(f"\n## {title}\n\n")
        parts.append(_line("fault", "transport", *moments, "category"))
        parts.append(_line(*["---"] * (len(moments) + 3)))
        for row in rows:
            parts.extend(_lines(row, moments))
    return "".join(parts)


def _lines(row: Row, moments: list[Moment]) -> Iterator[str]:
    by_transport = {transport: ends_of(row, transport) for transport in row.transports}
    websocket, http = by_transport.get("websocket"), by_transport.get("http")
    if websocket is not None and http is not None:
        same = {m: end for m, end in websocket.items() if m is not Moment.IDLE}
        if same == {m: end for m, end in http.items() if m is not Moment.IDLE}:
            yield _row(row, "both", websocket, moments)
            return
    for transport, ends in by_transport.items():
        yield _row(row, _TRANSPORTS[transport], ends, moments)


def _row(row: Row, transport: str, ends: Mapping[Moment, End], moments: list[Moment]) -> str:
    reports = any(end in (End.REPORTED, End.CUT) for end in ends.values())
    category = f"`{row.category.name}`" if row.category is not None and reports else ""
    if row.permanent:
        category += ", unusable"
    words = [_WORDS[ends[moment]] if moment in ends else "" for moment in moments]
    return _line(row.what, transport, *words, category)


def _line(*entries: str) -> str:
    return "| " + " | ".join(entries) + " |\n"


if __name__ == "__main__":
    print(document(), end="")
