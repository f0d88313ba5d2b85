from __future__ import annotations

from benchmarks.model import Findings
from benchmarks.server import Server


async def run(server: Server, quick: bool) -> Findings:
    return Findings("livekit", "LiveKit")
