"""Many sandboxes behind one port, so that tests that run at once do not see each other.

A session is named in the path, ``/s/NAME/v1``, or in the header ``x-sandbox-session``. It begins
with the first request that names it, has the configuration that the server has then, and shares
nothing with the others but the port.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from typing import Any, TypeAlias, TypeVar

from aiohttp import web

from pipecat_responses.sandbox.access import check_key
from pipecat_responses.sandbox.bounds import Bounds
from pipecat_responses.sandbox.config import copied
from pipecat_responses.sandbox.errors import ApiError
from pipecat_responses.sandbox.guard import Guard
from pipecat_responses.sandbox.http import error_response, json_response
from pipecat_responses.sandbox.server import Handler, Sandbox

SESSION_HEADER = "x-sandbox-session"
MOST = 1000
"""Sessions that are kept; of more, the one that was not used for longest goes."""

T = TypeVar("T")
_Route: TypeAlias = tuple[str, str, tuple[tuple[str, Any], ...]]
"""Method, path, and options."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_PREFIX = re.compile(r"/s/([^/]+)(/.*)")
_SESSION: web.RequestKey[Sandbox] = web.RequestKey("session", Sandbox)
_OWNER: web.RequestKey[Sandbox] = web.RequestKey("owner", Sandbox)


class Session(Sandbox):
    """A sandbox of its own behind the port of another one, which ``start`` and ``stop`` belong to.

    Attributes:
        name: Its name.
    """

    def __init__(self, name: str, owner: Sandbox) -> None:
        """Begins with the configuration that the owner has now."""
        self._owner = owner
        super().__init__(copied(owner.config))
        self.name = name

    @cached_property
    def bounds(self) -> Bounds:
        """How much it and the others keep together."""
        return self._owner.bounds

    def end(self) -> None:
        """Drops its connections, and lets go of what it keeps."""
        self.cut()
        for journal in (self.requests, self.messages, self.handshakes):
            self.bounds.recorded.release(journal)
        for kept in (self._store, self._engine.files):
            self.bounds.stored.release(kept)

    @property
    def port(self) -> int:
        """The port of its owner."""
        return self._owner.port

    @property
    def origin(self) -> str:
        """Where the server is, and the session in it."""
        return f"{self._owner.origin}/s/{self.name}"

    def session(self, name: str) -> Session:
        """Another session of its owner."""
        return self._owner.session(name)

    async def start(self) -> None:
        """Does nothing: its owner listens."""

    async def stop(self) -> None:
        """Drops its connections at once, and ends what runs in the background."""
        self.cut()
        await self._background.stop()

    def _transports(self) -> list[asyncio.BaseTransport | None]:
        return list(self.answering)

    def _call(self, function: Callable[[], T]) -> T:
        return self._owner._call(function)


class Sessions:
    """The sessions of a server, and the way to them."""

    def __init__(self, owner: Sandbox, guard: Guard) -> None:
        """Begins with none.

        Args:
            owner: The server.
            guard: Who may talk to it.
        """
        self._guard = guard
        self._owner = owner
        self._sessions: dict[str, Session] = {}

    def __iter__(self) -> Iterator[Session]:
        """The sessions, the one that was used last at the end."""
        return iter(tuple(self._sessions.values()))

    def get(self, name: str) -> Session:
        """The session of a name, which begins now if there is none.

        Raises:
            ValueError: When it is no name for a session.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name[:200]!r} is no name for a session: 1 to 128 of A-Z a-z 0-9 _ . -"
            )
        session = self._sessions.pop(name, None) or Session(name, self._owner)
        self._sessions[name] = session
        if len(self._sessions) > MOST:
            idle = next((each for each in self if not each.connections), None)
            if idle is not None:
                self.end(idle.name)
        return session

    def end(self, name: str) -> bool:
        """Ends a session, and its connections; False when there is none of that name."""
        session = self._sessions.pop(name, None)
        if session is not None:
            session.end()
        return session is not None

    def register(self, router: web.UrlDispatcher) -> None:
        """Adds the routes of the server, those of its sessions, and those to see and end them.

        To make them takes longer than to start the server without them. They belong to no server,
        for each request says whom it is for; so they are made once.
        """
        routes = tuple(
            (each.method, each.path, tuple(each.kwargs.items())) for each in self._owner.routes()
        )
        for resource in _resources(routes):
            router.register_resource(resource)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Has the session answer that a request is for, or the server itself."""
        path, name = request.path, request.headers.get(SESSION_HEADER)
        if (prefixed := _PREFIX.fullmatch(path)) is not None:
            name, path = prefixed[1], prefixed[2]
        session = self._owner
        try:
            self._guard.check(request, path)
            if name is not None and path.startswith(("/v1/", "/_sandbox")):
                if name not in self._sessions and path.startswith("/v1/"):
                    # Who has no key begins no session.
                    check_key(request.headers, self._owner.config)
                session = self.get(name)
        except ApiError as error:
            return error_response(error)
        except ValueError as error:
            return json_response({"error": {"message": str(error)}}, 400)
        request[_SESSION], request[_OWNER] = session, self._owner
        return await session.answer(request, handler, path)


@cache
def _resources(routes: tuple[_Route, ...]) -> tuple[web.AbstractResource, ...]:
    """What answers methods at paths, alone and behind the prefix of a session."""
    router = web.UrlDispatcher()
    router.add_routes(
        [
            *(
                web.route(method, prefix + path, _dispatching(method, path), **dict(options))
                for prefix in ("", "/s/{session}")
                for method, path, options in routes
            ),
            web.get("/_sandbox/sessions", _list),
            web.delete("/_sandbox/sessions/{name}", _delete),
        ]
    )
    return tuple(router.resources())


def _dispatching(method: str, path: str) -> Handler:
    """A handler that asks the session's own handler of that route."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await request[_SESSION].handlers[method, path](request)

    return handle


async def _list(request: web.Request) -> web.StreamResponse:
    """``GET /_sandbox/sessions``."""
    told = {
        each.name: {"requests": len(each.requests), "connections": each.connections}
        for each in request[_OWNER].sessions
    }
    return json_response(told)


async def _delete(request: web.Request) -> web.StreamResponse:
    """``DELETE /_sandbox/sessions/{name}``."""
    name = request.match_info["name"]
    if not request[_OWNER].sessions.end(name):
        raise ApiError(f"There is no session {name!r}.", status=404)
    return json_response({"deleted": name})
