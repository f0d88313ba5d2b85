"""The other words in which Pipecat writes numbers, prices, dates and addresses (see ``speech``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date

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


def cardinal(number: int) -> str:
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
    return [cardinal(number) + (f" point {_spelled(fraction)}" if fraction else "")]


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
    text = f"{cardinal(number)} {one if number == 1 else many}"
    if parts:
        text += f" and {cardinal(parts)} {one_part if parts == 1 else many_parts}"
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
    return [f"{_MONTHS[month - 1]} {day}{suffix}, {cardinal(year)}"]


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
REWRITTEN: Sequence[tuple[re.Pattern[str], Callable[[re.Match[str]], Sequence[str]]]] = tuple(
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
