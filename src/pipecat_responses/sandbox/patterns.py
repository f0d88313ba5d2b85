"""Strings that match a regular expression.

With ``rstr`` installed (``pip install "pipecat-responses[patterns]"``) any pattern that it knows;
without it, those that something ordinary matches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

try:
    from rstr import Rstr
except ImportError:
    Rstr = None  # type: ignore[assignment, misc]

_ATTEMPTS = 200
_ORDINARY = """
a b c d-e ab abc abcd abcde abcdef user_1 user-1 first-item A B AB ABC ABCD ABCDE Abc Ada x1 A1
AB1 AB12 ABC123 ABC-123 AB-1234 ABC-1234 A-1 1A 0 1 12 123 1234 12345 123456 1234567 12345678
0123456789 1.0 1.5 9.99 1.2.3 v1.2.3 +14155550123 415-555-0123 (415)555-0123 555-0123 12345-6789
#aabbcc #AABBCC aabbcc 0xff 2026-01-15 2026-01 2026/01/15 15/01/2026 01/15/2026 09:30 09:30:00
2026-01-15T09:30:00Z ada@example.com @ada #tag example.com https://example.com/
http://example.com/ /path /path/to/file file.txt en en-US EUR US 192.0.2.1 true yes $9.99 50% KEY
"""
_SIMPLE_GROUP = re.compile(r"\((?:\?:)?(?:[^()?*+{|]|\{\d+\})*\)")
"""A group whose length does not vary."""
_REPETITIONS = 2
"""So many repetitions, one after the other, are quick with long strings."""


class _Short(Random):
    """Chance that keeps repetitions short, and does not depend on the order of a set."""

    def __init__(self, seed: str, spread: int) -> None:
        super().__init__(seed)
        self._spread = spread

    def randint(self, a: int, b: int) -> int:
        return super().randint(a, min(b, a + self._spread))

    def choice(self, seq: Any) -> Any:
        if all(isinstance(option, str) for option in seq):
            # White space and signs are matched by much that means letters.
            plain = [option for option in seq if option.isalnum()]
            return super().choice(sorted(plain or seq))
        return super().choice(seq)


def matching(
    pattern: str, fits: Callable[[str], bool], text: str, seed: str, known: Sequence[str] = ()
) -> str | None:
    """Finds a string for a pattern.

    Args:
        pattern: The regular expression, not anchored, as JSON schema has it.
        fits: Whether a string satisfies the pattern and all else that is asked for.
        text: A text which may have one.
        seed: What chance begins with.
        known: Strings to prefer.

    Returns:
        The string; None when none was found.
    """
    longest = _longest(pattern)
    for candidate in (*_found(pattern, text[:longest]), *known, *_ORDINARY.split()):
        if len(candidate) <= longest and fits(candidate):
            return candidate
    return next(filter(fits, _generated(pattern, seed)), None)


def _longest(pattern: str) -> int:
    """How long a string may be that a pattern is tried with: its matching might take for ever.

    Going back over what repeats within what repeats takes time that doubles with each character;
    with some repetitions one after the other, it grows by as many powers.
    """
    varying = re.findall(r"\)([*+{])", _SIMPLE_GROUP.sub("", pattern))
    if varying:
        return 6 if "{" in varying else 16
    return 200 if len(re.findall(r"[*+]|,\}", pattern)) > _REPETITIONS else 2000


def _found(pattern: str, text: str) -> Iterator[str]:
    """The words of a text, and what an anchored pattern finds within it."""
    inner = pattern.removeprefix("^").removesuffix("$")
    try:
        yield from (match[0] for match in re.finditer(rf"\b(?:{inner})\b", text) if match[0])
    except re.error:
        return
    yield from (word.strip(".,;:!?\"'()") for word in text.split())


def _generated(pattern: str, seed: str) -> Iterator[str]:
    if Rstr is None:
        return
    for attempt in range(_ATTEMPTS):
        chance = _Short(f"{seed} {attempt}", spread=attempt // 4)
        try:
            yield Rstr(chance).xeger(pattern)
        except (KeyError, IndexError, ValueError, re.error):
            # A construct or a number that it does not know, or no regular expression at all.
            return
