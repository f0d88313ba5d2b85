"""Values for JSON schemas: always valid, sensible where that can be, the same every time."""

import json
import os
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal
from uuid import UUID

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib._pydantic import to_strict_json_schema
from pydantic import AnyUrl, BaseModel, Field, WithJsonSchema

from pipecat_responses.sandbox import Sandbox, SandboxConfig, patterns
from pipecat_responses.sandbox.formats import STOCK, has_format
from pipecat_responses.sandbox.samples import sample

from .wire import post, text_of

LONG = "Please write down what you know about the whole matter, and do not leave anything out."


EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))


class Color(Enum):
    RED = "red"
    GREEN = "green"


class Flat(BaseModel):
    title: str
    count: int
    share: float
    done: bool


class Choices(BaseModel):
    color: Color
    unit: Literal["celsius", "fahrenheit"]
    version: Literal[2]
    level: Literal[1, 2, 3]


class Address(BaseModel):
    street: str
    city: str
    zip_code: Annotated[str, Field(pattern=r"^\d{5}(-\d{4})?$")]


class Person(BaseModel):
    name: str
    age: Annotated[int, Field(ge=0, le=130)]
    address: Address
    others: list[Address]


class Nullable(BaseModel):
    nickname: str | None
    age: int | None = None
    address: Address | None
    kind: Literal["a", "b"] | None


class Formats(BaseModel):
    at: datetime
    on: date
    clock: time
    lasts: timedelta
    key: UUID
    four: IPv4Address
    six: IPv6Address
    page: AnyUrl


class Text(BaseModel):
    email: Annotated[str, WithJsonSchema({"type": "string", "format": "email"})]
    host: Annotated[str, WithJsonSchema({"type": "string", "format": "hostname"})]


class Patterns(BaseModel):
    plate: Annotated[str, Field(pattern=r"^[A-Z]{3}-\d{4}$")]
    handle: Annotated[str, Field(pattern=r"^@[a-zA-Z0-9_]+$")]
    hexa: Annotated[str, Field(pattern=r"^#(?:[0-9a-f]{3}){1,2}$")]
    version: Annotated[str, Field(pattern=r"^v?\d+\.\d+\.\d+(-(alpha|beta)\.\d+)?$")]
    iban: Annotated[str, Field(pattern=r"^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$")]
    within: Annotated[str, Field(pattern=r"\d{3}")]
    without: Annotated[str, Field(pattern=r"^[^aeiou\s]{4,6}$")]


class Lengths(BaseModel):
    short: Annotated[str, Field(max_length=5)]
    long: Annotated[str, Field(min_length=300)]
    exact: Annotated[str, Field(min_length=7, max_length=7)]
    both: Annotated[str, Field(pattern="^[a-z]+$", min_length=40, max_length=50)]
    email: Annotated[str, Field(max_length=8)]


class Bounds(BaseModel):
    positive: Annotated[int, Field(gt=0)]
    negative: Annotated[int, Field(lt=0)]
    inside: Annotated[float, Field(gt=0, lt=1)]
    narrow: Annotated[float, Field(ge=0.25, le=0.26)]
    price: Annotated[float, Field(ge=100)]
    under: Annotated[float, Field(le=-3.5)]


class Steps(BaseModel):
    fives: Annotated[int, Field(multiple_of=5, gt=5, lt=100)]
    cents: Annotated[float, Field(multiple_of=0.01, gt=0.05)]
    halves: Annotated[float, Field(multiple_of=0.5, ge=0.6)]
    sevens: Annotated[int, Field(multiple_of=7, le=-1)]


class Lists(BaseModel):
    three: Annotated[list[str], Field(min_length=3, max_length=3)]
    few: Annotated[list[int], Field(max_length=2)]
    none: Annotated[list[int], Field(max_length=0)]
    table: Annotated[list[Annotated[list[float], Field(min_length=2)]], Field(min_length=2)]


class Node(BaseModel):
    value: int
    next: "Node | None"


class Tree(BaseModel):
    label: str
    children: list["Tree"]


class Sum(BaseModel):
    kind: Literal["sum"]
    left: "Expression"
    right: "Expression"


class Leaf(BaseModel):
    kind: Literal["leaf"]
    value: float


class Expression(BaseModel):
    node: Sum | Leaf


class Element(BaseModel):
    type: Literal["div", "button"]
    label: str
    children: list["Element"]
    attributes: list["Attribute"]


class Attribute(BaseModel):
    name: str
    value: str


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: Annotated[float, Field(gt=0)]


class Square(BaseModel):
    kind: Literal["square"]
    side: Annotated[float, Field(gt=0)]


class Shapes(BaseModel):
    shapes: Annotated[
        list[Annotated[Circle | Square, Field(discriminator="kind")]], Field(min_length=2)
    ]


class Step(BaseModel):
    explanation: str
    output: str


class Reasoned(BaseModel):
    steps: list[Step]
    final_answer: str


class Event(BaseModel):
    name: str
    date: str
    participants: list[str]


class Invoice(BaseModel):
    number: Annotated[str, Field(pattern=r"^INV-\d{6}$")]
    total: Annotated[Decimal, WithJsonSchema({"type": "number", "minimum": 0})]
    lines: Annotated[list[Flat], Field(min_length=1)]
    issued: date


class Mixed(BaseModel):
    value: int | str | list[bool]
    deep: list[list[Literal["x"]]]


MODELS: list[type[BaseModel]] = [
    Flat, Choices, Person, Nullable, Formats, Text, Patterns, Lengths, Bounds, Steps, Lists, Node,
    Tree, Expression, Element, Shapes, Reasoned, Event, Invoice, Mixed,
]  # fmt: skip
SCHEMAS: dict[str, dict[str, Any]] = {
    "nullable by two types": {"type": ["null", "integer"], "minimum": 5},
    "recursion of the root": {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["next"],
        "additionalProperties": False,
    },
    "a reference into the schema": {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 4}, "b": {"$ref": "#/properties/a"}},
        "required": ["a", "b"],
    },
    "definitions with odd names": {
        "$ref": "#/$defs/a~1b%20c",
        "$defs": {"a/b c": {"type": "string", "const": "x"}},
    },
    "all of some": {
        "allOf": [
            {"$ref": "#/$defs/named"},
            {"properties": {"size": {"type": "integer"}}, "required": ["size"]},
        ],
        "$defs": {
            "named": {
                "type": "object",
                "properties": {"name": {"type": "string"}},
                "required": ["name"],
            }
        },
    },
    "any of with what is beside it": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
    },
    "different elements": {
        "type": "array",
        "items": {"enum": ["a", "b", "c"]},
        "minItems": 3,
        "uniqueItems": True,
    },
    "different numbers": {
        "type": "array",
        "items": {"type": "integer", "multipleOf": 5},
        "minItems": 4,
        "uniqueItems": True,
    },
    "a mapping": {"type": "object", "additionalProperties": {"type": "integer"}},
    "an enum of many types": {"enum": [None, 1, "a"]},
}


def check(schema: dict[str, Any], value: object) -> None:
    checker = jsonschema.FormatChecker(())
    for name in ("date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6"):
        checker.checks(name)(lambda text, name=name: has_format(name, text))
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(value)


@pytest.mark.parametrize("text", [LONG, "", "It costs 12.5 or -3 or 7000 euros in Paris."])
@pytest.mark.parametrize("seed", [0, 1, 7])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_twenty_models_of_twenty(model: type[BaseModel], seed: int, text: str) -> None:
    schema = to_strict_json_schema(model)
    value = sample(schema, text, seed=seed)
    check(schema, value)
    model.model_validate_json(json.dumps(value))
    assert sample(schema, text, seed=seed) == value


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("name", SCHEMAS)
def test_other_schemas(name: str, seed: int) -> None:
    check(SCHEMAS[name], sample(SCHEMAS[name], LONG, seed=seed))


def test_a_schema_without_end_has_no_valid_value_but_ends() -> None:
    endless = {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]}},
    }
    json.dumps(sample(endless))


def test_seeds_take_other_values() -> None:
    schema = to_strict_json_schema(Patterns) | {"title": None}
    values = [json.dumps(sample(schema, LONG, seed=seed)) for seed in range(4)]
    assert len(set(values)) == 4


def test_values_come_from_the_text() -> None:
    text = (
        "Alice and Bob are going to a science fair on Friday with Carol Danvers, 36 years old, "
        "who lives in New York at 12:30. Write to carol@example.com about order ABC-1234, "
        "https://example.com/fair. The title is Big Fair, and it is due on 5 March 2027."
    )
    schema = {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "city": {"type": "string"},
            "day": {"type": "string"},
            "due_date": {"type": "string", "format": "date"},
            "email": {"type": "string"},
            "age": {"type": "integer"},
            "guest_name": {"type": "string"},
            "order": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
            "link": {"type": "string", "format": "uri"},
            "kind": {"enum": ["concert", "science fair"]},
        },
    }
    assert sample(schema, text) == {
        "title": "Big Fair",
        "city": "New York",
        "day": "Friday",
        "due_date": "2027-03-05",
        "email": "carol@example.com",
        "age": 36,
        "guest_name": "Alice",
        "order": "ABC-1234",
        "link": "https://example.com/fair",
        "kind": "science fair",
    }


@pytest.mark.parametrize(
    ("model", "text", "expected"),
    [
        (
            Event,
            "Alice and Bob are going to a science fair on Friday.",
            {"date": "Friday", "participants": ["Alice", "Bob"]},
        ),
        (Person, "Ada is 36 years old.", {"name": "Ada", "age": 36}),
        (Person, "Grace Hopper, 85 years, is an admiral.", {"name": "Grace Hopper", "age": 85}),
        (Person, "The weather is fine.", {"name": "Ada Lovelace"}),
    ],
)
def test_people_are_found(model: type[BaseModel], text: str, expected: dict[str, Any]) -> None:
    value = sample(to_strict_json_schema(model), text)
    assert {name: value[name] for name in expected} == expected


def test_names_tell_what_is_usual() -> None:
    names = ["customer_email", "homepageUrl", "city", "first_name", "timezone", "currency"]
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    value = sample(schema, LONG)
    assert value == {
        "customer_email": "ada@example.com",
        "homepageUrl": "https://example.com/",
        "city": "Paris",
        "first_name": "Ada",
        "timezone": "Europe/Paris",
        "currency": "USD",
    }


def test_a_union_is_what_the_text_is_about() -> None:
    schema = to_strict_json_schema(Shapes)
    assert sample(schema, "A square, please.")["shapes"][0]["kind"] == "square"


def test_usual_patterns_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "Rstr", None)
    for pattern in (r"^[A-Z]{3}-\d{4}$", r"^\d{5}$", "^#[0-9a-f]{6}$", r"^\+[1-9]\d{1,14}$"):
        value = sample({"type": "string", "pattern": pattern}, LONG)
        assert re.search(pattern, value)
    # What nothing matches is still a string, and an unknown construct no error.
    assert isinstance(sample({"type": "string", "pattern": "^zq{9}[0-9]k$"}, LONG), str)


@pytest.mark.parametrize("pattern", [r"^\p{L}+$", "(", r"^(?=a)b$"])
def test_patterns_that_cannot_be_satisfied_are_no_error(pattern: str) -> None:
    assert isinstance(sample({"type": "string", "pattern": pattern}, LONG), str)


NUMBERS = st.integers(-50, 50) | st.sampled_from([0.5, -2.25, 10.75])
LEAVES = st.one_of(
    st.builds(lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more},
              st.integers(-50, 50), st.integers(0, 9)),
    st.builds(lambda low: {"type": "number", "exclusiveMinimum": low}, NUMBERS),
    st.builds(lambda high: {"type": "number", "exclusiveMaximum": high}, NUMBERS),
    st.builds(lambda low, more: {"type": "number", "exclusiveMinimum": low,
                                 "exclusiveMaximum": low + more}, NUMBERS, st.integers(1, 3)),
    st.builds(lambda step, low: {"type": "number", "multipleOf": step, "minimum": low},
              st.sampled_from([0.01, 0.1, 0.25, 1, 3, 2.5]), NUMBERS),
    st.builds(lambda least, more: {"type": "string", "minLength": least, "maxLength": least + more},
              st.integers(0, 60), st.integers(0, 9)),
    st.builds(lambda form: {"type": "string", "format": form}, st.sampled_from(sorted(STOCK))),
    st.builds(lambda pattern: {"type": "string", "pattern": pattern},
              st.sampled_from([r"^[a-f]{2,4}-\d+$", "^(a|bc)*d$", r"\w+@\w+", "^$", "x{3}"])),
    st.builds(lambda values: {"enum": values}, st.lists(NUMBERS | st.text(max_size=3), min_size=1)),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": "c"}, {"$ref": "#"},
                     {"$ref": "#/$defs/loop"}, {"type": ["string", "null"]}]),
)  # fmt: skip
NAMES = st.sampled_from(
    ["name", "email", "age", "price", "city", "due_date", "id", "x", "userName"]
)


def branches(schemas: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(
            lambda properties: {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            },
            st.dictionaries(NAMES, schemas, max_size=4),
        ),
        st.builds(
            lambda items, least, more: {
                "type": "array",
                "items": items,
                "minItems": least,
                "maxItems": least + more,
            },
            schemas,
            st.integers(0, 2),
            st.integers(0, 2),
        ),
        st.builds(lambda any_of: {"anyOf": any_of}, st.lists(schemas, min_size=1, max_size=3)),
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    schema=st.recursive(LEAVES, branches, max_leaves=8),
    text=st.sampled_from([LONG, "", "hi", "Ada, 36, lives in Paris since 2020-02-03."]),
    seed=st.integers(0, 3),
)
def test_any_schema(schema: dict[str, Any], text: str, seed: int) -> None:
    loop = {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/loop"}}, {"type": "null"}]}
    root = {
        "type": "object",
        "properties": {"value": {"anyOf": [schema, {"type": "null"}]}},
        "required": ["value"],
        "additionalProperties": False,
        "$defs": {"loop": loop},
    }
    check(root, sample(root, text, seed=seed))
    optional = {**root, "required": []}
    check(optional, sample(optional, text, seed=seed, optional=False))


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": True, "b": False, "c": None}, "required": "a"},
        {"type": "array", "items": True, "minItems": "2"},
        {"type": "integer", "minimum": "1", "multipleOf": 0},
        {"type": "string", "minLength": None, "pattern": 3, "format": []},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"allOf": [{"$ref": "#"}]},
        {"anyOf": [{"$ref": "#"}]},
        {"$ref": "elsewhere.json#/a"},
        {"enum": "ab", "anyOf": [], "type": 7},
        {"required": ["a"]},
        {"prefixItems": [{"const": 1}, {"const": "b"}], "type": "array", "items": False},
        {"type": "number", "minimum": 1e300, "multipleOf": 1e-300},
    ],
)
def test_schemas_that_make_no_sense_are_no_error(schema: dict[str, Any]) -> None:
    for optional in (True, False):
        json.dumps(sample(schema, LONG, optional=optional))
        json.dumps(sample({"properties": {"x": schema}}, LONG, optional=optional))


@pytest.mark.parametrize("count", [10**4, 10**9])
def test_arrays_that_no_machine_holds_are_shorter(count: int) -> None:
    numbers = {"type": "array", "minItems": count, "items": {"type": "integer"}}
    assert len(sample(numbers)) == 10_000
    assert sum(map(len, sample({"type": "array", "minItems": count, "items": numbers}))) < 10_000


def test_texts_that_no_machine_holds_are_shorter() -> None:
    assert len(sample({"type": "string", "minLength": 10**9})) == 100_000


async def test_the_sandbox_answers_by_its_seed() -> None:
    form = {
        "type": "json_schema",
        "name": "n",
        "schema": to_strict_json_schema(Patterns),
        "strict": True,
    }
    texts = []
    for seed in (0, 5, 5):
        async with Sandbox(SandboxConfig(seed=seed)) as sandbox:
            _, body = await post(sandbox, LONG, text={"format": form})
        check(to_strict_json_schema(Patterns), json.loads(text_of(body)))
        texts.append(text_of(body))
    assert texts[0] != texts[1] == texts[2]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^(a|a)*b$", "a" * 60),
        ("^(a+)+$", "a" * 60 + "!"),
        ("(x+x+)+y", "x" * 60),
        (r"^(a?){40}b$", "a" * 60),
        (r"\s*\s*\s*\s*x$", " " * 5000),
        ("^a{1000000}$", "a"),
    ],
)
def test_a_pattern_that_takes_for_ever_with_a_text(pattern: str, text: str) -> None:
    """The server goes on, whatever value it finds."""
    schema = {"type": "string", "pattern": pattern}
    assert isinstance(sample(schema, text), str)
