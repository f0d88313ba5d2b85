"""What is said in the conversations."""

from __future__ import annotations

import base64
import json
import random
from functools import cache
from typing import Any

from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext

_SPEECH = (
    "the account shows a payment of forty two euros that was made on Tuesday and it has not been "
    "booked yet because our bank needs two working days so please look again on Friday morning "
    "if you like I can send you a message as soon as it has arrived or call you back instead"
)
_WORDS = _SPEECH.split()


@cache
def text(size: int, seed: int = 0) -> str:
    """Words of about so many characters."""
    rng = random.Random(seed)
    words = [f"({seed})"]
    length = len(words[0])
    while length < size:
        words.append(rng.choice(_WORDS))
        length += len(words[-1]) + 1
    return " ".join(words)


def image(size: int, seed: int = 0) -> str:
    """A data URL of so many bytes of image (noise; nobody looks)."""
    raw = b"\xff\xd8\xff\xe0" + random.Random(seed).randbytes(size)
    return f"data:image/jpeg;base64,{base64.b64encode(raw).decode()}"


def context(items: int, *, size: int = 1000) -> LLMContext:
    """A conversation of so many messages of a size."""
    messages: list[Any] = [
        {"role": "user" if n % 2 == 0 else "assistant", "content": text(size, n)}
        for n in range(items)
    ]
    return LLMContext(messages)


def context_with_images(items: int, *, every: int = 10, size: int = 100_000) -> LLMContext:
    """A conversation in which every so many messages hold an image."""
    found = context(items)
    messages: list[Any] = found.get_messages()
    for n in range(0, items, every):
        messages[n]["content"] = [
            {"type": "text", "text": text(200, n)},
            {"type": "image_url", "image_url": {"url": image(size, n)}},
        ]
    return found


def context_with_tools(items: int, *, tools: int = 20) -> LLMContext:
    """A conversation of which half the items are function calls and their outputs."""
    messages: list[Any] = []
    for n in range(items // 4):
        call = {
            "id": f"call_{n}",
            "type": "function",
            "function": {
                "name": f"tool_{n % tools}",
                "arguments": json.dumps({"query": text(80, n)}),
            },
        }
        messages += [
            {"role": "user", "content": text(1000, n)},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call_{n}", "content": text(1000, n + 1)},
            {"role": "assistant", "content": text(1000, n + 2)},
        ]
    return LLMContext(messages, tools=schema(tools))


def schema(tools: int) -> ToolsSchema:
    """So many functions with two parameters each."""
    return ToolsSchema(
        standard_tools=[
            FunctionSchema(
                name=f"tool_{n}",
                description=text(120, n),
                properties={
                    "query": {"type": "string", "description": text(60, n)},
                    "limit": {"type": "integer", "description": text(40, n)},
                },
                required=["query"],
            )
            for n in range(tools)
        ]
    )
