"""Whatever a server does: every history that the grammar makes keeps to the rules."""

from __future__ import annotations

import asyncio
import os
import random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from loguru import logger

from tests.histories.plan import History, histories
from tests.histories.play import StoodStillError, play
from tests.support.hurry import Transport

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))
FUZZING = EXAMPLES > 1000
TRIES = 5
"""Times that a history is played on a machine that stands still again and again."""


@pytest.fixture
def silence() -> None:
    """Nobody reads the log but the test, so nobody else has to be written to."""
    logger.remove()


@pytest.mark.parametrize("transport", ["websocket", "http"])
@pytest.mark.timeout(0 if FUZZING else 120)
@pytest.mark.usefixtures("silence")
def test_whatever_a_server_does(transport: Transport) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=not FUZZING,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        print_blob=FUZZING,
    )
    @given(histories(transport))
    def keeps_to_the_rules(history: History) -> None:
        for number in range(TRIES):
            # Jitter comes from the process's random numbers.
            random.seed(0)
            try:
                asyncio.run(play(history, transport, watch=FUZZING))
            except StoodStillError:
                if number == TRIES - 1:
                    raise
            else:
                return

    keeps_to_the_rules()
