"""What can go wrong on the wire with one answer, as small changes of its steps.

Each mutation says what a client may make of the answer:

- WHOLE: everything that was meant is still there. All of it is due, once, from one request.
- SHORT: the answer says of itself that it ends early. What came is due; nothing is asked again.
- LOSS: something is missing, and the client can know. All of it is due in the end, by a resume or
  a repetition; or the beginning of it, and one report.
- GARBLED: something is missing, and nobody can know. Text proves nothing any more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from tests.histories.meaning import Wire
from tests.histories.steps import Send, Step


class Effect(Enum):
    """What a client may make of an answer; see the module's head."""

    WHOLE = auto()
    SHORT = auto()
    LOSS = auto()
    GARBLED = auto()


Steps: TypeAlias = list[Step]
Change: TypeAlias = Callable[[Steps, int], Steps]
"""From the steps and a number that says where, makes other steps."""


@dataclass(frozen=True)
class Mutation:
    """A kind of fault.

    Attributes:
        change: What is done to the steps.
        effect: What a client may make of it.
        removes: Which of an answer's repetitions of itself it takes away; two mutations that take
            something away are not put together.
        transports: Where it can happen.
    """

    change: Change
    effect: Effect = Effect.WHOLE
    removes: bool = False
    transports: tuple[str, ...] = ("websocket", "http")


MUTATIONS: dict[str, Mutation] = {}
WEBSOCKET = ("websocket",)
HTTP = ("http",)


def mutation(
    effect: Effect = Effect.WHOLE,
    *,
    removes: bool = False,
    transports: tuple[str, ...] = ("websocket", "http"),
) -> Callable[[Change], Change]:
    """Puts a function into the table under its name."""

    def add(change: Change) -> Change:
        MUTATIONS[change.__name__] = Mutation(change, effect, removes, transports)
        return change

    return add


# -- helpers ----------------------------------------------------------------------------------


def places(steps: Steps, *endings: str) -> list[int]:
    """Where events of these types stand."""
    return [
        n
        for n, step in enumerate(steps)
        if isinstance(step, Send) and str(step.event.get("type")).endswith(endings)
    ]


def without(steps: Steps, *endings: str) -> Steps:
    """The steps without the events of these types."""
    out = set(places(steps, *endings))
    return [step for n, step in enumerate(steps) if n not in out]


def one_of(steps: Steps, at: int, *endings: str) -> int | None:
    """One of the places of these events."""
    found = places(steps, *endings)
    return found[at % len(found)] if found else None


def altered(steps: Steps, change: Callable[[Wire], None], *endings: str) -> Steps:
    """The steps with a change to the events of these types, or to all."""
    chosen = set(places(steps, *(endings or ("",))))
    changed: Steps = []
    for n, step in enumerate(steps):
        if n in chosen and isinstance(step, Send):
            event = json.loads(json.dumps(step.event))
            change(event)
            step = Send(event, step.lane)
        changed.append(step)
    return changed


def items_of(event: Wire) -> list[Wire]:
    """The items in an event, whether it is one item's or lists them all."""
    response = event.get("response")
    listed = response.get("output") if isinstance(response, dict) else None
    item = event.get("item")
    found = [item] if isinstance(item, dict) else []
    return found + [each for each in listed or [] if isinstance(each, dict)]


def spot(steps: Steps, at: int, first: int = 0) -> int:
    """A place between two steps."""
    return first + at % max(1, len(steps) - first)


DELTA = ("output_text.delta",)
