"""``/v1/models``."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from pipecat_responses.sandbox.config import SandboxConfig
from pipecat_responses.sandbox.errors import ApiError
from pipecat_responses.sandbox.http import json_response


class ModelsApi:
    """Answers requests about models."""

    def __init__(self, config: SandboxConfig) -> None:
        """Shares the configuration, which names the models."""
        self._config = config

    def routes(self) -> list[web.RouteDef]:
        """The endpoint's routes; a model's name may have slashes."""
        return [
            web.get("/v1/models", self.list),
            web.get("/v1/models/{model:.+}", self.retrieve),
        ]

    async def list(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/models``."""
        models = [_body(name) for name in self._config.model_names()]
        return json_response({"object": "list", "data": models})

    async def retrieve(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/models/{id}``."""
        name = request.match_info["model"]
        if not self._config.accepts_model(name):
            raise ApiError(
                f"The model '{name}' does not exist",
                status=404,
                code="model_not_found",
                param="model",
            )
        return json_response(_body(name))


def _body(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "openai"}
