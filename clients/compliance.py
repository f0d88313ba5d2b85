"""The compliance tests of Open Responses, from a checkout of theirs, against the sandbox."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from clients.environments import BUILD, NotInstalledError, node_packages
from pipecat_responses.sandbox import Sandbox

FOLDER = BUILD / "open-responses"
PACKAGES = ("tsx@4.23.15", "ws@8", "zod@3")
"""What the tests need of the many packages of that repository, and what runs them."""
PATIENCE = 120.0
"""Seconds that they may take."""
_TESTS = Path("bin/compliance-test.ts")
_PRELOAD = 'import WebSocket from "ws";\nglobalThis.WebSocket = WebSocket;\n'


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the tests.

    Attributes:
        passed: How many passed.
        skipped: The names of those that were not run.
        failed: Of each of the others, its name and what was wrong.
    """

    passed: int
    skipped: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]

    @property
    def total(self) -> int:
        """How many there are."""
        return self.passed + len(self.skipped) + len(self.failed)


async def run_suite(checkout: Path) -> Outcome:
    """Runs the tests.

    Args:
        checkout: A checkout of ``openresponses/openresponses``; nothing is written there.

    Raises:
        NotInstalledError: When it is no such checkout, or Node's packages cannot be had.
        TimeoutError: When they take longer than ``PATIENCE``.
    """
    if not (checkout / _TESTS).is_file():
        raise NotInstalledError(f"{checkout} has no {_TESTS}: is it a checkout of Open Responses?")
    await node_packages(FOLDER, PACKAGES)
    # Node looks for packages where the code is.
    for name in ("bin", "src"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        shutil.copytree(checkout / name, FOLDER / name)
    preload = FOLDER / "websocket.mjs"
    preload.write_text(_PRELOAD, encoding="utf-8")
    async with Sandbox() as sandbox:
        process = await asyncio.create_subprocess_exec(
            str(FOLDER / "node_modules/.bin/tsx"),
            *("--import", preload.as_uri(), str(_TESTS), "--json"),
            *("--base-url", sandbox.base_url, "--api-key", "sk-any"),
            cwd=FOLDER,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                out, err = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
    try:
        results = json.loads(out)["results"]
    except ValueError as error:
        raise NotInstalledError(err.decode(errors="replace").strip()[-500:]) from error
    return Outcome(
        sum(each["status"] == "passed" for each in results),
        tuple(each["name"] for each in results if each["status"] == "skipped"),
        tuple(
            (each["name"], "; ".join(each.get("errors") or ()))
            for each in results
            if each["status"] == "failed"
        ),
    )
