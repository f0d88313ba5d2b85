"""The secrets of one service: kept out of whatever leaves it, since a server may say them back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.names import ErrorName, named

ApiKey: TypeAlias = str | Callable[[], Awaitable[str]]
"""A key, or an async callable that gives one each time it is needed."""

SHORTEST = 4
"""Characters from which a secret is kept out of texts; a shorter one would be found in many."""

MOST = 64
"""Secrets that are kept out of texts at a time; keys that rotate are forgotten in the end."""


SHORTEST_VALUE = 8
"""Characters from which a part of an address counts as a secret."""

_PUBLIC = ("api-version", "model")
"""Parts of a query that are no secrets, and that messages are about."""

_CREDENTIAL = re.compile(r"auth|key|token|secret|cookie|password|signature", re.IGNORECASE)


class Secrets:
    """Masks secrets, whatever they look like."""

    def __init__(self) -> None:
        """Starts without secrets."""
        # The latest last.
        self._secrets: dict[str, None] = {}

    def add(self, secret: str) -> None:
        """Has a secret masked from now on."""
        if len(secret) >= SHORTEST:
            self._secrets.pop(secret, None)
            self._secrets[secret] = None
            if len(self._secrets) > MOST:
                del self._secrets[next(iter(self._secrets))]

    def add_address(self, url: str) -> None:
        """Has what is secret in an address masked: a password, and the values of its query."""
        if "@" not in url and "?" not in url:
            return
        parts = urlsplit(url)
        values = [value for name, value in parse_qsl(parts.query) if name not in _PUBLIC]
        for secret in (parts.username, parts.password, *values):
            for form in {secret or "", unquote(secret or "")}:
                if len(form) >= SHORTEST_VALUE:
                    self.add(form)

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Has the values of headers masked that look like credentials by their names."""
        for name, value in headers.items():
            if _CREDENTIAL.search(name):
                self.add(str(value))

    def mask(self, text: str) -> str:
        """A text without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def guard(self, key: ApiKey, within: float) -> ApiKey:
        """The same key, or source of keys, with every key it gives masked from then on.

        Args:
            key: The key, or an async callable that gives one.
            within: Seconds it has to give one. If it fails, it is asked once more in that time.

        Raises:
            ValueError: If the key cannot be one.
        """
        if isinstance(key, str):
            check_key(key)
            self.add(key)
            return key

        async def source() -> str:
            given = await _ask(key, within)
            try:
                check_key(given)
            except ValueError as error:
                raise _no_key(str(error)) from None
            self.add(given)
            return given

        return source


async def _ask(key: Callable[[], Awaitable[str]], within: float) -> str:
    """Asks the application's code for a key; whatever that does costs a turn and no more.

    Raises:
        ResponsesError: If it gives none in time, without a word of what it has said.
    """
    failed: BaseException | None = None
    try:
        async with asyncio.timeout(within) as limit:
            for _ in range(2):
                try:
                    return await key()
                except Exception as error:  # noqa: BLE001 - it is the application's code
                    failed = error
    except TimeoutError:
        pass
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Something of its own was cancelled, not the turn.
        failed = error
    if limit.expired():
        raise _no_key(f"api_key gave no key within {within:g} s")
    raise _no_key(f"api_key gave no key: it failed with {type(failed).__name__}")


def _no_key(message: str) -> ResponsesError:
    return ResponsesError(message, failure=Failure.NO_KEY)


def check_key(key: object) -> None:
    """Refuses what no server can take as a key.

    Raises:
        ValueError: If it is refused, without a word of it.
    """
    if not isinstance(key, str):
        raise named(
            ValueError(f"api_key must give a str, not {type(key).__name__}"), ErrorName.API_KEY
        )
    if not key:
        raise named(ValueError("api_key must not be empty"), ErrorName.API_KEY)
    if not key.isascii() or not key.isprintable() or key != key.strip():
        raise named(
            ValueError(
                "api_key holds white space or characters that cannot stand in a header: check what "
                "it was read from"
            ),
            ErrorName.API_KEY,
        )
