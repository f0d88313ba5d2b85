"""A string that satisfies a JSON schema, and says something sensible where that can be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from pipecat_responses.sandbox.formats import STOCK, has_format, in_format
from pipecat_responses.sandbox.mentions import Mentions
from pipecat_responses.sandbox.names import Meaning, meaning_of
from pipecat_responses.sandbox.patterns import matching

_SHORT = 3
_LONGEST = 100_000
"""Characters that a text is filled up to at most, whatever a schema asks for."""


def string(
    schema: Mapping[str, Any], name: str, mentions: Mentions, *, index: int = 0, seed: int = 0
) -> str:
    """Makes a string.

    What the text mentions comes first, then what is usual for a field of that format or name, and
    then the text itself.

    Args:
        schema: The string's schema.
        name: The name of its field, or of the list that it is in.
        mentions: What was said.
        index: Its place in a list, so that the elements of a list are not the same.
        seed: Which of the usual strings to take.

    Returns:
        The string.
    """

    def fits(value: str) -> bool:
        return fits_string(schema, value)

    said = list(filter(fits, mentioned(schema, name, mentions)))
    if said:
        return said[index % len(said)]
    stock = _rotated(list(_stock(schema, name, mentions)), index, seed)
    pattern = schema.get("pattern")
    if pattern is not None and _compiles(pattern):
        found = matching(pattern, fits, mentions.text, f"{seed} {name} {index}", stock)
        if found is not None:
            return found
    for candidate in (*stock, mentions.text):
        if fits(candidate):
            return candidate
    if "format" in schema and (usual := STOCK.get(schema["format"])):
        stock = list(usual)
    return _of_length(schema, stock[0] if stock else mentions.text)


def mentioned(schema: Mapping[str, Any], name: str, mentions: Mentions) -> Iterator[str]:
    """What the text has to say of a field; nothing says more than a format."""
    if label := mentions.labelled(name) if name else None:
        yield label
    kind = schema.get("format")
    meaning = meaning_of(name)
    if kind:
        yield from mentions.of_kind(kind)
        yield from in_format(kind, mentions.text)
    elif meaning is not None:
        for each in meaning.kinds:
            yield from mentions.of_kind(each)
            yield from in_format(each, mentions.text)


def fits_string(schema: Mapping[str, Any], value: str) -> bool:
    """Whether a string satisfies a schema's format, pattern and lengths."""
    if len(value) < schema.get("minLength", 0):
        return False
    if len(value) > schema.get("maxLength", len(value)):
        return False
    pattern = schema.get("pattern")
    if pattern is not None and _compiles(pattern) and not re.search(pattern, value):
        return False
    return "format" not in schema or has_format(schema["format"], value)


def _stock(schema: Mapping[str, Any], name: str, mentions: Mentions) -> Sequence[str]:
    if usual := STOCK.get(schema.get("format", "")):
        return usual
    # A word or two are an answer to whatever is asked for.
    short = 0 < len(mentions.text.split()) <= _SHORT
    meaning: Meaning | None = None if short else meaning_of(name)
    if meaning is None or meaning.stock is None:
        return ()
    return meaning.stock


def _rotated(stock: list[str], index: int, seed: int) -> list[str]:
    if not stock:
        return stock
    start = index if seed == 0 else index + Random(seed).randrange(len(stock))
    start %= len(stock)
    return stock[start:] + stock[:start]


def _of_length(schema: Mapping[str, Any], text: str) -> str:
    """A text cut or filled up to the lengths that are asked for."""
    text = text[: schema.get("maxLength", len(text))]
    shortest: int = min(schema.get("minLength", 0), _LONGEST)
    filler = text if text.strip() else "x"
    missing = max(0, shortest - len(text))
    return text + (filler * (missing // len(filler) + 1))[:missing]


def _compiles(pattern: str) -> bool:
    """Whether Python knows the expression; ECMAScript has some that it does not."""
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
