"""Where a response may be heard differently from how it was written (see ``speech``).

* A *skip* is a stretch that may be missing, as a whole: markup, a code block, an emoji, a mark.
* A *rewrite* is a stretch that may stand there in other words (``speech_wording``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, chain

from pipecat_responses.protocol.speech_wording import REWRITTEN

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f\uff61-\uff9f"
)
"""Scripts that do not put spaces between words (Thai, Lao, Burmese, Khmer, Chinese, Japanese).

With their marks, but without wide digits and symbols.
"""

WITHOUT_SPACES = re.compile(f"[{_UNSPACED}]")
LETTER = rf"[^\W{_UNSPACED}]"
"""A letter, digit or underscore that can stand in the middle of a spaced word."""

NESTED = 4
"""Variants that may begin before a position, one after the other, while an earlier one holds it.

A date holds three numbers.
"""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A stretch that may be in other words.

    Attributes:
        start: Position of its first unit.
        end: Position behind its last unit.
        texts: The other words.
    """

    start: int
    end: int
    texts: Callable[[], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Variants:
    """Where a response may be heard differently.

    Attributes:
        skips: Start and end of each stretch that may be missing.
        skip_starts: The starts of those, in order.
        rewrites: The stretches that may be in other words, by start.
        rewrite_starts: The starts of those.
    """

    skips: Mapping[int, int]
    skip_starts: Sequence[int]
    rewrites: Sequence[Rewrite]
    rewrite_starts: Sequence[int]


def read_variants(text: str) -> Variants:
    """Finds the stretches of a text that may be heard differently."""
    position = [0, *accumulate(not character.isspace() for character in text)]
    code = list(_code(text))
    inside = bytearray(len(text) + 1)
    for start, end, _ in code:
        inside[start:end] = b"\1" * (end - start)
    skips: dict[int, int] = {}
    found = chain(
        chain.from_iterable(marks for _, _, marks in code),
        (span for span in _markup(text) if not inside[span[0]]),
    )
    for start, end in found:
        first, last = position[start], position[end]
        # Of two that begin at once (a table and its first line), the larger one.
        if last > skips.get(first, first):
            skips[first] = last
    rewrites = sorted(
        (
            Rewrite(position[match.start()], position[match.end()], partial(texts, match))
            for pattern, texts in REWRITTEN
            for match in pattern.finditer(text)
            if not inside[match.start()]
        ),
        key=lambda each: each.start,
    )
    return Variants(skips, sorted(skips), rewrites, [each.start for each in rewrites])


_INLINE_CODE = re.compile(r"(?<!`)`[^`\n]+`(?!`)")


def _code(text: str) -> Iterator[tuple[int, int, Sequence[tuple[int, int]]]]:
    """Code: what may be missing of it. Nothing else in it may, nor be in other words.

    Yields:
        Start, end and the stretches that may be missing: a block as a whole, of code in a line
        only its backticks.
    """
    for fence in ("```", "~~~"):
        fences = [match.start() for match in re.finditer(fence, text)]
        for start, end in zip(fences[::2], fences[1::2], strict=False):
            yield start, end + 3, [(start, end + 3)]
    for match in _INLINE_CODE.finditer(text):
        start, end = match.span()
        yield start, end, [(start, start + 1), (end - 1, end)]


def _markup(text: str) -> Iterator[tuple[int, int]]:
    """Everything but code that may be missing."""
    yield from _tags(text)
    for pattern in _WHOLE:
        yield from (match.span() for match in pattern.finditer(text))
    for pattern in _AROUND:
        for match in pattern.finditer(text):
            yield match.span(1)
            yield match.span(2)
    yield from _marks(text)


# Every pattern below takes linear time: what repeats in it cannot run over the character that
# it begins with.

_EMOJI = (
    "[\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff\u2600-\u2604\u263a\u2665\u26a0\u2728\u2764\u2b50]"
    "[\ufe0f\U0001f3fb-\U0001f3ff]*"
)
"""An emoji that says nothing by itself: check marks, crosses and arrows do."""

_WHOLE = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^#{1,6}[ \t]+",
        r"^[ \t]*[-+*][ \t]+(?=\S)",
        r"^[ \t]*>[ \t]?(?=[^\s\d=])",
        r"^[ \t]*(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$",
        # A table, if its second line is a ruler.
        r"^[ \t]*\|[^\n]*\n[ \t]*\|[ \t:|]*-[ \t:|-]*$(?:\n[ \t]*\|[^\n]*)*",
        # What was struck through has been taken back.
        r"~~[^\s~](?:[^~\n]*[^\s~])?~~(?!~)",
        r"https?://(?=\w)",
        r"\\(?=[*_`#])",
        f"{_EMOJI}(?:\u200d(?:{_EMOJI}|[\u2600-\u27bf]\ufe0f?))*",
    )
)

_AROUND = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<!{LETTER})(?<![*\\])(\*\*\*?)(?![\s*])(?:[^*\n]|\*(?!\*))*(?<!\s)(\1)(?!{LETTER}|\*)",
        rf"(?<!{LETTER})(?<![*\\])(\*)(?![\s*])[^*\n]*(?<!\s)(\*)(?!{LETTER}|\*)",
        r"(?<![\w\\])(_)(?![\s_])[^_\n]*(?<!\s)(_)(?!\w)",
        # Several words, for a single one may be a name (``__init__``).
        r"(?<![\w\\])(__)(?![\s_])[^_\s]*[ \t][^_\n]*(?<!\s)(__)(?!\w)",
        r"(!?\[)[^\[\]\n]*(\]\([^()\s]*\))",
    )
)
"""Bold, italics and links: the markers before and behind. Not within a word (``a*b*c``)."""

_TAG = re.compile(r"<(/?)([A-Za-z][\w.-]*)(?:\s+[\w:-]+=(?:\"[^\"<>]*\"|'[^'<>]*'))*\s*(/?)>")
_UNSPOKEN = frozenset({"think", "thinking", "thought", "reasoning"})
"""Elements whose content, by convention, is not for the user: a pattern may remove it."""


def _tags(text: str) -> Iterator[tuple[int, int]]:
    """Tags without their content, if they come in pairs or close themselves (``List<int>``)."""
    opened: dict[str, re.Match[str]] = {}
    for match in _TAG.finditer(text):
        closing, name, empty = match.groups()
        if empty or name in ("br", "hr"):
            yield match.span()
        elif not closing:
            opened.setdefault(name, match)
        elif name in opened:
            opening = opened.pop(name)
            if name in _UNSPOKEN:
                yield opening.start(), match.end()
            else:
                yield opening.span()
                yield match.span()


_EASTERN = "\u3001\u3002\uff0c\uff01\uff1a\uff1b\uff1f"
_QUOTES = "\"'\u201e\u00ab\u00bb"
_STOPS = ".,;:!?\u060c\u061b\u061f\u06d4\u0964\u0965"
_CLOSING = re.compile(rf"(?<=[^\s{_STOPS}{_QUOTES})\]*_])[{_STOPS}{_QUOTES})\]*_]+(?!\S)")
_OPENING = re.compile(rf"(?<!\S)[{_QUOTES}\u00bf\u00a1](?=[^\W\d])")
_INLINE = re.compile(rf"[{_EASTERN}]")


def _marks(text: str) -> Iterator[tuple[int, int]]:
    """Marks that only guide the voice: none within ``1:30`` or ``a.b``, not in ``5!`` or ``f'``."""
    yield from (match.span() for match in _OPENING.finditer(text))
    for match in _INLINE.finditer(text):
        start, end = match.span()
        if not (text[start - 1 : start].isdigit() and text[end : end + 1].isdigit()):
            yield start, end
    for match in _CLOSING.finditer(text):
        start, end = match.span()
        before = text[max(0, start - 2) : start]
        if before[-1:].isdigit():
            mere = ".,?"
        elif (before[-1:].isalpha() and not before.isalpha()) or len(before) < 2:
            # What follows a single letter may be part of a formula.
            mere = _STOPS.replace("!", "")
        else:
            mere = _STOPS + _QUOTES
        yield from ((at, at + 1) for at in range(start, end) if text[at] in mere)
