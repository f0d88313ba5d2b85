"""A small HTTP server on this machine, as an async context manager."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeAlias

from aiohttp import web

from pipecat_responses.sandbox.errors import ApiError
from pipecat_responses.sandbox.guard import Guard, is_loopback
from pipecat_responses.sandbox.http import error_response, json_response

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Listener:
    """Answers ``/health`` and every path under ``/v1``; what, is for others to say."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, token: str | None = None) -> None:
        """Prepares a server.

        Args:
            host: The address to listen on; other than loopback only with a token.
            port: The port; 0 takes a free one.
            token: What requests must have as their API key; None takes any.

        Raises:
            ValueError: When the host is not loopback and there is no token.
        """
        if not is_loopback(host) and not token:
            raise ValueError(f"To listen on {host!r}, which is not loopback, takes a token")
        self._host = host
        self._port = port
        self._token = token
        self._guard = Guard(host, token)
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port."""
        return self._port

    @property
    def base_url(self) -> str:
        """What a client takes as its base URL."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/v1"

    async def __aenter__(self) -> Self:
        """Starts the server."""
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops the server."""
        await self.stop()

    async def start(self) -> None:
        """Starts listening.

        Raises:
            OSError: When the port is taken.
        """
        app = web.Application(middlewares=[self._middleware], client_max_size=0)
        app.add_routes(
            [web.get("/health", self._health), web.route("*", "/v1/{tail:.*}", self.handle)]
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

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers a request under ``/v1``."""
        raise NotImplementedError

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            # The key is looked at as the token of controls is.
            path = "/_sandbox" if request.path.startswith("/v1/") else request.path
            self._guard.check(request, path)
        except ApiError as error:
            return error_response(error)
        return await handler(request)

    async def _health(self, request: web.Request) -> web.StreamResponse:
        return json_response({"status": "ok"})
