"""Counting and cutting text as if by a tokenizer.

A token here is about four characters when counted, and a word with the space before it when
streamed: near enough for budgets and pacing, and the same on every machine.
"""

from __future__ import annotations

import re

CHARACTERS_PER_TOKEN = 4

_PIECES = re.compile(r"\s*\S+|\s+$")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")


def count_tokens(text: str) -> int:
    """Tokens in a text: one for every four characters, rounded up."""
    return (len(text) + CHARACTERS_PER_TOKEN - 1) // CHARACTERS_PER_TOKEN


def split_words(text: str) -> list[str]:
    """Cuts a text into pieces that join to it exactly: words with the white space before them."""
    return _PIECES.findall(text)


def split_fixed(text: str, width: int = 8) -> list[str]:
    """Cuts a text into pieces of a fixed width, as arguments of a call are streamed."""
    return [text[start : start + width] for start in range(0, len(text), width)]


def name_words(name: str) -> list[str]:
    """The words of a name or a text, in lower case: ``getUserName`` gives get, user, name."""
    return [word.lower() for word in _WORDS.findall(name)]
