"""The web server: the page, and the offers that it sends."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from examples.voice.calls import BusyError, Calls
from pipecat_responses.sandbox.guard import is_loopback

PAGE = Path(__file__).parent / "page" / "index.html"

LARGEST = 64 * 1024
"""Bytes of an offer; a browser's has some thousands."""

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; " + (
    "connect-src 'self'; img-src data:; media-src blob:; base-uri 'none'; form-action 'none'"
)
"""What the page may do: nothing but talk to this server."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(calls: Calls, about: str, host: str) -> web.Application:
    """Makes the web server.

    Args:
        calls: Who answers.
        about: What the bot is made of, for the page.
        host: The address it listens on.
    """

    async def page(_: web.Request) -> web.Response:
        return web.Response(
            text=PAGE.read_text(encoding="utf-8"),
            content_type="text/html",
            headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"},
        )

    async def show_about(_: web.Request) -> web.Response:
        return web.json_response({"about": about})

    async def call(request: web.Request) -> web.Response:
        try:
            offer = json.loads(await request.read())
            return web.json_response({"sdp": await calls.answer(offer["sdp"])})
        except BusyError:
            return _problem(503, "All lines are taken: try again when another call has ended.")
        except (ValueError, KeyError, TypeError) as error:
            return _problem(400, f"This call cannot be answered ({error}): reload the page.")

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Lets other origins' pages call nobody, under whatever name they reach this machine."""
        origin = request.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != request.host.lower()
        name = urlsplit(f"//{request.host}").hostname or ""
        renamed = is_loopback(host) and not is_loopback(name)
        if foreign or renamed:
            return _problem(403, "This server answers to its own page only.")
        return await handler(request)

    app = web.Application(client_max_size=LARGEST, middlewares=[guard])
    app.add_routes([web.get("/", page), web.get("/about", show_about), web.post("/calls", call)])
    return app


def _problem(status: int, problem: str) -> web.Response:
    return web.json_response({"problem": problem}, status=status)
