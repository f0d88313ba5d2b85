"""The answer to one request, gathered from its events, whichever way they come."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any

from pipecat_responses.protocol.errors import ConnectionLostError, ResponsesError
from pipecat_responses.protocol.events import (
    Activity,
    Created,
    Event,
    Refused,
    Status,
    SteerAccepted,
    SteerFailed,
    SteerPending,
    Terminal,
    TextDelta,
    Usage,
)
from pipecat_responses.protocol.failures import Failure

_REFUSALS = frozenset(
    {
        Failure.MEMORY_LOST,
        Failure.LANES_USED_UP,
        Failure.NO_LANES,
        Failure.NO_WARM_UP,
        Failure.CONTENT,
        Failure.REQUEST,
        Failure.ENDPOINT,
    }
)
"""Failures that are the server's answer to what a request holds."""


class Answer:
    """What has come of a request so far.

    Attributes:
        lane: The lane it was sent on, or None.
        named: The lane that the server has named in its first event, or None.
        response_id: The response's id.
        text: What was said.
        deltas: In how many pieces.
        status: How it ended, or None if it did not.
        reason: Why it is incomplete, if the server said.
        output: The items that were put out.
        usage: Its tokens, if the server said.
        error: Why it was refused or lost.
        cancel_error: What the server said of a request to stop or to steer it, if it refused that.
        steer: What the server said of input that came while it ran, or None.
        begun: Is set with the first event of the response itself.
        speaking: Is set with the first piece of text.
        ended: Is set with the last event, or with the error.
        overlapped: Whether another response of the connection was running when it began.
    """

    def __init__(self, lane: str | None = None) -> None:
        """Begins with nothing."""
        self.lane = lane
        self.named: str | None = None
        self.response_id: str | None = None
        self.text = ""
        self.deltas = 0
        self.status: Status | None = None
        self.reason: str | None = None
        self.output: tuple[Any, ...] = ()
        self.usage: Usage | None = None
        self.error: ResponsesError | None = None
        self.cancel_error: ResponsesError | None = None
        self.steer: SteerAccepted | SteerPending | SteerFailed | None = None
        self.begun = asyncio.Event()
        self.speaking = asyncio.Event()
        self.ended = asyncio.Event()
        self.overlapped = False
        self._stopping = False

    @property
    def running(self) -> bool:
        """Whether it has begun, and has not ended."""
        return self.begun.is_set() and not self.ended.is_set()

    @property
    def refusal(self) -> ResponsesError | None:
        """Why there is none; None if one has begun, even if it broke off."""
        broke_off = self.begun.is_set() and self.status is not Status.FAILED
        return None if broke_off else self.error

    @property
    def input_tokens(self) -> int:
        """Tokens of its input, 0 if the server did not say."""
        return self.usage.input if self.usage is not None else 0

    def take(self, event: Event) -> None:
        """Takes the next event."""
        if self.ended.is_set() and not isinstance(
            event, Refused | SteerAccepted | SteerPending | SteerFailed
        ):
            return
        match event:
            case Created():
                self.response_id = event.response_id
            case TextDelta():
                self.text += event.text
                self.deltas += 1
                self.speaking.set()
            case Terminal():
                self._terminal(event)
            case Refused():
                if self._stopping:
                    self.cancel_error = self.cancel_error or event.error
                else:
                    self.fail(event.error)
                return
            case SteerAccepted() | SteerPending() | SteerFailed():
                self.steer = self.steer or event
                return
            case Activity():
                return
            case _:
                pass
        self.begun.set()

    def fail(self, error: ResponsesError) -> None:
        """Ends it, if it has not ended by itself."""
        if not self.ended.is_set():
            self.error = error
            self.ended.set()

    def stopping(self) -> None:
        """From now on an error may be the answer to a request to stop it, or to steer it."""
        self._stopping = True

    async def until_begun(self, within: float) -> None:
        """Waits for its first event, or for the error; a server that is silent is one."""
        await self._until({self.begun, self.ended}, within)

    async def until_speaking(self, within: float) -> None:
        """Waits for its first piece of text, or for its end, or for the error."""
        await self._until({self.speaking, self.ended}, within)

    async def until_ended(self, within: float) -> Answer:
        """Waits for its last event, or for the error; a server that is silent is one."""
        await self._until({self.ended}, within)
        return self

    async def _until(self, events: Iterable[asyncio.Event], within: float) -> None:
        waits = [asyncio.ensure_future(each.wait()) for each in events]
        try:
            done, _ = await asyncio.wait(waits, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        if not done:
            what = "no end of the answer" if self.begun.is_set() else "no answer"
            self.fail(
                ConnectionLostError(
                    f"The server took the request, and there was {what} within {within:g} s",
                    failure=Failure.TIMEOUT,
                )
            )

    def _terminal(self, event: Terminal) -> None:
        self.status, self.reason, self.usage = event.status, event.reason, event.usage
        self.response_id = event.response_id or self.response_id
        self.output = event.output or ()
        self.text = self.text or _text_of(self.output)
        self.error = event.error
        self.begun.set()
        self.ended.set()


def is_refusal(error: ResponsesError, *fields: str) -> bool:
    """Whether an error is the server's answer to what the request holds, and no trouble.

    Args:
        error: The error.
        fields: The fields that the request was about; an error without a code and a status of
            their own that names one of them is an answer as well.
    """
    if error.failure in _REFUSALS:
        return True
    # Some number their codes by the statuses that HTTP has.
    coded = error.code is not None and not re.fullmatch(r"4\d\d", error.code)
    vague = error.status is None and not coded and error.failure is Failure.SERVER
    return vague and named_field(error, fields) is not None


def named_field(error: ResponsesError, fields: Iterable[str]) -> str | None:
    """Which of some fields, given by their dotted paths, an error is about."""
    longest_first = sorted(fields, key=len, reverse=True)
    param = re.sub(r"\[\d+\]", "", error.param or "")
    for name in longest_first:
        if param and (
            param == name or name.startswith(f"{param}.") or param.startswith(f"{name}.")
        ):
            return name
    for name in longest_first:
        if re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", error.message):
            return name
    for name in longest_first:
        last = name.rpartition(".")[2]
        if last != name and re.search(rf"\b{re.escape(last)}\b", error.message):
            return name
    return None


def _text_of(output: tuple[Any, ...]) -> str:
    parts = [
        part.get("text") or ""
        for item in output
        if isinstance(item, dict) and item.get("type") == "message"
        for part in item.get("content") or ()
        if isinstance(part, dict)
    ]
    return "".join(parts)
