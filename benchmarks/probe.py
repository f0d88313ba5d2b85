"""A fresh process that opens sessions and says how much memory each of them takes.

Run as ``python -m benchmarks.probe CONTESTANT BASE_URL``; prints JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from contextlib import AsyncExitStack

SESSIONS = 100


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _measure(short: str, base_url: str) -> float:
    from benchmarks.contestants import NoService, by_short
    from benchmarks.stage import Stage, quiet

    quiet()

    def make() -> Stage:
        return Stage(NoService([]) if short == "none" else by_short(short).service(base_url))

    async with AsyncExitStack() as stack:
        # What is loaded or cached by the first sessions does not count.
        for _ in range(5):
            await (await stack.enter_async_context(make())).ready()
        gc.collect()
        before = resident()
        for _ in range(SESSIONS):
            await (await stack.enter_async_context(make())).ready()
        gc.collect()
        return (resident() - before) / SESSIONS / 1000


if __name__ == "__main__":
    os.environ["LOGURU_AUTOINIT"] = "0"
    print(json.dumps({"kilobytes": asyncio.run(_measure(sys.argv[1], sys.argv[2]))}))
