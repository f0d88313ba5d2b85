"""Conversations whose service is in a hurry, whose tools count, and whose frames are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext

from pipecat_responses import (
    ConnectionLimits,
    OpenAIResponsesHttpLLMService,
    OpenAIResponsesLLMService,
    TurnLimits,
)
from pipecat_responses.protocol.retry import Backoff
from pipecat_responses.testing import Conversation

Transport: TypeAlias = Literal["websocket", "http"]

SWIFT = Backoff(first=0.01, cap=0.05)
KINDS: Mapping[str, Callable[..., Any]] = {
    "websocket": OpenAIResponsesLLMService,
    "http": OpenAIResponsesHttpLLMService,
}
TOOLS = ("note", "ring")


def hurried_service(
    transport: Transport,
    address: Any,
    /,
    *,
    limits: Mapping[str, Any],
    connections: Mapping[str, Any],
    kinds: Mapping[str, Callable[..., Any]] = KINDS,
    **kwargs: Any,
) -> Any:
    """A service in a hurry.

    Args:
        transport: Which of the two.
        address: Anything with ``base_url`` and ``ws_url``.
        limits: Limits of turns.
        connections: Limits of connections.
        kinds: Makes the services, by transport.
        **kwargs: More for the service.
    """
    chosen = {
        "base_url": address.base_url,
        "ssl_context": getattr(address, "ssl_context", None),
        "turn_limits": TurnLimits(**limits),
        "connection_limits": ConnectionLimits(**connections),
        **kwargs,
    }
    if transport == "websocket":
        chosen = {"ws_url": address.ws_url, "ws_close_timeout": 0.3, **chosen}
    return kinds[transport](**chosen)


class Toolbox:
    """Tools that count how often they run.

    Attributes:
        runs: The functions that ran, with their arguments.
    """

    def __init__(self) -> None:
        self.runs: list[tuple[str, dict[str, Any]]] = []

    def register(self, llm: Any) -> None:
        """Makes the tools known to a service."""
        for name in TOOLS:
            llm.register_function(name, self._handler(name))

    def _handler(self, name: str) -> Callable[[Any], Any]:
        async def handle(params: Any) -> None:
            self.runs.append((name, dict(params.arguments)))
            await params.result_callback(f"{name} done")

        return handle

    @staticmethod
    def schema() -> ToolsSchema:
        """The tools as a context carries them."""
        words = {"words": {"type": "string"}}
        return ToolsSchema(
            standard_tools=[
                FunctionSchema("note", "Writes something down.", words, ["words"]),
                FunctionSchema("ring", "Rings a bell.", words, ["words"]),
            ]
        )


class JudgedConversation(Conversation):
    """A conversation whose frames are counted and checked.

    Attributes:
        toolbox: The tools.
    """

    def __init__(self, llm: Any, *, tools: bool, **kwargs: Any) -> None:
        self.toolbox = Toolbox()
        if tools:
            self.toolbox.register(llm)
        context = LLMContext(tools=Toolbox.schema()) if tools else None
        super().__init__(llm, kwargs.pop("context", context), **kwargs)

    @property
    def contexts(self) -> int:
        """Context frames that the service has been given."""
        frames = [*self.before.frames, *self.said.upstream]
        return sum(isinstance(frame, LLMContextFrame) for frame in frames)

    async def quiet(self) -> None:
        """Waits until nothing is under way."""
        while True:
            await self.settle()
            await self.said.until(lambda: self.ends >= self.contexts, self.patience)
            runs = len(self.toolbox.runs)
            await self.settle()
            if self.ends == self.contexts and runs == len(self.toolbox.runs):
                return

    def check_frames(self) -> None:
        """Every context frame has one start and one end, and nothing is said outside."""
        inside = False
        for frame in self.said.frames:
            if isinstance(frame, LLMFullResponseStartFrame):
                assert not inside, "a response started inside another"
                inside = True
            elif isinstance(frame, LLMFullResponseEndFrame):
                assert inside, "a response ended that had not started"
                inside = False
            elif isinstance(frame, LLMTextFrame):
                assert inside, f"text outside a response: {frame.text!r}"
        assert not inside, "a response did not end"
        assert self.starts == self.ends == self.contexts, "a context without its start and end"
