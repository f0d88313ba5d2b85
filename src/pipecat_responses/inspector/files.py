"""Session files: what happened in a call, one JSON object a line.

The first line says what it is, with the version of the format; the others are as in ``lines``. A
file that a process could not finish ends in the middle of a line, and is read up to there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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


class FileSession:
    """A session that was read from a file (``store.SessionView``).

    Attributes:
        key: What it is called in addresses.
    """

    def __init__(self, key: str, head: Line, lines: list[Line]) -> None:
        """Takes what was read; use ``read``."""
        self.key = key
        self._head = head
        self._lines = lines

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
        rows = path.read_bytes().split(b"\n")
        # Without its end, the last line is not complete.
        rows.pop()
        if not rows:
            raise SessionFileError(f"{path} is no session file: it is empty")
        head = _decode(rows[0], path, 1)
        if head.get("format") != FORMAT:
            raise SessionFileError(f"{path} is no session file: its first line does not say so")
        if head.get("version") != VERSION:
            raise SessionFileError(
                f"{path} is of version {head.get('version')}, and this package reads {VERSION}"
            )
        lines = [_decode(row, path, number) for number, row in enumerate(rows[1:], 2) if row]
        for number, line in enumerate(lines, 2):
            if type(line.get("seq")) is not int or not isinstance(line.get("record"), str):
                raise SessionFileError(f"{path}, line {number}: it is not one of a session")
        return cls(key, head, lines)

    def header(self) -> Line:
        """What is said of the session as a whole."""
        last = self._lines[-1] if self._lines else {"seq": 0, "at": 0}
        return {
            "key": self.key,
            "name": str(self._head.get("name", "")),
            "started": self._head.get("started", 0),
            "ended": True,
            "latest": last["seq"],
            "age": last.get("at", 0),
            "words": self._head.get("words") is not False,
        }

    def marks(self, since: int, limit: int) -> Later:
        """What happened after an entry, without what went over the wire."""
        found = [
            {name: each for name, each in line.items() if name not in ("message", "said")}
            for line in self._lines
            if line["seq"] > since and not (line["record"] == "event" and _is_detail(line))
        ]
        return lambda: found[:limit]

    def wire(self, since: int, until: int, limit: int) -> Later:
        """What went over the wire."""
        found = [each for each in self._lines if since < each["seq"] <= until and "message" in each]
        return lambda: found[:limit]

    def some(self, seqs: Collection[int]) -> Later:
        """Some of what went over the wire, with the last items of requests only, or was said."""
        found = [each for each in self._lines if each["seq"] in seqs]
        return lambda: [in_brief(line) for line in found]

    def search(self, text: str) -> Callable[[], list[int]]:
        """The numbers of what went over the wire that has a text in it, in small letters."""
        lines, sought = self._lines, encode_text(text)
        return lambda: [each["seq"] for each in lines if sought in _text_of(each)]

    def whole(self, *, words: bool) -> Iterator[Later]:
        """All that there is, as a session file has it."""
        lines = self._lines
        if words:
            yield lambda: lines
        else:
            redaction = Redaction(str, words=False)
            yield lambda: [without_words(line, redaction) for line in lines]


def _text_of(line: Line) -> str:
    return msgspec.json.encode([line.get("message"), line.get("said")]).decode().lower()


def _is_detail(line: Line) -> bool:
    return line.get("kind") not in MILESTONES


def _decode(row: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(row)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise SessionFileError(f"{path}, line {number}: it is no JSON object")
    return value
