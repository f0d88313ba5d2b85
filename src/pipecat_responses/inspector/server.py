"""The page and what it asks for, on this machine.

``/TOKEN/`` has the page, ``/TOKEN/api/...`` what it shows: the sessions, what happened in one
(``marks``, after a number), what went over the wire (``wire``, between two numbers; ``some``, by
numbers; ``search``, by a text), and all of it as a session file (``file``). Records are put into
words in a thread, and only when they are asked for.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

import msgspec
from aiohttp import web

from pipecat_responses.inspector.files import encode_lines, head_line
from pipecat_responses.inspector.guard import Guard
from pipecat_responses.inspector.store import SessionView

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

MOST = 5000
"""Records that are given at a time."""

MOST_AT_ONCE = 200
"""Records that may be asked for by their numbers."""

_MODULES = (
    "app",
    "detail",
    "dom",
    "lists",
    "model",
    "overview",
    "source",
    "story",
    "timeline",
    "wire",
    "words",
)

_ASSETS = {
    "": ("inspector/ui/index.html", "text/html"),
    "inspector.css": ("inspector/ui/inspector.css", "text/css"),
    **{f"{name}.js": (f"inspector/ui/{name}.js", "text/javascript") for name in _MODULES},
    "errors.md": ("cli/errors.md", "text/markdown"),
}

_HEADERS = {
    # Nothing from elsewhere, and in nobody's frame.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    # The address has the token in it.
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class InspectorServer:
    """Answers a browser."""

    def __init__(
        self, sessions: Callable[[], Sequence[SessionView]], *, host: str, port: int
    ) -> None:
        """Prepares it; nothing listens before ``start``.

        Args:
            sessions: Gives the sessions there are, the newest first.
            host: The address to listen on.
            port: The port; 0 takes a free one.
        """
        self._sessions = sessions
        self._host = host
        self._port = port
        self._token = secrets.token_urlsafe(24)
        self._guard = Guard(host, self._token)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The address of the page, with its token."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/{self._token}/"

    async def start(self) -> None:
        """Starts listening.

        Raises:
            OSError: When the port is taken.
        """
        app = web.Application(middlewares=[self._middleware], client_max_size=0)
        app.add_routes(
            [
                web.get("/{token}/api/sessions", self._list),
                web.get("/{token}/api/sessions/{key}/marks", self._marks),
                web.get("/{token}/api/sessions/{key}/wire", self._wire),
                web.get("/{token}/api/sessions/{key}/some", self._some),
                web.get("/{token}/api/sessions/{key}/search", self._search),
                web.get("/{token}/api/sessions/{key}/file", self._file),
                web.get("/{token}/{asset:[^/]*}", self._asset),
            ]
        )
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port, reuse_address=True).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Drops all connections and stops listening."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        if runner.server is not None:
            for peer in runner.server.connections:
                if peer.transport is not None:
                    peer.transport.close()
        await runner.cleanup()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._guard.check(request)
            response = await handler(request)
        except web.HTTPException as refusal:
            refusal.headers.update(_HEADERS)
            raise
        except OSError as error:
            # The file of a session, which may have been moved meanwhile.
            raise web.HTTPGone(
                text=f"The session cannot be read any more: {error.strerror}.\n", headers=_HEADERS
            ) from None
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["asset"]
        if name not in _ASSETS:
            raise web.HTTPNotFound
        file, content_type = _ASSETS[name]
        return web.Response(body=_read(file), content_type=content_type, charset="utf-8")

    async def _list(self, request: web.Request) -> web.StreamResponse:
        return _json({"sessions": [each.header() for each in self._sessions()]})

    async def _marks(self, request: web.Request) -> web.StreamResponse:
        session = self._session(request)
        since = _number(request, "since", 0)
        records = await asyncio.to_thread(session.marks(since, MOST))
        return _json({**session.header(), "records": records, "more": len(records) == MOST})

    async def _wire(self, request: web.Request) -> web.StreamResponse:
        session = self._session(request)
        since, until = _number(request, "since", 0), _number(request, "until", 2**53)
        records = await asyncio.to_thread(session.wire(since, until, MOST))
        return _json({"records": records, "more": len(records) == MOST})

    async def _some(self, request: web.Request) -> web.StreamResponse:
        told = request.query.get("seqs", "").split(",")[:MOST_AT_ONCE]
        seqs = {int(each) for each in told if _is_number(each)}
        records = await asyncio.to_thread(self._session(request).some(seqs))
        return _json({"records": records})

    async def _search(self, request: web.Request) -> web.StreamResponse:
        text = request.query.get("text", "").strip()[:200]
        found = await asyncio.to_thread(self._session(request).search(text)) if text else []
        return _json({"seqs": found})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        session = self._session(request)
        words = request.query.get("words", "1") != "0"
        response = web.StreamResponse(
            headers={
                **_HEADERS,
                "content-type": "application/x-ndjson",
                "content-disposition": 'attachment; filename="session.jsonl"',
            }
        )
        await response.prepare(request)
        await response.write(head_line(session.header(), words=words))
        for later in session.whole(words=words):
            await response.write(encode_lines(await asyncio.to_thread(later)))
        await response.write_eof()
        return response

    def _session(self, request: web.Request) -> SessionView:
        key = request.match_info["key"]
        for each in self._sessions():
            if each.key == key:
                return each
        raise web.HTTPNotFound(text="There is no such session any more.\n")


def _number(request: web.Request, name: str, default: int) -> int:
    told = request.query.get(name, "")
    return int(told) if _is_number(told) else default


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 17


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


@cache
def _read(file: str) -> bytes:
    return (files("pipecat_responses") / file).read_bytes()
