"""``/_sandbox/ui``: a page for people, with what was said and buttons for what goes wrong."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from aiohttp import web

PATH = "/_sandbox/ui"

_FILES = {
    "": ("index.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
}
_HEADERS = {
    # Nothing from elsewhere, and in nobody's frame.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


def routes() -> list[web.RouteDef]:
    """The routes of the page. It needs no token: it holds nothing, and asks for what it shows."""
    return [web.get(PATH, _page), web.get(PATH + "/{name}", _page)]


async def _page(request: web.Request) -> web.StreamResponse:
    name = request.match_info.get("name", "")
    if name not in _FILES:
        raise web.HTTPNotFound
    file, content_type = _FILES[name]
    return web.Response(
        body=_read(file), content_type=content_type, charset="utf-8", headers=_HEADERS
    )


@cache
def _read(file: str) -> bytes:
    return (files("pipecat_responses.sandbox") / "ui" / file).read_bytes()
