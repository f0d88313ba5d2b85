"""What the caller of the scripted call hears, and when: the same tables for everybody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.measure import median, percentile, rounded
from benchmarks.model import Cell, Findings
from benchmarks.server.late import Kind

ANSWER_BEGINS = "Here"
"""The first word of each answer behind a tool; nothing else that is said has it."""

TOOLS: tuple[Kind, ...] = ("function", "search")

GPT_4_1 = (0.25, 4.0)
GPT_5_5 = (0.1, 6.0)
"""Prices of a cached token and of one of output, in tokens of new input (OpenAI, 2026-11)."""

Text = tuple[float, str]
"""When it came, and what it says."""

Response = tuple[float, Sequence[Text]]
"""When the context frame came, and what was said to it."""


@dataclass
class Heard:
    """Seconds that a caller has waited; by the kind of the turn, where that matters.

    Attributes:
        waits: From each context frame to the first text.
        silences: From the user's context frame to the first whole sentence that a voice is given.
        answers: From the user's context frame to the answer behind a tool.
    """

    waits: list[float] = field(default_factory=list)
    silences: dict[Kind, list[float]] = field(default_factory=dict)
    answers: dict[Kind, list[float]] = field(default_factory=dict)

    def note(self, kind: Kind, responses: Sequence[Response], sentences: Sequence[Text]) -> None:
        """Takes in a turn.

        Args:
            kind: What has happened in it.
            responses: What the service has said.
            sentences: What its voice was given.

        Raises:
            RuntimeError: If something of it was never said: there is no figure of a failed turn.
        """
        if not all(texts for _, texts in responses) or len(responses) != 1 + (kind == "function"):
            raise RuntimeError(f"A turn ({kind}) went wrong: {responses}")
        self.waits += [texts[0][0] - asked_at for asked_at, texts in responses]
        asked_at = responses[0][0]
        if kind != "interrupted":
            self.silences.setdefault(kind, []).append(sentences[0][0] - asked_at)
        if kind in TOOLS:
            answered_at = _answered_at(text for _, texts in responses for text in texts)
            self.answers.setdefault(kind, []).append(answered_at - asked_at)


def _answered_at(texts: Iterable[Text]) -> float:
    said = ""
    for came_at, text in texts:
        said += text
        if ANSWER_BEGINS in said:
            return came_at
    raise RuntimeError(f"The tool was not answered: {said}")


def tables(
    findings: Findings,
    name: str,
    heard: Mapping[str, Heard],
    bills: Mapping[str, dict[str, int]],
    note: str = "",
) -> None:
    """Shows what callers have heard, and what they have paid for it.

    Args:
        findings: Where the tables go.
        name: What their names begin with.
        heard: What each has heard.
        bills: What each has paid, as the server says.
        note: What the first table has to say besides.
    """
    first = findings.table(
        name,
        "From the context frame to the first text, ms",
        ["who", "p50", "p95", "p99", "longest"],
        note=note,
    )
    silences = findings.table(
        f"{name}_silences",
        "From the user's context frame to the first sentence that a voice is given, ms",
        ["who", *(f"{kind}, {part}" for kind in ("plain", *TOOLS) for part in ("p50", "p95"))],
    )
    answers = findings.table(
        f"{name}_answers",
        "From the user's context frame to the answer behind a tool, ms",
        ["who", *(f"{kind}, {part}" for kind in TOOLS for part in ("p50", "p95"))],
    )
    tokens = findings.table(
        f"{name}_tokens",
        "Tokens that the server has billed, in thousands",
        [
            "who",
            "input",
            "of it cached",
            "output",
            "input and output",
            "by gpt-4.1's price",
            "by gpt-5.5's price",
            "requests",
            "repeats",
            "tokens of repeats",
            "preparations",
            "tokens of preparations",
        ],
        note="By price, in tokens of new input: with gpt-4.1 a cached one costs a quarter of that "
        "and one of output four times as much, with gpt-5.5 a tenth and six times. Repeats are "
        "hedges and whatever else was sent again; preparations are warm-ups and anchors, which ask "
        "for no answer. They are among the requests, and their tokens among those before.",
    )
    for who, found in heard.items():
        first.add(who, *_figures(found.waits), _ms(max(found.waits)))
        kinds: tuple[Kind, ...] = ("plain", *TOOLS)
        silences.add(who, *(cell for kind in kinds for cell in _figures(found.silences[kind])[:2]))
        answers.add(who, *(cell for kind in TOOLS for cell in _figures(found.answers[kind])[:2]))
        bill = bills[who]
        tokens.add(
            who,
            *(_thousands(bill[each]) for each in ("input", "cached", "output")),
            _thousands(paid(bill)),
            _thousands(priced(bill, *GPT_4_1)),
            _thousands(priced(bill, *GPT_5_5)),
            bill["requests"],
            bill["repeats"],
            _thousands(bill["repeats_tokens"]),
            bill["preparations"],
            _thousands(bill["preparations_tokens"]),
        )


def paid(bill: Mapping[str, int]) -> int:
    """All tokens of a bill."""
    return bill["input"] + bill["output"]


def priced(bill: Mapping[str, int], cached: float, output: float) -> float:
    """What a bill costs, in tokens of new input.

    Args:
        bill: The bill.
        cached: The price of a cached token of input.
        output: The price of a token of output.
    """
    return bill["input"] - (1 - cached) * bill["cached"] + output * bill["output"]


def _figures(seconds: Sequence[float]) -> list[Cell]:
    found = median(seconds), percentile(seconds, 0.95), percentile(seconds, 0.99)
    return [_ms(each) for each in found]


def _ms(seconds: float) -> Cell:
    return rounded(seconds * 1e3)


def _thousands(tokens: float) -> Cell:
    return rounded(tokens / 1e3, 4)
