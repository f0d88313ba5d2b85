"""Server-sent events: bytes in, the data of complete events out."""

from __future__ import annotations

import re

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure

_LINE_END = re.compile(rb"\r\n|\n|\r(?!$)")
_SOME_LINE_END = re.compile(rb"[\r\n]")


class EventStream:
    """Splits a stream of bytes into the data of its events.

    Only ``data`` lines matter here: the API repeats an event's type inside its JSON.
    """

    def __init__(self, max_event_bytes: int) -> None:
        """Creates a parser.

        Args:
            max_event_bytes: Largest event that is accepted.
        """
        self._max = max_event_bytes
        # A line that has not ended, in the pieces in which it came: a large one has hundreds.
        self._rest: list[bytes] = []
        self._rest_size = 0
        self._data: list[bytes] = []
        self._size = 0
        self._silent = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Takes the next bytes, cut anywhere.

        Returns:
            The data of each event that is complete now.

        Raises:
            ResponsesError: If an event is larger than is accepted.
        """
        self._silent += len(data)
        lines = self._lines(data)
        if max(self._rest_size + self._size, self._silent - self._rest_size) > self._max:
            raise self._too_large()
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                text = line[5:].strip()
                self._data.append(text)
                self._size += len(text)
            elif not line.strip():
                self._dispatch(events)
        if events:
            self._silent = self._rest_size
        return events

    def _lines(self, data: bytes) -> list[bytes]:
        """The lines that are complete with the next bytes; the rest is kept."""
        after_return = bool(self._rest) and self._rest[-1].endswith(b"\r")
        if not after_return and not _SOME_LINE_END.search(data):
            if data:
                self._rest.append(data)
                self._rest_size += len(data)
            return []
        data = b"".join([*self._rest, data])
        # A line ends with LF, CR LF or CR; whether an LF follows a last CR is not known yet.
        *lines, rest = _LINE_END.split(data) if b"\r" in data else data.split(b"\n")
        self._rest = [rest] if rest else []
        self._rest_size = len(rest)
        return lines

    def _dispatch(self, events: list[bytes]) -> None:
        if self._size > self._max:
            raise self._too_large()
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            if data != b"[DONE]":
                events.append(data)
            self._data = []
            self._size = 0

    def _too_large(self) -> ResponsesError:
        return ResponsesError(
            "The server sent an event over the size limit (max_message_bytes)",
            failure=Failure.PROTOCOL,
            transport="http",
        )
