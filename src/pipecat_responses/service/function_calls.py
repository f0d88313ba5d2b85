"""The function calls of a turn, run by Pipecat's handlers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from loguru import logger
from pipecat.frames.frames import (
    FunctionCallFromLLM,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallResultProperties,
    FunctionCallsStartedFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import LLMService

from pipecat_responses.session.turn_events import CompleteCall

BAD_ARGUMENTS = (
    "The arguments were not a JSON object, so the function was not run. Call it again with valid "
    "JSON arguments."
)
"""What the model is told of a call whose arguments cannot be read."""


def parse_arguments(arguments: str) -> dict[str, Any] | None:
    """The arguments of a call, or None if they are not a JSON object."""
    if not arguments.strip():
        return {}
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


async def run_calls(
    service: LLMService[Any], context: LLMContext, calls: Sequence[CompleteCall]
) -> None:
    """Runs the calls of a turn as one group; those that cannot be read answer themselves.

    Args:
        service: The service whose handlers they are for.
        context: The conversation.
        calls: The calls, complete.
    """
    speculating = service._speculation_gate.is_speculating
    parsed = [(call, parse_arguments(call.arguments)) for call in calls]
    runnable = [
        FunctionCallFromLLM(
            context=context,
            tool_call_id=call.call_id,
            function_name=_handler_name(service, call),
            arguments=arguments if arguments is not None else {},
        )
        for call, arguments in parsed
        if arguments is not None or speculating
    ]
    if not speculating:
        unreadable = [call for call, arguments in parsed if arguments is None]
        await _refuse_calls(service, context, unreadable, others_run=bool(runnable))
    await service.run_function_calls(runnable)


def _handler_name(service: LLMService[Any], call: CompleteCall) -> str:
    """The name that a call's handler is registered under: with its namespace, or without."""
    full = f"{call.namespace}.{call.name}"
    return full if call.namespace and service.has_function(full) else call.name


async def _refuse_calls(
    service: LLMService[Any],
    context: LLMContext,
    calls: Sequence[CompleteCall],
    *,
    others_run: bool,
) -> None:
    """Tells the model that calls could not be read, as their result."""
    for call in calls:
        logger.warning("{}: the arguments of {} are not a JSON object", service, call.name)
        started = FunctionCallFromLLM(
            context=context, tool_call_id=call.call_id, function_name=call.name, arguments={}
        )
        last = call is calls[-1] and not others_run
        common: dict[str, Any] = {
            "function_name": call.name,
            "tool_call_id": call.call_id,
            "arguments": {},
        }
        await service.broadcast_frame(FunctionCallsStartedFrame, function_calls=[started])
        await service.broadcast_frame(
            FunctionCallInProgressFrame, **common, cancel_on_interruption=True
        )
        await service.broadcast_frame(
            FunctionCallResultFrame,
            **common,
            result=BAD_ARGUMENTS,
            run_llm=None,
            properties=FunctionCallResultProperties(run_llm=last),
        )
