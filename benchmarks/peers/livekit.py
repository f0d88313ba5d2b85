"""LiveKit's OpenAI plugin, measured in an environment of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import material, script
from benchmarks.heard import Heard, tables
from benchmarks.measure import median, rounded
from benchmarks.model import Findings
from benchmarks.scenarios import tail
from benchmarks.server import Server

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv-peers"
PYTHON = VENV / "bin/python"
PACKAGES = ("livekit-agents==1.8.9", "livekit-plugins-openai==1.8.9")
SCRIPT = Path(__file__).with_name("livekit_turns.py")


class NotInstalledError(Exception):
    """LiveKit's plugin cannot be had here."""


async def run(server: Server, quick: bool) -> Findings:
    """Turns through LiveKit's plugin."""
    findings = Findings("livekit", "LiveKit's OpenAI plugin")
    try:
        await _install()
    except NotInstalledError as problem:
        findings.remarks.append(f"LiveKit's plugin was left out: {problem}")
        return findings
    await _calls(findings, server)
    await _cpu(findings, server, (10, 1000) if quick else (10, 100, 1000, 4000))
    await _tail(findings, server, script.turns(tail.QUICK_TURNS if quick else tail.TURNS))
    return findings


async def _install() -> None:
    if not PYTHON.exists():
        await _run(sys.executable, "-m", "venv", str(VENV))
        (VENV / ".gitignore").write_text("*\n", encoding="utf-8")
    await _run(str(PYTHON), "-m", "pip", "install", "--quiet", *PACKAGES)


async def _run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    if process.returncode:
        lines = err.decode().strip().splitlines()
        raise NotInstalledError(lines[-1] if lines else f"status {process.returncode}")
    return out.decode()


async def _turns(**plan: Any) -> dict[str, Any]:
    try:
        # -P: beside the script is a module that would hide the package of the same name.
        said = await _run(str(PYTHON), "-P", str(SCRIPT), json.dumps(plan))
    except NotInstalledError as problem:
        raise RuntimeError(f"LiveKit's plugin failed: {problem}") from None
    answer: dict[str, Any] = json.loads(said)
    return answer


async def _calls(findings: Findings, server: Server) -> None:
    table = findings.table(
        "livekit-calls",
        "Requests and bytes over a call, store=False",
        ["call", "transport", "requests", "incremental", "bytes"],
    )
    for cut, name in ((False, "12 clean turns"), (True, "12 turns, every third reply cut")):
        for websocket in (True, False):
            await server.reset()
            await server.reply(material.text(600, 1))
            await _turns(what="call", base_url=server.base_url, websocket=websocket, cut=cut)
            requests = await server.requests()
            table.add(
                name,
                "WebSocket" if websocket else "HTTP",
                len(requests),
                sum(request.incremental for request in requests),
                sum(request.size for request in requests),
            )


async def _cpu(findings: Findings, server: Server, sizes: tuple[int, ...]) -> None:
    table = findings.table(
        "livekit-cpu",
        "CPU time of a turn, ms (no pipeline around it)",
        ["transport", *(f"{size} items" for size in sizes)],
    )
    await server.beat(3, 1000.0)
    for websocket in (True, False):
        costs = []
        for items in sizes:
            found = await _turns(
                what="cpu",
                base_url=f"http://{server.metronome}/v1",
                items=items,
                websocket=websocket,
            )
            costs.append(rounded(median(found["costs"]) * 1e3))
        table.add("WebSocket" if websocket else "HTTP", *costs)


async def _tail(findings: Findings, server: Server, turns: list[script.Turn]) -> None:
    """The call of the scenario of that name."""
    await tail.set_up(server)
    heard = {"LiveKit WebSocket": Heard(), "LiveKit HTTP": Heard()}

    async def call(who: str, name: str) -> None:
        found = await _turns(
            what="script",
            base_url=f"http://{server.link}/v1",
            websocket="WebSocket" in name,
            beginning=script.beginning(who),
            nodes=[_node(number) for number in range(script.NODES)],
            turns=[
                {"kind": turn.kind, "node": turn.node, "asked": turn.asked(who)} for turn in turns
            ],
            function_secs=tail.FUNCTION_SECS,
            speaking_secs=tail.SPEAKING,
        )
        for turn in found["turns"]:
            heard[name].note(turn["kind"], turn["responses"], turn["sentences"])

    letters = dict(zip(heard, script.LETTERS, strict=False))
    await asyncio.gather(*(call(who, name) for name, who in letters.items()))
    billed = await server.bills()
    bills = {name: billed[who] for name, who in letters.items()}
    tables(findings, "livekit_tail", heard, bills, tail.note(turns))


def _node(number: int) -> dict[str, Any]:
    functions = [
        {
            "name": tool.name,
            "description": tool.description,
            "parameters": {
                "type": "object",
                "properties": tool.properties,
                "required": tool.required,
            },
        }
        for tool in script.tools(number).standard_tools
    ]
    return {"instructions": script.instructions(number), "functions": functions}
