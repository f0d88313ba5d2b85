"""JSON, encoded once and in bounded steps.

A conversation is mostly text that was sent before, and sometimes an image of several megabytes.
Both want the same thing: encode a value once, keep the bytes, never hold the event loop for long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import msgspec

LARGE_TEXT = 64 * 1024
"""Characters from which a string counts as large and is encoded piece by piece."""

PIECE = 256 * 1024
"""Characters of a large string that are encoded in one step (well under a millisecond)."""

_encoder = msgspec.json.Encoder()
encode = _encoder.encode
"""Encodes a value as compact JSON bytes. Raises ``TypeError`` for what JSON cannot hold."""


def encode_mended(value: Any) -> bytes:
    """Encodes a value; text that is not valid Unicode is mended.

    Raises:
        TypeError: If the value holds something JSON cannot.
    """
    try:
        return encode(value)
    except UnicodeEncodeError:
        return encode(mended(value))


def encode_in_pieces(value: Any) -> Iterator[bytes]:
    """Encodes a value that may hold large strings, one bounded piece at a time.

    The pieces joined are the same JSON that ``encode`` gives. A caller on an event loop can let
    other work run between two pieces.

    Args:
        value: Anything JSON can hold.

    Yields:
        The next piece of the JSON text.

    Raises:
        TypeError: If the value holds something JSON cannot.
    """
    large: list[str] = []
    # Fresh each time, so that no text can contain it.
    mark = f"pipecat-responses:{uuid4().hex}"
    rest = encode(_mark_large(value, mark, large))
    for text in large:
        before, _, rest = rest.partition(mark.encode())
        yield before
        for start in range(0, len(text), PIECE):
            yield encode(text[start : start + PIECE])[1:-1]
    yield rest


def _mark_large(value: Any, mark: str, large: list[str]) -> Any:
    if isinstance(value, str):
        if len(value) < LARGE_TEXT:
            return value
        large.append(value)
        return mark
    if isinstance(value, dict):
        return {key: _mark_large(entry, mark, large) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mark_large(entry, mark, large) for entry in value]
    return value


def mend_surrogates(text: str) -> str:
    """A text with its surrogate pairs joined, and U+FFFD in place of those that stand alone."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


_SURROGATE = re.compile("[\ud800-\udfff]")


def mended(value: Any) -> Any:
    """A copy of a JSON value with every text in it mended (see ``mend_surrogates``)."""
    if isinstance(value, str):
        return mend_surrogates(value)
    if isinstance(value, dict):
        return {mended(key): mended(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [mended(entry) for entry in value]
    return value
