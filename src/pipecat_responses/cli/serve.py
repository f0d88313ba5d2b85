"""The sandbox in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from pipecat_responses.sandbox import Sandbox, SandboxConfig


def run(config: SandboxConfig, port: int, server: str) -> int:
    """Runs the sandbox until it is told to stop.

    Args:
        config: How it behaves.
        port: The port; 0 takes a free one.
        server: Whose server it plays; one of ``PROFILES``.

    Returns:
        The exit status.
    """
    try:
        asyncio.run(_serve(config, port, server))
    except OSError as error:
        reason = error.strerror or str(error)
        print(
            f"Port {port} cannot be used ({reason}): choose another one with --port.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        # Where signals cannot be had, Ctrl-C arrives like this.
        pass
    return 0


async def _serve(config: SandboxConfig, port: int, server: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
        for wanted in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(wanted, stop.set)
    async with Sandbox(config, port=port) as sandbox:
        print(usage(sandbox, server), flush=True)
        await stop.wait()
    print("Stopped.", flush=True)


def usage(sandbox: Sandbox, server: str) -> str:
    """How a running sandbox is used.

    Args:
        sandbox: The sandbox.
        server: Whose server it plays.
    """
    controls = sandbox.base_url.removesuffix("/v1") + "/_sandbox"
    plays = "" if server == "openai" else f" It plays a server of {server}."
    preset = "" if server == "openai" else f', server="{server}"'
    return f"""\
The sandbox is running on this machine; it takes any API key.{plays}

  base_url  {sandbox.base_url}
  ws_url    {sandbox.ws_url}

Talk to it:        pipecat-responses chat --url {sandbox.base_url}
Use it in a bot:   OpenAIResponsesLLMService(api_key="any", base_url="{sandbox.base_url}"{preset})
Cut connections:   curl -X POST {controls}/cut
See what it got:   curl {controls}

Ctrl-C stops it."""
