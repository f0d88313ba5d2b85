"""What the doctor finds, as lines for people or as JSON for programs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from pipecat_responses.cli.failures import UnusableError, complain
from pipecat_responses.cli.screen import OutputConsole, printable
from pipecat_responses.cli.target import OPENAI, address_of
from pipecat_responses.doctor import CheckResult, Diagnosis, Verdict, diagnose
from pipecat_responses.protocol.names import ErrorName, hint, noted_name

_STYLES = {
    Verdict.OK: "green",
    Verdict.NO: "yellow",
    Verdict.FAILED: "bold red",
    Verdict.UNCLEAR: "yellow",
    Verdict.SKIPPED: "dim",
}

_WIDEST = 100
"""Columns that are used at most."""

_INDENT = 39
"""Columns before what was seen: the verdict, the check and its time."""

_NAME = 20


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """What the user wants.

    Attributes:
        url: The server, or None for OpenAI's.
        ws_url: Its WebSocket, or None for the one that goes with the address.
        model: The model to ask.
        key_env: The variable of the environment that holds the key.
        stored: Whether to find out about stored responses.
        timeout: Seconds that each step may take.
        write: The file for what the server can do, or None.
        as_json: Whether results are printed as JSON.
    """

    url: str | None
    ws_url: str | None
    model: str
    key_env: str
    stored: bool
    timeout: float
    write: Path | None
    as_json: bool


def run(options: DoctorOptions) -> int:
    """Runs all checks and prints what they find.

    Returns:
        The exit status: 0 if a call can be held.
    """
    try:
        return asyncio.run(_run(options))
    except UnusableError as error:
        complain(error, error.name)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


async def _run(options: DoctorOptions) -> int:
    base_url = address_of(options.url or os.environ.get("OPENAI_BASE_URL") or OPENAI, "http")
    ws_url = None if options.ws_url is None else address_of(options.ws_url, "websocket")
    out = OutputConsole(highlight=False)
    on_result: Callable[[CheckResult], None] = (
        _ignore if options.as_json else lambda result: _show(result, out)
    )
    key = os.environ.get(options.key_env)
    if not options.as_json:
        out.print(Text(f"{base_url.partition('?')[0]}, {options.model}\n"), soft_wrap=True)
    try:
        diagnosis = await diagnose(
            base_url,
            key or None,
            model=options.model,
            ws_url=ws_url,
            stored=options.stored,
            timeout_secs=options.timeout,
            on_result=on_result,
        )
    except ValueError as error:
        raise UnusableError(str(error), noted_name(error)) from error
    if options.as_json:
        print(json.dumps(as_json(diagnosis), indent=2))
    else:
        out.print(Text(f"\n{_conclusion(diagnosis, options)}"), soft_wrap=True)
        for name in dict.fromkeys(each.error for each in diagnosis.checks if each.error):
            out.print(Text(hint(name)), soft_wrap=True)
    if options.write is not None:
        _write(diagnosis, options.write)
    return 0 if diagnosis.usable else 1


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """The results as plain values."""
    return {
        "address": diagnosis.address,
        "model": diagnosis.model,
        "usable": diagnosis.usable,
        "seconds": round(diagnosis.seconds, 3),
        "tokens": diagnosis.tokens,
        "checks": [
            {
                "name": each.name,
                "verdict": each.verdict.value,
                "milliseconds": round(each.seconds * 1000),
                "seen": each.seen,
                "advice": each.advice,
                "error": each.error,
            }
            for each in diagnosis.checks
        ],
        "capabilities": diagnosis.capabilities,
    }


def _ignore(_: CheckResult) -> None:
    """JSON is printed at the end."""


def _show(result: CheckResult, out: Console) -> None:
    """Prints a result: a line, or as many as its sentences need."""
    width = min(max(out.width, 60), _WIDEST) - _INDENT
    took = "" if result.verdict is Verdict.SKIPPED else f"{result.seconds * 1000:.0f} ms"
    line = Text(f"{result.verdict.value:<8}", style=_STYLES[result.verdict])
    line.append(f" {result.name:<{_NAME}}{took:>8}  ", style="not dim")
    seen = _wrapped(result.seen, width)
    line.append(seen[0])
    for more in seen[1:]:
        line.append(f"\n{'':{_INDENT}}{more}")
    for number, more in enumerate(_wrapped(result.advice, width - 3) if result.advice else ()):
        line.append(f"\n{'':{_INDENT}}{'   ' if number else '-> '}{more}", style="bold")
    # Checks that run together would each fail with a pipe that nobody reads; the conclusion does.
    with contextlib.suppress(BrokenPipeError):
        out.print(line, soft_wrap=True)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(printable(text), width, break_on_hyphens=False) or [""]


def _conclusion(diagnosis: Diagnosis, options: DoctorOptions) -> str:
    over = [
        way
        for way, name in (("WebSocket", "WebSocket answer"), ("HTTP", "HTTP"))
        if diagnosis.verdict_of(name) is Verdict.OK
    ]
    if over:
        held = f"A call can be held, over {' and '.join(over)}."
    else:
        held = "No call can be held: see what failed."
        failed = {each.name for each in diagnosis.checks if each.verdict is Verdict.FAILED}
        if "key" in failed and not os.environ.get(options.key_env):
            held = f"No call can be held: set {options.key_env} to a key."
    return f"{held} {diagnosis.seconds:.1f} s, {diagnosis.tokens} tokens."


def _write(diagnosis: Diagnosis, file: Path) -> None:
    """Writes what the server can do.

    Raises:
        UnusableError: If that is not possible.
    """
    if not diagnosis.usable:
        print(f"{file} was not written: next to nothing is known.", file=sys.stderr)
        return
    try:
        file.write_text(json.dumps(diagnosis.capabilities, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UnusableError(
            f"{file} cannot be written: {error.strerror or error}.", ErrorName.FILE
        ) from error
    print(f"Written: {file}", file=sys.stderr)
