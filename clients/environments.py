"""Environments under ``build/clients``: a virtual environment or a folder of Node's, for each."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clients.roster import Client

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "clients"
SCRIPTS = Path(__file__).with_name("scripts")


class NotInstalledError(Exception):
    """A client cannot be had here."""


async def prepare(client: Client) -> list[str]:
    """Installs a client, unless that was done before.

    Args:
        client: The client.

    Returns:
        The command that runs its script, without the script's arguments.

    Raises:
        NotInstalledError: If it cannot be installed.
    """
    folder = BUILD / client.folder
    if client.language == "python":
        python = await python_packages(folder, client.packages)
        return [str(python), str(SCRIPTS / client.script)]
    await node_packages(folder, client.packages)
    # Node looks for packages where the script is.
    script = folder / client.script
    shutil.copy(SCRIPTS / client.script, script)
    shutil.copy(SCRIPTS / "report.mjs", folder / "report.mjs")
    return ["node", str(script)]


async def python_packages(folder: Path, packages: Sequence[str]) -> Path:
    """Installs packages in a virtual environment, unless that was done before.

    Returns:
        Its Python.

    Raises:
        NotInstalledError: If that fails.
    """
    python = folder / "venv/bin/python"
    with _anew(folder, packages) as missing:
        if missing:
            await _run(sys.executable, "-m", "venv", str(folder / "venv"))
            pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            await _run(str(python), *pip, *packages)
    return python


async def node_packages(folder: Path, packages: Sequence[str]) -> None:
    """Installs packages of Node's in a folder, unless that was done before.

    Raises:
        NotInstalledError: If that fails.
    """
    with _anew(folder, packages) as missing:
        if missing:
            if shutil.which("npm") is None:
                raise NotInstalledError("npm was not found")
            (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
            flags = ("--silent", "--no-audit", "--no-fund")
            await _run("npm", "install", *flags, *packages, at=folder)


@contextmanager
def _anew(folder: Path, packages: Sequence[str]) -> Iterator[bool]:
    """Empties a folder unless it has these packages, and notes that it has them at the end."""
    wanted = json.dumps(packages)
    stamp = folder / "installed.json"
    missing = not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted
    if missing:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    yield missing
    stamp.write_text(wanted, encoding="utf-8")


async def _run(*command: str, at: Path = ROOT) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=at, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    if process.returncode:
        lines = out.decode(errors="replace").strip().splitlines()
        raise NotInstalledError(lines[-1] if lines else f"{command[0]}: {process.returncode}")
