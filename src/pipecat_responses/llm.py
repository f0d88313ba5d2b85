"""OpenAI's Responses API as LLM services for Pipecat, over WebSocket and over HTTP."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from loguru import logger
from pipecat.frames.frames import Frame, InterruptionFrame, LLMContextFrame, MetricsFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import WebsocketLLMService

from pipecat_responses.context.adapter import OpenAIResponsesLLMAdapter
from pipecat_responses.protocol.errors import Recovery, ResponsesError
from pipecat_responses.protocol.requests import Request
from pipecat_responses.service.base import _BaseOpenAIResponsesLLMService
from pipecat_responses.service.frame_writer import AbandonedUsageMetricsData, token_usage
from pipecat_responses.service.settings import (
    OpenAIResponsesLLMSettings,
    OpenAIResponsesReasoningConfig,
)
from pipecat_responses.session.capabilities import Address
from pipecat_responses.session.exchange import Exchange
from pipecat_responses.session.http import HttpSession
from pipecat_responses.session.notices import (
    AbandonedUsage,
    Connected,
    ConnectFailed,
    Disconnected,
    Notice,
)
from pipecat_responses.session.pool import PoolOptions
from pipecat_responses.session.stats import SessionStats
from pipecat_responses.session.turn import Backend
from pipecat_responses.session.websocket import WebSocketSession
from pipecat_responses.transport.websocket import SocketOptions

__all__ = [
    "OpenAIResponsesHttpLLMService",
    "OpenAIResponsesLLMService",
    "OpenAIResponsesLLMSettings",
    "OpenAIResponsesReasoningConfig",
]

DEFAULT_WS_URL = "wss://api.openai.com/v1/responses"


class OpenAIResponsesLLMService(
    _BaseOpenAIResponsesLLMService, WebsocketLLMService[OpenAIResponsesLLMAdapter]
):
    """The Responses API over a persistent WebSocket (recommended for conversations).

    Each turn sends only what is new, by ``previous_response_id``, and nothing is stored on OpenAI's
    side (``store=False``): what the server remembers lives in the connection's memory. An
    interrupted response is left alone on its lane while the next turn goes out on another, so
    interruptions cost nothing. A turn survives lost memory, lost connections and passing errors.

    Events:
        on_connected(service): A connection has been opened.
        on_disconnected(service): No connection is left.
        on_connection_error(service, error): A connection could not be opened, and why.
        on_completion_timeout(service): A turn was given up because of a time limit.

    Example::

        llm = OpenAIResponsesLLMService(
            api_key=os.getenv("OPENAI_API_KEY"),
            settings=OpenAIResponsesLLMService.Settings(
                model="gpt-4.1",
                system_instruction="You are a helpful assistant.",
            ),
        )
    """

    def __init__(
        self,
        *,
        ws_url: str = DEFAULT_WS_URL,
        anchor_threshold_bytes: int | None = 4096,
        connection_max_age_secs: float = 55 * 60.0,
        **kwargs: Any,
    ) -> None:
        """Creates the service; it connects when the pipeline is set up.

        Args:
            ws_url: The WebSocket's address. Left at its default, it follows ``base_url``.
            anchor_threshold_bytes: When an interruption leaves more than this to send again, the
                conversation is given to the server in the background while the user speaks. None
                turns that off.
            connection_max_age_secs: An idle connection is replaced at this age; OpenAI ends
                connections at 3600.
            **kwargs: The arguments of the HTTP service and of Pipecat's ``WebsocketLLMService``
                (``reconnect_on_error``, ``ws_close_timeout``, …).

        Raises:
            ValueError: If there is no API key, an address is not right, or an argument has a
                value that makes no sense.
        """
        if anchor_threshold_bytes is not None and anchor_threshold_bytes < 0:
            raise ValueError("anchor_threshold_bytes must not be negative; None turns anchors off")
        if connection_max_age_secs <= 0:
            raise ValueError("connection_max_age_secs must be more than 0")
        if ws_url != DEFAULT_WS_URL and not kwargs.get("base_url"):
            kwargs["base_url"] = os.environ.get("OPENAI_BASE_URL") or _http_address(ws_url)
        super().__init__(**kwargs)
        self._ws_url = (
            _ws_address(str(self._client.base_url)) if ws_url == DEFAULT_WS_URL else ws_url
        )
        self._check_transport(self._ws_url)
        self._register_event_handler("on_connected")
        self._register_event_handler("on_disconnected")
        self._context: LLMContext | None = None
        self._beside: HttpSession | None = None
        self._session = WebSocketSession(
            Address(self._ws_url, self._handshake_headers),
            self._on_notice,
            connections=PoolOptions(
                connection=SocketOptions(
                    close_timeout=self._ws_close_timeout,
                    max_message_bytes=self._max_message_bytes,
                ),
                max_age=connection_max_age_secs,
                reconnect=self._reconnect_on_error,
            ),
            anchor_threshold=anchor_threshold_bytes,
            join_deltas=self._batch_deltas,
        )

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answers context frames; passes every other frame on.

        Args:
            frame: The frame.
            direction: Where it is going.
        """
        if isinstance(frame, LLMContextFrame) and not frame.speculation:
            self._context = frame.context
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            await self._lay_anchor()

    async def warm_up(self, context: LLMContext) -> bool:
        """Gives a conversation to the server before its first turn, which is then incremental.

        Instructions, tools and messages are sent with ``generate: false``; the tokens may be
        billed. A turn never waits for it.

        Args:
            context: The context as far as it is known.

        Returns:
            Whether the server took it. An empty context cannot be given.

        Raises:
            LLMContextConversionError: If the context cannot be sent.
        """
        if not context.get_messages():
            return False
        return await self._session.warm_up(await self._request(context))

    async def cleanup(self) -> None:
        """Releases everything; nothing of the service is left running."""
        await self._disconnect()  # type: ignore[no-untyped-call]
        if self._beside is not None:
            await self._beside.close()
        await super().cleanup()

    @property
    def _backend(self) -> WebSocketSession:
        return self._session

    def _side_backend(self) -> Backend:
        if self._beside is None:
            self._beside = HttpSession(self._client, max_event_bytes=self._max_message_bytes)
        return _Beside(self._session, self._beside)

    async def _lay_anchor(self) -> None:
        if self._context is None:
            return
        try:
            self._session.lay_anchor(await self._request(self._context))
        except Exception as error:  # noqa: BLE001 - the next turn will report what is wrong
            logger.debug("{}: no anchor: {}", self, error)

    # -- WebsocketService -------------------------------------------------------------------------

    async def _connect_websocket(self) -> None:
        await self._session.start()

    async def _disconnect_websocket(self) -> None:
        await self.stop_all_metrics()  # type: ignore[no-untyped-call]
        await self._session.close()

    async def _handshake_headers(self) -> Mapping[str, str]:
        key = self._api_key if isinstance(self._api_key, str) else await self._api_key()
        own = self._client.default_headers.items()
        return {
            "Authorization": f"Bearer {key}",
            **{name: value for name, value in own if isinstance(value, str)},
        }

    async def _on_notice(self, notice: Notice) -> None:
        if isinstance(notice, Connected):
            logger.debug("{}: connected to {}", self, self._ws_url)
            await self._call_event_handler("on_connected")
        elif isinstance(notice, Disconnected):
            logger.debug("{}: disconnected ({})", self, notice.error)
            await self._call_event_handler("on_disconnected")
        elif isinstance(notice, ConnectFailed):
            await self._connect_failed(notice.error, waited_for=notice.waited_for)
        else:
            await self._count_abandoned(notice)

    async def _connect_failed(self, error: ResponsesError, *, waited_for: bool) -> None:
        message = str(error)
        await self._call_event_handler("on_connection_error", message)
        if waited_for:
            return
        if error.recovery is Recovery.PERMANENT:
            await self._report(error)
        else:
            logger.warning("{}: {}", self, message)

    async def _count_abandoned(self, notice: AbandonedUsage) -> None:
        if self.usage_metrics_enabled:
            model = self._settings.model
            data = AbandonedUsageMetricsData(
                processor=self.name,
                model=model if isinstance(model, str) else None,
                value=token_usage(notice.usage),
                turn=notice.turn,
                response_id=notice.response_id,
            )
            await self.push_frame(MetricsFrame(data=[data]))


class OpenAIResponsesHttpLLMService(_BaseOpenAIResponsesLLMService):
    """The Responses API over HTTP, with streaming (server-sent events).

    Each turn sends the whole conversation. ``previous_response_id`` is not used: over HTTP it would
    need ``store=True``, which keeps conversations on OpenAI's side for 30 days.

    Example::

        llm = OpenAIResponsesHttpLLMService(
            api_key=os.getenv("OPENAI_API_KEY"),
            settings=OpenAIResponsesHttpLLMService.Settings(
                model="gpt-4.1",
                system_instruction="You are a helpful assistant.",
            ),
        )
    """

    async def cleanup(self) -> None:
        """Releases everything; nothing of the service is left running."""
        await self._session.close()
        await self._beside.close()
        await super().cleanup()

    @property
    def _backend(self) -> HttpSession:
        return self._session

    def _side_backend(self) -> Backend:
        return self._beside

    @cached_property
    def _session(self) -> HttpSession:
        return self._new_session()

    @cached_property
    def _beside(self) -> HttpSession:
        return self._new_session()

    def _new_session(self) -> HttpSession:
        return HttpSession(
            self._client,
            join_deltas=self._batch_deltas,
            max_event_bytes=self._max_message_bytes,
        )


class _Beside:
    """Requests beside the conversation: on a lane of their own, or over HTTP."""

    def __init__(self, session: WebSocketSession, http: HttpSession) -> None:
        self._session = session
        self._http = http
        self.stats: SessionStats = http.stats

    @property
    def reached(self) -> bool:
        return self._session.reached or self._http.reached

    async def respond(self, request: Request) -> Exchange:
        running = await self._session.respond_aside(request)
        return running if running is not None else await self._http.respond(request)


def _ws_address(base_url: str) -> str:
    scheme, _, rest = base_url.partition("://")
    path, mark, query = rest.partition("?")
    return f"{'ws' if scheme == 'http' else 'wss'}://{path.rstrip('/')}/responses{mark}{query}"


def _http_address(ws_url: str) -> str | None:
    scheme, _, rest = ws_url.partition("://")
    path = rest.partition("?")[0].rstrip("/")
    if not path.endswith("/responses"):
        return None
    return f"{'http' if scheme == 'ws' else 'https'}://{path.removesuffix('/responses')}"
