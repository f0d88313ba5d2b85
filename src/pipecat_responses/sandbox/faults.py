"""What can be made to go wrong, and when.

A fault waits for its moment; each time the moment comes and the fault matches, it happens, until
it has happened ``times`` times.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta

from pipecat_responses.sandbox.errors import ApiError
from pipecat_responses.sandbox.typed import checked, made

Moment = Literal["handshake", "idle", "request", "created", "tool", "text", "call", "terminal"]
Kind = Literal[
    "close",
    "reset",
    "stall",
    "silence",
    "delay",
    "error",
    "failed",
    "incomplete",
    "empty",
    "forget",
    "garbage",
    "unknown_events",
    "wrong_stream_id",
    "double_terminal",
    "no_terminal",
    "delta_before_created",
    "null_output",
    "missing_fields",
    "http_html",
    "handshake_status",
    "close_after_accept",
]
Transport = Literal["websocket", "http"]

_ANY_TIME: tuple[Moment, ...] = ("request", "created", "tool", "text", "call", "terminal")
_STREAMING: tuple[Moment, ...] = ("created", "tool", "text", "call", "terminal")
_MOMENTS: dict[str, tuple[Moment, ...]] = {
    "close": ("idle", *_ANY_TIME),
    "reset": ("handshake", "idle", *_ANY_TIME),
    "stall": ("handshake", "idle", *_ANY_TIME),
    "silence": _ANY_TIME,
    "delay": ("handshake", *_ANY_TIME),
    "error": ("idle", *_ANY_TIME),
    "failed": _STREAMING,
    "incomplete": _STREAMING,
    "empty": ("request",),
    "forget": ("idle", *_ANY_TIME),
    "garbage": ("idle", *_ANY_TIME),
    "unknown_events": ("idle", *_ANY_TIME),
    "wrong_stream_id": ("idle", *_ANY_TIME),
    "double_terminal": ("terminal",),
    "no_terminal": ("terminal",),
    "delta_before_created": ("request",),
    "null_output": ("terminal",),
    "missing_fields": _ANY_TIME,
    "http_html": ("handshake", "request"),
    "handshake_status": ("handshake",),
    "close_after_accept": ("handshake",),
}
_ENDING = (
    "close",
    "reset",
    "stall",
    "silence",
    "error",
    "failed",
    "incomplete",
    "no_terminal",
    "http_html",
    "handshake_status",
    "close_after_accept",
)
"""Kinds after which nothing else can happen at the same moment."""
_WEBSOCKET_ONLY = ("wrong_stream_id", "handshake_status", "close_after_accept")
_HEADER = r"^[^\x00-\x08\x0a-\x1f\x7f]*$"
_Status = Annotated[int, Meta(ge=200, le=599)]
_Headers = dict[
    Annotated[str, Meta(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")],
    Annotated[str, Meta(pattern=_HEADER)],
]
_CLOSING = {
    "code": Annotated[int, Meta(ge=1000, le=4999)],
    # As much as fits into a close frame, whatever the characters.
    "reason": Annotated[str, Meta(max_length=30)],
}
_PARAMS: dict[str, dict[str, Any]] = {
    "close": _CLOSING,
    "close_after_accept": _CLOSING,
    "delay": {"seconds": Annotated[float, Meta(ge=0, le=86_400)]},
    "error": {
        "status": _Status,
        "type": str | None,
        "code": str | None,
        "message": str,
        "param": str | None,
        "headers": _Headers | None,
        "shape": Literal["nested", "flat"] | None,
        "omit": list[str],
    },
    "failed": {"code": str, "message": str},
    "incomplete": {"reason": str},
    "garbage": {
        "data": str,
        "base64": str,
        "binary": bool,
        "size": Annotated[int, Meta(ge=0, le=256 * 1024 * 1024)],
    },
    "unknown_events": {"events": list[dict[str, Any]]},
    "wrong_stream_id": {"stream_id": str},
    "missing_fields": {"fields": list[str]},
    "http_html": {"status": _Status, "html": str},
    "handshake_status": {
        "status": _Status,
        "headers": _Headers | None,
        "code": str | None,
        "message": str,
    },
}
"""What each kind takes, and of what type it is where it comes as JSON."""


@dataclass
class Fault:
    """Something that goes wrong.

    Attributes:
        kind: What happens:

            - ``close``: the connection is closed properly. Params ``code`` (1000) and ``reason``.
            - ``reset``: the TCP connection is reset; a WebSocket's once the client has read what
              was sent, or a second later.
            - ``stall``: nothing more is sent or read on the connection; it stays open, and pings
              go unanswered.
            - ``silence``: the response says nothing more; the connection works, pings are
              answered.
            - ``delay``: the response pauses. Param ``seconds`` (1).
            - ``error``: an error instead of what would come next. Params ``status`` (500),
              ``type``, ``code``, ``message``, ``param``, ``headers``; ``shape`` is ``nested`` or
              ``flat`` (by default the transport's own); ``omit`` lists fields to leave out.
            - ``failed``, ``incomplete``: the response ends so. Params ``code`` and ``message``;
              ``reason``.
            - ``empty``: the response is completed without output.
            - ``forget``: the server forgets all responses of the connection; over HTTP, all that
              are stored.
            - ``garbage``: bytes that are no event, then the response goes on. Params ``data``
              (text) or ``base64``, ``binary`` for a binary frame, ``size`` for a huge frame.
            - ``unknown_events``: events of types that do not exist. Param ``events`` gives them.
            - ``wrong_stream_id``: an event of a lane that was never used. Param ``stream_id``.
            - ``double_terminal``, ``no_terminal``: the terminal event comes twice, or never.
            - ``delta_before_created``: a text delta comes before ``response.created``.
            - ``null_output``: the terminal event's ``output`` is null.
            - ``missing_fields``: from here on events lack fields, at any depth. Param ``fields``.
            - ``http_html``: a proxy's HTML page. Params ``status`` (502) and ``html``.
            - ``handshake_status``: the handshake is refused. Params ``status`` (503),
              ``headers``, ``code``, ``message``.
            - ``close_after_accept``: the WebSocket is closed as soon as it is open.
        moment: When: at the WebSocket's ``handshake``; when a WebSocket is ``idle`` (when the
            fault is added, or after a response with nothing else running); when a ``request`` has
            arrived; when its response is ``created`` (and in progress); when a ``tool`` that the
            server runs has finished; at the ``text``, after ``after`` deltas; in a ``call``, after
            ``after`` deltas of its arguments; or instead of or around the ``terminal`` event.
        times: How often; None for ever.
        after: Number of deltas before it, for the moments ``text`` and ``call``.
        skip: How many occasions pass by first.
        transport: Only on this transport; None on both.
        stream_id: Only on this lane; None on any.
        params: What the kind takes.

    Raises:
        ValueError: When kind and moment, or kind and transport, make no sense together, or a
            param is unknown.
    """

    kind: Kind
    moment: Moment = "request"
    times: Annotated[int, Meta(ge=1)] | None = 1
    after: Annotated[int, Meta(ge=0)] = 0
    skip: Annotated[int, Meta(ge=0)] = 0
    transport: Transport | None = None
    stream_id: str | None = None
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses what makes no sense."""
        if self.kind not in _MOMENTS:
            raise ValueError(f"Unknown kind {self.kind!r}; known are {', '.join(_MOMENTS)}")
        if self.moment not in get_args(Moment):
            raise ValueError(
                f"Unknown moment {self.moment!r}; known are {', '.join(get_args(Moment))}"
            )
        if self.moment not in _MOMENTS[self.kind]:
            allowed = ", ".join(_MOMENTS[self.kind])
            raise ValueError(
                f"A fault of kind {self.kind!r} cannot happen at {self.moment!r}; "
                f"it can at: {allowed}"
            )
        if self.transport not in (None, "websocket", "http"):
            raise ValueError(f"Unknown transport {self.transport!r}")
        self._check_transport()
        if self.after and self.moment not in ("text", "call"):
            raise ValueError(f"'after' counts deltas; there are none at {self.moment!r}")
        unknown = set(self.params) - set(_PARAMS.get(self.kind, {}))
        if unknown:
            raise ValueError(f"A fault of kind {self.kind!r} takes no {', '.join(sorted(unknown))}")

    def _check_transport(self) -> None:
        websocket_only = self.kind in _WEBSOCKET_ONLY or self.moment in ("handshake", "idle")
        if websocket_only and self.transport == "http":
            raise ValueError(
                f"A fault of kind {self.kind!r} at {self.moment!r} needs a WebSocket, not HTTP"
            )
        if self.kind == "http_html" and self.moment == "request" and self.transport != "http":
            if self.transport == "websocket":
                raise ValueError(
                    "An open WebSocket cannot answer with HTML; use the moment 'handshake'"
                )
            self.transport = "http"
        if websocket_only:
            self.transport = "websocket"

    def error(self) -> ApiError:
        """The error of a fault of kind ``error`` or ``handshake_status``."""
        default = 503 if self.kind == "handshake_status" else 500
        status = int(self.params.get("status", default))
        family = "server_error" if status >= 500 else "invalid_request_error"
        return ApiError(
            self.params.get("message", "The server had an error processing your request."),
            status=status,
            code=self.params.get("code"),
            param=self.params.get("param"),
            type=self.params.get("type", family),
            headers=self.params.get("headers"),
            shape=self.params.get("shape"),
            omit=self.params.get("omit", ()),
        )

    def garbage(self) -> bytes:
        """The bytes of a fault of kind ``garbage``."""
        if "base64" in self.params:
            return base64.b64decode(self.params["base64"])
        if "size" in self.params:
            size = int(self.params["size"])
            head, tail = b'{"type":"response.huge","padding":"', b'"}'
            return head + b"x" * max(0, size - len(head) - len(tail)) + tail
        data = self.params.get("data", '{"type":"response.output_text.delta","del')
        return data if isinstance(data, bytes) else str(data).encode()

    def unknown_events(self) -> list[dict[str, Any]]:
        """The events of a fault of kind ``unknown_events``."""
        events: list[dict[str, Any]] = self.params.get(
            "events",
            [
                {"type": "response.mood.changed", "mood": "curious", "sequence_number": 0},
                {"type": "keepalive"},
            ],
        )
        return [dict(event) for event in events]

    def stray_event(self) -> dict[str, Any]:
        """The event of a fault of kind ``wrong_stream_id``."""
        return {
            "type": "response.output_text.delta",
            "sequence_number": 0,
            "item_id": "msg_stray",
            "output_index": 0,
            "content_index": 0,
            "delta": "stray",
            "logprobs": [],
            "stream_id": self.params.get("stream_id", "no-such-lane"),
        }


def fault_from_json(value: object) -> Fault:
    """Reads a fault as the control endpoint takes it: an object with the fields of ``Fault``.

    Raises:
        ValueError: When it is no fault.
    """
    if not isinstance(value, Mapping):
        raise ValueError("A fault is an object")
    # What names there are, a fault says better itself.
    names = {"kind": str, "moment": str, "transport": str | None}
    fault = made(Fault, value, "A fault", names)
    fault.params = checked(fault.params, _PARAMS.get(fault.kind, {}), f"A {fault.kind}")
    if "base64" in fault.params:
        base64.b64decode(fault.params["base64"])
    return fault


class Faults:
    """The faults that are waiting for their moment."""

    def __init__(self) -> None:
        """Begins with none."""
        self._waiting: list[Fault] = []
        self._on_idle_fault: Callable[[], None] | None = None

    def on_idle_fault(self, callback: Callable[[], None]) -> None:
        """Has a function called when a fault for idle connections is added."""
        self._on_idle_fault = callback

    def add(self, *faults: Fault) -> None:
        """Adds faults; of several that match a moment, the oldest happens first."""
        self._waiting.extend(faults)
        if self._on_idle_fault and any(fault.moment == "idle" for fault in faults):
            self._on_idle_fault()

    def clear(self) -> None:
        """Removes all faults that have not happened yet."""
        self._waiting.clear()

    def __iter__(self) -> Iterator[Fault]:
        """The faults that are still waiting."""
        return iter(tuple(self._waiting))

    def __len__(self) -> int:
        """How many are still waiting."""
        return len(self._waiting)

    def as_json(self) -> list[dict[str, Any]]:
        """The waiting faults as JSON-able objects."""
        return [asdict(fault) for fault in self._waiting]

    def take(
        self,
        moment: Moment,
        transport: Transport,
        *,
        stream_id: str | None = None,
        deltas: int = 0,
    ) -> list[Fault]:
        """The faults that happen now, oldest first, each counted as having happened.

        At most one of them ends the response, the last one; others that would end it too keep
        waiting for the next occasion.

        Args:
            moment: What moment it is.
            transport: On which transport.
            stream_id: On which lane.
            deltas: How many deltas of the text or of the call there have been.

        Returns:
            The faults, usually none.
        """
        if not self._waiting:
            return []
        happening: list[Fault] = []
        for fault in tuple(self._waiting):
            if (
                fault.moment != moment
                or fault.after != deltas
                or fault.transport not in (None, transport)
                or fault.stream_id not in (None, stream_id)
            ):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            happening.append(fault)
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self._waiting.remove(fault)
            if fault.kind in _ENDING:
                break
        return happening
