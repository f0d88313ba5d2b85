"""Bots to talk to, in front of a sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses.llm import (
    OpenAIResponsesHttpLLMService,
    OpenAIResponsesLLMService,
    OpenAIResponsesLLMSettings,
)
from pipecat_responses.sandbox import Sandbox
from pipecat_responses.testing.conversation import Conversation


class Bots:
    """Makes conversations with bots that talk to one sandbox.

    Example::

        async with responses_bot(tools=[current_time]) as talk:
            assert await talk.say("What time is it?", ends=2) == "Half past twelve."
    """

    def __init__(self, sandbox: Sandbox) -> None:
        """Makes bots that talk to a sandbox."""
        self._sandbox = sandbox

    def __call__(
        self,
        llm: Any = None,
        *,
        transport: Literal["websocket", "http"] = "websocket",
        model: str = "gpt-4.1",
        system_instruction: str | None = None,
        context: LLMContext | None = None,
        tools: Sequence[Any] = (),
        **conversation: Any,
    ) -> Conversation:
        """A conversation with a bot, which begins when it is entered with ``async with``.

        Args:
            llm: A service of yours; by default one is made of the arguments up to
                ``system_instruction``.
            transport: Which of the two services to make.
            model: The model that it asks for.
            system_instruction: Its system instruction.
            context: The conversation's context; by default a new one, with ``tools``.
            tools: The functions that the model may call.
            **conversation: More for ``Conversation``: ``tts``, ``paced``, ``extra``, ...

        Returns:
            The conversation.

        Raises:
            ValueError: For ``tools`` beside a ``context``, which has tools of its own.
        """
        if context is not None and tools:
            raise ValueError("Give the tools to the context, or leave the context out")
        if context is None:
            context = LLMContext(tools=list(tools)) if tools else LLMContext()
        if llm is None:
            websocket = transport == "websocket"
            service = OpenAIResponsesLLMService if websocket else OpenAIResponsesHttpLLMService
            llm = service(
                api_key="sandbox",
                base_url=self._sandbox.base_url,
                settings=OpenAIResponsesLLMSettings(
                    model=model, system_instruction=system_instruction
                ),
            )
        return Conversation(llm, context, **conversation)
