"""Pipecat's adapter for the Responses API: a context's items, tools and instructions.

The items come from the conversion cache (``cache``), which converts each message once. What the
API would refuse for ever after is repaired on the way (``protocol.repairs``), and what cannot be
sent at all is reported with the place where it stands (``ContextMessageError``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Required, TypedDict

from loguru import logger
from pipecat.adapters.llm.base_llm_adapter import BaseLLMAdapter
from pipecat.adapters.llm.schemas.tools_schema import AdapterType, ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage
from pipecat.utils.types import is_given

from pipecat_responses.context.cache import ConversionCache
from pipecat_responses.context.conversion import Conversion, ItemOrigins
from pipecat_responses.context.errors import ContextMessageError
from pipecat_responses.context.redaction import LONG, redacted
from pipecat_responses.context.snapshots import copied
from pipecat_responses.context.wires import MessageWires
from pipecat_responses.protocol.items import Message

if TYPE_CHECKING:
    from openai import NotGiven as OpenAINotGiven

__all__ = [
    "ContextMessageError",
    "Conversion",
    "OpenAIResponsesLLMAdapter",
    "OpenAIResponsesLLMInvocationParams",
]


class OpenAIResponsesLLMInvocationParams(TypedDict, total=False):
    """What a context says, as arguments of the SDK's ``responses.create``.

    Attributes:
        input: The conversation's items.
        tools: The tools, or the SDK's ``NOT_GIVEN``.
        instructions: The system instruction, if there is one.
        tool_choice: The context's choice of a tool, if it makes one.
    """

    input: Required[list[dict[str, Any]]]
    tools: Required[list[dict[str, Any]] | OpenAINotGiven]
    instructions: str
    tool_choice: Any


class OpenAIResponsesLLMAdapter(BaseLLMAdapter[OpenAIResponsesLLMInvocationParams]):
    """Converts Pipecat's contexts for the Responses API, each message once.

    Contexts may alternate and be converted at the same time; what is kept of a context goes when
    the context goes.
    """

    def __init__(self) -> None:
        """Creates an adapter that has not seen any context."""
        super().__init__()  # type: ignore[no-untyped-call]
        wires = MessageWires(self.id_for_llm_specific_messages, self, self._warn_once)
        self._cache = ConversionCache(wires.of, self._warn_once)
        self._warned: set[str] = set()
        self._instruction_item: Message | None = None

    @property
    def id_for_llm_specific_messages(self) -> str:
        """The name under which contexts hold messages for this API only."""
        return "openai_responses"

    async def get_llm_invocation_params(  # type: ignore[override]
        self, context: LLMContext, *, system_instruction: str | None = None
    ) -> OpenAIResponsesLLMInvocationParams:
        """What a context says, as arguments of the SDK's ``responses.create``.

        Args:
            context: The context.
            system_instruction: The system instruction in force, if any.

        Returns:
            Arguments that the caller may change.

        Raises:
            ContextMessageError: If a message cannot be sent.
        """
        from openai import NOT_GIVEN as OPENAI_NOT_GIVEN

        conversion = await self.convert(context, system_instruction=system_instruction)
        params: OpenAIResponsesLLMInvocationParams = {
            "input": [copied(entry.wire) for entry in conversion.items],
            "tools": OPENAI_NOT_GIVEN if conversion.tools is None else conversion.tools,
        }
        if conversion.instructions is not None:
            params["instructions"] = conversion.instructions
        if conversion.tool_choice is not None:
            params["tool_choice"] = conversion.tool_choice
        return params

    async def convert(
        self,
        context: LLMContext,
        *,
        system_instruction: str | None = None,
        may_be_empty: bool = False,
    ) -> Conversion:
        """What a context says at this moment, in the API's terms.

        Without new messages of size nothing is awaited. Large ones are encoded in steps between
        which other work goes on; messages that change meanwhile count for the next call.

        Args:
            context: The context.
            system_instruction: The system instruction in force, if any.
            may_be_empty: Whether instructions may stand alone. Otherwise they are the only item of
                a context that has none.

        Returns:
            Items, tools, choice of a tool and instructions.

        Raises:
            ContextMessageError: If a message cannot be sent. What could be converted is kept.
        """
        messages: list[Any] = context.get_messages()
        self._warn_of_system_message(messages, system_instruction)
        tools = self.declared(context.tools) or None
        tool_choice = _tool_choice(context.tool_choice)
        converted = await self._cache.convert(context)
        items = converted.items()
        alone = not items and bool(system_instruction) and not may_be_empty
        origins = ItemOrigins(
            converted.messages, items=len(items) + alone, in_place=converted.in_place
        )
        if not alone:
            return Conversion(
                items,
                tools,
                tool_choice,
                system_instruction or None,
                origins,
                converted.marks(),
            )
        # The API wants at least one item; instructions alone are refused.
        only = self._instruction_item
        if only is None or only.text != system_instruction:
            only = Message({"role": "developer", "content": system_instruction})
            self._instruction_item = only
        return Conversion([only], tools, tool_choice, None, origins)

    def to_provider_tools_format(self, tools_schema: ToolsSchema) -> list[dict[str, Any]]:
        """The tools of a schema as the API takes them.

        ``strict`` is always written: left out, the API would turn it on by itself.

        Args:
            tools_schema: Pipecat's standard tools, and custom ones for OpenAI.

        Returns:
            Function tools, then the custom tools as they are.
        """
        tools: list[dict[str, Any]] = []
        for function in tools_schema.standard_tools:
            known = function.to_default_dict()
            tool: dict[str, Any] = {"type": "function", "name": known["name"]}
            if "description" in known:
                tool["description"] = known["description"]
            tool["parameters"] = known.get("parameters", {})
            tool["strict"] = known.get("strict")
            tools.append(tool)
        if tools_schema.custom_tools:
            tools.extend(tools_schema.custom_tools.get(AdapterType.OPENAI, []))
        return tools

    def declared(self, schema: Any) -> list[dict[str, Any]]:
        """Tools as a request declares them.

        Args:
            schema: Pipecat's tools, or its ``NOT_GIVEN`` or None for none.
        """
        tools = self.from_standard_tools(schema)
        return tools if tools is not None and is_given(tools) else []

    def get_messages_for_logging(self, context: LLMContext) -> list[dict[str, Any]]:
        """The messages of a context for a log: binary data and encrypted reasoning shortened.

        Args:
            context: The context.

        Returns:
            Copies, of which the long strings are not part. Messages for other LLMs are left out.
        """
        shown: list[dict[str, Any]] = []
        for message in context.get_messages():
            if isinstance(message, LLMSpecificMessage):
                if message.llm == self.id_for_llm_specific_messages:
                    payload = redacted(message.message, LONG)
                    shown.append(payload if isinstance(payload, dict) else {"message": payload})
            else:
                known = redacted(message)
                shown.append(known if isinstance(known, dict) else {"message": repr(type(known))})
        return shown

    def supports_file_url(self, url: str, mime_type: str) -> bool:
        """Whether OpenAI fetches a URL itself: it does for images and files over HTTP."""
        return url.startswith(("http://", "https://"))

    def _warn_of_system_message(
        self, messages: Sequence[Any], system_instruction: str | None
    ) -> None:
        first = messages[0] if messages else None
        if not isinstance(first, dict) or first.get("role") != "system":
            return
        self._warn_context_system_message()  # type: ignore[no-untyped-call]
        content = first.get("content")
        if system_instruction and isinstance(content, str):
            self._resolve_system_instruction(
                content, system_instruction, discard_context_system=False
            )

    def _warn_once(self, warning: str) -> None:
        if warning in self._warned:
            return
        if len(self._warned) >= 1024:
            self._warned.clear()
        self._warned.add(warning)
        logger.warning(warning)


def _tool_choice(choice: Any) -> Any | None:
    """A context's choice of a tool in the Responses API's form (Chat Completions nests names)."""
    if choice is None or not is_given(choice):
        return None
    if not isinstance(choice, dict):
        return choice
    kind = choice.get("type")
    nested = choice.get(kind) if isinstance(kind, str) else None
    if not isinstance(nested, dict):
        return choice
    if kind == "allowed_tools":
        tools = nested.get("tools")
        flat = [_tool_choice(tool) for tool in tools] if isinstance(tools, list) else tools
        return {"type": kind, "mode": nested.get("mode", "auto"), "tools": flat}
    return {"type": kind, "name": nested.get("name")}
