"""Content that only the server can read: encrypted reasoning and compactions.

Nothing secret is in it, so it is merely packed: base64 of JSON behind a checksum, by which the
sandbox recognises what it issued itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

import msgspec

_PREFIX = "gAAAA"
_DIGEST_SIZE = 9


def pack(payload: Any) -> str:
    """Makes opaque content that holds a JSON-able payload; the same payload gives the same."""
    raw = msgspec.json.encode(payload)
    return _PREFIX + base64.urlsafe_b64encode(_digest(raw) + raw).decode()


def unpack(content: str) -> Any:
    """Reads opaque content.

    Raises:
        ValueError: When this sandbox did not issue it.
    """
    try:
        raw = base64.urlsafe_b64decode(content.removeprefix(_PREFIX))
    except binascii.Error as error:
        raise ValueError("Not opaque content") from error
    digest, payload = raw[:_DIGEST_SIZE], raw[_DIGEST_SIZE:]
    if not content.startswith(_PREFIX) or digest != _digest(payload):
        raise ValueError("Not opaque content of this sandbox")
    return msgspec.json.decode(payload)


def is_genuine(content: str) -> bool:
    """Whether this sandbox issued the content."""
    try:
        unpack(content)
    except ValueError:
        return False
    return True


def _digest(raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=_DIGEST_SIZE).digest()
