"""Environments under ``build/clients``: a virtual environment or a folder of Node's, for each."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
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
    wanted = json.dumps(client.packages)
    stamp = folder / "installed.json"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        await (_python if client.language == "python" else _node)(client, folder)
        stamp.write_text(wanted, encoding="utf-8")
    if client.language == "python":
        return [str(folder / "venv/bin/python"), str(SCRIPTS / client.script)]
    # Node looks for packages where the script is.
    script = folder / client.script
    shutil.copy(SCRIPTS / client.script, script)
    shutil.copy(SCRIPTS / "report.mjs", folder / "report.mjs")
    return ["node", str(script)]


async def _python(client: Client, folder: Path) -> None:
    await _run(sys.executable, "-m", "venv", str(folder / "venv"))
    await _run(
        str(folder / "venv/bin/python"),
        *("-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *client.packages,
    )


async def _node(client: Client, folder: Path) -> None:
    if shutil.which("npm") is None:
        raise NotInstalledError("npm was not found")
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    await _run("npm", "install", "--silent", "--no-audit", "--no-fund", *client.packages, at=folder)


async def _run(*command: str, at: Path = ROOT) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=at, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    if process.returncode:
        lines = out.decode(errors="replace").strip().splitlines()
        raise NotInstalledError(lines[-1] if lines else f"{command[0]}: {process.returncode}")
