"""What a process with calls needs to run among others: health, metrics, and an end in peace.

``GET /health``   the process answers
``GET /ready``    it takes calls: 503 while it drains or is full
``GET /metrics``  its figures, for Prometheus

At SIGTERM it takes no new calls, waits for those under way, at most ``DRAIN_SECS``, and ends.
``MAX_CALLS`` bounds how many it takes at once. What starts processes, spreads calls over those that
are ready and replaces them is Kubernetes, Compose, Nomad, ...: nothing here knows of them.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator

from loguru import logger
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

MAX_CALLS = int(os.environ.get("MAX_CALLS", "40"))
DRAIN_SECS = float(os.environ.get("DRAIN_SECS", "600"))
LAG_EVERY = 0.1
"""Seconds between two looks at how late the event loop is."""

BEGINS = {("POST", "/start"), ("POST", "/api/offer"), ("POST", "/")}
"""What begins a call at Pipecat's runner, besides a WebSocket."""

UNDER_WAY = Gauge("bot_calls_under_way", "Calls that are being held.")
CAPACITY = Gauge("bot_calls_capacity", "Calls that the process takes at once; 0 while it drains.")
ENDED = Counter("bot_calls_ended", "Calls that have ended.", ["how"])
LAG = Histogram(
    "bot_event_loop_lag_seconds",
    "How late the event loop is: from some 20 ms on, callers hear it.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
)


class Calls:
    """The calls of this process.

    Attributes:
        draining: Whether it takes no more.
    """

    def __init__(self) -> None:
        self.draining = False
        self._under_way = 0
        self._none = asyncio.Event()
        self._none.set()
        CAPACITY.set(MAX_CALLS)

    @property
    def ready(self) -> bool:
        """Whether another call may begin."""
        return not self.draining and self._under_way < MAX_CALLS

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Counts a call for as long as it is held."""
        self._under_way += 1
        self._none.clear()
        UNDER_WAY.inc()
        how = "failed"
        try:
            yield
            how = "hung up"
        finally:
            ENDED.labels(how).inc()
            UNDER_WAY.dec()
            self._under_way -= 1
            if not self._under_way:
                self._none.set()

    async def drain(self) -> None:
        """Takes no more calls, and waits for the end of those under way."""
        self.draining = True
        CAPACITY.set(0)
        logger.info("Draining: {} calls under way", self._under_way)
        try:
            async with asyncio.timeout(DRAIN_SECS):
                await self._none.wait()
            logger.info("Drained")
        except TimeoutError:
            logger.warning("{} calls are cut off after {:g} s", self._under_way, DRAIN_SECS)


CALLS = Calls()


class Gate:
    """Turns calls away that the process does not take, before the runner sees them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begins = scope["type"] == "websocket" or (scope.get("method"), scope.get("path")) in BEGINS
        if CALLS.ready or not begins:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Not accepted yet, so the caller's balancer sees a status and may try another process.
            await send({"type": "websocket.close", "code": 1013})
        else:
            refusal = JSONResponse({"detail": "takes no calls now"}, 503, {"Retry-After": "1"})
            await refusal(scope, receive, send)


async def health(_: Request) -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def ready(_: Request) -> Response:
    """Whether a call may be sent here."""
    return JSONResponse({"ready": CALLS.ready}, 200 if CALLS.ready else 503)


async def figures(_: Request) -> Response:
    """All metrics of the process."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _watch_lag() -> None:
    while True:
        due = time.monotonic() + LAG_EVERY
        await asyncio.sleep(LAG_EVERY)
        LAG.observe(max(0.0, time.monotonic() - due))


async def _end() -> None:
    await CALLS.drain()
    # The server ends with 0 at Ctrl-C; at SIGTERM it would cut its WebSockets off.
    signal.raise_signal(signal.SIGINT)


@contextlib.asynccontextmanager
async def lifespan(_: ASGIApp) -> AsyncIterator[None]:
    """While the server runs: the event loop is watched, and SIGTERM means to drain."""
    # The runner logs every frame, which costs more than the calls do.
    logger.remove()
    logger.add(sys.stderr, level=os.environ.get("LOG_LEVEL", "INFO"))
    tasks = [asyncio.create_task(_watch_lag())]
    loop = asyncio.get_running_loop()
    # Here and not earlier: the server has set its own handlers just before.
    loop.add_signal_handler(signal.SIGTERM, lambda: tasks.append(asyncio.create_task(_end())))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def serve() -> None:
    """Runs Pipecat's runner with all of this around it."""
    metrics.set_meter_provider(MeterProvider([PrometheusMetricReader()]))
    from pipecat.runner.run import app, main

    app.add_route("/health", health)
    app.add_route("/ready", ready)
    app.add_route("/metrics", figures)
    app.add_middleware(Gate)
    app.router.lifespan_context = lifespan
    main()
