"""``/_sandbox``, for tests in other processes and languages: what to answer, and what was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from pipecat_responses.sandbox.control import as_bad_request, json_of, listed
from pipecat_responses.sandbox.http import json_response
from pipecat_responses.sandbox.records import RecordedRequest
from pipecat_responses.sandbox.scenario import parse, scenario_from_json
from pipecat_responses.sandbox.stubs import stub_from_json

if TYPE_CHECKING:
    from pipecat_responses.sandbox.server import Sandbox


class Inspection:
    """The handlers of stubs, of the journal, and of a fresh start."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Controls a sandbox."""
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        """The endpoint's routes."""
        return [
            web.get("/_sandbox/requests", self.requests),
            web.post("/_sandbox/reset", self.reset),
            web.get("/_sandbox/scenario", self.scenario),
            web.post("/_sandbox/scenario", self.play),
            web.get("/_sandbox/when", self.stubs),
            web.post("/_sandbox/when", self.add_stubs),
            web.delete("/_sandbox/when", self.clear_stubs),
        ]

    async def requests(self, request: web.Request) -> web.StreamResponse:
        """``GET /_sandbox/requests?since=N&history=1``: requests with their bodies.

        They are those from the Nth on, or with ``since=-N`` the newest N.
        """
        journal = self._sandbox.requests
        with as_bad_request():
            since = int(request.query.get("since", 0))
        first = max(0, since - journal.dropped if since >= 0 else len(journal) + since)
        history = request.query.get("history") in ("1", "true")
        return json_response(
            {
                "dropped": journal.dropped,
                "requests": [
                    {"number": journal.dropped + index, **record_as_json(record, history=history)}
                    for index, record in enumerate(journal[first:], first)
                ],
            }
        )

    async def reset(self, request: web.Request) -> web.StreamResponse:
        """``POST /_sandbox/reset``: as it was at the start."""
        self._sandbox.reset()
        return json_response({"reset": True})

    async def scenario(self, request: web.Request) -> web.StreamResponse:
        """``GET /_sandbox/scenario``: how the scenario goes; null without one."""
        run = self._sandbox.scenario
        return json_response(run.as_json() if run is not None else None)

    async def play(self, request: web.Request) -> web.StreamResponse:
        """``POST /_sandbox/scenario``: JSON, or YAML if the content type says so."""
        with as_bad_request():
            text = (await request.read()).decode()
            value = parse(text, yaml="yaml" in request.content_type)
            self._sandbox.play(scenario_from_json(value))
        return await self.scenario(request)

    async def stubs(self, request: web.Request) -> web.StreamResponse:
        """``GET /_sandbox/when``: the stubs, and how many requests each has answered."""
        return json_response([stub.as_json() for stub in self._sandbox.stubs])

    async def add_stubs(self, request: web.Request) -> web.StreamResponse:
        """``POST /_sandbox/when``: one stub, or an array of them."""
        body = await json_of(request)
        with as_bad_request():
            stubs = [stub_from_json(value) for value in listed(body)]
        for stub in stubs:
            self._sandbox.stubs.add(stub)
        return await self.stubs(request)

    async def clear_stubs(self, request: web.Request) -> web.StreamResponse:
        """``DELETE /_sandbox/when``."""
        self._sandbox.stubs.clear()
        return json_response([])


def record_as_json(record: RecordedRequest, *, history: bool = False) -> dict[str, Any]:
    """A request and what became of it.

    Args:
        record: The request.
        history: Whether to tell all items that the model saw, too.
    """
    told: dict[str, Any] = {
        "transport": record.transport,
        "connection": record.connection,
        "stream_id": record.stream_id,
        "headers": dict(record.headers),
        "body": record.body,
        "size": record.size,
        "received_at": record.received_at,
        "incremental": record.incremental,
        "response_id": record.response_id,
        "outcome": record.outcome,
        "output": record.output,
    }
    if history:
        told["history"] = record.history
    return told
