"""What the name of a field tells of its value."""

from __future__ import annotations

from typing import NamedTuple

from pipecat_responses.sandbox.formats import STOCK
from pipecat_responses.sandbox.text import name_words


class Meaning(NamedTuple):
    """What a field of some name is about.

    Attributes:
        kinds: The kinds of mentions that give its value, the best first; see ``Mentions.of_kind``.
        stock: Values for when nothing was mentioned; None says what was said.
    """

    kinds: tuple[str, ...]
    stock: tuple[str, ...] | None


_PEOPLE = ("Ada Lovelace", "Grace Hopper", "Alan Turing")
_PLACES = ("Paris", "San Francisco", "Tokyo")
_MEANINGS: dict[str, Meaning] = {
    "email mail": Meaning(("email",), STOCK["email"]),
    "phone telephone mobile fax": Meaning(("phone",), ("+14155550123", "+14155550178")),
    "url uri link website homepage href": Meaning(("uri",), STOCK["uri"]),
    "uuid guid": Meaning(("uuid",), STOCK["uuid"]),
    "hostname host domain": Meaning(("hostname",), STOCK["hostname"]),
    "ip": Meaning(("ipv4",), STOCK["ipv4"]),
    "timezone tz": Meaning(("timezone",), ("Europe/Paris", "America/New_York", "Asia/Tokyo")),
    "currency": Meaning(("currency",), ("USD", "EUR", "JPY")),
    "birthday date deadline due": Meaning(("date", "day"), STOCK["date"]),
    "day when weekday": Meaning(("day",), ("today", "tomorrow")),
    "time": Meaning(("time",), ("09:30", "18:00")),
    "origin departure source": Meaning(("origin", "place"), _PLACES),
    "destination arrival": Meaning(("destination", "place"), _PLACES[1:]),
    "location city place town region area": Meaning(("place",), _PLACES),
    "country": Meaning(("place",), ("France", "United States", "Japan")),
    "address street": Meaning(("place",), ("1 Main Street", "22 Rue de Rivoli")),
    "language lang locale": Meaning((), ("English", "French", "Japanese")),
    "zip postcode postal": Meaning((), ("94103", "75001")),
    "name person author customer attendee participant guest assignee speaker user": (
        Meaning(("person",), _PEOPLE)
    ),
    "firstname": Meaning((), ("Ada", "Grace", "Alan")),
    "surname lastname": Meaning((), ("Lovelace", "Hopper", "Turing")),
    "id code sku reference number order ticket": Meaning(
        ("reference",), ("A1001", "B2002", "C3003")
    ),
    "query keyword search topic q": Meaning(("topic",), None),
    "title headline label": Meaning(("quoted",), None),
    "subject": Meaning(("quoted", "topic"), None),
    "body message content text note": Meaning(("quoted", "message"), None),
    "to cc recipient": Meaning(("email", "person"), STOCK["email"]),
    "symbol ticker": Meaning(("symbol",), ("ACME", "INIT")),
    "color colour": Meaning((), ("blue", "green", "red")),
    "answer explanation output reasoning response": Meaning((), None),
}
_BY_WORD = {word: meaning for words, meaning in _MEANINGS.items() for word in words.split()}
_TOGETHER = {
    "time zone": "timezone",
    "ip address": "ip",
    "zip code": "zip",
    "postal code": "postal",
    "first name": "firstname",
    "given name": "firstname",
    "last name": "lastname",
    "family name": "lastname",
}
_NUMBERS: dict[str, float] = {
    "age": 36, "year": 2026, "month": 6, "day": 15, "hour": 9, "minute": 30, "quantity": 1,
    "count": 1, "total": 19.98, "price": 9.99, "amount": 9.99, "cost": 9.99, "rating": 4,
    "score": 0.9, "confidence": 0.9, "probability": 0.5, "temperature": 21, "latitude": 48.8566,
    "lat": 48.8566, "longitude": 2.3522, "lon": 2.3522, "lng": 2.3522, "percentage": 50,
    "port": 8080, "duration": 30, "limit": 10, "page": 1, "id": 1, "height": 170, "weight": 65,
}  # fmt: skip


def meaning_of(name: str) -> Meaning | None:
    """What a string is about, by the name of its field: the last word that says something."""
    words = name_words(name)
    if together := _TOGETHER.get(" ".join(words[-2:])):
        words = [together]
    elif words[-1:] == ["name"] and words[:-1] and words[-2] in _BY_WORD:
        words = words[:-1]
    for word in reversed(words):
        found = _BY_WORD.get(word) or _BY_WORD.get(word.removesuffix("s"))
        if found is not None:
            return found
    return None


def number_of(name: str) -> float | None:
    """A number for a field of some name; None where the name tells nothing."""
    found = (_NUMBERS.get(word) for word in reversed(name_words(name)))
    return next((number for number in found if number is not None), None)
