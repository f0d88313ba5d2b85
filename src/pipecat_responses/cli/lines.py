"""Lines of standard input, without blocking the event loop or the end of the process."""

from __future__ import annotations

import asyncio
import codecs
import os
import threading

AHEAD = 64
"""Lines that are read ahead."""


class Lines:
    """Reads lines from a file descriptor on a thread of its own.

    The thread reads the descriptor itself and holds no lock of ``sys.stdin``, so a process that
    ends while it waits for input ends at once.
    """

    def __init__(self, descriptor: int = 0) -> None:
        """Starts to read. Needs a running event loop."""
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(AHEAD)
        self._ended = False
        threading.Thread(target=self._read, name="lines", daemon=True).start()

    async def next(self) -> str | None:
        """The next line without its end, or None after the last one."""
        if self._ended:
            return None
        line = await self._lines.get()
        self._ended = line is None
        return line

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        begun = ""
        while True:
            try:
                data = os.read(self._descriptor, 65536)
            except OSError:
                data = b""
            *whole, begun = (begun + decoder.decode(data, final=not data)).split("\n")
            if not data and begun:
                whole.append(begun)
            if not all(self._put(line.rstrip("\r")) for line in whole):
                return
            if not data:
                self._put(None)
                return

    def _put(self, line: str | None) -> bool:
        """Hands a line over, when there is room; False when nobody takes it any more."""
        coroutine = self._lines.put(line)
        try:
            asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        except (RuntimeError, asyncio.CancelledError):
            coroutine.close()
            return False
        return True
