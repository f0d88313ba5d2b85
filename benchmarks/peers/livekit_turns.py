"""Runs turns through LiveKit's OpenAI plugin, in its own environment, and prints JSON.

Run as ``python livekit_turns.py PLAN``: a JSON object that says ``what`` is to be done, the
server's ``base_url``, whether over ``websocket``, and what else that takes. It imports nothing of
this repository, which is not installed there.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from livekit.agents import llm, tokenize, utils
from livekit.plugins.openai import responses
from livekit.plugins.openai.tools import WebSearch

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


class _Scripted:
    """A call as a script has it: functions start when their call is complete, as LiveKit's do.

    Attributes:
        turns: What was said when, of each turn.
    """

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._model = _model(plan["base_url"], websocket=plan["websocket"])
        self._context = _context()
        for message in plan["beginning"]:
            self._context.add_message(role=message["role"], content=message["content"])
        self._tools: list[Any] = []
        self.turns: list[dict[str, Any]] = []

    async def take(self) -> None:
        """Takes all turns, one after the other."""
        for turn in self._plan["turns"]:
            self._go_to(self._plan["nodes"][turn["node"]])
            self._responses: list[Any] = []
            self._sentences: list[Any] = []
            self._context.add_message(role="user", content=turn["asked"])
            if turn["kind"] == "interrupted":
                await self._respond(cut=True)
                await asyncio.sleep(self._plan["speaking_secs"])
            elif await self._respond():
                await self._respond()
            said = {"responses": self._responses, "sentences": self._sentences}
            self.turns.append({"kind": turn["kind"], **said})
        await self._model.aclose()

    def _go_to(self, node: dict[str, Any]) -> None:
        """The node of the flow in which a turn takes place."""
        first = llm.ChatMessage(role="system", content=[node["instructions"]])
        self._context.items[0] = first
        functions = [
            llm.function_tool(self._look_up, raw_schema=each) for each in node["functions"]
        ]
        self._tools = [*functions, WebSearch()]

    async def _look_up(self, raw_arguments: dict[str, object]) -> str:
        await asyncio.sleep(self._plan["function_secs"])
        return json.dumps({"found": "a payment of forty two euros"})

    async def _respond(self, *, cut: bool = False) -> bool:
        """Asks for an answer to the context.

        Args:
            cut: Whether it is cut short once it has begun.

        Returns:
            Whether functions have run, and the model is to go on.
        """
        texts: list[tuple[float, str]] = []
        self._responses.append((time.monotonic(), texts))
        running: list[tuple[Any, asyncio.Task[str]]] = []
        # What stands between a model and a voice that is given whole sentences.
        speech = tokenize.blingfire.SentenceTokenizer(retain_format=True).stream()
        hearing = asyncio.create_task(self._hear(speech))
        async with self._model.chat(chat_ctx=self._context, tools=self._tools) as stream:
            async for chunk in stream:
                if chunk.delta is None:
                    continue
                running += [
                    (call, asyncio.create_task(self._look_up({})))
                    for call in chunk.delta.tool_calls
                ]
                if chunk.delta.content:
                    texts.append((time.monotonic(), chunk.delta.content))
                    speech.push_text(chunk.delta.content)
                    if cut:
                        break
        speech.end_input()
        await hearing
        said = "".join(text for _, text in texts)
        self._context.add_message(role="assistant", content=said)
        for call, task in running:
            name, call_id = call.name, call.call_id
            made = llm.FunctionCall(name=name, call_id=call_id, arguments=call.arguments)
            output = llm.FunctionCallOutput(
                name=name, call_id=call_id, output=await task, is_error=False
            )
            self._context.items += [made, output]
        return bool(running)

    async def _hear(self, speech: Any) -> None:
        async for sentence in speech:
            self._sentences.append((time.monotonic(), sentence.token))


async def main(plan: dict[str, Any]) -> dict[str, Any]:
    """Does what a plan says."""
    async with utils.http_context.open():
        if plan["what"] == "call":
            await _call(plan["base_url"], websocket=plan["websocket"], cut=plan["cut"])
            return {}
        if plan["what"] == "script":
            scripted = _Scripted(plan)
            await scripted.take()
            return {"turns": scripted.turns}
        costs = await _cpu(plan["base_url"], plan["items"], websocket=plan["websocket"])
        return {"costs": costs}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
