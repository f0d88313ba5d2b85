"""When the text of a context says the same words as the text of a response.

A server remembers a response as the model wrote it. The context holds what came out behind
Pipecat's text aggregators, transforms and TTS service: sentences or words joined anew, code and
tags left out, ``$5`` written as ``five dollars``. Taking the two for different costs a request
that carries more than it must; taking different texts for the same would let the model answer to
a conversation that never was. So nothing is equal here that Pipecat cannot have written.

The heard text is read as it stands; only the response is read with variants:

* a *skip* is a stretch that may be missing, as a whole: markup, a code block, an emoji, a mark;
* a *rewrite* is a stretch that may stand there in other words: a price, a date, an acronym.

Anything else has to be there, letter by letter: a digit, a sign, a negation, capitals. Both texts
are compared without white space; where a space tells words or numbers apart, it counts.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial
from itertools import accumulate, chain

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f\uff61-\uff9f"
)
"""Scripts that do not put spaces between words (Thai, Lao, Burmese, Khmer, Chinese, Japanese).

With their marks, but without wide digits and symbols.
"""

_WITHOUT_SPACES = re.compile(f"[{_UNSPACED}]")
_LETTER = rf"[^\W{_UNSPACED}]"
"""A letter, digit or underscore that can stand in the middle of a spaced word."""

_INVISIBLE = ("\u200b", "\u2060", "\ufeff")
_TYPOGRAPHIC = {
    "'": "\u2018\u2019\u02bc\u201b",
    '"': "\u201c\u201d\u201f",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212",
}
"""Variants of one mark."""


@dataclass(frozen=True, eq=False)
class Speech:
    """What a text says, made ready for comparison.

    Immutable. Cheap to make; what only a closer look needs is worked out at the first such look
    and kept.

    Attributes:
        text: The text in one normal form.
        units: The text without its white space; positions are indexes into it.
        gaps: One byte for each unit: 1 if white space stands before it.
    """

    text: str
    units: str
    gaps: bytes

    @classmethod
    def of(cls, text: str) -> Speech:
        """The speech of a text."""
        text = unicodedata.normalize("NFC", text).replace("\u2026", "...")
        # Character by character, a translation takes far longer than these few passes.
        for character in _INVISIBLE:
            text = text.replace(character, "")
        for plain, variants in _TYPOGRAPHIC.items():
            for character in variants:
                text = text.replace(character, plain)
        words = text.split()
        return cls(text, "".join(words), b"".join(b"\1".ljust(len(each), b"\0") for each in words))

    def __len__(self) -> int:
        """The position behind the last unit."""
        return len(self.units)

    @cached_property
    def bounds(self) -> bytes:
        """The gaps that matter: between words or before numbers."""
        bounds = bytearray(len(self))
        at = self.gaps.find(1, 1)
        while at > 0:
            bounds[at] = _separates(self.units[at - 1], self.units[at])
            at = self.gaps.find(1, at + 1)
        return bytes(bounds)

    @cached_property
    def _variants(self) -> _Variants:
        return _read(self.text)

    @property
    def skips(self) -> Mapping[int, int]:
        """Where each stretch that may be missing starts and ends."""
        return self._variants.skips

    def skip_around(self, position: int, since: int) -> int | None:
        """The start of the shortest skip that holds a position.

        Args:
            position: A position it holds.
            since: It starts here or later.
        """
        starts = self._variants.skip_starts
        last = bisect_right(starts, position)
        for start in reversed(starts[max(0, last - _NESTED) : last]):
            if start >= since and self.skips[start] > position:
                return start
        return None

    def rewrites(self, position: int, since: int) -> Sequence[_Rewrite]:
        """The stretches around a position that may be in other words, the longest first.

        Args:
            position: A position they hold.
            since: They start here or later.
        """
        last = bisect_right(self._variants.rewrite_starts, position)
        near = self._variants.rewrites[max(0, last - _NESTED) : last]
        around = (each for each in near if each.start >= since and each.end > position)
        return sorted(around, key=lambda each: each.end, reverse=True)


def follow(response: Speech, start: int, heard: Speech) -> int | None:
    """Follows a heard text through a response.

    What may be missing is only passed over when more is heard behind it, so the texts of several
    messages lead to the same position as one text of them all.

    Args:
        response: The response.
        start: Where to start in it: 0, or where the message before ended.
        heard: What a context's message says.

    Returns:
        The position behind the last word that was heard; None if it says anything else, or stops
        in the middle of a word: half a word (``can`` of ``can't``) may say the opposite.
    """
    at = seen = start
    index = 0
    while True:
        run = _common(response, seen, at, heard, index)
        begin, before = at, seen
        at, index = at + run, index + run
        seen = at if run else seen
        if index == len(heard):
            return seen if not index or _ends_word(response, seen) else None
        rewritten = _rewritten(response, begin, before, at, heard, index)
        if rewritten is not None:
            at, index = rewritten
            seen = at
        elif again := _repeated(response, seen, heard, index):
            index += again
        else:
            skip = response.skip_around(at, begin)
            if skip is None:
                return None
            # What is heard may have begun like it (two tags in a row), so it may be read anew.
            index -= at - skip
            seen = skip if skip > begin else before
            at = response.skips[skip]


def at_end(response: Speech, position: int) -> bool:
    """Whether nothing is left to be heard.

    Args:
        response: The response.
        position: What :func:`follow` returned.
    """
    while position < len(response):
        end = response.skips.get(position)
        if end is None:
            return False
        position = end
    return True


# -- following ----------------------------------------------------------------------------------


def _common(response: Speech, seen: int, at: int, heard: Speech, index: int) -> int:
    """The number of units that both texts have in common from here on.

    Slices are compared, first larger and larger ones and then smaller and smaller ones: equal
    texts cost next to nothing.
    """
    if not _meets(response, seen, at, heard, index):
        return 0
    left = min(len(response) - at, len(heard) - index)
    run = 0
    size = 64
    growing = True
    while run < left and size:
        size = min(size, left - run)
        if _equal(response, at + run, heard, index + run, size, first=run == 0):
            run += size
            size = size * 2 if growing else size
        else:
            growing = False
            size //= 2
    return run


def _equal(response: Speech, at: int, heard: Speech, index: int, size: int, *, first: bool) -> bool:
    # The space before the first unit of a run has been looked at already: with a skip before it,
    # the two texts need not have it in the same place.
    left, right = slice(at + first, at + size), slice(index + first, index + size)
    return response.units[at : at + size] == heard.units[index : index + size] and (
        response.gaps[left] == heard.gaps[right] or response.bounds[left] == heard.bounds[right]
    )


def _meets(response: Speech, seen: int, at: int, heard: Speech, index: int) -> bool:
    """Whether what is heard next is set off from what was heard before as in the response."""
    if not 0 < index < len(heard) or at >= len(response):
        return True
    if not _separates(heard.units[index - 1], heard.units[index]):
        return True
    return bool(heard.gaps[index]) == (response.gaps.find(1, seen, at + 1) >= 0)


def _rewritten(
    response: Speech, begin: int, before: int, at: int, heard: Speech, index: int
) -> tuple[int, int] | None:
    """Reads a rewrite whose literal text may have been followed for a while (``5`` of ``5km``).

    Args:
        response: The response.
        begin: Where the literal run began.
        before: Where the run before it ended.
        at: Where the literal run came to its end.
        heard: The heard text.
        index: The index that goes with ``at``.

    Returns:
        Position and index behind the rewrite, or None.
    """
    for rewrite in response.rewrites(at, begin):
        back = index - (at - rewrite.start)
        seen = before if rewrite.start == begin else rewrite.start
        for text in rewrite.texts():
            other = Speech.of(text)
            if heard.units.startswith(other.units, back) and (
                _equal(other, 0, heard, back, len(other), first=True)
                and _meets(response, seen, rewrite.start, heard, back)
            ):
                return rewrite.end, back + len(other)
    return None


def _repeated(response: Speech, seen: int, heard: Speech, index: int) -> int:
    """The length of the last mark or emoji, if it is heard once more.

    With a TTS service that reports the last mark of a text as a word of its own, Pipecat writes
    it twice.
    """
    for length in range(1, min(_LONGEST_MARK, seen, index) + 1):
        if response.skips.get(seen - length) == seen:
            last, again = heard.units[index - length : index], heard.units[index : index + length]
            return length if last == again and last[0] not in _MARKUP else 0
    return 0


_SENTENCE_END = re.compile(r"[^\W\d_][.!?](?=[^\W\d_])")
_LONGEST_MARK = 8
"""Characters of an emoji: a family has seven."""
_MARKUP = "*_-+#>`<[]\\|~&h"
"""What a skip begins with that is no mark."""


def _ends_word(response: Speech, position: int) -> bool:
    """Whether a word may end at a position behind a unit: ``50`` is not heard of ``50%``."""
    if _WITHOUT_SPACES.match(response.units[position - 1]):
        return True
    if _SENTENCE_END.match(response.units, max(0, position - 2)):
        # Messages before and after a tool call are one text, without a space between them.
        return True
    while position < len(response) and not response.gaps[position]:
        if _WITHOUT_SPACES.match(response.units[position]):
            return True
        end = response.skips.get(position)
        if end is None:
            return False
        position = end
    return True


def _separates(left: str, right: str) -> bool:
    """Whether a space between two characters tells words or numbers apart.

    It does between letters (``therapist``) and before a digit (``- 5``, ``1. 5``). Everywhere
    else aggregators add and remove it as they please.
    """
    if not (left + right).isascii() and _WITHOUT_SPACES.search(left + right):
        return False
    return right.isdigit() or (_in_word(left) and _in_word(right))


def _in_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")


# -- reading a response -------------------------------------------------------------------------

_NESTED = 4
"""Variants that may begin before a position, one after the other, while an earlier one holds it.

A date holds three numbers.
"""


@dataclass(frozen=True, slots=True)
class _Rewrite:
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
class _Variants:
    """Where a response may be heard differently.

    Attributes:
        skips: Start and end of each stretch that may be missing.
        skip_starts: The starts of those, in order.
        rewrites: The stretches that may be in other words, by start.
        rewrite_starts: The starts of those.
    """

    skips: Mapping[int, int]
    skip_starts: Sequence[int]
    rewrites: Sequence[_Rewrite]
    rewrite_starts: Sequence[int]


def _read(text: str) -> _Variants:
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
            _Rewrite(position[match.start()], position[match.end()], partial(texts, match))
            for pattern, texts in _REWRITTEN
            for match in pattern.finditer(text)
            if not inside[match.start()]
        ),
        key=lambda each: each.start,
    )
    return _Variants(skips, sorted(skips), rewrites, [each.start for each in rewrites])


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
        rf"(?<!{_LETTER})(?<![*\\])(\*\*\*?)(?![\s*])(?:[^*\n]|\*(?!\*))*(?<!\s)(\1)(?!{_LETTER}|\*)",
        rf"(?<!{_LETTER})(?<![*\\])(\*)(?![\s*])[^*\n]*(?<!\s)(\*)(?!{_LETTER}|\*)",
        r"(?<![\w\\])(_)(?![\s_])[^_\n]*(?<!\s)(_)(?!\w)",
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


# -- other words --------------------------------------------------------------------------------

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ("", " thousand", " million", " billion", " trillion")
_LARGEST = 1000 ** len(_SCALES) - 1

_DIGITS_FROM = 2026
"""Pipecat reads a number digit by digit from here on, if asked for no other limit."""


def _cardinal(number: int) -> str:
    """A number in English words."""
    groups: list[str] = []
    rest, scale = number, 0
    while rest:
        rest, group = divmod(rest, 1000)
        if group:
            words = _below_thousand(group) + _SCALES[scale]
            # "one thousand and one", but "one thousand, one hundred".
            groups.append(f"and {words}" if not scale and rest and group < 100 else words)
        scale += 1
    if not groups:
        return _SMALL[0]
    groups.reverse()
    return ", ".join(groups).replace(", and ", " and ")


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = [f"{_SMALL[hundreds]} hundred"] if hundreds else []
    if rest >= 20:
        tens, ones = divmod(rest, 10)
        words.append(_TENS[tens - 2] + (f"-{_SMALL[ones]}" if ones else ""))
    elif rest:
        words.append(_SMALL[rest])
    return " and ".join(words)


def _spelled(digits: str) -> str:
    return " ".join(_SMALL[int(digit)] for digit in digits)


def _decimal(whole: str, fraction: str | None) -> list[str]:
    """A number in words, if it has any."""
    number = _number(whole)
    if number is None:
        return []
    return [_cardinal(number) + (f" point {_spelled(fraction)}" if fraction else "")]


def _number(digits: str) -> int | None:
    digits = digits.replace(",", "")
    if len(digits) > len(str(_LARGEST)) or (len(digits) > 1 and digits[0] == "0"):
        # A hostile text may hold a number of any length. And "007" is more than "seven".
        return None
    return int(digits)


def _number_texts(match: re.Match[str]) -> Sequence[str]:
    whole, fraction = match.group(1).replace(",", ""), match.group(2)
    texts = _decimal(whole, fraction)
    number = _number(whole)
    if number is None or number >= _DIGITS_FROM:
        texts.append(" ".join(whole) + (f" point {' '.join(fraction)}" if fraction else ""))
    return texts


def _percent_texts(match: re.Match[str]) -> Sequence[str]:
    whole, fraction = match.groups()
    return [f"{words} percent" for words in _decimal(whole, (fraction or "").rstrip("0"))]


_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", None, None),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}


def _currency_texts(match: re.Match[str]) -> Sequence[str]:
    symbol, whole, fraction = match.groups()
    one, many, one_part, many_parts = _CURRENCIES[symbol]
    number = _number(whole)
    # Pipecat drops what is smaller than a cent, and every part of a yen. That is another price.
    if number is None or (fraction and (len(fraction) > 2 or one_part is None)):
        return []
    parts = int((fraction or "").ljust(2, "0"))
    text = f"{_cardinal(number)} {one if number == 1 else many}"
    if parts:
        text += f" and {_cardinal(parts)} {one_part if parts == 1 else many_parts}"
    return [text]


_UNITS = {
    "km": "kilometers",
    "m": "meters",
    "cm": "centimeters",
    "mm": "millimeters",
    "mi": "miles",
    "ft": "feet",
    "in": "inches",
    "yd": "yards",
    "kg": "kilograms",
    "g": "grams",
    "mg": "milligrams",
    "lb": "pounds",
    "oz": "ounces",
    "l": "liters",
    "ml": "milliliters",
    "mph": "miles per hour",
    "kph": "kilometers per hour",
    "kmh": "kilometers per hour",
    "gb": "gigabytes",
    "mb": "megabytes",
    "kb": "kilobytes",
    "tb": "terabytes",
    "hz": "hertz",
    "khz": "kilohertz",
    "mhz": "megahertz",
    "ghz": "gigahertz",
}
_SINGULARS = {"ft": "foot", "in": "inch", "hz": "hertz", "khz": "kilohertz"} | {
    "mhz": "megahertz",
    "ghz": "gigahertz",
    "mph": "mile per hour",
    "kph": "kilometer per hour",
    "kmh": "kilometer per hour",
}
_WORDS_TOO = ("in", "m", "g", "l")
"""Units that are words or letters as well: only right behind a digit."""


def _unit_texts(match: re.Match[str]) -> Sequence[str]:
    whole, fraction = match.group(1), match.group(2)
    unit = match.group(3).lower()
    words = _UNITS[unit]
    if whole == "1" and not fraction:
        words = _SINGULARS.get(unit, words.removesuffix("s"))
    literal = whole + (f".{fraction}" if fraction else "")
    return [f"{number} {words}" for number in [literal, *_decimal(whole, fraction)]]


_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _date_texts(match: re.Match[str]) -> Sequence[str]:
    groups = match.groupdict()
    year, month, day = (int(groups[name]) for name in ("year", "month", "day"))
    try:
        date(year, month, day)
    except ValueError:
        return []
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(day % 10 if day not in (11, 12, 13) else 0, "th")
    return [f"{_MONTHS[month - 1]} {day}{suffix}, {_cardinal(year)}"]


def _phone_texts(match: re.Match[str]) -> Sequence[str]:
    digits = re.sub(r"\D", "", match.group())
    return [" ".join(digits), _spelled(digits)]


_SPOKEN_IN_ADDRESS = str.maketrans(
    {"@": " at ", ".": " dot ", "_": " underscore ", "-": " dash ", "+": " plus "}
)


def _email_texts(match: re.Match[str]) -> Sequence[str]:
    return [match.group().translate(_SPOKEN_IN_ADDRESS)]


def _acronym_texts(match: re.Match[str]) -> Sequence[str]:
    return [" ".join(match.group())]


def _entity_texts(match: re.Match[str]) -> Sequence[str]:
    return [{"amp": "&", "lt": "<", "gt": ">"}[match.group(1)]]


_AMOUNT = r"(?<![\w.,])(\d+)(?:\.(\d+))?"
_REWRITTEN: Sequence[tuple[re.Pattern[str], Callable[[re.Match[str]], Sequence[str]]]] = tuple(
    (re.compile(pattern), texts)
    for pattern, texts in (
        # Not "20-1": it would be "twenty-one".
        (r"\b(\d{1,3}(?:,\d{3})*|\d+)(?:\.(\d+))?\b(?!(?<=[2-9]0)-[1-9])", _number_texts),
        (_AMOUNT + r"\s*%", _percent_texts),
        (r"([$€£¥₹])\s*(\d{1,3}(?:,\d{3})*|\d+)\b(?:\.(\d+))?", _currency_texts),
        (rf"{_AMOUNT}\s*(?i:({'|'.join(_UNITS.keys() - {*_WORDS_TOO})}))\b", _unit_texts),
        (rf"{_AMOUNT}(?i:({'|'.join(_WORDS_TOO)}))\b", _unit_texts),
        (r"\b(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)\b", _date_texts),
        (r"\b(?P<month>\d{1,2})[/-](?P<day>\d{1,2})[/-](?P<year>\d{4})\b", _date_texts),
        (r"(?<!\d)(?:\+?1[\s.-]?)?\(?\d{3}\)?[\s.-]?\d{3}[\s.-]?\d{4}(?!\d)", _phone_texts),
        (r"(?<![A-Za-z0-9_.%+-])[A-Za-z0-9_.%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}", _email_texts),
        (r"\b[A-Z]{2,}(?![a-z])\b", _acronym_texts),
        (r"&(amp|lt|gt);", _entity_texts),
    )
)
