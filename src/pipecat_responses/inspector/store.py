"""What is kept of watched sessions, in bounded memory.

Two rings are shared by all sessions. One has what happened (turns, requests, connections), which is
little, so that it reaches back for hours. The other has what went over the wire, by bytes. The
oldest goes first, whosever it is. Nothing is decoded or put into words here.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Protocol, TypeAlias

import msgspec
from msgspec.structs import replace

from pipecat_responses.inspector.lines import Entry, Line, lines_of
from pipecat_responses.inspector.redaction import Redaction
from pipecat_responses.protocol.names import ErrorName, named
from pipecat_responses.protocol.requests import Payload
from pipecat_responses.session.records import (
    MessageSent,
    Record,
    RequestSent,
    ServiceClosed,
    TurnEnded,
)
from pipecat_responses.transport.trace import Data, Reached, Received

OVERHEAD = 256
"""Bytes that an entry takes beside what it holds, about."""

EACH = 96
"""Bytes that each of the events takes beside its text that arrived in one step, about."""

LAST_ITEMS = 4
"""Items of a request that are looked at for what was said last."""

PIECE = 500
"""Entries that are put into words at a time where all are wanted."""

Later: TypeAlias = Callable[[], list[Line]]
"""Puts entries into words, once. What it needs was taken before, so a thread may call it."""

_NOTHING = Payload((), 0)


class SessionView(Protocol):
    """A session as the page sees it, watched now or read from a file."""

    key: str

    def header(self) -> Line:
        """What is said of the session as a whole."""

    def marks(self, since: int, limit: int) -> Later:
        """What happened after an entry, without what went over the wire."""

    def wire(self, since: int, until: int, limit: int) -> Later:
        """What went over the wire."""

    def some(self, seqs: Collection[int]) -> Later:
        """Some of what went over the wire, with the last items of requests only, or was said."""

    def search(self, text: str) -> Callable[[], list[int]]:
        """The numbers of what went over the wire that has a text in it, in small letters."""

    def whole(self, *, words: bool) -> Iterator[Later]:
        """All that is kept, as a session file has it, piece by piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectorLimits:
    """How much is kept in memory.

    Attributes:
        sessions: Sessions; the oldest that have ended go first.
        marks: Things that happened, of all sessions: turns, requests, connections. A turn has
            about eight of them.
        wire_bytes: Bytes of what went over the wire, of all sessions.
    """

    sessions: int = 200
    marks: int = 100_000
    wire_bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        """Refuses what makes no sense."""
        for name in ("sessions", "marks", "wire_bytes"):
            if getattr(self, name) < 1:
                raise named(
                    ValueError(f"InspectorLimits.{name} must be at least 1"), ErrorName.ARGUMENT
                )


class Ring:
    """Entries of several owners, of which the oldest go when they have grown too large."""

    def __init__(self, limit: int) -> None:
        """Creates an empty one.

        Args:
            limit: What the costs of all entries may come to.
        """
        self._limit = limit
        self._cost = 0
        self._owners: deque[deque[Entry]] = deque()

    @property
    def cost(self) -> int:
        """What the costs of all entries come to."""
        return self._cost

    def add(self, entries: deque[Entry], entry: Entry) -> None:
        """Adds an entry to those of its owner, and lets go of the oldest.

        Args:
            entries: Those of its owner. Only rings change it.
            entry: The entry.
        """
        entries.append(entry)
        place = len(entries) - 1
        while place and entries[place - 1].seq > entry.seq:
            # What an event has led to was told before the next that arrived with it.
            entries[place - 1], entries[place] = entry, entries[place - 1]
            place -= 1
        self._owners.append(entries)
        self._cost += entry.cost
        while self._cost > self._limit:
            self._cost -= self._owners.popleft().popleft().cost

    def drop(self, entries: deque[Entry]) -> None:
        """Lets go of all entries of one owner."""
        self._cost -= sum(each.cost for each in entries)
        self._owners = deque(each for each in self._owners if each is not entries)
        entries.clear()


class WatchedSession:
    """What happened in one service since it is watched.

    Attributes:
        key: What it is called in addresses.
        name: The service's name.
        started: When it began to be watched, in seconds since 1970.
    """

    def __init__(
        self,
        key: str,
        name: str,
        mask: Callable[[str], str],
        marks: Ring,
        wire: Ring,
        on_entry: Callable[[Entry], None] | None = None,
        *,
        words: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begins.

        Args:
            key: What it is called in addresses.
            name: The service's name.
            mask: Takes the service's secrets out of a text.
            marks: Where what happened is kept.
            wire: Where what went over the wire is kept.
            on_entry: Is given each entry as well, whole.
            words: Whether texts are shown.
            clock: Seconds, from anywhere.
        """
        self.key = key
        self.name = name
        self.started = time.time()
        self._clock = clock
        self._began = clock()
        self._mask = mask
        self._words = words
        self._marks_ring, self._wire_ring = marks, wire
        self._marks: deque[Entry] = deque()
        self._wire: deque[Entry] = deque()
        self._on_entry = on_entry
        self._seq = 0
        self._arrived = (0, self._began)
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the service has been cleaned up."""
        return self._ended

    @property
    def latest(self) -> int:
        """The number of the latest entry."""
        return self._seq

    @property
    def began(self) -> float:
        """When it began, in its clock."""
        return self._began

    def tell(self, record: Record) -> None:
        """Takes a record. For the service's trace."""
        if type(record) is Reached:
            first, at = self._arrived
            self._marks_ring.add(self._marks, Entry(first + record.index, at, 1, record))
            return
        seq = self._seq + 1
        now = self._clock()
        if type(record) is Received:
            messages = record.messages
            self._seq += len(messages)
            self._arrived = (seq, now)
            cost = OVERHEAD + EACH * len(messages) + sum(map(len, messages))
            self._keep(Entry(seq, now, cost, record))
            return
        self._seq = seq
        if type(record) is RequestSent or type(record) is MessageSent:
            self._keep(Entry(seq, now, OVERHEAD + record.payload.size, record))
            if type(record) is MessageSent:
                return
            mark = Entry(seq, now, 1, replace(record, payload=_NOTHING))
            self._marks_ring.add(self._marks, mark)
            return
        if type(record) is TurnEnded:
            # What was said may be long, so it goes with what went over the wire.
            self._keep(Entry(seq, now, OVERHEAD + len(record.said), record))
            self._marks_ring.add(self._marks, Entry(seq, now, 1, replace(record, said="")))
            return
        entry = Entry(seq, now, 1, record)
        self._marks_ring.add(self._marks, entry)
        if self._on_entry is not None:
            self._on_entry(entry)
        if type(record) is ServiceClosed:
            self._ended = True

    def _keep(self, entry: Entry) -> None:
        """Keeps what went over the wire."""
        self._wire_ring.add(self._wire, entry)
        if self._on_entry is not None:
            self._on_entry(entry)

    # -- for those who look -----------------------------------------------------------------------

    def header(self) -> Line:
        """What is said of the session as a whole."""
        return {
            "key": self.key,
            "name": self.name,
            "started": self.started,
            "ended": self._ended,
            "latest": self._seq,
            "age": self._clock() - self._began,
            "words": self._words,
        }

    def marks(self, since: int, limit: int) -> Later:
        """What happened after an entry, without what went over the wire.

        Args:
            since: The entry's number; 0 for all that is kept.
            limit: The most that are given.
        """
        lines = self._lines(_between(self._marks, since, self._seq)[:limit], wire=False)
        return partial(list, lines)

    def wire(self, since: int, until: int, limit: int) -> Later:
        """What went over the wire.

        Args:
            since: The number of the entry behind which it begins.
            until: The number of the last one.
            limit: The most that are given.
        """
        near = (e for e in _between(self._wire, since, until) if type(e.record) is not TurnEnded)
        lines = self._lines(near, wire=True)
        wanted = (line for line in lines if since < line["seq"] <= until)
        return partial(list, islice(wanted, limit))

    def some(self, seqs: Collection[int]) -> Later:
        """Some of what went over the wire, with the last items of requests only, or was said.

        Args:
            seqs: The numbers of the entries.
        """
        near = _between(self._wire, min(seqs, default=1) - 1, max(seqs, default=0))
        wanted = [each for each in near if any(each.seq <= seq <= each.last for seq in seqs)]
        lines = self._lines(wanted, wire=True)
        return partial(list, (in_brief(line) for line in lines if line["seq"] in seqs))

    def search(self, text: str) -> Callable[[], list[int]]:
        """The numbers of what went over the wire that has a text in it, in small letters.

        Args:
            text: The text.
        """
        entries = list(self._wire) if self._words else []
        sought = encode_text(text)
        return lambda: [
            seq
            for each in entries
            for seq, text in enumerate(texts_of(each.record), each.seq)
            if sought in text
        ]

    def whole(self, *, words: bool) -> Iterator[Later]:
        """All that is kept, in order, as a session file has it, piece by piece.

        Args:
            words: Whether texts are kept.
        """
        # What went over the wire has everything that the mark of it has.
        told = {seq for each in self._wire for seq in range(each.seq, each.last + 1)}
        marks = [each for each in self._marks if each.seq not in told]
        entries = sorted([*marks, *self._wire], key=attrgetter("seq"))
        for start in range(0, len(entries), PIECE):
            piece = entries[start : start + PIECE]
            yield partial(list, self._lines(piece, wire=True, words=words))

    def _lines(self, entries: Iterable[Entry], *, wire: bool, words: bool = True) -> Iterator[Line]:
        redaction = Redaction(self._mask, words=words and self._words)
        began = self._began
        return (line for each in entries for line in lines_of(each, began, redaction, wire=wire))

    def drop(self) -> None:
        """Nothing of it is needed any more."""
        self._marks_ring.drop(self._marks)
        self._wire_ring.drop(self._wire)


def texts_of(record: Record) -> Iterator[str]:
    """What a record has of what went over the wire, in small letters."""
    messages: Sequence[Data] = ()
    if isinstance(record, Received):
        messages = record.messages
    elif isinstance(record, (RequestSent, MessageSent)):
        messages = [record.payload.join()]
    elif isinstance(record, TurnEnded):
        messages = [msgspec.json.encode(record.said)]
    for each in messages:
        yield bytes(each).decode(errors="replace").lower()


def encode_text(text: str) -> str:
    """A text as it stands in JSON, in small letters."""
    return msgspec.json.encode(text.lower())[1:-1].decode()


def in_brief(line: Line) -> Line:
    """A line whose request has its last items only."""
    message = line.get("message")
    if not isinstance(message, dict) or not isinstance(message.get("input"), list):
        return line
    return {**line, "message": {"input": message["input"][-LAST_ITEMS:]}}


def _between(entries: deque[Entry], since: int, until: int) -> list[Entry]:
    """The entries with something behind a number, up to another. The newest are looked at first."""
    found: list[Entry] = []
    for each in reversed(entries):
        if each.last <= since:
            break
        if each.seq <= until:
            found.append(each)
    found.reverse()
    return found
