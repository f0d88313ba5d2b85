"""What the two services have in common: everything but how a request travels."""

from __future__ import annotations

import difflib
import inspect
import os
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from functools import cache
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

from loguru import logger
from openai import AsyncOpenAI, DefaultAioHttpClient
from pipecat.adapters.llm.base_llm_adapter import LLMContextConversionError
from pipecat.frames.frames import (
    Frame,
    FunctionCallFromLLM,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallResultProperties,
    FunctionCallsStartedFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.utils.errors import ErrorCategory
from pipecat.utils.http import connection_limits
from pipecat.utils.tracing.service_decorators import traced_llm

from pipecat_responses.context.adapter import Conversion, OpenAIResponsesLLMAdapter
from pipecat_responses.protocol.errors import Failure, Recovery, ResponsesError, keep_secret
from pipecat_responses.protocol.requests import Fields, Request
from pipecat_responses.service.frame_writer import FrameWriter, category_of, parse_arguments
from pipecat_responses.service.settings import (
    OpenAIResponsesLLMSettings,
    OpenAIResponsesReasoningConfig,
    default_settings,
    lowest_effort,
    request_values,
    supports_response_schema,
)
from pipecat_responses.session.stats import SessionStats
from pipecat_responses.session.turn import Backend, Turn, TurnPolicy
from pipecat_responses.session.turn_events import CompleteCall, Text, TurnDone

ApiKey = str | Callable[[], Awaitable[str]]

BAD_ARGUMENTS = (
    "The arguments were not a JSON object, so the function was not run. Call it again with valid "
    "JSON arguments."
)
"""What the model is told of a call whose arguments cannot be read."""


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
        organization: str | None = None,
        project: str | None = None,
        default_headers: Mapping[str, str] | None = None,
        service_tier: str | None = None,
        settings: OpenAIResponsesLLMSettings | None = None,
        retry_timeout_secs: float | None = 5.0,
        retry_on_timeout: bool | None = False,
        on_mid_response_loss: Literal["resume", "stop"] = "resume",
        batch_deltas: bool = True,
        max_message_bytes: int = 16 * 1024 * 1024,
        allow_insecure_transport: bool = False,
        **kwargs: Any,
    ) -> None:
        """Creates the service; nothing is sent before the pipeline is set up.

        Args:
            api_key: An API key, or an async callable that gives one each time it is needed. Left
                out, it is read from ``OPENAI_API_KEY``.
            base_url: The API's base URL. Left out, it is OpenAI's (or ``OPENAI_BASE_URL``).
            organization: An organization's id, sent as a header.
            project: A project's id, sent as a header.
            default_headers: More headers for every request.
            service_tier: The processing tier to ask for.
            settings: What can be changed while running: model, system instruction, and so on.
            retry_timeout_secs: With ``retry_on_timeout``, seconds for a response to put something
                out before it is asked for once more.
            retry_on_timeout: Whether to do so.
            on_mid_response_loss: When an answer breaks off after words were said: ``"resume"``
                asks for the rest, ``"stop"`` ends the turn and reports it.
            batch_deltas: Push text that has arrived together as one frame. Nothing ever waits for
                more text.
            max_message_bytes: Largest message that is accepted from the server.
            allow_insecure_transport: Send the key over an unencrypted connection to another host.
            **kwargs: More arguments for Pipecat's ``LLMService``.

        Raises:
            ValueError: If there is no API key, an address is not right, or an argument has a
                value that makes no sense.
            TypeError: If an argument is not known.
        """
        _check_known(type(self), kwargs)
        _check_choices(on_mid_response_loss, retry_timeout_secs, max_message_bytes)
        store = default_settings()
        if settings is not None:
            store.apply_update(settings)
        super().__init__(settings=store, **kwargs)

        key = api_key or os.environ.get("OPENAI_API_KEY")
        if not key:
            raise ValueError(
                "There is no OpenAI API key: pass api_key=... or set the environment variable "
                "OPENAI_API_KEY"
            )
        self._api_key = _guarded(key)
        self._service_tier = service_tier
        self._batch_deltas = batch_deltas
        self._max_message_bytes = max_message_bytes
        self._allow_insecure_transport = allow_insecure_transport
        self._client = self._create_client(
            api_key=self._api_key,
            base_url=base_url,
            organization=organization,
            project=project,
            default_headers=default_headers,
        )
        self._check_transport(str(self._client.base_url))
        self._policy = TurnPolicy(
            on_mid_response_loss=on_mid_response_loss,
            output_timeout=retry_timeout_secs if retry_on_timeout else None,
        )
        self._fields: Fields | None = None
        self._warned: set[str] = set()
        self._unusable: ResponsesError | None = None

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
        conversion = await self.get_llm_adapter().convert(
            context,
            system_instruction=system_instruction or self._system_instruction(),
        )
        changes: dict[str, Any] = {}
        if max_tokens is not None:
            changes["max_output_tokens"] = max_tokens
        schema = self._check_response_schema(response_schema)
        if schema is not None:
            changes["text"] = {
                "format": {
                    "type": "json_schema",
                    "name": "response",
                    "schema": schema,
                    "strict": True,
                }
            }
        fields = Fields({**self._values(conversion), **changes})
        turn = Turn(self._side_backend(), Request(fields, conversion.items), self._policy)
        text: list[str] = []
        try:
            while True:
                for output in await turn.next():
                    if isinstance(output, Text):
                        text.append(output.text)
                    elif isinstance(output, TurnDone):
                        return "".join(text) or None
        except ResponsesError as error:
            if error.failure is Failure.EMPTY:
                return None
            raise
        finally:
            turn.abandon()

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
        else:
            await self.push_frame(frame, direction)

    async def _answer(self, context: LLMContext) -> None:
        """Runs a turn: exactly one start and one end frame, whatever becomes of it."""
        try:
            await self.push_frame(LLMFullResponseStartFrame())
            await self.start_processing_metrics()
            await self._process_context(context)
        except ResponsesError as error:
            await self._report(error, context)
        except LLMContextConversionError as error:
            context.remove_invalid_file_message()
            await self.push_error(str(error), exception=error, category=ErrorCategory.APPLICATION)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call goes on
            await self.push_error(
                f"The turn failed: {type(error).__name__}: {error}",
                exception=error,
                category=ErrorCategory.UNKNOWN,
            )
        finally:
            await self.stop_processing_metrics()
            await self.push_frame(LLMFullResponseEndFrame())

    @traced_llm
    async def _process_context(self, context: LLMContext) -> None:
        if not self.is_usable and self._unusable is not None:
            raise self._unusable
        # Measured from here: converting is part of what the user waits for.
        await self.start_ttfb_metrics()
        request = await self._request(context)
        self.stats.turns += 1
        turn = Turn(self._backend, request, self._policy)
        frames = FrameWriter(self)
        try:
            while frames.done is None:
                for output in await turn.next():
                    await frames.push(output)
        except ResponsesError:
            await frames.close()
            raise
        finally:
            # An interruption arrives here as a cancellation: the response is let go of, and the
            # next turn neither waits for it nor hears of it.
            turn.abandon()
        await frames.close()
        # Read by Pipecat's tracing for its spans.
        self._full_model_name = frames.done.model
        if frames.calls:
            await self._run_calls(context, frames.calls)

    async def _run_calls(self, context: LLMContext, calls: list[CompleteCall]) -> None:
        parsed = [(call, parse_arguments(call.arguments)) for call in calls]
        runnable = [
            FunctionCallFromLLM(
                context=context,
                tool_call_id=call.call_id,
                function_name=call.name,
                arguments=arguments if arguments is not None else {},
            )
            for call, arguments in parsed
            if arguments is not None or self._speculation_gate.is_speculating
        ]
        if not self._speculation_gate.is_speculating:
            await self._refuse_calls(
                context, [call for call, arguments in parsed if arguments is None], bool(runnable)
            )
        await self.run_function_calls(runnable)

    async def _refuse_calls(
        self, context: LLMContext, calls: list[CompleteCall], others_run: bool
    ) -> None:
        """Tells the model that calls could not be read, as their result."""
        for call in calls:
            logger.warning("{}: the arguments of {} are not a JSON object", self, call.name)
            started = FunctionCallFromLLM(
                context=context, tool_call_id=call.call_id, function_name=call.name, arguments={}
            )
            last = call is calls[-1] and not others_run
            common = {
                "function_name": call.name,
                "tool_call_id": call.call_id,
                "arguments": {},
            }
            await self.broadcast_frame(FunctionCallsStartedFrame, function_calls=[started])
            await self.broadcast_frame(
                FunctionCallInProgressFrame, **common, cancel_on_interruption=True
            )
            await self.broadcast_frame(
                FunctionCallResultFrame,
                **common,
                result=BAD_ARGUMENTS,
                run_llm=None,
                properties=FunctionCallResultProperties(run_llm=last),
            )

    # -- errors -----------------------------------------------------------------------------------

    async def _report(self, error: ResponsesError, context: LLMContext | None = None) -> None:
        """Reports a failure, once."""
        if error.failure is Failure.TIMEOUT:
            await self._call_event_handler("on_completion_timeout")
        if error.failure is Failure.CONTENT and context is not None and _is_about_a_file(error):
            context.remove_invalid_file_message()
        permanent = error.recovery is Recovery.PERMANENT
        if permanent:
            self._unusable = error
        await self.push_error(
            str(error),
            exception=error,
            category=category_of(error),
            force_treat_as_permanent=permanent,
        )

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            logger.warning("{}: {}", self, message)

    # -- requests ---------------------------------------------------------------------------------

    async def _request(self, context: LLMContext) -> Request:
        conversion = await self.get_llm_adapter().convert(
            context, system_instruction=self._system_instruction()
        )
        values = self._values(conversion)
        if self._fields is None or not self._fields.same_as(values):
            self._fields = Fields(values)
        return Request(self._fields, conversion.items)

    def _values(self, conversion: Conversion) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if conversion.instructions is not None:
            values["instructions"] = conversion.instructions
        if conversion.tools:
            values["tools"] = conversion.tools
            if conversion.tool_choice is not None:
                values["tool_choice"] = conversion.tool_choice
        # Last, since ``extra`` has the last word.
        values.update(
            request_values(self._settings, service_tier=self._service_tier, warn=self._warn_once)
        )
        self._log_effort(values)
        return values

    def _log_effort(self, values: Mapping[str, Any]) -> None:
        model = str(values.get("model"))
        effort = lowest_effort(model)
        if effort is None or self._settings.reasoning or "reasoning" in self._settings.extra:
            return
        if "reasoning" in values and f"effort {model}" not in self._warned:
            self._warned.add(f"effort {model}")
            logger.info(
                "{}: asking {} for the least reasoning it offers ({}), which answers fastest. Set "
                "`reasoning` in the settings for more.",
                self,
                model,
                effort,
            )

    def _system_instruction(self) -> str | None:
        instruction = self._settings.system_instruction
        return instruction if isinstance(instruction, str) else None

    # -- construction -----------------------------------------------------------------------------

    def _create_client(
        self,
        api_key: ApiKey | None = None,
        base_url: str | None = None,
        organization: str | None = None,
        project: str | None = None,
        default_headers: Mapping[str, str] | None = None,
    ) -> AsyncOpenAI:
        """Creates the SDK's client; override it for another kind of client."""
        return AsyncOpenAI(
            api_key=api_key,
            base_url=base_url,
            organization=organization,
            project=project,
            default_headers=default_headers,
            # Parses answers in C, which at a thousand tokens a second is most of the work.
            http_client=DefaultAioHttpClient(
                limits=connection_limits(
                    max_keepalive_connections=100, max_connections=1000, keepalive_expiry=None
                )
            ),
        )

    def _check_transport(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a server: use https:// or wss://")
        if parts.scheme in ("https", "wss") or self._allow_insecure_transport:
            return
        if not _is_loopback(parts.hostname):
            raise ValueError(
                f"{parts.scheme}://{parts.hostname} would send the API key in clear text: use "
                f"{parts.scheme}s://, or pass allow_insecure_transport=True if the network is safe"
            )

    async def cleanup(self) -> None:
        """Releases everything; nothing of the service is left running."""
        await super().cleanup()  # type: ignore[no-untyped-call]
        await self._client.close()


def _guarded(key: ApiKey) -> ApiKey:
    """The same key, or the same source of keys, kept out of every error."""
    if isinstance(key, str):
        keep_secret(key)
        return key

    async def source() -> str:
        given = await key()
        keep_secret(given)
        return given

    return source


@cache
def _known_arguments(service: type) -> frozenset[str]:
    return frozenset(
        name
        for each in service.__mro__
        if "__init__" in vars(each) and each is not object
        for name, parameter in inspect.signature(vars(each)["__init__"]).parameters.items()
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    )


def _check_known(service: type, arguments: Mapping[str, Any]) -> None:
    """Pipecat's base classes ignore what they do not know, so a misspelling would go unnoticed."""
    known = _known_arguments(service)
    for name in arguments:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            if name in {each.name for each in fields(OpenAIResponsesLLMSettings)}:
                hint = f"; pass settings={service.__name__}.Settings({name}=...)"
            raise TypeError(f"{service.__name__} has no argument {name!r}{hint}")


def _check_choices(on_loss: str, retry_timeout: float | None, max_message_bytes: int) -> None:
    if on_loss not in ("resume", "stop"):
        raise ValueError(f'on_mid_response_loss must be "resume" or "stop", not {on_loss!r}')
    if retry_timeout is not None and retry_timeout <= 0:
        raise ValueError(f"retry_timeout_secs must be more than 0, not {retry_timeout!r}")
    if max_message_bytes <= 0:
        raise ValueError(f"max_message_bytes must be more than 0, not {max_message_bytes!r}")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_about_a_file(error: ResponsesError) -> bool:
    said = f"{error.code} {error.message}".lower()
    return error.status == 413 or any(word in said for word in ("image", "file", "audio"))
