"""The command line: a chat in the terminal, and the sandbox as a server.

It needs the extra ``cli``, which a bot does without.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

__all__ = ["main"]

_EXTRA = ("dotenv", "platformdirs", "prompt_toolkit", "rich", "typer")
"""What the extra installs."""


def main() -> None:
    """Runs the command line, or says what it needs."""
    try:
        for name in _EXTRA:
            if find_spec(name) is None:
                raise ModuleNotFoundError(name=name)
        from pipecat_responses.cli.commands import app
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        sys.exit("The command line needs an extra: pip install 'pipecat-responses[cli]'")
    except KeyboardInterrupt:
        sys.exit(130)
    app()
