"""Numbers as people say them, and as a recogniser writes them down: in words, in lower case.

To words it is done by ``num2words``. The other way is a small table, because what a recogniser
writes has its own spelling: ``twenty one``, ``for`` instead of four.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from num2words import num2words

_UNITS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen
"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_VALUES = {
    **{word: value for value, word in enumerate(_UNITS.split())},
    **{word: 10 * value for value, word in enumerate(_TENS.split(), 2)},
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_MISHEARD = {"oh": 0, "won": 1, "to": 2, "too": 2, "for": 4, "fore": 4, "ate": 8, "fourty": 40}
_LARGEST = 10**12
_MAX_WORDS = 12


def spelled(number: float, *, ordinal: bool = False) -> str:
    """A number in words.

    Args:
        number: The number.
        ordinal: Whether to say the seventh instead of seven.

    Returns:
        ``fifty-six``, ``minus one point five``, ``twenty-seventh``.
    """
    if abs(number) >= _LARGEST:
        return "more than I can say"
    value = int(number) if number == int(number) else round(number, 3)
    return str(num2words(value, to="ordinal" if ordinal else "cardinal")).replace(",", "")


def words_of(text: str) -> list[str]:
    """The words and numbers of a text, in lower case; ``twenty-one`` is two of them."""
    joined = re.sub(r"(?<=[^\W\d_])-(?=[^\W\d_])", " ", text.lower())
    return re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+(?:['’][^\W\d_]+)?|[-+*/×]", joined)  # noqa: RUF001


def number_at(words: Sequence[str], start: int, *, misheard: bool = True) -> tuple[float, int]:
    """Reads the number that begins at a word.

    Args:
        words: What ``words_of`` gives.
        start: Where to begin.
        misheard: Whether words that only sound like numbers count (``for``, ``to``), where the
            place says that there has to be one.

    Returns:
        The number and the place behind it; the place is ``start`` where there is none.
    """
    total, part, at = 0.0, 0.0, start
    last = 0.0
    while at < len(words) and at < start + _MAX_WORDS:
        word = words[at]
        value = _value(word, misheard=misheard and at == start)
        if value is not None:
            # "Twenty one" is one number, "one two" and "twenty thirty" are two.
            if at > start and not 0 < value < (
                100 if last in _SCALES.values() else last // 20 and 10
            ):
                break
            part += value
            last = value if value < 100 else 0
        elif word in _SCALES and at > start:
            scale = _SCALES[word]
            if scale == 100:
                part = max(part, 1) * scale
            else:
                total, part = total + max(part, 1) * scale, 0
            last = scale
        elif word == "a" and at + 1 < len(words) and words[at + 1] in _SCALES and at == start:
            part = 1
        elif word == "and" and last in _SCALES.values() and _follows(words, at + 1):
            pass
        else:
            break
        at += 1
    if at > start and words[at : at + 1] == ["point"]:
        digits, end = _digits(words, at + 1)
        if digits:
            return total + part + float(f"0.{digits}"), end
    return total + part, at


def _digits(words: Sequence[str], start: int) -> tuple[str, int]:
    """The digits behind a point: ``one four`` gives 14."""
    digits, at = "", start
    while at < len(words) and 0 <= _VALUES.get(words[at], -1) <= 9:
        digits += str(_VALUES[words[at]])
        at += 1
    return digits, at


def _value(word: str, *, misheard: bool) -> float | None:
    if word[0].isdigit():
        return float(word)
    return _VALUES.get(word, _MISHEARD.get(word) if misheard else None)


def _follows(words: Sequence[str], at: int) -> bool:
    return at < len(words) and words[at] in _VALUES
