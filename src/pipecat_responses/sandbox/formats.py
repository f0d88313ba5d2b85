"""The formats of strings in a JSON schema: which strings have them, and some that do."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime, time
from uuid import UUID

_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_EMAIL = re.compile(rf"[\w.+-]+@{_LABEL}(?:\.{_LABEL})+")
_DURATION = re.compile(
    r"P(?=.)(?:\d+W|(?:\d+Y)?(?:\d+M)?(?:\d+D)?(?:T(?=\d)(?:\d+H)?(?:\d+M)?(?:\d+S)?)?)"
)
_TIME = re.compile(r"\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"]+")
_CLOCK = re.compile(r"(\d{1,2})(?::(\d{2}))?\s?([ap]m)?")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = rf"({'|'.join(_MONTHS)})[a-z]*\.?"
_WRITTEN_DATES = (
    re.compile(
        rf"\b{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}})\b", re.IGNORECASE
    ),
    re.compile(
        rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH},?\s+(?P<year>\d{{4}})\b",
        re.IGNORECASE,
    ),
)

STOCK: dict[str, tuple[str, ...]] = {
    "date-time": ("2026-01-15T09:30:00Z", "2026-06-30T18:00:00+02:00", "2025-12-01T00:00:00Z"),
    "date": ("2026-01-15", "2026-06-30", "2025-12-01"),
    "time": ("09:30:00Z", "18:00:00Z", "00:15:00+02:00"),
    "duration": ("PT30M", "P1D", "P1Y2M3DT4H5M6S"),
    "email": ("ada@example.com", "grace@example.org", "alan@example.net"),
    "hostname": ("example.com", "api.example.org", "localhost"),
    "ipv4": ("192.0.2.1", "198.51.100.7", "203.0.113.42"),
    "ipv6": ("2001:db8::1", "2001:db8:0:1::7", "::1"),
    "uuid": (
        "3f2b8c1e-6d4a-4c7e-9b5f-0a1d2e3c4b5a",
        "a7c9e1b3-5d7f-4a1b-8c3d-5e7f9a1b3c5d",
        "0b9d8f7e-1a2b-4c3d-9e4f-5a6b7c8d9e0f",
    ),
    "uri": ("https://example.com/", "https://example.org/page", "https://example.net/a/b"),
}
"""Strings of each format; addresses and hosts are those that are reserved for examples."""


def has_format(name: str, value: str) -> bool:
    """Whether a string has a format.

    Args:
        name: The format's name in JSON schema.
        value: The string.

    Returns:
        Whether it has it; True for formats that are not known here.
    """
    check = _CHECKS.get(name)
    if check is None:
        return True
    try:
        return bool(check(value))
    except ValueError:
        return False


def in_format(name: str, text: str) -> list[str]:
    """What a text says in words that a format has in its own: ``January 5, 2027``, ``3pm``."""
    match name:
        case "date":
            return list(_written_dates(text))
        case "date-time":
            return [f"{day}T09:00:00Z" for day in (*_iso_dates(text), *_written_dates(text))]
        case "time":
            return [clock for match in _CLOCK.finditer(text) if (clock := _clock(match))]
        case _:
            return []


def _iso_dates(text: str) -> list[str]:
    return re.findall(r"\b\d{4}-\d{2}-\d{2}\b", text)


def _written_dates(text: str) -> list[str]:
    found = []
    for pattern in _WRITTEN_DATES:
        for match in pattern.finditer(text):
            month = next(filter(str.isalpha, filter(None, match.groups())))
            number = _MONTHS.index(month.lower()) + 1
            found.append(f"{match['year']}-{number:02}-{int(match['day']):02}")
    return found


def _clock(match: re.Match[str]) -> str | None:
    hour, minute, half = match.groups()
    if not (minute or half):
        return None
    if half:
        hour = str(int(hour) % 12 + (12 if half == "pm" else 0))
    return f"{int(hour):02}:{minute or '00'}:00Z"


def _date_time(value: str) -> bool:
    return "T" in value and datetime.fromisoformat(value).tzinfo is not None


def _time(value: str) -> bool:
    return _TIME.fullmatch(value) is not None and time.fromisoformat(value) is not None


def _date(value: str) -> bool:
    return len(value) == 10 and date.fromisoformat(value) is not None


def _uuid(value: str) -> bool:
    return len(value) == 36 and UUID(value) is not None


_CHECKS: dict[str, Callable[[str], object]] = {
    "date-time": _date_time,
    "date": _date,
    "time": _time,
    "duration": _DURATION.fullmatch,
    "email": _EMAIL.fullmatch,
    "hostname": _HOSTNAME.fullmatch,
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "uuid": _uuid,
    "uri": _URI.fullmatch,
}
