"""A model that is as late as a real server's, and what it bills.

Whose turn it is, and what is to happen in it, stands in front of what the user says. So the draw of
a turn is the same for everybody, however many requests they have made before.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

from pipecat_responses.sandbox import Answer, Call, HostedCall, ModelInput, RecordedRequest, Text
from pipecat_responses.sandbox.transcript import Transcript, item_text

Kind = Literal["plain", "interrupted", "function", "search"]

LATE = 0.03
"""The part of the requests that a real server lets wait for seconds."""

PLAIN = "It has not been booked yet. The bank needs two working days for that."
CALLING = (
    "I am asking the bank for that. It may take a moment, since they look through all payments of "
    "the last year one by one and write down each of them that has not been booked."
)
SEARCHING = "Let me look that up."
FOUND = "Here it is. The payment was made on Tuesday, and will be booked on Friday."

_BILLED = (
    "requests",
    "input",
    "cached",
    "output",
    "repeats",
    "repeats_tokens",
    "preparations",
    "preparations_tokens",
)

_MARK = re.compile(r"\[(?P<who>[^|\]]+)\|(?P<number>\d+)\|(?P<kind>\w+)\|(?P<tool>\w*)\]")


def mark(who: str, number: int, kind: Kind, tool: str) -> str:
    """What stands in front of what the user says.

    Args:
        who: Whose turn it is, by a letter.
        number: Its number.
        kind: What is to happen in it.
        tool: The function that is to be called, if that is what is to happen.
    """
    return f"[{who}|{number}|{kind}|{tool}] "


class LateModel:
    """Answers each turn of the call as late as a real server does."""

    def __init__(self) -> None:
        """Nobody has asked for anything yet."""
        self._asked: Counter[tuple[str, int, int]] = Counter()

    def __call__(self, given: ModelInput) -> Answer:
        """The answer to a request."""
        turn, step = _place(given.transcript)
        who, number = turn["who"], int(turn["number"])
        self._asked[who, number, step] += 1
        # The same for everybody, and drawn anew for a request that repeats one.
        draw = random.Random(f"{number}-{step}-{self._asked[who, number, step]}")
        parts: tuple[Text | Call | HostedCall | str, ...] = (PLAIN,)
        # Once its tool is through, a model reads what that has found, and begins anew.
        search = HostedCall(
            {"type": "web_search_call", "action": {"type": "search", "query": "payments"}},
            draw.uniform(1.0, 2.0) + _usual(draw),
        )
        if step:
            parts = (FOUND,)
        elif turn["kind"] == "function":
            parts = (Call(turn["tool"], {"query": "payments of the last year"}), CALLING)
        elif turn["kind"] == "search":
            parts = (SEARCHING, search, f" {FOUND}")
        late = draw.random() < LATE
        return Answer(parts, time_to_first_token=draw.uniform(3.0, 8.0) if late else _usual(draw))


def bills(records: Iterable[RecordedRequest]) -> dict[str, dict[str, int]]:
    """What everybody's requests have cost, in tokens.

    Returns:
        Of each caller: all ``requests``, and the tokens of their ``input``, of which were
        ``cached``, and of their ``output``; how many were ``repeats`` of one that was there before
        and how many were ``preparations``, which ask for no answer; and the tokens that went into
        those.
    """
    found: dict[str, dict[str, int]] = {}
    seen: set[tuple[str, int, int]] = set()
    for record in records:
        if record.usage is None or record.transcript is None:
            continue
        turn, step = _place(record.transcript)
        who = turn["who"]
        bill = found.setdefault(who, dict.fromkeys(_BILLED, 0))
        usage = record.usage
        bill["requests"] += 1
        bill["input"] += usage["input_tokens"]
        bill["cached"] += usage["input_tokens_details"]["cached_tokens"]
        bill["output"] += usage["output_tokens"]
        place = (who, int(turn["number"]), step)
        kind = "preparations" if not record.generate else "repeats" if place in seen else None
        if kind is not None:
            bill[kind] += 1
            bill[f"{kind}_tokens"] += usage["total_tokens"]
        else:
            seen.add(place)
    return found


def _place(transcript: Transcript) -> tuple[dict[str, Any], int]:
    """Which turn the items belong to, and how many functions have been run in it."""
    step = 0
    for item in transcript.newest_first():
        if item.get("type") == "function_call_output":
            step += 1
        elif item.get("role") == "user" and (found := _MARK.match(item_text(item))):
            return found.groupdict(), step
    raise ValueError("Nobody of the call has said anything")


def _usual(draw: random.Random) -> float:
    """Seconds until a model begins, in most cases."""
    return 0.45 * draw.lognormvariate(0.0, 0.3)
