from __future__ import annotations

import io
from collections.abc import Iterator
from unittest import mock

import pipecat.turns.user_turn_strategies as turn_strategies
import pytest
from loguru import logger
from pipecat.turns.user_stop import ExternalUserTurnStopStrategy


@pytest.fixture(scope="session", autouse=True)
def _no_turn_analyzer() -> Iterator[None]:
    """Nobody speaks here, and loading the model that listens costs each pipeline 90 ms."""
    with mock.patch.object(
        turn_strategies,
        "default_user_turn_stop_strategies",
        side_effect=lambda: [ExternalUserTurnStopStrategy()],
    ):
        yield


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
