"""A session file, shown on a page."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pipecat_responses.cli.failures import UnusableError, complain
from pipecat_responses.cli.serve import listening, until_stopped
from pipecat_responses.inspector import Inspector
from pipecat_responses.inspector.files import SessionFileError
from pipecat_responses.protocol.names import ErrorName


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
        complain(str(error), ErrorName.SESSION_FILE)
        return 1
    except OSError as error:
        complain(f"{file} cannot be read ({error.strerror or error}).", ErrorName.FILE)
        return 1
    try:
        return asyncio.run(_show(inspector, file, port))
    except UnusableError as error:
        complain(error, error.name)
        return 1
    except KeyboardInterrupt:
        # Where signals cannot be had, Ctrl-C arrives like this.
        return 0


async def _show(inspector: Inspector, file: Path, port: int) -> int:
    async with listening(inspector, port):
        print(f"{file} is shown on this machine:\n\n  {inspector.url}\n", flush=True)
        print("Ctrl-C stops it.", flush=True)
        await until_stopped()
    print("Stopped.", flush=True)
    return 0
