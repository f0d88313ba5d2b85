"""The sandbox beside other servers that stand in for this API: ``python -m clients.compare``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from clients.__main__ import run_script
from clients.checks import HEADERS, MODEL, SAID, breaks_off, check_all
from clients.document import DOCUMENT, replace_table
from clients.environments import NotInstalledError
from clients.rivals import RIVALS, Rival, poster
from clients.roster import CASES, ROSTER, Client, Transport

CLIENTS = ("openai 3.57 (Python, async)", "openai-agents", "Pipecat's", "LangChain")
"""Parts of the names of the clients that are tried with each."""
STARTS = 3
REQUESTS = 200
"""Requests before the memory is measured."""
_UNTIL = 20.0


@asynccontextmanager
async def running(rival: Rival, folder: Path) -> AsyncIterator[tuple[str, float, int]]:
    """Runs a server: its origin, the seconds until it answered, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *rival.command(folder, port),
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_UNTIL):
            while not await _listens(port):  # noqa: ASYNC110
                # There is no signal to wait for: the server is somebody else's.
                await asyncio.sleep(0.02)
        yield f"http://127.0.0.1:{port}", time.monotonic() - began, process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _memory(group: int) -> float:
    """MiB of all processes of a group."""
    pages = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ProcessLookupError):
            if os.getpgid(int(folder.name)) == group:
                pages += int((folder / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measure(rival: Rival) -> dict[str, str]:
    """Puts everything to a server.

    Returns:
        Of each row of the table, what it has.
    """
    folder = await rival.prepare()
    found: dict[str, str] = {}
    for name, transport, client in _clients():
        async with running(rival, folder) as (origin, _, _), aiohttp.ClientSession() as session:
            if rival.script is not None:
                await rival.script(poster(session, origin))
            told = await run_script(client, transport, f"{origin}/v1")
            found[name] = f"{sum(told.get(case, '') is None for case in CASES)} of {len(CASES)}"
    async with running(rival, folder) as (origin, _, pid), aiohttp.ClientSession() as session:
        found |= await check_all(session, origin)
        broke = "no"
        if rival.cut is not None:
            await rival.cut(poster(session, origin))
            broke = "yes" if await breaks_off(session, origin) else "no"
        found["a stream broken off after some words"] = broke
    starts = []
    for _ in range(STARTS):
        async with running(rival, folder) as (origin, seconds, pid):
            starts.append(seconds)
            async with aiohttp.ClientSession() as session:
                await _load(session, f"{origin}/v1/responses")
            memory = _memory(pid)
    found["seconds to start"] = f"{statistics.median(starts):.1f}"
    found[f"MiB after {REQUESTS} requests"] = f"{memory:.0f}"
    return found


async def _load(session: aiohttp.ClientSession, url: str) -> None:
    for _ in range(REQUESTS):
        body = {"model": MODEL, "input": SAID}
        async with session.post(url, json=body, headers=HEADERS) as answer:
            await answer.read()


def _clients() -> list[tuple[str, Transport, Client]]:
    return [
        (f"{client.name}, {transport}", transport, client)
        for part in CLIENTS
        for client in ROSTER
        if part in client.name and client.language == "python"
        for transport in client.transports
    ]


async def compare(rivals: list[Rival]) -> dict[str, dict[str, str]]:
    """Measures servers one after the other, and prints what each has."""
    table: dict[str, dict[str, str]] = {}
    for rival in rivals:
        try:
            table[rival.name] = await measure(rival)
        except NotInstalledError as problem:
            print(f"{rival.name}: not installed: {problem}")
            continue
        print(rival.name)
        for name, value in table[rival.name].items():
            print(f"  {name}: {value}")
    return table


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="compare", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of the names of those to measure")
    parser.add_argument("--write-docs", action="store_true", help="write the table of the docs")
    options = parser.parse_args()
    chosen = [
        each
        for each in RIVALS
        if not options.names or any(name.lower() in each.name.lower() for name in options.names)
    ]
    if not chosen:
        parser.error(f"none of them has such a name: {', '.join(each.name for each in RIVALS)}")
    table = asyncio.run(compare(chosen))
    if options.write_docs:
        rows = [
            [name, *(found[name] for found in table.values())]
            for name in next(iter(table.values()))
        ]
        replace_table(DOCUMENT, "comparison", ["", *table], rows)


if __name__ == "__main__":
    main()
