"""JSON schemas with only those keywords whose values are what the keyword wants.

Clients send schemas that no validator has seen. What is wrong in them is left out, so that whoever
reads them further on need not look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_WANTED: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_count),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("pattern", "format", "$ref"), _is_text),
    "multipleOf": lambda value: _is_number(value) and value > 0,  # type: ignore[operator]
    "enum": lambda value: isinstance(value, list),
    "required": _are_texts,
    "type": lambda value: _is_text(value) or _are_texts(value),
}
_ONE = ("items", "additionalProperties")
_SEVERAL = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "$defs", "definitions")


def well_formed(schema: object) -> dict[str, Any]:
    """A schema without what is not as its keyword wants it.

    Args:
        schema: The schema as sent; ``true`` and ``false`` are schemas too, and give an empty one.

    Returns:
        A copy.
    """
    if not isinstance(schema, dict):
        return {}
    whole: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _ONE:
            if isinstance(value, dict):
                whole[keyword] = well_formed(value)
        elif keyword in _SEVERAL:
            if isinstance(value, list) and value:
                whole[keyword] = [well_formed(each) for each in value]
        elif keyword in _NAMED:
            if isinstance(value, dict):
                whole[keyword] = {name: well_formed(each) for name, each in value.items()}
        elif keyword not in _WANTED or _WANTED[keyword](value):
            whole[keyword] = value
    return whole
