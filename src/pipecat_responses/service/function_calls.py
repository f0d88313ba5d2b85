"""The function calls of a turn: started when they are complete, run by Pipecat's handlers.

A response goes on after a call is complete: other calls, text, the usage. A function that waited
for its end would keep the caller waiting for as long. So each starts at once. What Pipecat is told
of it waits for the end: the model must not be asked to go on before, and text stands before calls
in a context, as ever. So nothing but the functions notices.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import msgspec
from loguru import logger
from pipecat.frames.frames import (
    Frame,
    FunctionCallCancelFrame,
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


class Broadcast(Protocol):
    """Sends a frame up and down the pipeline."""

    async def __call__(self, frame_cls: type[Frame], **kwargs: Any) -> None:
        """Sends one of each."""


class TurnCalls:
    """The calls of one turn. The service shows it every frame that it broadcasts.

    Call ``add`` for each call, ``end`` when the response is over, and ``release`` behind the frame
    that says so; or ``interrupt``.
    """

    def __init__(
        self, service: LLMService[Any], context: LLMContext, broadcast: Broadcast, *, early: bool
    ) -> None:
        """Creates it for a turn without calls yet.

        Args:
            service: The service whose handlers they are for.
            context: The conversation.
            broadcast: Sends what was held back.
            early: Whether calls start at once, or all of them at the end.
        """
        self._service = service
        self._context = context
        self._broadcast = broadcast
        self._early = early
        self._waiting: list[CompleteCall] = []
        self._group = str(uuid.uuid4())
        self._begun: dict[str, asyncio.Event] = {}
        self._started: list[FunctionCallFromLLM] = []
        self._in_progress: list[Mapping[str, Any]] = []
        self._ended: list[tuple[type[Frame], Mapping[str, Any]]] = []
        self._starting = self._withdrawn = False
        self._holds = True

    # -- what the turn does -----------------------------------------------------------------------

    async def add(self, call: CompleteCall) -> None:
        """A call is complete."""
        if self._early:
            await self._start([call])
        else:
            self._waiting.append(call)

    async def end(self) -> None:
        """The response is over."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            await self._start(waiting)
        await self._tell()

    async def release(self) -> None:
        """Lets out what was held back, once Pipecat has heard of all calls."""
        if not self._begun:
            return
        try:
            if self._service._run_in_parallel:
                for begun in self._begun.values():
                    await begun.wait()
            await self._let_out()
        except asyncio.CancelledError:
            await self.interrupt()
            raise

    async def interrupt(self) -> None:
        """The turn is over before its time: what has run is told, and the model is not asked."""
        self._ended = [(frame_cls, _not_asking(kwargs)) for frame_cls, kwargs in self._ended]
        await self._tell()
        await self._let_out()

    async def _tell(self) -> None:
        """Tells of all calls at once, as Pipecat does.

        What a handler says to them ("Let me look that up") is not to be said twice.
        """
        started, self._started = self._started, []
        if started:
            await self._service._call_event_handler("on_function_calls_started", started)
            await self._broadcast(FunctionCallsStartedFrame, function_calls=started)

    async def _let_out(self) -> None:
        self._holds = False
        while self._in_progress:
            await self._broadcast(FunctionCallInProgressFrame, **self._in_progress.pop(0))
        while self._ended:
            frame_cls, kwargs = self._ended.pop(0)
            await self._broadcast(frame_cls, **kwargs)

    # -- what the service asks --------------------------------------------------------------------

    @property
    def silent(self) -> bool:
        """Whether the application is told of started calls later."""
        return self._starting

    def take(self, frame_cls: type[Frame], kwargs: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Looks at a frame that is about to be broadcast.

        Args:
            frame_cls: Its class.
            kwargs: What it is made of.

        Returns:
            What it is to be made of, or None if it is held back.
        """
        if frame_cls is FunctionCallsStartedFrame and self._starting:
            self._started += kwargs["function_calls"]
            return None
        if frame_cls not in _OF_CALLS or kwargs.get("tool_call_id") not in self._begun:
            return kwargs
        if frame_cls is FunctionCallInProgressFrame:
            if kwargs.get("group_id") is not None:
                kwargs = {**kwargs, "group_id": self._group}
            if self._holds:
                self._in_progress.append(kwargs)
        elif self._holds:
            self._ended.append((frame_cls, kwargs))
        self._begun[kwargs["tool_call_id"]].set()
        return None if self._holds else kwargs

    # -- starting ---------------------------------------------------------------------------------

    async def _start(self, calls: Sequence[CompleteCall]) -> None:
        service = self._service
        if service._speculation_gate.is_speculating:
            # Pipecat withdraws the speculation; once is enough.
            if not self._withdrawn:
                self._withdrawn = True
                await service.run_function_calls([self._of_pipecat(call, {}) for call in calls])
            return
        parsed = [(call, parse_arguments(call.arguments)) for call in calls]
        runnable = [
            self._of_pipecat(call, arguments) for call, arguments in parsed if arguments is not None
        ]
        self._begun |= {call.call_id: asyncio.Event() for call in calls}
        self._starting = True
        try:
            for each in (call for call, arguments in parsed if arguments is None):
                await self._refuse(each)
            await service.run_function_calls(runnable)
        finally:
            self._starting = False

    def _of_pipecat(self, call: CompleteCall, arguments: dict[str, Any]) -> FunctionCallFromLLM:
        return FunctionCallFromLLM(
            context=self._context,
            tool_call_id=call.call_id,
            function_name=_handler_name(self._service, call),
            arguments=arguments,
        )

    async def _refuse(self, call: CompleteCall) -> None:
        """Tells the model that a call could not be read, as its result."""
        service = self._service
        logger.warning("{}: the arguments of {} are not a JSON object", service, call.name)
        started = FunctionCallFromLLM(
            context=self._context, tool_call_id=call.call_id, function_name=call.name, arguments={}
        )
        common: dict[str, Any] = {
            "function_name": call.name,
            "tool_call_id": call.call_id,
            "arguments": {},
        }
        await service.broadcast_frame(FunctionCallsStartedFrame, function_calls=[started])
        await service.broadcast_frame(
            FunctionCallInProgressFrame,
            **common,
            cancel_on_interruption=True,
            group_id=self._group if service._group_parallel_tools else None,
        )
        await service.broadcast_frame(FunctionCallResultFrame, **common, result=BAD_ARGUMENTS)


_OF_CALLS = (FunctionCallInProgressFrame, FunctionCallResultFrame, FunctionCallCancelFrame)


def _not_asking(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """A result after which the model is not asked to go on."""
    if "result" not in kwargs:
        return kwargs
    properties = kwargs.get("properties") or FunctionCallResultProperties()
    return {**kwargs, "properties": replace(properties, run_llm=False)}


def _handler_name(service: LLMService[Any], call: CompleteCall) -> str:
    """The name that a call's handler is registered under: with its namespace, or without."""
    full = f"{call.namespace}.{call.name}"
    return full if call.namespace and service.has_function(full) else call.name
