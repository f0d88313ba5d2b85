"""Lines of standard input, without blocking the event loop or the end of the process."""

from __future__ import annotations

import asyncio
import codecs
import os
import threading
from concurrent import futures

AHEAD = 64
"""Lines that are read ahead."""


class Lines:
    """Reads lines from a file descriptor on a thread of its own.

    The thread reads the descriptor itself and holds no lock of ``sys.stdin``, so a process that
    ends while it waits for input ends at once.
    """

    def __init__(self, descriptor: int = 0) -> None:
        """Prepares to read; nothing is read before the first ``next``."""
        self._descriptor = descriptor
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(AHEAD)
        self._started = False
        self._ended = False

    async def next(self) -> str | None:
        """The next line without its end, or None after the last one."""
        if self._ended:
            return None
        if not self._started:
            self._started = True
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._read, args=(loop,), name="lines", daemon=True).start()
        line = await self._lines.get()
        self._ended = line is None
        return line

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
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
            if not all(self._put(line.rstrip("\r"), loop) for line in whole):
                return
            if not data:
                self._put(None, loop)
                return

    def _put(self, line: str | None, loop: asyncio.AbstractEventLoop) -> bool:
        """Hands a line over, when there is room; False when nobody takes it any more."""
        coroutine = self._lines.put(line)
        try:
            asyncio.run_coroutine_threadsafe(coroutine, loop).result()
        except (RuntimeError, futures.CancelledError):
            coroutine.close()
            return False
        return True
