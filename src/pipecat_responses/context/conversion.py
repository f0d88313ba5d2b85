"""What a context says, in the API's terms, and where in the context it says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, islice
from typing import Any

from pipecat_responses.context.converted import ConvertedMessage
from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.repairs import InputRepairs
from pipecat_responses.protocol.stored import StoredMark


class ItemOrigins:
    """Which message of a context each item of its conversion came from.

    Seldom asked for, so it is worked out when it is. Where something was repaired, the repairs are
    made once more, of the messages as they were converted.

    Attributes:
        messages: How many messages the context had.
    """

    __slots__ = ("_in_place", "_indices", "_messages", "messages")

    def __init__(self, messages: Sequence[ConvertedMessage], *, items: int, in_place: bool) -> None:
        """Remembers what the answer follows from.

        Args:
            messages: The context's messages, in a list that may only grow.
            items: How many items are sent.
            in_place: Whether their items are sent as they stand.
        """
        self.messages = len(messages)
        self._messages = messages
        self._indices = range(items)
        self._in_place = in_place

    def message_of(self, item_index: int) -> int | None:
        """The index of the message that an item came from, or None if it came from none."""
        item_index = self._indices[item_index]
        place = item_index if self._in_place else self._place_of(item_index)
        if place is None:
            return None
        ends = accumulate(map(len, self._items()))
        return next((number for number, end in enumerate(ends) if place < end), None)

    def _place_of(self, item_index: int) -> int | None:
        """Where an item stood before the repairs; None if it was put in."""
        repairs = InputRepairs(_say_nothing, _say_nothing)
        repairs.extend(chain.from_iterable(self._items()))
        # The system instruction as an item comes after all repairs.
        return next(iter(repairs.origins()[item_index : item_index + 1]), None)

    def _items(self) -> Iterator[Sequence[Item]]:
        """The items of each message, as they were added."""
        return (message.items for message in islice(self._messages, self.messages))


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a context says, in the API's terms.

    Attributes:
        items: The conversation's items. The list is the caller's own, the items are shared: an
            unchanged message gives the same objects every time.
        tools: The tools, or None without any.
        tool_choice: The context's choice of a tool, or None if it makes none.
        instructions: The system instruction, or None if there is none or it became an item.
        origins: Which messages the items came from.
        marks: What the context keeps of stored responses, the oldest first.
    """

    items: list[Item]
    tools: list[dict[str, Any]] | None
    tool_choice: Any | None
    instructions: str | None
    origins: ItemOrigins = field(repr=False, compare=False)
    marks: Sequence[StoredMark] = field(default=(), repr=False, compare=False)

    @property
    def messages(self) -> int:
        """How many messages the context had when it was converted."""
        return self.origins.messages

    def message_of(self, item_index: int) -> int | None:
        """Which message of the context an item came from.

        The answer is about the context and the items as they were when they were converted. It
        takes a moment, in proportion to the length of the conversation.

        Args:
            item_index: The item's index in ``items``.

        Returns:
            The message's index in the context; for an output that took the place of an earlier
            one, the later message. None if the item stands for no message: the system instruction
            that became an item, or the output that a call lacks.

        Raises:
            IndexError: If there is no such item.
        """
        return self.origins.message_of(item_index)


def _say_nothing(_: str) -> None:
    """What there is to say of the repairs was said when they were made."""
