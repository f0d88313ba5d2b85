"""What ``strict`` asks of a schema (OpenAI's guide "Structured outputs")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipecat_responses.sandbox.answers import ModelInput
from pipecat_responses.sandbox.errors import ApiError
from pipecat_responses.sandbox.transcript import item_text

_INSIDE = ("properties", "$defs", "definitions")


def check_strict_schema(schema: Mapping[str, Any], *, of: str, code: str, param: str) -> None:
    """Checks that every object of a schema lists all its properties as required, and no others.

    Args:
        schema: The schema.
        of: What it is a schema of, as the API says it: ``function 'get_time'``.
        code: The error's code.
        param: The field that it stands in.

    Raises:
        ApiError: For the first object that does not.
    """
    for where, problem in _problems(schema, ()):
        path = ", ".join(f"'{step}'" for step in where) + ("," if len(where) == 1 else "")
        raise ApiError(
            f"Invalid schema for {of}: In context=({path}), {problem}", code=code, param=param
        )


def _problems(
    schema: Mapping[str, Any], where: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    kind = schema.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind):
        if schema.get("additionalProperties") is not False:
            yield where, "'additionalProperties' is required to be supplied and to be false."
        names = list(schema.get("properties") or ())
        required = schema.get("required")
        missing = [name for name in names if name not in (required or ())]
        if missing:
            yield (
                where,
                "'required' is required to be supplied and to be an array including every key in "
                f"properties. Missing '{missing[0]}'.",
            )
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
