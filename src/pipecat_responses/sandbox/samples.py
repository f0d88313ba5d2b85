"""The plainest JSON value that satisfies a JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MAX_DEPTH = 16


def sample(schema: Mapping[str, Any], text: str = "") -> Any:
    """Makes a value for a simple schema.

    Understands ``type``, ``properties``, ``items``, ``enum``, ``const``, ``anyOf``, ``oneOf``,
    ``minItems``, ``minimum`` and references to ``$defs``; formats and patterns are not looked at.

    Args:
        schema: The schema.
        text: What strings shall say.

    Returns:
        The value.
    """
    return _sample(schema, schema.get("$defs") or schema.get("definitions") or {}, text, 0)


def _sample(schema: Mapping[str, Any], defs: Mapping[str, Any], text: str, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        return None
    if "$ref" in schema:
        target = defs.get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
        return _sample(target, defs, text, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return _sample(schema[union][0], defs, text, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    match kind:
        case "object":
            properties = schema.get("properties") or {}
            return {
                name: _sample(value, defs, text, depth + 1) for name, value in properties.items()
            }
        case "array":
            element = schema.get("items") or {}
            count = schema.get("minItems", 1)
            return [_sample(element, defs, text, depth + 1) for _ in range(count)]
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return text
