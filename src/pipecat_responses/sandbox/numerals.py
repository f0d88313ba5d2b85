"""A number that satisfies the bounds and steps of a JSON schema."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import chain, islice, takewhile
from random import Random
from typing import Any

_TRIES = 1000
_WINDOW = 100


def number(
    schema: Mapping[str, Any], candidates: Sequence[float], *, integer: bool, seed: int = 0
) -> float | int:
    """Makes a number.

    Args:
        schema: The number's schema.
        candidates: Numbers to prefer, the best first.
        integer: Whether it has to be whole.
        seed: Anything but 0 takes another number than the lowest, where none is preferred.

    Returns:
        The number: a candidate, or the lowest that is allowed.
    """
    for candidate in candidates:
        if fits_number(schema, candidate, integer=integer):
            return _plain(candidate, integer=integer)
    step = Fraction(str(schema.get("multipleOf", 1)))
    if integer and step.denominator != 1:
        step = Fraction(step.numerator)
    for value in _steps(schema, step, seed):
        if fits_number(schema, value, integer=integer):
            return _plain(value, integer=integer)
    # No whole step lies between the bounds.
    low, high = _bounds(schema)
    if low is not None and high is not None:
        return float((low + high) / 2)
    return float(low if low is not None else high or 0)


def fits_number(schema: Mapping[str, Any], value: float, *, integer: bool) -> bool:
    """Whether a number satisfies a schema."""
    if integer and value != int(value):
        return False
    exact = Fraction(str(value))
    for keyword, bound in _limits(schema):
        limit = Fraction(str(bound))
        allowed = {
            "minimum": exact >= limit,
            "maximum": exact <= limit,
            "exclusiveMinimum": exact > limit,
            "exclusiveMaximum": exact < limit,
        }
        if not allowed[keyword]:
            return False
    step = schema.get("multipleOf")
    if step is None:
        return True
    # Validators divide, so a number has to be a multiple in floating point as well.
    quotient = value / step
    return (exact / Fraction(str(step))).denominator == 1 and float(quotient).is_integer()


def _limits(schema: Mapping[str, Any]) -> list[tuple[str, float]]:
    keywords = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    found = ((keyword, schema.get(keyword)) for keyword in keywords)
    return [
        (keyword, bound)
        for keyword, bound in found
        if isinstance(bound, int | float) and not isinstance(bound, bool)
    ]


def _bounds(schema: Mapping[str, Any]) -> tuple[Fraction | None, Fraction | None]:
    limits = _limits(schema)
    low = [Fraction(str(bound)) for keyword, bound in limits if keyword.lower().endswith("minimum")]
    high = [
        Fraction(str(bound)) for keyword, bound in limits if keyword.lower().endswith("maximum")
    ]
    return max(low, default=None), min(high, default=None)


def _steps(schema: Mapping[str, Any], step: Fraction, seed: int) -> Iterator[float]:
    """Multiples of a step between the bounds, in the order in which to try them."""
    low, high = _bounds(schema)
    if low is not None:
        first = math.ceil(low / step)
        numbers = range(first, first + _TRIES)
    elif high is not None and high <= 0:
        first = math.floor(high / step)
        numbers = range(first, first - _TRIES, -1)
    else:
        numbers = range(_TRIES)
    values = (n * step for n in numbers)
    allowed: Iterator[Fraction] = takewhile(lambda value: high is None or value <= high, values)
    if seed:
        window = list(islice(allowed, _WINDOW))
        start = Random(seed).randrange(len(window)) if window else 0
        allowed = chain(window[start:], window[:start], allowed)
    whole = step.denominator == 1
    return (int(value) if whole else float(value) for value in allowed)


def _plain(value: float, *, integer: bool) -> float | int:
    """Whole numbers without a fraction, as JSON has them written mostly."""
    return int(value) if integer or value == int(value) else value
