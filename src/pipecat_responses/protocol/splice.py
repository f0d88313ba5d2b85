"""Joining a resumed answer to the words that were said before it broke off.

A model that is asked to go on repeats its last word, as it is told to, or the last few, or starts
all over, perhaps in other capitals. No word may be heard twice and none by half, so the beginning
of the continuation is held back for as long as it may still be such a repetition, and no longer.

The two are compared word by word. The last word that was said may have been cut in the middle, so
there the beginning of a word is enough.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipecat_responses.protocol.speech_variants import WITHOUT_SPACES

MEMORY = 80
"""Words at the end of what was said that a repetition is looked for in."""

# Scripts without spaces are compared character by character.
_WORD = re.compile(rf"{WITHOUT_SPACES.pattern}|(?:(?!{WITHOUT_SPACES.pattern})\S)+")
_CORE = re.compile(r"\w(?:.*\w)?", re.DOTALL)
_JOINS = re.compile(
    "[.,;:!?)\\]}%/\u00b0\u00bb\u201d\u2019-]|\u2026(?!\\w)|['\u2019](?:s|t|d|m|re|ve|ll)\\b",
    re.IGNORECASE,
)
"""What follows a word without a space: closing marks, and the rest of ``don't``."""

_ALONE = re.compile(r"(?<!\S)[^\w\s]+\Z")


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a text.

    Attributes:
        core: The word without the marks around it, in small letters.
        marked: The same with the marks behind it.
        core_end: Where the core ends in the text.
        end: Where the marks end.
    """

    core: str
    marked: str
    core_end: int
    end: int


class Splice:
    """Takes what repeats the end of a text off the beginning of its continuation.

    Example::

        splice = Splice("The weather in Par")
        splice.feed("in Paris")   # ""
        splice.feed(" is sunny")  # "is is sunny"
    """

    def __init__(self, said: str, *, complete: bool = False) -> None:
        """Starts a splice.

        Args:
            said: The text that was said before.
            complete: Whether that ended with the end of a message, and not in the middle of one.
        """
        words = _words(said)
        self._said = said
        self._complete = complete
        # Most answers are shorter than this; a long one may be started all over all the same.
        self._tails = [words[i:] for i in range(max(0, len(words) - MEMORY), len(words))]
        if len(words) > MEMORY:
            self._tails.insert(0, words)
        # The last word may go on, marks and all (``3.`` may become ``3.5``), but not over a space.
        self._cut = not complete and bool(words) and words[-1].end == len(said)
        # What stands behind the last word already is not said again.
        self._marks = said[words[-1].core_end :].rstrip() if words else ""
        # What stands there by itself, as the mark that a word to come begins with.
        self._alone = _ALONE.search(said, words[-1].end if words else 0)
        self._held = ""
        self._done = not said.strip()

    @property
    def holds(self) -> bool:
        """Whether something is held back that may be a repetition, or not."""
        return bool(self._held) and not self._done

    def feed(self, text: str) -> str:
        """Takes the next piece of the continuation.

        Args:
            text: The piece.

        Returns:
            What of it (and of pieces held back before) is to be said now.
        """
        if self._done:
            return text
        self._held += text
        return self._decide(over=False)

    def finish(self) -> str:
        """The continuation is over.

        Returns:
            What was held back and has turned out to be no repetition.
        """
        return "" if self._done else self._decide(over=True)

    def _decide(self, *, over: bool) -> str:
        words = _words(self._held)
        if not words and not over:
            return ""
        # The last word that has come may go on.
        complete = len(words) if over or self._held[-1:].isspace() else len(words) - 1
        for tail in self._tails:
            # The longest repetition counts, so it is waited for.
            verdict = self._repeats(tail, words, complete)
            if verdict is None and not over:
                return ""
            if verdict is not None and verdict >= 0:
                rest = self._held[verdict:]
                if not over and len(rest) < len(self._marks) and self._marks.startswith(rest):
                    return ""
                self._done = True
                return self._rest(rest)
        self._done = True
        if self._alone is not None:
            mark, begins = self._alone.group(), self._held.lstrip()
            if begins.startswith(mark) or not _JOINS.match(mark):
                return begins.removeprefix(mark)
        return self._joined(self._held)

    def _repeats(self, tail: list[_Word], words: list[_Word], complete: int) -> int | None:
        """Whether the continuation repeats the end of what was said.

        Returns:
            Where the repetition ends in the continuation; -1 if it is none, None if it may yet be.
        """
        last = len(tail) - 1
        for number, (said, word) in enumerate(zip(tail, words, strict=False)):
            goes_on = number == last and self._cut and word.marked.startswith(said.marked)
            if goes_on or (number < complete and word.core == said.core):
                continue
            if number < complete or not said.core.startswith(word.core):
                return -1
            return None
        if len(words) <= last:
            return None
        return words[last].core_end - (len(words[last].core) - len(tail[last].core))

    def _rest(self, rest: str) -> str:
        """What is to be said of what comes behind a repetition's last word."""
        twice = rest.startswith(self._marks)
        rest = rest.removeprefix(self._marks)
        if self._said[-1].isspace():
            return rest.lstrip()
        return rest if twice else self._joined(rest)

    def _joined(self, text: str) -> str:
        before, after = self._said[-1:], text[:1]
        if not after or before.isspace() or after.isspace():
            return text
        if not self._complete and (WITHOUT_SPACES.search(before + after) or _JOINS.match(text)):
            return text
        return f" {text}"


def _small(word: str) -> str:
    """A word in small letters; some letters would become two, and places count here."""
    small = word.lower()
    return small if len(small) == len(word) else word


def _words(text: str) -> list[_Word]:
    words = []
    for match in _WORD.finditer(text):
        core = _CORE.search(match.group())
        if core is not None:
            marked = match.group()[core.start() :]
            core_end = match.start() + core.end()
            words.append(_Word(_small(core.group()), _small(marked), core_end, match.end()))
    return words
