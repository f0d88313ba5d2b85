"""The grammar itself: proper answers are what the SDK says, and faults that are known are found."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from loguru import logger
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.histories.meaning import Call, Meaning, Say, Search, Think, events_of
from tests.histories.mutations import MUTATIONS
from tests.histories.plan import Fault, History, Turn
from tests.histories.play import play
from tests.histories.steps import sends
from tests.sandbox.wire import needs_todays_sdk
from tests.support.hurry import Transport

TEXT: Meaning = (
    Say(
        ("Tea \U0001f600 for", " two."),
    ),
)
CALLS: Meaning = (Call("note", {"words": "a"}, "c0"), Call("ring", {"words": "b"}, "c1"))
ALL: Meaning = (
    Think(("Hm", ", well.")),
    Say(("One ", "moment."), "commentary"),
    Search(),
    Think(),
    *TEXT,
    *CALLS,
)
_EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


@needs_todays_sdk
@pytest.mark.parametrize("number", range(len(events_of(ALL, "resp_1"))))
def test_a_proper_event_is_what_the_sdk_says(number: int) -> None:
    event = events_of(ALL, "resp_1")[number]
    parsed = _EVENTS.validate_python(event, strict=True)
    assert parsed.type == event["type"]
    assert parsed.__pydantic_extra__ in (None, {})


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_changes_a_copy(name: str) -> None:
    steps = sends(events_of(ALL, "resp_1"))
    before = repr(steps)
    MUTATIONS[name].change(steps, 3)
    assert repr(steps) == before


MENDED = (
    ("split_emoji",),
    ("text_done_twice",),
    ("only_item_done",),
    ("memory_lost_midway",),
    ("plain_json",),
    ("lines_end_with_cr",),
    ("completed_under_another_id",),
    ("other_call_id_in_completed",),
    ("arguments_only_in_deltas",),
    ("arguments_as_object",),
    ("items_side_by_side", "no_item_ids"),
)
"""What the grammar found once."""


@pytest.mark.parametrize("transport", ["websocket", "http"])
@pytest.mark.parametrize("names", MENDED, ids="+".join)
def test_what_was_mended_stays_so(names: tuple[str, ...], transport: Transport) -> None:
    logger.remove()
    if all(transport in MUTATIONS[name].transports for name in names):
        assert not _fails(names, transport)


def _fails(names: tuple[str, ...], transport: Transport) -> bool:
    of_calls = any(part in name for name in names for part in ("call", "arguments", "ids"))
    meaning = CALLS if of_calls else TEXT
    for at in (0, 1):
        attempt = tuple(Fault(name, at) for name in sorted(names))
        history = History((Turn(TEXT), Turn(meaning, attempts=(attempt,))))
        try:
            asyncio.run(play(history, transport))
        except AssertionError:
            return True
    return False
