from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from loguru import logger


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
