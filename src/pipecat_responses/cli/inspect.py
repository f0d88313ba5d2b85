"""A session file, shown on a page."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pipecat_responses.cli.serve import until_stopped
from pipecat_responses.inspector import Inspector
from pipecat_responses.inspector.files import SessionFileError


def run(file: Path, port: int) -> int:
    """Shows a file until it is told to stop.

    Args:
        file: The session file.
        port: The port; 0 takes a free one.

    Returns:
        The exit status.
    """
    inspector = Inspector(port=port)
    try:
        inspector.open(file)
    except SessionFileError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{file} cannot be read ({error.strerror or error}).", file=sys.stderr)
        return 1
    try:
        return asyncio.run(_show(inspector, file))
    except OSError as error:
        reason = error.strerror or str(error)
        print(
            f"Port {port} cannot be used ({reason}): choose another one with --port.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        # Where signals cannot be had, Ctrl-C arrives like this.
        return 0


async def _show(inspector: Inspector, file: Path) -> int:
    async with inspector:
        print(f"{file} is shown on this machine:\n\n  {inspector.url}\n", flush=True)
        print("Ctrl-C stops it.", flush=True)
        await until_stopped()
    print("Stopped.", flush=True)
    return 0
