"""The sandbox in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipecat_responses.cli.failures import UnusableError, complain
from pipecat_responses.protocol.names import ErrorName
from pipecat_responses.sandbox import (
    CassetteError,
    Replay,
    Sandbox,
    SandboxConfig,
    ScenarioError,
)


@dataclass(frozen=True)
class ServeOptions:
    """What the command was told.

    Attributes:
        config: How the sandbox behaves.
        server: Whose server it plays; one of ``PROFILES``.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        token: What its controls take, and as API key.
        scenario: A scenario to play.
        replay: A cassette to answer from, instead of the sandbox.
        timing: Whether to replay that at its own pace.
    """

    config: SandboxConfig
    server: str = "openai"
    host: str = "127.0.0.1"
    port: int = 0
    token: str | None = None
    scenario: Path | None = None
    replay: Path | None = None
    timing: bool = True


def run(options: ServeOptions) -> int:
    """Runs the sandbox until it is told to stop.

    Args:
        options: What the command was told.

    Returns:
        The exit status.
    """
    try:
        return asyncio.run(_replay(options) if options.replay else _serve(options))
    except (ValueError, RuntimeError) as error:
        complain(error, _name_of(error))
        return 1
    except UnusableError as error:
        complain(error, error.name)
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        complain(f"{error.filename} cannot be read ({error.strerror}).", ErrorName.FILE)
        return 1
    except KeyboardInterrupt:
        # Where signals cannot be had, Ctrl-C arrives like this.
        return 0


class Server(Protocol):
    """What listens on a port."""

    async def start(self) -> None:
        """Starts listening.

        Raises:
            OSError: If that is not possible.
        """

    async def stop(self) -> None:
        """Stops."""


@contextlib.asynccontextmanager
async def listening(server: Server, port: int, host: str = "127.0.0.1") -> AsyncIterator[None]:
    """Runs a server in the meantime.

    Args:
        server: The server.
        port: Where it listens.
        host: The address there.

    Raises:
        UnusableError: If it cannot listen there.
    """
    try:
        await server.start()
    except OSError as error:
        raise UnusableError(not_listening(host, port, error), ErrorName.PORT) from error
    try:
        yield
    finally:
        await server.stop()


def not_listening(host: str, port: int, error: OSError) -> str:
    """Says why a port cannot be listened on, and what to do.

    Args:
        host: The address.
        port: The port.
        error: What came of it.
    """
    # Python 3.13 tells it without a number.
    if (
        isinstance(error, socket.gaierror)
        or error.errno is None
        or error.errno == errno.EADDRNOTAVAIL
    ):
        return f"{host} is no address of this machine: choose another one with --host."
    # The words of asyncio repeat the address in the notation of Python.
    reason = os.strerror(error.errno)
    return f"Port {port} cannot be used ({reason}): choose another one with --port."


def _name_of(error: Exception) -> ErrorName | None:
    if isinstance(error, ScenarioError):
        return ErrorName.SCENARIO
    return ErrorName.CASSETTE if isinstance(error, CassetteError) else None


async def until_stopped() -> None:
    """Waits for Ctrl-C, or for the signal to end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
        for wanted in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(wanted, stop.set)
    await stop.wait()


async def _serve(options: ServeOptions) -> int:
    sandbox = Sandbox(options.config, host=options.host, port=options.port, token=options.token)
    scenario = sandbox.play(options.scenario) if options.scenario is not None else None
    async with listening(sandbox, options.port, options.host):
        print(usage(sandbox, options.server), flush=True)
        await until_stopped()
    print("Stopped.", flush=True)
    if scenario is None or not scenario.problems:
        return 0
    print(f"The scenario {scenario.scenario.name!r} went otherwise:", file=sys.stderr)
    for problem in scenario.problems:
        print(f"  {problem}", file=sys.stderr)
    return 1


async def _replay(options: ServeOptions) -> int:
    assert options.replay is not None
    server = Replay(
        options.replay,
        timing=options.timing,
        host=options.host,
        port=options.port,
        token=options.token,
    )
    async with listening(server, options.port, options.host):
        print(f"{options.replay} is replayed; any API key will do.\n", flush=True)
        print(f"  base_url  {server.base_url}\n\nCtrl-C stops it.", flush=True)
        await until_stopped()
    print("Stopped.", flush=True)
    return 0


def usage(sandbox: Sandbox, server: str) -> str:
    """How a running sandbox is used.

    Args:
        sandbox: The sandbox.
        server: Whose server it plays.
    """
    controls = f"{sandbox.origin}/_sandbox"
    secured = sandbox.config.api_keys is not None
    plays = "" if server == "openai" else f" It plays a server of {server}."
    preset = "" if server == "openai" else f', server="{server}"'
    key = "TOKEN" if secured else '"any"'
    takes = "its token is the API key" if secured else "it takes any API key"
    curl = 'curl -H "x-sandbox-token: $PIPECAT_RESPONSES_TOKEN"' if secured else "curl"
    return f"""\
The sandbox is running on this machine; {takes}.{plays}

  base_url  {sandbox.base_url}
  ws_url    {sandbox.ws_url}

Talk to it:        pipecat-responses chat --url {sandbox.base_url}
Use it in a bot:   OpenAIResponsesLLMService(api_key={key}, base_url="{sandbox.base_url}"{preset})
Cut connections:   {curl} -X POST {controls}/cut
See what it got:   {curl} {controls}/requests
In a browser:      {controls}/ui

Ctrl-C stops it."""
