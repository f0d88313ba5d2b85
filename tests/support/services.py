"""Services of ours that talk to a sandbox."""

from __future__ import annotations

from typing import Any

from pipecat_responses import OpenAIResponsesHttpLLMService, OpenAIResponsesLLMService
from pipecat_responses.sandbox import Sandbox

KEY = "sk-test-0123456789"


def websocket_service(sandbox: Sandbox, **kwargs: Any) -> OpenAIResponsesLLMService:
    return OpenAIResponsesLLMService(**{**_at(sandbox), **kwargs})


def http_service(sandbox: Sandbox, **kwargs: Any) -> OpenAIResponsesHttpLLMService:
    return OpenAIResponsesHttpLLMService(**{**_at(sandbox), **kwargs})


def _at(sandbox: Sandbox) -> dict[str, Any]:
    return {"api_key": KEY, "base_url": sandbox.base_url, "ssl_context": sandbox.ssl_context}


SERVICES = {"websocket": websocket_service, "http": http_service}
