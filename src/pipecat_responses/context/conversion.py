"""What a context says, in the API's terms, and where in the context it says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from pipecat_responses.context.converted import ConvertedMessage
from pipecat_responses.protocol.items import Item
from pipecat_responses.protocol.repairs import InputRepairs


class ItemOrigins:
    """Which message of a context each item of its conversion came from.

    Seldom asked for, so it is worked out when it is: the repairs are made once more, of the
    messages as they were converted.
    """

    __slots__ = ("_indices", "_messages")

    def __init__(
        self,
        messages: Sequence[ConvertedMessage],
        indices: Sequence[int | None] | None = None,
    ) -> None:
        """Remembers what the answer follows from.

        Args:
            messages: The context's messages, in a list that nobody changes.
            indices: For each item the index of its message, where that is known already.
        """
        self._messages = messages
        self._indices = indices

    @property
    def messages(self) -> int:
        """How many messages the context has."""
        return len(self._messages)

    def message_of(self, item_index: int) -> int | None:
        """The index of the message that an item came from, or None if it came from none."""
        if self._indices is None:
            self._indices = self._found()
        return self._indices[item_index]

    def _found(self) -> list[int | None]:
        repairs = InputRepairs(_say_nothing, _say_nothing)
        repairs.extend(chain.from_iterable(message.items for message in self._messages))
        owners = [index for index, message in enumerate(self._messages) for _ in message.items]
        return [None if origin is None else owners[origin] for origin in repairs.origins()]


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
    """

    items: list[Item]
    tools: list[dict[str, Any]] | None
    tool_choice: Any | None
    instructions: str | None
    origins: ItemOrigins = field(repr=False, compare=False)

    @property
    def messages(self) -> int:
        """How many messages the context had when it was converted."""
        return self.origins.messages

    def message_of(self, item_index: int) -> int | None:
        """Which message of the context an item came from.

        The answer is about the context and the items as they were when they were converted. The
        first one takes a moment, in proportion to the length of the conversation.

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
