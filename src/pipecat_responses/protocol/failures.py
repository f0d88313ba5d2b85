"""Failures: what kinds there are, what each means, and what a client does about it."""

from __future__ import annotations

from enum import StrEnum


class Failure(StrEnum):
    """What kind of failure it is. ``explanation`` says it in a sentence."""

    MEMORY_LOST = "memory_lost"
    CONNECTION_EXPIRED = "connection_expired"
    LANES_USED_UP = "lanes_used_up"
    NO_LANES = "no_lanes"
    NO_WARM_UP = "no_warm_up"
    CANCEL_REFUSED = "cancel_refused"
    OPTION_REFUSED = "option_refused"
    NOT_STEERED = "not_steered"
    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    NO_KEY = "no_key"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    MODEL = "model"
    REASONING = "reasoning"
    CONTENT = "content"
    REQUEST = "request"
    ENDPOINT = "endpoint"
    SERVER = "server"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    UNENDED = "unended"
    PROTOCOL = "protocol"
    EMPTY = "empty"
    CLOSED = "closed"

    @property
    def explanation(self) -> str:
        """What it means, in a sentence."""
        return EXPLANATIONS[self]


EXPLANATIONS: dict[Failure, str] = {
    Failure.MEMORY_LOST: "The server no longer remembers the response a request continues from.",
    Failure.CONNECTION_EXPIRED: "The connection has reached the age at which the server ends it.",
    Failure.LANES_USED_UP: "The connection takes no more names of lanes.",
    Failure.NO_LANES: "The server has no lanes: it refuses or ignores stream_id.",
    Failure.NO_WARM_UP: "The server does not take generate: false.",
    Failure.CANCEL_REFUSED: (
        "The server refused something without saying what: a response.cancel, or this request."
    ),
    Failure.OPTION_REFUSED: "The server does not take an optional part of the request.",
    Failure.NOT_STEERED: "The server does not go on with what was said while it answered.",
    Failure.RATE_LIMIT: "Too many requests or tokens for now; the server says when to come back.",
    Failure.QUOTA: "The account has no money or no quota left.",
    Failure.NO_KEY: "Whatever gives the API key gave none that can be used.",
    Failure.AUTHENTICATION: "The server does not accept the API key.",
    Failure.PERMISSION: "The API key is known, and may not do this.",
    Failure.MODEL: "There is no such model, or not for this account.",
    Failure.REASONING: "The server cannot read encrypted reasoning that is in the context.",
    Failure.CONTENT: "The server will not process what this turn says; another turn may pass.",
    Failure.REQUEST: "The server refuses something in this request: its tools, say, or a field.",
    Failure.ENDPOINT: "There is no Responses API at this address.",
    Failure.SERVER: "The server failed, or is overloaded, for the moment.",
    Failure.TIMEOUT: "Something took longer than its limit.",
    Failure.CONNECTION: "A connection could not be opened, or broke off.",
    Failure.UNENDED: "The server ended the stream without the response's terminal event.",
    Failure.PROTOCOL: "The server sent something that is not of the protocol.",
    Failure.EMPTY: "The response completed and put nothing out.",
    Failure.CLOSED: "The session was closed on this side.",
}
"""Every failure has its sentence (a test holds that)."""


class Recovery(StrEnum):
    """What a client does about a failure while nothing has been said yet."""

    FULL_INPUT = "send everything, at once"
    RECONNECT = "open a new connection and send everything, at once"
    OTHER_LANE = "use another lane or connection, at once"
    WITHOUT_LANES = "send again without a lane's name, at once"
    WITHOUT_OPTION = "send again without what was refused, at once"
    RETRY = "try again after a moment"
    ONCE_MORE = "try once more"
    REPORT = "report it; the next turn may work"
    PERMANENT = "report it; nothing will work until something is changed"


RECOVERIES: dict[Failure, Recovery] = {
    Failure.MEMORY_LOST: Recovery.FULL_INPUT,
    Failure.CONNECTION_EXPIRED: Recovery.RECONNECT,
    Failure.LANES_USED_UP: Recovery.OTHER_LANE,
    Failure.NO_LANES: Recovery.WITHOUT_LANES,
    Failure.NO_WARM_UP: Recovery.REPORT,
    Failure.CANCEL_REFUSED: Recovery.OTHER_LANE,
    Failure.OPTION_REFUSED: Recovery.WITHOUT_OPTION,
    Failure.NOT_STEERED: Recovery.OTHER_LANE,
    Failure.RATE_LIMIT: Recovery.RETRY,
    Failure.QUOTA: Recovery.PERMANENT,
    Failure.NO_KEY: Recovery.REPORT,
    Failure.AUTHENTICATION: Recovery.PERMANENT,
    Failure.PERMISSION: Recovery.PERMANENT,
    Failure.MODEL: Recovery.PERMANENT,
    Failure.REASONING: Recovery.REPORT,
    Failure.CONTENT: Recovery.REPORT,
    Failure.REQUEST: Recovery.REPORT,
    Failure.ENDPOINT: Recovery.PERMANENT,
    Failure.SERVER: Recovery.RETRY,
    Failure.TIMEOUT: Recovery.RETRY,
    Failure.CONNECTION: Recovery.RETRY,
    Failure.UNENDED: Recovery.RETRY,
    Failure.PROTOCOL: Recovery.RETRY,
    Failure.EMPTY: Recovery.ONCE_MORE,
    Failure.CLOSED: Recovery.REPORT,
}
"""What is done about each failure. Every failure has its row (a test holds that)."""
