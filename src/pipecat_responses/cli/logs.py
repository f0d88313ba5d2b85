"""Where the log goes: nowhere, since the chat itself says what matters, or to stderr."""

from __future__ import annotations

import sys

from loguru import logger


def set_up_logs(*, verbose: bool) -> None:
    """Silences the log, or has all of it written to stderr."""
    logger.remove()
    if verbose:
        logger.add(sys.stderr, level="DEBUG")
