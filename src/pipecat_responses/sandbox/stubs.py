"""Answers that belong to a kind of request, instead of to the next one."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from pipecat_responses.sandbox.answers import (
    Answer,
    Call,
    ModelInput,
    Part,
    answer_from_json,
    as_answer,
)
from pipecat_responses.sandbox.faults import Fault
from pipecat_responses.sandbox.records import RecordedRequest
from pipecat_responses.sandbox.rules import resumed

Said: TypeAlias = str | re.Pattern[str]
"""What a text has to contain, whatever its case; or a pattern to be found in it."""
Check: TypeAlias = Callable[[ModelInput, RecordedRequest], None]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What a request has to be like.

    Attributes:
        text: What the newest user message says; or a function that decides by itself.
        model: The model asked for.
        tool: A tool that the request declares.
        instructions: What its instructions say.
        result: The tool whose result the request brings. Without it, no request is meant that
            brings results: the user's words are still the newest then, but have been answered.
    """

    text: Said | Callable[[ModelInput], bool] | None = None
    model: str | None = None
    tool: str | None = None
    instructions: Said | None = None
    result: str | None = None

    def meets(self, given: ModelInput) -> bool:
        """Whether a request is meant."""
        if self.model not in (None, given.model):
            return False
        if self.tool is not None and self.tool not in (tool.get("name") for tool in given.tools):
            return False
        if not _says(self.instructions, given.instructions):
            return False
        if callable(self.text):
            return (self.result is None or self.result in results_of(given)) and self.text(given)
        results = results_of(given)
        if bool(results) if self.result is None else self.result not in results:
            return False
        return _says(self.text, given.last_user_text)

    def __str__(self) -> str:
        """What is asked, for people."""
        told = {
            name: value.pattern if isinstance(value, re.Pattern) else value
            for name, value in vars(self).items()
            if value is not None
        }
        return ", ".join(f"{name} {value!r}" for name, value in told.items()) or "anything"


class Stub:
    """Answers requests of one kind: one answer after the other, and the last one ever again.

    Attributes:
        condition: Which requests.
        times: How many of them at most; None for any number.
        used: How many it has answered.
    """

    def __init__(self, condition: Condition, times: int | None = None) -> None:
        """Begins without an answer, and so answers nothing yet."""
        self.condition = condition
        self.times = times
        self.used = 0
        self._answers: list[Answer] = []
        self._check: Check | None = None

    def say(self, *texts: str) -> Stub:
        """Answers with a text; with several, one request after the other."""
        return self.answer(*texts)

    def call(self, name: str, /, **arguments: Any) -> Stub:
        """Answers with the call of a tool."""
        return self.answer(Call(name, arguments))

    def answer(self, *answers: Answer | Part | str) -> Stub:
        """Answers with anything; with several, one request after the other."""
        self._answers.extend(as_answer(answer) for answer in answers)
        return self

    def fail(self, status: int = 500, **params: Any) -> Stub:
        """Answers with a refusal.

        Args:
            status: Its HTTP status.
            **params: More of what a ``Fault`` of kind ``error`` takes: ``code``, ``message``, ...
        """
        refusal = Fault("error", params={"status": status, **params})
        return self.answer(Answer(faults=(refusal,)))

    def fault(self, fault: Fault) -> Stub:
        """Lets something go wrong while the answer added last is given.

        Raises:
            ValueError: When there is no answer yet, or a fault comes before any answer.
        """
        if not self._answers:
            raise ValueError("There is no answer yet that could go wrong: say something first")
        last = self._answers[-1]
        self._answers[-1] = replace(last, faults=(*last.faults, fault))
        return self

    def check(self, check: Check) -> Stub:
        """Has a function look at each request that it answers."""
        self._check = check
        return self

    @property
    def open(self) -> bool:
        """Whether it answers any more requests."""
        return bool(self._answers) and (self.times is None or self.used < self.times)

    def take(self, given: ModelInput, record: RecordedRequest) -> Answer | None:
        """The answer to a request; None if it is not for this stub."""
        if not self.open or not self.condition.meets(given):
            return None
        self.used += 1
        if self._check is not None:
            self._check(given, record)
        return self.latest

    @property
    def latest(self) -> Answer:
        """The answer that was given last."""
        return self._answers[min(max(self.used, 1), len(self._answers)) - 1]

    def as_json(self) -> dict[str, Any]:
        """The stub as the control endpoint shows it."""
        return {"when": str(self.condition), "times": self.times, "used": self.used}


class Stubs:
    """All stubs of a sandbox; of several that fit, the oldest answers."""

    def __init__(self) -> None:
        """Begins with none."""
        self._stubs: list[Stub] = []
        self._queue: deque[Stub] = deque()
        self._queued: Answer | None = None

    def add(self, stub: Stub) -> Stub:
        """Adds a stub for all requests of its kind."""
        self._stubs.append(stub)
        return stub

    def enqueue(self, stub: Stub) -> Stub:
        """Adds a stub for the next request that no other one is for."""
        self._queue.append(stub)
        return stub

    def clear(self) -> None:
        """Removes all stubs."""
        self._stubs.clear()
        self._queue.clear()
        self._queued = None

    def __iter__(self) -> Iterator[Stub]:
        """The stubs by kind of request."""
        return iter(tuple(self._stubs))

    def answer(self, given: ModelInput, record: RecordedRequest) -> Answer | None:
        """The answer to a request, or None if there is no stub for it.

        A request to go on with an answer of a stub that broke off gets the rest of that answer.
        """
        answer = resumed(given, self._given_before)
        if answer is not None:
            return answer
        for stub in self:
            answer = stub.take(given, record)
            if answer is not None:
                return answer
        if self._queue and (answer := self._queue[0].take(given, record)) is not None:
            if not self._queue[0].open:
                self._queue.popleft()
            self._queued = answer
            return answer
        return None

    def _given_before(self, given: ModelInput) -> Answer | None:
        """What was answered when the request was this one."""
        fitting = (stub for stub in self if stub.used and stub.condition.meets(given))
        answer = next((stub.latest for stub in fitting), self._queued)
        return replace(answer, faults=()) if answer is not None else None


def results_of(given: ModelInput) -> set[str]:
    """The names of the tools whose results the model has not answered to yet."""
    calls: set[str] = set()
    names: set[str] = set()
    at_the_end = True
    for item in given.newest_first():
        kind = item.get("type", "message")
        if kind in ("function_call_output", "custom_tool_call_output") and at_the_end:
            calls.add(item["call_id"])
        elif kind in ("function_call", "custom_tool_call"):
            if item["call_id"] in calls:
                calls.discard(item["call_id"])
                names.add(item["name"])
        elif item.get("role") not in ("developer", "system"):
            at_the_end = False
        if not at_the_end and not calls:
            break
    return names


def stub_from_json(value: object) -> Stub:
    """Reads a stub as the control endpoint takes it.

    Args:
        value: An object with the fields of ``Condition`` (``pattern`` instead of ``text`` is a
            regular expression), ``times``, and ``answers``: one of them or an array.

    Returns:
        The stub.

    Raises:
        ValueError: When it is none.
    """
    if not isinstance(value, Mapping):
        raise ValueError("A stub is an object")
    fields = dict(value)
    answers = fields.pop("answers", None)
    if not answers:
        raise ValueError("A stub needs answers")
    times = fields.pop("times", None)
    if times is not None and (not isinstance(times, int) or times < 1):
        raise ValueError("times is a number from 1, or null")
    stub = Stub(condition_from_json(fields), times)
    listed: Sequence[object] = answers if isinstance(answers, list) else [answers]
    return stub.answer(*(answer_from_json(answer) for answer in listed))


def condition_from_json(value: Mapping[str, object]) -> Condition:
    """Reads a condition: the fields of ``Condition``, where ``pattern`` is for regular expressions.

    Raises:
        ValueError: When it is none.
    """
    fields: dict[str, Any] = {}
    for name, told in value.items():
        if name not in ("text", "pattern", "model", "tool", "instructions", "result"):
            raise ValueError(f"A request has no {name!r} to be matched by")
        if not isinstance(told, str):
            raise ValueError(f"{name} is a string")
        fields[name] = told
    pattern = fields.pop("pattern", None)
    if pattern is not None:
        if "text" in fields:
            raise ValueError("Give either text or a pattern")
        try:
            fields["text"] = re.compile(pattern, re.IGNORECASE)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    return Condition(**fields)


def _says(wanted: Said | None, text: str | None) -> bool:
    if wanted is None:
        return True
    if text is None:
        return False
    if isinstance(wanted, re.Pattern):
        return wanted.search(text) is not None
    return wanted.casefold() in text.casefold()
