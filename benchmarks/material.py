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


@cache
def sentences(size: int, seed: int = 0) -> str:
    """Sentences of ten words, of about so many characters."""
    words = text(size, seed).split()
    parts = [" ".join(words[at : at + 10]) for at in range(0, len(words), 10)]
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts)


SHAPES = {
    "sentences": "It is sunny in Paris today. Take a hat along.",
    "a line break at the end": "Hello. How can I help you?\n",
    "paragraphs": "The first one is here.\n\nThe second one is there. It is longer.",
    "double spaces": "One  two.  Three   four.  Five.",
    "a list": "You need:\n- flour\n- two eggs\n\nThat is all.",
    "a numbered list": "Do this:\n1. Open the lid.\n2. Press the button.\nReady?",
    "headings": "# Weather\n\nIt will rain.\n\n## Tomorrow\n\nIt will not.",
    "bold and italics": "This is **very important**. It is *really* so.",
    "a link": "Read [the manual](https://example.com/manual) first. It is short.",
    "code in a line": "Run `pip install pipecat-ai` now. Then call `main()`.",
    "a block of code": "Try this:\n\n```python\nprint(1)\n```\n\nIt prints a line.",
    "a table": "Look:\n\n| City | Degrees |\n| --- | --- |\n| Rome | 28 |\n\nThat is warm.",
    "emoji": "Great \U0001f600! See you soon. You did it \U0001f389",
    "prices and dates": "It costs $29.99 until 2026-03-14, or 12.5% less at 9:30 a.m. now.",
    "phone and e-mail": "Call (555) 123-4567 or write to ada@example.com, please. Bye.",
    "abbreviations": "Dr. Smith, e.g., lives in St. Louis, i.e. in the U.S. now. Mr. Who?",
    "quotes and dashes": "He said \u201cno\u201d \u2014 and left\u2026 That\u2019s all.",
    "German": "Sch\u00f6ne Gr\u00fc\u00dfe! Es kostet 3,50 \u20ac. Bis bald.",
    "Spanish": "\u00bfC\u00f3mo est\u00e1s? \u00a1Muy bien! Hasta ma\u00f1ana.",
    "Arabic": "مرحبا! كيف حالك؟ أنا بخير، شكرا.",
    "Hindi": "नमस्ते! आप कैसे हैं? मैं ठीक हूँ।",
    "Chinese": "你好。今天天气很好。我们去公园吧。",
    "Japanese": "こんにちは。今日はいい天気ですね。散歩に行きましょう。",
    "Thai": "สวัสดีครับ วันนี้อากาศดีมาก ไปเดินเล่นกันไหม",
    "Korean": "안녕하세요. 오늘 날씨가 좋네요! 산책할까요?",
}
"""What models write to people they talk with."""


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


def calls(number: int) -> list[dict[str, Any]]:
    """Two function calls at once, as the parts of a scripted answer."""
    return [
        {
            "type": "call",
            "name": f"tool_{n}",
            "arguments": {"query": f"{number}"},
            "call_id": f"call_{number}_{n}",
        }
        for n in range(2)
    ]


def schema(tools: int, *, first: int = 0) -> ToolsSchema:
    """So many functions with two parameters each, from a number on."""
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
            for n in range(first, first + tools)
        ]
    )
