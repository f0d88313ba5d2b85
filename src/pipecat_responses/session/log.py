"""Log lines of a session: each names the service it belongs to, and holds no secret of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from loguru import logger


class SessionLog:
    """A logger for one service. Texts are put together only if the line is going to be printed."""

    def __init__(self, owner: object = "session", mask: Callable[[str], str] = str) -> None:
        """Creates a log.

        Args:
            owner: What each line begins with.
            mask: Takes secrets out of a text.
        """
        self._owner = owner
        self._mask = mask
        # The line is the caller's, not this module's.
        self._logger = logger.opt(depth=1)

    def debug(self, template: str, *values: object) -> None:
        """For those who look into what happens."""
        self._logger.debug(f"{{}}: {template}", self._owner, *map(self._masked, values))

    def info(self, template: str, *values: object) -> None:
        """For everybody, once."""
        self._logger.info(f"{{}}: {template}", self._owner, *map(self._masked, values))

    def warning(self, template: str, *values: object) -> None:
        """Something went wrong and was mended."""
        self._logger.warning(f"{{}}: {template}", self._owner, *map(self._masked, values))

    def error(self, template: str, *values: object) -> None:
        """Something is wrong that somebody has to mend."""
        self._logger.error(f"{{}}: {template}", self._owner, *map(self._masked, values))

    def mask(self, text: str) -> str:
        """A text without the secrets of the service."""
        return self._mask(text)

    def _masked(self, value: object) -> Any:
        return value if isinstance(value, (int, float)) else _Masked(value, self._mask)


class _Masked:
    """A value whose text is made, and masked, when somebody reads it."""

    __slots__ = ("_mask", "_value")

    def __init__(self, value: object, mask: Callable[[str], str]) -> None:
        self._value = value
        self._mask = mask

    def __str__(self) -> str:
        return self._mask(str(self._value))

    __repr__ = __str__
