"""Requests that are not answered by a model: their tokens counted, or their items compacted."""

from __future__ import annotations

import time

from aiohttp import web

from pipecat_responses.sandbox.composer import compaction_item, new_id
from pipecat_responses.sandbox.engine import Engine
from pipecat_responses.sandbox.http import json_response, read_json
from pipecat_responses.sandbox.listed import listed
from pipecat_responses.sandbox.requests import check_compact_request, check_count_request
from pipecat_responses.sandbox.text import count_tokens


class InputsApi:
    """Answers requests about the input of responses that are not made."""

    def __init__(self, engine: Engine) -> None:
        """Shares what continued requests refer to."""
        self._engine = engine

    def routes(self) -> list[web.RouteDef]:
        """The endpoint's routes."""
        return [
            web.post("/v1/responses/input_tokens", self.input_tokens),
            web.post("/v1/responses/compact", self.compact),
        ]

    async def input_tokens(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/responses/input_tokens``: how many tokens a request's input would be."""
        body, _ = await read_json(request, self._engine.config.max_body)
        tokens = self._engine.input_tokens(body, check_count_request)
        return json_response({"object": "response.input_tokens", "input_tokens": tokens})

    async def compact(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/responses/compact``: what the user said, and an item for all that was sent."""
        body, _ = await read_json(request, self._engine.config.max_body)
        history = self._engine.history_of(body, check_compact_request)
        item = compaction_item(history.items())
        said = [
            listed({**each, "id": new_id("msg")})
            for each in history.items()
            if each.get("role") == "user"
        ]
        output_tokens = count_tokens(item["encrypted_content"])
        return json_response(
            {
                "id": new_id("resp"),
                "object": "response.compaction",
                "created_at": int(time.time()),
                "output": [*said, item],
                "usage": {
                    "input_tokens": history.tokens,
                    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                    "output_tokens": output_tokens,
                    "output_tokens_details": {"reasoning_tokens": 0},
                    "total_tokens": history.tokens + output_tokens,
                },
            }
        )
