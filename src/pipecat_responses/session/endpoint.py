"""A second server, for hedges and for turns whose own server is lost.

Nothing that only the first server knows goes there: no id of its responses, no reasoning that it
has encrypted. And nothing that only the second can read comes back into the context.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from pipecat_responses.protocol.events import Event, ItemDone, Terminal, Usage
from pipecat_responses.protocol.items import Compaction, Item, Reasoning
from pipecat_responses.protocol.requests import Request, no_message
from pipecat_responses.session.exchange import Exchange
from pipecat_responses.session.stats import SessionStats, TurnReport
from pipecat_responses.session.timing import Milestones

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from pipecat_responses.session.http import HttpSession

ELSEWHERE: dict[str, Any] = {"conversation": None, "previous_response_id": None, "store": False}
"""Fields of a request that mean something at one server only; nothing is gone on from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A second server. Requests go there over HTTP.

    Attributes:
        base_url: The API's base URL.
        api_key: Its API key, or an async callable that gives one. Left out, it is read from the
            environment as the service's own is, by what kind of server the address tells.
        model: The model to ask for there; None for the same.
        fields: Fields of the request that are different there, by the API's names; None takes a
            field away: ``{"reasoning": {"effort": "low"}, "service_tier": None}``.
    """

    base_url: str
    api_key: str | Callable[[], Awaitable[str]] | None = field(default=None, repr=False)
    model: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


class EndpointSession:
    """Sends a conversation's requests to a second server, one by one."""

    def __init__(self, endpoint: Endpoint, http: HttpSession, client: AsyncOpenAI) -> None:
        """Creates it; nothing is sent.

        Args:
            endpoint: The server.
            http: A session with it that remembers nothing.
            client: The client behind that, to be closed with it.
        """
        self._client = client
        self._changes = {**ELSEWHERE, **endpoint.fields}
        if endpoint.model is not None:
            self._changes["model"] = endpoint.model
        self._http = http

    @property
    def stats(self) -> SessionStats:
        """Counters."""
        return self._http.stats

    @property
    def reached(self) -> bool:
        """Whether the server has been there at all."""
        return self._http.reached

    @property
    def turns_off(self) -> bool:
        """Whether the next request goes another way: there is one only."""
        return False

    def takes(self, request: Request) -> bool:
        """Whether a conversation can go there: what one server has compacted no other can read."""
        return Compaction not in set(map(type, request.items))

    async def respond(self, request: Request) -> Exchange:
        """Sends a request; its answer is awaited through what is returned."""
        readable = [item for item in request.items if not isinstance(item, Reasoning)]
        fields = request.fields.changed(**self._changes)
        there = replace(request, fields=fields, items=readable, message_of=no_message, marks=())
        return _EndpointExchange(await self._http.respond(there))

    async def close(self) -> None:
        """Closes every answer that still runs, and the connections."""
        await self._http.close()
        await self._client.close()


class _EndpointExchange:
    """A request to the second server, whose answer the first one can read."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @property
    def number(self) -> int | None:
        """Its number, for those who look."""
        return self._exchange.number

    @property
    def report(self) -> TurnReport | None:
        """How the request went out."""
        report = self._exchange.report
        return None if report is None else replace(report, endpoint=True)

    @property
    def request_id(self) -> str | None:
        """What the server calls the request."""
        return self._exchange.request_id

    @property
    def usage(self) -> Usage | None:
        """The tokens of the response, once it has ended."""
        return self._exchange.usage

    @property
    def milestones(self) -> Milestones:
        """How far it has got when."""
        return self._exchange.milestones

    @property
    def sent(self) -> bool:
        """Whether the request has left."""
        return self._exchange.sent

    async def next(self, within: float | None = None) -> list[Event]:
        """Waits for events."""
        return [_readable(event) for event in await self._exchange.next(within)]

    def waiting(self) -> list[Event]:
        """Takes the events that wait."""
        return [_readable(event) for event in self._exchange.waiting()]

    @property
    def steerable(self) -> bool:
        """Whether the server may take more input now."""
        return self._exchange.steerable

    def steer(self, items: Sequence[Item]) -> bool:
        """Gives the server more input."""
        return self._exchange.steer(items)

    async def probe(self, within: float) -> None:
        """Finds out whether the server is there at all."""
        await self._exchange.probe(within)

    def abandon(self, *, unanswered: bool = False) -> None:
        """Stops listening."""
        self._exchange.abandon(unanswered=unanswered)


def _readable(event: Event) -> Event:
    """An event without reasoning that the next request could not give back to another server."""
    if isinstance(event, ItemDone) and event.kind == "reasoning":
        return msgspec.structs.replace(event, item=_opened(event.item))
    if isinstance(event, Terminal) and event.output is not None:
        return msgspec.structs.replace(event, output=tuple(map(_opened, event.output)))
    return event


def _opened(item: Any) -> Any:
    if not isinstance(item, Mapping) or item.get("type") != "reasoning":
        return item
    return {name: value for name, value in item.items() if name != "encrypted_content"}
