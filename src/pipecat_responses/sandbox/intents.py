"""Which functions a text asks for, by the words that it shares with them, and with what arguments.

A word of a function's name counts three, one of an enum's values two, one of its description or of
its parameters' names one. A function fits with a word of its name, or with two others; words that
say nothing of what it is about ("get", "current") do not count. Of those that fit, the one with the
most is called, for each part of the text that "and", a comma or a full stop sets apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipecat_responses.sandbox.answers import Call
from pipecat_responses.sandbox.arithmetic import expression_in
from pipecat_responses.sandbox.keywords import well_formed
from pipecat_responses.sandbox.mentions import Mentions
from pipecat_responses.sandbox.names import meaning_of
from pipecat_responses.sandbox.samples import sample
from pipecat_responses.sandbox.strings import fits_string
from pipecat_responses.sandbox.text import name_words

Tool = Mapping[str, Any]

_CALL_REQUEST = re.compile(r"\bcall\b", re.IGNORECASE)
# White space is looked at from its beginning only: else long runs cost the square of their length.
_BREAK = re.compile(r"(?<=[.?!;,])\s+|(?<!\s)\s+(?=(?:and|then|also)\b)", re.IGNORECASE)
_JOINT = re.compile(r"^(?:(?:and|then|also)\s+)+|(?:(?<!\s)\s+(?:and|then|also))+$", re.IGNORECASE)
_FILLERS = """
a about all an and any are as at be been by can could current currently do does for from get give
given gets has have hello help hi how i in info information into is it its let like list look
lookup make me my need new not of on one or our out please query retrieve return returns run
search set show so some specific specified string tell than that the their them then there these
they thing this to tool use used user want was we what when where which who will with would you
your call function fetch find create value number name id data
"""
_SAYING_NOTHING = frozenset(_FILLERS.split())
_SYNONYMS = {
    "weather": "forecast rain sunny snow umbrella degrees outside temperature",
    "time": "clock hour",
    "price": "cost",
    "stock": "share ticker",
    "book": "reserve reservation booking",
    "light": "lamp",
    "reminder": "remind",
    "email": "mail",
    "calculate": "calculator compute",
    "add": "plus sum",
}
_NAME_WEIGHT, _ENUM_WEIGHT, _OTHER_WEIGHT = 3, 2, 1
_ENOUGH_OTHERS = 2
_MAX_CALLS = 8
_ONE_AT_A_TIME = ("place", "person", "email", "reference", "symbol")


def wanted_calls(text: str, tools: Sequence[Tool], *, seed: int = 0) -> list[Call]:
    """The calls that a text asks for.

    Args:
        text: What the user said.
        tools: The functions and custom tools that may be called.
        seed: Which values arguments take where there is a choice.

    Returns:
        The calls, in the order of the text; empty when no tool fits.
    """
    if _CALL_REQUEST.search(text):
        named = [
            (match.start(), index)
            for index, tool in enumerate(tools)
            if (match := re.search(rf"\b{re.escape(tool['name'])}\b", text))
        ]
        if named:
            return [make_call(tools[index], text, seed=seed) for _, index in sorted(named)]
    calls: list[Call] = []
    for tool, part in _parts(text, tools):
        for told in _each_of_several(tool, part):
            call = make_call(tool, part, text, told, seed=seed)
            if call not in calls:
                calls.append(call)
    return calls[:_MAX_CALLS]


def make_call(
    tool: Tool,
    part: str,
    whole: str | None = None,
    told: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
) -> Call:
    """A call of a tool, with the arguments that it needs and those that the text tells.

    Args:
        tool: The function or custom tool.
        part: The part of the text that asks for it.
        whole: All of the text, which may tell what the part does not.
        told: Arguments that are known.
        seed: Which values to take where there is a choice.

    Returns:
        The call; its arguments satisfy the tool's schema.
    """
    expression = expression_in(part)
    if expression and _is_about("calc", tool):
        part = whole = expression
    if tool["type"] == "custom":
        return Call(tool["name"], part)
    arguments = arguments_for(_parameters(tool), part, whole or part, seed=seed)
    return Call(tool["name"], {**arguments, **(told or {})})


def arguments_for(schema: Mapping[str, Any], part: str, whole: str, *, seed: int = 0) -> Any:
    """Arguments for a schema: from the part of the text, then from all of it, then usual ones."""
    schema = {**schema, "type": "object"}
    value = sample(schema, part, seed=seed, optional=False)
    if whole == part or not isinstance(value, dict):
        return value
    told = sample({**schema, "required": []}, part, seed=seed, optional=False)
    elsewhere = sample({**schema, "required": []}, whole, seed=seed, optional=False)
    return {
        name: each if name in told else elsewhere.get(name, each) for name, each in value.items()
    }


def score(tool: Tool, text: str) -> int:
    """How much a text has to do with a tool; 0 when it does not fit."""
    return _Candidate(tool).score(_Said(text))


class _Said:
    """A text, or a part of one, as it is compared with tools."""

    def __init__(self, text: str) -> None:
        stems = set(map(_stem, name_words(text)))
        self.text = text
        self.stems = stems
        self.meant = stems | {_SAME[word] for word in stems if word in _SAME}
        self.of_time = re.search(r"\btime\b", text, re.IGNORECASE) is not None
        self.calculates = expression_in(text) is not None


class _Candidate:
    """A tool, with the words that tell what it is about."""

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        name = tool["name"]
        self.name = set(_stems(name)) or set(map(_stem, name_words(name)))
        others = set(_stems(tool.get("description") or ""))
        enums: set[str] = set()
        for parameter, schema in (_parameters(tool).get("properties") or {}).items():
            others.update(_stems(parameter))
            for option in schema.get("enum") or ():
                enums.update(_stems(option) if isinstance(option, str) else ())
        self.enums = enums
        self.others = others - self.name - enums

    def score(self, said: _Said) -> int:
        by_name = len(self.name & said.meant)
        by_name += said.of_time and _is_about("time", self.tool)
        by_name += said.calculates and _is_about("calc", self.tool)
        enums, others = len(self.enums & said.meant), len(self.others & said.meant)
        if not by_name and enums + others < _ENOUGH_OTHERS:
            return 0
        return _NAME_WEIGHT * by_name + _ENUM_WEIGHT * enums + _OTHER_WEIGHT * others


def _parts(text: str, tools: Sequence[Tool]) -> Iterator[tuple[Tool, str]]:
    """The tools that a text asks for, each with the part of the text that does."""
    candidates = [_Candidate(tool) for tool in tools]
    found: list[tuple[_Candidate, list[str]]] = []
    before: list[str] = []
    for clause in filter(None, _BREAK.split(text)):
        said = _Said(clause)
        best = _best(said, candidates)
        goes_on = found and (best is None or (best is found[-1][0] and not best.name & said.stems))
        if goes_on:
            # It adds to what was asked for before.
            found[-1][1].append(clause)
        elif best is not None:
            found.append((best, [*before, clause]))
            before = []
        else:
            before.append(clause)
    if not found and (best := _best(_Said(text), candidates)) is not None:
        found.append((best, [text]))
    for candidate, clauses in found:
        part = _JOINT.sub("", " ".join(clauses).rstrip(",; "))
        yield candidate.tool, part if len(found) > 1 else text


def _best(said: _Said, candidates: Sequence[_Candidate]) -> _Candidate | None:
    """The tool that fits best; the first of those that fit equally."""
    scores = [candidate.score(said) for candidate in candidates]
    highest = max(scores, default=0)
    return candidates[scores.index(highest)] if highest else None


def _each_of_several(tool: Tool, part: str) -> Iterator[Mapping[str, str]]:
    """An argument for each of several places or people that it cannot hold at once."""
    schema = _parameters(tool)
    properties = schema.get("properties") or {}
    for name in schema.get("required") or ():
        each = properties.get(name) or {}
        meaning = meaning_of(name)
        if each.get("type") != "string" or "enum" in each or meaning is None:
            continue
        kind = next((kind for kind in meaning.kinds if Mentions(part).of_kind(kind)), None)
        if kind not in _ONE_AT_A_TIME:
            continue
        values = [value for value in Mentions(part).of_kind(kind) if fits_string(each, value)]
        if len(values) > 1:
            yield from ({name: value} for value in values)
            return
    yield {}


def _parameters(tool: Tool) -> dict[str, Any]:
    return well_formed(tool.get("parameters"))


def _stems(text: str) -> Iterator[str]:
    return (
        _stem(word) for word in name_words(text) if word not in _SAYING_NOTHING and len(word) > 1
    )


def _stem(word: str) -> str:
    for ending in ("ings", "ing", "ies", "es", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word.removesuffix(ending)
            return stem + "y" if ending == "ies" else stem.removesuffix("e")
    return word.removesuffix("e") if len(word) > 4 else word


def _is_about(topic: str, tool: Tool) -> bool:
    return topic in tool["name"].lower() or topic in (tool.get("description") or "").lower()


_SAME = {
    _stem(word): _stem(meaning) for meaning, words in _SYNONYMS.items() for word in words.split()
}
