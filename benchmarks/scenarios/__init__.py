"""The scenarios, in the order in which they run and are shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.model import Findings
from benchmarks.scenarios import (
    blocking,
    cpu,
    deltas,
    footprint,
    inspected,
    interruptions,
    sessions,
    slowlink,
    storm,
    tail,
    traffic,
    voice,
    voices,
)
from benchmarks.server import Server

Scenario = Callable[[Server, bool], Awaitable[Findings]]

SCENARIOS: dict[str, Scenario] = {
    "cpu": cpu.run,
    "deltas": deltas.run,
    "interruptions": interruptions.run,
    "traffic": traffic.run,
    "voices": voices.run,
    "voice": voice.run,
    "link": slowlink.run,
    "sessions": sessions.run,
    "blocking": blocking.run,
    "footprint": footprint.run,
    "inspected": inspected.run,
    "storm": storm.run,
    "tail": tail.run,
}
