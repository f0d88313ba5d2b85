from __future__ import annotations

from collections.abc import Iterator

import pytest
from loguru import logger


@pytest.fixture(autouse=True, scope="package")
def no_log() -> Iterator[None]:
    """Thousands of turns write more log than a terminal takes, and need longer for it."""
    logger.disable("pipecat")
    logger.disable("pipecat_responses")
    yield
    logger.enable("pipecat")
    logger.enable("pipecat_responses")
