"""What a text mentions: addresses, dates, places, people, numbers. Found by plain patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipecat_responses.sandbox.text import name_words

_PATTERNS: dict[str, re.Pattern[str]] = {
    "email": re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    "uri": re.compile(r"https?://[^\s<>\"')\]]*[^\s<>\"')\].,;:!?]"),
    "uuid": re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"),
    "date-time": re.compile(
        r"\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})"
    ),
    "date": re.compile(r"\b\d{4}-\d{2}-\d{2}\b"),
    "time": re.compile(r"\b\d{1,2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?|\b\d{1,2}\s?[ap]m\b"),
    "duration": re.compile(
        r"\bP(?=T?\d)(?:\d+Y)?(?:\d+M)?(?:\d+W)?(?:\d+D)?(?:T(?:\d+H)?(?:\d+M)?(?:\d+S)?)?\b"
    ),
    "ipv4": re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"),
    "ipv6": re.compile(r"(?<![\w:])[0-9a-fA-F]{0,4}(?:::?[0-9a-fA-F]{1,4}){2,7}(?![\w:])"),
    "hostname": re.compile(r"\b(?:[a-z0-9-]+\.)+[a-z]{2,}\b"),
    "phone": re.compile(r"\+?\d[\d ()-]{6,}\d"),
    "timezone": re.compile(r"\b[A-Z][a-z]+/[A-Z][A-Za-z_]+\b|\bUTC\b"),
    "currency": re.compile(r"\b(?:USD|EUR|GBP|JPY|CHF|CAD|AUD|CNY|INR|SEK|NOK|DKK)\b"),
    "quoted": re.compile(r"[\"“]([^\"”]+)[\"”]|(?<!\w)['‘]([^'’]+)['’](?!\w)"),  # noqa: RUF001
    "reference": re.compile(r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z0-9][\w-]*\b"),
    "symbol": re.compile(r"\b[A-Z]{2,5}\b"),
    "message": re.compile(
        r"\b(?:saying|that says|to say|tell (?:him|her|them)(?: that)?)\s+(.+?)[.?! ]*$",
        re.IGNORECASE,
    ),
    "topic": re.compile(
        r"\b(?:search(?:ing)?(?: (?:\w+ ){0,3}?for\b)?|"
        r"look(?:ing)? (?:up|for)|google|find(?: out)?(?: about| me)?|about)\s+([^?!]+?)[.?! ]*$",
        re.IGNORECASE,
    ),
    "day": re.compile(
        r"\b(?:today|tonight|tomorrow|yesterday|(?:next |this )?(?:mon|tues|wednes|thurs|fri|satur|"
        r"sun)day|next week|(?:January|February|March|April|May|June|July|August|September|October|"
        r"November|December) \d{1,2})\b",
        re.IGNORECASE,
    ),
}
_NUMBER = re.compile(r"(?<![\w.:/-])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w:/-])")
_PROPER = r"[A-Z][\w'’.&-]*(?:\s+(?:(?:de|of|la|los|del|von|van)\s+)?[A-Z][\w'’.&-]*)*"  # noqa: RUF001
_ENUMERATED = re.compile(
    rf"((?:\s*,\s*{_PROPER})*),?\s+(?:and|or)\s+(?:also\s+)?(?:(?:in|at|for|to|with)\s+)?({_PROPER})"
)
_WITHIN = re.compile(rf",\s*({_PROPER})")
_SUBJECT = re.compile(
    rf"(?:^|[.!?]\s+)({_PROPER}(?:(?:,\s*|,?\s+and\s+){_PROPER})*),?\s+"
    r"(?:is|are|was|were|has|have|lives?|works?|wants?|will|\d+ years)\b"
)
_PLACE_BEFORE = {
    "origin": r"from",
    "destination": r"to|into|towards",
    "place": r"in|at|near|around|for|to|from|of|visiting|visit",
}
_PERSON_BEFORE = (
    r"my name is|name is|named|called|I am|I'm|this is|with|for|to|from|by|invite|email|tell|ask|"
    r"meet|call|author|customer|user"
)
_LOWER_PLACE = re.compile(
    r"\b(?:in|near|at)\s+((?!the\b|a\b|an\b|my\b|this\b|that\b|it\b)[a-z]{3,}(?: [a-z]{3,}){0,2}?)"
    r"(?=\s*(?:[?.!,;]|$|\b(?:today|tonight|tomorrow|now|right|please|and|on|in)\b))"
)
_NO_NAMES = frozenset(
    [
        *("the", "it", "this", "that", "there", "my", "he", "she", "they", "we", "you", "today"),
        *("i", "what", "which", "who", "how", "please", "celsius", "fahrenheit"),
        *("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
        *("january", "february", "march", "april", "may", "june", "july", "august"),
        *("september", "october", "november", "december", "today", "tomorrow"),
    ]
)


class Mentions:
    """What one text mentions."""

    def __init__(self, text: str) -> None:
        """Takes the text; it is searched when asked.

        Args:
            text: What was said.
        """
        self.text = text

    def of_kind(self, kind: str) -> list[str]:
        """All mentions of a kind, in their order.

        Args:
            kind: A format of JSON schema, or one of ``phone``, ``timezone``, ``currency``,
                ``quoted``, ``reference``, ``symbol``, ``message``, ``topic``, ``day``, ``place``,
                ``origin``, ``destination`` and ``person``.

        Returns:
            What was found; empty for an unknown kind.
        """
        if kind in _PLACE_BEFORE:
            return list(dict.fromkeys(self._places(kind)))
        if kind == "person":
            return list(dict.fromkeys((*self._subjects(), *self._after(_PERSON_BEFORE))))
        pattern = _PATTERNS.get(kind)
        if pattern is None:
            return []
        found = (match for match in pattern.finditer(self.text))
        return [next(filter(None, match.groups()), match[0]).strip() for match in found]

    def labelled(self, name: str) -> str | None:
        """What the text says that a field is, as in ``title: Dune`` or ``the title is Dune``."""
        label = r"[ _-]?".join(map(re.escape, name_words(name)))
        match = re.search(
            rf"\b{label}\s*(?::|=|\bis\b|\bshould be\b)\s*[\"']?([^\"'\n,;.?!]+)",
            self.text,
            re.IGNORECASE,
        )
        return match[1].strip() if match and match[1].strip() else None

    def numbers(self, name: str = "") -> list[float]:
        """The numbers, those beside the words of a field's name first."""
        words = set(name_words(name))
        near: list[float] = []
        others: list[float] = []
        for match in _NUMBER.finditer(self.text):
            value = float(match[0].replace(",", ""))
            start, end = max(0, match.start() - 24), match.end() + 24
            around = set(name_words(self.text[start:end]))
            beside = words & around or ("age" in words and {"years", "old", "aged"} & around)
            (near if beside else others).append(value)
        return near + others

    def _places(self, kind: str) -> Iterator[str]:
        found = list(self._after(_PLACE_BEFORE[kind]))
        yield from found
        if not found and kind == "place":
            yield from (match[1].title() for match in _LOWER_PLACE.finditer(self.text))

    def _subjects(self) -> Iterator[str]:
        """Proper names with which a sentence begins that says something of them."""
        for match in _SUBJECT.finditer(self.text):
            for each in re.split(r",\s*|\s+and\s+", match[1]):
                yield from _name(each)

    def _after(self, words: str) -> Iterator[str]:
        """Proper names behind any of the words, and those that are listed with them."""
        for match in re.finditer(rf"\b(?i:{words})\s+({_PROPER})", self.text):
            listed = _ENUMERATED.match(self.text, match.end())
            within = _WITHIN.match(self.text, match.end())
            if listed:
                yield from _name(match[1])
                for each in (*listed[1].split(","), listed[2]):
                    yield from _name(each)
            elif within and not match[1].endswith("."):
                # A city and its state or country.
                for name in _name(match[1]):
                    yield ", ".join((name, *_name(within[1])))
            else:
                yield from _name(match[1])


def _name(found: str) -> Iterator[str]:
    name = found.strip(" .,'’-")  # noqa: RUF001
    name = re.sub(r"['’]s$", "", name)  # noqa: RUF001
    if name and name.split()[0].lower() not in _NO_NAMES:
        yield name
