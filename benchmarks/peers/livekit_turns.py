"""Runs turns through LiveKit's OpenAI plugin, in its own environment, and prints JSON.

Run as ``python livekit_turns.py PLAN``: a JSON object with ``base_url`` (the sandbox's),
``metronome`` and ``sizes``. It imports nothing of this repository, which is not installed there.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from livekit.agents import llm, utils
from livekit.plugins.openai import responses

TURNS = 12
WARM, BLOCK = 2, 6
INSTRUCTIONS = "You are a helpful assistant on the phone. Answer in one or two short sentences."


def _model(base_url: str, *, websocket: bool) -> Any:
    return responses.LLM(
        model="gpt-4.1",
        api_key="benchmark",
        base_url=f"{base_url}/responses" if websocket else base_url,
        use_websocket=websocket,
        store=False,
    )


def _context() -> Any:
    context = llm.ChatContext.empty()
    context.add_message(role="system", content=INSTRUCTIONS)
    return context


async def _turn(model: Any, context: Any) -> str:
    said = ""
    async with model.chat(chat_ctx=context) as stream:
        async for chunk in stream:
            if chunk.delta is not None and chunk.delta.content:
                said += chunk.delta.content
    return said


async def _call(base_url: str, *, websocket: bool, cut: bool) -> None:
    """Some turns with a long answer each; every third one cut by half, if at all."""
    model, context = _model(base_url, websocket=websocket), _context()
    for number in range(TURNS):
        context.add_message(role="user", content=f"{number} " + "what else is there " * 5)
        said = await _turn(model, context)
        if cut and number % 3 == 1:
            said = said[: len(said) // 2]
        context.add_message(role="assistant", content=said)
    await model.aclose()


async def _cpu(base_url: str, items: int, *, websocket: bool) -> list[float]:
    model, context = _model(base_url, websocket=websocket), _context()
    for n in range(items):
        role: Any = "user" if n % 2 == 0 else "assistant"
        context.add_message(role=role, content=f"{n} " + "word " * 200)
    costs = []
    for number in range(WARM + BLOCK):
        context.add_message(role="user", content=f"{number} " + "word " * 200)
        start = time.process_time()
        said = await _turn(model, context)
        await asyncio.sleep(0.01)
        costs.append(time.process_time() - start)
        context.add_message(role="assistant", content=said)
    await model.aclose()
    return costs[WARM:]


async def main(plan: dict[str, Any]) -> dict[str, Any]:
    """Does what a plan says."""
    async with utils.http_context.open():
        if plan["what"] == "call":
            await _call(plan["base_url"], websocket=plan["websocket"], cut=plan["cut"])
            return {}
        costs = await _cpu(plan["base_url"], plan["items"], websocket=plan["websocket"])
        return {"costs": costs}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
