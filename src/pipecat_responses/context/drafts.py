"""Drafts: messages on their way to items, and the error of one that cannot be sent.

A message may change while others are converted, so a draft takes it as it is, and everything
after that works with the draft.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pipecat.adapters.llm.base_llm_adapter import LLMContextConversionError
from pipecat.processors.aggregators.llm_context import LLMSpecificMessage

from pipecat_responses.context.cache import Entry
from pipecat_responses.context.snapshots import SpecificSnapshot, snapshot
from pipecat_responses.protocol.encoding import LARGE_TEXT, encode_in_pieces
from pipecat_responses.protocol.items import Item, make_item


class ContextMessageError(LLMContextConversionError):
    """A message of the context cannot be sent.

    Attributes:
        index: The message's index in the context.
        role: Its role, or None if it has none.
    """

    def __init__(self, index: int, role: str | None, problem: object) -> None:
        """Creates the error.

        Args:
            index: The message's index in the context.
            role: Its role, or None if it has none.
            problem: What is wrong with it, without a word of its content.
        """
        self.index = index
        self.role = role
        super().__init__(
            ValueError(
                f"message {index} of the context (role {role!r}) cannot be sent: {problem}. "
                "Correct the message or remove it; until then every turn fails."
            )
        )


class Draft:
    """A message to be converted, as it was when the draft was made.

    Attributes:
        key: The message's ``id()``.
        snapshot: What to compare the message with from now on.
    """

    __slots__ = ("_content", "_index", "_problem", "_role", "key", "snapshot")

    def __init__(self, message: Any, index: int) -> None:
        """Takes a message as it is at this moment; what is wrong with it shows when it is built.

        Args:
            message: A message of a context.
            index: Its index in the context.
        """
        self.key = id(message)
        self._index = index
        self._role: str | None = None
        self._problem: Exception | None = None
        self._content: Any = None
        self.snapshot: Any = None
        try:
            if isinstance(message, LLMSpecificMessage):
                self._role = f"specific to {message.llm}"
                payload, payload_snapshot = snapshot(message.message)
                self._content = LLMSpecificMessage(message.llm, payload)
                self.snapshot = SpecificSnapshot(message.llm, payload_snapshot)
            elif isinstance(message, dict):
                role = message.get("role")
                self._role = role if isinstance(role, str) else None
                self._content, self.snapshot = snapshot(message)
            else:
                raise ValueError(f"a message must be a dict, not {type(message).__name__}")
        except (ValueError, RecursionError) as error:
            self._problem = error

    async def build(self, wires: Callable[[Any], Awaitable[list[dict[str, Any]]]]) -> Entry:
        """Converts the message and encodes its items, large ones in steps.

        Args:
            wires: Gives the items of a message as the API takes them.

        Returns:
            The message's entry.

        Raises:
            ContextMessageError: If the message cannot be sent.
        """
        try:
            if self._problem is not None:
                raise self._problem
            items = [await _encoded(wire) for wire in await wires(self._content)]
        except (AttributeError, LookupError, OverflowError, RecursionError, TypeError) as error:
            problem = f"it is malformed ({type(error).__name__}: {error})"
            raise ContextMessageError(self._index, self._role, problem) from error
        except UnicodeError:
            problem = "it holds text that is not valid Unicode"
            raise ContextMessageError(self._index, self._role, problem) from None
        except ValueError as error:
            raise ContextMessageError(self._index, self._role, error) from error
        return Entry(self.snapshot, tuple(items))


async def _encoded(wire: dict[str, Any]) -> Item:
    if not _is_large(wire):
        return make_item(wire)
    pieces = []
    for piece in encode_in_pieces(wire):
        pieces.append(piece)
        await asyncio.sleep(0)
    return make_item(wire, pieces)


def _is_large(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) >= LARGE_TEXT
    if isinstance(value, dict):
        return any(map(_is_large, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_is_large, value))
    return False
