"""Histories: what is said in a conversation, what the model means, and what goes wrong.

The strategies make conversations of several turns. Everything in them is a plain value, so that a
failing one can be read, and written down as a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from hypothesis import strategies as st

from tests.histories import losses, lossless
from tests.histories.meaning import Call, Item, Meaning, Say, Search, Think
from tests.histories.mutations import MUTATIONS, Effect

Edit: TypeAlias = Literal["developer", "rewrite", "restart", "temperature", "instructions"]
EDITS: tuple[Edit, ...] = ("developer", "rewrite", "restart", "temperature", "instructions")
Tail: TypeAlias = Literal["goes_on", "silence", "reset", "closed", "error", "error_without_lane"]
TAILS: tuple[Tail, ...] = ("goes_on", "silence", "reset", "closed", "error", "error_without_lane")
Lanes: TypeAlias = Literal["echoed", "dropped", "refused"]

TABLES = (lossless, losses)
"""Importing them fills the table of mutations."""


CONTRADICTIONS = frozenset({"only_completed", "other_call_id_in_completed"})
"""Together, nothing tells which of the two ids is the call's."""


@dataclass(frozen=True)
class Fault:
    """A mutation and a number that says where it strikes."""

    name: str
    at: int

    @property
    def effect(self) -> Effect:
        return MUTATIONS[self.name].effect


Attempt: TypeAlias = tuple[Fault, ...]
"""What goes wrong with one answer; the lossy one, if any, is the last."""


@dataclass(frozen=True)
class Turn:
    """A turn.

    Attributes:
        meaning: What the model means to say to it.
        then: What it means to say once it has the results of its calls.
        attempts: What goes wrong with the first answers to it.
        then_attempts: What goes wrong with the first answers to the results.
        interrupt: After how many pieces of text the user interrupts, if at all.
        tail: What becomes of the answer after the interruption.
        edit: What the application changes before it.
    """

    meaning: Meaning
    then: Meaning = (Say(("Done.",)),)
    attempts: tuple[Attempt, ...] = ()
    then_attempts: tuple[Attempt, ...] = ()
    interrupt: int | None = None
    tail: Tail = "goes_on"
    edit: Edit | None = None

    @property
    def faults(self) -> list[Fault]:
        every = (*self.attempts, *self.then_attempts)
        return [fault for attempt in every for fault in attempt]


@dataclass(frozen=True)
class History:
    """A conversation.

    Attributes:
        turns: Its turns.
        tts: The kind of voice, if there is one.
        lanes: What the server does with ``stream_id`` (WebSocket only).
    """

    turns: tuple[Turn, ...]
    tts: Literal["sentence", "word"] | None = None
    lanes: Lanes = "echoed"


# -- meanings ---------------------------------------------------------------------------------

WORDS = (
    "rain",
    "tea\U0001f600",
    "café",
    "1,234",
    "don't",
    "Zürich",
    "*bold*",
    "so",
    "…and",
    "北京",
)


@st.composite
def messages(draw: Any, name: str, phase: str | None = None) -> Say:
    """A message whose words are found in no other."""
    count = draw(st.integers(1, 5))
    words = [f"{draw(st.sampled_from(WORDS))}{name}{n}" for n in range(count)]
    text = " ".join(words) + "."
    size = draw(st.sampled_from([3, 7, 20]))
    pieces = tuple(text[n : n + size] for n in range(0, len(text), size))
    return Say(pieces, phase)


@st.composite
def meanings(draw: Any, turn: int, most_calls: int) -> Meaning:
    """What a model means to say: it always says or calls something."""
    items: list[Item] = []
    if draw(st.integers(0, 3)) == 0:
        items.append(Think(draw(st.sampled_from([(), ("Hm", ", well.")]))))
    if draw(st.integers(0, 4)) == 0:
        items += [draw(messages(f"p{turn}", "commentary")), Search()]
    if draw(st.booleans()):
        names = draw(st.lists(st.sampled_from(["note", "ring"]), min_size=1, max_size=most_calls))
        return (
            *items,
            *(Call(name, {"words": f"t{turn}c{n}"}, f"c{n}") for n, name in enumerate(names)),
        )
    return (*items, draw(messages(f"m{turn}", "final_answer" if items else None)))


# -- faults -----------------------------------------------------------------------------------


def names(transport: str, *effects: Effect) -> list[str]:
    """The mutations that can happen to a transport, by their effects."""
    return [
        name
        for name, mutation in MUTATIONS.items()
        if mutation.effect in effects and transport in mutation.transports
    ]


def faults(transport: str, *effects: Effect) -> st.SearchStrategy[Fault]:
    """One fault of these effects."""
    return st.builds(Fault, st.sampled_from(names(transport, *effects)), st.integers(0, 200))


@st.composite
def attempts(draw: Any, transport: str) -> Attempt:
    """What goes wrong with an answer: up to two things that lose nothing, and one that does."""
    first = draw(st.lists(faults(transport, Effect.WHOLE), max_size=2))
    chosen: list[Fault] = []
    for fault in first:
        removes = MUTATIONS[fault.name].removes
        body = MUTATIONS[fault.name].transports == ("http",)
        if body and any(MUTATIONS[each.name].transports == ("http",) for each in chosen):
            continue
        if "plain_json" in (fault.name, *(each.name for each in chosen)) and (
            removes or any(MUTATIONS[each.name].removes for each in chosen)
        ):
            # A body is the last event alone, so nothing of that may be left out.
            continue
        pairs = [frozenset({fault.name, each.name}) for each in chosen]
        if CONTRADICTIONS in pairs:
            continue
        if not removes or not any(MUTATIONS[each.name].removes for each in chosen):
            chosen.append(fault)
    # What takes the steps apart into bytes is done at the end.
    chosen.sort(key=lambda fault: MUTATIONS[fault.name].transports == ("http",))
    lossy = draw(st.integers(0, 2)) == 0
    if lossy and not any(MUTATIONS[each.name].transports == ("http",) for each in chosen):
        kinds = (Effect.LOSS, Effect.LOSS, Effect.SHORT, Effect.GARBLED)
        chosen.append(draw(faults(transport, draw(st.sampled_from(kinds)))))
    return tuple(chosen)


# -- conversations ----------------------------------------------------------------------------


@st.composite
def turns(draw: Any, transport: str, number: int, most_calls: int) -> Turn:
    edit = draw(st.one_of(st.none(), st.none(), st.sampled_from(EDITS)))
    if draw(st.integers(0, 3)) == 0:
        meaning = (draw(messages(f"m{number}")),)
        tail = draw(st.sampled_from(TAILS))
        return Turn(meaning, interrupt=draw(st.integers(0, 3)), tail=tail, edit=edit)
    own = attempts(transport)
    return Turn(
        draw(meanings(number, most_calls)),
        (draw(messages(f"r{number}")),),
        tuple(draw(st.lists(own, max_size=2))),
        tuple(draw(st.lists(own, max_size=1))),
        edit=edit,
    )


@st.composite
def histories(draw: Any, transport: str) -> History:
    count = draw(st.integers(1, 4))
    lanes: Lanes = "echoed"
    if transport == "websocket" and draw(st.integers(0, 5)) == 0:
        lanes = draw(st.sampled_from(["dropped", "refused"]))
    tts = draw(st.sampled_from([None, None, None, "sentence", "word"]))
    # With a voice behind the service, Pipecat (1.14) has an answer to the first of two results that
    # come at once, and another to both.
    most_calls = 1 if tts else 2
    chosen = tuple(draw(turns(transport, number, most_calls)) for number in range(count))
    return History(chosen, tts, lanes)
