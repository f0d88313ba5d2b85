"""A model with something to say, behind a server on which things go wrong.

It knows a turn by the user's words, and goes on where it is told that it broke off, so that a
client which recovers properly ends up with all that was meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tests.histories.meaning import (
    Call,
    Meaning,
    Say,
    Search,
    Think,
    Wire,
    events_of,
    output_of,
    said,
)
from tests.histories.mutations import MUTATIONS
from tests.histories.plan import Attempt, History, Tail, Turn
from tests.histories.server import PROPER, ScriptedServer
from tests.histories.steps import (
    Answer,
    Asked,
    Close,
    Reset,
    Script,
    Send,
    Silence,
    Step,
    Wait,
    error,
    sends,
)


def user_text(number: int) -> str:
    """What the user says in a turn."""
    return f"Turn number {number}, please."


class Model:
    """Answers the requests of a history.

    Attributes:
        asked: How often each stage of each turn has been asked for.
    """

    def __init__(self, history: History, server: ScriptedServer) -> None:
        self.asked: Counter[tuple[int, int]] = Counter()
        self._history = history
        self._server = server

    def judge(self, asked: Asked) -> Answer | None:
        """The answer to a request."""
        if asked.body.get("generate") is False:
            return None
        if self._history.lanes == "refused" and asked.lane is not None:
            message = "Unknown parameter: 'stream_id'."
            refusal = error(400, message, lane=False, code="unknown_parameter", param="stream_id")
            return lambda _: Script([refusal])
        return self._answer

    def _answer(self, asked: Asked) -> Script:
        number, stage = whereabouts(asked.told or [])
        if number >= len(self._history.turns):
            return _script(asked, said(PROPER), ())
        turn = self._history.turns[number]
        before = self.asked[number, stage]
        self.asked[number, stage] += 1
        attempts = turn.then_attempts if stage else turn.attempts
        attempt = attempts[before] if before < len(attempts) else ()
        if any(_lost(each) for each in attempts):
            # What is forgotten is forgotten for all that name it.
            lost = next(each for each in attempts if _lost(each))
            attempt = lost if asked.parent is not None else ()
        meaning = remainder(turn.then if stage else turn.meaning, asked)
        script = _script(asked, meaning, attempt)
        if turn.interrupt is not None:
            return replace(script, steps=_gated(script.steps, turn, number))
        return script


def _lost(attempt: Attempt) -> bool:
    return any(fault.name == "memory_lost_midway" for fault in attempt)


def _script(asked: Asked, meaning: Meaning, attempt: Attempt) -> Script:
    own = asked.response_id
    meaning = tuple(
        replace(item, call_id=f"call_{own}_{item.call_id}") if isinstance(item, Call) else item
        for item in meaning
    )
    steps: list[Step] = sends(events_of(meaning, own))
    for fault in attempt:
        steps = MUTATIONS[fault.name].change(steps, fault.at)
    return Script(steps, output_of(meaning, own))


def _gated(steps: Sequence[Step], turn: Turn, number: int) -> list[Step]:
    """Steps that stop after so many pieces of text, until the user has interrupted."""
    deltas = [
        n
        for n, step in enumerate(steps)
        if isinstance(step, Send) and step.event["type"] == "response.output_text.delta"
    ]
    last = min(turn.interrupt or 0, len(deltas)) - 1
    stop = deltas[last] + 1 if last >= 0 else 1
    broken = error(500, "Something broke.", type="server_error")
    tails: dict[Tail, list[Step]] = {
        "goes_on": list(steps[stop:]),
        "silence": [Silence()],
        "reset": [Reset()],
        "closed": [Close(1011)],
        "error": [broken],
        "error_without_lane": [Send(broken.event, lane=False)],
    }
    return [*steps[:stop], Wait(gate(number)), *tails[turn.tail]]


def gate(number: int) -> str:
    """The gate that opens when a turn has been interrupted."""
    return f"interrupted {number}"


NO_TURN = 10**9


def whereabouts(told: list[Wire]) -> tuple[int, int]:
    """Which turn it is, and whether its calls have been answered."""
    number, stage = NO_TURN, 0
    for item in told:
        text = text_of(item)
        if item.get("role") == "user":
            ours = text.startswith("Turn number ")
            number, stage = int(text.split()[2].rstrip(",")) if ours else NO_TURN, 0
        elif item.get("type") == "function_call_output":
            stage = 1
    return number, stage


def text_of(item: Wire) -> str:
    """The text of a message."""
    content = item.get("content")
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or () if isinstance(part, dict))


def resumed_at(told: list[Wire]) -> int | None:
    """Where the answer begins that a request asks to go on with; None if it asks for a new one.

    Such a request ends with what was said and an instruction to go on.
    """
    if not told or told[-1].get("role") != "developer":
        return None
    start = len(told) - 1
    while start > 0 and is_answer(told[start - 1]):
        start -= 1
    return start if start < len(told) - 1 else None


def is_answer(item: Wire) -> bool:
    """Whether an item is one that the model put out and that asks for nothing."""
    if item.get("role") is not None:
        return bool(item["role"] == "assistant")
    return item.get("type") not in ("function_call", "function_call_output")


def remainder(meaning: Meaning, asked: Asked) -> Meaning:
    """What is left to say."""
    told = asked.told or []
    start = resumed_at(told)
    if start is None:
        return meaning
    left = " ".join(text_of(item) for item in told[start:-1])
    rest: list[Say | Call | Think | Search] = []
    for item in meaning:
        if not isinstance(item, Say):
            # What led to words that were said has been done.
            if not left.strip() and isinstance(item, Call):
                rest.append(item)
            continue
        done = left.lstrip()
        if not done:
            rest.append(item)
        elif done.startswith(item.text):
            left = done[len(item.text) :]
        else:
            assert item.text.startswith(done), f"{done!r} was never said"
            # As it was asked to, it begins with the word that was said last.
            last = done.rstrip().rfind(" ") + 1
            rest.append(Say((item.text[last:],), item.phase))
            left = ""
    return tuple(rest)
