from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from loguru import logger

from pipecat_responses.sandbox import Sandbox
from pipecat_responses.session.stats import SessionStats, TurnReport
from tests.neighbours.support import Sent


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    logger.remove()
    yield
    logger.remove()


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A server, behind which nothing is left running."""
    before = asyncio.all_tasks()
    async with Sandbox() as server:
        yield server
    me = asyncio.current_task()
    assert {task for task in asyncio.all_tasks() - before if task is not me} == set()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Keeps how each request went out; a service itself keeps the latest, and counts."""
    kept = Sent({})
    count = SessionStats.sent

    def keep(stats: SessionStats, report: TurnReport) -> None:
        count(stats, report)
        how = "+" if report.incremental else str(report.full_reason)
        kept.reports.setdefault(id(stats), []).append(how)

    monkeypatch.setattr(SessionStats, "sent", keep)
    return kept
