"""Records as the page and session files have them: one JSON object for each.

Everything has ``seq`` (its number in the session, from 1), ``at`` (seconds since the session began)
and ``record`` (what it is). What went over the wire has it in ``message``, and the end of a turn
what was put out to be spoken in ``said``. Events that arrived in one step are one record and many
objects, with numbers that follow each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, assert_never

import msgspec
from msgspec.structs import asdict as fields_of

from pipecat_responses.inspector.redaction import Redaction
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.events import decode
from pipecat_responses.protocol.items import Item
from pipecat_responses.session.causes import explain
from pipecat_responses.session.records import (
    Abandoned,
    AttemptFailed,
    ConnectionLost,
    ConnectionOpened,
    ConnectionRefused,
    ConnectionRetired,
    Difference,
    ErrorReported,
    Happening,
    HedgeSent,
    MessageSent,
    Noted,
    Parked,
    Record,
    RequestFailed,
    RequestSent,
    Retrying,
    ServiceClosed,
    TakenUp,
    ToolCalled,
    ToolEnded,
    TurnBegan,
    TurnEnded,
)
from pipecat_responses.session.stats import TurnReport
from pipecat_responses.transport.trace import WHOLE_RESPONSE, Data, Reached, Received

Line = dict[str, Any]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A record, and when it was told.

    Attributes:
        seq: Its number in the session, from 1; the first of them, where it is several events.
        at: When it was, in the monotonic clock.
        cost: What it costs to keep it.
        record: The record.
    """

    seq: int
    at: float
    cost: int
    record: Record

    @property
    def last(self) -> int:
        """The last of its numbers."""
        record = self.record
        return self.seq + len(record.messages) - 1 if isinstance(record, Received) else self.seq


def lines_of(entry: Entry, began: float, redaction: Redaction, *, wire: bool) -> Iterator[Line]:
    """An entry as JSON objects.

    Args:
        entry: The entry.
        began: When the session began, in the same clock.
        redaction: Takes out of it what is not to leave.
        wire: Whether they are to have what went over the wire.
    """
    at = round(entry.at - began, 6)
    record = entry.record
    if isinstance(record, Received):
        for seq, data in enumerate(record.messages, entry.seq):
            yield {"seq": seq, "at": at, "record": "event", **_event(record, data, redaction)}
    else:
        kind, fields = _fields(record, redaction, wire=wire)
        yield {"seq": entry.seq, "at": at, "record": kind, **fields}


def without_words(line: Line, redaction: Redaction) -> Line:
    """A line that was made with words, without them.

    Args:
        line: The line.
        redaction: One without words.
    """
    spoken = {name: redaction.said(line[name]) for name in _SPOKEN if name in line}
    error, report = line.get("error"), line.get("report")
    if isinstance(error, dict):
        spoken["error"] = {**error, "message": redaction.said(error.get("message"))}
    if isinstance(report, dict):
        spoken["report"] = {**report, "cache": redaction.said(report.get("cache"))}
    return {**line, **spoken}


_SPOKEN = ("arguments", "difference", "message", "said", "text")
"""Fields of lines that have what somebody has said, beside errors."""


def _event(record: Received, data: Data, redaction: Redaction) -> Line:
    kind: Any = WHOLE_RESPONSE
    lane: Any = None
    if record.carrier != "response":
        try:
            event = decode(data)
            kind, lane = event.type, event.stream_id
        except ResponsesError:
            kind = None
    return {
        "source": record.source,
        "lane": lane if record.carrier == "websocket" and type(lane) is str else None,
        "kind": kind if type(kind) is str else None,
        "bytes": len(data),
        "message": redaction.message(bytes(data)),
    }


def _fields(record: Happening, redaction: Redaction, *, wire: bool) -> tuple[str, Line]:
    match record:
        case Reached():
            return "event", {"source": record.source, "lane": record.lane, "kind": record.kind}
        case RequestSent():
            return "request", _request(record, redaction, wire=wire)
        case MessageSent():
            fields: Line = {"source": record.source, "bytes": record.payload.size}
            if wire:
                fields["message"] = redaction.message(record.payload.join())
            return "message", fields
        case TurnBegan():
            return "turn", fields_of(record)
        case TurnEnded():
            report = None if record.report is None else _report(record.report, redaction)
            fields = {"turn": record.turn, "outcome": record.outcome, "report": report}
            if wire:
                fields["said"] = redaction.said(record.said)
            return "turn ended", fields
        case HedgeSent():
            return "hedge", fields_of(record)
        case Abandoned():
            return "abandoned", fields_of(record)
        case RequestFailed():
            return "request failed", {
                "number": record.number,
                "error": _error(record.error, redaction),
            }
        case AttemptFailed():
            return "attempt failed", {
                "turn": record.turn,
                "number": record.number,
                "error": _error(record.error, redaction),
            }
        case Retrying():
            return "retry", {
                "turn": record.turn,
                "seconds": record.seconds,
                "resumes": record.resumes,
                "elsewhere": record.elsewhere,
                "failure": str(record.error.failure),
            }
        case Parked():
            return "parked", fields_of(record)
        case TakenUp():
            return "taken up", fields_of(record)
        case ToolCalled():
            return "tool", {**fields_of(record), "arguments": redaction.said(record.arguments)}
        case ToolEnded():
            return "tool ended", fields_of(record)
        case ConnectionOpened():
            known = record.capabilities.export()
            return "connection", {
                "source": record.source,
                "seconds": record.seconds,
                "capabilities": {name: each for name, each in known.items() if _is_flag(each)},
            }
        case ConnectionRetired():
            return "retired", fields_of(record)
        case ConnectionLost():
            return "lost", {
                "source": record.source,
                "error": _error(record.error, redaction),
            }
        case ConnectionRefused():
            return "refused", {"error": _error(record.error, redaction)}
        case ErrorReported(error=ResponsesError() as error):
            return "error", {"error": {**_error(error, redaction), "name": record.name}}
        case ErrorReported(error=error, name=name):
            said = f"{type(error).__name__}: {error}"
            return "error", {"error": {"name": name, "message": redaction.said(said)}}
        case Noted():
            return "note", {"what": record.what, "text": redaction.said(record.text)}
        case ServiceClosed():
            return "closed", {}
        case _:
            assert_never(record)


def _request(record: RequestSent, redaction: Redaction, *, wire: bool) -> Line:
    report = record.report
    fields: Line = {
        "number": record.number,
        "turn": record.turn,
        "purpose": str(record.purpose),
        "transport": report.transport,
        "source": record.source,
        "lane": report.lane,
        "continues": report.previous_response_id,
        "incremental": report.incremental,
        "why_full": None if report.incremental else report.why_full,
        "explanation": None if report.full_reason is None else report.full_reason.explanation,
        "items": report.items,
        "bytes": report.size,
        "fork": report.fork,
        "prepared": report.prepared,
        "changed_at": report.changed_at,
        "messages": report.messages,
        "difference": _difference(record.difference, redaction),
    }
    if wire:
        fields["message"] = redaction.message(record.payload.join())
    return fields


def _difference(difference: Difference | None, redaction: Redaction) -> Line | None:
    if difference is None:
        return None
    return {"seen": _item(difference.seen, redaction), "now": _item(difference.now, redaction)}


def _item(item: Item | str | None, redaction: Redaction) -> Any:
    if isinstance(item, str):
        item_said: Any = {"role": "assistant", "content": item}
        return redaction.said(item_said)
    return None if item is None else redaction.said(item.wire)


def _report(report: TurnReport, redaction: Redaction) -> Line:
    response = report.response
    usage = None if response is None or response.usage is None else asdict(response.usage)
    times = report.times
    return {
        "transport": report.transport,
        "incremental": report.incremental,
        "why_full": None if report.incremental else report.why_full,
        "items": report.items,
        "bytes": report.size,
        "fork": report.fork,
        "prepared": report.prepared,
        "hedged": report.hedged,
        "endpoint": report.endpoint,
        "attempts": report.attempts,
        "failures": [
            {"failure": str(each), "seconds": each.seconds, "paused": each.paused}
            for each in report.failures
        ],
        "resumed": report.resumed,
        "steered": report.steered,
        "changed": list(report.changed),
        "cause": None if report.cause is None else str(report.cause),
        "why_slow": redaction.plain(report.why_slow or explain(report)[1]),
        "times": None if times is None else {**asdict(times), "answer": times.answer},
        "usage": usage,
        "model": None if response is None else response.model,
        "response_id": None if response is None else response.response_id,
        "status": None if response is None else response.status,
        "reason": None if response is None else response.reason,
        "service_tier": None if response is None else response.service_tier,
        "cache": None if response is None else redaction.said(response.cache_diagnostics),
    }


def _error(error: ResponsesError, redaction: Redaction) -> Line:
    return {
        "failure": str(error.failure),
        "message": redaction.said(error.message),
        "code": redaction.said(error.code, "code"),
        "type": redaction.said(error.type, "type"),
        "param": redaction.said(error.param, "param"),
        "status": error.status,
        "request_id": redaction.said(error.request_id, "request_id"),
        "response_id": redaction.said(error.response_id, "response_id"),
    }


def _is_flag(value: Any) -> bool:
    return value is None or isinstance(value, bool)
