"""What must hold of any conversation, judged by nothing that the client says of itself."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeAlias

from tests.histories.faithful import is_answer, resumed_at, text_of
from tests.histories.meaning import USAGE, Meaning, Wire, calls, spoken
from tests.histories.mutations import Effect
from tests.histories.plan import Fault, Turn
from tests.histories.stage import Heard
from tests.histories.steps import Asked

MOST_REQUESTS = 12
"""Requests that one answer may take, all attempts together."""

MOST_SECONDS = 5.0
"""Seconds that one turn may take, with the limits that the service has here."""

Segment: TypeAlias = tuple[Any, ...]


def effects(turn: Turn) -> set[Effect]:
    """What goes wrong in a turn, at most."""
    return {fault.effect for fault in turn.faults}


def all_of(turn: Turn) -> Meaning:
    """Everything that is meant in a turn, the answer to its calls' results included."""
    return (*turn.meaning, *(turn.then if calls(turn.meaning) else ()))


# -- what was heard ---------------------------------------------------------------------------


def squeezed(text: str) -> str:
    """A text without its white space."""
    return "".join(text.split())


def heard_what_was_meant(turn: Turn, heard: Heard) -> None:
    """What was heard is what was meant, or its beginning where something is missing, once."""
    found = effects(turn)
    if Effect.GARBLED in found:
        return
    whole = spoken(all_of(turn))
    text = " ".join(heard.text.split())
    if Effect.LOSS in found:
        # Whether a message was over when it broke off, nobody can tell; Chinese has no spaces.
        whole, text = (_CHINESE.sub(r"\1", each) for each in (whole, text))
    if turn.interrupt is None and not found - {Effect.WHOLE}:
        assert not heard.errors, f"reported though nothing is missing: {reports(heard)}"
        assert text == whole, f"heard {text!r}, meant {whole!r}"
        return
    assert whole.startswith(text), f"heard {text!r}, meant {whole!r}"
    excused = turn.interrupt is not None or Effect.SHORT in found or bool(heard.errors)
    assert text == whole or excused, f"heard {text!r} of {whole!r}, and nobody was told"


_CHINESE = re.compile(r"\s*([\u4e00-\u9fff])\s*")


def reports(heard: Heard) -> list[str]:
    """What was reported."""
    return [frame.error for frame in heard.errors]


def reported_at_most_once(heard: Heard, contexts: int) -> None:
    """Each context has at most one error."""
    assert len(heard.errors) <= contexts, f"{contexts} contexts, reported {reports(heard)}"


def ran_what_was_called(turn: Turn, heard: Heard, runs: Sequence[tuple[str, Wire]]) -> None:
    """Each call ran once, and nothing else did."""
    ran = Counter(json.dumps(each, sort_keys=True) for each in runs)
    meant = Counter(json.dumps(each, sort_keys=True) for each in calls(turn.meaning))
    assert not ran - meant, f"ran {ran - meant} more than was called"
    excused = bool(heard.errors) or turn.interrupt is not None
    damaged = effects(turn) & {Effect.SHORT, Effect.GARBLED}
    # Where one of two calls is lost, the other's result brings the model back to it.
    damaged |= effects(turn) & {Effect.LOSS} if ran else set()
    assert excused or damaged or ran == meant, f"called {meant}, and only {ran} ran"


# -- what was sent ----------------------------------------------------------------------------


def bounded_requests(asked: Sequence[Asked], opened: int) -> None:
    """However badly it goes, the server is not flooded."""
    assert len(asked) <= 2 * MOST_REQUESTS, f"{len(asked)} requests in one turn"
    assert opened <= 2 * MOST_REQUESTS, f"{opened} connections in one turn"


def whole_answers_cost_one_request(turn: Turn, asked: Sequence[Asked], extra: int) -> None:
    """Where nothing is missing, nothing is asked again."""
    if turn.interrupt is None and not effects(turn) - {Effect.WHOLE}:
        due = 1 + bool(calls(turn.meaning)) + extra
        assert len(asked) <= due, f"{len(asked)} requests for what takes {due}"


def what_is_forgotten_is_not_named_again(turn: Turn, asked: Sequence[Asked]) -> None:
    """A server that has forgotten a response is told everything from then on."""
    # What is to happen to the answer to a call's result happens only if there is a call.
    played = [*turn.attempts, *(turn.then_attempts if calls(turn.meaning) else ())]
    if any(fault.name == "memory_lost_midway" for faults in played for fault in faults):
        named = sum(each.parent is not None for each in asked)
        due = _up_to_forgetting(turn.attempts)
        if calls(turn.meaning):
            due += _up_to_forgetting(turn.then_attempts)
        assert named <= due, f"{named} requests name what is forgotten after {due}"


def _up_to_forgetting(attempts: Sequence[Sequence[Fault]]) -> int:
    """The requests that may name a response, that included which is told of the loss."""
    for number, faults in enumerate(attempts, 1):
        if any(fault.name == "memory_lost_midway" for fault in faults):
            return number
    return len(attempts) + 1


def usage_is_reported(turn: Turn, tokens: int, late: int) -> None:
    """What whole answers have cost is known: their ends were waited for, and taken for theirs.

    The end of a broken one may come late, at most for each of the ``late`` requests before.
    """
    if any(fault.name == "field_null" for fault in turn.faults):
        return
    if turn.interrupt is None and not effects(turn) - {Effect.WHOLE}:
        answers = 1 + bool(calls(turn.meaning))
        due, most = (n * USAGE["total_tokens"] for n in (answers, answers + late))
        assert due <= tokens <= most, f"{tokens} tokens for {answers} answers, {due} were used"


def told_what_the_context_says(told: list[Wire] | None, context: Sequence[Any]) -> None:
    """What the server knows with a request is what the context says."""
    if told is None:
        return
    start, said_items = resumed_at(told), of_context(context)
    if start is not None:
        # Of the answer that is under way, a context has the items that are not text already.
        while said_items and is_answer(said_items[-1]):
            said_items.pop()
    seen, said = segments(told[:start]), segments(said_items)
    assert seen == said, f"the server was told {seen}, the context says {said}"


def segments(items: Sequence[Wire]) -> list[Segment]:
    """The items of a history in a form in which equal meanings are equal.

    Between two messages of the user's or the application's, only what was said and called counts,
    not how it is cut into items nor the order in a group of calls.
    """
    found: list[Segment] = []
    text, group = "", Counter[str]()
    for item in items:
        role = item.get("role")
        if role == "assistant":
            # A voice does not say marks, and so an answer counts as said without them.
            text += "".join(char for char in text_of(item) if char.isalnum())
        elif role is not None:
            found += [(text, sorted(group.elements())), (role, text_of(item))]
            text, group = "", Counter()
        elif item.get("type") == "function_call":
            arguments = json.dumps(json.loads(item["arguments"]), sort_keys=True)
            group[f"call {item['call_id']} {item['name']} {arguments}"] += 1
        elif item.get("type") == "function_call_output":
            group[f"output {item['call_id']} {squeezed(str(item['output']))}"] += 1
        elif item.get("type") != "reasoning":
            # Not by its id: some servers give none.
            group[f"item {item.get('type')}"] += 1
    return [*found, (text, sorted(group.elements()))]


def of_context(messages: Sequence[Any]) -> list[Wire]:
    """The messages of a context as items."""
    items: list[Wire] = []
    for message in messages:
        if not isinstance(message, dict):
            # What is kept beside the text is said by the text.
            if message.message["type"] != "wording":
                items.append(dict(message.message))
            continue
        if message["role"] == "tool":
            output = message["content"]
            call_id = message["tool_call_id"]
            items.append({"type": "function_call_output", "call_id": call_id, "output": output})
            continue
        if message.get("content"):
            items.append({"role": message["role"], "content": message["content"]})
        items += [
            {"type": "function_call", "call_id": called["id"], **called["function"]}
            for called in message.get("tool_calls") or ()
        ]
    return items


# -- the process ------------------------------------------------------------------------------


class Watchdog:
    """Measures the longest time for which the event loop did one thing only.

    Attributes:
        longest: That time, in seconds of the thread's own processor time.
        stopped: The longest time, in seconds, for which the loop stood still for whatever reason:
            on a busy machine, other processes stop it for long.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.longest = self.stopped = 0.0
        self._last, self._due = time.thread_time(), self._loop.time()
        self._tick()

    def _tick(self) -> None:
        late, now = self._loop.time() - self._due, time.thread_time()
        # Late by this much, and busy by this much: what is less of the two was the loop's doing.
        self.longest = max(self.longest, min(late, now - self._last))
        self.stopped = max(self.stopped, late)
        self._last, self._due = now, self._loop.time() + 0.01
        self._handle = self._loop.call_at(self._due, self._tick)

    def stop(self) -> None:
        self._handle.cancel()


class Eavesdropper:
    """Reads every log line, and keeps those with a secret.

    Attributes:
        secrets: What must not be logged.
        found: Lines that have it all the same.
    """

    def __init__(self, *secrets: str) -> None:
        self.secrets = secrets
        self.found: list[str] = []

    def __call__(self, message: object) -> None:
        text = str(message)
        if any(secret in text for secret in self.secrets):
            self.found.append(text)
