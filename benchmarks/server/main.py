"""The server process: a sandbox, a lean token server, and a slow link to the sandbox."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.server.late import LateModel, bills
from benchmarks.server.link import SlowLink
from benchmarks.server.metronome import Metronome
from pipecat_responses.sandbox import Answer, ModelInput, Sandbox, SandboxConfig
from pipecat_responses.sandbox.answers import answer_from_json


def _texts(item: dict[str, Any]) -> str:
    content = item.get("content", "")
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


class Commands:
    """What the benchmark may ask for."""

    def __init__(self, sandbox: Sandbox, metronome: Metronome, link: SlowLink) -> None:
        self._sandbox = sandbox
        self._metronome = metronome
        self._link = link

    def configure(self, changes: dict[str, Any]) -> None:
        for name, value in changes.items():
            setattr(self._sandbox.config, name, value)

    def reset(self, changes: dict[str, Any]) -> None:
        self._sandbox.requests.clear()
        self._sandbox.messages.clear()
        self._sandbox._engine.script.clear()
        responder = self._sandbox.config.responder
        size = 256 * 1024 * 1024
        defaults = vars(SandboxConfig(responder=responder, max_body=size, max_message=size))
        self.configure({**defaults, **changes})

    def tail(self, _: None) -> None:
        self._sandbox.config.responder = LateModel()

    def bills(self, _: None) -> dict[str, dict[str, int]] | None:
        records = self._sandbox.requests
        return None if any(record.outcome is None for record in records) else bills(records)

    def reply(self, text: str) -> None:
        answer = Answer((text,))

        def responder(given: ModelInput) -> Answer:
            return answer

        self._sandbox.config.responder = responder

    def script(self, answers: list[Any]) -> None:
        self._sandbox.script(*map(answer_from_json, answers))

    def requests(self, history: bool) -> list[dict[str, Any]]:
        records = list(self._sandbox.requests)
        self._sandbox.requests.clear()
        found: list[dict[str, Any]] = [
            {
                "transport": record.transport,
                "size": record.size,
                "incremental": record.incremental,
                "generate": record.generate,
                "received_at": record.received_at,
                "outcome": record.outcome,
                "history": [],
            }
            for record in records
        ]
        if history and records:
            found[-1]["history"] = [
                (item["role"], _texts(item)) for item in records[-1].history if "role" in item
            ]
        return found

    def beat(self, beat: dict[str, Any]) -> None:
        self._metronome.tokens = beat["tokens"]
        self._metronome.rate = beat["rate"]

    def counts(self, _: None) -> tuple[int, int]:
        return self._metronome.streams, self._metronome.incremental

    def shape(self, shape: dict[str, float]) -> None:
        self._link.delay, self._link.up = shape["delay"], shape["up"]

    def cpu(self, _: None) -> float:
        return time.process_time()


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def main() -> None:
    loop = asyncio.get_running_loop()
    commands_in = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands_in), sys.stdin)
    sandbox = Sandbox(SandboxConfig(max_body=256 * 1024 * 1024))
    metronome = Metronome()
    async with sandbox:
        link = SlowLink(sandbox.port)
        ready = {
            "base_url": sandbox.base_url,
            "ws_url": sandbox.ws_url,
            "metronome": await metronome.start(),
            "link": await link.start(),
        }
        _say({"ok": ready})
        commands = Commands(sandbox, metronome, link)
        while line := await commands_in.readline():
            name, argument = json.loads(line)
            command: Callable[[Any], Any] = getattr(commands, name)
            try:
                _say({"ok": command(argument)})
            except Exception as error:  # noqa: BLE001 - told to whoever asked
                _say({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    asyncio.run(main())
