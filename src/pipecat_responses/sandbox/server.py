"""The sandbox: an OpenAI Responses API server inside the process, on loopback."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import fields
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from aiohttp import web

from pipecat_responses.sandbox import endpoints, page
from pipecat_responses.sandbox.access import check_key, is_upgrade, missing_query, no_websockets
from pipecat_responses.sandbox.answers import Answer, ModelInput, Part, as_answer
from pipecat_responses.sandbox.background import Background
from pipecat_responses.sandbox.bounds import Bounds
from pipecat_responses.sandbox.certificates import Certificates
from pipecat_responses.sandbox.composer import new_id
from pipecat_responses.sandbox.config import SandboxConfig, copied
from pipecat_responses.sandbox.control import Control
from pipecat_responses.sandbox.engine import Engine, HtmlAnswer
from pipecat_responses.sandbox.errors import ApiError
from pipecat_responses.sandbox.faults import Fault, Faults
from pipecat_responses.sandbox.guard import Guard, is_loopback
from pipecat_responses.sandbox.http import HttpApi, error_response, json_response
from pipecat_responses.sandbox.inspection import Inspection
from pipecat_responses.sandbox.journal import Journal, size_of
from pipecat_responses.sandbox.memory import PrefixCache, Store
from pipecat_responses.sandbox.pacing import Pacer
from pipecat_responses.sandbox.records import RecordedHandshake, RecordedRequest, redact
from pipecat_responses.sandbox.scenario import Scenario, ScenarioRun, read_scenario
from pipecat_responses.sandbox.stubs import Condition, Said, Stub, Stubs
from pipecat_responses.sandbox.websocket import Connection, reset_transport

if TYPE_CHECKING:
    from pipecat_responses.sandbox.sessions import Session, Sessions

T = TypeVar("T")
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Sandbox:
    """An OpenAI Responses API server, over HTTP and WebSocket; on loopback unless told otherwise.

    It validates, remembers, answers and fails like the real one as far as that is documented;
    answers come from a script, a function, or built-in rules. Use it as an async context manager,
    or call ``start`` and ``stop``.

    Example::

        async with Sandbox() as sandbox:
            sandbox.script("Hello there.")
            client = AsyncOpenAI(base_url=sandbox.base_url, api_key="any")

    Attributes:
        faults: What shall go wrong.
        requests: All requests for responses so far, refused ones included; of very many, the
            newest (``SandboxConfig.max_recorded``).
        messages: WebSocket messages that were no such requests, as sent; ``{"invalid": text}``
            when a message was no JSON object.
        handshakes: All attempts to open a WebSocket.
        connections_opened: Number of WebSockets opened so far.
        scenario: The scenario that is played, if there is one.
        answering: The connections on which a request is being answered, or a WebSocket is open.
    """

    def __init__(
        self,
        config: SandboxConfig | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
        token: str | None = None,
    ) -> None:
        """Prepares a server.

        Args:
            config: What can be set; the defaults follow the documentation.
            host: The address to listen on; other than loopback only with a token.
            port: The port; 0 takes a free one, and keeps it over a restart.
            tls: Whether to encrypt, with a certificate of an authority that is made for it.
            token: What its controls take, and as API key unless ``api_keys`` has others.

        Raises:
            ValueError: When the host is not loopback and there is no token. The server accepts
                any key then, so it must not be reachable from elsewhere.
            RuntimeError: When ``tls`` is asked for without the package ``trustme``.
        """
        if not is_loopback(host) and not token:
            raise ValueError(
                f"Without a token the sandbox only listens on loopback, not on {host!r}: it "
                "accepts any API key. Use 127.0.0.1, ::1 or localhost, or give it a token."
            )
        self._config = config or SandboxConfig()
        if token and self._config.api_keys is None:
            self._config.api_keys = {token}
        self._initial = copied(self._config)
        self.faults = Faults()
        self.requests: Journal[RecordedRequest] = Journal(
            self._config, self.bounds.recorded, lambda each: each.size
        )
        self.messages: Journal[dict[str, Any]] = Journal(
            self._config, self.bounds.recorded, size_of
        )
        self.handshakes: Journal[RecordedHandshake] = Journal(
            self._config, self.bounds.recorded, lambda each: size_of(dict(each.headers))
        )
        self.connections_opened = 0
        self.scenario: ScenarioRun | None = None
        self.answering: Counter[asyncio.BaseTransport] = Counter()
        self._guard = Guard(host, token)
        self._host = host
        self._port = port
        self._certificates = Certificates() if tls else None
        self._store = Store()
        self._engine = Engine(self._config, self.faults, self._store, self.bounds)
        cache = PrefixCache()
        self._background = Background(self._engine, cache)
        self._http = HttpApi(self._engine, self.requests, self._background, cache)
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
        return f"{self.origin}/v1"

    @property
    def ws_url(self) -> str:
        """The WebSocket's URL: ``ws://127.0.0.1:PORT/v1/responses``."""
        return f"ws{self.origin.removeprefix('http')}/v1/responses"

    @property
    def origin(self) -> str:
        """Where the server is: ``http://127.0.0.1:PORT``; of a session, with its prefix."""
        return f"http{self._secure}://{self._netloc}"

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

    @property
    def stubs(self) -> Stubs:
        """What ``when`` has added."""
        return self._engine.stubs

    @cached_property
    def bounds(self) -> Bounds:
        """How much it keeps, all sessions together."""
        return Bounds(self._config)

    @cached_property
    def sessions(self) -> Sessions:
        """Sandboxes of their own behind this one's port."""
        from pipecat_responses.sandbox.sessions import Sessions

        return Sessions(self, self._guard)

    def session(self, name: str) -> Session:
        """A sandbox of its own behind this one's port, with its own script, faults and records.

        Args:
            name: Its name, which its ``base_url`` has in it; the same name, the same session.

        Raises:
            ValueError: When it is no name for a session.
        """
        return self.sessions.get(name)

    def when(
        self,
        text: Said | Callable[[ModelInput], bool] | None = None,
        *,
        model: str | None = None,
        tool: str | None = None,
        instructions: Said | None = None,
        result: str | None = None,
        times: int | None = None,
    ) -> Stub:
        """Begins to say what a kind of request is answered with; it comes before any script.

        Example::

            sandbox.when("weather").call("get_weather", city="Paris")
            sandbox.when(result="get_weather").say("It is sunny in Paris.")

        Args:
            text: What the newest user message contains, whatever its case; a pattern to be found
                in it; or a function of the ``ModelInput`` that decides.
            model: The model asked for.
            tool: A tool that the request declares.
            instructions: What the instructions contain, as with ``text``.
            result: The tool whose result the request brings. Requests that bring results are
                for those only that say so.
            times: How many requests are answered; None for any number.

        Returns:
            What to add answers to: ``say``, ``call``, ``answer``, ``fail``.
        """
        condition = Condition(
            text=text, model=model, tool=tool, instructions=instructions, result=result
        )
        return self.stubs.add(Stub(condition, times))

    def play(self, scenario: Scenario | str | os.PathLike[str]) -> ScenarioRun:
        """Begins a scenario, in the place of another one and of all stubs.

        Args:
            scenario: The scenario, or its file (YAML or JSON).

        Returns:
            What tells how it went; ``sandbox.scenario`` is the same.

        Raises:
            ScenarioError: When it is no scenario.
            OSError: When the file cannot be read.
            RuntimeError: For YAML without the package ``pyyaml``.
        """
        if not isinstance(scenario, Scenario):
            scenario = read_scenario(scenario)
        self.stubs.clear()
        self.scenario = ScenarioRun(scenario)
        self.scenario.begin(self)
        return self.scenario

    def reset(self) -> None:
        """Forgets scripts, stubs, faults, records and stored responses; restores the configuration.

        Connections stay open, and go on remembering.
        """
        self._call(self._reset)

    def _reset(self) -> None:
        self._engine.reset()
        self.scenario = None
        for journal in (self.requests, self.messages, self.handshakes):
            journal.clear()
        for item in fields(SandboxConfig):
            setattr(self._config, item.name, getattr(self._initial, item.name))
        self._initial = copied(self._config)

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
        cut = [each for each in self._transports() if each not in (None, but)]
        for transport in cut:
            reset_transport(transport)
        return len(cut)

    def _transports(self) -> list[asyncio.BaseTransport | None]:
        """All connections, those included on which nothing is asked."""
        server = self._runner.server if self._runner is not None else None
        return [] if server is None else [peer.transport for peer in server.connections]

    def routes(self) -> list[web.RouteDef]:
        """What it answers, under the paths of a server that has no sessions."""
        return [
            web.get("/health", self._health),
            web.get("/v1/responses", self._websocket, allow_head=False),
            web.post("/v1/responses", self._http.create),
            *endpoints.routes(self._engine, self._background),
            *Control(self).routes(),
            *Inspection(self).routes(),
            *page.routes(),
        ]

    @cached_property
    def handlers(self) -> dict[tuple[str, str], Handler]:
        """The handlers of its routes, by method and path."""
        return {(each.method, each.path): each.handler for each in self.routes()}

    async def start(self) -> None:
        """Starts listening; after ``stop``, on the same port again.

        Raises:
            OSError: When the port is taken.
        """
        if self._runner is not None:
            return
        app = web.Application(
            middlewares=[self.sessions.middleware], client_max_size=self.config.max_body + 1
        )
        self.sessions.register(app.router)
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
        """Drops all connections at once and stops listening.

        What is stored is kept; what still runs in the background fails.
        """
        runner = self._runner
        if runner is None:
            return
        self.cut()
        self._runner = None
        for session in self.sessions:
            await session.stop()
        await self._background.stop()
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

    async def answer(self, request: web.Request, handler: Handler, path: str) -> web.StreamResponse:
        """Checks the key, and answers every refusal as the API does.

        Args:
            request: The request.
            handler: What answers it.
            path: Its path, without a session's prefix.
        """
        transport = request.transport
        if transport is not None:
            self.answering[transport] += 1
        try:
            if path.startswith("/v1/"):
                refusal = self._check_access(request)
                if refusal is not None:
                    return refusal
            response = await handler(request)
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
        except web.RequestPayloadError:
            return error_response(
                ApiError(
                    "We could not read the body of your request: it is not encoded as it says."
                )
            )
        except web.HTTPRequestEntityTooLarge as error:
            return error_response(
                ApiError("The request is too large.", status=error.status, code="request_too_large")
            )
        finally:
            if transport is not None:
                self.answering[transport] -= 1
                if not self.answering[transport]:
                    del self.answering[transport]
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

    async def _health(self, request: web.Request) -> web.StreamResponse:
        """``GET /health``, for those who wait for it to run."""
        return json_response({"status": "ok"})

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


async def _add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["x-request-id"] = new_id("req")
