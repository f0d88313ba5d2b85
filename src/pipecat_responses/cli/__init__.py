"""The command line: a chat in the terminal, and the sandbox as a server.

It needs the extra ``cli``, which a bot does without.
"""

from __future__ import annotations

import sys

__all__ = ["main"]

_EXTRA = ("rich", "typer")
"""What the extra installs."""


def main() -> None:
    """Runs the command line, or says what it needs."""
    try:
        import rich  # noqa: F401

        from pipecat_responses.cli.commands import app
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        sys.exit("The command line needs an extra: pip install 'pipecat-responses[cli]'")
    app()
