"""From a context and the settings to a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.context.adapter import OpenAIResponsesLLMAdapter
from pipecat_responses.context.conversion import Conversion
from pipecat_responses.context.pending import settled as settled_items
from pipecat_responses.protocol.items import Reasoning
from pipecat_responses.protocol.requests import Fields, Request, no_message
from pipecat_responses.protocol.steering import takes_steering
from pipecat_responses.service.cache_keeping import CacheKeeping
from pipecat_responses.service.settings import (
    OpenAIResponsesLLMSettings,
    lowest_effort,
    request_values,
)
from pipecat_responses.session.log import SessionLog

__all__ = ["OpenAIResponsesLLMAdapter", "RequestBuilder", "settled"]

_OF_A_COMPACTION = (
    "model",
    "instructions",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "service_tier",
)
"""The fields that ``POST /responses/compact`` has (the SDK's ``ResponseCompactParams``)."""


class RequestBuilder:
    """Makes the requests of one service. Fields that have not changed are not encoded again."""

    def __init__(
        self,
        adapter: Callable[[], OpenAIResponsesLLMAdapter],
        *,
        service_tier: str | None,
        model_family: str | None,
        log: SessionLog,
        cache: CacheKeeping | None = None,
    ) -> None:
        """Creates a builder.

        Args:
            adapter: Gives what converts contexts.
            service_tier: The service tier to ask for, or None for the account's default.
            model_family: The model behind the settings' name of it, if that is one's own.
            log: Where warnings go, each once.
            cache: Keeps what requests begin with, if that is wanted.
        """
        self._adapter = adapter
        self._service_tier = service_tier
        self._model_family = model_family
        self._log = log
        self._cache = cache
        self._fields: Fields | None = None
        self._said: set[str] = set()
        self._unreadable: frozenset[str] = frozenset()

    def leave_out(self, reasoning: frozenset[str]) -> None:
        """Leaves reasoning out of all requests from now on.

        Args:
            reasoning: The ids of items that the server cannot read.
        """
        if reasoning:
            self._unreadable |= reasoning
            self._warn_once(
                "The server cannot read reasoning in the context (another provider's, or another "
                "account's): it is left out."
            )

    async def build(
        self,
        context: LLMContext,
        settings: OpenAIResponsesLLMSettings,
        *,
        may_be_empty: bool = False,
    ) -> Request:
        """The request for a turn.

        Args:
            context: The conversation.
            settings: The settings in force (store mode).
            may_be_empty: Whether it may do without any item, as what is given ahead of a turn.

        Raises:
            LLMContextConversionError: If the context cannot be sent.
        """
        conversion, values = await self._asked(context, settings, may_be_empty=may_be_empty)
        steerable = takes_steering(self._model_family or str(values.get("model")))
        if self._cache is None:
            request = _request(self._encoded(values), conversion, steerable=steerable)
            return self._without_unreadable(request)
        kept = self._cache.keep(context, values, conversion)
        request = _request(self._encoded(kept.values), conversion, steerable=steerable)
        request = replace(request, items=kept.items, message_of=kept.message_of)
        return self._without_unreadable(request)

    async def _asked(
        self,
        context: LLMContext,
        settings: OpenAIResponsesLLMSettings,
        *,
        may_be_empty: bool = False,
    ) -> tuple[Conversion, dict[str, Any]]:
        """What a context says, and the fields that go with it."""
        conversion = await self._adapter().convert(
            context,
            system_instruction=_instruction(settings),
            may_be_empty=may_be_empty,
        )
        return conversion, self._values(conversion, settings)

    def _encoded(self, values: Mapping[str, Any]) -> Fields:
        if self._fields is None or not self._fields.same_as(values):
            self._fields = Fields(values)
        return self._fields

    async def build_aside(
        self,
        context: LLMContext,
        settings: OpenAIResponsesLLMSettings,
        *,
        system_instruction: str | None,
        changes: Mapping[str, Any],
    ) -> Request:
        """A request that is no part of the conversation.

        Args:
            context: What to answer.
            settings: The settings in force (store mode).
            system_instruction: Takes the place of the settings' own.
            changes: Fields that take the place of those that follow from the settings.

        Raises:
            LLMContextConversionError: If the context cannot be sent.
        """
        conversion = await self._adapter().convert(
            context, system_instruction=system_instruction or _instruction(settings)
        )
        values = self._values(conversion, settings)
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            # Nobody would run what it calls, and the answer would be lost.
            values.pop(name, None)
        return self._without_unreadable(_request(Fields({**values, **changes}), conversion))

    async def build_to_compact(
        self, context: LLMContext, settings: OpenAIResponsesLLMSettings
    ) -> Request:
        """A request to compact a conversation.

        Args:
            context: The conversation.
            settings: The settings in force (store mode).

        Raises:
            LLMContextConversionError: If the context cannot be sent.
        """
        conversion, values = await self._asked(context, settings)
        fields = Fields(values).only(_OF_A_COMPACTION)
        return self._without_unreadable(_request(fields, conversion))

    def _without_unreadable(self, request: Request) -> Request:
        if not self._unreadable:
            return request
        items = [
            item
            for item in request.items
            if not (isinstance(item, Reasoning) and str(item.id) in self._unreadable)
        ]
        return replace(request, items=items, message_of=no_message)

    def _values(
        self, conversion: Conversion, settings: OpenAIResponsesLLMSettings
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if conversion.instructions is not None:
            values["instructions"] = conversion.instructions
        if conversion.tools:
            values["tools"] = conversion.tools
            if conversion.tool_choice is not None:
                values["tool_choice"] = conversion.tool_choice
        values = request_values(
            settings,
            service_tier=self._service_tier,
            model_family=self._model_family,
            warn=self._warn_once,
            of_conversation=values,
        )
        self._say_effort(values, settings)
        return values

    def _say_effort(self, values: Mapping[str, Any], settings: OpenAIResponsesLLMSettings) -> None:
        model = str(values.get("model"))
        effort = lowest_effort(self._model_family or model)
        if effort is None or settings.reasoning or "reasoning" in settings.extra:
            return
        if "reasoning" in values and f"effort {model}" not in self._said:
            self._said.add(f"effort {model}")
            self._log.info(
                "asking {} for the least reasoning it offers ({}), which answers fastest. Set "
                "`reasoning` in the settings for more.",
                model,
                effort,
            )

    def _warn_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            self._log.warning("{}", message)


def settled(request: Request) -> Request:
    """The part of a request's conversation that will not change any more."""
    return replace(request, items=settled_items(request.items))


def _request(fields: Fields, conversion: Conversion, *, steerable: bool = False) -> Request:
    return Request(
        fields,
        conversion.items,
        steerable=steerable,
        message_of=conversion.message_of,
        messages=conversion.messages,
        marks=conversion.marks,
    )


def _instruction(settings: OpenAIResponsesLLMSettings) -> str | None:
    instruction = settings.system_instruction
    return instruction if isinstance(instruction, str) else None
