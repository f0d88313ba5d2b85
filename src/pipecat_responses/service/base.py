"""What the two services have in common: everything but how a request travels."""

from __future__ import annotations

import asyncio
import ssl
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from pipecat.adapters.llm.base_llm_adapter import LLMContextConversionError
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    Frame,
    FunctionCallCancelFrame,
    FunctionCallResultFrame,
    LLMContextFrame,
    LLMContextSummaryRequestFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
)
from pipecat.metrics.metrics import LLMTokenUsage
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.utils.errors import ErrorCategory
from pipecat.utils.tracing.service_decorators import traced_llm

from pipecat_responses.context.adapter import OpenAIResponsesLLMAdapter
from pipecat_responses.protocol.capabilities import ServerCapabilities
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure, Recovery
from pipecat_responses.protocol.names import ErrorName, hint, named
from pipecat_responses.protocol.options import allowed_tools_refused
from pipecat_responses.protocol.requests import Request
from pipecat_responses.protocol.tool_choice import is_left_out
from pipecat_responses.service.access import Access
from pipecat_responses.service.approvals import (
    McpApproval,
    McpApprovalFrame,
    McpApprovals,
    check_approval,
)
from pipecat_responses.service.arguments import check_known, check_values
from pipecat_responses.service.cache_keeping import CacheKeeping
from pipecat_responses.service.compaction import (
    CompactionReport,
    CompactionWatch,
    put_in_place,
    to_summarize,
)
from pipecat_responses.service.errors import category_of, is_about_a_file
from pipecat_responses.service.frame_writer import FrameWriter, token_usage
from pipecat_responses.service.function_calls import TurnCalls
from pipecat_responses.service.request_builder import RequestBuilder, settled
from pipecat_responses.service.secrets import ApiKey
from pipecat_responses.service.servers import ServerName, find_server
from pipecat_responses.service.sessions import KNOWN
from pipecat_responses.service.settings import (
    OpenAIResponsesLLMSettings,
    OpenAIResponsesReasoningConfig,
    default_settings,
    supports_response_schema,
)
from pipecat_responses.service.steering import Steering
from pipecat_responses.service.telemetry import Telemetry
from pipecat_responses.service.turn_reports import TurnReports
from pipecat_responses.session.endpoint import EndpointSession
from pipecat_responses.session.hedge import HedgingBackend
from pipecat_responses.session.hedge_policy import HedgePolicy
from pipecat_responses.session.limits import ConnectionLimits, TurnLimits
from pipecat_responses.session.log import SessionLog
from pipecat_responses.session.records import (
    ErrorReported,
    Purpose,
    ServiceClosed,
    ToolCalled,
    ToolEnded,
    TurnBegan,
    TurnEnded,
)
from pipecat_responses.session.stats import Outcome, SessionStats
from pipecat_responses.session.stored import StoredResponses
from pipecat_responses.session.turn import Backend, Turn, TurnPolicy
from pipecat_responses.session.turn_events import CompleteCall, Text, TurnDone
from pipecat_responses.session.watch import TurnWatch
from pipecat_responses.transport.trace import Trace

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from pipecat_responses.session.http import HttpSession

_TURN_LIMITS = TurnLimits()
_CONNECTION_LIMITS = ConnectionLimits()
_TOOL_ENDS = (FunctionCallResultFrame, FunctionCallCancelFrame)


class _BaseOpenAIResponsesLLMService(LLMService[OpenAIResponsesLLMAdapter]):
    """Shared by both services: settings, requests, frames, function calls, errors."""

    Settings = OpenAIResponsesLLMSettings
    _settings: OpenAIResponsesLLMSettings

    ReasoningConfig = OpenAIResponsesReasoningConfig

    adapter_class = OpenAIResponsesLLMAdapter
    supports_response_schema: bool = True

    def __init__(
        self,
        *,
        api_key: ApiKey | None = None,
        base_url: str | None = None,
        server: ServerName | None = None,
        organization: str | None = None,
        project: str | None = None,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, str] | None = None,
        model_family: str | None = None,
        service_tier: str | None = None,
        client: AsyncOpenAI | None = None,
        ssl_context: ssl.SSLContext | None = None,
        capabilities: ServerCapabilities | None = None,
        proxy: str | None = None,
        settings: OpenAIResponsesLLMSettings | None = None,
        retry_timeout_secs: float | None = 5.0,
        retry_on_timeout: bool | None = False,
        on_mid_response_loss: Literal["resume", "stop"] = "resume",
        turn_limits: TurnLimits | None = None,
        connection_limits: ConnectionLimits | None = None,
        lost_turn_text: str | None = None,
        mcp_approval: McpApproval = "ask",
        early_function_calls: bool = True,
        early_speech: bool = True,
        keep_cache: bool | ToolsSchema = False,
        hedge: HedgePolicy | None = None,
        batch_deltas: bool = True,
        max_message_bytes: int = 16 * 1024 * 1024,
        allow_insecure_transport: bool = False,
        **kwargs: Any,
    ) -> None:
        """Creates the service; nothing is sent before the pipeline is set up.

        Args:
            api_key: An API key, or an async callable that gives one each time it is needed. Left
                out, it is read from ``OPENAI_API_KEY``, or from the variable of ``server``.
            base_url: The API's base URL. Left out, it is OpenAI's (or ``OPENAI_BASE_URL``), or that
                of ``server``.
            server: What kind of server it is: ``"azure"``, ``"xai"``, ``"openrouter"``,
                ``"litellm"``, ``"vllm"``, ``"ollama"`` or ``"lmstudio"``. Left out, it is told
                from the host where that is certain, and else taken for one like OpenAI's.
            organization: An organization's id, sent as a header.
            project: A project's id, sent as a header.
            default_headers: More headers for every request.
            default_query: What is added to the address of every request, such as Azure's
                ``api-version``, and to the WebSocket's.
            model_family: The model behind a name of your own (a deployment, an alias), for the
                defaults of reasoning: ``"gpt-5"``.
            service_tier: The processing tier to ask for.
            client: An SDK client to use instead of one of the service's own: with its key, address,
                headers and connections. It stays open; whoever made it closes it.
            ssl_context: The TLS context for connections, for a private certificate authority or a
                client's certificate. Left out, it is one for the whole process that trusts the
                system's authorities, or those in ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``.
            capabilities: What is known of the server, such as a file of ``pipecat-responses
                doctor`` says (``ServerCapabilities.load``). Left out, it is what other services of
                the process have learned of it. What is not known is tried, and what a server
                refuses is left out from then on.
            proxy: The address of a proxy for all connections, such as
                ``http://user:password@host:3128``; also ``https://``, ``socks5://`` (names are
                looked up here) and ``socks5h://`` (names are looked up by the proxy), which need
                the extra ``socks``. Left out, it is what ``HTTPS_PROXY``, ``HTTP_PROXY`` and
                ``ALL_PROXY`` say; ``NO_PROXY`` names the exceptions from those.
            settings: What can be changed while running: model, system instruction, and so on.
            retry_timeout_secs: With ``retry_on_timeout``, seconds for a response to put something
                out before it is asked for once more.
            retry_on_timeout: Whether to do so.
            on_mid_response_loss: When an answer breaks off after words were said: ``"resume"``
                asks for the rest, ``"stop"`` ends the turn and reports it.
            turn_limits: How patient a turn is, and how often it tries.
            connection_limits: How patient connections are.
            lost_turn_text: What the bot says when a turn fails before it has said a word, instead
                of nothing ("Sorry, could you say that again?").
            mcp_approval: Who approves calls of remote MCP tools that need it: ``"ask"`` for the
                event ``on_mcp_approval_request``, to be answered by an ``McpApprovalFrame``,
                ``"always"``, ``"never"``, one of these for each tool, or a function.
            early_function_calls: Start a function as soon as its call is complete, while the
                response goes on. False starts all of them when it is over.
            early_speech: Have a voice say the last sentence before a tool at once: an empty
                ``LLMTextFrame`` stands behind it. False keeps it back until more text comes.
            keep_cache: Keep the server's prompt cache where tools, instructions or effort change:
                all tools are declared and each turn is narrowed to its own, and what changes is
                said behind what is cached. Give the tools of the whole conversation instead of
                True, so that they are declared from the first turn on.
            hedge: Send a request once more when its answer is late, and take the first that comes;
                a second server goes in here, too (``HedgePolicy.endpoint``).
            batch_deltas: Push text that has arrived together as one frame. Nothing ever waits for
                more text.
            max_message_bytes: Largest message that is accepted from the server.
            allow_insecure_transport: Send the key over an unencrypted connection to another host.
            **kwargs: More arguments for Pipecat's ``LLMService``.

        Raises:
            ValueError: If there is no API key, an address is not right, or an argument has a
                value that makes no sense.
            TypeError: If an argument is not known, or the client is none.
        """
        # No turn is to wait for the SDK's import.
        import_module("pipecat_responses.service.over_http")
        check_known(type(self), kwargs)
        check_values(on_mid_response_loss, retry_timeout_secs, max_message_bytes)
        check_approval(mcp_approval)
        store = default_settings()
        if settings is not None:
            store.apply_update(settings)
        super().__init__(settings=store, **kwargs)
        # Pipecat has warned that they have no effect here. It acts on what changes: left as they
        # are, the strategy that owns them would change nothing, and never take effect.
        store.filter_incomplete_user_turns = False
        store.user_turn_completion_config = None

        self._connection_limits = connection_limits or _CONNECTION_LIMITS
        self._access = Access(
            server=server,
            base_url=base_url,
            api_key=api_key,
            organization=organization,
            project=project,
            default_headers=default_headers,
            default_query=default_query,
            client=client,
            ssl_context=ssl_context,
            proxy=proxy,
            allow_insecure=allow_insecure_transport,
            key_timeout=self._connection_limits.open_secs,
        )
        self._secrets = self._access.secrets
        self._log = SessionLog(self, self._secrets.mask)
        self._trace = Trace(self._secrets.mask)
        self._lost_turn_text = lost_turn_text
        self._register_event_handler("on_turn_lost")
        self._register_event_handler("on_turn_ended")
        self._register_event_handler("on_compacted")
        self._approvals = McpApprovals(self, mcp_approval)
        self._register_event_handler("on_mcp_approval_request")
        self._early_function_calls = early_function_calls
        self._early_speech = early_speech
        self._turn_calls: TurnCalls | None = None
        self._steering = Steering(self)
        self._hedge = hedge
        self._batch_deltas = batch_deltas
        self._max_message_bytes = max_message_bytes
        self._access.settle(self._where())
        self._capabilities = capabilities or self._access.capabilities(self._access.base_url)
        self._stored = StoredResponses()
        self._policy = TurnPolicy(
            on_mid_response_loss=on_mid_response_loss,
            output_timeout=retry_timeout_secs if retry_on_timeout else None,
            limits=turn_limits or _TURN_LIMITS,
        )
        self._requests = RequestBuilder(
            self.get_llm_adapter,
            service_tier=service_tier,
            model_family=model_family,
            log=self._log,
            cache=self._cache_keeping(keep_cache, model_family),
        )
        self._compactions = CompactionWatch()
        self._telemetry = Telemetry(self, self._access)
        self._turn_reports = TurnReports(self, self._log, self._telemetry)
        self._endpoint_arguments = (
            self._access.arguments_for(hedge.endpoint) if hedge and hedge.endpoint else {}
        )
        self._unusable: ResponsesError | None = None
        self._out_of_reach = False

    # -- to be said by each service ---------------------------------------------------------------

    @property
    @abstractmethod
    def _backend(self) -> Backend:
        """How a turn's requests travel."""

    @abstractmethod
    def _side_backend(self) -> Backend:
        """How requests beside the conversation travel."""

    # -- public -----------------------------------------------------------------------------------

    @property
    def stats(self) -> SessionStats:
        """What the service has done so far, counted."""
        return self._backend.stats

    @property
    def capabilities(self) -> ServerCapabilities:
        """What is known of the server, and why."""
        return self._capabilities

    @property
    def trace(self) -> Trace:
        """What tells an inspector what happens."""
        return self._trace

    def can_generate_metrics(self) -> bool:
        """Whether the service measures itself: it does."""
        return True

    @staticmethod
    def model_supports_response_schema(model: str) -> bool:
        """Whether a model can be held to a JSON schema.

        Args:
            model: The model's name.
        """
        return supports_response_schema(model)

    async def run_inference(
        self,
        context: LLMContext,
        max_tokens: int | None = None,
        system_instruction: str | None = None,
        response_schema: dict[str, Any] | None = None,
    ) -> str | None:
        """Asks for one answer beside the conversation, without pushing any frame.

        Args:
            context: What to answer.
            max_tokens: The most tokens the answer may have.
            system_instruction: Takes the place of the service's own for this answer.
            response_schema: A JSON schema the answer must follow, on models that can.

        Returns:
            The answer's text, or None if there was none.

        Raises:
            ResponsesError: If the request fails.
            LLMContextConversionError: If the context cannot be sent.
        """
        changes: dict[str, Any] = {}
        if max_tokens is not None:
            changes["max_output_tokens"] = max_tokens
        schema = self._check_response_schema(response_schema)
        if schema is not None:
            form = {"type": "json_schema", "name": "response", "schema": schema, "strict": True}
            changes["text"] = {"format": form}
        request = await self._requests.build_aside(
            context, self._settings, system_instruction=system_instruction, changes=changes
        )
        turn = Turn(self._side_backend(), request, self._policy, log=self._log)
        text: list[str] = []
        try:
            while True:
                for event in await turn.next():
                    if isinstance(event, Text):
                        text.append(event.text)
                    elif isinstance(event, TurnDone):
                        if event.usage is not None:
                            self._telemetry.tokens(token_usage(event.usage))
                        return "".join(text) or None
        except ResponsesError as error:
            if error.failure is Failure.EMPTY:
                return None
            raise self._without_secrets(error) from None
        finally:
            turn.abandon()

    async def steer(self, text: str) -> bool:
        """Adds to what the user has said, so that the answer under way takes it up.

        Over WebSocket, with a model that takes it (the gpt-6 family), the response that runs works
        it in: a tool that runs at the server runs on. Everywhere else, and where nothing runs, it
        waits in the context for the next turn. Nothing is lost either way, and nothing is
        interrupted.

        Args:
            text: What is added, such as what the user has typed meanwhile.

        Returns:
            Whether the answer that is under way takes it up. The server may find later that it
            cannot, as when the model calls a function first: then it waits for the next turn.

        Raises:
            ValueError: If the text is empty.
        """
        if not text.strip():
            raise named(ValueError("steer() needs some text"), ErrorName.ARGUMENT)
        return await self._steering.steer(text)

    async def compact(self, context: LLMContext) -> CompactionReport:
        """Has the server make one item of a conversation, which takes the messages' place.

        What the user has said stays beside it as the API gives it back; what is said while the
        server is at work stays behind it. The next turn sends what is left. A function that still
        runs stays, with all that is behind its call.

        Args:
            context: The conversation.

        Returns:
            How much it has made of it.

        Raises:
            ValueError: If there is nothing to compact.
            ResponsesError: If the server does not do it; the conversation stays as it is.
            LLMContextConversionError: If the context cannot be sent.
            RuntimeError: If messages were changed meanwhile; the conversation stays as it is.
        """
        messages: list[Any] = list(context.get_messages())
        whole = await self._requests.build_to_compact(context, self._settings)
        request = settled(whole)
        if not messages or not request.items:
            raise named(
                ValueError("There is nothing to compact: nothing has been said that is complete"),
                ErrorName.COMPACTION,
            )
        count = len(messages)
        if len(request.items) < len(whole.items):
            count = whole.message_of(len(request.items)) or 0
        try:
            answer = await self._side_session.compact(request)
        except ResponsesError as error:
            raise self._without_secrets(error) from None
        llm = self.get_llm_adapter().id_for_llm_specific_messages
        report = put_in_place(context, messages, count, answer, llm)
        await self._call_event_handler("on_compacted", report)
        return report

    async def _generate_summary(self, frame: LLMContextSummaryRequestFrame) -> tuple[str, int]:
        """Summarises a conversation for Pipecat, with what a compaction in it stands for.

        Pipecat gives the model a transcript, and a compaction is readable for the server only: all
        that it stands for would be lost for good.
        """
        asked = to_summarize(frame, self.get_llm_adapter().id_for_llm_specific_messages)
        if asked is None:
            return await super()._generate_summary(frame)
        context, last = asked
        summary = await self.run_inference(
            context,
            max_tokens=frame.target_context_tokens,
            system_instruction=frame.summarization_prompt,
        )
        if not summary:
            raise named(RuntimeError("The model gave no summary"), ErrorName.SUMMARY)
        return summary.strip(), last

    # -- frames -----------------------------------------------------------------------------------

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answers context frames; passes every other frame on.

        Args:
            frame: The frame.
            direction: Where it is going.
        """
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self._answer(frame.context)
        elif isinstance(frame, McpApprovalFrame):
            await self._approvals.answer(frame.request_id, frame.approve)
        else:
            await self.push_frame(frame, direction)

    async def _answer(self, context: LLMContext) -> None:
        """Runs a turn: exactly one start and one end frame, whatever becomes of it."""
        watch = TurnWatch()
        calls = self._turn_calls = TurnCalls(
            self, context, super().broadcast_frame, early=self._early_function_calls
        )
        try:
            await self.push_frame(LLMFullResponseStartFrame())
            await self.start_processing_metrics()
            await self._process_context(context, calls, watch)
        except asyncio.CancelledError:
            await calls.interrupt()
            raise
        except ResponsesError as error:
            await self._report(error, context)
        except LLMContextConversionError as error:
            if (tell := self._trace.tell) is not None:
                tell(ErrorReported(error, ErrorName.CONTEXT_MESSAGE))
            context.remove_invalid_file_message()
            await self.push_error(str(error), exception=error, category=ErrorCategory.APPLICATION)
            self._say_more(ErrorName.CONTEXT_MESSAGE)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call goes on
            self._telemetry.error()
            if (tell := self._trace.tell) is not None:
                tell(ErrorReported(error, None))
            await self.push_error(
                self._secrets.mask(f"The turn failed: {type(error).__name__}: {error}"),
                exception=error,
                category=ErrorCategory.UNKNOWN,
            )
        finally:
            # A turn that put nothing out has no time to its first output.
            await self.cancel_ttfb_metrics()  # type: ignore[no-untyped-call]
            await self.stop_processing_metrics()
            await self.push_frame(LLMFullResponseEndFrame())
        await calls.release()

    @traced_llm
    async def _process_context(
        self, context: LLMContext, calls: TurnCalls, watch: TurnWatch
    ) -> None:
        number = self._trace.turn = self.stats.turn_begun()
        request = await self._make_request(number, context)
        if (tell := self._trace.tell) is not None:
            tell(TurnBegan(number, request.messages, len(request.items)))
        turn = Turn(
            self._turn_backend,
            request,
            self._policy,
            refuge=self._second_server,
            parked=self._steering.take_parked(),
            log=self._log,
            trace=self._trace,
            watch=watch,
        )
        self._steering.begin(turn)
        frames = FrameWriter(self, calls.add, pauses=self._early_speech)
        outcome: Outcome = "interrupted"
        try:
            while frames.done is None:
                for event in await turn.next():
                    if isinstance(event, CompleteCall):
                        self._check_choice(event, request)
                        if (tell := self._trace.tell) is not None:
                            tell(ToolCalled(number, event.call_id, event.name, event.arguments))
                    await frames.write(event)
            outcome = "answered"
        except asyncio.CancelledError:
            if not self._speculation_gate.is_speculating:
                self._steering.interrupt(turn)
            raise
        except ResponsesError as error:
            outcome = "failed"
            lost = self._without_secrets(error)
            await frames.close()
            if not frames.has_spoken and lost.failure is not Failure.CLOSED:
                await self._say_that_it_is_lost(lost)
            raise lost from None
        finally:
            # An interruption arrives here as a cancellation: the response is let go of, and the
            # next turn neither waits for it nor hears of it, unless it is parked.
            turn.abandon()
            self._steering.end()
            self._requests.leave_out(frames.unreadable)
            await frames.keep_wording(turn.messages)
            if frames.done is not None:
                await frames.keep_stored(self._stored.mark(frames.done.response_id))
            await self._tell_of_turn(number, turn, watch, request, outcome, frames)
        await frames.close()
        # Read by Pipecat's tracing for its spans.
        self._full_model_name = frames.done.model
        if frames.approvals:
            await self._approvals.ask(frames.approvals)
        await calls.end()

    async def _make_request(self, number: int, context: LLMContext) -> Request:
        """A turn's request. Where none can be made, the turn has ended."""
        try:
            if not self.is_usable and self._unusable is not None:
                raise self._unusable
            # Measured from here: converting is part of what the user waits for.
            await self.start_ttfb_metrics()
            return await self._request(context)
        except (Exception, asyncio.CancelledError) as error:
            if (tell := self._trace.tell) is not None:
                failed = isinstance(error, Exception)
                tell(TurnBegan(number, len(context.get_messages()), 0))
                tell(TurnEnded(number, "failed" if failed else "interrupted", None))
            raise

    def _check_choice(self, call: CompleteCall, request: Request) -> None:
        """A server may drop a choice among the tools unsaid: then it is not used any more."""
        if is_left_out(call.name, request.fields.values):
            why = f"The model has called {call.name}, which `allowed_tools` left out"
            if self._capabilities.refuse(allowed_tools_refused(why)):
                self._log.warning("{}: each turn declares its own tools from here on.", why)

    async def _tell_of_turn(
        self,
        number: int,
        turn: Turn,
        watch: TurnWatch,
        request: Request,
        outcome: Outcome,
        frames: FrameWriter,
    ) -> None:
        """A turn has ended, one way or another: the application can read what became of it."""
        sent = turn.report
        if sent is None:
            # Nothing has left: there was no connection, or the user spoke at once.
            if (tell := self._trace.tell) is not None:
                tell(TurnEnded(number, outcome, None, turn.said))
            return
        done = frames.done
        report = self._turn_reports.complete(sent, watch, request.fields, outcome, done)
        self.stats.turn_ended(report)
        if (tell := self._trace.tell) is not None:
            tell(TurnEnded(number, outcome, report, turn.said))
        await self._turn_reports.tell(report)
        await self._call_event_handler("on_turn_ended", report)
        if done is not None:
            compaction = self._compactions.turn(done.usage, compacted=frames.compacted)
            if compaction is not None:
                await self._call_event_handler("on_compacted", compaction)

    async def _say_that_it_is_lost(self, error: ResponsesError) -> None:
        """A turn has failed before a word: the application is told, and so is the user."""
        await self._call_event_handler("on_turn_lost", error)
        if self._lost_turn_text:
            await self._push_llm_text(self._lost_turn_text)

    def _without_secrets(self, error: ResponsesError) -> ResponsesError:
        """A turn's error, as it leaves the service."""
        client = self._access.given_client
        if client is not None:
            # It may have been given a new one.
            self._secrets.add(client.api_key)
        return error.rewritten(mask=self._secrets.mask)

    async def _request(self, context: LLMContext) -> Request:
        return await self._requests.build(context, self._settings)

    async def start_llm_usage_metrics(self, tokens: LLMTokenUsage) -> None:
        """Reports the tokens of a response.

        Args:
            tokens: How many it has used.
        """
        self._telemetry.tokens(tokens)
        await super().start_llm_usage_metrics(tokens)

    # -- function calls ---------------------------------------------------------------------------

    async def broadcast_frame(self, frame_cls: type[Frame], **kwargs: Any) -> None:
        """Sends a frame up and down the pipeline, unless the turn has to be over before.

        Args:
            frame_cls: The frame's class.
            **kwargs: What it is made of.
        """
        if frame_cls in _TOOL_ENDS and (tell := self._trace.tell) is not None:
            cancelled = frame_cls is FunctionCallCancelFrame
            tell(ToolEnded(kwargs["tool_call_id"], kwargs["function_name"], cancelled))
        taken: Mapping[str, Any] | None = kwargs
        if self._turn_calls is not None:
            taken = self._turn_calls.take(frame_cls, kwargs)
        if taken is not None:
            await super().broadcast_frame(frame_cls, **taken)

    async def _call_event_handler(self, event_name: str, *args: Any, **kwargs: Any) -> None:
        calls = self._turn_calls
        # Of started calls it is told later, of all of them.
        if event_name != "on_function_calls_started" or calls is None or not calls.silent:
            await super()._call_event_handler(event_name, *args, **kwargs)

    # -- errors -----------------------------------------------------------------------------------

    async def _report(self, error: ResponsesError, context: LLMContext | None = None) -> None:
        """Reports a failure, once."""
        if error.failure is Failure.CLOSED:
            # The pipeline is ending, and nobody waits for the answer any more.
            self._log.debug("a turn was under way at the end: {}", error)
            return
        if (tell := self._trace.tell) is not None:
            tell(ErrorReported(error, error.name))
        if error.failure is Failure.TIMEOUT:
            await self._call_event_handler("on_completion_timeout")
        if error.failure is Failure.CONTENT and context is not None and is_about_a_file(error):
            context.remove_invalid_file_message()
        permanent = error.recovery is Recovery.PERMANENT
        self._unusable = error if permanent else None
        # What fails over to another service goes by this alone. Turns go on trying meanwhile.
        self._out_of_reach = not permanent and error.transport == "handshake"
        await self.push_error(
            str(error),
            exception=error,
            category=category_of(error),
            force_treat_as_permanent=permanent or self._out_of_reach,
        )
        self._say_more(error.name)

    def _say_more(self, name: str) -> None:
        """A failure was reported: it is counted by its name, and the log says who knows more."""
        self._telemetry.error(name)
        self._log.info("{}", hint(name))

    async def _back_in_reach(self) -> None:
        """The server can be reached again, if it could not."""
        if self._out_of_reach:
            self._out_of_reach = False
            await self.set_usable(True)

    @cached_property
    def _client(self) -> AsyncOpenAI:
        """The SDK's client, made when it is first needed: it takes more than all the rest."""
        return self._access.given_client or self._create_client(**self._access.client_arguments)

    def _where(self) -> str:
        """The API's base URL; a client that a subclass makes in its own way says it itself."""
        if type(self)._create_client is _BaseOpenAIResponsesLLMService._create_client:
            return self._access.base_url
        return str(self._client.base_url)

    @cached_property
    def _turn_backend(self) -> Backend:
        """How a turn's requests travel, hedged if they are to be."""
        if self._hedge is None:
            return self._backend
        return HedgingBackend(
            self._backend, self._hedge, self._second_server, log=self._log, trace=self._trace
        )

    @cached_property
    def _second_server(self) -> EndpointSession | None:
        """The way to the second server, if there is one."""
        if self._hedge is None or self._hedge.endpoint is None:
            return None
        client = self._access.new_client(**self._endpoint_arguments)
        url = self._hedge.endpoint.base_url
        http = self._new_http_session(
            self.stats,
            purpose=Purpose.SECOND_SERVER,
            client=client,
            capabilities=KNOWN.of(url, find_server(None, url).capabilities),
        )
        return EndpointSession(self._hedge.endpoint, http, client)

    @cached_property
    def _side_session(self) -> HttpSession:
        """Requests beside the conversation."""
        return self._new_http_session(purpose=Purpose.SIDE_REQUEST)

    # -- construction -----------------------------------------------------------------------------

    def _create_client(
        self,
        api_key: ApiKey | None = None,
        base_url: str | None = None,
        organization: str | None = None,
        project: str | None = None,
        default_headers: Mapping[str, Any] | None = None,
        default_query: Mapping[str, str] | None = None,
    ) -> AsyncOpenAI:
        """Creates the SDK's client; override it for another kind of client."""
        return self._access.new_client(
            api_key=api_key,
            base_url=base_url,
            organization=organization,
            project=project,
            default_headers=default_headers,
            default_query=default_query,
        )

    def _cache_keeping(
        self, wanted: bool | ToolsSchema, model_family: str | None
    ) -> CacheKeeping | None:
        if wanted is False:
            return None
        if wanted is not True and not isinstance(wanted, ToolsSchema):
            raise named(
                TypeError("keep_cache must be True, False or a ToolsSchema"), ErrorName.ARGUMENT
            )
        return CacheKeeping(
            model_family,
            lambda: [] if wanted is True else self.get_llm_adapter().declared(wanted),
            takes_choice=self._access.server.takes_allowed_tools,
        )

    def _new_http_session(
        self,
        stats: SessionStats | None = None,
        stored: StoredResponses | None = None,
        coverage: str = "words",
        purpose: Purpose = Purpose.TURN,
        client: AsyncOpenAI | None = None,
        capabilities: ServerCapabilities | None = None,
    ) -> HttpSession:
        """A session over HTTP; by default apart from everything.

        Args:
            stats: Where it counts.
            stored: What it goes on from, where the application has responses stored.
            coverage: When a context's text covers a response's.
            purpose: What its requests are for.
            client: The client of another server; None for the service's own.
            capabilities: What is known of that server.
        """
        from pipecat_responses.service.over_http import http_session

        return http_session(
            client or self._client,
            limits=self._connection_limits,
            max_message_bytes=self._max_message_bytes,
            join_deltas=self._batch_deltas,
            stats=stats,
            capabilities=capabilities or self._capabilities,
            log=self._log,
            trace=self._trace,
            purpose=purpose,
            stored=stored,
            coverage=coverage,
        )

    async def cleanup(self) -> None:
        """Releases everything; nothing of the service is left running."""
        self._telemetry.count()
        self._steering.close()
        if "_side_session" in vars(self):
            await self._side_session.close()
        if vars(self).get("_second_server") is not None:
            await vars(self)["_second_server"].close()
        await super().cleanup()  # type: ignore[no-untyped-call]
        if self._access.given_client is None and "_client" in vars(self):
            await self._client.close()
        if (tell := self._trace.tell) is not None:
            tell(ServiceClosed())
