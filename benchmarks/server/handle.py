"""The benchmark's side of the server process: one command a line, one answer a line."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

LINE_LIMIT = 256 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """A request as the server saw it.

    Attributes:
        transport: ``websocket`` or ``http``.
        size: Bytes of its JSON.
        incremental: Whether it continued from a response.
        generate: Whether output was asked for; a warm-up or an anchor asks for none.
        received_at: When, by the machine's monotonic clock.
        outcome: What became of it.
        history: Role and text of every message that the model saw, if that was asked for.
    """

    transport: str
    size: int
    incremental: bool
    generate: bool
    received_at: float
    outcome: str | None
    history: list[tuple[str, str]]


class Server:
    """The server process. Use as an async context manager.

    Attributes:
        base_url: The sandbox's base URL.
        ws_url: The sandbox's WebSocket.
        metronome: Netloc of the lean server that streams tokens on time.
        link: Netloc of a slow link to the sandbox.
    """

    def __init__(self) -> None:
        self.base_url = self.ws_url = self.metronome = self.link = ""
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.server.main",
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=LINE_LIMIT,
            env={**os.environ, "LOGURU_AUTOINIT": "0"},
        )
        ready = await self._answer()
        self.base_url, self.ws_url = ready["base_url"], ready["ws_url"]
        self.metronome, self.link = ready["metronome"], ready["link"]
        return self

    async def __aexit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            await process.wait()

    async def configure(self, **changes: Any) -> None:
        """Changes the sandbox's configuration."""
        await self._ask("configure", changes)

    async def reset(self, **changes: Any) -> None:
        """Forgets requests and scripts, and goes back to the default configuration and changes."""
        await self._ask("reset", changes)

    async def reply(self, text: str) -> None:
        """Lets the sandbox answer every request with a text."""
        await self._ask("reply", text)

    async def tail(self) -> None:
        """Lets the sandbox answer the scripted call, as late as a real server does."""
        await self._ask("tail", None)

    async def bills(self) -> dict[str, dict[str, int]]:
        """What each caller of that has to pay, once nothing is running any more."""
        async with asyncio.timeout(30.0):
            while True:
                found: dict[str, dict[str, int]] | None = await self._ask("bills", None)
                if found is not None:
                    return found
                await asyncio.sleep(0.1)

    async def script(self, *answers: Any) -> None:
        """Queues answers, as the sandbox's control endpoint takes them."""
        await self._ask("script", list(answers))

    async def requests(self, *, history: bool = False) -> list[Request]:
        """Takes the requests seen since the last call.

        Args:
            history: Also say what the model saw in the last one of them.
        """
        answer = await self._ask("requests", history)
        return [Request(**request) for request in answer]

    async def beat(self, tokens: int, rate: float) -> None:
        """Sets how many tokens the lean server answers with, and how many a second."""
        await self._ask("beat", {"tokens": tokens, "rate": rate})

    async def counts(self) -> tuple[int, int]:
        """Requests the lean server has seen, and how many of them were incremental."""
        seen, incremental = await self._ask("counts", None)
        return seen, incremental

    async def shape(self, delay: float, up: float) -> None:
        """Sets the slow link: seconds one way, and bytes a second towards the server."""
        await self._ask("shape", {"delay": delay, "up": up})

    async def cpu(self) -> float:
        """CPU seconds the server has used."""
        return float(await self._ask("cpu", None))

    async def _ask(self, command: str, argument: Any) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, argument]).encode() + b"\n")
        await self._process.stdin.drain()
        return await self._answer()

    async def _answer(self) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("The server process has ended; its error is above")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"The server process says: {answer['error']}")
        return answer["ok"]
