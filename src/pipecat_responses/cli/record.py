"""Recording what a client and a server say to each other."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from pipecat_responses.cli.failures import UnusableError, complain
from pipecat_responses.cli.serve import listening, until_stopped
from pipecat_responses.protocol.names import ErrorName, noted_name
from pipecat_responses.sandbox import Recorder


@dataclass(frozen=True)
class RecordOptions:
    """What the command was told.

    Attributes:
        to: The cassette to write.
        upstream: The server to record; None for the environment's, or OpenAI.
        port: The port; 0 takes a free one.
        redact: Patterns for what is not to be written.
    """

    to: Path
    upstream: str | None
    port: int
    redact: tuple[str, ...] = ()


def run(options: RecordOptions) -> int:
    """Records until it is told to stop.

    Args:
        options: What the command was told.

    Returns:
        The exit status.
    """
    try:
        asyncio.run(_record(options))
    except ValueError as error:
        complain(error, noted_name(error))
        return 1
    except UnusableError as error:
        complain(error, error.name)
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        complain(f"{error.filename} cannot be written ({error.strerror}).", ErrorName.FILE)
        return 1
    except KeyboardInterrupt:
        # Where signals cannot be had, Ctrl-C arrives like this.
        pass
    return 0


async def _record(options: RecordOptions) -> None:
    upstream = options.upstream or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
    # Found out now, and not when there is something to lose.
    with options.to.open("a", encoding="utf-8"):
        pass
    recorder = Recorder(options.to, upstream, redact=options.redact, port=options.port)
    async with listening(recorder, options.port):
        print(
            f"Recording {recorder.cassette.upstream} to {options.to}.\n\n"
            f"  base_url  {recorder.base_url}\n\n"
            "Ctrl-C stops it, and writes the cassette.",
            flush=True,
        )
        await until_stopped()
    print(
        f"Exchanges written: {len(recorder.cassette.exchanges)}. Replay them with\n"
        f"  pipecat-responses serve --replay {options.to}",
        flush=True,
    )
