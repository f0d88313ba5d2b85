"""``/v1/responses/{id}``: what becomes of responses after they were asked for."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from pipecat_responses.sandbox import opaque
from pipecat_responses.sandbox.background import Background, Job
from pipecat_responses.sandbox.conversations import check_id
from pipecat_responses.sandbox.endpoints import query
from pipecat_responses.sandbox.engine import Engine
from pipecat_responses.sandbox.errors import ApiError
from pipecat_responses.sandbox.http import HttpSink, json_response, send_events
from pipecat_responses.sandbox.listed import listed_input
from pipecat_responses.sandbox.transcript import Item


class StoredApi:
    """Answers requests about responses that there are."""

    def __init__(self, engine: Engine, background: Background) -> None:
        """Shares what is stored, and what runs in the background."""
        self._engine = engine
        self._background = background

    def routes(self) -> list[web.RouteDef]:
        """The endpoint's routes."""
        one = "/v1/responses/{response_id}"
        return [
            web.get(one, self.retrieve),
            web.delete(one, self.delete),
            web.post(f"{one}/cancel", self.cancel),
            web.get(f"{one}/input_items", self.input_items),
        ]

    async def retrieve(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/responses/{id}``: the response, or the events of one in the background."""
        include = query.included(request)
        body, job = self._find(request)
        if not query.flag(request, "stream", default=False):
            return json_response(_with_encrypted_reasoning(body) if _ENCRYPTED in include else body)
        if job is None:
            raise _not_streamable("because it was not created with background=true.")
        if not job.streamed:
            raise _not_streamable("because it was not created with stream=true.")
        if not self._background.replayable(job):
            minutes = self._engine.config.replay_secs / 60
            raise _not_streamable(
                f"because it is more than {minutes:g} minutes old", never="can no longer"
            )
        after = query.integer(request, "starting_after", 0, None)
        obfuscation = query.flag(request, "include_obfuscation", default=True)
        sink = HttpSink(request, streaming=True)
        job.log.join(sink)
        after = -1 if after is None else after
        return await send_events(sink, job, after=after, obfuscation=obfuscation)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """``DELETE /v1/responses/{id}``."""
        body, job = self._find(request)
        if job is not None and job.running:
            # As Azure's hosting library says it; OpenAI's documentation is silent.
            raise ApiError("Cannot delete an in-flight response.", param="response_id")
        self._background.drop(body["id"])
        self._engine.store.drop(body["id"])
        return json_response({"id": body["id"], "object": "response", "deleted": True})

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/responses/{id}/cancel``: for responses in the background only."""
        body, job = self._find(request)
        if job is None:
            raise ApiError("Cannot cancel a synchronous response.", param="response_id")
        config = self._engine.config
        if job.running:
            await job.cancel(with_event=config.cancelled_stream == "incomplete")
        elif body["status"] != "cancelled" and config.cancel_finished == "rejected":
            raise ApiError(f"Cannot cancel a {body['status']} response.", param="response_id")
        return json_response(job.response)

    async def input_items(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/responses/{id}/input_items``: what the model saw, page by page."""
        query.included(request)
        page = query.Page.of(request)
        body, job = self._find(request)
        given = job.given if job is not None else self._engine.store.inputs[body["id"]]
        own = self._engine.config.listed_input == "own"
        return json_response(page.of_list(listed_input(given, only_added=own)))

    def _find(self, request: web.Request) -> tuple[dict[str, Any], Job | None]:
        """The response that a request is about, and its job if it is one of the background.

        Raises:
            ApiError: When there is none.
        """
        response_id = request.match_info["response_id"]
        check_id(response_id, "resp", "response_id")
        job = self._background.find(response_id)
        body = job.response if job is not None else self._engine.store.bodies.get(response_id)
        if body is None:
            raise ApiError(f"Response with id '{response_id}' not found.", status=404)
        return body, job


_ENCRYPTED = "reasoning.encrypted_content"


def _with_encrypted_reasoning(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "output": [_encrypted(item) for item in body["output"]]}


def _encrypted(item: Item) -> Item:
    if item["type"] != "reasoning" or item.get("encrypted_content"):
        return item
    thoughts = [part["text"] for part in item["summary"]]
    return {**item, "encrypted_content": opaque.pack({"id": item["id"], "thoughts": thoughts})}


def _not_streamable(reason: str, *, never: str = "cannot") -> ApiError:
    return ApiError(
        f"This response {never} be streamed {reason}", code="invalid_request_error", param="stream"
    )
