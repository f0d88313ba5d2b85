"""Values that came as JSON or YAML, held to the types of the fields that they are for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

import msgspec

T = TypeVar("T")


def checked(given: Mapping[str, Any], types: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Fields and their values, as their types have them.

    Args:
        given: The fields that were given.
        types: All that there are, and their types.
        what: What they are fields of, for the message.

    Raises:
        ValueError: For a field that there is not, or a value that it does not take.
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in types:
            raise ValueError(f"{what} has no {name!r}; it has {sorted(types)}")
        try:
            values[name] = msgspec.convert(value, types[name])
        except msgspec.ValidationError as error:
            raise ValueError(f"{name}: {error}") from error
    return values


def made(
    kind: Callable[..., T], given: Mapping[str, Any], what: str, types: Mapping[str, Any] = {}
) -> T:
    """An object of a dataclass.

    Args:
        kind: The dataclass.
        given: Its fields as they were given.
        what: What it is called in a message.
        types: What fields take, where it is not what the dataclass says.

    Raises:
        ValueError: For a field that there is not, one that is missing, or a value that it does not
            take.
    """
    values = checked(given, {**types_of(kind), **types}, what)
    for each in fields(kind):  # type: ignore[arg-type]
        required = each.default is MISSING and each.default_factory is MISSING
        if required and each.name not in values:
            raise ValueError(f"{what} needs its {each.name}")
    return kind(**values)


def types_of(kind: Callable[..., Any]) -> dict[str, Any]:
    """The fields of a dataclass and their types, with their bounds."""
    return get_type_hints(kind, include_extras=True)
