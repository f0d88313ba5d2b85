"""A fresh process in which many calls start at once over TLS, and whose server then dies.

Run as ``python -m benchmarks.storm CONTESTANT SESSIONS``; prints JSON. The server is a process of
its own (``python -m benchmarks.storm server FILE``): it trusts nothing it is told but ``stop`` and
``start``, and leaves in the file the system's authorities and its own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import ssl
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any


async def _serve(file: Path) -> None:
    from pipecat_responses.sandbox import Sandbox

    sandbox = Sandbox(tls=True)
    await sandbox.start()
    _write_authorities(file, sandbox.authority or b"")
    print(sandbox.base_url, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        await (sandbox.stop() if line.strip() == "stop" else sandbox.start())
        print(line.strip(), flush=True)


def _write_authorities(file: Path, one_more: bytes) -> None:
    system = ssl.get_default_verify_paths().cafile
    file.write_bytes((Path(system).read_bytes() if system else b"") + one_more)


class _Server:
    """The other process."""

    async def start(self, file: Path) -> str:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.storm", "server", str(file)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return await self._answer()

    async def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        await self._answer()

    async def end(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def _answer(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()


async def _measure(short: str, count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "authorities.pem"
        server = _Server()
        base_url = await server.start(file)
        os.environ["SSL_CERT_FILE"] = str(file)
        try:
            return await _storm(short, count, base_url, server)
        finally:
            await server.end()


async def _storm(short: str, count: int, base_url: str, server: _Server) -> dict[str, float]:
    from benchmarks.contestants import IdleService, by_short
    from benchmarks.measure import Cpu, longest_gap
    from benchmarks.probe import resident
    from benchmarks.stage import Stage, quiet

    quiet()
    stages: list[Stage] = []

    async def begin() -> None:
        await asyncio.sleep(0)
        service = IdleService(["Hello."]) if short == "none" else by_short(short).service(base_url)
        stages.append(Stage(service))
        await stages[-1].__aenter__()
        await stages[-1].ready()

    async def ask(stage: Any) -> None:
        stage.context.add_message({"role": "user", "content": "Hello."})
        await stage.turn()
        stage.check()

    gc.collect()
    # A pass over hundreds of pipelines takes 50 to 150 ms, and whose block it falls into is chance.
    gc.disable()
    before, began = resident(), perf_counter()
    with Cpu() as cpu:
        async with longest_gap() as starting, asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(begin())
    started = perf_counter() - began
    gc.collect()
    memory = resident() - before
    await asyncio.gather(*map(ask, stages))
    async with longest_gap() as returning:
        if short != "none":
            await server.tell("stop")
            await asyncio.sleep(0.5)
            await server.tell("start")
        began = perf_counter()
        with Cpu() as back_cpu:
            await asyncio.gather(*map(ask, stages))
        back = perf_counter() - began
    return {
        "cpu_ms": cpu.seconds / count * 1e3,
        "kilobytes": memory / count / 1e3,
        "started_ms": started * 1e3,
        "start_block_ms": starting.cpu * 1e3,
        "back_ms": back * 1e3,
        "back_cpu_ms": back_cpu.seconds / count * 1e3,
        "back_block_ms": returning.cpu * 1e3,
    }


async def _report(short: str, count: int) -> None:
    print(json.dumps(await _measure(short, count)), flush=True)
    # Hundreds of pipelines need not be taken down one by one.
    os._exit(0)


if __name__ == "__main__":
    os.environ["LOGURU_AUTOINIT"] = "0"
    if sys.argv[1] == "server":
        asyncio.run(_serve(Path(sys.argv[2])))
    else:
        asyncio.run(_report(sys.argv[1], int(sys.argv[2])))
