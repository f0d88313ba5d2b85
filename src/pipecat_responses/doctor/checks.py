"""Checks, and the runner: each begins as soon as those that it needs have ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pipecat_responses.doctor.advice import trouble
from pipecat_responses.doctor.findings import CheckResult, Finding, Verdict
from pipecat_responses.doctor.server import Server
from pipecat_responses.protocol.errors import ResponsesError


@dataclass(frozen=True, slots=True)
class Check:
    """Something to find out.

    Attributes:
        name: What it is called.
        run: Finds it out; every step of it is bounded in time.
        needs: Checks without which it makes no sense, or which it would disturb.
        one_of: Checks of which one is enough; the first that will do is waited for.
    """

    name: str
    run: Callable[[Server], Awaitable[Finding]]
    needs: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()


async def run_checks(
    checks: Sequence[Check], server: Server, on_result: Callable[[CheckResult], None]
) -> tuple[CheckResult, ...]:
    """Runs checks, side by side as far as they do not need each other.

    Args:
        checks: What to find out, those that are needed before those that need them.
        server: The server.
        on_result: Is called with each result, in the order of the checks.

    Returns:
        All results, in the order of the checks.
    """
    findings: dict[str, asyncio.Future[Finding]] = {
        each.name: asyncio.get_running_loop().create_future() for each in checks
    }
    results: dict[str, CheckResult] = {}
    told = 0

    async def examine(check: Check) -> None:
        nonlocal told
        missing = await _missing(check, findings)
        began = time.monotonic()
        if missing is None:
            try:
                finding = await check.run(server)
            except ResponsesError as error:
                finding = trouble(error, server)
        else:
            seen = f"Nothing to find out without this: {missing}."
            finding = Finding(Verdict.SKIPPED, seen, cause=missing)
        results[check.name] = CheckResult(
            check.name,
            finding.verdict,
            time.monotonic() - began,
            server.mask(finding.seen),
            server.mask(finding.advice),
            finding.learned,
            finding.error,
        )
        findings[check.name].set_result(finding)
        while told < len(checks) and checks[told].name in results:
            on_result(results[checks[told].name])
            told += 1

    async with asyncio.TaskGroup() as group:
        for check in checks:
            group.create_task(examine(check), name=f"pipecat-responses {check.name}")
    return tuple(results[each.name] for each in checks)


async def _missing(check: Check, findings: dict[str, asyncio.Future[Finding]]) -> str | None:
    """Waits for what a check needs; the name of what is missing, or None."""
    for name in check.needs:
        finding = await findings[name]
        if finding.blocks:
            return finding.cause or name
    missing: str | None = None
    for name in check.one_of:
        finding = await findings[name]
        if not finding.blocks:
            return None
        missing = missing or finding.cause or name
    return missing
