from __future__ import annotations

import io
import math
from collections.abc import Iterator

import pytest
from loguru import logger

from pipecat_responses.session import watch


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """Thousands of faults would fill the terminal."""
    logger.remove()
    yield
    logger.remove()


@pytest.fixture
def log(_silence: None) -> io.StringIO:
    """Everything that is logged, down to traces."""
    kept = io.StringIO()
    logger.add(kept, level="TRACE", backtrace=True, diagnose=True)
    return kept


@pytest.fixture
def nothing_else_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop counts as free: a machine that is busy is no cause of anything here."""
    monkeypatch.setattr(watch, "LATE", math.inf)
