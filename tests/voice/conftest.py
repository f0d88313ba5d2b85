from __future__ import annotations

from collections.abc import Iterator

import pytest
from loguru import logger


@pytest.fixture(autouse=True, scope="package")
def no_log() -> Iterator[None]:
    """Pipecat's log tells every step, and hides what a failed test has to say."""
    logger.disable("pipecat")
    yield
    logger.enable("pipecat")
