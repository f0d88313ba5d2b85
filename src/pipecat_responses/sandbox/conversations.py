"""Conversations: lists of items that outlive responses, which read from them and append to them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pipecat_responses.sandbox.composer import new_id
from pipecat_responses.sandbox.errors import ApiError
from pipecat_responses.sandbox.listed import listed
from pipecat_responses.sandbox.transcript import Item, Transcript


@dataclass
class Conversation:
    """One conversation.

    Attributes:
        id: Its id.
        created_at: When it was made, in seconds since the epoch.
        metadata: What the client has noted on it.
        transcript: Its items; each has an id.
        locked: Whether a response is running in it.
    """

    id: str = field(default_factory=lambda: new_id("conv"))
    created_at: int = field(default_factory=lambda: int(time.time()))
    metadata: dict[str, str] = field(default_factory=dict)
    transcript: Transcript = field(default_factory=Transcript)
    locked: bool = False

    def body(self) -> dict[str, Any]:
        """The conversation as the API gives it."""
        return {
            "id": self.id,
            "object": "conversation",
            "created_at": self.created_at,
            "metadata": self.metadata,
        }

    def add(self, items: Iterable[Item]) -> list[Item]:
        """Appends items.

        Returns:
            The items as they are kept: in the long form, with ids.
        """
        kept = [listed(item) for item in items]
        self.transcript = self.transcript.extend(kept)
        return kept

    def remove(self, item_id: str) -> None:
        """Removes an item.

        Raises:
            ApiError: 404, when there is none of that id.
        """
        self.item(item_id)
        rest = [item for item in self.transcript.items() if item["id"] != item_id]
        self.transcript = Transcript().extend(rest)

    def item(self, item_id: str) -> Item:
        """Finds an item.

        Raises:
            ApiError: 404, when there is none of that id.
        """
        for item in self.transcript.newest_first():
            if item["id"] == item_id:
                return item
        raise ApiError(f"Item with id '{item_id}' not found in conversation.", status=404)

    def check_free(self) -> None:
        """Checks that no response is running in it.

        Raises:
            ApiError: ``conversation_locked``.
        """
        if self.locked:
            raise ApiError(
                "Another process is currently operating on this conversation. "
                "Please retry in a few seconds.",
                code="conversation_locked",
                param="conversation",
            )


class Conversations:
    """All conversations there are; beyond a maximum, the oldest are dropped."""

    def __init__(self) -> None:
        """Begins with none."""
        self._all: dict[str, Conversation] = {}

    def clear(self) -> None:
        """Deletes all of them."""
        self._all.clear()

    def create(
        self, items: Iterable[Item], metadata: dict[str, str], *, maximum: int
    ) -> Conversation:
        """Makes a conversation."""
        conversation = Conversation(metadata=metadata)
        conversation.add(items)
        self._all[conversation.id] = conversation
        while len(self._all) > maximum:
            del self._all[next(iter(self._all))]
        return conversation

    def find(self, conversation_id: str, *, param: str) -> Conversation:
        """Finds a conversation.

        Args:
            conversation_id: Its id.
            param: What the id was given as.

        Raises:
            ApiError: 400 for what is no such id, 404 when there is no such conversation.
        """
        check_id(conversation_id, "conv", param)
        conversation = self._all.get(conversation_id)
        if conversation is None:
            raise ApiError(f"Conversation with id '{conversation_id}' not found.", status=404)
        return conversation

    def of_request(self, body: dict[str, Any]) -> Conversation | None:
        """The conversation that a request belongs to; None for one that names none.

        Raises:
            ApiError: When it is not to be found.
        """
        named = body.get("conversation")
        if named is None:
            return None
        return self.find(named["id"] if isinstance(named, dict) else named, param="conversation")

    def delete(self, conversation_id: str) -> None:
        """Deletes a conversation; its items go with it.

        Raises:
            ApiError: When it is not to be found.
        """
        del self._all[self.find(conversation_id, param="conversation_id").id]


def check_id(value: str, prefix: str, param: str) -> None:
    """Checks that an id is of the right kind, as the API does before it looks for anything.

    Raises:
        ApiError: 400 ``invalid_value``.
    """
    if not value.startswith(prefix):
        raise ApiError(
            f"Invalid '{param}': '{value}'. Expected an ID that begins with '{prefix}'.",
            code="invalid_value",
            param=param,
        )
