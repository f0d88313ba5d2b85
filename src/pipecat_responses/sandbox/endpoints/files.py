"""``/v1/files``."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from pipecat_responses.sandbox import shapes
from pipecat_responses.sandbox.endpoints import query
from pipecat_responses.sandbox.engine import Engine
from pipecat_responses.sandbox.errors import ApiError, invalid_type, missing_parameter
from pipecat_responses.sandbox.files import PURPOSES, File
from pipecat_responses.sandbox.http import json_response

_NOT_GIVEN_BACK = ("assistants", "user_data", "vision")
_MAX_PAGE = 10_000
_SHORTEST, _LONGEST = 3600, 2_592_000


class FilesApi:
    """Answers requests about files."""

    def __init__(self, engine: Engine) -> None:
        """Shares the files."""
        self._config = engine.config
        self._files = engine.files
        self._bound = engine.bounds.stored

    def routes(self) -> list[web.RouteDef]:
        """The endpoint's routes."""
        return [
            web.post("/v1/files", self.create),
            web.get("/v1/files", self.list),
            web.get("/v1/files/{file_id}", self.retrieve),
            web.delete("/v1/files/{file_id}", self.delete),
            web.get("/v1/files/{file_id}/content", self.content),
        ]

    async def create(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/files``: as ``multipart/form-data``."""
        if request.content_type != "multipart/form-data":
            raise ApiError("The body has to be multipart/form-data.")
        try:
            form = await request.post()
        except ValueError as error:
            raise ApiError("We could not parse the multipart body of your request.") from error
        shapes.require(dict(form), "", ["file", "purpose"])
        uploaded, purpose = form["file"], form["purpose"]
        if not isinstance(uploaded, web.FileField):
            raise invalid_type("file", "a file", uploaded)
        shapes.choice(*PURPOSES)(purpose, "purpose")
        file = File(uploaded.filename, str(purpose), uploaded.file.read(), _lifetime(dict(form)))
        self._files.add(file, maximum=self._config.max_stored)
        self._bound.settle()
        return json_response(file.body())

    async def list(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/files``: page by page."""
        page = query.Page.of(request, default=_MAX_PAGE, maximum=_MAX_PAGE)
        purpose = request.query.get("purpose")
        files = (file for file in self._files.all() if purpose in (None, file.purpose))
        return json_response(page.of_list(file.body() for file in files))

    async def retrieve(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/files/{id}``."""
        return json_response(self._find(request).body())

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """``DELETE /v1/files/{id}``."""
        file = self._find(request)
        self._files.delete(file.id)
        return json_response({"id": file.id, "object": "file", "deleted": True})

    async def content(self, request: web.Request) -> web.StreamResponse:
        """``GET /v1/files/{id}/content``: for purposes whose files are given back."""
        file = self._find(request)
        if file.purpose in _NOT_GIVEN_BACK:
            raise ApiError(f"Not allowed to download files of purpose: {file.purpose}")
        return web.Response(body=file.content, content_type="application/octet-stream")

    def _find(self, request: web.Request) -> File:
        return self._files.find(request.match_info["file_id"])


def _lifetime(form: dict[str, Any]) -> int | None:
    """The seconds after which a file is to be gone."""
    anchor, seconds = (form.get(f"expires_after[{name}]") for name in ("anchor", "seconds"))
    if anchor is None and seconds is None:
        return None
    if anchor is None or seconds is None:
        raise missing_parameter(f"expires_after.{'anchor' if anchor is None else 'seconds'}")
    shapes.choice("created_at")(anchor, "expires_after.anchor")
    if not str(seconds).isdecimal():
        raise invalid_type("expires_after.seconds", "an integer", seconds)
    shapes.integer(_SHORTEST, _LONGEST)(int(seconds), "expires_after.seconds")
    return int(seconds)
