"""A JSON value that satisfies a JSON schema, and says something sensible where that can be."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any
from urllib.parse import unquote

from pipecat_responses.sandbox.keywords import well_formed
from pipecat_responses.sandbox.mentions import Mentions
from pipecat_responses.sandbox.names import number_of
from pipecat_responses.sandbox.numerals import number
from pipecat_responses.sandbox.strings import mentioned, string
from pipecat_responses.sandbox.text import name_words

Schema = Mapping[str, Any]

_MAX_DEPTH = 32
_REPEATS = 2
"""How often a recursive schema goes on before it comes to its end as soon as it can."""
_EXTRA_CHOICES = 12
_MOST_ELEMENTS = 10_000
"""Elements of all arrays of a value together. A schema can ask for more than a machine has."""
_MENTION_LEVELS = 4


def sample(schema: Schema, text: str = "", *, seed: int = 0, optional: bool = True) -> Any:
    """Makes a value for a schema of the subset that structured outputs document, and a bit more.

    Values are taken from the text where it has them: an enum's word, numbers, addresses, dates,
    names of people and places, ``title: …``. Otherwise they are what is usual for the format and
    the name of a field.

    Args:
        schema: The schema.
        text: What was said. Strings of which nothing else is known say the same.
        seed: Other numbers take other values where there is a choice.
        optional: Whether objects have the properties that they need not have; without it, only
            those about which the text says something.

    Returns:
        The value; the same arguments give the same.
    """
    root = well_formed(schema)
    return _Sampler(root, text, seed, optional=optional).value(root, "", 0, (), 0)


class _Sampler:
    """Values of one schema."""

    def __init__(self, root: Schema, text: str, seed: int, *, optional: bool) -> None:
        self._root = root
        self._mentions = Mentions(text)
        self._words = set(name_words(text))
        self._seed = seed
        self._optional = optional
        self._used: list[float] = []
        self._levels: dict[tuple[int, int], bool] = {}
        self._kept: list[Schema] = []
        self._elements = 0

    def value(
        self, schema: Schema, name: str, index: int, refs: tuple[str, ...], depth: int
    ) -> Any:
        """A value.

        Args:
            schema: Its schema.
            name: The name of its field.
            index: Its place in a list.
            refs: The references that led here.
            depth: How many levels are around it.
        """
        if depth > _MAX_DEPTH:
            return None
        if "$ref" in schema:
            refs = (*refs, str(schema["$ref"]))
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            target = {**self._target(refs[-1]), **beside}
            return self.value(target, name, index, refs, depth + 1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._choice(list(schema["enum"]), name)
        if schema.get("allOf"):
            return self.value(self._merged(schema), name, index, refs, depth)
        for union in ("anyOf", "oneOf"):
            if schema.get(union):
                beside = {key: value for key, value in schema.items() if key != union}
                branch = self._branch([_both(beside, each) for each in schema[union]], refs)
                return self.value(branch, name, index, refs, depth + 1)
        match _kind(schema):
            case "object":
                return self._object(schema, refs, depth)
            case "array":
                return self._array(schema, name, refs, depth)
            case "integer" | "number" as kind:
                return self._number(schema, name, integer=kind == "integer")
            case "boolean":
                return self._pick([True, False], name)
            case "null":
                return None
            case _:
                return string(schema, name, self._mentions, index=index, seed=self._seed)

    def _object(self, schema: Schema, refs: tuple[str, ...], depth: int) -> dict[str, Any]:
        required = schema.get("required") or ()
        properties: Mapping[str, Schema] = {
            **(schema.get("properties") or {}),
            **{name: {} for name in required if name not in (schema.get("properties") or {})},
        }
        ending = _is_ending(refs)
        value = {
            name: None
            if not self._optional and _may_be_null(each) and not self._is_mentioned(each, name)
            else self.value(each, name, 0, refs, depth + 1)
            for name, each in properties.items()
            if name in required
            or (not ending and self._optional and not math.isinf(self._depth(each)))
            or (not self._optional and self._is_mentioned(each, name, by_name=True))
        }
        others = schema.get("additionalProperties")
        if isinstance(others, Mapping) and not properties and not ending:
            value["key"] = self.value(others, "", 0, refs, depth + 1)
        return value

    def _array(self, schema: Schema, name: str, refs: tuple[str, ...], depth: int) -> list[Any]:
        element: Schema = schema.get("items") or {}
        first: Sequence[Schema] = schema.get("prefixItems") or ()
        least = max(schema.get("minItems", 0), len(first))
        ends = _is_ending(refs) or math.isinf(self._depth(element))
        count = least if ends else max(least, 1)
        if not ends and _kind(element) == "string":
            count = max(count, len(list(mentioned(element, name, self._mentions))))
        count = min(count, schema.get("maxItems", count))
        values: list[Any] = []
        for index in range(count + (_EXTRA_CHOICES if schema.get("uniqueItems") else 0)):
            if len(values) == count or self._elements == _MOST_ELEMENTS:
                break
            self._elements += 1
            each = first[index] if index < len(first) else element
            value = self.value(each, name, index, refs, depth + 1)
            if not schema.get("uniqueItems"):
                values.append(value)
            elif (other := _other_than(values, value, each, index)) not in values:
                values.append(other)
        return values

    def _number(self, schema: Schema, name: str, *, integer: bool) -> float | int:
        said = [each for each in self._mentions.numbers(name) if each not in self._used]
        usual = number_of(name)
        # A bound above nothing says more than a name.
        if usual is not None and schema.get("minimum", 0) <= 0:
            said = [*said, usual, float(int(usual))] if self._seed == 0 else said
        value = number(schema, said, integer=integer, seed=self._seed)
        self._used.append(float(value))
        return value

    def _choice(self, options: list[Any], name: str) -> Any:
        """One of the values of an enum: the one that the text has."""
        fitting = [option for option in options if self._says(option)]
        return fitting[0] if fitting else self._pick(options, name)

    def _says(self, option: object) -> bool:
        if not isinstance(option, str):
            return False
        words = name_words(option)
        return bool(words) and all(word in self._words for word in words)

    def _pick(self, options: Sequence[Any], name: str) -> Any:
        if self._seed == 0:
            return options[0]
        return Random(f"{self._seed} {name}").choice(list(options))

    def _branch(self, branches: list[Schema], refs: tuple[str, ...]) -> Schema:
        """The branch that the text is about, or the first; at the end of recursion the flattest."""
        depths = [self._depth(branch) for branch in branches]
        if _is_ending(refs):
            return branches[depths.index(min(depths))]
        possible = [b for b, depth in zip(branches, depths, strict=True) if not math.isinf(depth)]
        tagged = [branch for branch in possible if any(map(self._says, self._tags(branch)))]
        return (tagged or possible or branches)[0]

    def _tags(self, schema: Schema) -> list[Any]:
        """The constants by which an object of a union is told from the others."""
        tags: list[Any] = []
        for each in (self._resolved(schema).get("properties") or {}).values():
            enum = each.get("enum") or ()
            tags.extend([each["const"]] if "const" in each else enum if len(enum) == 1 else ())
        return tags

    def _is_mentioned(
        self, schema: Schema, name: str, *, by_name: bool = False, levels: int = _MENTION_LEVELS
    ) -> bool:
        """Whether the text has a value for a field; a number only by its name, if so told."""
        schema = self._resolved(schema)
        if schema.get("enum"):
            return any(map(self._says, schema["enum"]))
        branches = schema.get("anyOf") or schema.get("oneOf")
        if branches:
            return levels > 0 and any(
                self._is_mentioned(each, name, by_name=by_name, levels=levels - 1)
                for each in branches
            )
        match _kind(schema):
            case "string":
                return next(mentioned(schema, name, self._mentions), None) is not None
            case "integer" | "number":
                named = not by_name or bool(set(name_words(name)) & self._words)
                return named and any(n not in self._used for n in self._mentions.numbers(name))
            case _:
                return False

    def _target(self, reference: str) -> Schema:
        """What a reference within the schema means; anything for one that leads nowhere."""
        found: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key:
                found = found.get(key, {})
            elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
        return found if isinstance(found, Mapping) else {}

    def _resolved(self, schema: Schema) -> Schema:
        """The schema behind a reference, or behind several; an endless chain ends somewhere."""
        for _ in range(_MAX_DEPTH):
            if "$ref" not in schema:
                break
            schema = self._target(str(schema["$ref"]))
        return schema

    def _merged(self, schema: Schema) -> Schema:
        """All that ``allOf`` asks for as one schema; of one that goes on forever, a part."""
        whole: Schema = {key: value for key, value in schema.items() if key != "allOf"}
        pending = deque(schema["allOf"])
        for _ in range(_MAX_DEPTH):
            if not pending:
                break
            part = self._resolved(pending.popleft())
            pending.extend(part.get("allOf") or ())
            whole = _both(whole, {key: part[key] for key in part if key != "allOf"})
        return whole

    def _depth(self, schema: Schema) -> float:
        """How many levels the flattest value has; infinite when there is no end."""
        # What is known goes by the identity of schemas, so none of them may be gone meanwhile.
        self._kept.append(schema)
        return next((d for d in range(_MAX_DEPTH) if self._ends_within(schema, d)), math.inf)

    def _ends_within(self, schema: Schema, levels: int) -> bool:
        if levels < 0:
            return False
        key = (id(schema), levels)
        if key not in self._levels:
            self._levels[key] = self._ends(schema, levels - 1)
        return self._levels[key]

    def _ends(self, schema: Schema, levels: int) -> bool:
        if "$ref" in schema:
            return self._ends_within(self._target(str(schema["$ref"])), levels)
        if "const" in schema or schema.get("enum"):
            return True
        for union in ("anyOf", "oneOf"):
            if schema.get(union):
                return any(self._ends_within(each, levels) for each in schema[union])
        parts = list(schema.get("allOf") or ())
        properties = schema.get("properties") or {}
        parts += [properties[name] for name in schema.get("required") or () if name in properties]
        if schema.get("minItems", 0) > 0 and schema.get("items"):
            parts.append(schema["items"])
        return all(self._ends_within(each, levels) for each in parts)


def _is_ending(refs: tuple[str, ...]) -> bool:
    return any(refs.count(each) >= _REPEATS for each in refs)


def _kind(schema: Schema) -> str:
    guess = "object" if "properties" in schema else "array" if "items" in schema else "string"
    kind = schema.get("type", guess)
    if isinstance(kind, list):
        return next((str(each) for each in kind if each != "null"), "null")
    return str(kind)


def _may_be_null(schema: Schema) -> bool:
    kind = schema.get("type")
    return (
        kind == "null"
        or (isinstance(kind, list) and "null" in kind)
        or any(each.get("type") == "null" for each in schema.get("anyOf") or ())
    )


def _both(one: Schema, other: Schema) -> Schema:
    """A schema that asks for what two do; only where they cannot differ is nothing lost."""
    if not one:
        return other
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return merged


def _other_than(values: list[Any], value: Any, schema: Schema, index: int) -> Any:
    """A value that a list does not have yet, where its elements have to differ."""
    if value not in values:
        return value
    if schema.get("enum"):
        return next((each for each in schema["enum"] if each not in values), value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + index * schema.get("multipleOf", 1)
    if isinstance(value, str):
        return f"{value} {index + 1}"
    return value
