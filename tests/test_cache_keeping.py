"""Requests that begin as the one before: whatever changes, they say what the context says."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage

from pipecat_responses.context.adapter import OpenAIResponsesLLMAdapter
from pipecat_responses.protocol.items import Compaction
from pipecat_responses.service.cache_keeping import CacheKeeping, Kept
from pipecat_responses.service.instruction_changes import change_of
from tests.support.instructions import read_change, same_words

BASE = "You are kind. You book trips. Speak of nothing else.\n\nAsk for the {}.\n\nBe brief."
TEXTS = [*(BASE.format(each) for each in ("name", "date", "seat")), "You are a pirate.", "Sing."]
EFFORTS = ["none", "low", "high"]
TOOLS = {name: FunctionSchema(name, f"Runs {name}.", {}, []) for name in ("one", "two", "three")}


class Walk:
    """A conversation to which something happens step by step, and what is asked for after it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.adapter = OpenAIResponsesLLMAdapter()
        self.keeping = CacheKeeping(None, list)
        self.context = LLMContext([{"role": "user", "content": "Hello."}])
        self.instructions: str | None = TEXTS[0]
        self.effort = "none"
        self.model = "gpt-6-sol"
        self.count = 0
        self.grows = True

    def word(self) -> str:
        self.count += 1
        return f"Word {self.count}."

    def add(self, message: Any) -> None:
        self.context.add_message(message)

    def says(self) -> None:
        role = self.random.choice(["user", "user", "assistant", "developer"])
        self.add({"role": role, "content": self.word()})

    def calls(self) -> None:
        call_id = f"call_{self.count}"
        function = {"name": "one", "arguments": self.word()}
        call = {"id": call_id, "type": "function", "function": function}
        self.add({"role": "assistant", "tool_calls": [call]})
        output = self.random.choice(["IN_PROGRESS", "done"])
        self.add({"role": "tool", "content": output, "tool_call_id": call_id})

    def returns(self) -> None:
        for message in self.context.get_messages():
            if isinstance(message, dict) and message.get("content") == "IN_PROGRESS":
                message["content"] = "done"
                self.grows = False

    def is_instructed(self) -> None:
        self.instructions = self.random.choice([*TEXTS, None] if self.count % 9 == 0 else TEXTS)
        self.grows &= self.instructions is not None

    def thinks(self) -> None:
        self.effort = self.random.choice(EFFORTS)

    def gets_tools(self) -> None:
        offered = self.random.sample(sorted(TOOLS), self.random.randint(0, 3))
        self.context.set_tools(ToolsSchema([TOOLS[name] for name in offered]))

    def is_reset(self) -> None:
        self.context.set_messages([{"role": "user", "content": self.word()}])
        self.grows = False

    def is_edited(self) -> None:
        messages: list[Any] = list(self.context.get_messages())
        texts = [n for n, m in enumerate(messages) if isinstance(m, dict) and "tool_calls" not in m]
        texts = [n for n in texts if messages[n]["role"] != "tool"]
        if texts:
            place = self.random.choice(texts)
            messages[place] = {**messages[place], "content": self.word()}
            self.context.set_messages(messages)
            self.grows = False

    def is_compacted(self) -> None:
        item = {"type": "compaction", "id": self.word(), "encrypted_content": "x"}
        self.add(LLMSpecificMessage("openai_responses", item))

    def changes_model(self) -> None:
        self.model = self.random.choice(["gpt-6-sol", "gpt-6-luna", "gpt-5.2"])
        self.grows = False

    def is_copied(self) -> None:
        messages = self.context.get_messages()
        self.context = LLMContext(list(messages), self.context.tools)

    async def ask(self, context: LLMContext | None = None) -> Kept:
        context = context or self.context
        said = await self.adapter.convert(context, system_instruction=self.instructions)
        values: dict[str, Any] = {"model": self.model, "reasoning": {"effort": self.effort}}
        if said.instructions is not None:
            values["instructions"] = said.instructions
        if said.tools:
            values["tools"] = said.tools
        kept = self.keeping.keep(context, values, said)
        ours = {id(item): index for index, item in enumerate(said.items)}
        places = [(n, ours[id(item)]) for n, item in enumerate(kept.items) if id(item) in ours]
        assert [place for _, place in places] == list(range(len(said.items)))
        for index, place in places:
            assert kept.message_of(index) == said.message_of(place)
        added = [n for n, item in enumerate(kept.items) if id(item) not in ours]
        assert all(kept.message_of(index) is None for index in added)
        for forgets in (False, True):
            told, effort = as_read(kept, set(added), forgets=forgets)
            assert same_words(told, said.instructions)
            assert effort == self.effort
        assert sorted(may_call(kept.values)) == sorted(may_call(values))
        return kept


def as_read(kept: Kept, added: set[int], *, forgets: bool) -> tuple[str | None, str | None]:
    """Instructions and effort, if a compaction keeps what it stands for, or forgets it."""
    told, effort = first = kept.values.get("instructions"), kept.values["reasoning"]["effort"]
    for index, item in enumerate(kept.items):
        if isinstance(item, Compaction) and forgets:
            told, effort = first
        elif index in added and item.wire.get("type") == "configuration_update":
            effort = item.wire["reasoning"]["effort"]
        elif index in added:
            told = read_change(told or "", item.wire["content"])
    return told, effort


def may_call(values: dict[str, Any]) -> list[str]:
    choice = values.get("tool_choice")
    if choice == "none":
        return []
    tools = choice["tools"] if choice else values.get("tools", ())
    return [tool["name"] for tool in tools]


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_happens(seed: int) -> None:
    """The model reads the newest instructions and has its tools; what grows is only added to."""
    walk = Walk(seed)
    often = [walk.says, walk.calls, walk.returns, walk.is_instructed, walk.thinks, walk.gets_tools]
    seldom = [walk.is_reset, walk.is_edited, walk.is_compacted, walk.changes_model, walk.is_copied]
    before = await walk.ask()
    for _ in range(30):
        walk.grows = True
        happening = walk.random.choices([*often * 4, *seldom], k=walk.random.randint(1, 3))
        for happens in happening:
            happens()
        if walk.random.random() < 0.2 and walk.is_copied not in happening:
            # What is speculated on takes nothing from the conversation.
            await walk.ask(LLMContext(list(walk.context.get_messages())[:-1], walk.context.tools))
        kept = await walk.ask()
        if walk.grows and walk.model != "gpt-5.2":
            assert kept.items[: len(before.items)] == before.items
            assert kept.values.get("instructions") == before.values.get("instructions")
            assert kept.values["reasoning"] == before.values["reasoning"]
            tools = before.values.get("tools", [])
            assert kept.values.get("tools", [])[: len(tools)] == tools
        before = kept


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("Be kind. Ask for the name.", "Be kind. Ask for the date.", "Ask for the name."),
        ("Be kind.\nGo on.", "Be kind.\nBe brief.\nGo on.", "Be kind."),
        ("Be kind.\nBe brief.\nGo on.", "Be kind.\nGo on.", "Be brief."),
        ("Be kind.\n", "Be kind.\nSay goodbye.", "beside"),
        ("Be kind.", "You are a pirate.", "all earlier ones"),
        ("Go. Stop. Go. Stop. End.", "Go. Stop. Go. Wait. End.", "all earlier ones"),
    ],
)
def test_what_is_told_of_new_instructions(old: str, new: str, told: str) -> None:
    rules = "A rule that always holds, whoever calls and whatever is asked for.\n"
    change = change_of(rules + old, rules + new)
    assert told in change or told == "all earlier ones"
    assert same_words(read_change(rules + old, change), rules + new)
    assert told in change_of(old, new) or told != "all earlier ones"


async def test_tools_that_a_choice_cannot_name() -> None:
    """They are declared as the turn has them."""
    keeping, adapter = CacheKeeping(None, list), OpenAIResponsesLLMAdapter()
    context = LLMContext([{"role": "user", "content": "Hello."}])
    said = await adapter.convert(context)
    search = {"type": "tool_search"}
    one = {"type": "function", "name": "one", "parameters": {}}
    for tools in ([one], [one, search], []):
        kept = keeping.keep(context, {"model": "gpt-5.2", "tools": tools}, said)
        if search in tools:
            assert kept.values["tools"] == tools
    assert kept.values["tools"] == [one]
    assert kept.values["tool_choice"] == "none"


async def test_a_tool_that_has_become_another_one() -> None:
    """It is declared as it is now, in its place."""
    keeping, adapter = CacheKeeping(None, list), OpenAIResponsesLLMAdapter()
    context = LLMContext([{"role": "user", "content": "Hello."}])
    said = await adapter.convert(context)
    one, other = ({"type": "function", "name": "one", "description": d} for d in ("a", "b"))
    two = {"type": "mcp", "server_label": "tables", "server_url": "https://example.com"}
    keeping.keep(context, {"model": "gpt-5.2", "tools": [one, two]}, said)
    kept = keeping.keep(context, {"model": "gpt-5.2", "tools": [other]}, said)
    assert kept.values["tools"] == [other, two]
    kept = keeping.keep(context, {"model": "gpt-5.2", "tools": [two]}, said)
    assert kept.values["tool_choice"]["tools"] == [{"type": "mcp", "server_label": "tables"}]
