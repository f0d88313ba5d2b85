"""The model that answers when nobody scripted one: a few rules, a pure function of its input."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pipecat_responses.sandbox.answers import Answer, Call, ModelInput, Text
from pipecat_responses.sandbox.samples import sample
from pipecat_responses.sandbox.transcript import Item, Transcript, item_text

_EXPRESSION = re.compile(r"\(?\d[\d.]*\)?(?:\s*[-+*/^×x]\s*\(?\d[\d.]*\)?)+")  # noqa: RUF001
_COUNT = re.compile(r"\bcount(?:\s+from\s+\w+)?\s+to\s+(\d+)", re.IGNORECASE)
_WORD_QUESTION = re.compile(r"\bwhich word\b", re.IGNORECASE)
_WORD = re.compile(r"\bthe word is (\w+)", re.IGNORECASE)
_CALL_REQUEST = re.compile(r"\bcall\b", re.IGNORECASE)
_MAX_COUNT = 10_000
_STORY = """\
Once upon a time, a lighthouse keeper named Ada lived on an island at the edge of the map. \
Every evening she climbed one hundred and twelve steps and lit the great lamp. \
One night the fog was so thick that the light came back to her like an echo. \
She heard a bell, far out, where no ship should have been. \
So she took the small boat and a lantern, and rowed toward the sound. \
The sea was flat, and the oars left rings that did not fade. \
In the middle of the fog she found a ship without a crew, with its table set for dinner. \
On the plate of the captain lay a letter, and the letter had her name on it. \
It said that the lamp had once guided this ship home, and that the ship had come to say thanks. \
Ada rang the bell three times, as sailors do for a friend. \
When the fog lifted in the morning, the ship was gone, and the rings on the water with it. \
But the bell hung in the lighthouse from then on, and nobody ever asked how it had got there."""


def answer_by_rules(given: ModelInput) -> Answer:
    """Answers as the built-in rules do, in this order.

    1. An assistant message and then a developer message that asks to continue: the rest of what
       the answer would have been, if the message is the beginning of it.
    2. Outputs of tools at the end: what they returned.
    3. A tool that fits the user's words (the time, a calculation, ``call X and Y``), as far as
       ``tool_choice`` allows; or the one that it demands.
    4. A JSON schema: a value that satisfies it.
    5. The word that the user has told last (``the word is ...``), when asked ``which word``; a
       story, or counting, when asked for.
    6. What the user said, and how many items the model sees.

    Args:
        given: What the model sees.

    Returns:
        The answer; the same input gives the same answer.
    """
    return (
        resumed(given, answer_by_rules)
        or _report_outputs(given)
        or _call_tools(given)
        or Answer((_speak(given),))
    )


def resumed(given: ModelInput, answer_to: Callable[[ModelInput], Answer | None]) -> Answer | None:
    """The rest of an answer that broke off, for a request that asks for it.

    Args:
        given: What the model sees.
        answer_to: What the model answers to a request; asked for the one that broke off.

    Returns:
        The rest; None for any other request.
    """
    newest = given.newest_first()
    request = next(newest, None)
    if request is None or request.get("role") not in ("developer", "system"):
        return None
    if "continue" not in item_text(request).lower():
        return None
    said = next(newest, None)
    if said is None or said.get("role") != "assistant":
        return None
    before = Transcript().extend(given.history[:-2])
    answer = answer_to(replace(given, transcript=before))
    whole = answer.text if answer is not None else ""
    spoken = item_text(said).rstrip()
    if not spoken or not whole.startswith(spoken):
        return None
    exact = item_text(said)
    start = len(exact if whole.startswith(exact) else spoken)
    if "last word" in item_text(request).lower():
        # It was told to begin with the word that was said last.
        start = whole.rfind(" ", 0, len(spoken)) + 1
    return Answer((whole[start:],))


def _report_outputs(given: ModelInput) -> Answer | None:
    outputs: list[Item] = []
    names: dict[str, str] = {}
    at_the_end = True
    for item in given.newest_first():
        kind = item.get("type", "message")
        if kind in ("function_call", "custom_tool_call"):
            names[item["call_id"]] = item["name"]
        elif kind not in ("function_call_output", "custom_tool_call_output"):
            at_the_end = False
        elif at_the_end:
            outputs.append(item)
        if not at_the_end and all(output["call_id"] in names for output in outputs):
            break
    if not outputs:
        return None
    said = [f"{names[item['call_id']]} says {item_text(item)}." for item in reversed(outputs)]
    return Answer((" ".join(said),))


def _call_tools(given: ModelInput) -> Answer | None:
    choice = given.tool_choice
    tools = [tool for tool in given.tools if tool.get("type") in ("function", "custom")]
    if choice == "none" or not tools:
        return None
    if isinstance(choice, Mapping):
        if choice.get("type") == "allowed_tools":
            allowed = {tool.get("name") for tool in choice.get("tools", ())}
            tools = [tool for tool in tools if tool["name"] in allowed]
            choice = choice.get("mode", "auto")
        else:
            tools = [tool for tool in tools if tool["name"] == choice.get("name")]
            choice = "required"
    text = given.last_user_text or ""
    calls = _fitting_calls(text, tools)
    if not calls and choice == "required" and tools:
        calls = [_call(tools[0], text)]
    if not given.parallel_tool_calls:
        calls = calls[:1]
    return Answer(tuple(calls)) if calls else None


def _fitting_calls(text: str, tools: list[Mapping[str, Any]]) -> list[Call]:
    if _CALL_REQUEST.search(text):
        mentioned = [
            (match.start(), tool)
            for tool in tools
            if (match := re.search(rf"\b{re.escape(tool['name'])}\b", text))
        ]
        if mentioned:
            return [_call(tool, text) for _, tool in sorted(mentioned, key=lambda pair: pair[0])]
    if re.search(r"\btime\b", text, re.IGNORECASE) and (tool := _about("time", tools)):
        return [_call(tool, text)]
    expression = _EXPRESSION.search(text)
    if expression and (tool := _about("calc", tools)):
        return [_call(tool, expression[0].strip())]
    return []


def _about(topic: str, tools: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return next(
        (
            tool
            for tool in tools
            if topic in tool["name"].lower() or topic in (tool.get("description") or "").lower()
        ),
        None,
    )


def _call(tool: Mapping[str, Any], text: str) -> Call:
    """Calls a tool with the required arguments only, strings being the text."""
    if tool["type"] == "custom":
        return Call(tool["name"], text)
    schema = tool.get("parameters") or {}
    required = schema.get("required") or []
    properties = schema.get("properties") or {}
    needed = {name: value for name, value in properties.items() if name in required}
    return Call(tool["name"], sample({**schema, "type": "object", "properties": needed}, text))


def _speak(given: ModelInput) -> Text:
    text = given.last_user_text
    text_format = (given.settings.get("text") or {}).get("format") or {}
    if text_format.get("type") == "json_schema":
        return Text(json.dumps(sample(text_format["schema"], text or "")))
    if text_format.get("type") == "json_object":
        return Text(json.dumps({"said": text or ""}))
    if text is None:
        return Text("Hello! How can I help you?")
    if _WORD_QUESTION.search(text):
        return Text(_word_told(given))
    if count := _COUNT.search(text):
        top = min(int(count[1]), _MAX_COUNT)
        return Text(", ".join(str(number) for number in range(1, top + 1)) + ".")
    if "story" in text.lower():
        return Text(_STORY)
    noun = "item" if given.count == 1 else "items"
    return Text(f'You said: "{text}". I remember {given.count} {noun}.')


def _word_told(given: ModelInput) -> str:
    for item in given.newest_first():
        told = _WORD.search(item_text(item)) if item.get("role") == "user" else None
        if told is not None:
            return f"The word is {told[1]}."
    return "Nobody has told me a word."
