"""Messages, the items they give, and what tests ask of a conversion."""

from __future__ import annotations

from typing import Any

import msgspec
from loguru import logger
from openai.types.chat import (
    ChatCompletionAssistantMessageParam,
    ChatCompletionMessageFunctionToolCallParam,
    ChatCompletionToolMessageParam,
    ChatCompletionUserMessageParam,
)
from pipecat.processors.aggregators.llm_context import (
    LLMContext,
    LLMContextMessage,
    LLMSpecificMessage,
)

from pipecat_responses.context.adapter import Conversion, OpenAIResponsesLLMAdapter
from pipecat_responses.context.cache import ConversionCache
from pipecat_responses.context.wires import MessageWires
from pipecat_responses.protocol.items import Item

IMAGE = "data:image/png;base64,AAAA"
PDF = "data:application/pdf;base64,AAAA"


def specific(message: Any, llm: str = "openai_responses") -> LLMSpecificMessage:
    return LLMSpecificMessage(llm=llm, message=message)


def tool_call(
    call_id: str, name: str = "look_up", arguments: Any = '{"a": 1}'
) -> ChatCompletionMessageFunctionToolCallParam:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def call(call_id: str, **kwargs: Any) -> ChatCompletionAssistantMessageParam:
    return {"role": "assistant", "tool_calls": [tool_call(call_id, **kwargs)]}


def result(call_id: str, content: Any = "42") -> ChatCompletionToolMessageParam:
    return {"role": "tool", "content": content, "tool_call_id": call_id}


def user(text: str) -> ChatCompletionUserMessageParam:
    return {"role": "user", "content": text}


def assistant(text: str) -> ChatCompletionAssistantMessageParam:
    return {"role": "assistant", "content": text}


def reasoning(item_id: str) -> LLMSpecificMessage:
    return specific(reasoning_item(item_id))


def picture(size: int) -> LLMContextMessage:
    return LLMContext.create_image_url_message(
        url="data:image/png;base64," + "QUFB\u00e9" * (size // 5), text="Look"
    )


def conversation(turns: int) -> list[Any]:
    messages: list[Any] = []
    for turn in range(turns):
        messages += [
            user(f"Question {turn}"),
            reasoning(f"rs_{turn}"),
            call(f"c{turn}"),
            result(f"c{turn}"),
            assistant(f"Answer {turn}"),
        ]
    return messages


def call_item(call_id: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "call_id": call_id,
        "name": "look_up",
        "arguments": '{"a": 1}',
    }


def output_item(call_id: str, output: Any = "42") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def reasoning_item(item_id: str) -> dict[str, Any]:
    return {
        "type": "reasoning",
        "id": item_id,
        "summary": [],
        "encrypted_content": f"secret {item_id}",
    }


def wires(conversion: Conversion) -> list[Any]:
    for entry in conversion.items:
        # What was encoded is what the item says.
        assert b"".join(entry.pieces) == msgspec.json.encode(entry.wire)
    return [entry.wire for entry in conversion.items]


async def converted(adapter: OpenAIResponsesLLMAdapter, messages: list[Any]) -> list[Any]:
    return wires(await adapter.convert(LLMContext(messages)))


def same_objects(one: list[Item], other: list[Item]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def recording_cache(adapter: OpenAIResponsesLLMAdapter, seen: list[Any]) -> ConversionCache:
    """A cache of its own that tells which messages it has converted."""
    wires = MessageWires("openai_responses", adapter, logger.warning)

    async def record(message: Any) -> list[dict[str, Any]]:
        seen.append(message)
        return await wires.of(message)

    return ConversionCache(record, logger.warning)
