"""What a scripted server does in answer to a request, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.histories.meaning import Meaning, Wire, events_of, output_of


@dataclass
class Asked:
    """A request that has come.

    Attributes:
        number: How many requests there have been, this one included.
        transport: ``websocket`` or ``http``.
        connection: The number of the connection it came on.
        body: The request, parsed.
        headers: The headers of the connection or the request, in lower case.
        told: Everything the server has been told with it: what its parent knew, and its input.
            None if the parent is unknown.
    """

    number: int
    transport: str
    connection: int
    body: Wire
    headers: dict[str, str]
    told: list[Wire] | None = None

    @property
    def lane(self) -> str | None:
        lane = self.body.get("stream_id")
        return lane if isinstance(lane, str) else None

    @property
    def parent(self) -> str | None:
        parent = self.body.get("previous_response_id")
        return parent if isinstance(parent, str) else None

    @property
    def response_id(self) -> str:
        """The id that a proper answer to it has."""
        return f"resp_{self.number}"


@dataclass(frozen=True)
class Send:
    """Sends an event.

    Attributes:
        event: The event.
        lane: Whether it carries the request's ``stream_id``, if that has one.
    """

    event: Wire
    lane: bool = True


@dataclass(frozen=True)
class Raw:
    """Sends what may be no event: a text message, or the data of a server-sent event."""

    text: str


@dataclass(frozen=True)
class Body:
    """Sends bytes of an HTTP body as they are; over WebSocket, bytes outside any frame."""

    data: bytes


@dataclass(frozen=True)
class Head:
    """Answers with another HTTP head than that of an event stream (HTTP only).

    Attributes:
        status: The status.
        headers: The headers.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class KeepAlive:
    """Shows that the server is there: ``event``, ``comment`` (HTTP) or ``ping`` (WebSocket)."""

    kind: str = "event"


@dataclass(frozen=True)
class Wait:
    """Goes on once the test opens a gate of this name."""

    gate: str


@dataclass(frozen=True)
class Elapse:
    """Lets time pass: the time that this server takes is what the test is about."""

    seconds: float


@dataclass(frozen=True)
class Close:
    """Closes the connection properly; over HTTP, ends the body."""

    code: int = 1000


@dataclass(frozen=True)
class Reset:
    """Ends the connection without a word."""


@dataclass(frozen=True)
class Cut:
    """Sends the beginning of an event's bytes, and ends the connection.

    Attributes:
        event: The event.
        at: How many of its bytes arrive.
    """

    event: Wire
    at: int


@dataclass(frozen=True)
class Silence:
    """Says nothing more until the connection ends."""


Step: TypeAlias = (
    Send | Raw | Body | Head | KeepAlive | Wait | Elapse | Close | Reset | Cut | Silence
)


@dataclass(frozen=True)
class Script:
    """The answer to one request.

    Attributes:
        steps: What is done.
        output: What the server remembers to have put out, once the response has completed.
            Left out, it is what the terminal event says.
    """

    steps: Sequence[Step]
    output: Sequence[Wire] | None = None


Answer: TypeAlias = Callable[[Asked], Script]
"""Makes the script once the request is known, since the script's ids follow from it."""


def sends(events: Sequence[Wire]) -> list[Step]:
    """Steps that send events and nothing else."""
    return [Send(event) for event in events]


def proper(meaning: Meaning) -> Answer:
    """An answer as it should be."""

    def answer(asked: Asked) -> Script:
        output = output_of(meaning, asked.response_id)
        return Script(sends(events_of(meaning, asked.response_id)), output)

    return answer


def changed(meaning: Meaning, change: Callable[[list[Wire]], Sequence[Wire | Step]]) -> Answer:
    """A proper answer to whose events something is done.

    Args:
        meaning: What is meant.
        change: From the proper events, makes what is sent: events and other steps.
    """

    def answer(asked: Asked) -> Script:
        chosen = change(events_of(meaning, asked.response_id))
        steps = [Send(each) if isinstance(each, dict) else each for each in chosen]
        return Script(steps, output_of(meaning, asked.response_id))

    return answer


def only(*steps: Step) -> Answer:
    """The same steps, whatever was asked."""
    return lambda _: Script(steps)


def error(
    status: int | None, message: str, *, nested: bool = True, lane: bool = True, **facts: Any
) -> Send:
    """An ``error`` event.

    Args:
        status: Its HTTP status, if it has one.
        message: Its message.
        nested: Whether the details are in an object of their own, as over WebSocket.
        lane: Whether it names the request's lane.
        **facts: ``code``, ``type``, ``param``.
    """
    details = {"message": message, **facts}
    own: Wire = {} if status is None else {"status": status}
    if nested:
        return Send({"type": "error", **own, "error": details}, lane)
    # Flat, there is no room for the details' own type.
    return Send({**details, **own, "type": "error"}, lane)
