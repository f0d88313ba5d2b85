"""What is not to be written: keys, whatever field they stand in, and what else one says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

REDACTED = "[redacted]"

_SECRET_NAMES = (
    "authorization",
    "proxy-authorization",
    "api_key",
    "api-key",
    "apikey",
    "x-api-key",
    "x-sandbox-token",
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "password",
    "cookie",
    "set-cookie",
    "openai-organization",
    "openai-project",
)
"""Headers, query parameters and fields whose value is never written."""
_SECRETS = (
    r"\bsk-[A-Za-z0-9_-]{8,}",
    r"\b(?:xai|gsk|pk|rk|ghp|github_pat|hf)[-_][A-Za-z0-9_]{16,}",
    r"\bAKIA[0-9A-Z]{16}\b",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    r"(?i:\bbearer)\s+[A-Za-z0-9._~+/=-]{8,}",
)
"""What keys look like, wherever they stand."""
_KEY_PROTOCOL = "openai-insecure-api-key."
"""How the subprotocol begins that has a key."""
_LEAST = 6
"""A shorter secret is no secret: to take it out everywhere would take out words."""


def key_of_protocols(offered: str) -> str:
    """The key that a browser's client has among its subprotocols; empty without one.

    It cannot set headers, so it sends the key there.
    """
    return offered.partition(_KEY_PROTOCOL)[2].partition(",")[0].strip()


class Redactor:
    """Takes secrets out of what is written down."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """Begins with what secrets look like.

        Args:
            patterns: Regular expressions for more that is to be taken out.

        Raises:
            ValueError: When one of them is none.
        """
        try:
            self._patterns = [re.compile(each) for each in (*_SECRETS, *patterns)]
        except re.error as error:
            raise ValueError(f"{error.pattern!r} is no regular expression: {error.msg}") from error
        self._known: set[str] = set()

    def learn(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Notes the secrets of a request, so that they are found wherever else they stand."""
        for source in (headers, query):
            for name, value in source.items():
                if name.lower() in _SECRET_NAMES:
                    # `Bearer KEY` and `KEY` are both not to be written; `Bearer` is only a word.
                    words = value.split()
                    if len(words) > 1 and name.lower().endswith("authorization"):
                        del words[0]
                    self._known |= {word for word in (value, *words) if len(word) >= _LEAST}
                elif name.lower() == "sec-websocket-protocol":
                    key = key_of_protocols(value)
                    self._known |= {key} if len(key) >= _LEAST else set()

    def text(self, text: str) -> str:
        """A text without secrets."""
        for secret in sorted(self._known, key=len, reverse=True):
            text = text.replace(secret, REDACTED)
        for pattern in self._patterns:
            text = pattern.sub(REDACTED, text)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value without secrets in its texts and names."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if isinstance(value, Mapping):
            # What an MCP server is to be sent is between it and the client.
            headers_are_secret = value.get("type") == "mcp"
            return {
                self.text(name): self._field(name, each, headers_are_secret)
                for name, each in value.items()
            }
        return value

    def query(self, query: Mapping[str, str]) -> dict[str, str]:
        """Query parameters without secrets."""
        return {name: self._field(name, value, False) for name, value in query.items()}

    def _field(self, name: str, value: Any, headers_are_secret: bool) -> Any:
        if name.lower() in _SECRET_NAMES and value is not None:
            return REDACTED
        if headers_are_secret and name == "headers" and isinstance(value, Mapping):
            return dict.fromkeys(value, REDACTED)
        return self.value(value)
