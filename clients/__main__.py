"""Runs other people's clients against the sandbox: ``python -m clients``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.compliance import run_suite
from clients.document import write
from clients.environments import NotInstalledError, prepare
from clients.roster import CASES, ROSTER, Client, Transport
from pipecat_responses.sandbox import Sandbox

PATIENCE = 90.0
"""Seconds that one client may take over one transport."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a client over a transport.

    Attributes:
        client: The client.
        transport: The transport.
        passed: Of each case, in the order of ``CASES``: nothing if it passed, else what was wrong.
    """

    client: Client
    transport: Transport
    passed: tuple[str | None, ...]

    @property
    def count(self) -> int:
        """How many cases passed."""
        return sum(each is None for each in self.passed)


async def run_script(client: Client, transport: Transport, base_url: str) -> dict[str, str | None]:
    """Runs a client's script against a server.

    Returns:
        Of each case: None if it passed, else what was wrong.

    Raises:
        NotInstalledError: If the client cannot be installed.
    """
    environment = {
        **os.environ,
        "OPENAI_API_KEY": "sk-any",
        "OPENAI_BASE_URL": base_url,
        # No client is to look elsewhere.
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    process = await asyncio.create_subprocess_exec(
        *await prepare(client),
        base_url,
        transport,
        client.variant,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
    found = dict(_cases(out.decode(errors="replace")))
    tail = err.decode(errors="replace").strip().splitlines()[-1:]
    missing = f"no word of it {' '.join(tail)}".strip()
    return {case: found.get(case, missing) for case in CASES}


async def try_client(client: Client, transport: Transport) -> Row:
    """Runs a client's script against a sandbox of its own."""
    async with Sandbox() as sandbox:
        sandbox.config.tokens_per_second = 500
        try:
            found = await run_script(client, transport, sandbox.base_url)
        except NotInstalledError as problem:
            return Row(client, transport, (f"not installed: {problem}",) * len(CASES))
        requests = [each for each in sandbox.requests if each.transport == transport]
    if not requests:
        # Whatever it has found, it was not over that.
        elsewhere = f"it did not talk over {transport}"
        found = {case: problem or elsewhere for case, problem in found.items()}
    return Row(client, transport, tuple(found[case] for case in CASES))


def _cases(out: str) -> list[tuple[str, str | None]]:
    cases: list[tuple[str, str | None]] = []
    for line in out.splitlines():
        if line.startswith('{"case"'):
            told = json.loads(line)
            cases.append((told["case"], None if told["ok"] else str(told["detail"])))
    return cases


async def run(clients: Sequence[Client], *, at_once: int) -> list[Row]:
    """Runs clients over all their transports, some at a time, and prints what came of each."""
    limit = asyncio.Semaphore(at_once)

    async def one(client: Client) -> list[Row]:
        rows = []
        for transport in client.transports:
            async with limit:
                row = await try_client(client, transport)
            print(f"{row.client.name} over {row.transport}: {row.count} of {len(CASES)}")
            for case, problem in zip(CASES, row.passed, strict=True):
                if problem is not None:
                    print(f"  {case}: {problem[:300]}")
            rows.append(row)
        return rows

    return [row for rows in await asyncio.gather(*map(one, clients)) for row in rows]


def comply(checkout: Path) -> int:
    """Runs the compliance tests of Open Responses, and prints what came of them.

    Returns:
        0 if all passed.
    """
    try:
        outcome = asyncio.run(run_suite(checkout))
    except NotInstalledError as problem:
        print(f"Open Responses: {problem}")
        return 1
    print(f"Open Responses: {outcome.passed} of {outcome.total}")
    for name, errors in outcome.failed:
        print(f"  {name}: {errors[:300]}")
    for name in outcome.skipped:
        print(f"  {name}: skipped")
    return 0 if outcome.passed == outcome.total else 1


def main() -> int:
    """The command.

    Returns:
        0 if everything passed.
    """
    parser = argparse.ArgumentParser(prog="clients", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of the names of those to run")
    parser.add_argument("--at-once", type=int, default=2, help="how many run at the same time")
    parser.add_argument("--write-docs", action="store_true", help="write docs/clients.md")
    parser.add_argument("--suite", type=Path, help="a checkout of Open Responses, for its tests")
    options = parser.parse_args()
    if options.suite is not None:
        return comply(options.suite)
    chosen = [
        each
        for each in ROSTER
        if not options.names or any(name.lower() in each.name.lower() for name in options.names)
    ]
    if not chosen:
        parser.error(f"none of them has such a name: {', '.join(each.name for each in ROSTER)}")
    rows = asyncio.run(run(chosen, at_once=options.at_once))
    if options.write_docs:
        write([(row.client.name, row.transport, row.passed) for row in rows])
    return 0 if all(row.count == len(CASES) for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
