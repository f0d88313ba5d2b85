"""The worker of ``examples/deploy`` as a process: its endpoints, its bound, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from pipecat.frames.frames import TranscriptionFrame
from pipecat.serializers.protobuf import ProtobufFrameSerializer
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pipecat_responses.sandbox import Sandbox
from tests.faults.support import until

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "examples" / "deploy"
COMPOSE = [DEPLOY / "compose.yaml", ROOT / "examples" / "telemetry" / "compose.yaml"]
SLOW = pytest.mark.timeout(180)
"""A process with Pipecat, its runner and a pipeline begins."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Worker:
    """A worker that runs."""

    process: asyncio.subprocess.Process
    port: int

    def _get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    async def get(self, path: str) -> tuple[int, str]:
        return await asyncio.to_thread(self._get, path)

    async def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        _, text = await self.get("/metrics")
        lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    async def is_ready(self, wanted: bool) -> None:
        async with asyncio.timeout(60):
            # There is no event for what another process thinks.
            while (await self.get("/ready"))[0] != (200 if wanted else 503):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    @contextlib.asynccontextmanager
    async def call(self) -> AsyncIterator[Caller]:
        async with connect(f"ws://127.0.0.1:{self.port}/ws-client", proxy=None) as sock:
            yield Caller(sock)

    async def ends(self) -> int:
        async with asyncio.timeout(60):
            return await self.process.wait()


@dataclass
class Caller:
    """Somebody who talks to the bot by text."""

    socket: ClientConnection
    serializer: ProtobufFrameSerializer = field(default_factory=ProtobufFrameSerializer)

    async def say(self, text: str) -> None:
        said = await self.serializer.serialize(TranscriptionFrame(text, "caller", ""))
        assert isinstance(said, bytes)
        await self.socket.send(said)

    async def hears_out(self) -> float:
        """Listens until the bot has said all; seconds of sound."""
        seconds = 0.0
        async with asyncio.timeout(60):
            while True:
                frame: Any = await self.serializer.deserialize(await self.socket.recv())
                if frame is not None and getattr(frame, "audio", None):
                    seconds += len(frame.audio) / 2 / frame.sample_rate
                message = getattr(frame, "message", None) or {}
                if message.get("type") == "bot-stopped-speaking":
                    return seconds


@contextlib.asynccontextmanager
async def worker(sandbox: Sandbox, **environment: str) -> AsyncIterator[Worker]:
    port = free_port()
    ours = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "bot.py", "-t", "websocket", "--host", "127.0.0.1", "--port", str(port)),
        cwd=DEPLOY,
        env={
            **ours,
            "OPENAI_BASE_URL": sandbox.base_url,
            "OPENAI_API_KEY": "sk-any",
            **environment,
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    running = Worker(process, port)
    try:
        async with asyncio.timeout(120):
            while True:
                with contextlib.suppress(OSError):
                    if (await running.get("/health"))[0] == 200:
                        break
                await asyncio.sleep(0.1)
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@SLOW
async def test_calls_end_well_before_the_process_does(sandbox: Sandbox) -> None:
    async with worker(sandbox) as running, running.call() as first, running.call() as second:
        await first.say("count to 3")
        await second.say("count to 4")
        assert min(await first.hears_out(), await second.hears_out()) > 0
        assert await running.metric("bot_calls_under_way") == 2
        assert await running.metric("gen_ai_client_operation_duration_seconds_count") == 2
        assert await running.metric("bot_event_loop_lag_seconds_count") > 0
        assert (await running.get("/ready"))[0] == 200

        await first.say("count to 9")
        await until(lambda: len(sandbox.requests) == 3)
        running.process.terminate()
        await running.is_ready(False)
        assert (await running.get("/health"))[0] == 200
        assert await running.metric("bot_calls_capacity") == 0
        with pytest.raises(InvalidStatus):
            async with running.call():
                pass
        # What was being said is said to its end, and what is asked after that is answered.
        assert await first.hears_out() > 0
        await second.say("count to 5")
        assert await second.hears_out() > 0
        assert running.process.returncode is None
        await first.socket.close()
        await second.socket.close()
        assert await running.ends() == 0
    assert len(sandbox.requests) == 4


@SLOW
@pytest.mark.long_calls
async def test_a_call_without_an_end_is_cut_off_at_last(sandbox: Sandbox) -> None:
    async with worker(sandbox, DRAIN_SECS="0.5") as running, running.call() as caller:
        await caller.say("count to 3")
        await caller.hears_out()
        running.process.terminate()
        assert await running.ends() == 0
        with pytest.raises(ConnectionClosed):
            await caller.hears_out()


@SLOW
@pytest.mark.long_calls
async def test_a_full_process_takes_no_call(sandbox: Sandbox) -> None:
    async with worker(sandbox, MAX_CALLS="1") as running:
        async with running.call() as caller:
            await caller.say("count to 3")
            await caller.hears_out()
            assert (await running.get("/ready"))[0] == 503
            with pytest.raises(InvalidStatus):
                async with running.call():
                    pass
        await running.is_ready(True)
        async with running.call() as caller:
            await caller.say("count to 3")
            assert await caller.hears_out() > 0
        running.process.terminate()
        assert await running.ends() == 0


@SLOW
@pytest.mark.long_calls
async def test_callers_tell_what_they_heard(sandbox: Sandbox) -> None:
    async with worker(sandbox) as running:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(DEPLOY / "callers.py")),
            *("--where", f"http://127.0.0.1:{running.port}", "--calls", "2", "--turns", "1"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        told, _ = await process.communicate()
        assert process.returncode == 0
        assert b"2 calls" in told
        assert b"unanswered 0, refused 0, cut off 0" in told


def has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    command = ["docker", "compose", "version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("file", COMPOSE, ids=lambda path: path.parent.name)
@pytest.mark.skipif(not has_compose(), reason="there is no docker compose")
def test_docker_takes_the_compose_file(file: Path) -> None:
    command = ["docker", "compose", "-f", str(file), "config", "--quiet"]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("file", COMPOSE, ids=lambda path: path.parent.name)
def test_what_a_compose_file_names_is_there(file: Path) -> None:
    for service in yaml.safe_load(file.read_text())["services"].values():
        for volume in service.get("volumes", []):
            assert (file.parent / volume.partition(":")[0]).exists()
        if "build" in service:
            context = file.parent / service["build"]["context"]
            assert context.resolve() == ROOT
            assert (context / service["build"]["dockerfile"]).is_file()


def test_kubernetes_waits_as_long_as_the_process_drains() -> None:
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    drains = next(each["value"] for each in container["env"] if each["name"] == "DRAIN_SECS")
    pause = container["lifecycle"]["preStop"]["exec"]["command"][1]
    assert pod["terminationGracePeriodSeconds"] > int(drains) + int(pause)
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["worker"]
    assert int(compose["stop_grace_period"][:-1]) > int(compose["environment"]["DRAIN_SECS"])
