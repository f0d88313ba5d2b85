"""Session files: what happened in a call, one JSON object a line.

The first line says what it is, with the version of the format; the others are as in ``lines``. A
file that a process could not finish ends in the middle of a line, and is read up to there.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from loguru import logger

from pipecat_responses.inspector.lines import Entry, Line, lines_of, without_words
from pipecat_responses.inspector.redaction import Redaction
from pipecat_responses.inspector.store import (
    PIECE,
    Later,
    WatchedSession,
    encode_text,
    in_brief,
)
from pipecat_responses.protocol.names import ErrorName, named
from pipecat_responses.transport.trace import MILESTONES

FORMAT = "pipecat-responses session"
VERSION = 1

LONGEST_HEAD = 64 * 1024
"""Bytes that the first line of a file may have."""

MOST_PENDING = 64 * 1024 * 1024
"""Bytes of entries that may wait to be written, before those that come are left out."""


class SessionFileError(ValueError):
    """A file is no session file, or one that cannot be read."""

    def __init__(self, message: str) -> None:
        """Creates the error, which says in a note who knows more."""
        super().__init__(message)
        named(self, ErrorName.SESSION_FILE)


def head_line(header: Line, *, words: bool) -> bytes:
    """The first line of a file.

    Args:
        header: What is said of the session as a whole.
        words: Whether texts are kept in the file.
    """
    head = {
        "format": FORMAT,
        "version": VERSION,
        "name": header["name"],
        "started": header["started"],
        "words": words and header["words"],
    }
    return msgspec.json.encode(head) + b"\n"


def encode_lines(lines: Iterable[Line]) -> bytes:
    """Lines as a file has them."""
    return b"".join(msgspec.json.encode(each) + b"\n" for each in lines)


class SessionWriter:
    """Writes what happens in a session to a file, a little later, and never in the event loop.

    Attributes:
        path: The file.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Prepares a file; it is created with the first entries.

        Args:
            folder: Where it goes. It is created if it is not there.
            name: The service's name, for the file's.
        """
        now = datetime.now(UTC)
        safe = re.sub(r"[^\w.-]+", "-", name)[:80]
        self.path = folder / f"{now:%Y%m%d-%H%M%S}-{now.microsecond:06d}-{safe}.jsonl"
        self._pending: list[Entry] = []
        self._size = 0
        self._left_out = 0
        self._begun = self._broken = False

    def add(self, entry: Entry) -> None:
        """Takes an entry."""
        if self._broken:
            return
        size = entry.cost
        if self._size + size > MOST_PENDING:
            self._left_out += 1
            return
        self._size += size
        self._pending.append(entry)

    @property
    def waits(self) -> bool:
        """Whether entries wait to be written."""
        return bool(self._pending)

    def take(self) -> list[Entry]:
        """Takes the entries that wait to be written."""
        pending, self._pending, self._size = self._pending, [], 0
        if self._left_out:
            logger.warning("{}: {} entries came too fast to be written", self.path, self._left_out)
            self._left_out = 0
        return pending

    def write(self, entries: list[Entry], session: WatchedSession, redaction: Redaction) -> None:
        """Writes entries. For a thread; one call at a time.

        Args:
            entries: The entries.
            session: Whose they are.
            redaction: Takes out of them what is not to be written.
        """
        if self._broken:
            return
        try:
            if not self._begun:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                if not self._begun:
                    file.write(head_line(session.header(), words=True))
                    self._begun = True
                for start in range(0, len(entries), PIECE):
                    some = entries[start : start + PIECE]
                    file.write(
                        encode_lines(
                            line
                            for each in some
                            for line in lines_of(each, session.began, redaction, wire=True)
                        )
                    )
        except OSError as error:
            # The call is worth more than what is written of it.
            self._broken = True
            logger.error("{} cannot be written, recording ends: {}", self.path, error)


class _Row(msgspec.Struct):
    """What is looked at of a line when a file is opened."""

    seq: int
    record: str
    at: float = 0.0
    kind: Any = None

    @property
    def is_mark(self) -> bool:
        """Whether it is of interest without what went over the wire."""
        if self.record == "event":
            return isinstance(self.kind, str) and self.kind in MILESTONES
        return self.record != "message"


_row_decoder = msgspec.json.Decoder(_Row)


class FileSession:
    """A session that is read from a file (``store.SessionView``).

    Only where each line stands is kept in memory. What is asked for is read again, so a file may
    be of any length.

    Attributes:
        key: What it is called in addresses.
    """

    def __init__(self, key: str, path: Path, head: Line) -> None:
        """Takes the first line; use ``read``."""
        self.key = key
        self._path = path
        self._head = head
        self._latest = 0.0
        # Of each line: its number in the session, and where it begins.
        self._seqs = array("q")
        self._places = array("q")
        self._marks = array("q")
        self._mark_places = array("q")

    @classmethod
    def read(cls, path: Path, key: str = "file") -> FileSession:
        """Reads a file.

        Args:
            path: The file.
            key: What it is called in addresses.

        Raises:
            SessionFileError: If it is no session file.
            OSError: If it cannot be read.
        """
        with path.open("rb") as file:
            session = cls(key, path, _read_head(file, path))
            place = file.tell()
            for number, row in enumerate(file, 2):
                # Without its end, the last line is not complete.
                if row.endswith(b"\n") and row != b"\n":
                    session._add(row, place, f"{path}, line {number}")
                place += len(row)
        return session

    def _add(self, row: bytes, place: int, where: str) -> None:
        try:
            found = _row_decoder.decode(row)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise SessionFileError(f"{where}: it is not one of a session") from None
        if self._seqs and found.seq <= self._seqs[-1]:
            raise SessionFileError(f"{where}: it does not come after the line before it")
        self._seqs.append(found.seq)
        self._places.append(place)
        self._latest = found.at
        if found.is_mark:
            self._marks.append(found.seq)
            self._mark_places.append(place)

    def header(self) -> Line:
        """What is said of the session as a whole."""
        return {
            "key": self.key,
            "name": str(self._head.get("name", "")),
            "started": self._head.get("started", 0),
            "ended": True,
            "latest": self._seqs[-1] if self._seqs else 0,
            "age": self._latest,
            "words": self._head.get("words") is not False,
        }

    def marks(self, since: int, limit: int) -> Later:
        """What happened after an entry, without what went over the wire."""
        first = bisect_right(self._marks, since)
        places = self._mark_places[first : first + limit]
        return lambda: [
            {name: each for name, each in line.items() if name not in ("message", "said")}
            for line in self._lines(places)
        ]

    def wire(self, since: int, until: int, limit: int) -> Later:
        """What went over the wire."""
        first, last = bisect_right(self._seqs, since), bisect_right(self._seqs, until)
        lines = (line for line in self._lines(self._places[first:last]) if "message" in line)
        return partial(list, islice(lines, limit))

    def some(self, seqs: Collection[int]) -> Later:
        """Some of what went over the wire, with the last items of requests only, or was said."""
        places = [
            self._places[index]
            for seq in sorted(seqs)
            if (index := bisect_left(self._seqs, seq)) < len(self._seqs)
            and self._seqs[index] == seq
        ]
        return lambda: [in_brief(line) for line in self._lines(places)]

    def search(self, text: str) -> Callable[[], list[int]]:
        """The numbers of what went over the wire that has a text in it, in small letters."""
        sought = encode_text(text)
        return lambda: [
            line["seq"] for line in self._lines(self._places) if sought in _text_of(line)
        ]

    def whole(self, *, words: bool) -> Iterator[Later]:
        """All that there is, as a session file has it."""
        redaction = Redaction(str, words=words)
        for start in range(0, len(self._places), PIECE):
            lines = self._lines(self._places[start : start + PIECE])
            if not words:
                lines = (without_words(line, redaction) for line in lines)
            yield partial(list, lines)

    def _lines(self, places: Iterable[int]) -> Iterator[Line]:
        with self._path.open("rb") as file:
            for place in places:
                file.seek(place)
                yield msgspec.json.decode(file.readline())


def _read_head(file: BinaryIO, path: Path) -> Line:
    """Reads the first line of a file, and no more than that may be."""
    row = file.readline(LONGEST_HEAD)
    if not row:
        raise SessionFileError(f"{path} is no session file: it is empty")
    try:
        head = msgspec.json.decode(row)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        head = None
    if not isinstance(head, dict):
        raise SessionFileError(f"{path} is no session file: its first line is no JSON object")
    if head.get("format") != FORMAT:
        raise SessionFileError(f"{path} is no session file: its first line does not say so")
    version = head.get("version")
    if version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        what = ": a newer pipecat-responses has written it, and can show it" if newer else ""
        raise SessionFileError(
            f"{path} is of version {version}, and this package reads {VERSION}{what}"
        )
    return head


def _text_of(line: Line) -> str:
    return msgspec.json.encode([line.get("message"), line.get("said")]).decode().lower()
