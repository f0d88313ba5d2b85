"""Scenario files: what the model says, what goes wrong, and what it ought to have been asked.

A scenario is YAML or JSON, the same for pytest, the command line and other languages::

    name: weather
    pace: {first: 0.1, tokens_per_second: 40}
    answers:
      - when: weather
        call: {get_weather: {city: Paris}}
        expect: {tools: [get_weather]}
      - when: {result: get_weather}
        say: It is sunny in Paris today.
        fault: {kind: reset, moment: text, after: 3}
      - say: Goodbye.
        expect: {user: bye, incremental: true}

Answers with ``when`` are for the requests that it describes, however often. The others are given
once each, in their order, to requests that no ``when`` describes.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipecat_responses.sandbox.answers import Answer, Call, ModelInput, Part, answer_from_json
from pipecat_responses.sandbox.control import checked_changes
from pipecat_responses.sandbox.faults import fault_from_json
from pipecat_responses.sandbox.records import RecordedRequest
from pipecat_responses.sandbox.stubs import Condition, Stub, condition_from_json

if TYPE_CHECKING:
    from pipecat_responses.sandbox.server import Sandbox

_SCENARIO = ("name", "config", "pace", "answers")
_STEP = ("when", "times", "say", "call", "answer", "fail", "fault", "pace", "expect")
_EXPECT = (
    "user",
    "model",
    "instructions",
    "tools",
    "transport",
    "incremental",
    "items",
    "remembers",
)
_PACE = {"first": "time_to_first_token", "tokens_per_second": "tokens_per_second"}


class ScenarioError(ValueError):
    """A scenario that makes no sense; the message says where."""


@dataclass(frozen=True)
class Step:
    """One entry of ``answers``.

    Attributes:
        place: Where it stands, for messages.
        condition: Which requests it is for; None for the next one that no condition describes.
        times: How many requests at most; None for any number.
        answers: What they get, one after the other.
        expect: What they ought to be like.
    """

    place: str
    condition: Condition | None
    times: int | None
    answers: tuple[Answer, ...]
    expect: Mapping[str, Any]


@dataclass(frozen=True)
class Scenario:
    """What a scenario file says.

    Attributes:
        name: Its name.
        config: Fields of ``SandboxConfig`` and their values.
        steps: Its answers.
    """

    name: str
    config: Mapping[str, Any]
    steps: tuple[Step, ...]


@dataclass
class ScenarioRun:
    """A scenario that a sandbox plays.

    Attributes:
        scenario: The scenario.
        unmet: What requests were not like that ought to have been, one sentence each.
        stubs: The steps as they are played.
    """

    scenario: Scenario
    unmet: list[str] = field(default_factory=list)
    stubs: list[tuple[Step, Stub]] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """What was not as expected so far, and the steps that were not come to."""
        missing = [
            f"{step.place} ({step.condition or 'in order'}) was not come to"
            for step, stub in self.stubs
            if not stub.used
        ]
        return self.unmet + missing

    def check(self) -> None:
        """Raises ``AssertionError`` where there are problems."""
        if self.problems:
            listed = "\n".join(f"  {problem}" for problem in self.problems)
            raise AssertionError(f"The scenario {self.scenario.name!r} went otherwise:\n{listed}")

    def as_json(self) -> dict[str, Any]:
        """The run as the control endpoint shows it."""
        return {
            "name": self.scenario.name,
            "steps": [{"place": step.place, "used": stub.used} for step, stub in self.stubs],
            "problems": self.problems,
        }

    def begin(self, sandbox: Sandbox) -> None:
        """Has a sandbox play it."""
        for name, value in self.scenario.config.items():
            setattr(sandbox.config, name, value)
        for step in self.scenario.steps:
            stub = Stub(step.condition or Condition(text=_anything), step.times)
            stub.answer(*step.answers).check(_judge(step, self.unmet))
            self.stubs.append((step, stub))
            if step.condition is None:
                sandbox.stubs.enqueue(stub)
            else:
                sandbox.stubs.add(stub)


def read_scenario(path: str | os.PathLike[str]) -> Scenario:
    """Reads a scenario file.

    Args:
        path: A file that ends in ``.json``, ``.yaml`` or ``.yml``.

    Raises:
        ScenarioError: When it is no scenario.
        OSError: When it cannot be read.
        RuntimeError: For YAML without the package ``pyyaml``.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path} is no text in UTF-8") from error
    try:
        return scenario_from_json(parse(text, yaml=path.suffix != ".json"), name=path.stem)
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from error


def parse(text: str, *, yaml: bool) -> Any:
    """The values of a text in JSON or YAML.

    Raises:
        ScenarioError: When it is none.
        RuntimeError: For YAML without the package ``pyyaml``.
    """
    if not yaml:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ScenarioError(f"not JSON: {error}") from error
    try:
        from yaml import YAMLError, safe_load
    except ModuleNotFoundError as error:
        raise RuntimeError(
            "Scenarios in YAML need an extra: pip install 'pipecat-responses[scenarios]'"
        ) from error
    try:
        return safe_load(text)
    except (YAMLError, RecursionError, ValueError) as error:
        raise ScenarioError(f"not YAML: {error}") from error


def scenario_from_json(value: object, name: str = "scenario") -> Scenario:
    """Reads a scenario.

    Args:
        value: What the file says.
        name: Its name, if it has none.

    Raises:
        ScenarioError: When it is no scenario.
    """
    told = _mapping(value, "the scenario", _SCENARIO)
    config = dict(_mapping(told.get("config") or {}, "config"))
    config.update(_pace(told.get("pace"), "pace"))
    try:
        checked = checked_changes(config)
    except ValueError as error:
        raise ScenarioError(f"config: {error}") from error
    steps = told.get("answers")
    if not isinstance(steps, list) or not steps:
        raise ScenarioError("answers: a scenario has a list of them")
    return Scenario(
        str(told.get("name") or name),
        checked,
        tuple(_step(step, f"answers[{index}]") for index, step in enumerate(steps)),
    )


def _step(value: object, place: str) -> Step:
    told = _mapping(value, place, _STEP)
    given = [name for name in ("say", "call", "answer", "fail") if name in told]
    if not given:
        raise ScenarioError(f"{place}: say, call, answer or fail is what is missing")
    if len(given) > 1 and set(given) != {"say", "call"}:
        raise ScenarioError(f"{place}: {' and '.join(given)} do not go together")
    times = told.get("times")
    if times is not None and (not isinstance(times, int) or times < 1):
        raise ScenarioError(f"{place}.times: a number from 1")
    try:
        condition = _condition(told.get("when"))
        answers = _answers(told, given)
        answers = tuple(_with(told, answer, place) for answer in answers)
    except ScenarioError:
        raise
    except (ValueError, TypeError) as error:
        raise ScenarioError(f"{place}: {error}") from error
    expect = _mapping(told.get("expect") or {}, f"{place}.expect", _EXPECT)
    if condition is None:
        times = times or len(answers)
    return Step(place, condition, times, answers, expect)


def _condition(when: object) -> Condition | None:
    if when is None:
        return None
    if isinstance(when, str):
        return Condition(text=when)
    if not isinstance(when, Mapping):
        raise ValueError("when is a text, or an object")
    return condition_from_json(when)


def _answers(told: Mapping[str, Any], given: Sequence[str]) -> tuple[Answer, ...]:
    match given:
        case ["answer"]:
            return (answer_from_json(told["answer"]),)
        case ["fail"]:
            params = told["fail"]
            params = {"status": params} if isinstance(params, int) else dict(params)
            return (Answer(faults=(fault_from_json({"kind": "error", "params": params}),)),)
        case ["say"] if isinstance(told["say"], list):
            return tuple(Answer((_text(text),)) for text in told["say"])
    parts: list[Part | str] = []
    if "say" in told:
        parts.append(_text(told["say"]))
    for call in _listed(told.get("call") or []):
        # Either the name, or an object of names and their arguments.
        named = {call: {}} if isinstance(call, str) else call
        parts += [Call(str(name), arguments or {}) for name, arguments in dict(named).items()]
    return (Answer(tuple(parts)),)


def _text(value: object) -> str:
    # YAML makes a truth value of an unquoted "yes".
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"say is a text; put {value!r:.80} into quotes")
    return str(value)


def _with(told: Mapping[str, Any], answer: Answer, place: str) -> Answer:
    """An answer with the step's faults and pace."""
    faults = tuple(fault_from_json(fault) for fault in _listed(told.get("fault") or []))
    pace = _pace(told.get("pace"), f"{place}.pace")
    return replace(answer, faults=(*answer.faults, *faults), **pace)


def _pace(value: object, place: str) -> dict[str, Any]:
    told = _mapping(value or {}, place, tuple(_PACE))
    for name, number in told.items():
        told_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not told_number or not 0 <= number < math.inf:
            raise ScenarioError(f"{place}.{name}: a number of 0 or more")
    return {_PACE[name]: float(number) for name, number in told.items()}


def _judge(step: Step, unmet: list[str]) -> Any:
    """What looks at the requests that a step answers."""

    def judge(given: ModelInput, record: RecordedRequest) -> None:
        for name, wanted in step.expect.items():
            found = _found(name, given, record)
            if not _met(name, wanted, found):
                unmet.append(f"{step.place}: {name} was {found!r}, not {wanted!r}")

    return judge


def _found(name: str, given: ModelInput, record: RecordedRequest) -> Any:
    """What a request has of what can be expected of it."""
    match name:
        case "user":
            return given.last_user_text
        case "tools":
            return sorted(str(tool.get("name") or tool.get("type")) for tool in given.tools)
        case "items":
            return len(record.input)
        case "remembers":
            return given.count
        case _:
            return getattr(given if hasattr(given, name) else record, name)


def _met(name: str, wanted: object, found: object) -> bool:
    if name in ("user", "instructions"):
        return str(wanted).casefold() in str(found or "").casefold()
    if name == "tools":
        return sorted(map(str, _listed(wanted))) == found
    return wanted == found


def _mapping(value: object, place: str, known: Sequence[str] = ()) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ScenarioError(f"{place}: an object is what is expected, not {value!r:.80}")
    for name in value:
        if known and name not in known:
            raise ScenarioError(f"{place} has no {name!r}; it has {', '.join(known)}")
    return value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _anything(given: ModelInput) -> bool:
    return True
