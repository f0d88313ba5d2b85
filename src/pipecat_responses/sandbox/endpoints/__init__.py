"""What the API has beside the making of responses: what is stored, counted, listed and uploaded."""

from __future__ import annotations

from aiohttp import web

from pipecat_responses.sandbox.background import Background
from pipecat_responses.sandbox.endpoints.conversations import ConversationsApi
from pipecat_responses.sandbox.endpoints.files import FilesApi
from pipecat_responses.sandbox.endpoints.inputs import InputsApi
from pipecat_responses.sandbox.endpoints.models import ModelsApi
from pipecat_responses.sandbox.endpoints.stored import StoredApi
from pipecat_responses.sandbox.engine import Engine


def routes(engine: Engine, background: Background) -> list[web.RouteDef]:
    """The routes of all these endpoints, in the order in which they are to be tried."""
    return [
        *InputsApi(engine).routes(),
        *StoredApi(engine, background).routes(),
        *ConversationsApi(engine).routes(),
        *FilesApi(engine).routes(),
        *ModelsApi(engine.config).routes(),
    ]
