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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pipecat_responses.protocol.speech_variants import (
    NESTED,
    WITHOUT_SPACES,
    Rewrite,
    Variants,
    read_variants,
)

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
    def _variants(self) -> Variants:
        return read_variants(self.text)

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
        for start in reversed(starts[max(0, last - NESTED) : last]):
            if start >= since and self.skips[start] > position:
                return start
        return None

    def rewrites(self, position: int, since: int) -> Sequence[Rewrite]:
        """The stretches around a position that may be in other words, the longest first.

        Args:
            position: A position they hold.
            since: They start here or later.
        """
        last = bisect_right(self._variants.rewrite_starts, position)
        near = self._variants.rewrites[max(0, last - NESTED) : last]
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
        position: What ``follow`` returned.
    """
    while position < len(response):
        if _is_word(response.units, position):
            # Most answers that were cut short end before a word, and need no closer look.
            return False
        end = response.skips.get(position)
        if end is None or _has_words(response, position, end):
            return False
        position = end
    return True


def _is_word(units: str, position: int) -> bool:
    """Whether something begins at a position that no skip begins with, told by its first unit.

    An address is the only skip that begins with a letter.
    """
    return units[position].isalnum() and not units.startswith("http", position)


def _has_words(response: Speech, start: int, end: int) -> bool:
    """Whether a skip is a block of its own with words in it: code, a table, what was struck out.

    With nothing heard behind it, nobody can tell whether it was filtered out or whether the user
    interrupted just before it.
    """
    if not response.gaps[start] or response.units.startswith("</", start):
        return False
    return any(map(str.isalnum, response.units[start:end]))


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
    """The length of the last marks or emoji, if they are heard once more.

    With a TTS service that reports the last word of a text by itself if it has neither letters
    nor digits, Pipecat writes it twice.
    """
    last_word = max(response.gaps.rfind(1), 0)
    if seen == len(response) and heard.units[index:] == response.units[last_word:]:
        return 0 if any(map(str.isalnum, heard.units[index:])) else len(heard) - index
    for length in range(1, min(_LONGEST_MARKS, seen, index) + 1):
        last, again = heard.units[index - length : index], heard.units[index : index + length]
        if last == again and last[0] not in _MARKUP and _skipped(response, seen - length, seen):
            return length
    return 0


def _skipped(response: Speech, start: int, end: int) -> bool:
    """Whether nothing but skips, one behind the other, stands between two positions."""
    while start < end:
        start = response.skips.get(start, end + 1)
    return start == end


_SENTENCE_END = re.compile(r"[^\W\d_][.!?](?=[^\W\d_])")
_LONGEST_MARKS = 10
"""Characters of an emoji and the marks behind it: a family has seven."""
_MARKUP = "*_-+#>`<[]\\|~&h"
"""What a skip begins with that is no mark."""


def _ends_word(response: Speech, position: int) -> bool:
    """Whether a word may end at a position behind a unit: ``50`` is not heard of ``50%``."""
    if WITHOUT_SPACES.match(response.units[position - 1]):
        return True
    if _SENTENCE_END.match(response.units, max(0, position - 2)):
        # Messages before and after a tool call are one text, without a space between them.
        return True
    while position < len(response) and not response.gaps[position]:
        if WITHOUT_SPACES.match(response.units[position]):
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
    if not (left + right).isascii() and WITHOUT_SPACES.search(left + right):
        return False
    return right.isdigit() or (_in_word(left) and _in_word(right))


def _in_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")
