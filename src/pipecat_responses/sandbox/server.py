"""The sandbox: an OpenAI Responses API server inside the process, on loopback."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from aiohttp import web

from pipecat_responses.sandbox.access import check_key, is_upgrade, missing_query, no_websockets
from pipecat_responses.sandbox.answers import Answer, Part, as_answer
from pipecat_responses.sandbox.certificates import Certificates
from pipecat_responses.sandbox.composer import new_id
from pipecat_responses.sandbox.config import SandboxConfig
from pipecat_responses.sandbox.control import Control
from pipecat_responses.sandbox.engine import Engine, HtmlAnswer
from pipecat_responses.sandbox.errors import ApiError
from pipecat_responses.sandbox.faults import Fault, Faults
from pipecat_responses.sandbox.http import HttpApi, error_response, json_response
from pipecat_responses.sandbox.memory import Store
from pipecat_responses.sandbox.pacing import Pacer
from pipecat_responses.sandbox.records import RecordedHandshake, RecordedRequest, redact
from pipecat_responses.sandbox.websocket import Connection, reset_transport

T = TypeVar("T")


class Sandbox:
    """An OpenAI Responses API server on loopback, over HTTP and WebSocket.

    It validates, remembers, answers and fails like the real one as far as that is documented;
    answers come from a script, a function, or built-in rules. Use it as an async context manager,
    or call ``start`` and ``stop``.

    Example::

        async with Sandbox() as sandbox:
            sandbox.script("Hello there.")
            client = AsyncOpenAI(base_url=sandbox.base_url, api_key="any")

    Attributes:
        faults: What shall go wrong.
        requests: All requests for responses so far, refused ones included.
        messages: WebSocket messages that were no such requests, as sent; ``{"invalid": text}``
            when a message was no JSON object.
        handshakes: All attempts to open a WebSocket.
        connections_opened: Number of WebSockets opened so far.
    """

    def __init__(
        self,
        config: SandboxConfig | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
    ) -> None:
        """Prepares a server.

        Args:
            config: What can be set; the defaults follow the documentation.
            host: A loopback address to listen on.
            port: The port; 0 takes a free one, and keeps it over a restart.
            tls: Whether to encrypt, with a certificate of an authority that is made for it.

        Raises:
            ValueError: When the host is not loopback. The server knows no secrets and accepts
                any key, so it must not be reachable from elsewhere.
            RuntimeError: When ``tls`` is asked for without the package ``trustme``.
        """
        if not _is_loopback(host):
            raise ValueError(
                f"The sandbox only listens on loopback, not on {host!r}: it accepts any API key "
                "and knows no secrets. Use 127.0.0.1, ::1 or localhost."
            )
        self._config = config or SandboxConfig()
        self.faults = Faults()
        self.requests: list[RecordedRequest] = []
        self.messages: list[dict[str, Any]] = []
        self.handshakes: list[RecordedHandshake] = []
        self.connections_opened = 0
        self._host = host
        self._port = port
        self._certificates = Certificates() if tls else None
        self._store = Store()
        self._engine = Engine(self._config, self.faults, self._store)
        self._http = HttpApi(self._engine, self.requests)
        self._open: set[Connection] = set()
        self._runner: web.AppRunner | None = None
        self.faults.on_idle_fault(self._notice_idle_faults)

    async def __aenter__(self) -> Sandbox:
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

    @property
    def config(self) -> SandboxConfig:
        """What can be set; its fields may be changed while the server runs."""
        return self._config

    @property
    def port(self) -> int:
        """The port; 0 until the first start unless one was asked for."""
        return self._port

    @property
    def base_url(self) -> str:
        """What a client takes as its base URL: ``http://127.0.0.1:PORT/v1``."""
        return f"http{self._secure}://{self._netloc}/v1"

    @property
    def ws_url(self) -> str:
        """The WebSocket's URL: ``ws://127.0.0.1:PORT/v1/responses``."""
        return f"ws{self._secure}://{self._netloc}/v1/responses"

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """What a client's TLS has to be, which trusts this server; None without encryption."""
        return self._certificates.client_context if self._certificates else None

    @property
    def authority(self) -> bytes | None:
        """The certificate (PEM) that a client has to trust; None without encryption."""
        return self._certificates.authority if self._certificates else None

    @property
    def _secure(self) -> str:
        return "s" if self._certificates else ""

    @property
    def connections(self) -> int:
        """Number of WebSockets that are open now."""
        return len(self._open)

    @property
    def scripted(self) -> int:
        """Number of scripted answers that were not given yet."""
        return len(self._engine.script)

    @property
    def _netloc(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    def script(self, *answers: Answer | Part | str) -> None:
        """Queues answers; each is given to one request that generates, before any rules."""
        self._engine.script.extend(as_answer(answer) for answer in answers)

    def cut(self, *, but: asyncio.BaseTransport | None = None) -> int:
        """Resets all connections.

        Args:
            but: A transport to spare.

        Returns:
            How many there were.
        """
        return self._call(lambda: self._cut(but))

    def _cut(self, but: asyncio.BaseTransport | None) -> int:
        server = self._runner.server if self._runner is not None else None
        transports = [] if server is None else [peer.transport for peer in server.connections]
        cut = [transport for transport in transports if transport not in (None, but)]
        for transport in cut:
            reset_transport(transport)
        return len(cut)

    async def start(self) -> None:
        """Starts listening; after ``stop``, on the same port again.

        Raises:
            OSError: When the port is taken.
        """
        if self._runner is not None:
            return
        app = web.Application(middlewares=[self._errors], client_max_size=self.config.max_body + 1)
        app.add_routes(
            [
                web.get("/v1/responses", self._websocket, allow_head=False),
                web.post("/v1/responses", self._http.create),
                web.post("/v1/responses/compact", self._http.compact),
                web.get("/v1/responses/{response_id}", self._http.retrieve),
                web.delete("/v1/responses/{response_id}", self._http.delete),
                web.get("/v1/models", self._models),
                *Control(self).routes(),
            ]
        )
        app.on_response_prepare.append(_add_request_id)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(
            runner,
            self._host,
            self._port,
            reuse_address=True,
            ssl_context=self._certificates.server_context if self._certificates else None,
        )
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Drops all connections at once and stops listening. Stored responses are kept."""
        runner = self._runner
        if runner is None:
            return
        self.cut()
        self._runner = None
        await runner.cleanup()

    def _call(self, function: Callable[[], T]) -> T:
        """Calls a function where the server runs, which is here."""
        return function()

    def _notice_idle_faults(self) -> None:
        def notice() -> None:
            for connection in tuple(self._open):
                connection.notice_idle_faults()

        self._call(notice)

    # Handlers

    @web.middleware
    async def _errors(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Checks the key, and answers every refusal as the API does."""
        try:
            if request.path.startswith("/v1/"):
                refusal = self._check_access(request)
                if refusal is not None:
                    return refusal
            response: web.StreamResponse = await handler(request)
        except ApiError as error:
            return error_response(error)
        except web.HTTPNotFound:
            return error_response(
                ApiError(f"Invalid URL ({request.method} {request.path})", status=404)
            )
        except web.HTTPMethodNotAllowed as error:
            return error_response(
                ApiError(f"Not allowed: {request.method} {request.path}", status=error.status)
            )
        except web.HTTPRequestEntityTooLarge as error:
            return error_response(
                ApiError("The request is too large.", status=error.status, code="request_too_large")
            )
        return response

    def _check_access(self, request: web.Request) -> web.Response | None:
        """The answer to a request without what it takes to be let in; None if it has that."""
        key_ok = True
        try:
            check_key(request.headers, self.config)
            refusal = missing_query(request, self.config)
        except ApiError as error:
            key_ok, refusal = False, error_response(error)
        if refusal is not None and is_upgrade(request):
            self._record_handshake(request, key_ok=key_ok)
        return refusal

    async def _models(self, request: web.Request) -> web.StreamResponse:
        models = [
            {"id": name, "object": "model", "created": 0, "owned_by": "openai"}
            for name in self.config.model_names()
        ]
        return json_response({"object": "list", "data": models})

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if not is_upgrade(request):
            raise ApiError("Use POST, or upgrade to a WebSocket.", status=405)
        if self.config.websocket_status is not None:
            self._record_handshake(request, key_ok=True)
            return no_websockets(request, self.config.websocket_status)
        refusal, closing = await self._handshake_faults(request)
        if refusal is not None:
            self._record_handshake(request, key_ok=True)
            return refusal
        index = self.connections_opened
        self.connections_opened += 1
        self._record_handshake(request, key_ok=True, connection=index)
        connection = Connection(
            index, self._engine, self.requests, self.messages, redact(request.headers)
        )
        self._open.add(connection)
        try:
            return await connection.serve(request, closing)
        finally:
            self._open.discard(connection)

    async def _handshake_faults(
        self, request: web.Request
    ) -> tuple[web.Response | None, Fault | None]:
        """Lets happen what happens during a handshake.

        Returns:
            An answer that refuses the handshake, or None; and the fault that closes the
            WebSocket as soon as it is open, or None.
        """
        for fault in self.faults.take("handshake", "websocket"):
            match fault.kind:
                case "handshake_status":
                    return error_response(fault.error()), None
                case "http_html":
                    answer = HtmlAnswer(fault)
                    return web.Response(
                        text=answer.html, status=answer.status, content_type="text/html"
                    ), None
                case "delay":
                    await Pacer(float(fault.params.get("seconds", 1)), None).first()
                case "close_after_accept":
                    return None, fault
                case _:
                    self._record_handshake(request, key_ok=True)
                    if fault.kind == "reset":
                        reset_transport(request.transport)
                    # Parked: aiohttp ends this handler when the connection is gone.
                    await asyncio.get_running_loop().create_future()
        return None, None

    def _record_handshake(
        self, request: web.Request, *, key_ok: bool, connection: int | None = None
    ) -> None:
        self.handshakes.append(
            RecordedHandshake(redact(request.headers), dict(request.query), key_ok, connection)
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["x-request-id"] = new_id("req")
