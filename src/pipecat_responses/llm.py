"""OpenAI's Responses API as LLM services for Pipecat, over WebSocket and over HTTP."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    UserStartedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import WebsocketLLMService

from pipecat_responses.protocol.names import ErrorName, named
from pipecat_responses.protocol.requests import Request
from pipecat_responses.service.addresses import http_address, ws_address
from pipecat_responses.service.base import _BaseOpenAIResponsesLLMService
from pipecat_responses.service.connection_events import Notice, tell
from pipecat_responses.service.request_builder import OpenAIResponsesLLMAdapter, settled
from pipecat_responses.service.sessions import (
    Address,
    Backend,
    FallbackSession,
    SideRequests,
    WebSocketSession,
    websocket_session,
)
from pipecat_responses.service.settings import (
    OpenAIResponsesLLMSettings,
    OpenAIResponsesReasoningConfig,
)
from pipecat_responses.service.steering import Steering
from pipecat_responses.service.warming import CHANGES, Warming, context_around

if TYPE_CHECKING:
    from pipecat_responses.session.http import HttpSession

__all__ = [
    "OpenAIResponsesHttpLLMService",
    "OpenAIResponsesLLMService",
    "OpenAIResponsesLLMSettings",
    "OpenAIResponsesReasoningConfig",
]

DEFAULT_WS_URL = "wss://api.openai.com/v1/responses"


_ANSWER_IS_WRITTEN = (InterruptionFrame, BotStoppedSpeakingFrame, UserStartedSpeakingFrame)
"""When these pass, the context holds what was heard of the last answer.

It may not yet when the bot stops speaking: a voice without word timestamps writes it down then.
"""


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
        on_transport_changed(service, transport): Turns go over ``"http"``, since no WebSocket
            comes through, or over the ``"websocket"`` again.
        on_completion_timeout(service): A turn was given up because of a time limit.
        on_turn_lost(service, error): A turn has failed before a word was said.
        on_compacted(service, report): The conversation was compacted; ``report`` is a
            ``CompactionReport``.
        on_turn_ended(service, report): A turn has ended; ``report`` is its ``TurnReport``.
        on_mcp_approval_request(service, request): A call waits for approval.

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
        coverage: Literal["words", "exact"] = "words",
        transport: Literal["auto", "websocket"] = "auto",
        warm_up: Literal["auto", "off"] = "off",
        steering: Literal["auto", "off"] = "off",
        **kwargs: Any,
    ) -> None:
        """Creates the service; it connects when the pipeline is set up.

        Args:
            ws_url: The WebSocket's address. Left at its default, it follows ``base_url``.
            anchor_threshold_bytes: When an interruption or a new connection leaves more than this
                to send again, the conversation is given to the server in the background while
                nobody waits. None turns that off.
            connection_max_age_secs: An idle connection is replaced at this age; OpenAI ends
                connections at 3600.
            coverage: When the context counts as saying what the model said, so that a turn need
                not send it again: ``"words"`` for the same words, as a TTS service writes them
                down, ``"exact"`` for the same characters.
            transport: What becomes of turns where no WebSocket comes through (a proxy refuses or
                swallows it): ``"auto"`` sends them over HTTP until one does, ``"websocket"``
                reports it.
            warm_up: ``"auto"`` gives instructions, tools and the context to the server as soon as
                they are known, when they change and when a connection was opened, in the
                background; the tokens may be billed, once for each change.
            steering: What becomes of a response that the user interrupts before anything of it was
                heard, while the model thinks or a tool of the server runs: ``"off"`` lets go of it,
                ``"auto"`` gives it what the user says, on models that take that (the gpt-6
                family), so that nothing begins anew.
            **kwargs: The arguments of the HTTP service and of Pipecat's ``WebsocketLLMService``
                (``reconnect_on_error``, ``ws_close_timeout``, …).

        Raises:
            ValueError: If there is no API key, an address is not right, or an argument has a
                value that makes no sense.
        """
        if anchor_threshold_bytes is not None and anchor_threshold_bytes < 0:
            raise named(
                ValueError("anchor_threshold_bytes must not be negative; None turns anchors off"),
                ErrorName.ARGUMENT,
            )
        if connection_max_age_secs <= 0:
            raise named(
                ValueError("connection_max_age_secs must be more than 0"), ErrorName.ARGUMENT
            )
        if coverage not in ("words", "exact"):
            raise named(
                ValueError(f'coverage must be "words" or "exact", not {coverage!r}'),
                ErrorName.ARGUMENT,
            )
        if transport not in ("auto", "websocket"):
            raise named(
                ValueError(f'transport must be "auto" or "websocket", not {transport!r}'),
                ErrorName.ARGUMENT,
            )
        if steering not in ("auto", "off"):
            raise named(
                ValueError(f'steering must be "auto" or "off", not {steering!r}'),
                ErrorName.ARGUMENT,
            )
        if warm_up not in ("auto", "off"):
            raise named(
                ValueError(f'warm_up must be "auto" or "off", not {warm_up!r}'), ErrorName.ARGUMENT
            )
        told = kwargs.get("base_url") or kwargs.get("client")
        if ws_url != DEFAULT_WS_URL and not told:
            kwargs["base_url"] = os.environ.get("OPENAI_BASE_URL") or http_address(ws_url)
        super().__init__(**kwargs)
        self._ws_url = (
            ws_address(self._access.base_url, self._access.query)
            if ws_url == DEFAULT_WS_URL
            else ws_url
        )
        if kwargs.get("capabilities") is None:
            self._capabilities = self._access.capabilities(self._ws_url)
        self._secrets.add_address(self._ws_url)
        self._access.check(self._ws_url)
        self._register_event_handler("on_connected")
        self._register_event_handler("on_disconnected")
        self._register_event_handler("on_transport_changed")
        self._context: LLMContext | None = None
        self._context_is_live = False
        self._anchor_threshold_bytes = anchor_threshold_bytes
        self._max_age_secs = connection_max_age_secs
        self._coverage = coverage
        self._falls_back = transport == "auto"
        self._steering = Steering(self, parks=steering == "auto")
        self._warms_up = warm_up == "auto"
        self._warming = Warming(lambda: self._lay_anchor(written=False))

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answers context frames; passes every other frame on.

        Args:
            frame: The frame.
            direction: Where it is going.
        """
        if isinstance(frame, LLMContextFrame):
            self._keep_for_anchors(frame)
            self._warming.put_off()
        await super().process_frame(frame, direction)
        if isinstance(frame, _ANSWER_IS_WRITTEN):
            stopped = isinstance(frame, BotStoppedSpeakingFrame)
            await self._lay_anchor(written=not (stopped and self._context_is_live))
        elif self._warms_up and isinstance(frame, CHANGES):
            self._warming.soon()

    async def warm_up(self, context: LLMContext) -> bool:
        """Gives a conversation to the server before its first turn, which is then incremental.

        Instructions, tools and messages are sent with ``generate: false``; the tokens may be
        billed. A turn never waits for it.

        Args:
            context: The context as far as it is known.

        Returns:
            Whether the server took it. Of an empty context it is given instructions and tools.

        Raises:
            LLMContextConversionError: If the context cannot be sent.
        """
        if self._context is None:
            self._context = context
        return await self._session.warm_up(await self._request_ahead(context))

    async def cleanup(self) -> None:
        """Releases everything; nothing of the service is left running."""
        await self._warming.close()
        await self._disconnect()  # type: ignore[no-untyped-call]
        if isinstance(self._backend, FallbackSession):
            await self._backend.close()
        await super().cleanup()

    # Made when they are first needed: when hundreds of calls begin at once, constructors count.

    @cached_property
    def _session(self) -> WebSocketSession:
        return websocket_session(
            Address(self._ws_url, self._handshake_headers, self._handshake_query),
            self._on_notice,
            limits=self._connection_limits,
            turn_limits=self._policy.limits,
            close_timeout=self._ws_close_timeout,
            max_age=self._max_age_secs,
            reconnect=self._reconnect_on_error,
            max_message_bytes=self._max_message_bytes,
            anchor_threshold=self._anchor_threshold_bytes,
            join_deltas=self._batch_deltas,
            coverage=self._coverage,
            tls=self._access.tls,
            proxies=self._access.proxies,
            falls_back=self._falls_back,
            capabilities=self._capabilities,
            stored=self._stored,
            log=self._log,
            trace=self._trace,
        )

    @cached_property
    def _backend(self) -> Backend:
        if not self._falls_back:
            return self._session

        def over_http() -> HttpSession:
            return self._new_http_session(self._session.stats, self._stored, self._coverage)

        return FallbackSession(self._session, over_http)

    def _side_backend(self) -> Backend:
        return SideRequests(self._session, self._side_session)

    def _keep_for_anchors(self, frame: LLMContextFrame) -> None:
        context = frame.context
        if not frame.speculation:
            self._context = context
            self._context_is_live = True
        elif not self._context_is_live and len(context.messages) > 1:
            # A copy, of a conversation that is never shown itself as long as each speculation
            # holds. The user's last words in it are a guess, all before them is certain.
            certain = context.messages[:-1]
            self._context = LLMContext(certain, context.tools, context.tool_choice)

    async def _lay_anchor(self, *, written: bool) -> None:
        try:
            if self._context is None and self._warms_up:
                self._context = context_around(self)
                self._context_is_live = self._context is not None
            if self._context is None:
                return
            request = settled(await self._request_ahead(self._context))
            self._session.lay_anchor(request, written=written, warms_up=self._warms_up)
        except Exception as error:  # noqa: BLE001 - the next turn will report what is wrong
            self._log.debug("no anchor: {}", error)

    async def _request_ahead(self, context: LLMContext) -> Request:
        return await self._requests.build(context, self._settings, may_be_empty=True)

    # -- WebsocketService -------------------------------------------------------------------------

    async def _connect_websocket(self) -> None:
        await self._session.start()

    async def _disconnect_websocket(self) -> None:
        await self.stop_all_metrics()  # type: ignore[no-untyped-call]
        await self._session.close()

    async def _handshake_headers(self) -> Mapping[str, str]:
        key = self._access.api_key
        if not isinstance(key, str):
            key = await key()
        headers = {"Authorization": f"Bearer {key}", **self._client.default_headers}
        return {name: value for name, value in headers.items() if isinstance(value, str)}

    def _handshake_query(self) -> Mapping[str, str]:
        model = self._settings.model
        if self._access.server.model_in_handshake and isinstance(model, str):
            return {"model": model}
        return {}

    async def _on_notice(self, notice: Notice) -> None:
        await tell(self, notice)
        self._telemetry.count()


class OpenAIResponsesHttpLLMService(_BaseOpenAIResponsesLLMService):
    """The Responses API over HTTP, with streaming (server-sent events).

    Each turn sends the whole conversation. With ``extra={"store": True}`` in the settings, which
    keeps responses on OpenAI's side for 30 days, it sends what is new, by ``previous_response_id``.

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
        await super().cleanup()

    @property
    def _backend(self) -> HttpSession:
        return self._session

    def _side_backend(self) -> Backend:
        return self._side_session

    @cached_property
    def _session(self) -> HttpSession:
        return self._new_http_session(stored=self._stored)
