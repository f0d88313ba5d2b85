"""What the server remembers: responses by lane, what is stored, and the prompts it has seen.

From the WebSocket mode guide: a connection holds, in memory, the latest response of each lane.
With ``store: true`` a response is kept beyond that, so that older ids work, on any transport.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pipecat_responses.sandbox.errors import previous_response_not_found
from pipecat_responses.sandbox.text import CHARACTERS_PER_TOKEN, count_tokens
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
        bytes: How large the requests for them were.
        responses: What can be continued from, by response id.
        bodies: The response objects, by response id.
        inputs: What the model saw, by response id.
        items: Output items, by item id.
    """

    responses: dict[str, Remembered] = field(default_factory=dict)
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    inputs: dict[str, Transcript] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    bytes: int = 0
    _sizes: dict[str, int] = field(default_factory=dict)

    def keep(
        self,
        remembered: Remembered,
        body: dict[str, Any],
        given: Transcript,
        *,
        size: int,
        maximum: int,
    ) -> None:
        """Stores a response and its output items.

        Args:
            remembered: What can be continued from.
            body: The response.
            given: What the model saw.
            size: Bytes of the request.
            maximum: Beyond so many responses, the oldest are dropped.
        """
        self._sizes[remembered.response_id] = size
        self.bytes += size
        self.responses[remembered.response_id] = remembered
        self.bodies[remembered.response_id] = body
        self.inputs[remembered.response_id] = given
        for item in body["output"]:
            if item.get("id"):
                self.items[item["id"]] = item
        while len(self.bodies) > maximum:
            self.drop(next(iter(self.bodies)))

    def shed(self) -> bool:
        """Drops the oldest response; False when there is no other than that."""
        return len(self.bodies) > 1 and self.drop(next(iter(self.bodies)))

    def drop(self, response_id: str) -> bool:
        """Deletes a response with its output items; False when there is none of that id."""
        self.responses.pop(response_id, None)
        self.inputs.pop(response_id, None)
        self.bytes -= self._sizes.pop(response_id, 0)
        body = self.bodies.pop(response_id, None)
        for item in body["output"] if body is not None else ():
            self.items.pop(item.get("id"), None)
        return body is not None

    def clear(self) -> None:
        """Forgets everything."""
        self.responses.clear()
        self.bodies.clear()
        self.inputs.clear()
        self.items.clear()
        self._sizes.clear()
        self.bytes = 0


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


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request as the prompt cache sees it: in the order in which the model reads it.

    Attributes:
        root: Hash of what loses everything when it changes: model, effort, tools, form of the text.
        root_tokens: Tokens of the tools.
        instructions: The instructions, which come next.
        transcript: The items, which come last.
    """

    root: int
    root_tokens: int
    instructions: str
    transcript: Transcript

    @property
    def before_items(self) -> int:
        """Tokens of all that comes before the items."""
        return self.root_tokens + count_tokens(self.instructions)

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.before_items + self.transcript.tokens

    def extended(self, transcript: Transcript) -> Prompt:
        """The same prompt with other items."""
        return replace(self, transcript=transcript)


_MOST_PREFIXES = 200_000
"""Prefixes that a cache holds; with more, it begins anew, as caches do now and then."""


class PrefixCache:
    """The prompt prefixes seen so far, for the number of cached tokens.

    Caching follows the connection as well as the content, so a WebSocket has one of its own. As
    OpenAI documents it, a prefix counts from a minimum of tokens on and in steps; where two prompts
    part within an item, all of the item counts as new.
    """

    def __init__(self) -> None:
        """Begins with an empty cache."""
        self._seen: set[int] = set()
        self._written: set[int] = set()

    def holds(self, key: int) -> bool:
        """Whether a prefix was written at a breakpoint."""
        return key in self._written

    def hold(self, keys: Iterable[int]) -> None:
        """Writes prefixes that end at breakpoints."""
        if len(self._written) > _MOST_PREFIXES:
            self._written.clear()
        self._written.update(keys)

    def cached_tokens(self, prompt: Prompt, *, minimum: int, step: int) -> int:
        """Tokens of the longest prefix that was seen before.

        Args:
            prompt: The request.
            minimum: A shorter prefix is not cached.
            step: A prefix counts in multiples of so many tokens.

        Returns:
            The number of tokens that need not be computed again.
        """
        length = self._length(prompt, step)
        return length // step * step if length >= minimum else 0

    def note(self, prompt: Prompt, *, step: int) -> None:
        """Has the instructions and the items added last count as seen, up to each place."""
        if len(self._seen) > _MOST_PREFIXES:
            self._seen.clear()
        head = hash((prompt.root, prompt.instructions))
        self._seen.add(prompt.root)
        self._seen.update(chain for chain, _ in _pieces(prompt, step))
        self._seen.add(hash((head, Transcript().chain)))
        self._seen.update(hash((head, chain)) for chain, _ in prompt.transcript.marks)

    def _length(self, prompt: Prompt, step: int) -> int:
        if prompt.root not in self._seen:
            return 0
        head = hash((prompt.root, prompt.instructions))
        if hash((head, Transcript().chain)) not in self._seen:
            length = prompt.root_tokens
            for chain, tokens in _pieces(prompt, step):
                if chain not in self._seen:
                    break
                length = tokens
            return length
        length = prompt.before_items
        transcript = prompt.transcript
        if transcript.parent and hash((head, transcript.parent.chain)) in self._seen:
            length = prompt.before_items + transcript.parent.tokens
        for chain, tokens in transcript.marks:
            if hash((head, chain)) in self._seen:
                length = prompt.before_items + tokens
        return length


def _pieces(prompt: Prompt, step: int) -> Iterator[tuple[int, int]]:
    """For each whole step of the instructions, a hash of all up to there, and its tokens."""
    chain = prompt.root
    width = step * CHARACTERS_PER_TOKEN
    for number in range(1, len(prompt.instructions) // width + 1):
        chain = hash((chain, prompt.instructions[(number - 1) * width : number * width]))
        yield chain, prompt.root_tokens + number * step
