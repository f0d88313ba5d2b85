"""Calculations as people ask for them: ``what is seven times eight``."""

from __future__ import annotations

from collections.abc import Sequence

from pipecat_responses.sandbox.arithmetic import value_of
from pipecat_responses.sandbox.spoken_numbers import number_at, spelled, words_of

_SIGNS = {
    "+": ("plus", "and"),
    "-": ("minus", "less"),
    "*": ("times", "multiplied by", "multiply by", "×", "time", "dimes"),  # noqa: RUF001
    "/": ("divided by", "divide by", "over", "divided", "divide"),
}
_SAID = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
_MAX_TERMS = 10


def calculated(text: str) -> str | None:
    """The result of a calculation, as a sentence.

    Args:
        text: What was said.

    Returns:
        ``Seven times eight is fifty-six.``; None if it is no calculation.
    """
    words = words_of(text)
    for start in range(len(words)):
        terms = _terms(words, start)
        if len(terms) > 1:
            return _sentence(terms)
    return None


def _terms(words: Sequence[str], start: int) -> list[tuple[str, float]]:
    """Each number with the sign before it; the first one has none."""
    found: list[tuple[str, float]] = []
    sign = ""
    at = start
    while len(found) < _MAX_TERMS:
        # What sounds like a number is one behind a sign: "seven times for".
        value, after = number_at(words, at, misheard=bool(found))
        if after == at:
            break
        found.append((sign, value))
        sign, at = _sign(words, after)
        if not sign:
            break
    return found


def _sign(words: Sequence[str], at: int) -> tuple[str, int]:
    for sign, names in _SIGNS.items():
        for name in (sign, *names):
            spoken = name.split()
            if list(words[at : at + len(spoken)]) == spoken:
                return sign, at + len(spoken)
    return "", at


def _sentence(terms: Sequence[tuple[str, float]]) -> str:
    said = " ".join(f"{_SAID.get(sign, '')} {spelled(value)}".strip() for sign, value in terms)
    value = value_of(" ".join(f"{sign}{_literal(number)}" for sign, number in terms))
    result = "not defined" if value is None else spelled(value)
    return f"{said[0].upper()}{said[1:]} is {result}."


def _literal(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
