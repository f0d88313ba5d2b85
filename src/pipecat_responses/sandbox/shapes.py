"""Small checkers of JSON values, from which the request's validation is put together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from pipecat_responses.sandbox.errors import (
    ApiError,
    invalid_type,
    invalid_value,
    missing_parameter,
    unknown_parameter,
)

Check = Callable[[Any, str], None]
"""Takes a value and the name of its parameter; raises ``ApiError`` when the value is wrong."""


def string(value: object, param: str) -> None:
    """Any string."""
    if not isinstance(value, str):
        raise invalid_type(param, "a string", value)


def boolean(value: object, param: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise invalid_type(param, "a boolean", value)


def mapping(value: object, param: str) -> None:
    """Any object."""
    if not isinstance(value, dict):
        raise invalid_type(param, "an object", value)


def anything(value: object, param: str) -> None:
    """No check: a field whose contents do not matter to the sandbox."""


def integer(minimum: int | None = None, maximum: int | None = None) -> Check:
    """An integer, within bounds that are included."""

    def check(value: object, param: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid_type(param, "an integer", value)
        _bounds(value, param, "integer", minimum, maximum)

    return check


def decimal(minimum: float, maximum: float) -> Check:
    """A number, within bounds that are included."""

    def check(value: object, param: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid_type(param, "a decimal", value)
        _bounds(value, param, "decimal", minimum, maximum)

    return check


def _bounds(
    value: float, param: str, kind: str, minimum: float | None, maximum: float | None
) -> None:
    if minimum is not None and value < minimum:
        raise ApiError(
            f"Invalid '{param}': {kind} below minimum value. "
            f"Expected a value >= {minimum:g}, but got {value:g} instead.",
            code=f"{kind}_below_min_value",
            param=param,
        )
    if maximum is not None and value > maximum:
        raise ApiError(
            f"Invalid '{param}': {kind} above maximum value. "
            f"Expected a value <= {maximum:g}, but got {value:g} instead.",
            code=f"{kind}_above_max_value",
            param=param,
        )


def choice(*supported: str) -> Check:
    """One of a few strings."""

    def check(value: object, param: str) -> None:
        if not isinstance(value, str):
            raise invalid_type(param, f"one of {', '.join(map(repr, supported))}", value)
        if value not in supported:
            raise invalid_value(param, value, supported)

    return check


def pattern(expression: str, max_length: int) -> Check:
    """A string of a certain form."""
    compiled = re.compile(expression)

    def check(value: object, param: str) -> None:
        string(value, param)
        assert isinstance(value, str)
        if len(value) > max_length:
            raise ApiError(
                f"Invalid '{param}': string too long. Expected a string with maximum length "
                f"{max_length}, but got a string with length {len(value)} instead.",
                code="string_above_max_length",
                param=param,
            )
        if not compiled.fullmatch(value):
            raise ApiError(
                f"Invalid '{param}': string does not match pattern. "
                f"Expected a string that matches the pattern '{expression}'.",
                code="invalid_value",
                param=param,
            )

    return check


def array(of: Check) -> Check:
    """An array whose elements all pass a check."""

    def check(value: object, param: str) -> None:
        if not isinstance(value, list):
            raise invalid_type(param, "an array", value)
        for index, element in enumerate(value):
            of(element, f"{param}[{index}]")

    return check


def nullable(check: Check) -> Check:
    """A value that may also be null."""

    def relaxed(value: object, param: str) -> None:
        if value is not None:
            check(value, param)

    return relaxed


def fields(
    value: dict[str, Any], param: str, required: dict[str, Check], optional: dict[str, Check]
) -> None:
    """Checks an object's fields: the required are there, all are right, and there are no others.

    Args:
        value: The object.
        param: Name of the object as a parameter; empty for the request itself.
        required: Checks of fields that must be there.
        optional: Checks of fields that may be absent or null.

    Raises:
        ApiError: For the first field that is wrong.
    """
    prefix = f"{param}." if param else ""
    for name, element in value.items():
        if name in required:
            required[name](element, prefix + name)
        elif name in optional:
            if element is not None:
                optional[name](element, prefix + name)
        else:
            raise unknown_parameter(prefix + name)
    require(value, param, required)


def require(value: dict[str, Any], param: str, names: Iterable[str]) -> None:
    """Checks that fields are there."""
    for name in names:
        if name not in value:
            raise missing_parameter(f"{param}.{name}" if param else name)
