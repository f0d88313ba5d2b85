"""What may be shown and written of a call: never a key, and words if they are wanted.

Without words, each text is replaced by its length. What is kept of messages is listed here, name
by name, so that a field nobody has thought of is taken for words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

LONGEST = 32 * 1024
"""Characters from which a text is shortened: images are in messages as text."""

KEPT = frozenset(
    {
        "call_id",
        "cause",
        "code",
        "detail",
        "effort",
        "event_id",
        "failure",
        "format",
        "id",
        "item_id",
        "kind",
        "lane",
        "mode",
        "model",
        "name",
        "object",
        "param",
        "phase",
        "previous_response_id",
        "prompt_cache_retention",
        "reason",
        "record",
        "request_id",
        "response_id",
        "role",
        "server_label",
        "service_tier",
        "status",
        "stream_id",
        "summary_type",
        "syntax",
        "tool_choice",
        "truncation",
        "type",
        "verbosity",
    }
)
"""Fields whose texts say how a message is built, and not what is said in it."""

_NAME = re.compile(r"[\w.:/-]{0,128}", re.ASCII)
"""What such a text looks like; anything else there is taken for words, too."""


_checker = msgspec.json.Decoder(msgspec.Raw)
"""Finds out whether something is JSON, and no more."""


class Redaction:
    """Takes out of values what is not to leave."""

    def __init__(self, mask: Callable[[str], str], *, words: bool) -> None:
        """Creates it.

        Args:
            mask: Takes secrets out of a text.
            words: Whether texts are kept.
        """
        self._mask = mask
        self._words = words

    def plain(self, text: str) -> str:
        """A text of this package's own, without secrets."""
        return self._mask(text)

    def said(self, value: Any, name: str = "") -> Any:
        """A JSON value that somebody has said, as far as it may leave.

        Args:
            value: The value.
            name: The field that it stands in.
        """
        if isinstance(value, str):
            return self._text(value, name)
        if isinstance(value, Mapping):
            return {self._key(key): self.said(each, key) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            if not self._words and name == "bytes":
                # Of the tokens of a text.
                return f"<{len(value)} bytes>"
            return [self.said(each, name) for each in value]
        return value

    def message(self, data: bytes) -> Any:
        """A message as it went over the wire, as a JSON value or ready-made JSON.

        Args:
            data: Its bytes.

        Returns:
            The value; a text where the bytes are not JSON, or nested too deeply. None where there
            are none.
        """
        if not data:
            return None
        try:
            if self._words and len(data) <= LONGEST and b"\\" not in data:
                # Nothing is to be shortened, and a secret would stand there as it is.
                _checker.decode(data)
                return msgspec.Raw(self._mask(data.decode()).encode())
            return self.said(msgspec.json.decode(data))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self._text(data.decode(errors="replace"), "")

    def _key(self, key: str) -> str:
        # Names of fields are the application's, but for those that hold a secret.
        return self._mask(key)

    def _text(self, text: str, name: str) -> str:
        if not self._words and not (name in KEPT and _NAME.fullmatch(text)):
            return f"<{len(text)} characters>"
        text = self._mask(text)
        if len(text) > LONGEST:
            return f"{text[:LONGEST]} <{len(text) - LONGEST} more characters>"
        return text
