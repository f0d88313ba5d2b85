"""The model that answers when nobody scripted one: a few rules, a pure function of its input."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from pipecat_responses.sandbox.answers import Answer, Call, ModelInput, Part, Text
from pipecat_responses.sandbox.choices import chosen
from pipecat_responses.sandbox.hosted import hosted_parts, report_of_outputs
from pipecat_responses.sandbox.hosted_events import RUN_BY_SERVERS
from pipecat_responses.sandbox.intents import make_call, wanted_calls
from pipecat_responses.sandbox.persona import read_out, spoken_answer, with_commentary
from pipecat_responses.sandbox.recall import recalled
from pipecat_responses.sandbox.remote import after_approval, listings
from pipecat_responses.sandbox.samples import sample
from pipecat_responses.sandbox.story import STORY
from pipecat_responses.sandbox.transcript import Item, Transcript, item_text

_COUNT = re.compile(r"\bcount(?:\s+from\s+\w+)?\s+to\s+(\d+)", re.IGNORECASE)
_WORD_QUESTION = re.compile(r"\bwhich word\b", re.IGNORECASE)
_WORD = re.compile(r"\bthe word is (\w+)", re.IGNORECASE)
_FUNCTIONS = ("function", "custom")
_MAX_COUNT = 10_000


def answer_by_rules(given: ModelInput) -> Answer:
    """Answers as the built-in rules do, in this order.

    1. An assistant message and then a developer message that asks to continue: the rest of what
       the answer would have been, if the message is the beginning of it.
    2. Outputs of tools at the end: what they returned, or the next call where only one may be made
       at once. Where a call is required, another one.
    3. Tools that fit the user's words (see ``intents`` and ``hosted``; ``call X and Y`` names
       them), as far as ``tool_choice`` allows; or the one that it demands. The tools of an MCP
       server that the model has not seen yet are listed before whatever is answered.
    4. A JSON schema: a value that satisfies it.
    5. The word that the user has told last (``the word is ...``), when asked ``which word``, or
       what else was told and is asked for (``my name is ...``); a story, or counting, when asked
       for.
    6. What the user said, and how many items the model sees.

    With ``SandboxConfig.persona``, somebody to talk to (see ``persona``) takes the place of 5 and
    6.

    Args:
        given: What the model sees.

    Returns:
        The answer; the same input gives the same answer.
    """
    answer = (
        resumed(given, answer_by_rules)
        or _after_outputs(given)
        or _use_tools(given)
        or Answer((_speak(given),))
    )
    lists = listings(given, chosen(given.tool_choice, given.tools).tools)
    return replace(answer, parts=(*lists, *answer.parts)) if lists else answer


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
    history = given.history[:-2]
    # What it had run by itself before it broke off, it runs no more.
    while history and history[-1].get("type") in RUN_BY_SERVERS:
        history = history[:-1]
    before = Transcript().extend(history)
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


def _after_outputs(given: ModelInput) -> Answer | None:
    """What comes after outputs of tools: the calls that are left, or what the tools returned."""
    if approved := _hosted(given, after_approval(given)):
        return approved
    if chosen(given.tool_choice, given.tools).required:
        return None
    said = report_of_outputs(given)
    made, outputs = _since_the_user_spoke(given)
    if outputs:
        if not given.parallel_tool_calls and (left := _calls(given, made)):
            return Answer(left[:1])
        said = " ".join(_returned(given, item, made) for item in outputs)
    return Answer((_formed(given, said) or Text(said),)) if said else None


def _returned(given: ModelInput, output: Item, made: list[Item]) -> str:
    """What a tool has returned, in words."""
    if given.persona:
        return read_out(item_text(output))
    names = {call["call_id"]: call["name"] for call in made}
    return f"{names[output['call_id']]} says {item_text(output)}."


def _since_the_user_spoke(given: ModelInput) -> tuple[list[Item], list[Item]]:
    """The calls since then, and the outputs that are the last of all."""
    made: list[Item] = []
    outputs: list[Item] = []
    at_the_end, spoken = True, False
    for item in given.newest_first():
        kind = item.get("type", "message")
        if kind in ("function_call", "custom_tool_call"):
            made.insert(0, item)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            if at_the_end:
                outputs.insert(0, item)
        elif kind != "reasoning":
            at_the_end = False
            spoken = spoken or item.get("role") == "user"
        if not (at_the_end or outputs):
            break
        if spoken and {each["call_id"] for each in outputs} <= {each["call_id"] for each in made}:
            break
    return made, outputs


def _use_tools(given: ModelInput) -> Answer | None:
    """Calls or runs what fits, or else what has to be."""
    if calls := _calls(given, []):
        return Answer(tuple(calls if given.parallel_tool_calls else calls[:1]))
    choice = chosen(given.tool_choice, given.tools)
    if parts := hosted_parts(given, choice, forced=False):
        return _hosted(given, parts)
    if not choice.required or not choice.tools:
        return None
    first = choice.tools[0]
    if first["type"] in _FUNCTIONS:
        return Answer((make_call(first, given.last_user_text or "", seed=given.seed),))
    return _hosted(given, hosted_parts(given, choice, forced=True))


def _hosted(given: ModelInput, parts: tuple[Part, ...]) -> Answer | None:
    """What a tool of the API's came to, said in the form that the request asks for."""
    if not parts:
        return None
    if given.persona:
        parts = with_commentary(given, parts)
    return Answer(
        tuple(
            (_formed(given, part.text) or part) if isinstance(part, Text) else part
            for part in parts
        )
    )


def _calls(given: ModelInput, made: list[Item]) -> list[Call]:
    """The calls that are to be made, without those that were made already."""
    choice = chosen(given.tool_choice, given.tools)
    tools = [tool for tool in choice.tools if tool["type"] in _FUNCTIONS]
    text = given.last_user_text or ""
    calls = wanted_calls(text, tools, seed=given.seed)
    known = [(call["name"], call.get("arguments", call.get("input"))) for call in made]
    return [call for call in calls if (call.name, call.raw_arguments) not in known]


def _speak(given: ModelInput) -> Text:
    text = given.last_user_text
    if formed := _formed(given, text or ""):
        return formed
    if given.persona:
        return Text(spoken_answer(given))
    if text is None:
        return Text("Hello! How can I help you?")
    if _WORD_QUESTION.search(text):
        return Text(_word_told(given))
    if told := recalled(text, _said_before(given)):
        return Text(told)
    if count := _COUNT.search(text):
        top = min(int(count[1]), _MAX_COUNT)
        return Text(", ".join(str(number) for number in range(1, top + 1)) + ".")
    if "story" in text.lower():
        return Text(STORY)
    noun = "item" if given.count == 1 else "items"
    return Text(f'You said: "{text}".{_seen(given)} I remember {given.count} {noun}.')


def _said_before(given: ModelInput) -> Iterator[str]:
    """What the user had said before the newest message, newest first."""
    said = (item_text(item) for item in given.newest_first() if item.get("role") == "user")
    return islice(said, 1, None)


def _seen(given: ModelInput) -> str:
    """What came with the newest user message besides its text."""
    for item in given.newest_first():
        if item.get("role") != "user":
            continue
        content = item.get("content")
        kinds = [part.get("type") for part in content] if isinstance(content, list) else []
        counts = [
            f"{count} {noun}{'' if count == 1 else 's'}"
            for kind, noun in (("input_image", "image"), ("input_file", "file"))
            if (count := kinds.count(kind))
        ]
        return f" I see {' and '.join(counts)}." if counts else ""
    return ""


def _formed(given: ModelInput, said: str) -> Text | None:
    """What is said in the form that the request asks for; None for plain text."""
    form = (given.settings.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        return Text(json.dumps(sample(form["schema"], said, seed=given.seed)))
    if form.get("type") == "json_object":
        return Text(json.dumps({"said": said}))
    return None


def _word_told(given: ModelInput) -> str:
    for item in given.newest_first():
        told = _WORD.search(item_text(item)) if item.get("role") == "user" else None
        if told is not None:
            return f"The word is {told[1]}."
    return "Nobody has told me a word."
