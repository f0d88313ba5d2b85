"""Many sessions at once, for many turns, while everything goes wrong by rng.

A short run is part of the suite. ``SOAK=1`` makes the long one and prints its figures.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.retry import Backoff
from pipecat_responses.sandbox import (
    Answer,
    Fault,
    ModelInput,
    RecordedRequest,
    Sandbox,
    SandboxConfig,
)
from pipecat_responses.sandbox.rules import answer_by_rules
from tests.faults.support import (
    Talk,
    counted,
    memory_in_use,
    new_service,
    our_tasks,
    short_probe,
    until,
)
from tests.support import history

FULL = bool(os.environ.get("SOAK"))
SEED = int(os.environ.get("SOAK_SEED", "20261122"))
SESSIONS = 20
TURNS = int(os.environ.get("SOAK_TURNS", "2000" if FULL else "200"))
CONTEXT_TURNS = 25
"""Turns after which a session begins a new conversation."""

LIMITS = {
    "quiet_secs": 0.15,
    "begin_secs": 0.5,
    "stall_secs": 0.5,
    "terminal_secs": 0.2,
    "total_secs": 15.0,
    "attempts": 6,
    "backoff": Backoff(first=0.01, cap=0.1),
}

PASSING = {"code": "server_error", "type": "server_error", "status": 500}
SLOW_DOWN = {"code": "rate_limit_exceeded", "status": 429, "headers": {"retry-after": "0.01"}}
FAULTS: tuple[Fault, ...] = (
    *(Fault(kind, moment) for kind in ("close", "reset") for moment in ("request", "created")),
    *(Fault(kind, "text", after=n) for kind in ("close", "reset") for n in (0, 1, 3, 9)),
    *(Fault(kind, "terminal") for kind in ("close", "reset", "silence", "no_terminal")),
    *(Fault(kind, "call", after=1) for kind in ("close", "reset", "silence", "error", "failed")),
    *(Fault(kind, "idle") for kind in ("close", "reset", "stall", "forget", "garbage")),
    Fault("stall", "text", after=2),
    Fault("silence", "request"),
    Fault("silence", "text", after=2),
    Fault("error", "request", params=PASSING),
    Fault("error", "request", params=SLOW_DOWN),
    Fault("error", "text", after=4, params=PASSING),
    Fault("failed", "text", after=4),
    Fault("failed", "created", params={"code": "rate_limit_exceeded"}),
    Fault("empty"),
    Fault("forget", "request", transport="websocket"),
    Fault("garbage", "text", after=3),
    Fault("garbage", "request"),
    Fault("unknown_events", "text", after=1),
    Fault("wrong_stream_id", "text", after=1),
    Fault("double_terminal", "terminal"),
    Fault("null_output", "terminal"),
    Fault("missing_fields", "request"),
    Fault("handshake_status", "handshake"),
    Fault("close_after_accept", "handshake"),
    Fault("reset", "handshake"),
    Fault("http_html", "handshake"),
    Fault("http_html", "request"),
    Fault("error", "request", params={"status": 400, "code": "websocket_connection_limit_reached"}),
    # Reported, each of them.
    Fault("error", "request", params={"status": 400, "code": "context_length_exceeded"}),
    Fault("error", "text", after=6, params={"status": 401, "code": "invalid_api_key"}),
)


@dataclass
class Figures:
    """What came of it."""

    turns: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    reports: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    faults: int = 0
    cuts: int = 0
    restarts: int = 0


def paced(given: ModelInput) -> Answer:
    """The built-in rules, slower where somebody wants to interrupt."""
    answer = answer_by_rules(given)
    slow = "slowly" in (given.last_user_text or "")
    return replace(answer, tokens_per_second=300.0) if slow else answer


class Session:
    """One user and one bot."""

    def __init__(self, number: int, sandbox: Sandbox, figures: Figures) -> None:
        self.number = number
        self.rng = random.Random(f"{SEED}-{number}")
        self.sandbox = sandbox
        self.figures = figures
        self.turns = 0
        transport: Any = "http" if number % 4 == 3 else "websocket"
        llm = new_service(
            sandbox,
            transport,
            default_headers={"x-session": str(number)},
            limits=LIMITS,
        )
        self.talk = Talk(llm, tools=True, metrics=number % 2 == 0)

    async def turn(self) -> None:
        """One turn of a kind that rng decides on, and its verdict."""
        self.turns += 1
        self.figures.turns += 1
        kind = self.rng.choices(("count", "interrupt", "call"), (6, 2, 2))[0]
        try:
            async with asyncio.timeout(40):
                end = await getattr(self, f"_{kind}")()
            self.figures.ends[end] += 1
            self.talk.check_frames()
            self._check_history()
        except (AssertionError, TimeoutError) as error:
            self.figures.violations.append(
                f"session {self.number}, turn {self.turns} ({kind}): {error!r}; "
                f"requests: {[record.outcome for record in self._requests()]}"
            )
        mine = self._requests()
        self.sandbox.requests[:] = [
            record for record in self.sandbox.requests if not any(record is own for own in mine)
        ]
        self.sandbox.handshakes.clear()
        self.sandbox.messages.clear()
        await self.talk.llm.set_usable(True)
        self.talk.forget(context=self.turns % CONTEXT_TURNS == 0)

    async def _count(self) -> str:
        top = self.rng.randint(3, 40)
        heard = await self.talk.round(f"count to {top}")
        return self._verdict(heard.text, counted(top), heard.errors)

    async def _call(self) -> str:
        heard = await self.talk.round("Please call note.")
        assert len(self.talk.toolbox.runs) <= 1, "a call ran twice"
        if not self.talk.toolbox.runs:
            assert heard.errors
        return self._verdict(heard.text, 'note says "note done".', heard.errors)

    async def _interrupt(self) -> str:
        talk = self.talk
        texts, ends = len(talk.texts), talk.ends
        await talk.start("count slowly to 60, that is: count to 60")
        await talk.said.until(lambda: len(talk.texts) > texts or talk.ends > ends)
        await talk.interrupt()
        await talk.quiet()
        heard = "".join(talk.texts[texts:])
        assert counted(60).startswith(heard), f"heard {heard!r}"
        assert len(talk.errors) <= 1
        return "interrupted"

    def _verdict(self, heard: str, expected: str, errors: list[Any]) -> str:
        assert len(errors) <= 1, f"{len(errors)} reports"
        if errors:
            error = errors[0].exception
            assert isinstance(error, ResponsesError)
            self.figures.reports[error.failure.value] += 1
            assert expected.startswith(heard), f"heard {heard!r}"
            return "reported"
        assert heard == expected, f"heard {heard!r} instead of {expected!r}"
        return "answered"

    def _requests(self) -> list[RecordedRequest]:
        """The newest turn's requests."""
        own = str(self.number)
        return [r for r in self.sandbox.requests if r.headers.get("x-session") == own]

    def _check_history(self) -> None:
        """What the model saw is what the context says (and what was said before a loss)."""
        said = history.of_context(self.talk.context)
        for record in self._requests():
            if record.transcript is None or not record.generate:
                continue
            seen = history.of_items(record.history)
            if seen and seen[-1][0] == "developer":
                (role, text), seen = seen[-2], seen[:-2]
                assert role == "assistant"
                assert len(seen) == len(said) or said[len(seen)][1].startswith(text.rstrip())
            assert seen == said[: len(seen)], f"the model saw {seen!r}, the context says {said!r}"


async def chaos(sandbox: Sandbox, sessions: list[Session], figures: Figures, turns: int) -> None:
    """Makes things go wrong as the turns go by."""
    rng = random.Random(SEED)
    seen = figures.turns
    end = seen + turns
    while figures.turns < end:
        await asyncio.sleep(0.002)
        for _ in range(figures.turns - seen):
            if rng.random() < 0.5 and len(sandbox.faults) < 8:
                sandbox.faults.add(replace(rng.choice(FAULTS)))
                figures.faults += 1
            if rng.random() < 0.01:
                sandbox.cut()
                figures.cuts += 1
            if rng.random() < 0.005:
                await sandbox.stop()
                await sandbox.start()
                figures.restarts += 1
        seen = max(seen, figures.turns)
        if len(sandbox.faults) >= 8:
            # Some wait for a moment that does not come.
            sandbox.faults.clear()


async def run_turns(sandbox: Sandbox, sessions: list[Session], figures: Figures, n: int) -> None:
    """So many turns, spread over the sessions, which all run at once."""
    left = n

    async def keep_talking(session: Session) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await session.turn()

    trouble = asyncio.create_task(chaos(sandbox, sessions, figures, n))
    await asyncio.gather(*(keep_talking(session) for session in sessions))
    await trouble


def open_files() -> int:
    try:
        return len(list(Path("/proc/self/fd").iterdir()))
    except OSError:
        return 0


@pytest.mark.timeout(900 if FULL else 90)
async def test_soak(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures()
    tasks, files = len(asyncio.all_tasks()), open_files()
    begin = time.monotonic()
    with short_probe(0.1):
        async with Sandbox(SandboxConfig(responder=paced)) as sandbox:
            sessions = [Session(number, sandbox, figures) for number in range(SESSIONS)]
            for session in sessions:
                await session.talk.__aenter__()
            # What is loaded and cached once is not growth.
            await run_turns(sandbox, sessions, figures, TURNS // 5)
            if FULL:
                tracemalloc.start()
            memory, (traced, _) = memory_in_use(), tracemalloc.get_traced_memory()
            await run_turns(sandbox, sessions, figures, TURNS - TURNS // 5)
            growth = memory_in_use() - memory
            traced_growth = tracemalloc.get_traced_memory()[0] - traced
            tracemalloc.stop()

            # Peace: everybody is answered.
            sandbox.faults.clear()
            sandbox.cut()
            for session in sessions:
                session.talk.forget()
                heard = await session.talk.round("count to 5")
                if heard.text != counted(5) or heard.errors:
                    figures.violations.append(f"session {session.number}: not answered at the end")
            await asyncio.gather(*(session.talk.end() for session in sessions))
            left = our_tasks()
            sandbox.cut()
            await until(lambda: sandbox.connections == 0)
    seconds = time.monotonic() - begin
    if FULL:
        with capsys.disabled():
            print(
                f"\n{figures.turns} turns in {SESSIONS} sessions, {seconds:.1f} s: "
                f"{dict(figures.ends)}, reports {dict(figures.reports)}; "
                f"{figures.faults} faults, {figures.cuts} cuts, {figures.restarts} restarts; "
                f"{len(figures.violations)} violations\n"
                f"memory {memory / 1e6:.1f} MB, then {growth / 1e6:+.1f} MB "
                f"(traced {traced_growth / 1e6:+.2f} MB)"
            )
    assert figures.violations == []
    assert figures.turns >= TURNS
    assert figures.ends["answered"] > TURNS / 3
    assert left == []
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    await until(lambda: open_files() <= files + 2)
    assert growth < 40_000_000
    assert traced_growth < 10_000_000
