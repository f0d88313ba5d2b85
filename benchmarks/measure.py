"""Small numbers: medians, percentiles, CPU time, and how long the event loop was blocked."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import math
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.model import Cell


def median(values: Iterable[float]) -> float:
    found = list(values)
    return statistics.median(found) if found else math.nan


def percentile(values: Sequence[float], share: float) -> float:
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def ratio(one: float, other: float) -> float:
    return one / other if other else math.nan


def rounded(value: float, digits: int = 3) -> Cell:
    """A number to so many significant digits, for a table."""
    if not math.isfinite(value):
        return None
    if value == 0:
        return 0
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return round(value, places) if places > 0 else int(round(value, min(places, 0)))


def tidy() -> None:
    """Collects garbage, so that nobody pays in a measured stretch for what others left."""
    gc.collect()


class Cpu:
    """CPU time of this process (all threads) over a stretch; wall time does not enter."""

    def __enter__(self) -> Self:
        self.seconds = 0.0
        self._start = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.process_time() - self._start


@dataclass
class Gap:
    """The longest stretches between two ticks of a task that wants to run every millisecond.

    Attributes:
        wall: By the clock, less the millisecond that was asked for.
        cpu: What this thread computed in one stretch. Other processes do not show in it.
    """

    wall: float = 0.0
    cpu: float = 0.0


TICK = 0.001


@contextlib.asynccontextmanager
async def longest_gap() -> AsyncIterator[Gap]:
    """Watches the event loop for the length of a ``with`` block."""
    gap = Gap()

    async def watch() -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(TICK)
            now, used = time.perf_counter(), time.thread_time()
            gap.wall = max(gap.wall, now - wall - TICK)
            gap.cpu = max(gap.cpu, used - cpu)
            wall, cpu = now, used

    task = asyncio.create_task(watch())
    # Let it tick once before whatever is to be watched.
    await asyncio.sleep(3 * TICK)
    gap.wall = gap.cpu = 0.0
    try:
        yield gap
        await asyncio.sleep(3 * TICK)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def environment() -> dict[str, Any]:
    """What a reader must know of the machine, and nothing that identifies it."""
    import platform
    from importlib.metadata import version

    packages = ("pipecat-responses", "pipecat-ai", "openai", "websockets", "msgspec", "aiohttp")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
        "packages": {name: version(name) for name in packages},
    }


async def fresh_python(*arguments: str) -> Any:
    """Runs a fresh interpreter that prints JSON.

    It keeps bytecode, as that of installed packages is kept: what is compiled anew each time
    would be measured as well.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=Path(__file__).parents[1],
        env={name: each for name, each in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode:
        raise RuntimeError(err.decode()[-2000:])
    return json.loads(out)
