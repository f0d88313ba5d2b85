"""Products of dimensions, of which `make fuzz` takes all, and an ordinary run what covers pairs."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import combinations
from typing import TypeVar

T = TypeVar("T")

ALL = "FUZZ_EXAMPLES" in os.environ
"""Whether all of each product is taken."""


def portion(things: Iterable[T], number: int, of: int) -> list[T]:
    """Every so many-th of some things; all of them under `make fuzz`.

    What is left out with one number is taken with another, so tests that number another dimension
    take each thing of both, and leave out most of the pairs.

    Args:
        things: One dimension.
        number: Which of another dimension's values this is for.
        of: How many portions there are.
    """
    everything = list(things)
    return everything if ALL else everything[number % of :: of]


def covering(things: Iterable[T], *dimensions: Callable[[T], Hashable]) -> Iterator[T]:
    """Some things that have every pair of values that all of them have; all under `make fuzz`.

    Args:
        things: A product.
        *dimensions: What tells the value of a thing in each dimension.
    """
    covered: set[object] = set()
    for thing in things:
        values = [(number, value(thing)) for number, value in enumerate(dimensions)]
        pairs = set(combinations(values, 2))
        if ALL or not pairs <= covered:
            covered |= pairs
            yield thing
