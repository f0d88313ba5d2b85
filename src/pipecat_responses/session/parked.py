"""A response that was interrupted before it was heard, and may still be the answer.

When the user speaks while the model thinks or a tool of the server runs, and nothing has been
heard, the turn need not begin anew: the response is parked. If what the user has said is all that
is new in the next turn's request, it is given to the response, and the next turn goes on with that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipecat_responses.protocol.events import (
    Activity,
    Began,
    Created,
    Event,
    ItemAdded,
    ItemDone,
    ThoughtDelta,
)
from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.progress import ResponseProgress
from pipecat_responses.protocol.requests import Request
from pipecat_responses.protocol.steering import can_be_given
from pipecat_responses.session.answer import Answer
from pipecat_responses.session.exchange import Exchange

_NOT_OURS = ("message", "function_call", "custom_tool_call", "mcp_approval_request")
"""Items that are an answer, or that somebody has to answer."""


@dataclass(frozen=True, slots=True)
class ParkedResponse:
    """A response that goes on while the user speaks.

    Attributes:
        exchange: The request and what answers it.
        stream: How far it had come.
        answer: What had come of it: items for the context, and nothing to be heard.
        request: What was asked.
    """

    exchange: Exchange
    stream: ResponseProgress
    answer: Answer
    request: Request

    def said_meanwhile(self, request: Request) -> Sequence[Item] | None:
        """What the user has said since, if a request asks for the same but for that.

        Args:
            request: The next turn's request.
        """
        asked = self.request
        before = len(asked.items)
        same = asked.fields is request.fields or asked.fields.same_as(request.fields.values)
        if not same or request.items[:before] != asked.items:
            return None
        kept = list(self.answer.kept)
        said: list[Item] = []
        for item in request.items[before:]:
            # They may stand on either side of what was said.
            if item in kept:
                kept.remove(item)
            else:
                said.append(item)
        return said if can_be_given(said) and not kept else None

    def abandon(self) -> None:
        """Nothing comes of it."""
        self.exchange.abandon()


def is_unheard(events: Iterable[Event]) -> bool:
    """Whether events say nothing that would have been heard, or run: thoughts, hosted tools."""
    return all(
        each.kind not in _NOT_OURS
        if isinstance(each, (ItemAdded, ItemDone))
        else isinstance(each, (Created, Began, Activity, ThoughtDelta))
        for each in events
    )
