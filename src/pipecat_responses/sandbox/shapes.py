"""Small checkers of JSON values, from which the request's validation is put together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
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


def short_string(max_length: int, *, empty: bool = True) -> Check:
    """A string of so many characters at most, and of one at least unless it may be empty."""

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
        if not value and not empty:
            raise ApiError(
                f"Invalid '{param}': empty string. Expected a string with minimum length 1, but "
                "got an empty string instead.",
                code="empty_string",
                param=param,
            )

    return check


def pattern(expression: str, max_length: int) -> Check:
    """A string of a certain form."""
    compiled = re.compile(expression)
    short = short_string(max_length)

    def check(value: object, param: str) -> None:
        short(value, param)
        assert isinstance(value, str)
        if not compiled.fullmatch(value):
            raise ApiError(
                f"Invalid '{param}': string does not match pattern. "
                f"Expected a string that matches the pattern '{expression}'.",
                code="invalid_value",
                param=param,
            )

    return check


def array(of: Check, *, minimum: int = 0, maximum: int | None = None) -> Check:
    """An array whose elements all pass a check, of a length within bounds that are included."""

    def check(value: object, param: str) -> None:
        if not isinstance(value, list):
            raise invalid_type(param, "an array", value)
        array_length(value, param, minimum, maximum)
        for index, element in enumerate(value):
            of(element, f"{param}[{index}]")

    return check


def array_length(
    value: list[Any], param: str, minimum: int = 0, maximum: int | None = None
) -> None:
    """Checks the length of an array.

    Raises:
        ApiError: When it is too long or too short.
    """
    if maximum is not None and len(value) > maximum:
        raise ApiError(
            f"Invalid '{param}': array too long. Expected an array with maximum length {maximum}, "
            f"but got an array with length {len(value)} instead.",
            code="array_above_max_length",
            param=param,
        )
    if len(value) < minimum:
        raise ApiError(
            f"Invalid '{param}': empty array. Expected an array with minimum length {minimum}, "
            "but got an empty array instead.",
            code="empty_array",
            param=param,
        )


@dataclass(frozen=True, slots=True)
class NotNull:
    """A check of a field that may be absent, but has no null.

    Attributes:
        check: What its value has to pass.
    """

    check: Check

    def __call__(self, value: Any, param: str) -> None:
        """Checks a value."""
        self.check(value, param)


_MAX_PAIRS = 16
_METADATA_KEY = short_string(64)
_METADATA_VALUE = short_string(512)


def metadata(value: object, param: str) -> None:
    """Notes of a client's on an object: a few short strings by name."""
    if not isinstance(value, dict):
        raise invalid_type(param, "a metadata object", value)
    if len(value) > _MAX_PAIRS:
        raise ApiError(
            f"Invalid '{param}': too many properties. Expected an object with at most "
            f"{_MAX_PAIRS} properties, but got an object with {len(value)} properties instead.",
            code="object_above_max_properties",
            param=param,
        )
    for name, text in value.items():
        _METADATA_KEY(name, f"{param}.{name}")
        _METADATA_VALUE(text, f"{param}.{name}")


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
        optional: Checks of fields that may be absent or, but for ``NotNull``, null.

    Raises:
        ApiError: For the first field that is wrong.
    """
    prefix = f"{param}." if param else ""
    for name, element in value.items():
        if name in required:
            required[name](element, prefix + name)
        elif name in optional:
            check = optional[name]
            if element is not None or isinstance(check, NotNull):
                check(element, prefix + name)
        else:
            raise unknown_parameter(prefix + name)
    require(value, param, required)


def require(value: dict[str, Any], param: str, names: Iterable[str]) -> None:
    """Checks that fields are there."""
    for name in names:
        if name not in value:
            raise missing_parameter(f"{param}.{name}" if param else name)


def without_nulls(request: dict[str, Any]) -> dict[str, Any]:
    """A request without its nulls, as a server sees it to which a null is no value at all.

    Schemas, metadata and the contents of strings are the client's own, and left as they are.
    """
    slim = {name: _slim(name, value) for name, value in request.items()}
    return {name: value for name, value in slim.items() if value is not None}


_OBJECTS = ("text", "format", "reasoning", "stream_options", "prompt_cache_options")
_LISTS = ("input", "items", "tools", "content", "output")


def _slim(name: str, value: Any) -> Any:
    if name in _OBJECTS and isinstance(value, dict):
        return without_nulls(value)
    if name in _LISTS and isinstance(value, list):
        return [
            without_nulls(element) if isinstance(element, dict) else element for element in value
        ]
    return value
