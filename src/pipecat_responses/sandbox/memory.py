"""What the server remembers: one response per lane of a connection, and what is stored.

From the WebSocket mode guide: a connection holds, in memory, the latest response of each lane.
With ``store: true`` a response is kept beyond that, so that older ids work, on any transport.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipecat_responses.sandbox.errors import previous_response_not_found
from pipecat_responses.sandbox.transcript import Item, Transcript


@dataclass(frozen=True, slots=True)
class Remembered:
    """A response that another one can continue from.

    Attributes:
        response_id: Its id.
        transcript: All input and output items up to and including its own.
    """

    response_id: str
    transcript: Transcript


@dataclass
class Store:
    """Responses kept because of ``store: true``; they survive connections.

    Attributes:
        responses: What can be continued from, by response id.
        bodies: The response objects, by response id.
        items: Output items, by item id.
    """

    responses: dict[str, Remembered] = field(default_factory=dict)
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)

    def keep(self, remembered: Remembered, body: dict[str, Any]) -> None:
        """Stores a response and its output items."""
        self.responses[remembered.response_id] = remembered
        self.bodies[remembered.response_id] = body
        for item in body["output"]:
            if item.get("id"):
                self.items[item["id"]] = item

    def drop(self, response_id: str) -> bool:
        """Deletes a response; False when there is none of that id."""
        self.responses.pop(response_id, None)
        return self.bodies.pop(response_id, None) is not None

    def clear(self) -> None:
        """Forgets everything."""
        self.responses.clear()
        self.bodies.clear()
        self.items.clear()


class LaneMemory:
    """The responses that the lanes of one connection remember."""

    def __init__(self) -> None:
        """Begins with nothing remembered."""
        self._latest: dict[str | None, Remembered] = {}

    def latest(self, lane: str | None) -> Remembered | None:
        """What a lane remembers."""
        return self._latest.get(lane)

    def remember(self, lane: str | None, remembered: Remembered | None) -> None:
        """Replaces what a lane remembers; None empties it."""
        if remembered is None:
            self._latest.pop(lane, None)
        else:
            self._latest[lane] = remembered

    def evict(self, lane: str | None, response_id: str | None) -> None:
        """Drops a response that a refused request named, if it is this lane's own."""
        latest = self._latest.get(lane)
        if latest is not None and latest.response_id == response_id:
            del self._latest[lane]

    def clear(self) -> None:
        """Forgets every lane's response."""
        self._latest.clear()

    def resolve(
        self, response_id: str | None, lane: str | None, store: Store, *, forks: bool
    ) -> Transcript:
        """Finds what a request continues from.

        Args:
            response_id: The parent named by the request; None starts with nothing.
            lane: The lane that the request runs on.
            store: Stored responses, for ids that no lane remembers any more.
            forks: Whether another lane's response may be continued.

        Returns:
            The parent's items.

        Raises:
            ApiError: ``previous_response_not_found``.
        """
        if response_id is None:
            return Transcript()
        for name, latest in self._latest.items():
            if latest.response_id == response_id and (forks or name == lane):
                return latest.transcript
        stored = store.responses.get(response_id)
        if stored is None:
            raise previous_response_not_found(response_id)
        return stored.transcript


class PrefixCache:
    """The prompt prefixes seen so far, for the number of cached tokens.

    Caching follows the connection as well as the content, so a WebSocket has one of its own.
    Other than the real cache it has no minimum length and no granularity.
    """

    def __init__(self) -> None:
        """Begins with an empty cache."""
        self._seen: dict[int, set[int]] = {}

    def cached_tokens(self, root: int, root_tokens: int, transcript: Transcript) -> int:
        """Tokens of the longest prefix that was seen before.

        Args:
            root: Hash of what comes before the items: model, tools, instructions, effort.
            root_tokens: Tokens of that.
            transcript: The items.

        Returns:
            The number of tokens that need not be computed again.
        """
        seen = self._seen.get(root, set())
        cached = 0
        if transcript.parent is not None and transcript.parent.chain in seen:
            cached = root_tokens + transcript.parent.tokens
        for chain, tokens in transcript.marks:
            if chain in seen:
                cached = root_tokens + tokens
        return cached

    def note(self, root: int, transcript: Transcript) -> None:
        """Has the items added last, and each prefix that ends among them, count as seen."""
        seen = self._seen.setdefault(root, {Transcript().chain})
        seen.update(chain for chain, _ in transcript.marks)
