"""``/v1/conversations``."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from pipecat_responses.sandbox import shapes
from pipecat_responses.sandbox.conversations import Conversation
from pipecat_responses.sandbox.endpoints import query
from pipecat_responses.sandbox.engine import Engine
from pipecat_responses.sandbox.errors import invalid_type
from pipecat_responses.sandbox.http import json_response, read_json
from pipecat_responses.sandbox.items import check_item
from pipecat_responses.sandbox.transcript import Item

_MAX_ITEMS = 20


class ConversationsApi:
    """Answers requests about conversations and their items."""

    def __init__(self, engine: Engine) -> None:
        """Shares the conversations."""
        self._engine = engine
        self._conversations = engine.conversations

    def routes(self) -> list[web.RouteDef]:
        """The endpoint's routes."""
        one = "/v1/conversations/{conversation_id}"
        return [
            web.post("/v1/conversations", self.create),
            web.get(one, self.retrieve),
            web.post(one, self.update),
            web.delete(one, self.delete),
            web.get(f"{one}/items", self.items),
            web.post(f"{one}/items", self.add_items),
            web.get(f"{one}/items/{{item_id}}", self.item),
            web.delete(f"{one}/items/{{item_id}}", self.delete_item),
        ]

    async def create(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/conversations``."""
        body = await self._body(request)
        shapes.fields(body, "", {}, {"items": _items, "metadata": shapes.metadata})
        conversation = self._conversations.create(
            self._resolved(body.get("items") or []),
            body.get("metadata") or {},
            maximum=self._engine.config.max_stored,
        )
        return json_response(conversation.body())

    async def retrieve(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/conversations/{id}``."""
        return json_response(self._find(request).body())

    async def update(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/conversations/{id}``: other metadata."""
        conversation = self._find(request)
        body = await self._body(request)
        shapes.fields(body, "", {"metadata": shapes.nullable(shapes.metadata)}, {})
        conversation.metadata = body["metadata"] or {}
        return json_response(conversation.body())

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """``DELETE /v1/conversations/{id}``."""
        conversation = self._find(request)
        self._conversations.delete(conversation.id)
        return json_response(
            {"id": conversation.id, "object": "conversation.deleted", "deleted": True}
        )

    async def items(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/conversations/{id}/items``: page by page."""
        query.included(request)
        page = query.Page.of(request)
        return json_response(page.of_list(self._find(request).transcript.items()))

    async def add_items(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/conversations/{id}/items``: up to 20 at a time."""
        query.included(request)
        conversation = self._find(request)
        body = await self._body(request)
        shapes.fields(body, "", {"items": _items}, {})
        conversation.check_free()
        return json_response(query.whole_list(conversation.add(self._resolved(body["items"]))))

    async def item(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/conversations/{id}/items/{id}``."""
        query.included(request)
        return json_response(self._find(request).item(request.match_info["item_id"]))

    async def delete_item(self, request: web.Request) -> web.StreamResponse:
        """``DELETE /v1/conversations/{id}/items/{id}``."""
        conversation = self._find(request)
        conversation.check_free()
        conversation.remove(request.match_info["item_id"])
        return json_response(conversation.body())

    def _find(self, request: web.Request) -> Conversation:
        return self._conversations.find(
            request.match_info["conversation_id"], param="conversation_id"
        )

    async def _body(self, request: web.Request) -> dict[str, Any]:
        if not request.can_read_body:
            return {}
        body, _ = await read_json(request, self._engine.config.max_body)
        return body

    def _resolved(self, items: list[Item]) -> list[Item]:
        """Items with what they refer to in their place."""
        return self._engine.resolved(items, stored=True)


def _items(value: object, param: str) -> None:
    if not isinstance(value, list):
        raise invalid_type(param, "an array of input items", value)
    shapes.array_length(value, param, maximum=_MAX_ITEMS)
    for index, item in enumerate(value):
        check_item(item, f"{param}[{index}]")
