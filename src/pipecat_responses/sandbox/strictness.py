"""What ``strict`` asks of a schema (OpenAI's guide "Structured outputs")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipecat_responses.sandbox.answers import ModelInput
from pipecat_responses.sandbox.errors import ApiError
from pipecat_responses.sandbox.transcript import item_text

_INSIDE = ("properties", "$defs", "definitions")
_NOT_PERMITTED = (
    "allOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
)
_FORMATS = (
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
)


def check_is_object(schema: Mapping[str, Any], *, of: str, code: str, param: str) -> None:
    """Checks that a schema is that of an object; the parameters are those of the stricter check.

    Raises:
        ApiError: When it is not.
    """
    kind = schema.get("type")
    if kind != "object":
        raise ApiError(
            f"Invalid schema for {of}: schema must be a JSON Schema of 'type: \"object\"', got "
            f"'type: \"{kind}\"'.",
            code=code,
            param=param,
        )


def check_strict_schema(schema: Mapping[str, Any], *, of: str, code: str, param: str) -> None:
    """Checks that a schema is of the subset that strict output can be held to.

    Every object lists all its properties as required and allows no others, the whole is an object,
    and there is nothing in it that is not supported.

    Args:
        schema: The schema.
        of: What it is a schema of, as the API says it: ``function 'get_time'``.
        code: The error's code.
        param: The field that it stands in.

    Raises:
        ApiError: For the first object that does not.
    """
    check_is_object(schema, of=of, code=code, param=param)
    for where, problem in _problems(schema, ()):
        path = ", ".join(f"'{step}'" for step in where) + ("," if len(where) == 1 else "")
        raise ApiError(
            f"Invalid schema for {of}: In context=({path}), {problem}", code=code, param=param
        )


def _problems(
    schema: Mapping[str, Any], where: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    for name in _NOT_PERMITTED:
        if name in schema:
            yield where, f"'{name}' is not permitted."
    form = schema.get("format")
    if form is not None and form not in _FORMATS:
        yield where, f"'{form}' is not a valid format."
    kind = schema.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind):
        if schema.get("additionalProperties") is not False:
            yield where, "'additionalProperties' is required to be supplied and to be false."
        names = schema.get("properties") or ()
        required = schema.get("required") or ()
        rule = "'required' is required to be supplied and to be an array including every key in "
        for name in names:
            if name not in required:
                yield where, f"{rule}properties. Missing '{name}'."
        for name in required:
            if name not in names:
                yield where, f"{rule}properties. Extra required key '{name}' supplied."
    for name in _INSIDE:
        inside = schema.get(name)
        for key, value in inside.items() if isinstance(inside, Mapping) else ():
            if isinstance(value, Mapping):
                yield from _problems(value, (*where, name, key))
    items = schema.get("items")
    if isinstance(items, Mapping):
        yield from _problems(items, (*where, "items"))
    choices = schema.get("anyOf")
    for index, value in enumerate(choices if isinstance(choices, list) else ()):
        if isinstance(value, Mapping):
            yield from _problems(value, (*where, "anyOf", str(index)))


def check_json_is_asked_for(given: ModelInput) -> None:
    """Checks that somebody has told the model to answer in JSON, where only that may come.

    Args:
        given: What the model sees.

    Raises:
        ApiError: If nobody has.
    """
    form = (given.settings.get("text") or {}).get("format") or {}
    if form.get("type") != "json_object" or "json" in (given.instructions or "").lower():
        return
    if not any("json" in item_text(item).lower() for item in given.newest_first()):
        raise ApiError(
            "Response input messages must contain the word 'json' in some form to use "
            "'text.format' of type 'json_object'.",
            param="input",
        )
